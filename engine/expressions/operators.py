"""What the operators of an expression do to JSON values, and what they refuse."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import Fault
from dramaturg.engine.expressions.sandbox import NOT_LOOKED_AT, Frame, name_type, number, weigh
from dramaturg.engine.secret import Secret

#: Comparing with one of these takes a step, whatever the other is.
_FLAT = frozenset({type(None), bool, int, float, str})
_NUMBERS = frozenset({int, float, bool})
#: Bits that a power of integers may have; more can't be a 64-bit integer.
_MAX_BITS = 64

Binary = Callable[[Frame, JSON, JSON], JSON]


def _refuse_secrets(*values: JSON) -> None:
    if any(type(value) is Secret for value in values):
        raise Fault(NOT_LOOKED_AT)


def add(frame: Frame, left: JSON, right: JSON) -> JSON:
    """Return the sum of two numbers, or two texts or two lists put together."""
    kind = type(left)
    if kind is type(right) and kind in (str, list):
        frame.build(len(left) + len(right))
        return left + right
    if kind in _NUMBERS and type(right) in _NUMBERS:
        return number(left + right)
    _refuse_secrets(left, right)
    hint = (
        "; merge(a, b) joins maps"
        if kind is dict
        else "; ~ joins texts"
        if str in (kind, type(right))
        else ""
    )
    raise Fault(f"'+' can't add {name_type(right)} to {name_type(left)}{hint}")


def _arithmetic(sign: str, compute: Callable[[Any, Any], Any]) -> Binary:
    def apply(frame: Frame, left: JSON, right: JSON) -> JSON:
        if type(left) not in _NUMBERS or type(right) not in _NUMBERS:
            _refuse_secrets(left, right)
            raise Fault(f"'{sign}' wants two numbers, not {name_type(left)} and {name_type(right)}")
        try:
            return number(compute(left, right))
        except ZeroDivisionError:
            raise Fault("division by zero") from None
        except OverflowError:
            raise Fault("the result is not a finite number") from None

    return apply


def _power(left: Any, right: Any) -> Any:
    whole = isinstance(left, int) and isinstance(right, int)
    if whole and right > 0 and (int(left).bit_length() - 1) * right > _MAX_BITS:
        raise Fault("the integer is beyond 64 bits")
    return left**right


ARITHMETIC: dict[str, Binary] = {
    "Add": add,
    "Sub": _arithmetic("-", operator.sub),
    "Mul": _arithmetic("*", operator.mul),
    "Div": _arithmetic("/", operator.truediv),
    "FloorDiv": _arithmetic("//", operator.floordiv),
    "Mod": _arithmetic("%", operator.mod),
    "Pow": _arithmetic("**", _power),
}


def negative(frame: Frame, value: JSON) -> JSON:
    """Return minus *value*."""
    if type(value) not in _NUMBERS:
        _refuse_secrets(value)
        raise Fault(f"'-' wants a number, not {name_type(value)}")
    return number(-value)


def positive(frame: Frame, value: JSON) -> JSON:
    """Return *value*, which must be a number."""
    if type(value) not in _NUMBERS:
        _refuse_secrets(value)
        raise Fault(f"'+' wants a number, not {name_type(value)}")
    return +value


def equal(frame: Frame, left: JSON, right: JSON) -> bool:
    """Say whether two values are the same, as in Python: 1 and 1.0 are, "1" and 1 are not."""
    if type(left) is Secret or type(right) is Secret:
        raise Fault(NOT_LOOKED_AT)
    if type(left) not in _FLAT and type(right) not in _FLAT:
        if len(left) != len(right):
            return False
        frame.step(weigh(left, frame.steps))
    return bool(left == right)


def unequal(frame: Frame, left: JSON, right: JSON) -> bool:
    """Say whether two values differ."""
    return not equal(frame, left, right)


def _order(sign: str, compare: Callable[[Any, Any], Any]) -> Binary:
    def apply(frame: Frame, left: JSON, right: JSON) -> JSON:
        if type(left) not in _FLAT and type(right) not in _FLAT:
            frame.step(weigh(left, frame.steps))
        try:
            return bool(compare(left, right))
        except TypeError:
            _refuse_secrets(left, right)
            raise Fault(f"'{sign}' can't compare {name_type(left)} with {name_type(right)}") from None

    return apply


def member(frame: Frame, value: JSON, container: JSON) -> bool:
    """Say whether *value* is an element of a list, a key of a map or a part of a text."""
    kind = type(container)
    if kind is Secret or type(value) is Secret:
        raise Fault(NOT_LOOKED_AT)
    if kind is dict:
        return type(value) is str and value in container
    if kind is str:
        if type(value) is not str:
            raise Fault(f"a text contains texts, not {name_type(value)}")
        frame.step(len(container) // 16)
        return value in container
    if kind is list:
        flat = type(value) in _FLAT
        frame.step(len(container) if flat else weigh(container, frame.steps))
        return value in container
    raise Fault(f"{name_type(container)} contains nothing: a list, a map or a text does")


def _not_member(frame: Frame, value: JSON, container: JSON) -> bool:
    return not member(frame, value, container)


COMPARISONS: dict[str, Binary] = {
    "eq": equal,
    "ne": unequal,
    "lt": _order("<", operator.lt),
    "lteq": _order("<=", operator.le),
    "gt": _order(">", operator.gt),
    "gteq": _order(">=", operator.ge),
    "in": member,
    "notin": _not_member,
}
