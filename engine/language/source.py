"""A definition's file as a tree whose every part knows where it stands.

YAML is read by the core schema of YAML 1.2: `yes`, `on` and dates are text, numbers are decimal, `010` is ten. What
would surprise is refused: duplicate keys, keys that are not text, merge keys, tags of one's own, nan and infinity.
The reading is bounded: bytes, depth, and what aliases may expand to. JSON gives the same tree, without places.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from dramaturg.engine.errors import JSON
from dramaturg.engine.language.model import Position

Kind = Literal["map", "list", "scalar"]

#: A file larger than this is not read.
MAX_BYTES = 1024 * 1024
#: Levels of maps and lists; the same bound as for results (LANGUAGE 2).
MAX_DEPTH = 100
#: Nodes that all aliases of a file may stand for.
MAX_EXPANDED = 50_000


@dataclass(slots=True, eq=False)
class Node:
    """A map, a list or a scalar, and where it stands."""

    kind: Kind
    at: Position
    #: A scalar's value.
    value: JSON = None
    #: A scalar as it is written, without quotes; None for one that comes from JSON.
    written: str | None = None
    #: Of a map: key and value, in order, each key once.
    entries: list[tuple[Node, Node]] = field(default_factory=list)
    #: Of a list.
    items: list[Node] = field(default_factory=list)
    #: How many nodes this one stands for, aliases expanded; and how many levels.
    size: int = 1
    depth: int = 1
    #: The lines of the file, for finding places inside a text; empty for JSON.
    lines: list[str] = field(default_factory=list, repr=False)

    def get(self, key: str) -> Node | None:
        """Return the value of a key of a map, or None."""
        return next((value for name, value in self.entries if name.value == key), None)

    def key(self, key: str) -> Node:
        """Return the node of a key that the map has; of one that it does not have, the map itself."""
        return next((name for name, _ in self.entries if name.value == key), self)

    def plain(self) -> JSON:
        """Return the JSON value."""
        if self.kind == "map":
            return {key.value: value.plain() for key, value in self.entries}
        return [item.plain() for item in self.items] if self.kind == "list" else self.value

    def scalars(self, place: str) -> Iterator[tuple[str, Node]]:
        """Give every scalar below, with its place: ``place.key``, ``place[0]``."""
        if self.kind == "scalar":
            yield place, self
        for key, value in self.entries:
            yield from value.scalars(f"{place}.{key.value}")
        for index, item in enumerate(self.items):
            yield from item.scalars(f"{place}[{index}]")

    def within(self, offset: int) -> Position:
        """Return where the character number `offset` of a text stands in the file.

        The text and what is written differ by quotes, escapes, indentation and folding: both are walked side by side.
        """
        if not self.lines or not isinstance(self.value, str):
            return self.at
        line, column = _walk(self.lines, self.at, self.value, offset)
        return Position(path=self.at.path, line=line + 1, column=column + 1)

    def describe(self) -> str:
        """Say what this is, for a message: ``a list``, ``'5m'``, ``true``."""
        if self.kind != "scalar":
            return f"a {self.kind}"
        if self.value is None:
            return "null" if self.written else "nothing"
        if isinstance(self.value, bool):
            return str(self.value).lower()
        shown = repr(self.value)
        return shown if len(shown) <= 60 else "a long text"


def from_json(value: JSON) -> Node:
    """Return the tree of a JSON value, without places.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    return _from_json(value, 0)


def _from_json(value: JSON, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
    at = Position()
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("a key is not text")
        entries = [
            (Node(kind="scalar", at=at, value=key), _from_json(inner, depth + 1))
            for key, inner in value.items()
        ]
        return Node(kind="map", at=at, entries=entries)
    if isinstance(value, list | tuple):
        return Node(kind="list", at=at, items=[_from_json(inner, depth + 1) for inner in value])
    if value is not None and not isinstance(value, str | int | float):
        raise ValueError(f"{type(value).__name__} is no JSON value")
    return Node(kind="scalar", at=at, value=value)


def _walk(lines: list[str], at: Position, value: str, offset: int) -> tuple[int, int]:
    """Return line and column, from 0, of the character of a scalar that starts at `at`."""
    line, column = at.line - 1, at.column - 1
    column += _before_text(lines[line][column:] if line < len(lines) else "")
    text = lines[line] if line < len(lines) else ""
    if text[column : column + 1] in ("|", ">"):
        line, column = line + 1, 0
    escapes = text[column : column + 1] == '"'
    wanted = [char for char in value[:offset] if not char.isspace()]
    position = 0
    while line < len(lines):
        text = lines[line]
        while column < len(text):
            if escapes and text[column] == "\\" and column + 1 < len(text):
                position += position < len(wanted) and text[column + 1] in ('"', "\\", "/") and 1
                column += 2
                continue
            if position == len(wanted):
                if offset >= len(value) or value[offset].isspace() or text[column] == value[offset]:
                    return line, column
            elif text[column] == wanted[position]:
                position += 1
            column += 1
        if position == len(wanted) and offset >= len(value):
            return line, len(text)
        line, column = line + 1, 0
    return at.line - 1, at.column - 1


def _before_text(text: str) -> int:
    """Return how many characters of anchors and tags stand before a scalar."""
    skipped = 0
    while text[skipped : skipped + 1] in ("&", "!") and " " in text[skipped:]:
        skipped = text.index(" ", skipped)
        skipped += len(text[skipped:]) - len(text[skipped:].lstrip())
    return skipped
