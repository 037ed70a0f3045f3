"""Programs from YAML and rehearsed runs of them, for tests of the interpreter.

The YAML is what LANGUAGE.md says, in its plainest spelling; it goes to the compiler without the parser, so that what the
parser does not accept yet can be rehearsed too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import yaml

from dramaturg.engine.interpreter.rehearsal import (
    Answer,
    Choice,
    Memory,
    Rehearsal,
    Script,
    first,
    scripted,
    workers,
)
from dramaturg.engine.interpreter.state import ActionInfo
from dramaturg.engine.language.model import ItemsDef, RetryDef, TaskDef, TransitionDef, WorkflowDef
from dramaturg.engine.language.program import Program, compile_workflow

#: What a task does that says nothing of it.
ACTION = "pack.work"


def program(text: str, ref: str = "pack.flow") -> Program:
    """Compile a workflow written in YAML."""
    data = yaml.safe_load(text)
    data["tasks"] = {name: _task(name, task or {}) for name, task in data["tasks"].items()}
    for name in ("vars", "output_map"):
        data[name] = tuple((data.get(name) or {}).items())
    data["start"] = tuple(data.get("start", ()))
    data["max_visits"] = data.pop("limits", {}).get("visits", 10_000)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return compile_workflow(WorkflowDef(ref=ref, **data), digest)


def _task(name: str, data: dict[str, Any]) -> TaskDef:
    given = {"action": ACTION, **data}
    items = {one.name for one in fields(ItemsDef)} - {"items", "names"}
    if "with_items" in given:
        more = {key: given.pop(key) for key in items & given.keys()}
        given["with_items"] = _items(given["with_items"], more)
    if "retry" in given:
        retry = {**given["retry"], "non_retryable": tuple(given["retry"].get("non_retryable", ()))}
        given["retry"] = RetryDef(**retry)
    given["next"] = tuple(_transition(one) for one in given.get("next", ()))
    return TaskDef(name=name, **given)


def _items(given: Any, more: dict[str, Any]) -> ItemsDef:
    names, separator, rest = given.partition(" in ") if isinstance(given, str) else ("", "", given)
    if separator and "{" not in names:
        return ItemsDef(items=rest, names=tuple(name.strip() for name in names.split(",")), **more)
    return ItemsDef(items=given, **more)


def _transition(data: dict[str, Any]) -> TransitionDef:
    publish: list[tuple[str, Any]] = []
    for one in data.get("publish", ()):
        publish += [(one, "{{ result() }}")] if isinstance(one, str) else one.items()
    do = data.get("do", ())
    return TransitionDef(
        when=data.get("when"), publish=tuple(publish), do=(do,) if isinstance(do, str) else tuple(do)
    )


def rehearse(
    text: str | Program,
    answers: Mapping[str, Answer | Sequence[Answer] | Script] | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    actions: Callable[[str], ActionInfo | None] | None = None,
    choose: Choice = first,
    batch: int = 1,
    checked: bool = True,
    preload: bool = True,
    **more: Any,
) -> Rehearsal:
    """Return a run that is ready to be played; after each advance its history is compared with its tables."""
    compiled = program(text) if isinstance(text, str) else text
    memory = Memory(
        compiled, actions=actions or workers(), parameters=parameters, config=config, preload=preload
    )
    return Rehearsal(memory, scripted(answers or {}), choose=choose, batch=batch, checked=checked, **more)


def play(text: str | Program, answers: Any = None, **more: Any) -> Memory:
    """Play a run to its end, and return it."""
    return rehearse(text, answers, **more).play()


def ends(memory: Memory) -> list[tuple[str, int, str]]:
    """Return (task, visit, status) of every visit that ended, in order."""
    return [(str(e.task), e.visit or 0, str(e.status)) for e in memory.events("task_completed")]


def outcome(memory: Memory) -> tuple[str, str | None]:
    """Return the run's status and the type of its error."""
    assert memory.end is not None
    return memory.end.status, memory.end.error.type if memory.end.error else None
