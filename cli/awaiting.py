"""What a run waits for, as people read it: what it is, and the command that ends the wait. Draws and asks nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from dramaturg.cli import words
from dramaturg.cli.output import visible
from dramaturg.engine.errors import JSON

#: A record of `Service.awaits`.
Record = Mapping[str, JSON]

#: Kinds that somebody has to do something about; the others end by themselves.
FOR_PEOPLE = frozenset({"signal", "answer", "completion", "person"})


def for_people(records: Iterable[Record]) -> list[Record]:
    """Return what somebody has to do something about, the oldest first."""
    return sorted((r for r in records if r["kind"] in FOR_PEOPLE), key=lambda r: str(r.get("since") or ""))


def by_execution(records: Iterable[Record]) -> dict[int, Record]:
    """Return what somebody has to do something about by the number of the execution that waits."""
    return {int(record["execution_id"]): record for record in for_people(records)}


class Unsaid:
    """Keeps in mind what somebody was told, so that each thing is told once."""

    def __init__(self) -> None:
        self._said: set[tuple[object, ...]] = set()

    def new(self, records: Iterable[Record]) -> list[Record]:
        """Return what was not told yet; it counts as told from now on."""
        # The next attempt of the same task is another thing.
        keyed = {(r["kind"], r.get("execution_id"), r.get("since")): r for r in records}
        found = [record for key, record in keyed.items() if key not in self._said]
        self._said |= keyed.keys()
        return found


def where(record: Record) -> str:
    """Return the name of the task that waits, with visit and item where they tell something."""
    text = visible(str(record["task"]))
    if (record.get("visit") or 1) > 1:
        text += f" #{record['visit']}"
    return f"{text}, item {record['item']}" if is_item(record) else text


def is_item(record: Record) -> bool:
    """Return whether it is an item of a fan-out that waits: the tree has no line for it."""
    item = record.get("item")
    return item is not None and item >= 0


def what(record: Record, now: datetime | None = None) -> str:
    """Return what is waited for, on one line.

    Args:
        now: also say how much time is left.
    """
    told = _SAID.get(str(record["kind"]), _other)(record)
    until = words.moment(record.get("until"))
    if now is None or until is None:
        return told
    return f"{told}, {words.duration(max(0.0, (until - now).total_seconds()))} left"


def commands(record: Record, run_id: str) -> list[str]:
    """Return the command lines that end a wait; none for what ends by itself."""
    run = shlex.quote(str(record.get("run_id") or run_id))
    kind, number = record["kind"], record.get("execution_id")
    if kind == "signal":
        return [f"dramaturg signal {run} {shlex.quote(str(record['name']))} [JSON]"]
    if kind == "answer" and not is_item(record):
        return [f"dramaturg answer {run} {shlex.quote(str(record['task']))} [JSON]"]
    if kind in ("answer", "completion"):
        # Items have one name together: each is known by its number.
        return [f"dramaturg complete {number} [JSON]"]
    if kind == "person":
        return [f"dramaturg complete {number} [JSON]", f"dramaturg fail {number}"]
    return []


def sentence(record: Record, run_id: str) -> str:
    """Return a wait in one line: where, what, and what to type."""
    told = f"{where(record)} {what(record)}"
    typed = " | ".join(commands(record, run_id))
    return f"{told} -> {typed}" if typed else told


def lines(records: Sequence[Record], run_id: str, now: datetime) -> Iterator[str]:
    """Give two lines for each wait: what it is, and below it what to type."""
    for record in records:
        yield f"{where(record)} {what(record, now)}"
        for typed in commands(record, run_id):
            yield f"    {typed}"


def _signal(record: Record) -> str:
    return f"waits for signal '{visible(str(record['name']))}'"


def _answer(record: Record) -> str:
    whom = f" {visible(str(record['assigned_to']))}" if record.get("assigned_to") else ""
    return f"asks{whom}: {visible(str(record.get('prompt') or '').strip())}"


def _completion(record: Record) -> str:
    return "waits to be completed"


def _person(record: Record) -> str:
    error = record.get("error")
    why = f": {visible(words.brief(error))}" if error else ""
    return f"has failed and waits for a person{why}"


def _other(record: Record) -> str:
    return {"timer": "waits for its time", "retry": "waits for its next attempt"}.get(
        str(record["kind"]), f"waits ({record['kind']})"
    )


_SAID = {"signal": _signal, "answer": _answer, "completion": _completion, "person": _person}
