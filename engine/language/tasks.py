"""One task of a workflow, read from its node (LANGUAGE 4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import did_you_mean
from dramaturg.engine.expressions.names import TABLE
from dramaturg.engine.language.fields import REF, Draft, Fields, NamesOf, is_template
from dramaturg.engine.language.legacy import LEGACY_KEYS, read_legacy
from dramaturg.engine.language.model import RESERVED, ItemsDef, RetryDef, TaskDef
from dramaturg.engine.language.scopes import ITEM_NAMES
from dramaturg.engine.language.source import Node
from dramaturg.engine.language.transitions import LONGEST_NAME, NAME, Step, read_next

BACKOFFS = ("constant", "linear", "exponential")
ON_ITEM_FAILURE = ("finish_started", "run_all", "cancel_started")

#: Keys that would do nothing on a task without an action.
_NEED_ACTION = ("input", "with_items", "delay", "timeout", "retry", "on_lost", "queue", "priority")
_NEED_ITEMS = ("concurrency", "on_item_failure")

#: Keys of LANGUAGE 4 that this version does not have yet.
_LATER = ("batch_size", "schedule_timeout", "total_timeout", "heartbeat_timeout", "tasks", "parent_close")

_NAMED_ITEMS = re.compile(r"\s*([A-Za-z_]\w*(?:\s*,\s*[A-Za-z_]\w*)*)\s+in\s+(?=\S)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSource:
    """A task as it was read, with the places that later checks need."""

    definition: TaskDef
    #: The name where it is written.
    name: Node
    #: The task's map.
    node: Node
    steps: tuple[Step, ...]


def read_task(node: Node, name: Node, draft: Draft, *, listed: bool) -> TaskSource:
    """Read a task whose name is known to be usable.

    Args:
        listed: its `name` is a key of the map, because the tasks are a list.
    """
    place = f"tasks.{name.value}"
    fields = Fields(node, draft, place, f"task '{name.value}'")
    if listed:
        fields.take("name")
    own: NamesOf = ("task", str(name.value))
    steps = _steps(fields, draft)
    not_yet(fields, _LATER)
    _type(fields)
    values: dict[str, Any] = {
        "action": _action(fields, draft, own),
        "input": read_input(fields, draft, ("input", str(name.value))),
        "when": fields.condition("when", own),
        "delay": fields.duration("delay", own, zero=True),
        "timeout": fields.duration("timeout", own),
        "retry": read_retry(fields, draft, own),
        "on_lost": fields.choice("on_lost", ("rerun", "fail"), "rerun"),
        "join": _join(fields, draft),
        "queue": _queue(fields, draft, own),
        "priority": fields.number("priority", own, whole=True, least=-(2**31), most=2**31 - 1),
        "with_items": _items(fields, draft, own),
    }
    chart = fields.take("__chart_meta__")
    if values["action"] is None and fields.take("action") is None:
        hint = "name an action; core.noop does nothing"
        fields.refuse(
            _NEED_ACTION, "workflow.no_action", f"{place}: `{{key}}` does nothing without an action", hint
        )
    fields.finish()
    definition = TaskDef(
        name=str(name.value),
        next=tuple(step.definition for step in steps),
        chart_meta=chart.plain() if chart is not None else None,
        **values,
    )
    return TaskSource(definition=definition, name=name, node=node, steps=tuple(steps))


def usable_name(node: Node, draft: Draft) -> bool:
    """Report a name that no task may have."""
    name = node.value
    if not isinstance(name, str):
        draft.wrong(node, "tasks", "the name of a task is a text", "put quotes around it")
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


def not_yet(fields: Fields, keys: tuple[str, ...]) -> None:
    """Refuse keys that are part of the language and that this version does not have yet."""
    fields.refuse(keys, "workflow.not_yet_supported", f"{fields.what}: `{{key}}` is not yet supported")


def _type(fields: Fields) -> None:
    node = fields.take("type")
    if node is None:
        return
    if node.value in ("parallel", "workflow"):
        hint = "an action that is a workflow needs no type" if node.value == "workflow" else ""
        message = f"{fields.what}: `type: {node.value}` is not yet supported"
        fields.draft.report.error("workflow.not_yet_supported", message, node.at, hint)
    else:
        options = ("parallel", "workflow")
        hint = did_you_mean(node.value, options) if isinstance(node.value, str) else "leave it out"
        fields.draft.wrong(
            node, fields.at("type"), "parallel or workflow is expected", hint or "leave it out"
        )


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


def read_retry(fields: Fields, draft: Draft, own: NamesOf | None) -> RetryDef | None:
    """Read a retry policy; an action's (`own` is None) has neither templates nor a condition."""
    node = fields.mapping("retry")
    if node is None:
        return None
    inner = Fields(node, draft, fields.at("retry"), "a retry policy")
    count = inner.number("count", own, whole=True)
    if inner.take("count") is None:
        inner.missing("`count` is missing", "how often is it tried again?")
    delay = inner.duration("delay", own, zero=True)
    factor, jitter = inner.number("factor", own), inner.number("jitter", own, most=1)
    backoff = inner.choice("backoff", BACKOFFS, "constant")
    limit = inner.duration("max_delay", own, zero=True)
    when = inner.condition("when", ("outcome", 0)) if own is not None else None
    if own is None:
        hint = "write it at the task"
        message = "`when` in an action's retry is not yet supported"
        inner.refuse(("when",), "workflow.not_yet_supported", message, hint)
    final = inner.texts("non_retryable")
    if inner.take("factor") is not None and backoff != "exponential":
        message = f"{inner.place}: `factor` does nothing without `backoff: exponential`"
        inner.error("workflow.no_effect", message, "factor")
    inner.finish()
    return RetryDef(
        count=0 if count is None else count,
        delay=0 if delay is None else delay,
        backoff=backoff,  # type: ignore[arg-type]  # one of BACKOFFS
        factor=2 if factor is None else factor,
        max_delay=limit,
        jitter=0 if jitter is None else jitter,
        when=when,
        non_retryable=final,
    )


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


def _items(fields: Fields, draft: Draft, own: NamesOf) -> ItemsDef | None:
    node = fields.take("with_items")
    concurrency = fields.number("concurrency", own, whole=True, least=1)
    policy = fields.choice("on_item_failure", ON_ITEM_FAILURE, "finish_started")
    if node is None:
        message = f"{fields.what}: `{{key}}` does nothing without `with_items`"
        fields.refuse(_NEED_ITEMS, "workflow.no_effect", message)
        return None
    read = _item_list(node, fields, draft, own)
    if read is None:
        return None
    names, items = read
    return ItemsDef(items=items, names=names, concurrency=concurrency, on_item_failure=policy)  # type: ignore[arg-type]


def _item_list(node: Node, fields: Fields, draft: Draft, own: NamesOf) -> tuple[tuple[str, ...], JSON] | None:
    place = fields.at("with_items")
    if node.kind == "list":
        return (), draft.value(node, place, own)
    text = node.value
    named = _NAMED_ITEMS.match(text) if isinstance(text, str) else None
    if named is None:
        if is_template(text):
            return (), draft.value(node, place, own)
        draft.wrong(node, place, "a list, a template that gives one, or `x, y in <expr>` is expected")
        return None
    names = tuple(name.strip() for name in named[1].split(","))
    if len(set(names)) < len(names):
        draft.report.error("definition.twice", f"{place}: a name is here twice", node.at)
    for name in TABLE.intersection(names) - ITEM_NAMES:
        message = f"{place}: '{name}' means something else and can't be the name of an item"
        draft.report.error("workflow.item_name", message, node.at)
    rest = text[named.end() :].strip()
    items = rest if is_template(rest) else f"{{{{ {rest} }}}}"
    draft.part(node, place, own, items, named.end() - items.index(rest))
    return names, items
