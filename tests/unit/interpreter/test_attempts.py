"""Attempts that end: retries, lost workers, final outcomes (LANGUAGE 4 and 5)."""

from __future__ import annotations

import pytest
from driver import ends, outcome, play, rehearse

from dramaturg.engine.errors import Failure
from dramaturg.engine.interpreter.rehearsal import Answer, failed, lost, succeeded, timed_out
from dramaturg.engine.interpreter.state import ActionInfo
from dramaturg.engine.language.schema import ParameterSet


def test_a_retry_is_the_same_visit_and_the_same_input():
    text = "tasks: {a: {input: {x: '{{ uuid() }}'}, retry: {count: 2, delay: 5, backoff: linear}}}"
    memory = play(text, {"a": [failed("one"), timed_out(), succeeded("three")]})
    assert ends(memory) == [("a", 1, "succeeded")]
    assert memory.elapsed == 15
    row = memory.visits("a")[0]
    assert (row.attempt, row.result) == (3, "three")
    assert memory.tasks["a"].attempts == 3
    kinds = [(e.type, e.attempt, e.status) for e in memory.history if e.task == "a"]
    assert kinds == [
        ("task_scheduled", None, None),
        ("attempt_started", 1, None),
        ("attempt_ended", 1, "failed"),
        ("attempt_started", 2, None),
        ("attempt_ended", 2, "timed_out"),
        ("attempt_started", 3, None),
        ("task_completed", 3, "succeeded"),
    ]
    ended = memory.events("attempt_ended")
    assert [e.data["retry_in"] for e in ended] == [5, 10]
    assert ended[0].data["error"] == {
        "type": "Error",
        "message": "one",
        "task": "a",
        "visit": 1,
        "attempt": 1,
    }


def test_when_the_count_is_used_up_the_last_attempts_outcome_stands():
    memory = play("tasks: {a: {retry: {count: 1}}}", {"a": [failed("one"), failed("two")]})
    assert outcome(memory) == ("failed", "Error")
    assert (memory.end.error.message, memory.end.error.attempt) == ("two", 2)


def test_polling_retries_a_success_until_when_is_false():
    text = "tasks: {a: {retry: {count: 9, delay: 1, when: '{{ not result().ready }}'}}}"
    answers = [succeeded({"ready": False})] * 3 + [succeeded({"ready": True})]
    memory = play(text, {"a": answers})
    assert (outcome(memory), memory.elapsed) == (("succeeded", None), 3)
    assert memory.visits("a")[0].result == {"ready": True}


def test_a_success_stands_when_polling_has_used_up_its_count():
    text = "tasks: {a: {retry: {count: 2, when: '{{ succeeded() }}'}}}"
    memory = play(text, {"a": succeeded(1)})
    assert (outcome(memory), memory.visits("a")[0].attempt) == (("succeeded", None), 3)


def test_when_sees_the_attempts_error():
    text = "tasks: {a: {retry: {count: 5, when: \"{{ error().type == 'Busy' }}\"}}}"
    memory = play(text, {"a": [failed(type="Busy"), failed(type="Broken")]})
    assert outcome(memory) == ("failed", "Broken")


def test_a_when_that_cannot_be_evaluated_is_a_failure_of_the_task():
    text = "tasks: {a: {retry: {count: 5, when: '{{ result().no }}'}, next: [{when: failed, do: b}]}, b: {}}"
    memory = play(text, {"a": succeeded({})})
    assert ends(memory) == [("a", 1, "failed"), ("b", 1, "succeeded")]
    assert memory.visits("a")[0].error.type == "ExpressionError"


@pytest.mark.parametrize(
    ("answer", "attempts"),
    [
        (failed(type="KeyError"), 1),
        (failed(type="InvalidInput"), 1),
        (Answer(status="cancelled"), 1),
        (failed(), 4),
    ],
)
def test_what_is_never_retried(answer, attempts):
    memory = play("tasks: {a: {retry: {count: 3, non_retryable: [KeyError]}}}", {"a": answer})
    assert memory.visits("a")[0].attempt == attempts


def test_an_attempt_whose_worker_died_is_made_again_outside_the_count():
    text = "tasks: {a: {retry: {count: 1, delay: 7}}}"
    memory = play(text, {"a": [lost(), failed(), lost(), succeeded()]})
    row = memory.visits("a")[0]
    assert (outcome(memory), row.attempt, memory.elapsed) == (("succeeded", None), 4, 7)


def test_a_fourth_lost_attempt_is_not_made_again():
    memory = play("tasks: {a: {retry: {count: 9}}}", {"a": lost()})
    assert outcome(memory) == ("failed", "LeaseLost")
    assert memory.visits("a")[0].attempt == 4
    assert memory.end.error.attempt == 4


def test_work_that_must_not_be_done_twice_fails_at_once():
    memory = play(
        "tasks: {a: {on_lost: fail, retry: {count: 9}, next: [{when: failed, do: b}]}, b: {}}", {"a": lost()}
    )
    assert ends(memory) == [("a", 1, "failed"), ("b", 1, "succeeded")]
    assert memory.visits("a")[0].error.type == "LeaseLost"


def test_no_retry_once_the_run_is_closing():
    run = rehearse("tasks: {a: {}, b: {retry: {count: 3}}}")
    run.end("a", failed())
    run.end("b", failed())
    memory = run.play()
    assert ends(memory) == [("a", 1, "failed"), ("b", 1, "failed")]
    assert memory.visits("b")[0].attempt == 1


def test_jitter_stays_within_its_share_and_is_the_same_for_the_same_entropy():
    text = "tasks: {a: {retry: {count: 3, delay: 100, jitter: 0.1}}}"
    delays = [[e.data["retry_in"] for e in play(text, {"a": failed()}).events("attempt_ended")] for _ in "ab"]
    assert delays[0] == delays[1]
    assert len(set(delays[0])) == 3
    assert all(90 < delay <= 100 for delay in delays[0])


def test_a_nested_run_that_fails_gives_the_inner_error_and_its_partial_output():
    nested = ActionInfo(ref="pack.inner", kind="workflow", parameters=ParameterSet(None), digest="d")
    inner = Failure(type="Oops", message="boom", task="deep", visit=2)
    memory = play(
        """
tasks:
  a: {action: pack.inner, next: [{when: failed, publish: [{e: "{{ error() }}", r: "{{ result() }}"}], do: noop}]}
""",
        {"a": Answer(status="failed", result={"partial": 1}, error=inner)},
        actions={"pack.inner": nested}.get,
    )
    assert memory.variables["e"] == {"type": "Oops", "message": "boom", "task": "deep", "visit": 2}
    assert memory.variables["r"] == {"partial": 1}


def test_an_outcome_that_comes_without_an_error_gets_one():
    for status, kind in [("failed", "Failed"), ("timed_out", "Timeout"), ("cancelled", "Cancelled")]:
        assert outcome(play("tasks: {a: {}}", {"a": Answer(status=status)})) == (status, kind)
