"""Values as people read them, and parameters as people type them."""

from __future__ import annotations

from typing import Any

import pytest

from dramaturg.cli.parameters import coerce
from dramaturg.cli.values import render
from dramaturg.cli.words import duration, failure, seconds_between
from dramaturg.engine.errors import JSON


def lines(value: JSON) -> list[str]:
    """Return the rendering without colours."""
    return [line.plain for line in render(value)]


def test_nothing_is_no_line() -> None:
    """Null and an empty map say nothing."""
    assert (lines(None), lines({})) == ([], [])


def test_names_and_values() -> None:
    """Simple values beside their names, the rest below."""
    assert lines(
        {"n": 1, "ok": True, "text": "a b", "few": [1, 2], "none": None, "deep": {"a": {"b": "c"}}}
    ) == [
        "n     1",
        "ok    true",
        "text  a b",
        "few   [1, 2]",
        "none  null",
        "deep",
        "  a",
        "    b  c",
    ]


def test_records_are_a_table() -> None:
    """Numbers to the right; a field that one record lacks is empty."""
    assert lines(
        {
            "largest": [
                {"file": "a.py", "lines": 1200},
                {"file": "long_name.py", "lines": 7, "x": "y"},
                {"file": "b.py", "lines": None},
            ]
        }
    ) == [
        "largest",
        "  file          lines  x",
        "  a.py           1200",
        "  long_name.py      7  y",
        "  b.py",
    ]


def test_texts_of_several_lines_stand_as_they_are() -> None:
    """A report is a report; control characters do nothing."""
    assert lines("one\ntwo") == ["one", "two"]
    assert lines({"report": "# a\n\n* b\x1b[2J"}) == ["report", "  # a", "  ", "  * b\\x1b[2J"]


def test_lists_of_other_things() -> None:
    """An entry each."""
    assert lines([{"a": {"b": 1}}, "x"]) == ["- a", "    b  1", "- x"]


@pytest.mark.parametrize(
    ("text", "declared", "value"),
    [
        ("3", {"type": "integer"}, 3),
        ("3.0", {"type": "integer"}, "3.0"),
        ("x", {"type": "integer"}, "x"),
        ("true", {"type": "integer"}, "true"),
        ("3", {"type": "number"}, 3),
        ("1e3", {"type": "number"}, 1000.0),
        ("True", {"type": "boolean"}, True),
        ("false", {"type": "boolean"}, False),
        ("1", {"type": "boolean"}, "1"),
        ("null", {"type": ["integer", "null"]}, None),
        ("null", {"type": ["string", "null"]}, "null"),
        ("[1]", {"type": "array"}, [1]),
        ('{"a": 1}', {"type": "object"}, {"a": 1}),
        ("a,b", {"type": "array"}, "a,b"),
        ("[1]", {"type": "string"}, "[1]"),
        ("3", {}, "3"),
        ("3", None, "3"),
        ("3", {"enum": [3]}, "3"),
    ],
)
def test_a_text_is_read_by_its_declared_type(text: str, declared: Any, value: JSON) -> None:
    """What does not read so stays text, for the action's own check to refuse by name."""
    read = coerce(text, declared)
    assert (read, type(read)) == (value, type(value))


def test_half_a_list_is_told_as_such() -> None:
    """It was meant as JSON."""
    with pytest.raises(ValueError, match="Expecting"):
        coerce("[1,", {"type": "array"})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0, "0.00s"), (9.99, "9.99s"), (9.996, "10.0s"), (59.94, "59.9s"), (59.96, "1m00s"),
     (3599.6, "1h00m"), (3660, "1h01m"), (90_000, "1d01h")],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    """Short, and never 60 seconds."""
    assert duration(seconds) == text


def test_a_time_to_come_is_shown_as_no_time() -> None:
    """Clocks of two machines differ."""
    from dramaturg.cli.words import moment

    now = moment("2026-03-01T12:00:00Z")
    assert now is not None
    assert seconds_between("2026-03-01T12:00:01Z", None, now) == 0.0


def test_a_failure_in_one_line() -> None:
    """First visits and attempts go without saying."""
    error = {"type": "E", "message": "m", "task": "t", "visit": 1, "item": 0, "attempt": 2}
    assert failure(error) == "E: m (task t, item 0, attempt 2)"
    assert failure(None) == ""
