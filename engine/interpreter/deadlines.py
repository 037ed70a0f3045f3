"""The time for a visit is over, with all its attempts and items (LANGUAGE 4, `total_timeout`)."""

from __future__ import annotations

from dataclasses import replace

from dramaturg.engine.errors import JSON
from dramaturg.engine.interpreter import groups, items
from dramaturg.engine.interpreter.commands import CancelOpen
from dramaturg.engine.interpreter.plans import timeout
from dramaturg.engine.interpreter.state import OUTCOMES, VisitTimedOut
from dramaturg.engine.interpreter.turn import Turn


def time_out(turn: Turn, over: VisitTimedOut) -> None:
    """End a visit as timed out: what waits ends at once, what runs is asked to stop, and ends so whatever it reports."""
    key = ("status", over.task, over.visit)
    turn.require([key])
    status = turn.known[key] if key in turn.known else turn.read(key)
    if status is None or status in OUTCOMES:
        return
    failure = timeout(over.kind, over.seconds).at(task=over.task, visit=over.visit)
    data: dict[str, JSON] = {"kind": over.kind, "seconds": over.seconds}
    turn.event("timer_fired", task=over.task, visit=over.visit, data=data)
    task = turn.program.tasks[over.task]
    fan = turn.find_fan_out(over.task, over.visit) if task.with_items or task.members else None
    if fan is None:
        turn.verdicts[over.task, over.visit] = failure
        turn.command(CancelOpen(running=True, spared=True, task=over.task, visit=over.visit, verdict=failure))
        return
    fan = turn.items[over.task, over.visit] = replace(fan, verdict=failure)
    if task.members:
        groups.stop(turn, fan, cancels=True, reason=failure.message)
    else:
        items.stop(turn, fan, cancels=True, reason=failure.message)
        items.end_if_complete(turn, (over.task, over.visit))
