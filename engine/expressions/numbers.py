"""Functions on numbers, and conversions to them."""

from __future__ import annotations

import math
import re

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import Fault, quoted
from dramaturg.engine.expressions.registry import Registry
from dramaturg.engine.expressions.sandbox import Frame, name_type, number

NUMBERS = Registry()

#: Digits that can matter: a double has 17, a 64-bit integer 19.
_MAX_DIGITS = 30
#: Characters of a number's text.
_MAX_WRITTEN = 400
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0", ""})
#: What `type_of` answers: the words of JSON Schema, as in `parameters`.
_SCHEMA_TYPES = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


@NUMBERS.add("abs")
def absolute(frame: Frame, value: float) -> JSON:
    """Return a number without its sign."""
    return number(abs(value))


@NUMBERS.add("round")
def rounded(frame: Frame, x: float, digits: int = 0, method: str = "common") -> JSON:
    """Return a number rounded, halves to the even neighbour; an integer for 0 digits.

    *method* is common, ceil or floor, as in Jinja.
    """
    if abs(digits) > _MAX_DIGITS:
        raise Fault(f"round() wants at most {_MAX_DIGITS} digits")
    if method == "common":
        return number(round(x) if digits == 0 else round(x, digits))
    if method not in ("ceil", "floor"):
        raise Fault(f"round() knows the methods common, ceil and floor, not {quoted(method)}")
    to_whole = math.ceil if method == "ceil" else math.floor
    return number(to_whole(x) if digits == 0 else to_whole(x * 10**digits) / 10**digits)


@NUMBERS.add("int")
def integer(frame: Frame, value: JSON, default: JSON = None) -> JSON:
    """Return a value as an integer, fractions cut off; *default*, if given, for what is none."""
    made = _to_number(value)
    if made is not None:
        return number(int(made))
    return _otherwise(default, "an integer", value)


@NUMBERS.add("number")
def to_number(frame: Frame, value: JSON, default: JSON = None) -> JSON:
    """Return a value as a number: an integer where it is written as one."""
    made = _to_number(value)
    return made if made is not None else _otherwise(default, "a number", value)


@NUMBERS.add("float")
def floating(frame: Frame, value: JSON, default: JSON = None) -> JSON:
    """Return a value as a number with a fraction."""
    made = _to_number(value)
    return number(float(made)) if made is not None else _otherwise(default, "a number", value)


@NUMBERS.add("bool")
def boolean(frame: Frame, value: JSON) -> JSON:
    """Return the truth of a value; of a text, what it says: true, yes, on, 1 or false, no, off, 0, nothing."""
    if type(value) is not str:
        return bool(value)
    word = value.strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise Fault(f"bool() can't read {quoted(value)} as true or false")


@NUMBERS.add("type_of", loops=False)
def type_of(frame: Frame, value: JSON) -> JSON:
    """Return null, boolean, integer, number, string, array or object."""
    return _SCHEMA_TYPES[type(value)]


def _to_number(value: JSON) -> JSON:
    """Return *value* as a number; None for what is none."""
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float):
        return value
    if not isinstance(value, str) or len(value) > _MAX_WRITTEN:
        return None
    written = value.strip()
    if _INTEGER.fullmatch(written):
        return number(int(written))
    return number(float(written)) if _DECIMAL.fullmatch(written) else None


def _otherwise(default: JSON, wanted: str, value: JSON) -> JSON:
    if default is not None:
        return default
    shown = quoted(value) if type(value) is str else name_type(value)
    raise Fault(f"{shown} is not {wanted}")
