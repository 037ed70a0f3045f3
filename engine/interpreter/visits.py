"""A task is entered: a visit of its own, which is skipped, ends at once, or becomes executions (LANGUAGE 4 and 5).

Everything is rendered before anything is written, so a visit that cannot be started has one way out: it ends as failed,
like a task that ran, and its transitions can handle that. While a task's fields are rendered, `task.<itself>` is still
its visit before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.expressions.compile import EvaluationError
from dramaturg.engine.interpreter import groups, items, signals
from dramaturg.engine.interpreter.commands import Schedule, SetDeadline, Unpark
from dramaturg.engine.interpreter.ending import close
from dramaturg.engine.interpreter.plans import NotStarted, execution, limit_of, make_plan, render_input
from dramaturg.engine.interpreter.scope import Scope, expression_failure, require
from dramaturg.engine.interpreter.state import Key, Lineage, Outcome, Resolved
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
    group: bool = False
    deadlines: tuple[SetDeadline, ...] = ()


def start(turn: Turn, task: TaskProgram, lineage: Lineage) -> None:
    """Begin a visit of a task."""
    state = turn.task(task.name)
    visit = (state.visits if state else 0) + 1
    if visit > turn.program.max_visits:
        close(turn, "failed", _too_many(turn, task.name, visit))
        return
    _begin(turn, task, visit, lineage)


def start_member(turn: Turn, task: TaskProgram, visit: int, lineage: Lineage) -> None:
    """Begin the visit of a task inside a parallel one, unless that is not to let any further start."""
    assert task.group is not None
    if not turn.goes_on(lineage) or turn.fan_out(task.group, visit).stopped:
        turn.begin(task.name, visit)
        _end_at_once(turn, task, visit, lineage, "skipped", None, held=True)
    else:
        _begin(turn, task, visit, lineage)


def resolve(turn: Turn, resolved: Resolved) -> None:
    """A person says how a failed task ended: a new visit of it ends so (LANGUAGE 10)."""
    place = (resolved.task, resolved.visit)
    turn.require([("parked", *place), ("task", resolved.task)])
    lineage = cast("Lineage | None", turn.read(("parked", *place)))
    if lineage is None or turn.closing is not None or place in turn.unparked:
        return
    turn.unparked.add(place)
    turn.parked -= 1
    turn.command(Unpark(task=resolved.task, visit=resolved.visit))
    by: dict[str, JSON] = {"by": resolved.by} if resolved.by else {}
    if turn.parked == 0:
        turn.status = "running"
        turn.event("run_resumed", data={**by})
    task = turn.program.tasks[resolved.task]
    state = turn.task(task.name)
    visit = (state.visits if state else 0) + 1
    turn.begin(task.name, visit)
    turn.event("task_scheduled", task=task.name, visit=visit, data={"resolves": resolved.visit, **by})
    made = _made_at_once(task, visit, lineage, resolved.status, resolved.error)
    turn.command(replace(made, result=resolved.result))
    turn.known["result", task.name, visit] = resolved.result
    complete(
        turn,
        Ended(
            task=task,
            visit=visit,
            lineage=lineage,
            status=resolved.status,
            error=resolved.error.at(task=task.name, visit=visit) if resolved.error else None,
            attempts=0,
            final=True,
        ),
    )


def _begin(turn: Turn, task: TaskProgram, visit: int, lineage: Lineage) -> None:
    require(turn, task.entry_reads, action_keys(task))
    entry = _entry(turn, task, visit, lineage)
    turn.begin(task.name, visit)
    if entry.status is not None:
        _end_at_once(turn, task, visit, lineage, entry.status, entry.error)
        return
    _announce(turn, task.name, visit, _action_of(entry))
    for deadline in entry.deadlines:
        turn.command(deadline)
    if entry.group:
        groups.open_group(turn, task, visit, lineage)
    elif entry.many is not None:
        items.open_fan_out(turn, task, visit, lineage, entry.many)
    elif entry.command is not None:
        turn.command(entry.command)
        _tell_what_begins(turn, entry.command)


def _action_of(entry: Entry) -> str | None:
    if entry.many is not None:
        return entry.many.plan.action
    return entry.command.action if entry.command is not None else None


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
        deadlines = tuple(_deadlines(task, visit, scope))
        if task.members:
            return Entry(group=True, deadlines=deadlines)
        if task.with_items is not None:
            return Entry(many=items.render(turn, task, visit, scope), deadlines=deadlines)
        if task.action is None:
            return Entry(status="succeeded")
        plan, info = make_plan(turn, task, scope)
        values = render_input(task, info, scope)
        made = execution(turn, plan, values, task=task.name, visit=visit, lineage=lineage)
        return Entry(command=made, deadlines=deadlines)
    except EvaluationError as error:
        failure = expression_failure(error)
    except NotStarted as error:
        failure = error.failure
    return Entry(status="failed", error=failure.at(task=task.name, visit=visit))


def _deadlines(task: TaskProgram, visit: int, scope: Scope) -> Iterator[SetDeadline]:
    """Yield the deadlines of the visit as a whole: a parallel task's `timeout` is one, too."""
    given = {"schedule_to_close": (task.total_timeout, "total_timeout")}
    if task.members:
        given["start_to_close"] = (task.timeout, "timeout")
    for kind, (template, what) in given.items():
        length = limit_of(scope, template, what)
        if length is not None:
            yield SetDeadline(seconds=length, kind=kind, task=task.name, visit=visit)


def _announce(turn: Turn, name: str, visit: int, action: str | None) -> None:
    turn.event("task_scheduled", task=name, visit=visit, data={"action": action} if action else None)


def _tell_what_begins(turn: Turn, command: Schedule) -> None:
    if command.kind == "wait":
        _tell_wait(turn, command)
    elif command.kind == "workflow":
        data = {"action": command.action, "revision": command.digest}
        turn.event("child_started", task=command.task, visit=command.visit, data=data)


def _tell_wait(turn: Turn, command: Schedule) -> None:
    policy = command.policy
    if policy.get("awaits") == "answer":
        question = {name: policy[name] for name in ("prompt", "assigned_to", "schema") if name in policy}
        turn.event("question_asked", task=command.task, visit=command.visit, data=question)
    if "seconds" in policy:
        due = later(turn.now, (command.policy.get("delay") or 0.0) + policy["seconds"])
        turn.event("timer_started", task=command.task, visit=command.visit, data={"due": due})
    signals.look(turn, command.action or "")


def _end_at_once(
    turn: Turn,
    task: TaskProgram,
    visit: int,
    lineage: Lineage,
    status: Outcome,
    error: Failure | None,
    *,
    held: bool = False,
) -> None:
    """End a visit that nobody works on: a junction, a skipped task, one that cannot be started."""
    made = _made_at_once(task, visit, lineage, status, error)
    if status == "skipped":
        turn.event("task_skipped", task=task.name, visit=visit)
    else:
        _announce(turn, task.name, visit, made.action)
    turn.command(made)
    turn.completed_alone += 1
    ended = Ended(task=task, visit=visit, lineage=lineage, status=status, error=error, attempts=0, held=held)
    complete(turn, ended)


def _made_at_once(
    task: TaskProgram, visit: int, lineage: Lineage, status: Outcome, error: Failure | None
) -> Schedule:
    action = task.action.source if task.action is not None and task.action.constant else None
    return Schedule(
        task=task.name,
        visit=visit,
        action=action,
        kind="junction",
        status=status,
        error=error,
        lineage=lineage,
    )
