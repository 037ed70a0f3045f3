"""Transitions: conditions, publishes, commands, and what counts as handled (LANGUAGE 4 and 5)."""

from __future__ import annotations

import pytest
from driver import ends, outcome, play, rehearse

from dramaturg.engine.interpreter.rehearsal import Answer, failed, succeeded, timed_out

OUTCOMES = {
    "succeeded": succeeded({"ok": True}),
    "failed": failed(),
    "timed_out": timed_out(),
    "cancelled": Answer(status="cancelled"),
}


@pytest.mark.parametrize(
    ("condition", "fires_after"),
    [
        ("succeeded", {"succeeded"}),
        ("failed", {"failed"}),
        ("timed_out", {"timed_out"}),
        ("cancelled", {"cancelled"}),
        ("completed", set(OUTCOMES)),
        ("always", set(OUTCOMES)),
        ("failed() or timed_out()", {"failed", "timed_out"}),
        ("{{ not failed() }}", {"succeeded", "timed_out", "cancelled"}),
        (True, set(OUTCOMES)),
        (False, set()),
        ("{{ succeeded() and result().ok }}", {"succeeded"}),
    ],
)
@pytest.mark.parametrize("status", OUTCOMES)
def test_conditions_mean_what_they_say(condition, fires_after, status):
    text = f"tasks: {{a: {{next: [{{when: {str(condition)!r}, do: b}}]}}, b: {{}}}}"
    memory = play(text, {"a": OUTCOMES[status]})
    assert ("b" in {task for task, _, _ in ends(memory)}) == (status in fires_after)


@pytest.mark.parametrize(
    ("do", "handled"),
    [("b", True), ("noop", True), ("fail", True), ("continue", False), ([], False)],
)
@pytest.mark.parametrize("status", ["failed", "timed_out", "cancelled"])
def test_a_failure_is_handled_by_what_leads_to_anything_but_continue(do, handled, status):
    steps = f"[{{when: completed, do: {do}}}, {{when: false, do: b}}]"
    text = f"tasks: {{a: {{next: {steps}}}, b: {{action: null}}}}"
    memory = play(text, {"a": OUTCOMES[status]})
    expected = "failed" if do == "fail" else "succeeded" if handled else status
    assert memory.end.status == expected


def test_every_transition_that_holds_fires_in_order():
    memory = play("""
tasks:
  a:
    next:
      - {do: b}
      - {when: failed, do: c}
      - {when: succeeded, do: [c, d]}
  b: {}
  c: {}
  d: {}
""")
    assert [e.data["index"] for e in memory.events("transition_fired", "a")] == [0, 2]
    assert [task for task, _, _ in ends(memory)] == ["a", "b", "c", "d"]


def test_a_publish_sees_the_ones_before_and_so_do_later_conditions():
    memory = play("""
vars: {x: 1, y: 0, seen: null}
tasks:
  a:
    next:
      - publish: [{x: "{{ workflow.x + 1 }}"}, {y: "{{ workflow.x * 10 }}"}, seen]
      - {when: "{{ workflow.y == 20 }}", publish: [{y: "{{ workflow.y + 1 }}"}]}
output_map: {x: "{{ x }}", y: "{{ y }}", seen: "{{ seen }}"}
""", {"a": succeeded("result")})  # fmt: skip
    assert memory.output == {"x": 2, "y": 21, "seen": "result"}


def test_input_is_rendered_after_all_transitions_that_led_here():
    memory = play("""
vars: {x: 0}
tasks:
  a:
    next: [{do: b}, {publish: [{x: 1}]}]
  b: {input: {x: "{{ workflow.x }}"}}
""")
    assert memory.visits("b")[0].made.input == {"x": 1}


@pytest.mark.parametrize(
    ("next_", "place"),
    [
        ("- {when: '{{ result().no.such }}', do: b}", "tasks.a.next[0].when"),
        ("- {publish: [{x: '{{ 1 / 0 }}'}], do: b}", "tasks.a.next[0].publish.x"),
        ("- {publish: [{x: 5}], do: b}\n      - {when: '{{ result().no }}'}", "tasks.a.next[1].when"),
    ],
)
def test_what_cannot_be_evaluated_fails_the_run_and_nothing_is_applied(next_, place):
    memory = play(f"vars: {{x: 0}}\ntasks:\n  a:\n    next:\n      {next_}\n  b: {{}}", {"a": succeeded({})})
    assert outcome(memory) == ("failed", "ExpressionError")
    error = memory.end.error
    assert place in error.message
    assert error.details["place"] == place
    assert error.details["expression"] in error.message
    assert (error.task, error.visit) == ("a", 1)
    assert memory.variables == {"x": 0}
    assert not memory.events("transition_fired")
    assert [task for task, _, _ in ends(memory)] == ["a"]


def test_error_and_result_are_those_of_the_visit_that_completed():
    memory = play(
        """
vars: {e: null, r: null}
tasks:
  a:
    next:
      - {when: failed, publish: [{e: "{{ error() }}"}, {r: "{{ result() }}"}], do: noop}
""",
        {"a": Answer(status="failed", result={"partial": 1}, error=failed("boom", type="Oops").error)},
    )
    assert memory.variables["r"] == {"partial": 1}
    expected = {"type": "Oops", "message": "boom", "task": "a", "visit": 1, "attempt": 1}
    assert memory.variables["e"] == expected


def test_fail_fails_the_run_and_names_the_task():
    memory = play("tasks: {a: {next: [{when: failed, do: fail}]}}", {"a": failed("boom", type="Oops")})
    assert outcome(memory) == ("failed", "Fail")
    assert memory.end.error.task == "a"
    assert "Oops: boom" in memory.end.error.message


def test_fail_fires_after_a_success_too():
    memory = play("tasks: {a: {next: [{when: '{{ not result() }}', do: fail}]}}", {"a": succeeded(0)})
    assert outcome(memory) == ("failed", "Fail")


def test_tasks_beside_fail_run_to_their_end_with_retries_and_waits():
    memory = play(
        """
tasks:
  a: {next: [{when: failed, do: [cleanup, fail]}]}
  cleanup: {retry: {count: 1, delay: 5}, delay: 3, next: [{do: report}]}
  report: {with_items: [1, 2, 3], concurrency: 1, next: [{do: done}]}
  done: {}
""",
        {"a": failed(), "cleanup": [failed(), succeeded()]},
    )
    assert outcome(memory) == ("failed", "Fail")
    assert ends(memory)[1:] == [
        ("cleanup", 1, "succeeded"),
        ("report", 1, "succeeded"),
        ("done", 1, "succeeded"),
    ]
    assert memory.elapsed == 8


def test_other_branches_of_a_run_that_is_told_to_fail_start_nothing_new():
    run = rehearse("""
tasks:
  a: {next: [{do: c}, {do: [cleanup, fail]}]}
  b: {next: [{do: d}]}
  c: {}
  d: {}
  cleanup: {}
""")
    run.end("a")
    run.end("b")
    memory = run.play()
    assert [task for task, _, _ in ends(memory)] == ["a", "b", "cleanup"]


def test_an_unhandled_failure_of_a_spared_task_changes_nothing():
    text = "tasks: {a: {next: [{do: [cleanup, fail]}]}, cleanup: {}}"
    memory = play(text, {"cleanup": failed("worse", type="Worse")})
    assert outcome(memory) == ("failed", "Fail")
    assert ends(memory)[-1] == ("cleanup", 1, "failed")


def test_succeed_ends_the_run_and_cancels_what_runs():
    run = rehearse("""
tasks:
  a: {next: [{do: c}, {do: succeed}]}
  b: {next: [{do: c}]}
  c: {}
""")
    run.end("a")
    assert run.find("b").cancel_requested
    memory = run.play()
    assert outcome(memory) == ("succeeded", None)
    assert ends(memory) == [("a", 1, "succeeded"), ("b", 1, "cancelled")]


def test_succeed_has_no_effect_on_a_run_that_is_failing():
    text = "tasks: {a: {next: [{do: [b, fail]}]}, b: {next: [{do: c}, {do: succeed}]}, c: {}}"
    memory = play(text)
    assert outcome(memory) == ("failed", "Fail")
    assert [task for task, _, _ in ends(memory)] == ["a", "b", "c"]


@pytest.mark.parametrize(("first", "status"), [("fail", "failed"), ("succeed", "succeeded")])
def test_of_fail_and_succeed_the_first_decides(first, status):
    second = {"fail": "succeed", "succeed": "fail"}[first]
    memory = play(f"tasks: {{a: {{next: [{{do: {first}}}, {{do: {second}}}]}}}}")
    assert memory.end.status == status


def test_what_stands_beside_a_fail_after_succeed_is_dropped():
    memory = play("tasks: {a: {next: [{do: succeed}, {do: [b, fail]}]}, b: {}}")
    assert outcome(memory) == ("succeeded", None)
    assert [task for task, _, _ in ends(memory)] == ["a"]


def test_the_first_unhandled_failure_decides():
    run = rehearse("tasks: {a: {}, b: {}}")
    run.end("a", timed_out())
    run.end("b", failed())
    memory = run.play()
    assert outcome(memory) == ("timed_out", "Timeout")
    assert memory.end.error.task == "a"


def test_a_handled_failure_stays_in_the_history():
    memory = play("tasks: {a: {next: [{when: failed, do: b}]}, b: {}}", {"a": failed("boom")})
    assert outcome(memory) == ("succeeded", None)
    assert memory.events("task_completed", "a")[0].data["error"]["message"] == "boom"
