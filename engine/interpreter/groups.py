"""Parallel tasks: tasks that run side by side inside another one (LANGUAGE 4, `type: parallel`).

A group is counted like a fan-out (`FanOut`) whose items are its members. A member's visit has the number of the group's, so
nothing else leads from one to the other. The members are entered by tokens like any task; what ends is put on
`Turn.members` and counted here, so nothing recurses, however deep groups are nested.
"""

from __future__ import annotations

from dataclasses import replace

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.interpreter import items
from dramaturg.engine.interpreter.commands import CancelOpen, Schedule, SettleVisit
from dramaturg.engine.interpreter.state import FanOut, Lineage, Outcome
from dramaturg.engine.interpreter.transitions import complete
from dramaturg.engine.interpreter.turn import Ended, Token, Turn
from dramaturg.engine.language.program import TaskProgram


def open_group(turn: Turn, task: TaskProgram, visit: int, lineage: Lineage) -> None:
    """Begin a visit of a parallel task: its row, its counts, and a token for each member."""
    total, policy = len(task.members), task.on_item_failure
    data: dict[str, JSON] = {"total": total, "tasks": list(task.members), "on_item_failure": policy}
    turn.event("items_scheduled", task=task.name, visit=visit, data=data)
    turn.command(
        Schedule(task=task.name, visit=visit, action=None, kind="parallel", status="running", lineage=lineage)
    )
    turn.items[task.name, visit] = FanOut(
        task=task.name,
        visit=visit,
        total=total,
        inserted=total,
        next=total,
        running=total,
        on_item_failure=policy,
        lineage=lineage,
    )
    turn.queue.extend(
        Token(task=name, origin=task.name, lineage=lineage, visit=visit) for name in task.members
    )


def member_ended(turn: Turn, ended: Ended) -> None:
    """Count a member that has ended; stop or end the group where that follows."""
    group = ended.task.group
    assert group is not None
    key, status = (group, ended.visit), counted_as(ended)
    fan = turn.fan_out(*key)
    counts = {"running": fan.running - 1, status: getattr(fan, status) + 1}
    fan = replace(fan, **counts, error=_first(turn, fan, ended, status))
    turn.items[key] = fan
    if status not in ("succeeded", "skipped") and fan.on_item_failure != "run_all" and not fan.stopped:
        stop(
            turn, fan, cancels=fan.on_item_failure == "cancel_started", reason="another task did not succeed"
        )
    _end_if_complete(turn, key)


def counted_as(ended: Ended) -> Outcome:
    """Return how a member counts: one that is skipped by its own `when` has done what it should."""
    return "succeeded" if ended.status == "skipped" and not ended.held else ended.status


def stop(turn: Turn, fan: FanOut, *, cancels: bool, reason: str = "") -> None:
    """Let no further member start; with `cancels` stop those that run, too."""
    turn.items[fan.task, fan.visit] = replace(fan, stopped=True)
    if not cancels:
        return
    for name in turn.program.tasks[fan.task].members:
        inner = turn.find_fan_out(name, fan.visit) if _counts(turn.program.tasks[name]) else None
        if inner is None:
            turn.command(CancelOpen(running=True, spared=True, task=name, visit=fan.visit, reason=reason))
        elif turn.program.tasks[name].members:
            stop(turn, inner, cancels=True, reason=reason)
        elif inner.ended < inner.total:
            items.stop(turn, inner, cancels=True, reason=reason)
            items.end_if_complete(turn, (name, fan.visit))


def _counts(task: TaskProgram) -> bool:
    return bool(task.members) or task.with_items is not None


def _end_if_complete(turn: Turn, key: tuple[str, int]) -> None:
    fan = turn.items[key]
    if fan.ended < fan.total:
        return
    status = items.outcome_of(turn, fan)
    error = None if status == "succeeded" else items.error_of(fan, status, "tasks")
    turn.command(SettleVisit(task=fan.task, visit=fan.visit, status=status, error=error))
    task = turn.program.tasks[fan.task]
    ended = Ended(task=task, visit=fan.visit, lineage=fan.lineage, status=status, error=error, attempts=None)
    complete(turn, ended)


def _first(turn: Turn, fan: FanOut, ended: Ended, status: Outcome) -> Failure | None:
    """Return the error that the group's own is made of: a failure before a timeout, then in the order of the members."""
    if ended.error is None or status in ("succeeded", "skipped"):
        return fan.error
    # The error of a nested run names the inner task: what counts here is the member.
    own = ended.error.at(task=ended.task.name, visit=ended.visit)
    order = {name: index for index, name in enumerate(turn.program.tasks[fan.task].members)}

    def weight(failure: Failure) -> tuple[int, int]:
        return items.weight_of(failure), order.get(failure.task or "", 0)

    return own if fan.error is None else min(fan.error, own, key=weight)
