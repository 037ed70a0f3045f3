"""Signals, questions, pending results, deadlines of visits, parallel tasks, and failures that wait for a person."""

import pytest

from dramaturg.engine.errors import Failure
from dramaturg.engine.interpreter.memory import Answer
from dramaturg.engine.interpreter.rehearsal import failed, succeeded, workers
from dramaturg.engine.interpreter.state import ActionInfo
from dramaturg.engine.language.schema import ParameterSet
from tests.driver import ends, outcome, play, rehearse

TAKES_ALL = ParameterSet(None)
CORE = {
    ref: ActionInfo(ref=ref, kind="wait", parameters=TAKES_ALL)
    for ref in ("core.sleep", "core.wait", "core.ask")
}


def catalog(ref: str) -> ActionInfo | None:
    return CORE.get(ref) or workers()(ref)


WAIT = """
tasks:
  gate: {action: core.wait, input: {signal: go, timeout: 60}, next: [{when: succeeded, publish: [{got: '{{ result() }}'}], do: after}, {when: timed_out, do: late}]}
  after: {}
  late: {}
output_map: {got: '{{ default(workflow.got, null) }}'}
"""


def test_a_signal_ends_the_wait_with_its_payload():
    memory = play(WAIT, actions=catalog, react=lambda memory: memory.signal("go", 7) or True)
    assert ends(memory) == [("gate", 1, "succeeded"), ("after", 1, "succeeded")]
    assert memory.output == {"got": 7}


def test_a_signal_that_came_before_is_kept():
    rehearsal = rehearse(WAIT, actions=catalog)
    rehearsal.memory.signal("other", 1)
    rehearsal.memory.signal("go", 2)
    rehearsal.memory.signal("go", 3)
    assert rehearsal.play().output == {"got": 2}


def test_a_wait_that_nothing_comes_for_times_out():
    memory = play(WAIT, actions=catalog)
    assert ends(memory) == [("gate", 1, "timed_out"), ("late", 1, "succeeded")]
    [error] = [e.data["error"] for e in memory.events("task_completed", "gate")]
    assert error["details"] == {"kind": "wait", "seconds": 60.0}


def test_each_signal_ends_one_wait_the_oldest_first():
    text = "tasks: {gates: {action: core.wait, with_items: [1, 2, 3], concurrency: 2, input: {signal: go}, next: [{publish: [all]}]}}"
    sent = iter(["a", "b", "c"])
    memory = play(text, actions=catalog, react=lambda memory: memory.signal("go", next(sent)) or True)
    assert memory.variables == {"all": ["a", "b", "c"]}


def test_a_delayed_wait_begins_after_its_delay():
    text = "tasks: {gate: {action: core.wait, delay: 10, input: {signal: go, timeout: 5}}}"
    rehearsal = rehearse(text, actions=catalog)
    rehearsal.memory.signal("go", 1)
    memory = rehearsal.play()
    assert (outcome(memory), memory.elapsed) == (("succeeded", None), 10.0)


def test_a_question_is_answered():
    text = "tasks: {ask: {action: core.ask, input: {prompt: 'sure?'}, next: [{publish: [answer]}]}}"
    memory = play(text, actions=catalog, react=lambda memory: memory.answer("ask", True) or True)
    assert memory.variables == {"answer": True}
    assert [e.type for e in memory.history if e.type.startswith("question")] == [
        "question_asked",
        "question_answered",
    ]


def test_a_pending_attempt_is_completed_later_or_times_out():
    text = "tasks: {job: {timeout: 30, next: [{publish: [got]}]}}"
    memory = play(text, {"job": Answer(status="pending")}, react=lambda m: m.complete("job", 5) or True)
    assert memory.variables == {"got": 5}
    assert outcome(play(text, {"job": Answer(status="pending")})) == ("timed_out", "Timeout")


def test_a_worker_that_nobody_is_takes_too_long_to_come():
    text = "tasks: {job: {schedule_timeout: 5, retry: {count: 3}}}"
    memory = play(text, absent=lambda one: True)
    assert memory.end.error.details == {"kind": "schedule_to_start", "seconds": 5.0}
    assert memory.elapsed == 5.0


def test_total_timeout_spans_attempts():
    text = "tasks: {job: {total_timeout: 25, retry: {count: 9, delay: 10}}}"
    memory = play(text, {"job": failed()})
    assert memory.end.error.details == {"kind": "schedule_to_close", "seconds": 25.0}
    assert (memory.elapsed, memory.visits("job")[0].attempt) == (25.0, 4)
    assert memory.deadlines == {}


def test_total_timeout_of_a_fan_out_skips_what_is_held():
    text = "tasks: {job: {action: core.sleep, input: {seconds: 10}, with_items: [1, 2, 3], concurrency: 1, total_timeout: 15}}"
    memory = play(text, actions=catalog)
    assert outcome(memory) == ("timed_out", "Timeout")
    assert [one.status for one in memory.rows("job")] == ["succeeded", "cancelled", "skipped"]


PARALLEL = """
tasks:
  both:
    type: parallel
    tasks:
      a: {}
      b: {retry: {count: 1}}
      c: {when: false}
    next: [{when: succeeded, publish: [{all: '{{ result() }}', one: '{{ task.a.result }}'}]}, {when: failed, publish: [{all: '{{ result() }}'}], do: noop}]
"""


def test_parallel_tasks_give_a_map():
    memory = play(PARALLEL, {"a": succeeded(1), "b": [failed(), succeeded(2)]})
    assert memory.variables == {"all": {"a": 1, "b": 2, "c": None}, "one": 1}
    assert ends(memory)[-1] == ("both", 1, "succeeded")


def test_a_parallel_task_fails_with_a_member():
    memory = play(PARALLEL, {"a": succeeded(1), "b": failed("no", type="Boom")})
    assert memory.variables == {"all": {"a": 1, "b": None, "c": None}}
    [event] = memory.events("task_completed", "both")
    assert event.data["error"]["type"] == "Boom"
    assert "task b: Boom: no" in event.data["error"]["message"]


@pytest.mark.parametrize("policy", ["cancel_started", "finish_started"])
def test_a_failing_member_stops_the_others_where_that_is_said(policy: str):
    text = f"""
tasks:
  both:
    type: parallel
    on_item_failure: {policy}
    tasks:
      a: {{}}
      b: {{action: core.sleep, input: {{seconds: 10}}}}
      inner: {{type: parallel, tasks: {{c: {{action: core.sleep, input: {{seconds: 5}}}}}}}}
      many: {{with_items: [1, 2, 3], concurrency: 1, action: core.sleep, input: {{seconds: 4}}}}
"""
    memory = play(text, {"a": failed()}, actions=catalog)
    status = {task: status for task, _, status in ends(memory)}
    other = "cancelled" if policy == "cancel_started" else "succeeded"
    assert status == {"a": "failed", "b": other, "c": other, "inner": other, "many": other, "both": "failed"}


def test_a_parallel_task_is_visited_again():
    text = """
vars: {n: 0}
tasks:
  both: {type: parallel, tasks: {a: {}, b: {}}, next: [{publish: [{n: '{{ n + 1 }}'}]}, {when: '{{ n < 3 }}', do: both}]}
start: [both]
"""
    memory = play(text)
    assert [visit for task, visit, _ in ends(memory) if task == "a"] == [1, 2, 3]


def test_a_timeout_of_a_parallel_task_stops_it():
    text = "tasks: {both: {type: parallel, timeout: 5, tasks: {a: {action: core.sleep, input: {seconds: 9}}, b: {}}}}"
    memory = play(text, actions=catalog)
    assert memory.end.error.details == {"kind": "start_to_close", "seconds": 5.0}


PARKED = """
unhandled_failure: wait
tasks:
  a: {next: [{when: succeeded, publish: [{got: '{{ result() }}'}], do: c}]}
  b: {next: [{do: d}]}
  c: {}
  d: {}
output_map: {got: '{{ default(workflow.got, null) }}'}
"""


def test_a_failure_waits_for_a_person_who_completes_it():
    memory = play(PARKED, {"a": failed()}, react=lambda memory: memory.complete("a", 5) or True)
    assert outcome(memory) == ("succeeded", None)
    assert memory.output == {"got": 5}
    assert ("a", 1, "failed") in ends(memory)
    assert ends(memory)[-2:] == [("a", 2, "succeeded"), ("c", 1, "succeeded")]


def test_a_person_who_fails_it_ends_the_run():
    error = Failure(type="GivenUp", message="no")
    memory = play(PARKED, {"a": failed()}, react=lambda memory: memory.fail("a", error) or True)
    assert outcome(memory) == ("failed", "GivenUp")


def test_a_run_that_waits_can_be_cancelled():
    memory = play(PARKED, {"a": failed()}, react=lambda memory: memory.cancel("enough") or True)
    assert outcome(memory) == ("cancelled", "Cancelled")


def test_a_task_of_type_workflow_needs_one():
    text = "tasks: {a: {type: workflow, action: pack.work}}"
    assert outcome(play(text)) == ("failed", "UnknownAction")


def test_an_actions_own_condition_decides_on_retries():
    info = ActionInfo(
        ref="pack.work",
        kind="worker",
        parameters=TAKES_ALL,
        retry={"count": 5, "when": "{{ succeeded() and result() < 3 }}"},
    )
    results = [succeeded(1), succeeded(2), succeeded(3)]
    memory = play("tasks: {a: {}}", {"a": results}, actions=workers(**{"pack.work": info}))
    assert memory.visits("a")[0].result == 3
