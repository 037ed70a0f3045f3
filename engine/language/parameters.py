"""`parameters:` and `output:` of an action or a workflow, read and checked (LANGUAGE 2)."""

from __future__ import annotations

from dramaturg.engine.errors import JSON
from dramaturg.engine.language.fields import Fields
from dramaturg.engine.language.schema import findings
from dramaturg.engine.language.source import Node
from dramaturg.engine.language.transitions import LONGEST_NAME, NAME


def read_declaration(fields: Fields, key: str) -> dict[str, JSON] | None:
    """Read a map of names to schemas; None if it is left out."""
    node = fields.mapping(key)
    if node is None:
        return None
    place = fields.at(key)
    report = fields.draft.report
    for name, _ in node.entries:
        if not NAME.fullmatch(str(name.value)) or len(str(name.value)) > LONGEST_NAME:
            message = f"{place}: '{str(name.value)[:60]}' can't be a name: letters, digits, _ and -, no digit or - first"
            report.error("parameters.name", message, name.at)
    declared: dict[str, JSON] = node.plain()
    hint = _whole_schema(declared)
    found = list(findings(declared))
    for path, sentence in found:
        where = ".".join([place, *(str(part) for part in path)])
        report.error("parameters.schema", f"{where}: {sentence}", _find(node, path).at, hint)
    return None if found else declared


def _whole_schema(declared: dict[str, JSON]) -> str:
    """Return a hint for somebody who wrote one schema for all."""
    whole = isinstance(declared.get("type"), str) and isinstance(declared.get("properties"), dict)
    return "each key here is the name of a parameter; write what is under `properties`" if whole else ""


def _find(node: Node, path: tuple[str | int, ...]) -> Node:
    """Return the key that a path leads to, or the last part of it that is there."""
    found = node
    for part in path:
        if isinstance(part, int):
            if part >= len(node.items):
                break
            found = node = node.items[part]
        else:
            value = node.get(part)
            if value is None:
                break
            found, node = node.key(part), value
    return found
