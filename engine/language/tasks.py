"""The tasks of a workflow, and those inside a parallel one, read from their nodes (LANGUAGE 4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import did_you_mean
from dramaturg.engine.language.fields import REF, Draft, Fields, NamesOf, is_template
from dramaturg.engine.language.items import ON_ITEM_FAILURE, read_items
from dramaturg.engine.language.legacy import LEGACY_KEYS, read_legacy
from dramaturg.engine.language.model import RESERVED, TaskDef
from dramaturg.engine.language.retries import read_retry
from dramaturg.engine.language.source import Node
from dramaturg.engine.language.transitions import LONGEST_NAME, NAME, Step, read_next

#: Keys that would do nothing on a task without an action.
_NEED_ACTION = ["input", "with_items", "delay", "timeout", "retry", "on_lost", "queue", "priority"]
_NEED_ACTION += ["schedule_timeout", "total_timeout", "heartbeat_timeout"]

#: Keys that belong to the tasks inside a parallel one, not to itself.
_INSIDE = ["action", "input", "with_items", "batch_size", "concurrency", "delay", "retry", "on_lost", "queue"]
_INSIDE += ["priority", "schedule_timeout", "heartbeat_timeout", "parent_close"]

#: Keys that are about the worker which does an attempt.
_OF_WORKERS = ("queue", "priority", "on_lost", "heartbeat_timeout")

TYPES = ("parallel", "workflow")
PARENT_CLOSE = ("cancel", "terminate", "abandon")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSource:
    """A task as it was read, with the places that later checks need."""

    definition: TaskDef
    #: The name where it is written.
    name: Node
    #: The task's map.
    node: Node
    steps: tuple[Step, ...]
    #: The tasks inside a parallel one, by name.
    members: dict[str, TaskSource] = field(default_factory=dict)
    #: The parallel task that this one runs inside of.
    group: str | None = None


def every_source(tasks: Iterable[TaskSource]) -> Iterator[TaskSource]:
    """Yield all tasks, those inside parallel ones too, each after the one that it is in."""
    for task in tasks:
        yield task
        yield from every_source(task.members.values())


def read_tasks(node: Node, draft: Draft, place: str, group: str | None = None) -> dict[str, TaskSource]:
    """Read tasks by name: a list of maps with `name`, or a map of names to tasks.

    Args:
        place: where they stand: ``tasks``.
        group: the parallel task that they run inside of.
    """
    found: dict[str, TaskSource] = {}
    if node.kind == "map":
        for name, task in node.entries:
            if _usable_name(name, draft, place):
                _read(found, task, name, draft, group)
        return found
    if node.kind != "list":
        draft.wrong(node, place, "a list of tasks, or a map of names to tasks, is expected")
        return found
    for index, item in enumerate(node.items):
        written = item.get("name")
        if item.kind != "map":
            draft.wrong(item, f"{place}[{index}]", "a map is expected", "a task begins with `- name:`")
        elif written is None:
            draft.report.error("definition.missing", f"{place}[{index}]: `name` is missing", item.at)
        elif _usable_name(written, draft, place):
            _read(found, item, written, draft, group)
    return found


def _read(found: dict[str, TaskSource], node: Node, name: Node, draft: Draft, group: str | None) -> None:
    """Read a task whose name can be used, and keep it unless another one of the whole workflow has its name."""
    task = str(name.value)
    first = draft.tasks.get(task)
    draft.tasks.setdefault(task, name)
    source = _task(node, name, draft, group)
    if first is None:
        found[task] = source
        return
    message = f"a second task is called '{task}'; the first one is in line {first.at.line}"
    hint = "the names of tasks inside a parallel one are the workflow's, too" if group else ""
    draft.report.error("workflow.duplicate_task", message, name.at, hint)


def _task(node: Node, name: Node, draft: Draft, group: str | None) -> TaskSource:
    task = str(name.value)
    fields = Fields(node, draft, f"tasks.{task}", f"task '{task}'")
    if node.get("name") is name:
        # The tasks are a list.
        fields.take("name")
    own: NamesOf = ("task", task)
    steps = _steps(fields, draft) if group is None else _no_steps(fields, task, group)
    kind = _type(fields)
    values: dict[str, Any] = {
        "type": kind,
        "when": fields.condition("when", own),
        "timeout": fields.duration("timeout", own),
        "total_timeout": fields.duration("total_timeout", own),
        "join": _join(fields, draft) if group is None else None,
    }
    chart = fields.take("__chart_meta__")
    if kind == "parallel":
        members = _members(fields, draft, task)
        values["tasks"] = tuple(member.definition for member in members.values())
        values["on_item_failure"] = fields.choice("on_item_failure", ON_ITEM_FAILURE, "finish_started")
    else:
        members = {}
        values |= _work(fields, draft, own, kind)
    fields.finish()
    definition = TaskDef(
        name=task,
        next=tuple(step.definition for step in steps),
        chart_meta=chart.plain() if chart is not None else None,
        **values,
    )
    return TaskSource(
        definition=definition, name=name, node=node, steps=tuple(steps), members=members, group=group
    )


def _usable_name(node: Node, draft: Draft, place: str) -> bool:
    """Report a name that no task may have."""
    name = node.value
    if not isinstance(name, str):
        draft.wrong(node, place, "the name of a task is a text", "put quotes around it")
    elif name in RESERVED:
        message = f"'{name}' is a word of the language and can't be the name of a task"
        draft.report.error("workflow.reserved_name", message, node.at)
    elif not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        message = (
            f"'{name[:60]}' can't be the name of a task: letters, digits, _ and -, no digit or - first, "
        )
        draft.report.error("workflow.task_name", f"{message}{LONGEST_NAME} at most", node.at)
    else:
        return True
    return False


def _type(fields: Fields) -> Literal["parallel", "workflow"] | None:
    """Return what the task is; one with tasks inside is meant to be parallel, whatever it says."""
    node, inside = fields.take("type"), fields.take("tasks")
    if node is not None and node.value == "parallel":
        return "parallel"
    if node is not None and node.value == "workflow":
        hint = "tasks that run side by side are `type: parallel`"
        fields.refuse(
            ("tasks",), "workflow.no_effect", f"{fields.what}: a workflow has its tasks itself", hint
        )
        return "workflow"
    if node is not None:
        hint = did_you_mean(node.value, TYPES) if isinstance(node.value, str) else ""
        expected = "parallel or workflow is expected"
        fields.draft.wrong(node, fields.at("type"), expected, hint or "leave it out")
    elif inside is not None:
        message = f"{fields.what}: `tasks` does nothing without `type: parallel`"
        fields.error("workflow.no_effect", message, "tasks", "write `type: parallel` beside it")
    return None if inside is None else "parallel"


def _members(fields: Fields, draft: Draft, task: str) -> dict[str, TaskSource]:
    """Read the tasks inside a parallel one, and refuse at itself what belongs to them."""
    message = f"{fields.what}: `{{key}}` does nothing on a parallel task"
    fields.refuse(_INSIDE, "workflow.no_effect", message, "write it at the tasks inside")
    node = fields.take("tasks")
    if node is None:
        fields.missing("`tasks` is missing", "a parallel task runs its `tasks` side by side")
        return {}
    if node.kind != "scalar" and not (node.entries or node.items):
        message = f"{fields.what}: a parallel task has at least one task inside"
        fields.error("workflow.no_tasks", message, "tasks")
    return read_tasks(node, draft, fields.at("tasks"), task)


def _work(
    fields: Fields, draft: Draft, own: NamesOf, kind: Literal["parallel", "workflow"] | None
) -> dict[str, Any]:
    """Read what a task does itself, and refuse what would do nothing."""
    values: dict[str, Any] = {
        "action": _action(fields, draft, own),
        "input": read_input(fields, draft, ("input", own[1])),
        "delay": fields.duration("delay", own, zero=True),
        "schedule_timeout": fields.duration("schedule_timeout", own),
        "heartbeat_timeout": fields.duration("heartbeat_timeout", own),
        "retry": read_retry(fields, draft, own, ("outcome", 0)),
        "on_lost": fields.choice("on_lost", ("rerun", "fail"), "rerun"),
        "queue": _queue(fields, draft, own),
        "priority": fields.number("priority", own, whole=True, least=-(2**31), most=2**31 - 1),
        "with_items": read_items(fields, draft, own),
        "parent_close": fields.choice("parent_close", PARENT_CLOSE, "cancel"),
    }
    if kind == "workflow":
        message = f"{fields.what}: `{{key}}` does nothing: a nested run has no worker, its tasks have"
        fields.refuse(_OF_WORKERS, "workflow.no_effect", message)
        if fields.take("action") is None:
            fields.missing("`action` is missing", "name the workflow that it runs")
        return values
    message = f"{fields.what}: `{{key}}` does nothing without `type: workflow`"
    fields.refuse(("parent_close",), "workflow.no_effect", message, "write `type: workflow` beside it")
    if fields.take("action") is None:
        message, hint = f"{fields.place}: `{{key}}` does nothing without an action", "name an action; "
        fields.refuse(_NEED_ACTION, "workflow.no_action", message, f"{hint}core.noop does nothing")
    return values


def _steps(fields: Fields, draft: Draft) -> list[Step]:
    node = fields.take("next")
    legacy = read_legacy(fields, draft)
    if node is None:
        return legacy
    used = [key for key in LEGACY_KEYS if fields.take(key) is not None]
    for key in used:
        message = f"{fields.what}: `{key}` can't be mixed with `next`"
        fields.error("workflow.mixed_transitions", message, key, "write it as an entry of `next`")
    return read_next(node, draft, fields.at("next"))


def _no_steps(fields: Fields, task: str, group: str) -> list[Step]:
    """Refuse what a task inside a parallel one can't have: nothing leads to it, and it leads nowhere."""
    message = f"{fields.what} runs inside '{group}' and can't have `{{key}}`"
    follows = [key for key in ("next", *LEGACY_KEYS) if key != "publish"]
    hints = {
        **dict.fromkeys(follows, f"write it at '{group}': it goes on when all inside have ended"),
        "publish": f"publish task.{task}.result in a transition of '{group}'",
        "join": f"all inside start together with '{group}'",
    }
    for key, hint in hints.items():
        fields.refuse((key,), "workflow.inner_task", message, hint)
    return []


def _action(fields: Fields, draft: Draft, own: NamesOf) -> str | None:
    node = fields.take("action")
    text = fields.optional_text("action")
    if node is None or text is None:
        return None
    if is_template(text):
        draft.value(node, fields.at("action"), own)
    elif not REF.fullmatch(text):
        hint = "a ref is <pack>.<name>, in small letters, digits and _"
        draft.report.error("definition.ref", f"{fields.at('action')}: '{text[:80]}' is no ref", node.at, hint)
    return text


def read_input(fields: Fields, draft: Draft, names: NamesOf) -> dict[str, JSON]:
    """Read a task's input: a map of templates."""
    node = fields.mapping("input")
    if node is None:
        return {}
    place = fields.at("input")
    return {k.value: draft.value(value, f"{place}.{k.value}", names) for k, value in node.entries}


def _join(fields: Fields, draft: Draft) -> Literal["all"] | int | None:
    node = fields.take("join")
    if node is None:
        return None
    if node.value == "all":
        return "all"
    if isinstance(node.value, int) and not isinstance(node.value, bool) and node.value >= 1:
        return node.value
    draft.wrong(node, fields.at("join"), "`all` or a whole number from 1 up is expected")
    return None


def _queue(fields: Fields, draft: Draft, own: NamesOf) -> str | None:
    node = fields.take("queue")
    text = fields.optional_text("queue")
    if node is not None and text is not None and is_template(text):
        draft.value(node, fields.at("queue"), own)
    return text
