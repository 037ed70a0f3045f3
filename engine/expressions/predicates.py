"""The tests of `is`, and of `select` and its kin."""

from __future__ import annotations

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import Fault
from dramaturg.engine.expressions.lists import contains
from dramaturg.engine.expressions.operators import COMPARISONS, Binary
from dramaturg.engine.expressions.regexes import check_pattern, match, regex_search
from dramaturg.engine.expressions.registry import Registry
from dramaturg.engine.expressions.sandbox import Frame
from dramaturg.engine.expressions.texts import ends_with, starts_with

PREDICATES = Registry()

_COMPARING = {
    "eq": ("eq", "equalto", "=="),
    "ne": ("ne", "!="),
    "lt": ("lt", "lessthan", "<"),
    "lteq": ("le", "<="),
    "gt": ("gt", "greaterthan", ">"),
    "gteq": ("ge", ">="),
    "in": ("in",),
}


def _comparing(compare: Binary) -> Binary:
    def test(frame: Frame, value: JSON, other: JSON) -> JSON:
        return compare(frame, value, other)

    return test


for _sign, _names in _COMPARING.items():
    PREDICATES.add(*_names, loops=False)(_comparing(COMPARISONS[_sign]))

PREDICATES.add("contains")(contains)
PREDICATES.add("starts_with")(starts_with)
PREDICATES.add("ends_with")(ends_with)
PREDICATES.add("match", "regex_match", checks={"regex": check_pattern})(match)
PREDICATES.add("regex_search", checks={"regex": check_pattern})(regex_search)


@PREDICATES.add("defined", loops=False)
def defined(frame: Frame, value: JSON) -> JSON:
    """Say that a value is there: it is, or there would be none to ask about."""
    return True


@PREDICATES.add("undefined", loops=False)
def undefined(frame: Frame, value: JSON) -> JSON:
    """Say whether a value is missing: it is not."""
    return False


@PREDICATES.add("none", "null", loops=False)
def none(frame: Frame, value: JSON) -> JSON:
    """Say whether a value is null."""
    return value is None


@PREDICATES.add("boolean", loops=False)
def boolean(frame: Frame, value: JSON) -> JSON:
    """Say whether a value is true or false."""
    return type(value) is bool


@PREDICATES.add("true", loops=False)
def true(frame: Frame, value: JSON) -> JSON:
    """Say whether a value is true itself."""
    return value is True


@PREDICATES.add("false", loops=False)
def false(frame: Frame, value: JSON) -> JSON:
    """Say whether a value is false itself."""
    return value is False


@PREDICATES.add("integer", loops=False)
def integer(frame: Frame, value: JSON) -> JSON:
    """Say whether a value is an integer."""
    return type(value) is int


@PREDICATES.add("float", loops=False)
def floating(frame: Frame, value: JSON) -> JSON:
    """Say whether a value is a number with a fraction."""
    return type(value) is float


@PREDICATES.add("number", loops=False)
def number(frame: Frame, value: JSON) -> JSON:
    """Say whether a value is a number."""
    return type(value) in (int, float)


@PREDICATES.add("string", loops=False)
def string(frame: Frame, value: JSON) -> JSON:
    """Say whether a value is a text."""
    return type(value) is str


@PREDICATES.add("mapping", loops=False)
def mapping(frame: Frame, value: JSON) -> JSON:
    """Say whether a value is a map."""
    return type(value) is dict


@PREDICATES.add("sequence", "iterable", loops=False)
def sequence(frame: Frame, value: JSON) -> JSON:
    """Say whether a value has elements: a list, a text or a map, as in Jinja."""
    return type(value) in (list, str, dict)


@PREDICATES.add("odd", loops=False)
def odd(frame: Frame, value: int) -> JSON:
    """Say whether an integer is odd."""
    return value % 2 == 1


@PREDICATES.add("even", loops=False)
def even(frame: Frame, value: int) -> JSON:
    """Say whether an integer is even."""
    return value % 2 == 0


@PREDICATES.add("divisibleby", loops=False)
def divisibleby(frame: Frame, value: int, num: int) -> JSON:
    """Say whether an integer is a multiple of another."""
    if num == 0:
        raise Fault("nothing is divisible by 0")
    return value % num == 0


@PREDICATES.add("lower")
def lower(frame: Frame, value: str) -> JSON:
    """Say whether a text has small letters only."""
    return value.islower()


@PREDICATES.add("upper")
def upper(frame: Frame, value: str) -> JSON:
    """Say whether a text has capital letters only."""
    return value.isupper()


@PREDICATES.add("sameas", loops=False)
def sameas(frame: Frame, value: JSON, other: JSON) -> JSON:
    """Say whether two values are equal and of one type: 1 and true are not."""
    return type(value) is type(other) and COMPARISONS["eq"](frame, value, other)
