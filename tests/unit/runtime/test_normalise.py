"""The border: what passes is plain JSON, what does not is refused with its place."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import math
import threading
from collections import Counter, OrderedDict, namedtuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dramaturg.engine.runtime.normalise import Refused, normalise, readable

LIMIT = 100_000


def refusal(value: object, limit: int = LIMIT) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        normalise(value, limit)
    return caught.value.failure.type, caught.value.failure.message


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0")),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(codec="ascii", min_codepoint=1)), inner)
    ),
    max_leaves=30,
)


@given(JSON_VALUES)
def test_json_passes_unchanged(value):
    """Whatever JSON can say comes out as it went in."""
    assert normalise(value, LIMIT) == value


@given(
    st.recursive(
        st.none()
        | st.integers()
        | st.floats()
        | st.text(st.characters(codec=None))
        | st.binary()
        | st.dates(),
        lambda inner: (
            st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner)
        ),
        max_leaves=20,
    )
)
def test_anything_passes_as_storable_json_or_is_refused(value):
    """Nothing else is ever raised, and nothing passes that a strict reader refuses."""
    try:
        plain = normalise(value, LIMIT)
    except Refused as refused:
        found = refused.failure
    else:
        text = orjson.dumps(plain)
        assert json.loads(text) == plain
        assert b"\\u0000" not in text
        return
    assert found.type in ("InvalidOutput", "PayloadTooLarge")
    orjson.dumps(found.to_json())


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Old(str, enum.Enum):  # noqa: UP042  # the old way is what this is about
    ONE = "one"


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, (2,)), [1, [2]]),
        (namedtuple("P", "x y")(1, 2), [1, 2]),
        (OrderedDict(a=Counter("aab")), {"a": {"a": 2, "b": 1}}),
        ([Colour.RED, Old.ONE, Level.HIGH], ["red", "one", 3]),
        ({Colour.RED: True}, {"red": True}),
    ],
)
def test_relatives_of_json_types_become_plain(value, plain):
    """Tuples become lists, subclasses what they are made of; exact types come out."""
    found = normalise(value, LIMIT)
    assert found == plain
    assert json.dumps(found) == json.dumps(plain)
    assert {type(x) for x in (found if isinstance(found, list) else found.values())} <= {
        int,
        str,
        list,
        dict,
        bool,
    }


def test_what_passes_is_a_copy():
    """What the function does with its value afterwards is not seen."""
    value = {"a": [1]}
    plain = normalise(value, LIMIT)
    value["a"].append(2)
    assert plain == {"a": [1]}


@dataclasses.dataclass
class Thing:
    x: int


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"items": [0, 1, 2, {"x": "a\0b"}]}, "result.items[3].x has a NUL character at 1"),
        ({"a b": {"c": "\ud800"}}, "result['a b'].c has a lone surrogate at 0"),
        ([math.nan], "result[0] is nan, which JSON does not have"),
        (-math.inf, "result is -inf, which JSON does not have"),
        ({"n": 2**63}, "result.n is an integer beyond signed 64 bits"),
        ({"n": -(2**63) - 1}, "result.n is an integer beyond signed 64 bits"),
        ({"n": 10**5000}, "result.n is an integer beyond signed 64 bits"),
        ({"a": {1: 2}}, "result.a has the key 1, which is not text"),
        ({None: 2}, "result has the key None, which is not text"),
        ({"a\0": 1}, "result['a\ufffd'] has a NUL character at 1"),
        ({"\udfff": 1}, "result['\ufffd'] has a lone surrogate at 0"),
        (
            {"at": datetime.datetime(2026, 1, 1)},
            "result.at is a datetime.datetime, which is not a JSON value",
        ),
        ([[1], 2, [3, {"k": [4, {5}]}]], "result[2][1].k[1] is a set, which is not a JSON value"),
        ([{1, 2}], "result[0] is a set, which is not a JSON value"),
        (b"x", "result is a bytes, which is not a JSON value"),
        (1j, "result is a complex, which is not a JSON value"),
        (threading.Lock, "result is a builtin_function_or_method, which is not a JSON value"),
    ],
)
def test_refusals_name_type_and_place(value, message):
    """As an author would write the place."""
    assert refusal(value) == ("InvalidOutput", message)


def test_a_dataclass_is_refused_by_name():
    """It is not quietly turned into something."""
    assert refusal({"thing": Thing(1)})[1].startswith("result.thing is a ")
    assert "Thing" in refusal({"thing": Thing(1)})[1]


def test_depth():
    """A hundred levels, and not one more."""
    assert normalise(nested(100), LIMIT) == nested(100)
    kind, message = refusal(nested(101))
    assert kind == "InvalidOutput"
    assert message.startswith("result[0][0][0]")
    assert message.endswith("... is nested over 100 levels deep")
    assert refusal(nested(900))[0] == "InvalidOutput"


def test_a_list_in_itself_is_refused():
    """It is infinitely deep."""
    value: list[object] = []
    value.append(value)
    assert refusal(value)[0] == "InvalidOutput"


def test_size():
    """Bytes of compact JSON; exact where it is just over."""
    assert normalise("x" * 98, 100) == "x" * 98
    assert refusal("x" * 99, 100) == ("PayloadTooLarge", "result has at least 101 bytes, 100 are allowed")
    assert refusal("ä" * 50, 100) == ("PayloadTooLarge", "result has 102 bytes, 100 are allowed")
    assert refusal("\n" * 60, 100) == ("PayloadTooLarge", "result has 122 bytes, 100 are allowed")


def test_a_few_lists_that_stand_for_a_billion_are_refused_early():
    """Counting stops at the limit."""
    value: object = "ha"
    for _ in range(60):
        value = [value] * 10
    assert refusal(value)[0] == "PayloadTooLarge"


def test_readable():
    """What people read is replaced, not refused."""
    assert readable("a\0b\ud800c\U0001f600") == "a\ufffdb\ufffdc\U0001f600"
