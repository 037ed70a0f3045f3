"""The entry itself: purity, what it asks for, long decisions, long runs (DESIGN 4)."""

from __future__ import annotations

import itertools
import json
import sys

import pytest
from driver import ends, outcome, play, program, rehearse

from dramaturg.engine.errors import InternalError
from dramaturg.engine.interpreter import advance as module
from dramaturg.engine.interpreter.advance import ALONE, advance, reads
from dramaturg.engine.interpreter.commands import Decision, GoOn
from dramaturg.engine.interpreter.memory import OPENING
from dramaturg.engine.interpreter.rehearsal import failed, succeeded, workers
from dramaturg.engine.interpreter.state import (
    CancelRequested,
    Continue,
    Lineage,
    Need,
    Returned,
    RunState,
    Started,
)

FLOW = """
vars: {n: 0}
tasks:
  a: {next: [{when: succeeded, publish: [{n: "{{ result() }}"}], do: [b, c]}]}
  b: {input: {x: "{{ workflow.n }}", y: "{{ parameters.p }}", z: "{{ task.a.result }}"}, next: [{do: d}]}
  c: {next: [{do: d}]}
  d: {join: all}
output_map: {n: "{{ n }}"}
"""


def returned(task="a", **more):
    values = {"execution_id": 1, "task": task, "visit": 1, "item": -1, "attempt": 1, "status": "succeeded"}
    return Returned(**{**values, "error": None, "lineage": Lineage(), "policy": {}, **more})


def test_equal_arguments_give_equal_results():
    text = FLOW.replace("workflow.n }", "[uuid(), random(), now()] }")
    one, two = (play(text, {"a": succeeded(5)}, parameters={"p": 1}) for _ in "ab")
    assert one.history == two.history
    assert one.commands == two.commands


def test_other_entropy_gives_other_values_and_both_are_in_the_history():
    compiled = program("tasks: {a: {input: {id: '{{ uuid() }}', r: '{{ random() }}', t: '{{ now() }}'}}}")
    run = RunState(run_id="r", root_id="r", parent_id=None, status="requested", created_at=OPENING)
    view = {("action", "pack.work"): workers()("pack.work")}
    ids = set()
    for seed in (b"1", b"2"):
        decision = advance(compiled, run, view, [Started()], OPENING, seed)
        assert isinstance(decision, Decision)
        values = decision.commands[0].input
        drawn = [["uuid", values["id"]], ["random", values["r"]], ["now", values["t"]]]
        assert [e.data["entropy"] for e in decision.events if "entropy" in e.data] == [drawn]
        assert values["id"][14] == "4"
        assert 0 <= values["r"] < 1
        ids.add(values["id"])
    assert len(ids) == 2


def test_what_a_condition_drew_that_did_not_hold_is_recorded_too():
    memory = play("tasks: {a: {next: [{when: '{{ random() > 2 }}', do: b}]}, b: {}}")
    assert [e.type for e in memory.history if "entropy" in e.data] == ["task_completed"]


def test_need_names_what_is_missing_all_at_once():
    compiled = program(FLOW)
    run = RunState(run_id="r", root_id="r", parent_id=None, status="running", created_at=OPENING, open=1)
    need = advance(compiled, run, {}, [returned()], OPENING, b"")
    assert isinstance(need, Need)
    assert need.keys >= {("task", "a")}
    assert all(key[1] in compiled.tasks for key in need.keys - reads(compiled, [returned()]))


@pytest.mark.parametrize("batch", [1, 7])
def test_a_run_ends_the_same_whatever_is_loaded_first(batch):
    one = play(FLOW, {"a": succeeded(5)}, parameters={"p": 1}, batch=batch)
    other = play(FLOW, {"a": succeeded(5)}, parameters={"p": 1}, preload=False, batch=batch)
    assert one.history == other.history
    assert one.needs == 0
    assert other.needs > 0


def test_what_is_read_of_the_task_before_needs_no_second_question():
    text = "tasks: {a: {next: [{do: b}]}, b: {input: {x: '{{ task.a.result }}', y: '{{ task.a.status }}'}}}"
    assert play(text).needs == 0


def test_a_join_and_its_round_are_loaded_first():
    compiled = program(FLOW)
    keys = reads(compiled, [returned("b", lineage=Lineage(joins={"d": 2}))])
    assert ("join", "d", 3) in keys


def test_reads_of_what_closes_a_run_has_its_output_and_open_items():
    compiled = program("vars: {n: 1}\ntasks: {a: {with_items: [1]}}\noutput_map: {n: '{{ n }}'}")
    assert reads(compiled, [CancelRequested()]) == {("var", "n"), ("open_items",)}


def test_a_result_that_nobody_reads_is_not_loaded():
    compiled = program("tasks: {a: {next: [{when: succeeded, do: b}]}, b: {}}")
    assert not {key for key in reads(compiled, [returned()]) if key[0] == "result"}


def test_of_an_item_only_its_fan_out_is_loaded():
    compiled = program("tasks: {a: {with_items: [1], next: [{publish: [r]}]}}")
    assert reads(compiled, [returned(item=3)]) == {("task", "a"), ("items", "a", 1)}


def test_two_inputs_at_once_are_as_one_after_the_other():
    def types(batch):
        memory = play("tasks: {a: {next: [{do: c}]}, b: {next: [{do: c}]}, c: {join: all}}", batch=batch)
        return [(e.type, e.task) for e in memory.history]

    assert types(1) == types(2)


def test_a_long_row_of_junctions_is_cut_into_several_decisions():
    names = [f"j{n}" for n in range(2 * ALONE + 50)]
    tasks = [f"  {a}: {{action: null, next: [{{do: {b}}}]}}\n" for a, b in itertools.pairwise(names)]
    memory = play("tasks:\n" + "".join(tasks) + f"  {names[-1]}: {{action: null}}", checked=False)
    assert len(ends(memory)) == len(names)
    assert (memory.advances, outcome(memory)) == (3, ("succeeded", None))


def test_a_loop_of_junctions_ends_at_the_limit():
    memory = play(
        "start: [a]\nlimits: {visits: 450}\ntasks: {a: {action: null, next: [{do: a}]}}", checked=False
    )
    assert outcome(memory) == ("failed", "LimitExceeded")
    assert memory.advances == 3


def test_tokens_that_wait_are_dropped_when_the_run_closes():
    text = "start: [a, z]\ntasks: {a: {action: null, next: [{do: a}]}, z: {}}"
    run = rehearse(text, checked=True)
    run.memory.take()
    work = [c.work for c in run.memory.commands if isinstance(c, GoOn)]
    assert [token["task"] for token in work[0]["tokens"]] == ["a"]
    run.memory.apply(CancelRequested())
    memory = run.play()
    assert outcome(memory) == ("cancelled", "Cancelled")
    assert len(memory.visits("a")) == ALONE


def test_tokens_keep_their_past_and_whether_they_are_spared():
    tokens = [{"task": "d", "origin": "b", "joins": {"d": 1}, "spared": True}]
    work = json.loads(json.dumps({"kind": "tokens", "tokens": tokens}))
    assert ("join", "d", 2) in reads(program(FLOW), [Continue(work=work)])
    assert module._token_to_json(module._token_from_json(tokens[0])) == tokens[0]


def test_work_of_an_unknown_kind_is_a_bug_of_ours():
    run = RunState(run_id="r", root_id="r", parent_id=None, status="running", created_at=OPENING, open=1)
    with pytest.raises(InternalError, match="unknown kind: 'x'"):
        advance(program(FLOW), run, {}, [Continue(work={"kind": "x"})], OPENING, b"")


def chain(length):
    tasks = [f"  t{n}: {{next: [{{do: t{n + 1}}}]}}\n" for n in range(length)]
    return "tasks:\n" + "".join(tasks) + f"  t{length}: {{}}\n"


def calls(function):
    """Return how many Python functions a call enters: a cost that no clock is needed for."""
    count = 0

    def tell(frame, event, argument):
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(tell)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


def test_a_step_costs_the_same_in_a_run_of_ten_and_of_a_thousand_tasks():
    costs = []
    for length in (10, 1000):
        run = rehearse(chain(length), checked=False)
        while len(run.memory.tasks) < length:
            run.end(f"t{len(run.memory.tasks) - 1}") if run.memory.tasks else run.settle()
        memory = run.memory
        step = returned(f"t{length - 1}", execution_id=length)
        view = {key: memory._answer(key) for key in reads(memory.program, [step])}
        costs.append(calls(lambda: advance(memory.program, memory.run, view, [step], OPENING, b"")))  # noqa: B023
    assert costs[0] == costs[1]


def test_a_thousand_tasks_need_a_thousand_advances_and_no_question():
    memory = play(chain(1000), checked=False)
    assert (memory.advances, memory.needs) == (1002, 0)
    assert [e.seq for e in memory.history] == list(range(1, len(memory.history) + 1))


def test_an_error_of_a_visit_that_closes_is_written_once():
    memory = play("tasks: {a: {}}", {"a": failed("boom")})
    completed = memory.events("task_completed")[0]
    assert completed.data["closing"] == {"status": "failed"}
