"""`next`: conditions, publishes and targets of a task's transitions (LANGUAGE 4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dramaturg.engine.errors import JSON
from dramaturg.engine.language.fields import Draft, Fields
from dramaturg.engine.language.model import Position, TransitionDef
from dramaturg.engine.language.source import Node

#: Names of tasks and of variables.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
LONGEST_NAME = 255

RESULT = "{{ result() }}"
NOWHERE = Position()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A name that a transition leads to, and where it is written."""

    name: str
    at: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A transition as it was read, with the places that later checks need."""

    definition: TransitionDef
    targets: tuple[Target, ...] = ()
    #: (variable, where it is published).
    published: tuple[tuple[str, Position], ...] = ()
    at: Position = NOWHERE


def read_next(node: Node, draft: Draft, place: str) -> list[Step]:
    """Read the list of a task's transitions; `place` is ``tasks.x.next``."""
    if node.kind != "list":
        draft.wrong(node, place, "a list of transitions is expected", "each begins with `- when:` or `- do:`")
        return []
    return [_transition(item, draft, f"{place}[{index}]") for index, item in enumerate(node.items)]


def _transition(node: Node, draft: Draft, place: str) -> Step:
    fields = Fields(node, draft, place, "a transition")
    when = fields.condition("when", ("outcome", 0))
    publish = fields.take("publish")
    published = read_publish(publish, draft, f"{place}.publish") if publish is not None else []
    do = fields.take("do")
    targets = read_targets(do, draft, f"{place}.do") if do is not None else ()
    fields.finish()
    return Step(
        definition=TransitionDef(
            when=when,
            publish=tuple((name, value) for name, value, _ in published),
            do=tuple(target.name for target in targets),
        ),
        targets=targets,
        published=tuple((name, at) for name, _, at in published),
        at=node.at,
    )


def read_publish(node: Node, draft: Draft, place: str) -> list[tuple[str, JSON, Position]]:
    """Read what is published, in order: a map, or a list of maps and of bare names."""
    if node.kind == "map":
        return _published(node, draft, place)
    if node.kind != "list":
        draft.wrong(node, place, "a map, or a list of maps and names, is expected")
        return []
    found: list[tuple[str, JSON, Position]] = []
    for index, item in enumerate(node.items):
        if item.kind == "map":
            found += _published(item, draft, place)
        elif not isinstance(item.value, str):
            draft.wrong(item, f"{place}[{index}]", "a map or the name of a variable is expected")
        elif check_variable(item, draft):
            found.append((item.value, RESULT, item.at))
    return found


def _published(node: Node, draft: Draft, place: str) -> list[tuple[str, JSON, Position]]:
    return [
        (key.value, draft.value(value, f"{place}.{key.value}", ("outcome", 0)), key.at)
        for key, value in node.entries
        if check_variable(key, draft)
    ]


def check_variable(node: Node, draft: Draft) -> bool:
    """Report a name that no variable can have."""
    if isinstance(node.value, str) and NAME.fullmatch(node.value) and len(node.value) <= LONGEST_NAME:
        return True
    message = (
        f"a variable's name is letters, digits, _ and -, and begins with no digit, not {node.describe()}"
    )
    draft.report.error("workflow.variable_name", message, node.at)
    return False


def read_targets(node: Node, draft: Draft, place: str) -> tuple[Target, ...]:
    """Read the targets of a transition, each once: a name, a list of names, or "a, b"."""
    found = read_names(node, draft, place)
    _check_targets(found, draft, place)
    return tuple({target.name: target for target in reversed(found)}.values())[::-1]


def read_names(node: Node, draft: Draft, place: str) -> list[Target]:
    """Read a name, a list of names, or "a, b"."""
    if isinstance(node.value, str) and node.value.strip():
        return [Target(name=name, at=node.within(offset)) for name, offset in _split(node.value)]
    if node.kind != "list":
        draft.wrong(node, place, "the name of a task or command, or a list of names, is expected")
        return []
    for index, item in enumerate(node.items):
        if not isinstance(item.value, str):
            draft.wrong(item, f"{place}[{index}]", "the name of a task or command is expected")
    return [Target(name=item.value, at=item.at) for item in node.items if isinstance(item.value, str)]


def _split(text: str) -> list[tuple[str, int]]:
    """Return the names in "a, b", with their offsets."""
    found, start = [], 0
    for part in text.split(","):
        found.append((part.strip(), start + len(part) - len(part.lstrip())))
        start += len(part) + 1
    return found


def _check_targets(targets: Sequence[Target], draft: Draft, place: str) -> None:
    seen: set[str] = set()
    for target in targets:
        if target.name in seen:
            message = f"{place}: '{target.name}' is here twice"
            draft.report.error(
                "workflow.target_twice", message, target.at, "one transition starts a task once"
            )
        if target.name == "succeed" and len(targets) > 1:
            message = f"{place}: `succeed` must stand alone: it drops the other targets"
            draft.report.error("workflow.succeed_alone", message, target.at)
        seen.add(target.name)
