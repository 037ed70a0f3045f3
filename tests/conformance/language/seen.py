"""What there is to see of a run, whoever played it, and what of it is not as a case expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from language.cases import Expected


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How a run ended, by whoever played it."""

    status: str
    output: Any
    error: Mapping[str, Any] | None
    errors: list[Mapping[str, Any]]
    history: list[Mapping[str, Any]]
    #: Nested runs by ``task``, ``task#visit``, ``task[item]``; runs that were started by id.
    nested: Mapping[str, Seen] = field(default_factory=dict)
    started: Mapping[str, Seen] = field(default_factory=dict)

    @property
    def ended(self) -> list[str]:
        """Return ``task#visit status`` of each visit, in the order in which they ended."""
        return [
            f"{event['task']}#{event['visit']} {event['status']}"
            for event in self.history
            if event["type"] == "task_completed"
        ]


def errors_of(history: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the errors of a run as its history has them: each task's, then the run's own where it is another one."""
    errors: list[Mapping[str, Any]] = []
    for event in history:
        data = event.get("data", {})
        error = data.get("error")
        if event["type"] == "task_completed" and error:
            errors.append(error)
        elif event["type"] == "run_ended":
            errors += [error] if error and error not in errors else []
            errors += data.get("errors", [])
    return errors


def differences(expected: Expected, seen: Seen, *, late: float) -> list[str]:
    """Return a sentence for each thing that is not as expected; a run may take `late` seconds longer."""
    found = list(_sound(seen.history))
    wanted: dict[str, Any] = {
        "status": expected.status,
        "output": expected.output,
        "errors": expected.all_errors,
    }
    got = {
        "status": seen.status,
        "output": seen.output,
        "errors": [error["type"] for error in seen.errors],
    }
    found += [
        f"{name}: {wanted[name]!r} expected, got {got[name]!r}"
        for name in wanted
        if wanted[name] != got[name]
    ]
    if not _part(expected.error, seen.error) or (expected.error is None) != (seen.error is None):
        found.append(f"error: {expected.error!r} expected, got {seen.error!r}")
    found += _path(expected.path, seen.ended)
    variables = variables_of(seen.history)
    for name, value in expected.variables.items():
        if name not in variables or variables[name] != value:
            found.append(f"variable {name}: {value!r} expected, got {variables.get(name, 'nothing')!r}")
    attempts = attempts_of(seen.history)
    found += [
        f"attempts of {key}: {count} expected, got {attempts.get(key)}"
        for key, count in expected.attempts.items()
        if attempts.get(key) != count
    ]
    found += _history(expected, seen.history)
    least, most = expected.lasted or (expected.took, expected.took)
    if least is not None and most is not None:
        found += _took(least, most, seen.history, late)
    for kind in ("nested", "started"):
        for key, inner in getattr(expected, kind).items():
            other = getattr(seen, kind).get(key)
            if other is None:
                found.append(f"{kind} run {key}: there is none, only {list(getattr(seen, kind))}")
            else:
                found += [f"{kind} run {key}: {text}" for text in differences(inner, other, late=late)]
    return found


def _sound(history: list[Mapping[str, Any]]) -> Iterator[str]:
    """Check what is true of every history (LANGUAGE 11)."""
    if [event["seq"] for event in history] != list(range(1, len(history) + 1)):
        yield "seq has gaps"
    if history[0]["type"] != "run_started" or history[-1]["type"] != "run_ended":
        yield f"it goes from {history[0]['type']} to {history[-1]['type']}"
    times = [event["at"] for event in history]
    if times != sorted(times):
        yield "it goes back in time"
    ended = [(e["task"], e["visit"]) for e in history if e["type"] == "task_completed"]
    begun = {(e["task"], e["visit"]) for e in history if e["type"] in ("task_scheduled", "task_skipped")}
    if len(set(ended)) != len(ended) or set(ended) != begun:
        yield f"begun {sorted(begun)}, completed {sorted(ended)}"


def _path(wanted: list[Any], ended: list[str]) -> Iterator[str]:
    rest = list(ended)
    for step in wanted:
        group = sorted(_visit(one) for one in (step if isinstance(step, list) else [step]))
        if sorted(rest[: len(group)]) != group:
            yield f"path: {wanted} expected, got {ended}"
            return
        del rest[: len(group)]
    if rest:
        yield f"path: {wanted} expected, and then came {rest}"


def _visit(text: str) -> str:
    place, _, status = text.partition(" ")
    return f"{place if '#' in place else f'{place}#1'} {status or 'succeeded'}"


def variables_of(history: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the variables that a history leads to."""
    values: dict[str, Any] = {}
    for event in history:
        if event["type"] == "variables_published":
            values |= event["data"]["values"]
    return values


def attempts_of(history: list[Mapping[str, Any]]) -> dict[str, int]:
    """Return the attempts of each visit (``task`` and ``task#visit``) and item (``task[item]``, ``task#visit[item]``)."""
    found: dict[str, int] = {}
    for event in history:
        if event["type"] == "task_completed":
            counts = [("", event.get("attempt"))]
        elif event["type"] == "items_completed":
            counts = [(f"[{item}]", attempts) for item, attempts, _ in event["data"]["items"]]
        else:
            continue
        for item, count in counts:
            found[f"{event['task']}{item}"] = found[f"{event['task']}#{event['visit']}{item}"] = count
    return found


def _history(expected: Expected, history: list[Mapping[str, Any]]) -> Iterator[str]:
    rest = iter(history)
    for wanted in expected.history:
        if not any(_part(wanted, event) for event in rest):
            same = [event for event in history if event["type"] == wanted["type"]]
            yield f"history: {wanted!r} expected (in this order), got {same}"
            break
    for unwanted in expected.never:
        if any(_part(unwanted, event) for event in history):
            yield f"history: {unwanted!r} is there, and should not be"


def _part(wanted: Any, got: Any) -> bool:
    """Say whether everything that is wanted is there; a map may have more; ``...`` is anything."""
    if wanted == "...":
        return True
    if isinstance(wanted, Mapping) and isinstance(got, Mapping):
        return all(key in got and _part(value, got[key]) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(map(_part, wanted, got))
    if isinstance(wanted, str) and isinstance(got, str) and wanted.startswith("... "):
        return wanted.removeprefix("... ") in got
    return wanted is None or bool(wanted == got)


def _took(least: float, most: float, history: list[Mapping[str, Any]], late: float) -> Iterator[str]:
    seconds = seconds_of(history[-1]["at"]) - seconds_of(history[0]["at"])
    if seconds < least - 0.01 or seconds > most + 0.01 + late:
        yield f"it took {seconds:g} s, not {least:g} to {most:g}"


def seconds_of(text: str) -> float:
    """Return a history's time as a number of seconds."""
    return datetime.fromisoformat(text).timestamp()
