"""Entering a task: skips, junctions, what it asks for, and what cannot be started (LANGUAGE 4 and 5)."""

from __future__ import annotations

import pytest
from driver import ACTION, ends, outcome, play, rehearse

from dramaturg.engine.interpreter.commands import Schedule
from dramaturg.engine.interpreter.rehearsal import failed, succeeded, workers
from dramaturg.engine.interpreter.state import ActionInfo
from dramaturg.engine.language.schema import ParameterSet


def action(ref="pack.strict", kind="worker", **more):
    parameters = ParameterSet({"width": {"type": "integer", "required": True}, "unit": {"default": "cm"}})
    return ActionInfo(ref=ref, kind=kind, parameters=parameters, **more)


def catalog(**infos):
    known = {info.ref: info for info in infos.values()}
    return lambda ref: known.get(ref) or (workers()(ref) if ref == ACTION else None)


SLEEP = ActionInfo(ref="core.sleep", kind="wait", parameters=ParameterSet(None))


def schedule(text, **more) -> Schedule:
    run = rehearse(text, **more)
    run.settle()
    return run.find("a").made


def test_an_execution_has_what_the_task_says():
    made = schedule(
        """
vars: {n: 4, wait: 2h}
tasks:
  a:
    action: "pack.{{ 'str' + 'ict' }}"
    input: {width: "{{ workflow.n * 2 }}"}
    delay: "{{ workflow.wait }}"
    timeout: 5m
    queue: slow
    priority: "{{ workflow.n }}"
    on_lost: fail
    retry: {count: "{{ workflow.n }}", delay: 1m, backoff: exponential, max_delay: 1h, non_retryable: [KeyError]}
""",
        actions=catalog(one=action(digest="d1")),
    )
    assert (made.action, made.kind, made.digest) == ("pack.strict", "worker", "d1")
    assert made.input == {"width": 8, "unit": "cm"}
    assert (made.status, made.due, made.timeout) == ("scheduled", 7200.0, 300.0)
    assert (made.queue, made.priority, made.once) == ("slow", 4, True)
    retry = {
        "count": 4,
        "delay": 60.0,
        "backoff": "exponential",
        "factor": 2.0,
        "max_delay": 3600.0,
        "jitter": 0.0,
    }
    assert made.policy["retry"] == {**retry, "non_retryable": ["KeyError"]}
    assert made.policy["on_lost"] == "fail"
    assert made.policy["kind"] == "worker"


def test_what_a_task_does_not_say_is_the_actions():
    info = action(timeout=7.0, queue="q", retry={"count": 1})
    made = schedule("tasks: {a: {action: pack.strict, input: {width: 1}}}", actions=catalog(one=info))
    assert (made.timeout, made.queue, made.policy["retry"]) == (7.0, "q", {"count": 1})
    assert (made.status, made.due, made.once) == ("requested", None, False)


def test_a_nested_run_starts_with_its_revision():
    info = ActionInfo(ref="pack.flow", kind="workflow", parameters=ParameterSet(None), digest="d9")
    run = rehearse("tasks: {a: {action: pack.flow}}", actions=catalog(one=info))
    run.settle()
    made = run.find("a").made
    assert (made.kind, made.status, made.digest) == ("workflow", "running", "d9")
    assert run.memory.events("child_started", "a")[0].data == {"action": "pack.flow", "revision": "d9"}


def test_a_sleep_waits_without_a_worker():
    text = "tasks: {a: {action: core.sleep, input: {seconds: 90s}, delay: 10, next: [{do: b}]}, b: {}}"
    memory = play(text, actions=catalog(one=SLEEP))
    made = memory.visits("a")[0].made
    assert (made.kind, made.status, made.due) == ("wait", "waiting", 100.0)
    assert memory.elapsed == 100
    assert memory.events("timer_started")[0].data == {"due": "2026-01-01T00:01:40.000000Z"}
    assert [e.type for e in memory.history if e.task == "a"] == [
        "task_scheduled",
        "timer_started",
        "timer_fired",
        "task_completed",
        "transition_fired",
    ]


def test_a_sleep_until_a_time():
    text = "tasks: {a: {action: core.sleep, input: {until: '2026-01-01T00:00:30Z'}}}"
    assert play(text, actions=catalog(one=SLEEP)).elapsed == 30


def test_a_sleep_that_is_longer_than_its_timeout_times_out():
    text = "tasks: {a: {action: core.sleep, input: {seconds: 90}, timeout: 5}}"
    memory = play(text, actions=catalog(one=SLEEP))
    assert (outcome(memory), memory.elapsed) == (("timed_out", "Timeout"), 5)
    assert memory.end.error.details == {"kind": "start_to_close", "seconds": 5.0}


@pytest.mark.parametrize(
    "given", ["{}", "{seconds: 1, until: '2026-01-01'}", "{seconds: soon}", "{until: 5}", "{until: tomorrow}"]
)
def test_a_sleep_that_does_not_say_how_long_is_a_failure_of_the_task(given):
    text = f"tasks: {{a: {{action: core.sleep, input: {given}, next: [{{when: failed, do: b}}]}}, b: {{}}}}"
    memory = play(text, actions=catalog(one=SLEEP))
    assert memory.visits("a")[0].error.type == "InvalidInput"
    assert outcome(memory) == ("succeeded", None)


def test_a_junction_succeeds_at_once():
    memory = play("tasks: {a: {action: null, next: [{when: succeeded, do: b}]}, b: {}}")
    assert ends(memory) == [("a", 1, "succeeded"), ("b", 1, "succeeded")]
    row = memory.visits("a")[0]
    assert (row.made.kind, row.status, row.result) == ("junction", "succeeded", None)


@pytest.mark.parametrize(
    ("condition", "fires"),
    [("skipped", True), ("completed", True), ("always", True), ("succeeded", False), ("failed", False)],
)
def test_a_task_whose_when_is_false_is_skipped(condition, fires):
    memory = play(f"tasks: {{a: {{when: '{{{{ 1 > 2 }}}}', next: [{{when: {condition}, do: b}}]}}, b: {{}}}}")
    assert ends(memory) == [("a", 1, "skipped"), ("b", 1, "succeeded")][: 2 if fires else 1]
    assert outcome(memory) == ("succeeded", None)
    assert [e.type for e in memory.history if e.task == "a"][:2] == ["task_skipped", "task_completed"]
    assert memory.visits("a")[0].status == "skipped"


def test_a_task_whose_when_is_true_runs():
    assert ends(play("tasks: {a: {when: '{{ 2 > 1 }}'}}")) == [("a", 1, "succeeded")]


@pytest.mark.parametrize(
    ("task", "kind", "says"),
    [
        ("action: pack.nothing", "UnknownAction", "pack.nothing: there is no such action"),
        ("action: pack.off", "UnknownAction", "pack.off: the action is disabled"),
        ("action: '{{ [1] }}'", "ExpressionError", "tasks.a.action: must be text"),
        ("action: '{{ none }}'", "UnknownAction", "tasks.a.action: it names no action"),
        ("when: '{{ parameters.no }}'", "ExpressionError", "tasks.a.when"),
        ("input: {x: '{{ parameters.no }}'}", "ExpressionError", "tasks.a.input.x"),
        ("with_items: '{{ parameters.no }}'", "ExpressionError", "tasks.a.with_items"),
        ("with_items: '{{ {} }}'", "ExpressionError", "with_items needs a list, and this is a map"),
        ("with_items: '{{ 3 }}'", "ExpressionError", "with_items needs a list, and this is a number"),
        ("delay: '{{ -1 }}'", "ExpressionError", "tasks.a.delay: delay must be seconds"),
        ("timeout: '{{ [] }}'", "ExpressionError", "tasks.a.timeout: timeout must be seconds"),
        ("priority: '{{ 1.5 }}'", "ExpressionError", "tasks.a.priority: priority must be a whole number"),
        ("retry: {count: '{{ -1 }}'}", "ExpressionError", "tasks.a.retry.count: count must be 0 or more"),
        ("retry: {count: 1, jitter: '{{ 2 }}'}", "ExpressionError", "jitter must be a number from 0 to 1"),
        ("{with_items: [1], concurrency: '{{ 0 }}'}", "ExpressionError", "concurrency must be 1 or more"),
        ("action: pack.strict", "InvalidInput", "width"),
        ("{action: pack.strict, input: {width: a}}", "InvalidInput", "width"),
        ("{action: pack.strict, input: {width: 1, hight: 2}}", "InvalidInput", "hight"),
    ],
)
def test_what_cannot_be_started_is_a_failure_of_the_task(task, kind, says):
    body = task if task.startswith("{") else "{" + task + "}"
    text = f"tasks:\n  a: {body[:-1]}, next: [{{when: failed, publish: [{{e: '{{{{ error() }}}}'}}], do: b}}]}}\n  b: {{}}"
    memory = play(text, actions=catalog(one=action(), two=action("pack.off", enabled=False)))
    assert ends(memory) == [("a", 1, "failed"), ("b", 1, "succeeded")]
    error = memory.variables["e"]
    assert error["type"] == kind
    assert says in error["message"]
    assert (error["task"], error["visit"]) == ("a", 1)
    assert memory.visits("a")[0].error.to_json() == error
    assert outcome(memory) == ("succeeded", None)


def test_what_cannot_be_started_and_is_not_handled_fails_the_run():
    memory = play("tasks: {a: {action: pack.nothing, retry: {count: 3}}}", actions=catalog())
    assert outcome(memory) == ("failed", "UnknownAction")
    assert memory.elapsed == 0


def test_explicit_null_is_a_value_and_defaults_fill_what_is_missing():
    made = schedule(
        "tasks: {a: {action: pack.strict, input: {width: 1, unit: null}}}", actions=catalog(one=action())
    )
    assert made.input == {"width": 1, "unit": None}


def test_numbers_that_are_null_are_not_given():
    made = schedule("tasks: {a: {timeout: '{{ none }}', delay: '{{ none }}', queue: '{{ none }}'}}")
    assert (made.timeout, made.due, made.queue, made.status) == (None, None, "default", "requested")


def test_nothing_is_passed_that_is_not_written():
    assert schedule("vars: {x: 1}\ntasks: {a: {}}", parameters={"y": 2}).input == {}


def test_system_and_config_and_the_visit_before():
    text = """
start: [a]
tasks:
  a:
    input: {s: "{{ system }}", before: "{{ task.a.result }}", visit: "{{ task.a.visit }}"}
    next: [{when: "{{ task.a.visit < 2 }}", do: a}]
"""
    run = rehearse(text)
    memory = run.play()
    one, two = [row.made.input for row in memory.visits("a")]
    assert (one["before"], one["visit"]) == (None, None)
    assert (two["before"], two["visit"]) == (one, 1)
    assert two["s"]["visit"] == 2
    expected = {
        "run_id": "rehearsal",
        "root_id": "rehearsal",
        "parent_id": None,
        "workflow": "pack.flow",
        "task": "a",
    }
    assert expected.items() <= one["s"].items()
    assert one["s"]["workflow_start"] == one["s"]["now"] == "2026-01-01T00:00:00.000000Z"


def test_the_packs_configuration():
    text = "vars: {region: '{{ config.region }}'}\ntasks: {a: {input: {r: '{{ config.region }}'}}}\noutput_map: {r: '{{ config.region }}{{ region }}'}"
    memory = play(text, config={"region": "eu"})
    assert (memory.visits("a")[0].made.input, memory.output) == ({"r": "eu"}, {"r": "eueu"})


def test_fields_of_tasks():
    memory = play(
        """
tasks:
  a: {retry: {count: 1}, next: [{do: [b]}]}
  b: {with_items: [1], input: {i: "{{ item }}"}, next: [{do: c}]}
  c: {next: [{when: failed, do: noop}, {when: false, do: never}]}
  never: {}
output_map:
  a: "{{ task.a }}"
  b: "{{ task.b.items }}"
  c: "{{ task.c.error.message }}"
  never: "{{ [task.never.status, task.never.result, task.never.visit] }}"
""",
        {"a": [failed(), succeeded("done")], "c": failed("boom")},
    )
    a = memory.output["a"]
    expected = {
        "status": "succeeded",
        "result": "done",
        "error": None,
        "attempts": 2,
        "visit": 1,
        "execution_id": 1,
    }
    assert a == {**expected, "items": None}
    assert memory.output["b"] == [{"status": "succeeded", "result": {"i": 1}, "error": None}]
    assert memory.output["c"] == "boom"
    assert memory.output["never"] == [None, None, None]


def test_one_visit_more_than_the_limit_ends_the_run_and_nothing_can_catch_it():
    text = "limits: {visits: 3}\nstart: [a]\ntasks: {a: {next: [{do: a}, {when: failed, do: b}]}, b: {}}"
    memory = play(text)
    assert outcome(memory) == ("failed", "LimitExceeded")
    assert (memory.end.error.task, memory.end.error.visit) == ("a", 4)
    assert ends(memory) == [("a", visit, "succeeded") for visit in (1, 2, 3)]


def test_a_variable_that_nothing_has_set_is_an_error_that_names_it():
    text = """
tasks:
  a: {input: {x: "{{ workflow.late }}"}, next: [{when: failed, publish: [{e: "{{ error().message }}"}]}, {do: b}]}
  b: {next: [{publish: [{late: 1}]}]}
"""
    assert "late" in play(text).variables["e"]


def test_a_variable_that_is_null_is_set():
    assert schedule("vars: {x: null}\ntasks: {a: {input: {x: '{{ x }}', y: '{{ workflow }}'}}}").input == {
        "x": None,
        "y": {"x": None},
    }
