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
from dramaturg.engine.language.actions import default_format, read_action
from dramaturg.engine.language.fields import Draft
from dramaturg.engine.language.model import (
    ActionDef,
    ItemsDef,
    Position,
    RetryDef,
    TaskDef,
    TransitionDef,
    WorkflowDef,
)
from dramaturg.engine.language.report import Report
from dramaturg.engine.language.source import Node, from_json
from dramaturg.engine.language.workflows import read_workflow

#: Fields of the model that are written otherwise than by their name and value.
_TASK_SPECIAL = frozenset({"name", "with_items", "retry", "next", "tasks", "chart_meta"})
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
        document["retry"] = _retry(action.retry)
    if action.output_format != default_format(action.runtime):
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
        document["retry"] = _retry(task.retry)
    if task.tasks:
        document["tasks"] = [_task(member) for member in task.tasks]
    if task.next:
        document["next"] = [_transition(transition) for transition in task.next]
    if task.chart_meta is not None:
        document["__chart_meta__"] = task.chart_meta
    return document


def _retry(retry: RetryDef) -> dict[str, JSON]:
    # A policy names its count, even where that is 0.
    return {"count": retry.count, **_changed(retry)}


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


def workflow_from_json(data: Mapping[str, JSON]) -> WorkflowDef:
    """Read the stored form of a workflow.

    Raises:
        DefinitionError: it is none.
    """
    draft = Draft(report=Report())
    node = _document(data, "workflow", draft.report)
    source = read_workflow(node, draft, None, check=False)
    draft.report.raise_if_failed()
    return source.definition


def action_from_json(data: Mapping[str, JSON]) -> ActionDef:
    """Read the stored form of an action.

    Raises:
        DefinitionError: it is none.
    """
    draft = Draft(report=Report())
    action = read_action(_document(data, "action", draft.report), draft, None, check=False)
    draft.report.raise_if_failed()
    return action


def _document(data: Mapping[str, JSON], kind: str, report: Report) -> Node:
    if data.get("kind") != kind:
        report.error("definition.kind", f"the stored definition is no {kind}", Position())
    try:
        return from_json({key: value for key, value in data.items() if key != "kind"})
    except ValueError as error:
        report.error("definition.type", str(error), Position())
        return from_json({})
