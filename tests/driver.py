"""Programs from YAML and rehearsed runs of them, for tests of the interpreter.

The YAML is a workflow as an author writes it; only what every test would repeat may be left out: the ref, and the action
of a task that does something.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

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
from dramaturg.engine.language.parser import digest_of, parse_workflow, workflow_to_json
from dramaturg.engine.language.program import Program, compile_workflow
from dramaturg.engine.language.report import Report
from dramaturg.engine.language.yamltree import read

#: What a task does that says nothing of it.
ACTION = "pack.work"


@lru_cache(maxsize=1024)
def program(text: str, ref: str = "pack.flow") -> Program:
    """Parse and compile a workflow written in YAML.

    A task without a `type` does `ACTION`, unless it says what; `action: null` is a task that does nothing.

    Raises:
        DefinitionError: the workflow is not sound.
    """
    node = read(text, "test.yaml", Report())
    assert node is not None, text
    document = node.plain()
    document["tasks"] = _tasks(document["tasks"])
    workflow = parse_workflow(json.dumps({"ref": ref, **document}), "test.yaml")
    return compile_workflow(workflow, digest_of(workflow_to_json(workflow)))


def _tasks(tasks: dict[str, Any]) -> dict[str, Any]:
    """Return tasks with what may be left out, in them and in those inside."""
    found = {}
    for name, given in tasks.items():
        task = {**({} if "type" in (given or {}) else {"action": ACTION}), **(given or {})}
        if task.get("action", ACTION) is None:
            del task["action"]
        if "tasks" in task:
            task["tasks"] = _tasks(task["tasks"])
        found[name] = task
    return found


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
