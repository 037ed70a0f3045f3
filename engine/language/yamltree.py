"""YAML text to a tree of nodes with places, event by event.

Nothing here recurses: the depth of a document costs no stack, and reading stops at the first bound that is passed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from dramaturg.engine.errors import JSON
from dramaturg.engine.language.model import Position
from dramaturg.engine.language.report import Report
from dramaturg.engine.language.source import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_EXPANDED,
    NO_NUMBER,
    NO_TEXT,
    Node,
    is_number,
    is_text,
)

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# YAML 1.2.2, 10.3.2: tag resolution of the core schema.
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

_CORE = "tag:yaml.org,2002:"
#: Longest number that is converted: no 64-bit integer has more digits, whatever its base.
_DIGITS = 80


class _Stop(Exception):
    """The text can't be read on; the problem is in the report."""


def read(text: str | bytes, path: str, report: Report) -> Node | None:
    """Return the one document of a YAML text; None, and a problem, if there is none.

    Duplicate keys and scalars that are refused are reported, and reading goes on.
    """
    decoded = _decoded(text, path, report)
    if decoded is None:
        return None
    tree = _Tree(path, decoded, report)
    try:
        return tree.read()
    except _Stop:
        return None


def _decoded(text: str | bytes, path: str, report: Report) -> str | None:
    start = Position(path=path, line=1, column=1)
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if len(data) > MAX_BYTES:
        report.error("yaml.too_large", f"the file has more than {MAX_BYTES} bytes", start)
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        at = Position(path=path, line=line, column=column)
        report.error("yaml.encoding", "the file is not UTF-8", at, "save it as UTF-8")
        return None


@dataclass(slots=True)
class _Open:
    """A map or list that has not ended yet."""

    node: Node
    anchor: str | None
    keys: dict[str, Node] = field(default_factory=dict)
    #: Of a map: the key that waits for its value; None where it was refused.
    key: Node | None = None
    has_key: bool = False


class _Tree:
    def __init__(self, path: str, text: str, report: Report) -> None:
        self._path = path
        self._text = text
        self._lines = text.splitlines()
        self._report = report
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._expanded = 0
        self._root: Node | None = None

    def read(self) -> Node:
        documents = 0
        for event in self._events():
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._stop("yaml.documents", "a second document starts here; a file holds one", event)
            elif isinstance(event, yaml.NodeEvent):
                self._node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close()
        if self._root is None:
            self._report.error("yaml.empty", "the file is empty", Position(path=self._path, line=1, column=1))
            raise _Stop
        return self._root

    def _events(self) -> Iterator[Any]:
        loader = _LOADER(self._text)
        try:
            while loader.check_event():
                yield loader.get_event()
        except yaml.MarkedYAMLError as error:
            self._syntax(error)
        except yaml.reader.ReaderError as error:
            before = self._text[: error.position]
            at = Position(
                path=self._path, line=before.count("\n") + 1, column=len(before) - before.rfind("\n")
            )
            self._report.error("yaml.character", f"a character that YAML does not allow: {error.reason}", at)
            raise _Stop from None
        finally:
            loader.dispose()

    def _syntax(self, error: yaml.MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        if line >= len(self._lines):
            line, column = max(len(self._lines) - 1, 0), len(self._lines[-1]) if self._lines else 0
        at = Position(path=self._path, line=line + 1, column=column + 1)
        text = self._lines[line] if self._lines else ""
        indentation = text[: len(text) - len(text.lstrip())]
        if "\t" in indentation and column <= len(indentation):
            self._report.error("yaml.tab", "a tab can't indent YAML", at, "use spaces")
            raise _Stop from None
        context = f" {error.context}" if error.context else ""
        hint = _hint(text[column:], str(error.problem))
        self._report.error("yaml.syntax", f"YAML can't be read:{context} {error.problem}".strip(), at, hint)
        raise _Stop from None

    def _at(self, event: Any) -> Position:
        mark = event.start_mark
        return Position(path=self._path, line=mark.line + 1, column=mark.column + 1)

    def _stop(self, code: str, message: str, event: Any, hint: str = "") -> None:
        self._report.error(code, message, self._at(event), hint)
        raise _Stop

    def _node(self, event: Any) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._add(self._alias(event))
        elif isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
            if event.anchor:
                self._anchors[event.anchor] = node
            self._add(node)
        else:
            kind = "map" if isinstance(event, yaml.MappingStartEvent) else "list"
            self._tag(event, kind)
            if len(self._stack) >= MAX_DEPTH:
                self._stop("yaml.too_deep", f"nested more than {MAX_DEPTH} levels deep", event)
            node = Node(kind="map" if kind == "map" else "list", at=self._at(event), lines=self._lines)
            self._stack.append(_Open(node, event.anchor))

    def _alias(self, event: Any) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            inside = any(open_.anchor == event.anchor for open_ in self._stack)
            what = "contains itself" if inside else "is not defined"
            self._stop("yaml.alias", f"*{event.anchor} {what}", event)
            raise _Stop
        self._expanded += node.size
        if self._expanded > MAX_EXPANDED:
            self._stop("yaml.aliases", f"aliases stand for more than {MAX_EXPANDED} nodes", event)
        if len(self._stack) + node.depth > MAX_DEPTH:
            self._stop("yaml.too_deep", f"nested more than {MAX_DEPTH} levels deep", event)
        return node

    def _close(self) -> None:
        open_ = self._stack.pop()
        if open_.anchor:
            self._anchors[open_.anchor] = open_.node
        self._add(open_.node)

    def _add(self, node: Node) -> None:
        if not self._stack:
            self._root = node
            return
        open_ = self._stack[-1]
        parent = open_.node
        if parent.kind == "map" and not open_.has_key:
            open_.key, open_.has_key = self._key(node, open_.keys), True
            return
        parent.size += node.size
        parent.depth = max(parent.depth, node.depth + 1)
        if parent.kind == "list":
            parent.items.append(node)
        elif open_.key is not None:
            parent.entries.append((open_.key, node))
        open_.key, open_.has_key = None, False

    def _key(self, node: Node, known: dict[str, Node]) -> Node | None:
        """Return the key if it is one that can be kept."""
        if node.kind != "scalar":
            hint = 'a template needs quotes: "{{ ... }}"' if node.kind == "map" else ""
            self._report.error("yaml.key", f"a key must be text, not a {node.kind}", node.at, hint)
        elif not isinstance(node.value, str):
            message = f"a key must be text, not {node.describe()}"
            self._report.error("yaml.key", message, node.at, f"write '{node.written}' in quotes")
        elif node.value == "<<" and node.written == "<<":
            message = "merge keys are not part of YAML 1.2 and are not supported"
            self._report.error("yaml.merge_key", message, node.at, "write the keys out")
        elif node.value in known:
            first = known[node.value].at.line
            message = f"the key '{node.value}' is here twice; the first one is in line {first}"
            self._report.error("yaml.duplicate_key", message, node.at)
        else:
            known[node.value] = node
            return node
        return None

    def _scalar(self, event: Any) -> Node:
        node = Node(kind="scalar", at=self._at(event), written=event.value, lines=self._lines)
        tag = self._tag(event, "scalar")
        if tag == "str" or not (event.implicit[0] or tag):
            node.value = self._clean(event.value, node.at)
        else:
            node.value = self._resolved(event.value, node.at)
            if tag and not _fits(tag, node.value):
                self._report.error("yaml.tag", f"'{event.value}' is no {tag}", node.at)
        return node

    def _tag(self, event: Any, kind: str) -> str | None:
        """Return the core tag that was written, if any."""
        tag = event.tag
        if tag is None:
            return None
        if tag == "!":
            return "str" if kind == "scalar" else None
        allowed = {"map": ("map",), "list": ("seq",)}.get(kind, ("str", "int", "float", "bool", "null"))
        name = str(tag).removeprefix(_CORE)
        if tag.startswith(_CORE) and name in allowed:
            return name
        self._report.error(
            "yaml.tag", f"the tag '{tag}' is not supported here", self._at(event), "leave it out"
        )
        return None

    def _clean(self, text: str, at: Position) -> str:
        if not is_text(text):
            self._report.error("yaml.character", NO_TEXT, at)
            return ""
        return text

    def _resolved(self, text: str, at: Position) -> JSON:
        """Return the value of a plain scalar."""
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        number = _number(text)
        if number is not None and not is_number(number):
            hint = "put quotes around it if text is meant"
            self._report.error("yaml.number", NO_NUMBER, at, hint)
            return 0
        return self._clean(text, at) if number is None else number


def _number(text: str) -> int | float | None:
    """Return the number that a plain scalar is; infinity for one that is too long; None if it is text."""
    if _NOT_FINITE.fullmatch(text):
        return math.inf
    if _INT.fullmatch(text):
        return int(text) if len(text) <= _DIGITS else math.inf
    if _BASED.fullmatch(text):
        return int(text, 0) if len(text) <= _DIGITS else math.inf
    return float(text) if _FLOAT.fullmatch(text) else None


def _fits(tag: str, value: JSON) -> bool:
    if tag == "float":
        return isinstance(value, float | int) and not isinstance(value, bool)
    if tag == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    return value is None if tag == "null" else isinstance(value, bool)


def _hint(rest: str, problem: str) -> str:
    if rest.startswith(("@", "`", "%")):
        return f"a text that starts with {rest[0]} needs quotes"
    if "mapping values are not allowed" in problem:
        return "a text that holds ': ' needs quotes; otherwise look at the indentation"
    if rest[:1] == "\t":
        return "use spaces"
    return ""
