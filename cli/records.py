"""Runs, events and logs as lines for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from dramaturg.cli import awaiting, values, words
from dramaturg.cli.output import table, visible
from dramaturg.cli.tree import Node, draw
from dramaturg.engine.errors import JSON

if TYPE_CHECKING:
    from rich.text import Text

Signs = Literal["unicode", "ascii"]
Record = Mapping[str, JSON]


def run_rows(rows: Sequence[Record], now: datetime, signs: Signs) -> list[Text]:
    """Return the table of runs; without runs, nothing."""
    if not rows:
        return []
    cells = [[str(row["id"]), str(row["ref"]), *_timing(row, now, signs)] for row in rows]
    return table(["RUN", "REF", "STATUS", "CREATED", "TOOK"], cells)


def _timing(row: Record, now: datetime, signs: Signs) -> list[str | Text]:
    took = words.seconds_between(row.get("started_at"), row.get("finished_at"), now)
    return [status_text(str(row["status"]), signs), words.clock(row.get("created_at")), words.duration(took)]


def status_text(status: str, signs: Signs) -> Text:
    """Return a status with its sign and colour."""
    from rich.text import Text

    return Text(f"{words.sign(status, signs)} {words.spoken(status)}", style=words.style(status))


def show_lines(
    record: Record, nodes: Sequence[Node], now: datetime, signs: Signs, awaits: Sequence[Record] = ()
) -> Iterator[Text]:
    """Give everything about a run: what it is, how it went, what somebody has to do, its tasks, its output."""
    from rich.text import Text

    yield from _header(record, now, signs)
    asked = awaiting.for_people(awaits)
    if asked:
        yield Text()
        yield Text("waits for", style="bold")
        lines = awaiting.lines(asked, str(record["id"]), now)
        yield from (Text(f"  {line}", style="yellow") for line in lines)
    drawn = draw(nodes, now, signs)
    if drawn:
        yield Text()
        yield Text("tasks", style="bold")
        yield from (line.text for line in drawn)
    output = list(values.render(record.get("output")))
    if output:
        yield Text()
        yield Text("output", style="bold")
        yield from (Text("  ").append_text(line) for line in output)


def _header(record: Record, now: datetime, signs: Signs) -> Iterator[Text]:
    from rich.text import Text

    yield _field("run", visible(str(record["id"])))
    yield _field("ref", str(record["ref"]))
    took = words.seconds_between(record.get("started_at"), record.get("finished_at"), now)
    status = status_text(str(record["status"]), signs)
    yield Text("status    ", style="bold").append_text(status).append(f"  {words.duration(took)}")
    for name in ("created", "started", "finished"):
        if record.get(f"{name}_at"):
            yield _field(name, words.clock(record[f"{name}_at"]))
    if record.get("error"):
        yield _field("error", visible(words.failure(record["error"])), "red")
    # While a run waits for a person, one of its failures is not handled.
    name = "failure" if record["status"] == "waiting" else "handled"
    for error in record.get("errors") or []:
        if error != record.get("error"):
            yield _field(name, visible(words.failure(error)), "yellow")


def _field(name: str, value: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(f"{name:<10}", style="bold").append(value, style=f"not bold {style}".strip())


def event_line(record: Record) -> str:
    """Return an event in one line: number, time, what, where, and its data."""
    at = words.instant(record.get("at"))
    where = str(record.get("task") or "")
    for name, mark in (("visit", "#"), ("item", "item "), ("attempt", "attempt ")):
        value = record.get(name)
        if value is not None and not (name != "item" and value == 1):
            where += f" {mark}{value}"
    told = [str(record["type"]), visible(where.strip()), words.spoken(str(record.get("status") or ""))]
    if record.get("data"):
        told.append(json.dumps(record["data"], ensure_ascii=False))
    return f"{record['seq']:>5}  {at}  " + "  ".join(t for t in told if t)


def log_lines(chunks: Sequence[Record]) -> Iterator[tuple[str, str | None]]:
    """Give (line, style) of what was written; with more than one source, each line names its own."""
    sources = {_source(chunk) for chunk in chunks}
    for chunk in chunks:
        prefix = f"{visible(_source(chunk))} | " if len(sources) > 1 else ""
        style = "yellow" if chunk["stream"] == "stderr" else None
        for line in str(chunk["text"]).splitlines():
            yield prefix + line, style


def _source(chunk: Record) -> str:
    """Return whose output a chunk is: task, and visit, item and attempt where they tell something."""
    visit, item, attempt = (chunk.get(name) for name in ("visit", "item", "attempt"))
    text = str(chunk["task"])
    if visit is not None and visit > 1:
        text += f" #{visit}"
    if item is not None and item >= 0:
        text += f"[{item}]"
    if attempt is not None and attempt > 1:
        text += f" attempt {attempt}"
    return text
