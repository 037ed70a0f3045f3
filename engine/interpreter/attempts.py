"""An attempt has ended: another one follows, or the execution has its final status (LANGUAGE 4, 5 and 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.expressions.compile import EvaluationError, Template
from dramaturg.engine.interpreter import items, retries
from dramaturg.engine.interpreter.commands import Retry, Settle
from dramaturg.engine.interpreter.plans import timeout
from dramaturg.engine.interpreter.scope import Scope, expression_failure, require
from dramaturg.engine.interpreter.state import NO_ITEM, FanOut, Key, Outcome, Returned
from dramaturg.engine.interpreter.transitions import complete
from dramaturg.engine.interpreter.turn import Ended, Turn
from dramaturg.engine.language.program import TaskProgram, groups_of


def returned(turn: Turn, attempt: Returned) -> None:
    """Draw the conclusions from an attempt that has ended."""
    if attempt.verdict is None:
        attempt = replace(attempt, verdict=turn.verdicts.get((attempt.task, attempt.visit)))
    status, error = _outcome(attempt)
    if _may_go_on(turn, attempt):
        try:
            delay = _delay_before_next(turn, attempt, status, error)
        except EvaluationError as fault:
            delay, status, error = None, "failed", _located(expression_failure(fault), attempt)
        if delay is not None:
            _again(turn, attempt, status, error, delay)
            return
    _settle(turn, attempt, status, error)


def result_key(attempt: Returned) -> Key:
    """Return the key of what the attempt gave."""
    if attempt.item == NO_ITEM:
        return ("result", attempt.task, attempt.visit)
    return ("item_result", attempt.task, attempt.visit, attempt.item)


def _outcome(attempt: Returned) -> tuple[Outcome, Failure | None]:
    """Return how the attempt ended, in words of LANGUAGE 5, and its error with its place."""
    if attempt.verdict is not None:
        return "timed_out", _located(attempt.verdict, attempt)
    if attempt.status == "lost":
        return "failed", _located(retries.lease_lost(attempt.lost), attempt)
    if attempt.status == "due" and "limit" not in attempt.policy:
        return "succeeded", None
    if attempt.status in ("due", "unstarted"):
        return "timed_out", _located(_overdue(attempt), attempt)
    error = attempt.error
    if error is None and attempt.status != "succeeded":
        kind = {"timed_out": "Timeout", "cancelled": "Cancelled"}.get(attempt.status, "Failed")
        error = Failure(type=kind, message=f"the attempt ended as {attempt.status.replace('_', ' ')}")
    # A nested run's error names the inner task, and keeps doing so.
    if error is not None and error.task is None:
        error = _located(error, attempt)
    return cast(Outcome, attempt.status), error


def _overdue(attempt: Returned) -> Failure:
    if attempt.status == "unstarted":
        return timeout("schedule_to_start", attempt.policy["schedule_timeout"])
    limit = attempt.policy["limit"]
    return timeout(limit["kind"], limit["seconds"])


def _located(failure: Failure, attempt: Returned) -> Failure:
    item = None if attempt.item == NO_ITEM else attempt.item
    return failure.at(task=attempt.task, visit=attempt.visit, item=item, attempt=attempt.attempt)


def _may_go_on(turn: Turn, attempt: Returned) -> bool:
    """Say whether another attempt may be made at all: not when it was to stop, or the run closes, or its fan-out is cancelled."""
    if attempt.stopped or attempt.verdict is not None or not turn.goes_on(attempt.lineage):
        return False
    within = [] if attempt.item == NO_ITEM else [attempt.task]
    within += groups_of(turn.program, attempt.task)
    return not any(_is_stopped(turn.fan_out(name, attempt.visit)) for name in within)


def _is_stopped(fan: FanOut) -> bool:
    return fan.verdict is not None or (fan.stopped and fan.on_item_failure == "cancel_started")


def _delay_before_next(turn: Turn, attempt: Returned, status: Outcome, error: Failure | None) -> float | None:
    """Return the seconds before the next attempt; None: there is none.

    Raises:
        EvaluationError: the policy's `when` cannot be evaluated.
    """
    if attempt.status == "lost":
        return 0.0 if retries.reruns_lost(attempt.policy, attempt.lost) else None
    policy = attempt.policy.get("retry")
    task = turn.program.tasks[attempt.task]
    condition = _condition(task, policy)
    done = attempt.attempt - 1 - attempt.lost

    def when(template: Template | None = condition) -> bool:
        return template is not None and _asked(turn, task, attempt, status, error, template)

    asked = when if condition is not None else None
    if policy is None or not retries.retries(policy, status=status, error=error, done=done, when=asked):
        return None
    share = turn.entropy.share() if policy.get("jitter") else 0.0
    return retries.delay_before(policy, done + 1, share)


def _condition(task: TaskProgram, policy: Mapping[str, JSON] | None) -> Template | None:
    """Return the condition of the task's own policy, or of its action's."""
    if task.retry is not None:
        return task.retry.when
    return retries.condition_of(policy)


def _asked(
    turn: Turn, task: TaskProgram, attempt: Returned, status: Outcome, error: Failure | None, when: Template
) -> bool:
    """Evaluate `retry.when` with the attempt's own result and error."""
    key = result_key(attempt)
    require(turn, when.reads, (key,) if when.reads.result else ())
    ended = Ended(
        task=task,
        visit=attempt.visit,
        lineage=attempt.lineage,
        status=status,
        error=error,
        attempts=attempt.attempt,
    )
    return Scope(turn, task=task.name, visit=attempt.visit, ended=ended, result=key).test(when)


def _again(turn: Turn, attempt: Returned, status: Outcome, error: Failure | None, delay: float) -> None:
    _tell_start(turn, attempt)
    data: dict[str, JSON] = {"retry_in": delay}
    if error is not None:
        data["error"] = error.to_json()
    turn.event(
        "attempt_ended",
        task=attempt.task,
        visit=attempt.visit,
        item=None if attempt.item == NO_ITEM else attempt.item,
        attempt=attempt.attempt,
        status=status,
        data=data,
    )
    turn.command(Retry(execution_id=attempt.execution_id, attempt=attempt.attempt + 1, delay=delay))
    items.count_attempts(turn, (attempt.task, attempt.visit), attempt.attempt)


def _settle(turn: Turn, attempt: Returned, status: Outcome, error: Failure | None) -> None:
    better = error if error is not None and error != attempt.error else None
    turn.command(Settle(execution_id=attempt.execution_id, status=status, error=better))
    if attempt.item != NO_ITEM:
        key = (attempt.task, attempt.visit)
        turn.delays.setdefault(key, attempt.policy.get("delay"))
        items.settled(turn, key, attempt.item, attempt.attempt, status, error)
        return
    _tell_start(turn, attempt)
    _tell_wait(turn, attempt)
    ended = Ended(
        task=turn.program.tasks[attempt.task],
        visit=attempt.visit,
        lineage=attempt.lineage,
        status=status,
        error=error,
        attempts=attempt.attempt,
    )
    complete(turn, ended)


def _tell_wait(turn: Turn, attempt: Returned) -> None:
    """Record what ended a wait: its time, or an answer."""
    if attempt.status == "due":
        turn.event("timer_fired", task=attempt.task, visit=attempt.visit)
    elif attempt.policy.get("awaits") == "answer" and attempt.status == "succeeded":
        data: dict[str, JSON] = {"by": attempt.worker} if attempt.worker else {}
        turn.event("question_answered", task=attempt.task, visit=attempt.visit, data=data)


def _tell_start(turn: Turn, attempt: Returned) -> None:
    """Record that the attempt was made; an item's only where another follows: a fan-out's history stays short."""
    if not attempt.ran:
        return
    data: dict[str, JSON] = {}
    if attempt.worker is not None:
        data["worker"] = attempt.worker
    if attempt.started_at is not None:
        data["started_at"] = attempt.started_at
    item = None if attempt.item == NO_ITEM else attempt.item
    turn.event(
        "attempt_started",
        task=attempt.task,
        visit=attempt.visit,
        item=item,
        attempt=attempt.attempt,
        data=data,
    )
