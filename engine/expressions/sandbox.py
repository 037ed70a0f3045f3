"""The bounds of one evaluation: what it may cost, and what may come out of it.

Cost is counted, never timed, so that the same expression over the same data always ends the same way
(LANGUAGE 7). Two counters: *built* is characters and elements of values that did not exist before, *steps* is
work. Every loop over data is paid for before it runs; the work outside loops is bounded by the length of the
text, which :mod:`syntax` limits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import Fault
from dramaturg.engine.expressions.scope import Scope
from dramaturg.engine.secret import Secret

#: Characters and elements that one evaluation may build.
MAX_BUILT = 1_000_000
#: Steps that one evaluation may take.
MAX_STEPS = 1_000_000
#: Nesting of data that an expression makes from text (LANGUAGE 2 has the same bound for results).
MAX_NESTING = 100

MIN_INTEGER = -(2**63)
MAX_INTEGER = 2**63 - 1

#: What the types of JSON are called in messages.
TYPE_NAMES = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a map",
    Secret: "a secret",
}

#: What is said where an expression would have to know what a secret is.
NOT_LOOKED_AT = "a secret can be passed on or put into text, not looked at"


class Frame:
    """One evaluation: its scope and what is left of its budget."""

    __slots__ = ("built", "scope", "steps")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.steps = MAX_STEPS
        self.built = MAX_BUILT

    def step(self, count: int) -> None:
        """Pay for *count* steps of work.

        Raises:
            Fault: the evaluation has used its steps up.
        """
        self.steps -= count
        if self.steps < 0:
            raise Fault(f"takes more than {MAX_STEPS:,} steps")

    def build(self, count: int) -> None:
        """Pay for *count* characters or elements that are about to be built.

        Raises:
            Fault: the evaluation has built too much.
        """
        self.built -= count
        if self.built < 0:
            raise Fault(f"builds more than {MAX_BUILT:,} characters or elements")


#: A compiled node.
Evaluate = Callable[[Frame], JSON]


def name_type(value: JSON) -> str:
    """Return what kind of value *value* is, for a message: ``a list``."""
    return TYPE_NAMES.get(type(value), "a " + type(value).__name__)


def weigh(value: JSON, limit: int) -> int:
    """Return the number of elements and characters in *value*; counting ends once *limit* is passed.

    Shared parts count as often as they are met, as they would when the value is written out.

    Raises:
        Fault: it holds a secret: whoever asks wants to look at all of it.
    """
    total, stack = 0, [value]
    while stack and total <= limit:
        part = stack.pop()
        total += 1
        kind = type(part)
        if kind is str:
            total += len(part)
        elif kind is list:
            stack.extend(part)
        elif kind is dict:
            total += sum(map(len, part))
            stack.extend(part.values())
        elif kind is Secret:
            raise Fault(NOT_LOOKED_AT)
    return total


def number(value: float) -> JSON:
    """Return a computed number, or refuse it.

    Raises:
        Fault: it is no JSON number of ours: beyond signed 64 bits, infinite, not a number, complex.
    """
    if isinstance(value, int):
        if MIN_INTEGER <= value <= MAX_INTEGER:
            return value
        raise Fault("the integer is beyond 64 bits")
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise Fault("the result is not a finite number")


def text(value: str) -> str:
    """Return a text that came from outside the data, or refuse it.

    Raises:
        Fault: it has a NUL or half a surrogate pair, which can't be stored.
    """
    if "\0" in value:
        raise Fault("a text can't have NUL characters")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise Fault("a text can't have lone surrogates")
    return value


def admit(frame: Frame, value: JSON) -> JSON:
    """Return *value*, made by another library, after checking that it is JSON as we know it.

    Raises:
        Fault: it has a key that is no text, a type or number that JSON has not, or is nested too deep; or
            looking at all of it takes too many steps.
    """
    stack: list[tuple[JSON, int]] = [(value, 1)]
    while stack:
        part, depth = stack.pop()
        frame.step(2)
        kind = type(part)
        if kind is str:
            text(part)
        elif kind is int or kind is float:
            number(part)
        elif kind is list or kind is dict:
            if depth > MAX_NESTING:
                raise Fault(f"the value is nested more than {MAX_NESTING} levels deep")
            stack.extend((child, depth + 1) for child in _children(part))
        elif kind is Secret:
            raise Fault(NOT_LOOKED_AT)
        elif part is not None and kind is not bool:
            raise Fault(f"{name_type(part)} is not JSON")
    return value


def _children(part: JSON) -> list[JSON]:
    if type(part) is list:
        return part
    for key in part:
        if type(key) is not str:
            raise Fault(f"the keys of a map are texts, not {name_type(key)}")
        text(key)
    return list(part.values())


def plain(value: JSON) -> JSON:
    """Return *value* as a dict where the scope gave a lazy Mapping; anything else as it is."""
    return dict(value) if isinstance(value, Mapping) and type(value) is not dict else value


def write_json(frame: Frame, value: JSON, indent: int | None = None) -> str:
    """Return *value* as JSON text, compact without *indent*.

    Raises:
        Fault: there is too much of it.
    """
    frame.build(weigh(value, frame.built))
    written = json.dumps(value, ensure_ascii=False, separators=(",", ": " if indent else ":"), indent=indent)
    frame.build(max(0, len(written) - MAX_BUILT))
    return written


def interpolate(frame: Frame, value: JSON) -> str:
    """Return *value* as it appears inside a text: null is empty, lists and maps are compact JSON.

    Raises:
        Fault: there is too much of it, or it holds a secret.
    """
    if type(value) is str:
        frame.build(len(value))
        return value
    if value is None:
        return ""
    if value is True:
        return "true"
    if value is False:
        return "false"
    if type(value) is int:
        return str(value)
    return write_json(frame, value)


def in_text(frame: Frame, values: Iterable[JSON]) -> str | Secret:
    """Return *values* put together to one text; it is secret if one of them is."""
    pieces: list[Any] = [value if type(value) is Secret else interpolate(frame, value) for value in values]
    try:
        return "".join(pieces)
    except TypeError:
        frame.step(len(pieces))
        return Secret.text(pieces)
