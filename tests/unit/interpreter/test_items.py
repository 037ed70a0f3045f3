"""Fan-outs: windows, failures, chunks, outcomes (LANGUAGE 8)."""

from __future__ import annotations

import pytest
from driver import ends, outcome, play, rehearse

from dramaturg.engine.interpreter.commands import GoOn, Release
from dramaturg.engine.interpreter.rehearsal import Answer, failed, lost, succeeded, timed_out
from dramaturg.engine.interpreter.state import ActionInfo
from dramaturg.engine.language.schema import ParameterSet


def by_item(**answers):
    """Return a script that answers by item: i0=..., i1=...; others succeed with their number."""
    return lambda one: answers.get(f"i{one.made.item}", succeeded(one.made.item))


def statuses(memory, task="a", visit=1):
    return [row.status for row in memory.rows(task, visit)]


def test_results_are_in_item_order_whatever_ends_first():
    run = rehearse(
        "tasks: {a: {with_items: [x, y, z], input: {v: '{{ item }}{{ index }}'}}}\noutput_map: {r: '{{ task.a.result }}'}"
    )
    for item in (2, 0, 1):
        run.end("a", item=item)
    memory = run.play()
    assert memory.output == {"r": [{"v": "x0"}, {"v": "y1"}, {"v": "z2"}]}
    assert ends(memory) == [("a", 1, "succeeded")]


def test_result_has_null_where_an_item_has_none():
    text = """
tasks:
  a: {with_items: [0, 1, 2], on_item_failure: run_all, next: [{when: failed, publish: [r: "{{ result() }}"], do: noop}]}
output_map: {r: "{{ r }}", items: "{{ task.a.items }}"}
"""
    memory = play(text, {"a": by_item(i1=failed("boom"))})
    assert memory.output["r"] == [0, None, 2]
    one, two, _ = memory.output["items"]
    assert one == {"status": "succeeded", "result": 0, "error": None}
    assert (two["status"], two["error"]["message"], two["error"]["item"]) == ("failed", "boom", 1)


def test_what_ended_in_this_very_decision_is_seen_by_the_transitions():
    text = """
tasks:
  a:
    with_items: [0, 1, 2]
    concurrency: 1
    next: [{when: failed, publish: [{i: "{{ task.a.items }}"}, {r: "{{ result() }}"}], do: noop}]
"""
    memory = play(text, {"a": by_item(i0=failed("boom"))})
    assert [one["status"] for one in memory.variables["i"]] == ["failed", "skipped", "skipped"]
    assert memory.variables["i"][0]["error"]["item"] == 0
    assert memory.variables["r"] == [None, None, None]


def test_an_empty_list_succeeds_with_an_empty_list():
    memory = play("tasks: {a: {with_items: [], next: [{when: succeeded, publish: [r], do: noop}]}}")
    assert memory.variables == {"r": []}
    assert (memory.visits("a")[0].status, memory.visits("a")[0].result) == ("succeeded", [])


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_no_more_than_concurrency_run_at_once_and_in_order(limit):
    run = rehearse(f"tasks: {{a: {{with_items: [0, 1, 2, 3, 4], concurrency: {limit}}}}}")
    started = []
    while run.memory.end is None:
        run.settle()
        running = [one.made.item for one in run._running()]
        assert len(running) <= limit
        started += [item for item in running if item not in started]
        if running:
            run.end("a", item=running[-1])
    assert started == [0, 1, 2, 3, 4]
    assert outcome(run.memory) == ("succeeded", None)


def test_a_batch_of_returns_releases_once():
    run = rehearse("tasks: {a: {with_items: [0, 1, 2, 3, 4, 5], concurrency: 3}}", batch=3)
    memory = run.play()
    assert [(c.first, c.last) for c in memory.commands if isinstance(c, Release)] == [(3, 6)]
    assert len(memory.events("items_completed")) == 2


def test_concurrency_may_be_a_template():
    run = rehearse("vars: {n: 2}\ntasks: {a: {with_items: [0, 1, 2], concurrency: '{{ n }}'}}")
    run.settle()
    assert [row.held for row in run.memory.rows("a")] == [False, False, True]


def test_by_default_a_failure_starts_no_further_item():
    run = rehearse("tasks: {a: {with_items: [0, 1, 2, 3], concurrency: 2}}")
    run.end("a", failed("boom"), item=1)
    run.end("a", item=0)
    memory = run.play()
    assert statuses(memory) == ["succeeded", "failed", "skipped", "skipped"]
    assert outcome(memory) == ("failed", "Error")
    assert memory.end.error.message == "of 4 items 1 failed, 2 were never started; item 1: Error: boom"
    counts = {"succeeded": 1, "failed": 1, "timed_out": 0, "cancelled": 0, "skipped": 2}
    assert memory.end.error.details == {"items": counts}


def test_an_item_in_backoff_has_started_and_goes_on():
    text = "tasks: {a: {with_items: [0, 1, 2], concurrency: 2, retry: {count: 1, delay: 9}}}"
    answers = {"i0": iter([failed(), succeeded()]), "i1": iter([failed(), failed()])}
    memory = play(text, {"a": lambda one: next(answers[f"i{one.made.item}"])}, choose=lambda running: -1)
    assert statuses(memory) == ["succeeded", "failed", "skipped"]


def test_run_all_runs_all():
    text = "tasks: {a: {with_items: [0, 1, 2, 3], concurrency: 1, on_item_failure: run_all}}"
    memory = play(text, {"a": by_item(i0=failed())})
    assert statuses(memory) == ["failed", "succeeded", "succeeded", "succeeded"]
    assert memory.end.status == "failed"


def test_cancel_started_cancels_what_runs_and_does_not_retry_it():
    text = "tasks: {a: {with_items: [0, 1, 2, 3], concurrency: 3, on_item_failure: cancel_started, retry: {count: 5}}}"
    run = rehearse(text.replace("count: 5", "count: 5, non_retryable: [Bad]"))
    run.end("a", failed(type="Bad"), item=2)
    assert run.find("a", 0).cancel_requested
    run.end("a", failed(), item=1)
    memory = run.play()
    assert statuses(memory) == ["cancelled", "failed", "failed", "skipped"]
    assert outcome(memory) == ("failed", "Error")


@pytest.mark.parametrize(
    ("answers", "status", "kind"),
    [
        ({}, "succeeded", None),
        ({"i0": failed()}, "failed", "Error"),
        ({"i0": timed_out()}, "timed_out", "Timeout"),
        ({"i0": timed_out(), "i1": failed()}, "failed", "Error"),
        ({"i1": Answer(status="cancelled")}, "failed", "Cancelled"),
    ],
)
def test_the_outcome_of_a_fan_out(answers, status, kind):
    memory = play("tasks: {a: {with_items: [0, 1], on_item_failure: run_all}}", {"a": by_item(**answers)})
    assert outcome(memory) == (status, kind)


def test_each_item_retries_on_its_own_and_only_its_last_outcome_counts():
    text = "tasks: {a: {with_items: [0, 1], retry: {count: 2}}}"
    tries = iter([failed(), failed(), succeeded(1)])
    memory = play(text, {"a": lambda one: next(tries) if one.made.item else succeeded(0)})
    assert outcome(memory) == ("succeeded", None)
    assert [row.attempt for row in memory.rows("a")] == [1, 3]
    assert memory.tasks["a"].attempts == 3
    batches = [row for e in memory.events("items_completed") for row in e.data["items"]]
    assert sorted(batches) == [[0, 1, "succeeded"], [1, 3, "succeeded"]]
    assert [(e.item, e.attempt) for e in memory.events("attempt_ended")] == [(1, 1), (1, 2)]


def test_an_item_polls_by_its_own_result():
    text = "tasks: {a: {with_items: [0, 1], retry: {count: 5, when: '{{ result() < 2 }}'}}}"
    memory = play(text, {"a": lambda one: succeeded(one.attempt)})
    assert [row.attempt for row in memory.rows("a")] == [2, 2]


def test_a_lost_item_is_made_again():
    tries = iter([lost(), succeeded()])
    memory = play("tasks: {a: {with_items: [0]}}", {"a": lambda one: next(tries)})
    assert (outcome(memory), memory.rows("a")[0].attempt) == (("succeeded", None), 2)


BROKEN = """
tasks:
  a:
    with_items: [1, 0, 2, 0, 0, 4]
    input: {x: "{{ 8 // item }}"}
    concurrency: CONCURRENCY
    on_item_failure: POLICY
"""


@pytest.mark.parametrize("concurrency", [1, 2, 3, 4, 6])
def test_items_that_cannot_be_started_take_no_room(concurrency):
    text = BROKEN.replace("CONCURRENCY", str(concurrency)).replace("POLICY", "run_all")
    memory = play(text)
    assert statuses(memory) == ["succeeded", "failed", "succeeded", "failed", "failed", "succeeded"]
    assert outcome(memory) == ("failed", "ExpressionError")
    assert memory.rows("a")[1].error.item == 1
    assert memory.items["a", 1].broken == ()


@pytest.mark.parametrize("policy", ["finish_started", "cancel_started"])
def test_an_item_that_cannot_be_started_stops_the_fan_out(policy):
    memory = play(BROKEN.replace("CONCURRENCY", "2").replace("POLICY", policy))
    first = "cancelled" if policy == "cancel_started" else "succeeded"
    assert statuses(memory) == [first, "failed", "skipped", "skipped", "skipped", "skipped"]


def test_a_broken_item_behind_the_window_skips_what_is_held():
    memory = play("tasks: {a: {with_items: [1, 1, 0, 1], input: {x: '{{ 1 // item }}'}, concurrency: 1}}")
    assert statuses(memory) == ["succeeded", "skipped", "failed", "skipped"]


def test_all_items_broken_ends_the_visit_in_the_same_decision():
    memory = play("""
tasks:
  a:
    with_items: [0, 0]
    on_item_failure: run_all
    input: {x: "{{ 1 // item }}"}
    next: [{when: failed, publish: [{r: "{{ result() }}"}, {i: "{{ task.a.items }}"}], do: noop}]
""")
    assert memory.advances == 1
    assert memory.variables["r"] == [None, None]
    assert [one["status"] for one in memory.variables["i"]] == ["failed", "failed"]


def test_an_input_that_the_action_refuses_is_the_items_failure():
    info = ActionInfo(ref="pack.work", kind="worker", parameters=ParameterSet({"n": {"type": "integer"}}))
    text = "tasks: {a: {with_items: [1, x], input: {n: '{{ item }}'}}}"
    memory = play(text, actions=lambda ref: info)
    assert (statuses(memory), outcome(memory)) == (["succeeded", "failed"], ("failed", "InvalidInput"))


def test_names_are_unpacked_and_a_row_of_another_length_is_its_failure():
    text = "tasks: {a: {with_items: 'x, y in {{ [[1, 2], [3], 5] }}', input: {s: '{{ x + y }}'}, on_item_failure: run_all}}"
    memory = play(text)
    assert memory.rows("a")[0].result == {"s": 3}
    assert statuses(memory) == ["succeeded", "failed", "failed"]
    assert "item 1 is not a list of 2, for x, y" in memory.rows("a")[1].error.message


def test_one_name_is_the_item_itself():
    memory = play("tasks: {a: {with_items: 'x in {{ [[1, 2]] }}', input: {s: '{{ x }}'}}}")
    assert memory.rows("a")[0].result == {"s": [1, 2]}


def test_batches():
    text = "tasks: {a: {with_items: [1, 2, 3], batch_size: 2, input: {b: '{{ item }}', i: '{{ index }}'}}}"
    memory = play(text)
    assert [row.result for row in memory.rows("a")] == [{"b": [1, 2], "i": 0}, {"b": [3], "i": 1}]


def test_many_items_are_inserted_in_chunks_and_stay_within_the_window():
    text = "tasks: {a: {with_items: '{{ range(1203) }}', input: {n: '{{ item }}'}, concurrency: 40}}\noutput_map: {n: '{{ task.a.result | length }}'}"
    run = rehearse(text, batch=50, checked=False)
    memory = run.play()
    works = [c.work for c in memory.commands if isinstance(c, GoOn)]
    assert [(w["first"], len(w["rows"])) for w in works] == [(500, 500), (1000, 203)]
    assert memory.output == {"n": 1203}
    assert memory.items["a", 1].succeeded == 1203
    assert memory.run.open == 0


def test_a_fan_out_that_stops_before_its_last_chunk_skips_the_rest():
    text = "tasks: {a: {with_items: '{{ range(600) }}', concurrency: 1}}"
    run = rehearse(text)
    run.memory.take()
    run._claim()
    run.memory.finish(run.find("a", 0), failed())
    run.memory.inbox.reverse()
    memory = run.play()
    assert memory.items["a", 1].skipped == 599
    assert set(statuses(memory)[1:]) == {"skipped"}
    assert len(statuses(memory)) == 600


def test_sleeping_items_wait_within_the_window():
    sleep = ActionInfo(ref="core.sleep", kind="wait", parameters=ParameterSet(None))
    text = "tasks: {a: {action: core.sleep, with_items: [10, 20, 5], input: {seconds: '{{ item }}'}, concurrency: 1}}"
    memory = play(text, actions=lambda ref: sleep)
    assert (outcome(memory), memory.elapsed) == (("succeeded", None), 35)


def test_delay_applies_to_each_item_from_its_release():
    memory = play("tasks: {a: {with_items: [0, 1, 2], concurrency: 1, delay: 10}}")
    assert memory.elapsed == 30


def test_a_closing_run_skips_what_is_held_and_lets_the_rest_finish():
    run = rehearse("tasks: {a: {with_items: [0, 1, 2], concurrency: 1}, b: {}}")
    run.end("b", failed())
    memory = run.play()
    assert statuses(memory) == ["succeeded", "skipped", "skipped"]
    assert ends(memory) == [("b", 1, "failed"), ("a", 1, "cancelled")]
    assert outcome(memory) == ("failed", "Error")


def test_items_of_two_visits_are_counted_apart():
    run = rehearse("tasks: {a: {next: [{do: c}]}, b: {next: [{do: c}]}, c: {with_items: [0, 1]}}")
    run.end("a")
    run.end("b")
    memory = run.play()
    assert ends(memory)[2:] == [("c", 1, "succeeded"), ("c", 2, "succeeded")]
