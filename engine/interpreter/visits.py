"""A task is entered: a visit of its own, which is skipped, ends at once, or becomes executions (LANGUAGE 4 and 5).

Everything is rendered before anything is written, so a visit that cannot be started has one way out: it ends as failed,
like a task that ran, and its transitions can handle that. While a task's fields are rendered, `task.<itself>` is still
its visit before.
"""

from __future__ import annotations

from dataclasses import dataclass

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.expressions.compile import EvaluationError
from dramaturg.engine.interpreter import items
from dramaturg.engine.interpreter.commands import Schedule
from dramaturg.engine.interpreter.ending import close
from dramaturg.engine.interpreter.plans import NotStarted, execution, make_plan, render_input
from dramaturg.engine.interpreter.scope import Scope, expression_failure, require
from dramaturg.engine.interpreter.state import Key, Lineage, Outcome
from dramaturg.engine.interpreter.times import later
from dramaturg.engine.interpreter.transitions import complete
from dramaturg.engine.interpreter.turn import Ended, Turn
from dramaturg.engine.language.program import TaskProgram


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What entering a task comes to, once everything of it is rendered."""

    #: An outcome for a visit that nobody works on; None: there is work.
    status: Outcome | None = None
    error: Failure | None = None
    command: Schedule | None = None
    many: items.Many | None = None


def start(turn: Turn, task: TaskProgram, lineage: Lineage) -> None:
    """Begin a visit of a task."""
    state = turn.task(task.name)
    visit = (state.visits if state else 0) + 1
    if visit > turn.program.max_visits:
        close(turn, "failed", _too_many(turn, task.name, visit))
        return
    require(turn, task.entry_reads, action_keys(task))
    entry = _entry(turn, task, visit, lineage)
    turn.begin(task.name, visit)
    if entry.many is not None:
        _announce(turn, task.name, visit, entry.many.plan.action)
        items.open_fan_out(turn, task, visit, lineage, entry.many)
    elif entry.command is not None:
        _announce(turn, task.name, visit, entry.command.action)
        turn.command(entry.command)
        _tell_timer_or_child(turn, entry.command)
    elif entry.status is not None:
        _end_at_once(turn, task, visit, lineage, entry.status, entry.error)


def action_keys(task: TaskProgram) -> tuple[Key, ...]:
    """Return the key of an action that is named literally."""
    return (("action", task.action.source),) if task.action is not None and task.action.constant else ()


def _too_many(turn: Turn, name: str, visit: int) -> Failure:
    most = turn.program.max_visits
    message = f"task {name!r} would be visited more than {most} times (limits.visits)"
    return Failure(type="LimitExceeded", message=message, details={"visits": most}, task=name, visit=visit)


def _entry(turn: Turn, task: TaskProgram, visit: int, lineage: Lineage) -> Entry:
    scope = Scope(turn, task=task.name, visit=visit)
    try:
        if task.when is not None and not scope.test(task.when):
            return Entry(status="skipped")
        if task.with_items is not None:
            return Entry(many=items.render(turn, task, visit, scope))
        if task.action is None:
            return Entry(status="succeeded")
        plan, info = make_plan(turn, task, scope)
        values = render_input(task, info, scope)
        return Entry(command=execution(turn, plan, values, task=task.name, visit=visit, lineage=lineage))
    except EvaluationError as error:
        failure = expression_failure(error)
    except NotStarted as error:
        failure = error.failure
    return Entry(status="failed", error=failure.at(task=task.name, visit=visit))


def _announce(turn: Turn, name: str, visit: int, action: str | None) -> None:
    turn.event("task_scheduled", task=name, visit=visit, data={"action": action} if action else None)


def _tell_timer_or_child(turn: Turn, command: Schedule) -> None:
    if command.kind == "wait" and command.due is not None:
        data: dict[str, JSON] = {"due": later(turn.now, command.due)}
        turn.event("timer_started", task=command.task, visit=command.visit, data=data)
    elif command.kind == "workflow":
        data = {"action": command.action, "revision": command.digest}
        turn.event("child_started", task=command.task, visit=command.visit, data=data)


def _end_at_once(
    turn: Turn, task: TaskProgram, visit: int, lineage: Lineage, status: Outcome, error: Failure | None
) -> None:
    """End a visit that nobody works on: a junction, a skipped task, one that cannot be started."""
    action = task.action.source if task.action is not None and task.action.constant else None
    if status == "skipped":
        turn.event("task_skipped", task=task.name, visit=visit)
    else:
        _announce(turn, task.name, visit, action)
    turn.command(
        Schedule(
            task=task.name,
            visit=visit,
            action=action,
            kind="junction",
            status=status,
            error=error,
            lineage=lineage,
        )
    )
    turn.completed_alone += 1
    complete(turn, Ended(task=task, visit=visit, lineage=lineage, status=status, error=error, attempts=0))
