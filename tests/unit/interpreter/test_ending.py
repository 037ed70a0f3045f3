"""How a run ends: closing, cancel, timeouts, its output (LANGUAGE 3, 5 and 10)."""

from __future__ import annotations

import pytest
from driver import ends, outcome, play, program, rehearse

from dramaturg.engine.interpreter.commands import CancelOpen, EndRun, SetDeadline
from dramaturg.engine.interpreter.rehearsal import Answer, failed, succeeded, timed_out
from dramaturg.engine.interpreter.state import ActionInfo, CancelRequested, RunTimedOutInput
from dramaturg.engine.language.schema import ParameterSet


def test_what_runs_is_let_finish_and_its_transitions_are_not_evaluated():
    run = rehearse("tasks: {a: {}, b: {next: [{publish: [{x: 1}], do: c}]}, c: {}}")
    run.end("a", failed("boom"))
    assert run.memory.run.status == "running"
    assert not run.find("b").cancel_requested
    run.end("b", succeeded("kept"))
    memory = run.play()
    assert ends(memory) == [("a", 1, "failed"), ("b", 1, "succeeded")]
    assert memory.visits("b")[0].result == "kept"
    assert memory.variables == {}
    assert not memory.events("transition_fired")


def test_with_cancel_running_what_runs_is_cancelled():
    run = rehearse("cancellation_policy: cancel_running\ntasks: {a: {}, b: {}}")
    run.end("a", failed("boom"))
    assert run.find("b").cancel_requested
    memory = run.play()
    assert ends(memory) == [("a", 1, "failed"), ("b", 1, "cancelled")]
    assert outcome(memory) == ("failed", "Error")


def test_what_only_waits_is_cancelled_at_once():
    sleep = ActionInfo(ref="core.sleep", kind="wait", parameters=ParameterSet(None))
    work = ActionInfo(ref="pack.work", kind="worker", parameters=ParameterSet(None))
    run = rehearse(
        """
tasks:
  a: {}
  sleeps: {action: core.sleep, input: {seconds: 1d}}
  delayed: {delay: 1d}
  backs_off: {retry: {count: 1, delay: 1d}}
""",
        actions={"core.sleep": sleep, "pack.work": work}.get,
    )
    run.end("backs_off", failed())
    run.end("a", failed("boom"))
    memory = run.play()
    assert memory.elapsed == 0
    assert sorted(ends(memory)) == [
        ("a", 1, "failed"),
        ("backs_off", 1, "cancelled"),
        ("delayed", 1, "cancelled"),
        ("sleeps", 1, "cancelled"),
    ]


def test_what_a_worker_has_not_taken_yet_does_not_start():
    run = rehearse("tasks: {a: {next: [{when: succeeded, do: c}]}, b: {next: [{do: c}]}, c: {}}")
    run.end("b")
    run.memory.executions["c", 1, -1].status = "requested"
    run.memory.finish(run.find("a"), failed())
    run.memory.take()
    assert run.memory.executions["c", 1, -1].status == "returned"
    assert ends(run.play())[-1] == ("c", 1, "cancelled")


def test_cancel_cancels_what_runs_and_ends_as_cancelled():
    run = rehearse("tasks: {a: {next: [{do: c}]}, b: {}, c: {}}")
    run.end("b")
    run.memory.apply(CancelRequested(by="kim", reason="not today"))
    assert run.memory.run.status == "cancelling"
    assert run.find("a").cancel_requested
    memory = run.play()
    assert outcome(memory) == ("cancelled", "Cancelled")
    assert memory.end.error.message == "the run was cancelled by kim: not today"
    data = memory.events("cancel_requested")[0].data
    assert (data["by"], data["reason"], data["closing"]["status"]) == ("kim", "not today", "cancelled")


def test_what_ends_well_after_a_cancel_is_recorded_and_leads_nowhere():
    run = rehearse("tasks: {a: {next: [{do: b}]}, b: {}}")
    run.settle()
    run.memory.apply(CancelRequested())
    run.end("a", succeeded("late"))
    memory = run.play()
    assert (ends(memory), memory.visits("a")[0].result) == ([("a", 1, "succeeded")], "late")
    assert outcome(memory) == ("cancelled", "Cancelled")


def test_cancel_of_a_run_that_fails_cancels_what_runs_and_the_first_decision_stands():
    run = rehearse("tasks: {a: {next: [{do: [cleanup, fail]}]}, b: {}, cleanup: {next: [{do: cleanup}]}}")
    run.end("a")
    run.memory.apply(CancelRequested())
    assert run.find("b").cancel_requested
    assert run.find("cleanup").cancel_requested
    memory = run.play()
    assert outcome(memory) == ("failed", "Fail")
    assert [task for task, _, _ in ends(memory)] == ["a", "b", "cleanup"]


def test_cancel_before_the_start():
    run = rehearse("tasks: {a: {}}")
    run.memory.inbox.insert(0, CancelRequested())
    memory = run.play()
    assert (outcome(memory), memory.executions) == (("cancelled", "Cancelled"), {})


def test_the_runs_own_timeout():
    run = rehearse(
        "timeout: '{{ parameters.limit }}'\ntasks: {a: {next: [{when: timed_out, do: b}]}, b: {}}",
        parameters={"limit": "2m"},
    )
    run.settle()
    assert [c.seconds for c in run.memory.commands if isinstance(c, SetDeadline)] == [120.0]
    run.memory.apply(RunTimedOutInput(kind="run", seconds=120))
    assert run.find("a").cancel_requested
    memory = run.play()
    assert outcome(memory) == ("timed_out", "Timeout")
    assert memory.end.error.details["kind"] == "run"
    assert ends(memory) == [("a", 1, "cancelled")]


def test_the_deadline_falls_due_by_itself():
    run = rehearse("timeout: 60\ntasks: {a: {delay: 1d}}")
    memory = run.play()
    assert (outcome(memory), memory.elapsed) == (("timed_out", "Timeout"), 60)


def test_inputs_of_a_run_that_has_ended_change_nothing():
    memory = play("tasks: {a: {}}")
    before = (memory.run, len(memory.history), len(memory.commands))
    memory.apply(CancelRequested(), RunTimedOutInput(kind="run", seconds=1))
    assert (memory.run, len(memory.history), len(memory.commands)) == before


def test_nothing_is_cancelled_where_nothing_is_open():
    memory = play("tasks: {a: {}}", {"a": failed()})
    assert [c for c in memory.commands if isinstance(c, CancelOpen)] == []
    assert len([c for c in memory.commands if isinstance(c, EndRun)]) == 1


# --- output --------------------------------------------------------------------------------------------------


def test_output_is_rendered_in_order_and_sees_the_entries_before():
    text = "tasks: {a: {}}\noutput_map: {x: '{{ task.a.result }}', y: '{{ output.x + 1 }}'}"
    memory = play(text, {"a": succeeded(1)})
    assert (memory.output, outcome(memory)) == ({"x": 1, "y": 2}, ("succeeded", None))


def test_without_an_output_map_the_output_is_empty():
    assert play("tasks: {a: {}}").output == {}


BAD = "tasks: {a: {}}\noutput_map: {x: 1, y: '{{ parameters.no }}', z: '{{ output.y }}', w: '{{ output.x + 1 }}'}"


def test_after_success_an_entry_that_does_not_render_makes_the_run_failed():
    memory = play(BAD)
    assert outcome(memory) == ("failed", "ExpressionError")
    assert "output_map.y" in memory.end.error.message
    assert memory.output == {"x": 1, "w": 2}
    assert [error["details"]["place"] for error in memory.history[-1].data["errors"]] == ["output_map.z"]


def test_after_any_other_end_what_does_not_render_is_left_out_and_noted():
    memory = play(BAD, {"a": timed_out()})
    assert outcome(memory) == ("timed_out", "Timeout")
    assert memory.output == {"x": 1, "w": 2}
    places = [error["details"]["place"] for error in memory.history[-1].data["errors"]]
    assert places == ["output_map.y", "output_map.z"]


OUTPUT = (
    "output: {n: {type: integer, required: true}}\ntasks: {a: {}}\noutput_map: {n: '{{ task.a.result }}'}"
)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (succeeded(1), ("succeeded", None)),
        (succeeded("x"), ("failed", "InvalidOutput")),
        (Answer(status="failed", result="x", error=failed().error), ("failed", "Error")),
    ],
)
def test_an_output_that_its_schema_refuses_makes_a_success_failed(answer, expected):
    memory = play(OUTPUT, {"a": answer})
    assert outcome(memory) == expected
    assert memory.output == {"n": answer.result}
    assert "errors" not in memory.history[-1].data


def test_the_end_is_the_last_event_and_tells_the_error():
    memory = play("tasks: {a: {}}", {"a": failed("boom")})
    last = memory.history[-1]
    assert (last.type, last.status, last.data["error"]["message"]) == ("run_ended", "failed", "boom")
    assert (memory.run.status, memory.run.open) == ("failed", 0)
    assert [e.type for e in memory.history].count("run_ended") == 1


# --- the start -----------------------------------------------------------------------------------------------


def test_vars_are_rendered_in_order():
    memory = play(
        "vars: {a: '{{ parameters.p }}', b: '{{ a * 2 }}', c: {k: ['{{ b }}']}}\ntasks: {t: {}}",
        parameters={"p": 4},
    )
    assert memory.variables == {"a": 4, "b": 8, "c": {"k": [8]}}
    assert memory.history[1].data == {"values": memory.variables}


def test_vars_that_do_not_render_fail_the_run_before_anything_starts():
    memory = play(
        "vars: {a: 1, b: '{{ parameters.no }}'}\ntasks: {t: {}}\noutput_map: {a: '{{ a }}', b: '{{ b }}'}"
    )
    assert outcome(memory) == ("failed", "ExpressionError")
    assert "vars.b" in memory.end.error.message
    assert memory.executions == {}
    assert memory.output == {"a": 1}


@pytest.mark.parametrize("timeout", ["'{{ parameters.no }}'", "'{{ [] }}'"])
def test_a_timeout_that_makes_no_sense_fails_the_run(timeout):
    memory = play(f"timeout: {timeout}\ntasks: {{a: {{}}}}")
    assert outcome(memory) == ("failed", "ExpressionError")
    assert "timeout" in memory.end.error.message


def test_all_entry_points_start_at_once():
    run = rehearse("tasks: {a: {next: [{do: c}]}, b: {}, c: {}}")
    run.settle()
    assert [one.made.task for one in run._running()] == ["a", "b"]


def test_start_names_the_entry_points_of_a_loop():
    assert program("start: [b]\ntasks: {a: {next: [{do: b}]}, b: {next: [{do: a}]}}").entry == ("b",)
