"""Durations and numbers, as definitions write them."""

from __future__ import annotations

import math

import pytest

from dramaturg.engine.interpreter.numbers import LONGEST, number, seconds, whole


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((0, 0.0), (1.5, 1.5), ("90s", 90.0), ("5m", 300.0), ("2h", 7200.0), ("1d", 86400.0)),
        *(("1.5h", 5400.0), ("30", 30.0), (" 7 s ", 7.0), (1e300, LONGEST)),
    ],
)
def test_durations(value, expected):
    assert seconds(value, "delay") == expected


@pytest.mark.parametrize(
    "value", [-1, "-1s", "soon", "", "s", True, None, [], {}, math.nan, math.inf, "nan", "5w"]
)
def test_what_is_no_duration(value):
    with pytest.raises(ValueError, match=r"^delay must be seconds"):
        seconds(value, "delay")


@pytest.mark.parametrize("value", [0, "0s", 0.0])
def test_no_time_at_all_is_a_delay_and_no_timeout(value):
    assert seconds(value, "delay") == 0
    with pytest.raises(ValueError, match=r"^timeout must be seconds \(a number above 0\)"):
        seconds(value, "timeout", zero=False)


@pytest.mark.parametrize(("value", "expected"), [(3, 3), (3.0, 3), ("3", 3), (-2, -2)])
def test_whole_numbers(value, expected):
    assert whole(value, "count") == expected


@pytest.mark.parametrize("value", [1.5, "x", True, None, [], math.inf, "1.5"])
def test_what_is_no_whole_number(value):
    with pytest.raises(ValueError, match=r"^count must be a whole number"):
        whole(value, "count")


def test_a_least_whole_number():
    assert whole(1, "concurrency", least=1) == 1
    with pytest.raises(ValueError, match=r"^concurrency must be 1 or more, not 0$"):
        whole(0, "concurrency", least=1)


@pytest.mark.parametrize("value", [2**31, "1e15", 10.0**300])
def test_what_no_column_takes_is_no_count(value):
    assert whole(2**31 - 1, "concurrency") == 2147483647
    with pytest.raises(ValueError, match=r"^concurrency must be 2147483647 or less, not"):
        whole(value, "concurrency")
    with pytest.raises(ValueError, match=r"^priority must be -2147483647 or more, not"):
        whole(-(2**40), "priority")


@pytest.mark.parametrize(("value", "expected"), [(0, 0.0), (0.5, 0.5), ("1", 1.0)])
def test_numbers_within_bounds(value, expected):
    assert number(value, "jitter", most=1.0) == expected


@pytest.mark.parametrize("value", [-0.1, 1.1, True, None, "x", math.nan])
def test_numbers_out_of_bounds(value):
    with pytest.raises(ValueError, match=r"^jitter must be a number from 0 to 1"):
        number(value, "jitter", most=1.0)


def test_a_number_without_an_upper_bound():
    with pytest.raises(ValueError, match=r"^factor must be a number from 0 up, not -1$"):
        number(-1, "factor")
