"""Signals: kept until a task waits for one of their name, the oldest first on both sides (LANGUAGE 9 and 10).

There is one place where signals and waits meet: `match`. Whatever lets a wait begin, or a signal come, only asks that
somebody look there once it is stored, so no order of the two can miss the other.
"""

from __future__ import annotations

from typing import cast

from dramaturg.engine.errors import JSON
from dramaturg.engine.interpreter.commands import Buffer, Deliver, LookForSignals
from dramaturg.engine.interpreter.state import Match, SignalReceived
from dramaturg.engine.interpreter.turn import Turn


def receive(turn: Turn, signal: SignalReceived) -> None:
    """Keep a signal that has come."""
    data: dict[str, JSON] = {"name": signal.name, "payload": signal.payload}
    if signal.by:
        data["by"] = signal.by
    turn.event("signal_received", data=data)
    seq = turn.events[-1].seq
    turn.command(Buffer(seq=seq, name=signal.name, payload=signal.payload))
    turn.command(LookForSignals())


def look(turn: Turn, action: str) -> None:
    """Ask for a look if `action` waits for signals: executions of it have begun in this turn."""
    if action == "core.wait":
        turn.command(LookForSignals())


def match(turn: Turn) -> None:
    """Give the signals that are there to those that wait for them."""
    if turn.matched:
        return
    turn.require([("matches",)])
    turn.matched = True
    for found in cast("tuple[Match, ...]", turn.read(("matches",)) or ()):
        turn.command(Deliver(execution_id=found.execution_id, seq=found.seq))
