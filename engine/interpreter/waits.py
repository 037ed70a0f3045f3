"""What nobody works on: it ends by itself, or when something comes (LANGUAGE 9).

A wait is an execution with a policy that says what it is for: ``awaits`` (``signal`` with its name, or ``answer``; without
it only time has to pass), ``seconds`` (how long at most) and ``limit`` (which timeout it is when they are over; without
one they are what the wait is about).
"""

from __future__ import annotations

from collections.abc import Mapping

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.interpreter.numbers import seconds
from dramaturg.engine.interpreter.times import seconds_until
from dramaturg.engine.language.schema import ParameterSet
from dramaturg.engine.secret import holds

#: Actions that are waits.
WAITS = frozenset({"core.sleep", "core.wait", "core.ask"})

#: Actions that the engine does by itself in the transaction that schedules them.
ENGINE = frozenset({"core.start", "core.signal"})


class NotStarted(Exception):
    """A task or an item cannot be started."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def policy_of(action: str, values: Mapping[str, JSON], limit: float | None, now: str) -> dict[str, JSON]:
    """Return what a wait adds to its policy.

    Args:
        limit: the task's own timeout, seconds.
    Raises:
        NotStarted: the input does not say what it waits for, or for how long.
    """
    try:
        if holds(dict(values)):
            raise ValueError("its input can't hold secrets: what a run waits for is shown to people")
        if action == "core.sleep":
            length = _sleep(values, now)
            return _limited(length, None, limit)
        policy = _limited(_patience(values), "wait", limit)
        if action == "core.wait":
            return {"awaits": "signal", "signal": _signal(values), **policy}
        return {"awaits": "answer", **_question(values), **policy}
    except ValueError as error:
        raise NotStarted(Failure(type="InvalidInput", message=f"{action}: {error}")) from None


def due_in(policy: Mapping[str, JSON], delay: float | None) -> float | None:
    """Return the seconds after which a wait is due, its delay included; None: it waits for ever."""
    length = policy.get("seconds")
    return None if length is None else float((delay or 0.0) + length)


def schema_of(policy: Mapping[str, JSON]) -> ParameterSet | None:
    """Return what the answer to a question must be, as the parameter `answer`; None: anything."""
    schema = policy.get("schema")
    return None if schema is None else ParameterSet({"answer": schema}, closed=False)


def _limited(length: float | None, kind: str | None, limit: float | None) -> dict[str, JSON]:
    """Return how long it takes, and which timeout that is: its own, or the task's where that is sooner."""
    if limit is not None and (length is None or limit < length):
        return {"seconds": limit, "limit": {"kind": "start_to_close", "seconds": limit}}
    if length is None:
        return {}
    return {"seconds": length, **({"limit": {"kind": kind, "seconds": length}} if kind else {})}


def _patience(values: Mapping[str, JSON]) -> float | None:
    given = values.get("timeout")
    return None if given is None else seconds(given, "timeout", zero=False)


def _signal(values: Mapping[str, JSON]) -> str:
    name = values.get("signal")
    if not isinstance(name, str) or not name:
        raise ValueError(f"signal must be the name of a signal, not {name!r}")
    return name


def _question(values: Mapping[str, JSON]) -> dict[str, JSON]:
    prompt, schema, person = (values.get(name) for name in ("prompt", "response_schema", "assigned_to"))
    if not isinstance(prompt, str) or not prompt:
        raise ValueError("prompt must be the text of a question")
    question: dict[str, JSON] = {"prompt": prompt}
    if person is not None:
        question["assigned_to"] = person
    if schema is not None:
        problems = ParameterSet.problems_of({"answer": schema})
        if problems:
            raise ValueError("response_schema: " + "; ".join(problems))
        question["schema"] = schema
    return question


def _sleep(values: Mapping[str, JSON], now: str) -> float:
    length, until = values.get("seconds"), values.get("until")
    if (length is None) == (until is None):
        raise ValueError("give either seconds or until")
    if until is None:
        return seconds(length, "seconds")
    if not isinstance(until, str):
        raise ValueError(f"until must be a time as ISO 8601 text, not {until!r}")
    try:
        return seconds_until(now, until)
    except ValueError:
        raise ValueError(
            f'until must be a time as ISO 8601 text ("2030-01-31T08:00:00Z"), not {until!r}'
        ) from None
