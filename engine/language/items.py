"""`with_items` of a task, and what belongs to it (LANGUAGE 4 and 8)."""

from __future__ import annotations

import re

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.names import TABLE
from dramaturg.engine.language.fields import Draft, Fields, NamesOf, is_template
from dramaturg.engine.language.model import ItemsDef
from dramaturg.engine.language.scopes import ITEM_NAMES
from dramaturg.engine.language.source import Node

ON_ITEM_FAILURE = ("finish_started", "run_all", "cancel_started")

#: Keys that do nothing without `with_items`.
_COMPANIONS = ("batch_size", "concurrency", "on_item_failure")

_NAMED_ITEMS = re.compile(r"\s*([A-Za-z_]\w*(?:\s*,\s*[A-Za-z_]\w*)*)\s+in\s+(?=\S)")


def read_items(fields: Fields, draft: Draft, own: NamesOf) -> ItemsDef | None:
    """Read what a task works through, item by item; None if it has no items.

    Args:
        own: what the task's own fields may name.
    """
    node = fields.take("with_items")
    batch = fields.number("batch_size", own, whole=True, least=1)
    concurrency = fields.number("concurrency", own, whole=True, least=1)
    policy = fields.choice("on_item_failure", ON_ITEM_FAILURE, "finish_started")
    if node is None:
        message = f"{fields.what}: `{{key}}` does nothing without `with_items`"
        fields.refuse(_COMPANIONS, "workflow.no_effect", message)
        return None
    read = _list(node, fields, draft, own)
    if read is None:
        return None
    names, items = read
    if len(names) > 1:
        message = f"{fields.what}: `{{key}}` needs one name for the batch, and here are {len(names)}"
        hint = "leave `x, y in` out: `item` is the batch, a list"
        fields.refuse(("batch_size",), "workflow.batch_names", message, hint)
    return ItemsDef(
        items=items,
        names=names,
        batch_size=batch,
        concurrency=concurrency,
        on_item_failure=policy,  # type: ignore[arg-type]  # one of ON_ITEM_FAILURE
    )


def _list(node: Node, fields: Fields, draft: Draft, own: NamesOf) -> tuple[tuple[str, ...], JSON] | None:
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
