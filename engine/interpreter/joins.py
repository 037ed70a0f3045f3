"""Tokens that arrive at a task: a visit at once, or a place in a round of its join (LANGUAGE 6).

The round that a token takes part in is one more than the number of rounds of that join in the token's own past, which
its lineage counts. So in a loop each turn has its own round, and a slow branch of the last turn cannot be taken for one
of this turn. A round counts each predecessor once, starts the task once, and swallows what comes later.
"""

from __future__ import annotations

from collections.abc import Mapping

from dramaturg.engine.errors import JSON
from dramaturg.engine.interpreter.state import JoinRound, Key, Lineage
from dramaturg.engine.interpreter.turn import Token, Turn
from dramaturg.engine.interpreter.visits import start, start_member


def arrive(turn: Turn, token: Token) -> None:
    """Put a token on the task that it is for."""
    task = turn.program.tasks[token.task]
    if token.visit is not None:
        start_member(turn, task, token.visit, token.lineage)
        return
    if task.join is None or token.origin is None:
        start(turn, task, token.lineage)
        return
    number = round_of(task.name, token.lineage)
    current = turn.join_round(task.name, number)
    if current is None:
        current = JoinRound(task=task.name, round=number)
        turn.open_joins += 1
    elif current.fired or token.origin in current.arrived:
        _record(turn, token, number, {"swallowed": True} if current.fired else {"duplicate": True})
        return
    _record(turn, token, number, _past(token.lineage))
    after = _with(current, token, needed=task.join)
    turn.joins[task.name, number] = after
    if after.fired:
        turn.open_joins -= 1
        turn.event("join_fired", task=task.name, data={"round": number})
        start(turn, task, Lineage(joins={**after.joins, task.name: number}, spared=after.spared))


def round_of(task: str, lineage: Lineage) -> int:
    """Return the round of a join that a token with this past takes part in."""
    return lineage.joins.get(task, 0) + 1


def join_key(task: str, lineage: Lineage) -> Key:
    """Return the key of the round that a token with this past takes part in."""
    return ("join", task, round_of(task, lineage))


def highest(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Return, join by join, the higher count of two pasts."""
    counts = dict(one)
    for name, count in other.items():
        counts[name] = max(count, counts.get(name, 0))
    return counts


def _with(current: JoinRound, token: Token, *, needed: int) -> JoinRound:
    assert token.origin is not None
    arrived = (*current.arrived, token.origin)
    return JoinRound(
        task=current.task,
        round=current.round,
        arrived=arrived,
        joins=highest(current.joins, token.lineage.joins),
        spared=current.spared or token.lineage.spared,
        fired=len(arrived) >= needed,
    )


def _past(lineage: Lineage) -> dict[str, JSON]:
    past: dict[str, JSON] = {}
    if lineage.joins:
        past["joins"] = dict(lineage.joins)
    if lineage.spared:
        past["spared"] = True
    return past


def _record(turn: Turn, token: Token, number: int, more: dict[str, JSON]) -> None:
    turn.event("join_arrived", task=token.task, data={"from": token.origin, "round": number, **more})
