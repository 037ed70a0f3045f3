"""Arithmetic on times that are text."""

from __future__ import annotations

import pytest

from dramaturg.engine.interpreter.times import later, seconds_until

NOW = "2026-01-31T23:59:59.500000Z"


def test_later_keeps_microseconds_and_the_z():
    assert later(NOW, 0.5) == "2026-02-01T00:00:00.000000Z"
    assert later("2026-01-01T01:00:00+01:00", 0) == "2026-01-01T00:00:00.000000Z"


def test_later_than_all_times_is_the_last_one():
    assert later(NOW, 1e15).startswith("9999-12-31")


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-02-01T00:00:00Z", 0.5),
        ("2026-02-01T00:00:00", 0.5),
        ("2026-02-01T01:00:00+01:00", 0.5),
        ("2026-01-01T00:00:00Z", 0.0),
    ],
)
def test_seconds_until(moment, expected):
    assert seconds_until(NOW, moment) == expected


def test_what_is_no_time():
    with pytest.raises(ValueError, match="Invalid isoformat"):
        seconds_until(NOW, "tomorrow")
