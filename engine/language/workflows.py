"""One workflow, read from its node, or from two: an action's file and its graph (LANGUAGE 3)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from dramaturg.engine.errors import JSON
from dramaturg.engine.language.actions import RUNTIME_KEYS, Metadata, read_metadata, refuse_runtime
from dramaturg.engine.language.checks import Shape, check_shape
from dramaturg.engine.language.fields import Draft, Fields, NamesOf
from dramaturg.engine.language.inspect import check_expressions
from dramaturg.engine.language.model import WorkflowDef
from dramaturg.engine.language.source import Node
from dramaturg.engine.language.tasks import TaskSource, read_tasks
from dramaturg.engine.language.transitions import Target, check_variable, read_names

METADATA_KEYS = ("ref", "label", "description", "parameters", "output", "tags", "enabled")
GRAPH_KEYS = frozenset({"version", "vars", "tasks", "output_map", "start", "cancellation_policy"})
GRAPH_KEYS |= {"unhandled_failure", "limits"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowSource:
    """A workflow as it was read, with the places that later checks need."""

    definition: WorkflowDef
    tasks: dict[str, TaskSource]


def read_workflow(
    node: Node,
    draft: Draft,
    ref: str | None,
    *,
    config: Collection[str] | None = None,
    check: bool = True,
) -> WorkflowSource:
    """Read a workflow in one file: metadata and graph together.

    Args:
        ref: what the file's place says; None: it says nothing, and `ref` must be written.
        config: names of the pack's configuration; None: not known here.
        check: whether expressions, and whether the parts fit together, are checked, too.
    """
    fields = Fields(node, draft, "", "a workflow")
    metadata = read_metadata(fields, ref)
    fields.refuse(
        ("workflow_file",), "definition.no_effect", "`workflow_file` belongs into actions/<name>.yaml"
    )
    message = "`{key}` is for actions: a workflow has no runtime, its tasks have"
    fields.refuse([*RUNTIME_KEYS, "retry", "queue"], "definition.no_effect", message)
    return _graph(fields, metadata, draft, config, check)


def read_companion(
    action: Node, graph: Node, draft: Draft, ref: str | None, *, config: Collection[str] | None = None
) -> WorkflowSource:
    """Read a workflow in two files: the action's, and the graph that its `workflow_file` names."""
    fields = Fields(action, draft, "", "the action of a workflow")
    fields.take("workflow_file")
    metadata = read_metadata(fields, ref)
    refuse_runtime(fields)
    message = "`{key}` belongs into the file of the graph"
    fields.refuse(sorted(GRAPH_KEYS), "workflow.wrong_file", message)
    fields.finish()
    inner = Fields(graph, draft, "", "the graph of a workflow")
    message = "`{key}` belongs into the action's file, which names this one"
    inner.refuse(METADATA_KEYS, "workflow.wrong_file", message)
    return _graph(inner, metadata, draft, config, True)


def _graph(
    fields: Fields, metadata: Metadata, draft: Draft, config: Collection[str] | None, check: bool
) -> WorkflowSource:
    tasks = _tasks(fields, draft)
    start = _start(fields, draft)
    values: dict[str, Any] = {
        "version": fields.version(),
        "vars": _pairs(fields, draft, "vars", lambda index: ("initial", index), check_variable),
        "output_map": _pairs(fields, draft, "output_map", lambda index: ("output", index), _output_name),
        "timeout": fields.duration("timeout", ("run", 0)),
        "cancellation_policy": fields.choice(
            "cancellation_policy", ("allow_finish", "cancel_running"), "allow_finish"
        ),
        "unhandled_failure": fields.choice("unhandled_failure", ("end", "wait"), "end"),
        "max_visits": _limits(fields, draft),
    }
    fields.finish()
    definition = WorkflowDef(
        ref=metadata.ref,
        label=metadata.label,
        description=metadata.description,
        parameters=metadata.parameters,
        output=metadata.output,
        tags=metadata.tags,
        enabled=metadata.enabled,
        tasks={name: task.definition for name, task in tasks.items()},
        start=tuple(target.name for target in start),
        **values,
    )
    if check:
        at = fields.node.key("tasks").at
        # Tasks that can't be read have been reported; what is left says nothing about the whole.
        if tasks or _is_empty(fields.take("tasks")):
            check_shape(Shape(workflow=definition, tasks=tasks, start=start, at=at), draft.report)
        check_expressions(definition, draft, config)
    return WorkflowSource(definition=definition, tasks=tasks)


def _tasks(fields: Fields, draft: Draft) -> dict[str, TaskSource]:
    node = fields.take("tasks")
    if node is None:
        fields.missing("`tasks` is missing")
        return {}
    return read_tasks(node, draft, "tasks")


def _is_empty(node: Node | None) -> bool:
    return node is not None and node.kind != "scalar" and not node.items and not node.entries


def _start(fields: Fields, draft: Draft) -> tuple[Target, ...]:
    node = fields.take("start")
    if node is None:
        return ()
    found = read_names(node, draft, "start")
    seen: dict[str, Target] = {}
    for target in found:
        if target.name in seen:
            draft.report.error("definition.twice", f"start: '{target.name}' is here twice", target.at)
        seen.setdefault(target.name, target)
    if node.kind == "list" and not node.items:
        draft.wrong(node, "start", "the names of the first tasks are expected")
    return tuple(seen.values())


def _limits(fields: Fields, draft: Draft) -> int:
    default = WorkflowDef(ref="").max_visits
    node = fields.mapping("limits")
    if node is None:
        return default
    inner = Fields(node, draft, "limits", "`limits`")
    visits = inner.number("visits", None, whole=True, least=1)
    inner.finish()
    return default if visits is None else int(visits)


def _pairs(
    fields: Fields,
    draft: Draft,
    key: str,
    names: Callable[[int], NamesOf],
    usable: Callable[[Node, Draft], bool],
) -> tuple[tuple[str, JSON], ...]:
    """Read templates by name, in order: a map, or a list of maps with one key each."""
    node = fields.take(key)
    if node is None:
        return ()
    found: dict[str, JSON] = {}
    for name, value in _entries(node, draft, key):
        if not usable(name, draft):
            continue
        if name.value in found:
            draft.report.error("definition.twice", f"{key}: '{name.value}' is here twice", name.at)
            continue
        found[str(name.value)] = draft.value(value, f"{key}.{name.value}", names(len(found)))
    return tuple(found.items())


def _entries(node: Node, draft: Draft, key: str) -> list[tuple[Node, Node]]:
    if node.kind == "map":
        return node.entries
    if node.kind != "list":
        draft.wrong(node, key, "a map, or a list of maps with one key each, is expected")
        return []
    found = []
    for index, item in enumerate(node.items):
        if item.kind == "map" and len(item.entries) == 1:
            found += item.entries
        else:
            what = f"a map of {len(item.entries)} keys" if item.kind == "map" else item.describe()
            message = f"{key}[{index}]: a map with one key is expected, not {what}"
            draft.report.error("definition.type", message, item.at)
    return found


def _output_name(node: Node, draft: Draft) -> bool:
    return True
