"""How a run ends: the decision that it will, and the end itself (LANGUAGE 3 and 5).

A run **closes** when something decides how it is going to end: an unhandled failure, `fail`, `succeed`, a cancel, a
timeout. The first decision stands. From then on nothing new starts but what is spared, and what runs is let finish or
cancelled. The run has **ended** when nothing of it is open; only then is its output rendered.
"""

from __future__ import annotations

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.expressions.compile import EvaluationError
from dramaturg.engine.interpreter.commands import CancelOpen, EndRun, Unpark
from dramaturg.engine.interpreter.scope import Scope, expression_failure, require, result_of
from dramaturg.engine.interpreter.state import Closing, JoinRound, Outcome
from dramaturg.engine.interpreter.turn import Turn
from dramaturg.engine.secret import hidden

#: What the error of an execution that is cancelled with its run says.
_REASONS: dict[Outcome, str] = {
    "succeeded": "the run was ended as succeeded",
    "failed": "the run failed",
    "timed_out": "the run timed out",
    "cancelled": "the run was cancelled",
}


def close(turn: Turn, status: Outcome, error: Failure | None, *, everything: bool = False) -> None:
    """Decide how the run is going to end, unless that is decided already.

    Args:
        everything: the run as a whole is cancelled or out of time: what runs is cancelled whatever the policy, and
            nothing is spared any more, even where another end was decided before.
    """
    first = turn.closing is None
    if not first and not everything:
        return
    if turn.closing is None:
        turn.closing = Closing(status=status, error=error)
        _tell_closing(turn, status, error.to_json() if error else None)
    if turn.parked:
        # Nobody is to be waited for any more.
        turn.parked = 0
        turn.status = "running"
        turn.command(Unpark())
    if everything:
        turn.status = "cancelling"
    if turn.open > 0:
        cancels = everything or status == "succeeded" or turn.program.cancellation_policy == "cancel_running"
        turn.command(CancelOpen(running=cancels, spared=everything, reason=_REASONS[status]))
        turn.must_stop_items = True


def _tell_closing(turn: Turn, status: Outcome, error: JSON) -> None:
    """Add the decision to the event that led to it; an error that the event has is not written twice."""
    closing: dict[str, JSON] = {"status": status}
    if turn.events and turn.events[-1].data.get("error") != error:
        closing["error"] = error
    turn.remark("closing", closing)


def settle(turn: Turn) -> None:
    """End the run if nothing of it is left: no token, no visit, no input that waits (LANGUAGE 5)."""
    if turn.ended or turn.open > 0 or turn.parked > 0 or turn.queue:
        return
    if turn.closing is None and turn.open_joins > 0:
        turn.require([("open_joins",)])
        close(turn, "failed", _unreachable(turn, turn.unfired_joins()))
    _end(turn)


def _unreachable(turn: Turn, rounds: list[JoinRound]) -> Failure:
    """Return the failure of joins that some have reached and that cannot be satisfied any more (LANGUAGE 6)."""
    texts, details = [], []
    for one in rounds:
        task = turn.program.tasks[one.task]
        absent = [name for name in task.predecessors if name not in one.arrived]
        texts.append(f"join {one.task!r} (round {one.round}) needs {task.join} and got {len(one.arrived)}: "
                     f"{', '.join(absent)} did not arrive")  # fmt: skip
        details.append(
            {"task": one.task, "round": one.round, "arrived": list(one.arrived), "missing": absent}
        )
    return Failure(
        type="UnreachableJoin", message="; ".join(texts), details={"joins": details}, task=rounds[0].task
    )


def _end(turn: Turn) -> None:
    closing = turn.closing or Closing(status="succeeded", error=None)
    output, failures = _output(turn)
    if closing.status == "succeeded" and not failures:
        failures = _refused(turn, output)
    if closing.status == "succeeded" and failures:
        closing = Closing(status="failed", error=failures.pop(0))
    turn.ended = True
    turn.status = closing.status
    data: dict[str, JSON] = {}
    if closing.error:
        data["error"] = closing.error.to_json()
    if failures:
        data["errors"] = [failure.to_json() for failure in failures]
    turn.event("run_ended", status=closing.status, data=data)
    turn.command(EndRun(status=closing.status, output=_hidden(turn, output), error=closing.error))


def _output(turn: Turn) -> tuple[JSON, list[Failure]]:
    """Return the run's output: of a plain action the result of its one task, else what `output_map` gives."""
    task = turn.program.output_task
    if task is None:
        return _render_output(turn)
    require(turn, turn.program.output_reads)
    state = turn.task(task)
    return (result_of(turn, task, state.visits) if state else None), []


def _render_output(turn: Turn) -> tuple[dict[str, JSON], list[Failure]]:
    """Return the entries that render, and a failure for each one that does not (LANGUAGE 3)."""
    output: dict[str, JSON] = {}
    failures: list[Failure] = []
    if not turn.program.output_map:
        return output, failures
    require(turn, turn.program.output_reads)
    scope = Scope(turn, local={"output": output})
    for name, template in turn.program.output_map:
        try:
            output[name] = scope.render(template)
        except EvaluationError as error:
            failures.append(expression_failure(error))
    return output, failures


def _hidden(turn: Turn, output: JSON) -> JSON:
    """Return the output, in which what the workflow declares as secret is one."""
    schema = turn.program.output
    return hidden(output, schema.secret) if schema is not None and isinstance(output, dict) else output


def _refused(turn: Turn, output: JSON) -> list[Failure]:
    schema = turn.program.output
    problems = schema.problems(output) if schema is not None else []
    if not problems:
        return []
    return [
        Failure(
            type="InvalidOutput",
            message="the output is not what the workflow declares: " + "; ".join(problems),
        )
    ]
