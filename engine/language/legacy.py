"""The older keys of a task, rewritten to `next`: on_success, on_failure, on_timeout, on_complete, decision, publish.

The order is fixed: what is published first, so that everything after it sees it; then success, decision, failure,
timeout, and what happens in any case. A decision is asked after success and its first match wins, so each of its
transitions excludes the conditions before it.
"""

from __future__ import annotations

import re
from dataclasses import replace

from dramaturg.engine.language.fields import Draft, Fields
from dramaturg.engine.language.model import TransitionDef
from dramaturg.engine.language.source import Node
from dramaturg.engine.language.transitions import Step, Target, read_publish, read_targets

#: key -> the condition that it stands for; None: always.
_OUTCOMES = {
    "on_success": "succeeded",
    "on_failure": "failed",
    "on_timeout": "timed_out",
    "on_complete": None,
}

LEGACY_KEYS = ("publish", "on_success", "decision", "on_failure", "on_timeout", "on_complete")

#: Words that a condition may use without parentheses (LANGUAGE 4).
_WORDS = frozenset({"succeeded", "failed", "timed_out", "cancelled", "skipped", "completed"})

_RANDOM = re.compile(r"(?<![\w.])random\b")

Condition = str | bool | None


def read_legacy(fields: Fields, draft: Draft) -> list[Step]:
    """Read the legacy keys of a task as transitions; empty if it has none."""
    steps: list[Step] = []
    for key in LEGACY_KEYS:
        node = fields.take(key)
        if node is None:
            continue
        place = fields.at(key)
        if key == "publish":
            steps.append(_publish(node, draft, place))
        elif key == "decision":
            steps += _decision(node, draft, place)
        else:
            steps += _outcome(node, draft, place, _OUTCOMES[key])
    return steps


def _both(first: str | None, second: Condition) -> Condition:
    """Return the condition that is true when both are; None is always."""
    inner = _expression(second)
    if first is None:
        return second
    return first if inner is None else _template([f"{first}()", f"({inner})"])


def _publish(node: Node, draft: Draft, place: str) -> Step:
    published = read_publish(node, draft, place)
    return Step(
        definition=TransitionDef(
            when="succeeded", publish=tuple((name, value) for name, value, _ in published)
        ),
        published=tuple((name, at) for name, _, at in published),
        at=node.at,
    )


def _outcome(node: Node, draft: Draft, place: str, outcome: str | None) -> list[Step]:
    if node.kind != "list" or not any(item.kind == "map" for item in node.items):
        return [_step(outcome, read_targets(node, draft, place), node)]
    steps = []
    for index, item in enumerate(node.items):
        here = f"{place}[{index}]"
        if item.kind != "map":
            steps.append(_step(outcome, read_targets(item, draft, here), item))
            continue
        inner = Fields(item, draft, here, "an entry")
        when = inner.condition("when", ("outcome", 0))
        do = inner.take("do")
        inner.finish()
        targets = read_targets(do, draft, f"{here}.do") if do is not None else ()
        if do is None:
            inner.missing("`do` is missing")
        steps.append(_combined(_step(_both(outcome, when), targets, item), item, draft, here))
    return steps


def _decision(node: Node, draft: Draft, place: str) -> list[Step]:
    if node.kind != "list":
        draft.wrong(node, place, "a list of entries with `when` and `next` is expected")
        return []
    steps: list[Step] = []
    otherwise: Step | None = None
    before: list[str] = []
    for index, item in enumerate(node.items):
        step, default = _branch(item, draft, f"{place}[{index}]")
        if default:
            if otherwise is not None:
                draft.report.error("workflow.decision_default", f"{place}: a second default", item.at)
            otherwise = step
            continue
        own = _expression(step.definition.when) or "true"
        conditions = ["succeeded()", *(f"not ({other})" for other in before), f"({own})"]
        steps.append(_combined(_conditioned(step, conditions), item, draft, f"{place}[{index}]"))
        before.append(own)
    if otherwise is not None:
        step = _conditioned(otherwise, ["succeeded()", *(f"not ({other})" for other in before)])
        steps.append(_combined(step, node, draft, place))
    return steps


def _conditioned(step: Step, conditions: list[str]) -> Step:
    when = "succeeded" if len(conditions) == 1 else _template(conditions)
    return replace(step, definition=replace(step.definition, when=when))


def _template(conditions: list[str]) -> str:
    return f"{{{{ {' and '.join(conditions)} }}}}"


def _combined(step: Step, node: Node, draft: Draft, place: str) -> Step:
    """Have a condition checked that was put together: it may have grown too long."""
    if isinstance(step.definition.when, str):
        draft.derive(node, place, step.definition.when)
    return step


def _branch(node: Node, draft: Draft, place: str) -> tuple[Step, bool]:
    """Return a decision's entry with its own condition, and whether it is the else."""
    fields = Fields(node, draft, place, "an entry of a decision")
    when = fields.condition("when", ("outcome", 0))
    following = fields.take("next")
    default = fields.take("default")
    fields.finish()
    if default is not None and default.value is not True and following is None:
        following, place = default, f"{place}.default"
    elif default is not None and default.value is not True:
        draft.wrong(default, f"{place}.default", "true, or the name of a task without `next`, is expected")
    if (default is None) == (fields.take("when") is None):
        fields.missing("either `when` or `default` is expected")
    if following is None:
        fields.missing("`next` is missing")
    if isinstance(when, str) and _RANDOM.search(when):
        message = f"{place}: random() would give each entry of the decision another number"
        at = fields.position("when")
        draft.report.error("workflow.decision_random", message, at, "publish it first and ask the variable")
    targets = read_targets(following, draft, place) if following is not None else ()
    return _step(when, targets, node), default is not None


def _step(when: Condition, targets: tuple[Target, ...], node: Node) -> Step:
    definition = TransitionDef(when=when, do=tuple(target.name for target in targets))
    return Step(definition=definition, targets=targets, at=node.at)


def _expression(when: Condition) -> str | None:
    """Return a condition as the inside of an expression; None if it is always true."""
    if when is None or when is True:
        return None
    if when is False:
        return "false"
    text = when.strip()
    if text.startswith("{{") and text.endswith("}}"):
        text = text[2:-2].strip()
    return None if text == "always" else f"{text}()" if text in _WORDS else text
