"""The tasks of a run as a tree of lines: read from the service, drawn for `run` and `show`. Draws nothing itself.

A line is a visit of a task: sign, name, time, and what there is to say about it. A fan-out is one line with counts;
a nested run's tasks stand below the task that started it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

from dramaturg.cli import awaiting, words
from dramaturg.cli.output import visible
from dramaturg.engine.errors import JSON

if TYPE_CHECKING:
    from rich.text import Text

#: Columns that a task's name may take before it is cut, and cells of a fan-out's bar.
NAME_WIDTH = 40
BAR_WIDTH = 20
#: Items of a fan-out that `show` lists one by one, of those that went wrong.
ITEMS_SHOWN = 10


class Reads(Protocol):
    """What is needed of the service: the visits of a run's tasks, in order of start, and what the run waits for."""

    def tasks(self, run_id: str, *, items: bool = False) -> list[dict[str, JSON]]:
        """Return a record for each visit."""

    def awaits(self, run_id: str) -> list[dict[str, JSON]]:
        """Return a record for each thing that the run, or one nested in it, waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One visit of a task, and the tasks of the run nested in it."""

    #: A record of `Service.tasks`.
    row: Mapping[str, JSON]
    #: Names of the tasks above it, outermost first.
    path: tuple[str, ...] = ()
    children: tuple[Node, ...] = ()
    #: A record of `Service.awaits`, where somebody has to do something for it to go on.
    awaits: Mapping[str, JSON] | None = None

    @property
    def status(self) -> str:
        """Return the visit's status."""
        return str(self.row["status"])

    @property
    def name(self) -> str:
        """Return the task's name, with the visit's number from the second on."""
        visit = self.row.get("visit") or 1
        return visible(str(self.row["task"])) + (f" #{visit}" if visit > 1 else "")

    @property
    def full_name(self) -> str:
        """Return the name with those of the tasks around it."""
        return " / ".join((*self.path, self.name))

    def walk(self) -> Iterator[Node]:
        """Give this node and all below it, in the order in which they are drawn."""
        yield self
        for child in self.children:
            yield from child.walk()


class TreeReader:
    """Reads the tree of a run again and again; a nested run that has ended is read once."""

    def __init__(self, service: Reads, run_id: str, *, items: bool = False) -> None:
        """Prepare to read.

        Args:
            items: also read the items of fan-outs.
        """
        self._service = service
        self._run_id = run_id
        self._items = items
        self._ended: dict[str, tuple[Node, ...]] = {}
        #: What the run waited for when it was read last.
        self.awaits: Sequence[Mapping[str, JSON]] = ()
        self._waiting: Mapping[int, Mapping[str, JSON]] = {}

    def read(self) -> tuple[Node, ...]:
        """Return the visits of the outermost run, in order of start."""
        self.awaits = self._service.awaits(self._run_id)
        self._waiting = awaiting.by_execution(self.awaits)
        return self._read(self._run_id, ())

    def _read(self, run_id: str, path: tuple[str, ...]) -> tuple[Node, ...]:
        rows = self._service.tasks(run_id, items=True) if self._items else self._service.tasks(run_id)
        return tuple(self._node(row, path) for row in rows)

    def _node(self, row: Mapping[str, JSON], path: tuple[str, ...]) -> Node:
        node = Node(row=row, path=path, awaits=self._waiting.get(row.get("execution_id") or 0))
        nested = row.get("run_id")
        if nested is None:
            return node
        children = self._ended.get(nested)
        if children is None:
            children = self._read(nested, (*path, node.name))
            if node.status in words.ENDED:
                self._ended[nested] = children
        return replace(node, children=children)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the drawing, and the status of what it is about."""

    text: Text
    status: str


def draw(nodes: Iterable[Node], now: datetime, signs: Literal["unicode", "ascii"] = "unicode") -> list[Line]:
    """Return a line for each visit, and for each item of note."""
    flat = [(depth, node) for top in nodes for depth, node in _depths(top, 0)]
    width = max((2 * depth + len(node.name) for depth, node in flat), default=0)
    width = min(width, NAME_WIDTH)
    lines: list[Line] = []
    for depth, node in flat:
        lines.append(Line(_line(node, depth, width, now, signs), node.status))
        lines.extend(_items(node, depth + 1, signs))
    return lines


def fit(lines: Sequence[Line], height: int) -> list[Text]:
    """Return at most `height` lines: what is going on, then what went wrong, then the latest; the rest is counted."""
    if len(lines) <= height:
        return [line.text for line in lines]
    room = max(height - 1, 0)
    order = sorted(range(len(lines)), key=lambda i: (_weight(lines[i].status), -i))
    kept = set(order[:room])
    left = Counter(line.status for i, line in enumerate(lines) if i not in kept)
    from rich.text import Text

    told = ", ".join(f"{n} {words.spoken(status)}" for status, n in left.most_common())
    head = Text(f"  … {sum(left.values())} more: {told}", style="dim")
    return [head, *(lines[i].text for i in sorted(kept))]


def _weight(status: str) -> int:
    if status in ("running", "returned", "cancelling"):
        return 0
    return 2 if status in ("succeeded", "skipped") else 1


def notes(node: Node, now: datetime) -> str:
    """Return what there is to say about a visit besides its time."""
    row, status = node.row, node.status
    attempt = row.get("attempt") or 1
    told: list[str] = []
    if row.get("items"):
        told.append(counts(row["items"]))
    if node.awaits is not None and node.awaits["kind"] != "person":
        told.append(awaiting.what(node.awaits, now))
    elif status in ("scheduled", "waiting", "requested", "paused"):
        told.append(_waits(row, now))
    elif attempt > 1:
        told.append(f"attempt {attempt}")
    if status in ("failed", "timed_out", "cancelled", "skipped", "cancelling"):
        error = row.get("error")
        why = f": {visible(words.brief(error))}" if error else ""
        told.append(words.spoken(status) + why)
    if node.awaits is not None and node.awaits["kind"] == "person":
        told.append("waits for a person")
    if progress(row) is not None:
        told.append(_progress(row))
    return ", ".join(t for t in told if t)


def counts(items: Mapping[str, JSON]) -> str:
    """Return how far a fan-out is: `30/120`, and what is not simply done."""
    total = items["total"]
    told = [f"{ended(items)}/{total}"]
    told += [
        f"{items[kind]} {words.spoken(kind)}"
        for kind in ("running", "failed", "timed_out", "cancelled", "skipped")
        if items.get(kind)
    ]
    return ", ".join(told)


def progress(row: Mapping[str, JSON]) -> float | None:
    """Return how far a visit says that it is, from 0 to 1; None if it says nothing, or has ended."""
    share = row.get("progress")
    if not isinstance(share, int | float) or row["status"] in words.ENDED:
        return None
    return min(max(float(share), 0.0), 1.0)


def _progress(row: Mapping[str, JSON]) -> str:
    message = str(row.get("message") or "").strip()
    return f"{progress(row) or 0:.0%}" + (f" {visible(message)}" if message else "")


def ended(items: Mapping[str, JSON]) -> int:
    """Return how many items have ended."""
    return sum(int(items.get(kind) or 0) for kind in words.ENDED)


def _waits(row: Mapping[str, JSON], now: datetime) -> str:
    """Return what a visit that is not running waits for."""
    status, attempt = row["status"], row.get("attempt") or 1
    due = words.moment(row.get("due_at"))
    left = words.duration(max(0.0, (due - now).total_seconds())) if due else ""
    if status == "paused":
        return "paused"
    if status == "waiting":
        what = "sleeps" if row.get("action") == "core.sleep" else f"waits ({row.get('action') or 'delay'})"
        return f"{what}, {left} left" if left else what
    again = f"attempt {attempt} " if attempt > 1 else ""
    if status == "scheduled" and left:
        return f"{again or 'starts '}in {left}"
    return f"{again}waits for a worker" if status == "requested" else f"{again}scheduled"


def _depths(node: Node, depth: int) -> Iterator[tuple[int, Node]]:
    yield depth, node
    for child in node.children:
        yield from _depths(child, depth + 1)


def _line(node: Node, depth: int, width: int, now: datetime, signs: Literal["unicode", "ascii"]) -> Text:
    from rich.text import Text

    style = words.style(node.status)
    name = node.name.ljust(max(width - 2 * depth, 0))
    took = words.seconds_between(node.row.get("started_at"), node.row.get("finished_at"), now)
    line = Text("  " + "  " * depth)
    line.append(words.sign(node.status, signs), style=style)
    line.append(" ")
    line.append(name, style="bold" if node.status == "running" else "")
    line.append(f"  {words.duration(took):>7}", style="dim")
    items = node.row.get("items")
    share = progress(node.row)
    if items and node.status not in words.ENDED:
        line.append("  ").append_text(_fan_out_bar(items, signs))
    elif share is not None:
        line.append("  ").append_text(_bar(int(share * BAR_WIDTH), int(share * BAR_WIDTH), signs))
    if told := notes(node, now):
        line.append("  ")
        line.append(told, style=style if node.status not in ("running", "succeeded") else "dim")
    line.rstrip()
    return line


def _fan_out_bar(items: Mapping[str, JSON], signs: Literal["unicode", "ascii"]) -> Text:
    total = max(int(items["total"]), 1)
    good = BAR_WIDTH * int(items.get("succeeded") or 0) // total
    return _bar(good, BAR_WIDTH * ended(items) // total, signs)


def _bar(good: int, done: int, signs: Literal["unicode", "ascii"]) -> Text:
    """Return a bar of which so many cells went well, and so many are done."""
    from rich.text import Text

    full, empty = ("━", "─") if signs == "unicode" else ("#", ".")
    bar = Text(full * good, style="green")
    bar.append(full * (done - good), style="red")
    bar.append(empty * (BAR_WIDTH - done), style="dim")
    return bar


def _items(node: Node, depth: int, signs: Literal["unicode", "ascii"]) -> Iterator[Line]:
    """Give lines for the items that went wrong, where items were read."""
    from rich.text import Text

    listed = node.row.get("items_list") or []
    poor = [item for item in listed if item["status"] in ("failed", "timed_out", "cancelled")]
    for item in poor[:ITEMS_SHOWN]:
        status, number = str(item["status"]), item["item"]
        line = Text("  " + "  " * depth)
        line.append(words.sign(status, signs), style=words.style(status))
        why = f": {visible(words.brief(item['error']))}" if item.get("error") else ""
        line.append(f" item {number} {words.spoken(status)}{why}", style=words.style(status))
        yield Line(line, status)
    if len(poor) > ITEMS_SHOWN:
        more = Text("  " + "  " * depth + f"… and {len(poor) - ITEMS_SHOWN} more", style="dim")
        yield Line(more, "skipped")
