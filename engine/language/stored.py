"""Definitions as a revision stores them: JSON that `parser.py` reads again, and its digest.

The document is written in the language itself, normalised: only what differs from the defaults, durations as
seconds, legacy keys rewritten. What has an order is a list, because the keys of a stored map may be sorted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import orjson

from dramaturg.engine.errors import JSON
from dramaturg.engine.language.model import (
    ActionDef,
    ItemsDef,
    TaskDef,
    TransitionDef,
    WorkflowDef,
)

#: Fields of the model that are written otherwise than by their name and value.
_TASK_SPECIAL = frozenset({"name", "with_items", "retry", "next", "chart_meta"})
_WORKFLOW_SPECIAL = frozenset({"vars", "tasks", "output_map", "max_visits"})


def workflow_to_json(workflow: WorkflowDef) -> dict[str, JSON]:
    """Return the stored form of a workflow."""
    document: dict[str, JSON] = {"kind": "workflow", **_changed(workflow, _WORKFLOW_SPECIAL)}
    if workflow.vars:
        document["vars"] = _pairs(workflow.vars)
    document["tasks"] = [_task(task) for task in workflow.tasks.values()]
    if workflow.output_map:
        document["output_map"] = _pairs(workflow.output_map)
    if workflow.max_visits != _default(WorkflowDef, "max_visits"):
        document["limits"] = {"visits": workflow.max_visits}
    return document


def action_to_json(action: ActionDef) -> dict[str, JSON]:
    """Return the stored form of an action."""
    document: dict[str, JSON] = {"kind": "action", **_changed(action, frozenset({"retry", "output_format"}))}
    if action.retry is not None:
        document["retry"] = _changed(action.retry)
    # Always written: its default depends on the runtime.
    document["output_format"] = action.output_format
    return document


def digest_of(document: Mapping[str, JSON]) -> str:
    """Return the revision of a stored form: hex SHA-256 of its canonical JSON (keys sorted, compact)."""
    return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _task(task: TaskDef) -> dict[str, JSON]:
    document: dict[str, JSON] = {"name": task.name, **_changed(task, _TASK_SPECIAL)}
    if task.with_items is not None:
        document |= _items(task.with_items)
    if task.retry is not None:
        document["retry"] = _changed(task.retry)
    if task.next:
        document["next"] = [_transition(transition) for transition in task.next]
    if task.chart_meta is not None:
        document["__chart_meta__"] = task.chart_meta
    return document


def _items(items: ItemsDef) -> dict[str, JSON]:
    written = f"{', '.join(items.names)} in {items.items}" if items.names else items.items
    return {"with_items": written, **_changed(items, frozenset({"items", "names"}))}


def _transition(transition: TransitionDef) -> dict[str, JSON]:
    document = _changed(transition, frozenset({"publish"}))
    if transition.publish:
        document["publish"] = _pairs(transition.publish)
    return document


def _pairs(pairs: Iterable[tuple[str, JSON]]) -> list[JSON]:
    return [{name: value} for name, value in pairs]


def _changed(thing: Any, without: frozenset[str] = frozenset()) -> dict[str, JSON]:
    """Return the fields that differ from their defaults, tuples as lists."""
    found = {}
    for field in fields(thing):
        value = getattr(thing, field.name)
        if field.name in without or value == _default(type(thing), field.name):
            continue
        found[field.name] = list(value) if isinstance(value, tuple) else value
    return found


def _default(kind: Any, name: str) -> JSON:
    field = kind.__dataclass_fields__[name]
    return field.default_factory() if callable(field.default_factory) else field.default
