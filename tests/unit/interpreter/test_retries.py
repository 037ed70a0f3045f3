"""Backoff, and which attempts are followed by another one (LANGUAGE 4, `retry` and `on_lost`)."""

from __future__ import annotations

import pytest

from dramaturg.engine.errors import Failure
from dramaturg.engine.interpreter.numbers import LONGEST
from dramaturg.engine.interpreter.retries import delay_before, lease_lost, reruns_lost, retries

CONSTANT = {"count": 3, "delay": 2.0, "backoff": "constant"}
LINEAR = {"count": 3, "delay": 2.0, "backoff": "linear"}
EXPONENTIAL = {"count": 3, "delay": 2.0, "backoff": "exponential", "factor": 3.0}


@pytest.mark.parametrize(
    ("policy", "delays"),
    [
        (CONSTANT, [2, 2, 2, 2]),
        (LINEAR, [2, 4, 6, 8]),
        (EXPONENTIAL, [2, 6, 18, 54]),
        ({**EXPONENTIAL, "factor": None}, [2, 4, 8, 16]),
        ({**EXPONENTIAL, "max_delay": 10}, [2, 6, 10, 10]),
        ({**EXPONENTIAL, "max_delay": 0}, [0, 0, 0, 0]),
        ({"count": 1}, [0, 0, 0, 0]),
    ],
)
def test_the_delay_grows_as_the_backoff_says(policy, delays):
    assert [delay_before(policy, retry, share=0.0) for retry in (1, 2, 3, 4)] == delays


def test_a_delay_that_grows_beyond_all_bounds_stays_finite():
    assert delay_before(EXPONENTIAL, 5000, share=0.0) == LONGEST
    assert delay_before({**EXPONENTIAL, "delay": 0}, 5000, share=0.0) == 0


@pytest.mark.parametrize(("share", "delay"), [(0.0, 2.0), (0.5, 1.5), (0.999, 1.001)])
def test_jitter_takes_away_up_to_its_share(share, delay):
    assert delay_before({**CONSTANT, "jitter": 0.5}, 1, share) == pytest.approx(delay)


ERROR = Failure(type="ValueError", message="no", details={"exception": "builtins.ValueError"})


def decide(policy=CONSTANT, status="failed", error=ERROR, done=0, when=None):
    return retries(policy, status=status, error=error, done=done, when=when)


@pytest.mark.parametrize(
    ("status", "retried"),
    [("failed", True), ("timed_out", True), ("succeeded", False), ("cancelled", False), ("skipped", False)],
)
def test_without_when_failures_and_timeouts_are_retried(status, retried):
    assert decide(status=status) is retried


def test_count_is_the_number_of_retries():
    assert [decide(done=done) for done in range(5)] == [True, True, True, False, False]
    assert not decide({"count": 0})


@pytest.mark.parametrize("status", ["failed", "timed_out", "succeeded"])
def test_when_alone_decides(status):
    assert decide(status=status, when=lambda: True)
    assert not decide(status=status, when=lambda: False)


def test_when_is_not_asked_where_it_cannot_matter():
    def asked():
        raise AssertionError("asked")

    assert not decide(done=3, when=asked)
    assert not decide(status="cancelled", when=asked)
    assert not decide({**CONSTANT, "non_retryable": ["ValueError"]}, when=asked)


@pytest.mark.parametrize("kind", ["UnknownAction", "InvalidInput", "LeaseLost"])
def test_errors_that_another_attempt_would_not_change_are_final(kind):
    assert not decide(error=Failure(type=kind, message=""))


@pytest.mark.parametrize("kind", ["schedule_to_start", "schedule_to_close"])
def test_timeouts_of_the_task_are_final(kind):
    error = Failure(type="Timeout", message="", details={"kind": kind})
    assert not decide(status="timed_out", error=error)
    assert decide(
        status="timed_out", error=Failure(type="Timeout", message="", details={"kind": "start_to_close"})
    )


@pytest.mark.parametrize(
    ("types", "retried"), [(["ValueError"], False), (["builtins.ValueError"], False), (["KeyError"], True)]
)
def test_non_retryable_names_types_or_full_names(types, retried):
    assert decide({**CONSTANT, "non_retryable": types}) is retried


def test_a_lost_attempt_is_made_again_three_times():
    assert [reruns_lost({}, lost) for lost in (1, 2, 3, 4)] == [True, True, True, False]
    assert not reruns_lost({"on_lost": "fail"}, 1)


def test_the_failure_of_a_lost_attempt_says_how_often():
    assert lease_lost(1).type == "LeaseLost"
    assert "once" in lease_lost(1).message
    assert "4 times" in lease_lost(4).message
