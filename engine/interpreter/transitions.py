"""What follows from a task that has completed: its transitions, and the tokens that they make (LANGUAGE 4 and 5).

All transitions of a completion are evaluated before anything of them is applied, each whole before the next: its
condition, then its publishes, which later ones see. If one cannot be evaluated the run fails and nothing is applied.
Then, in order: publishes, the commands `fail` and `succeed`, and the tokens, which go to the end of the turn's queue.
So the input of a task is rendered after all transitions that led to it.
"""

from __future__ import annotations

from dataclasses import replace

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.expressions.compile import EvaluationError
from dramaturg.engine.interpreter.commands import ClearDeadlines, Park
from dramaturg.engine.interpreter.ending import close
from dramaturg.engine.interpreter.scope import Scope, expression_failure, require, result_keys
from dramaturg.engine.interpreter.state import Lineage, TaskState
from dramaturg.engine.interpreter.turn import Ended, Token, Turn
from dramaturg.engine.language.program import TransitionProgram

#: Outcomes that a transition has to handle, or the run ends with them.
UNHAPPY = ("failed", "timed_out", "cancelled")

Fired = list[tuple[TransitionProgram, dict[str, JSON]]]


def complete(turn: Turn, ended: Ended) -> None:
    """Record that a visit has ended, and follow its transitions unless the run is closing."""
    name, visit = ended.task.name, ended.visit
    turn.known["error", name, visit] = ended.error.to_json() if ended.error else None
    turn.known["status", name, visit] = ended.status
    _update_state(turn, ended)
    if ended.task.total_timeout is not None or ended.task.members:
        turn.command(ClearDeadlines(task=name, visit=visit))
    if ended.task.group is not None:
        # What follows from it is its group's affair.
        _record(turn, ended)
        turn.members.append(ended)
        return
    if not turn.goes_on(ended.lineage):
        _record(turn, ended)
        return
    try:
        fired = _evaluate(turn, ended)
    except EvaluationError as error:
        _record(turn, ended)
        close(turn, "failed", expression_failure(error).at(task=name, visit=visit))
        return
    _record(turn, ended)
    _publish(turn, ended, fired)
    _lead_on(turn, ended, [transition for transition, _ in fired])


def _update_state(turn: Turn, ended: Ended) -> None:
    state = turn.task(ended.task.name) or TaskState(task=ended.task.name, visits=ended.visit)
    if state.visits == ended.visit:
        attempts = state.attempts if ended.attempts is None else ended.attempts
        turn.tasks[state.task] = replace(state, status=ended.status, attempts=attempts)
    turn.open -= 1


def _record(turn: Turn, ended: Ended) -> None:
    data: dict[str, JSON] = {"error": ended.error.to_json()} if ended.error else {}
    if ended.task.group is not None:
        data["group"] = ended.task.group
        if ended.held:
            data["held"] = True
    turn.event(
        "task_completed",
        task=ended.task.name,
        visit=ended.visit,
        attempt=ended.attempts,
        status=ended.status,
        data=data,
    )


def _evaluate(turn: Turn, ended: Ended) -> Fired:
    """Return the transitions whose condition holds, each with what it publishes.

    Raises:
        EvaluationError: a condition or a publish cannot be evaluated.
    """
    task = ended.task
    if not task.next:
        return []
    require(turn, task.exit_reads)
    if task.exit_reads.result:
        turn.require(result_keys(turn, task.name, ended.visit))
    changes: dict[str, JSON] = {}
    scope = Scope(turn, ended=ended, changes=changes)
    fired: Fired = []
    for transition in task.next:
        if transition.when is not None and not scope.test(transition.when):
            continue
        values: dict[str, JSON] = {}
        for name, template in transition.publish:
            values[name] = changes[name] = scope.render(template)
        fired.append((transition, values))
    return fired


def _publish(turn: Turn, ended: Ended, fired: Fired) -> None:
    name, visit = ended.task.name, ended.visit
    for transition, values in fired:
        do: list[JSON] = [*transition.targets, *sorted(transition.commands)]
        turn.event("transition_fired", task=name, visit=visit, data={"index": transition.index, "do": do})
        if values:
            turn.event("variables_published", task=name, visit=visit, data={"values": values})
            turn.variables.update(values)


def _lead_on(turn: Turn, ended: Ended, fired: list[TransitionProgram]) -> None:
    """Apply commands and make tokens; decide the run's end by a failure that nobody handled."""
    tokens: list[Token] = []
    for transition in fired:
        if "succeed" in transition.commands and turn.closing is None:
            # Other tokens of the same completion are dropped (LANGUAGE 4).
            close(turn, "succeeded", None)
            return
        lineage = ended.lineage
        if "fail" in transition.commands:
            close(turn, "failed", _told_to_fail(ended))
            lineage = Lineage(joins=lineage.joins, spared=True)
        tokens += [Token(task=name, origin=ended.task.name, lineage=lineage) for name in transition.targets]
    if ended.status in UNHAPPY and not any(transition.handles for transition in fired):
        if turn.program.unhandled_failure == "wait" and not ended.final and turn.closing is None:
            _park(turn, ended)
        else:
            close(turn, ended.status, ended.error)
    turn.queue.extend(tokens)


def _park(turn: Turn, ended: Ended) -> None:
    """Let a failure that nobody handled wait for a person (LANGUAGE 3, `unhandled_failure`)."""
    turn.parked += 1
    turn.status = "waiting"
    turn.event("run_waiting", task=ended.task.name, visit=ended.visit)
    turn.command(Park(task=ended.task.name, visit=ended.visit))


def _told_to_fail(ended: Ended) -> Failure:
    name = ended.task.name
    message = f"task {name!r} {ended.status.replace('_', ' ')}, and its transition says that the run fails"
    if ended.error is not None:
        message += f": {ended.error.type}: {ended.error.message}"
    details: JSON = {"error": ended.error.to_json()} if ended.error else None
    return Failure(type="Fail", message=message, details=details, task=name, visit=ended.visit)
