"""A definition's file as a tree whose every part knows where it stands.

YAML is read by the core schema of YAML 1.2: `yes`, `on` and dates are text, numbers are decimal, `010` is ten. What
would surprise is refused: duplicate keys, keys that are not text, merge keys, tags of one's own, nan and infinity.
The reading is bounded: bytes, depth, and what aliases may expand to. JSON gives the same tree, without places.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from dramaturg.engine.errors import JSON
from dramaturg.engine.language.model import Position

_NO_TEXT = re.compile("[\0\ud800-\udfff]")

Kind = Literal["map", "list", "scalar"]

#: A file larger than this is not read.
MAX_BYTES = 1024 * 1024
#: Levels of maps and lists; the same bound as for results (LANGUAGE 2).
MAX_DEPTH = 100
#: The same for the stored form, where a task's older key `publish` has become an entry of `next`.
MAX_STORED_DEPTH = MAX_DEPTH + 4
#: Characters of a text that are walked to find a place in it; beyond, the text's own place must do.
MAX_WALK = 20_000
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
        if not self.lines or not isinstance(self.value, str) or offset > MAX_WALK:
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


#: What is said of a number or a text that can't be stored.
NO_NUMBER = "a number must be finite, and a whole one must fit into 64 bits"
NO_TEXT = "a text must not hold NUL or half of a surrogate pair"


def is_number(value: float) -> bool:
    """Say whether a number can be stored everywhere (LANGUAGE 2)."""
    return -(2**63) <= value < 2**63 if isinstance(value, int) else math.isfinite(value)


def is_text(value: str) -> bool:
    """Say whether a text can be stored everywhere (LANGUAGE 2)."""
    return (value.isascii() and "\0" not in value) or not _NO_TEXT.search(value)


def from_json(value: JSON) -> Node:
    """Return the tree of a JSON value, without places.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    return _from_json(value, 0)


def _from_json(value: JSON, depth: int) -> Node:
    if depth > MAX_STORED_DEPTH:
        raise ValueError(f"nested more than {MAX_STORED_DEPTH} levels deep")
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
    if isinstance(value, int | float) and not is_number(value):
        raise ValueError(NO_NUMBER)
    if isinstance(value, str) and not is_text(value):
        raise ValueError(NO_TEXT)
    return Node(kind="scalar", at=at, value=value)


def _walk(lines: list[str], at: Position, value: str, offset: int) -> tuple[int, int]:
    """Return line and column, from 0, of the character of a scalar that starts at `at`."""
    wanted = sum(not char.isspace() for char in value[:offset])
    visible = offset < len(value) and not value[offset].isspace()
    before: tuple[int, int] | None = None
    for number, place in enumerate(_visible(lines, at)):
        if number == wanted and (visible or before is None):
            return place
        if number == wanted:
            break
        before = place
    return (before[0], before[1] + 1) if before is not None else (at.line - 1, at.column - 1)


def _visible(lines: list[str], at: Position) -> Iterator[tuple[int, int]]:
    """Give line and column, from 0, of each character that is no space, as it is written from a place on."""
    line, column = at.line - 1, at.column - 1
    column += _before_text(lines[line][column:])
    style = lines[line][column : column + 1]
    if style in ("|", ">"):
        line, column = line + 1, 0
    elif style in ("'", '"'):
        column += 1
    while line < len(lines):
        text = lines[line]
        while column < len(text):
            length, char = _character(text, column, style)
            if not char.isspace():
                yield line, column
            column += length
        line, column = line + 1, 0


def _character(text: str, column: int, style: str) -> tuple[int, str]:
    """Return how many characters stand for the one at a column of a line, and that one."""
    pair = text[column : column + 2]
    if style == "'" and pair == "''":
        return 2, "'"
    if style != '"' or pair[0] != "\\":
        return 1, pair[0]
    digits = _ESCAPES.get(pair[1:])
    if digits is None:
        # What is left is a sign itself, or stands for some space; \\a, \\b, \\e for what nobody writes.
        return len(pair), " " if pair[1:] in _SPACES else pair[-1]
    code = text[column + 2 : column + 2 + digits]
    return 2 + digits, chr(int(code, 16))


#: Escapes of double-quoted text: how many digits follow; and those that stand for space (YAML 1.2.2, 5.7).
_ESCAPES = {"x": 2, "u": 4, "U": 8}
_SPACES = ("", " ", "\t", "n", "t", "r", "v", "f", "N", "_", "L", "P")


def _before_text(text: str) -> int:
    """Return how many characters of anchors and tags stand before a scalar."""
    skipped = 0
    while text[skipped : skipped + 1] in ("&", "!") and " " in text[skipped:]:
        skipped = text.index(" ", skipped)
        skipped += len(text[skipped:]) - len(text[skipped:].lstrip())
    return skipped
