"""The store in memory and the player: that they can be trusted with the other tests."""

from __future__ import annotations

import pytest
from driver import ends, outcome, play, program, rehearse

from dramaturg.engine.errors import InternalError
from dramaturg.engine.interpreter.rehearsal import failed, succeeded, workers
from dramaturg.engine.interpreter.state import ActionInfo
from dramaturg.engine.language.schema import ParameterSet

INNER = "tasks: {x: {input: {n: '{{ parameters.n }}'}}}\noutput_map: {n: '{{ task.x.result.n * 2 }}'}"
OUTER = "tasks: {a: {action: pack.inner, input: {n: 4}, retry: {count: 1}}}\noutput_map: {r: '{{ task.a.result }}'}"


def nested(ref):
    if ref == "pack.inner":
        return ActionInfo(ref=ref, kind="workflow", parameters=ParameterSet(None), digest="d")
    return workers()(ref)


def test_a_nested_workflow_is_played_too():
    run = rehearse(OUTER, actions=nested, programs={"pack.inner": program(INNER, "pack.inner")})
    memory = run.play()
    assert memory.output == {"r": {"n": 8}}
    assert [outcome(child) for child in run.children.values()] == [("succeeded", None)]


def test_a_nested_run_that_fails_is_retried_as_another_run():
    programs = {"pack.inner": program(INNER, "pack.inner")}
    memory = play(OUTER, {"x": [failed(), succeeded({"n": 1})]}, actions=nested, programs=programs)
    assert memory.output == {"r": {"n": 2}}
    assert memory.visits("a")[0].attempt == 2


def test_a_choice_decides_who_ends_next():
    text = "tasks: {a: {}, b: {}, c: {}}"
    assert [task for task, _, _ in ends(play(text, choose=lambda running: -1))] == ["c", "b", "a"]


def test_a_run_that_hangs_is_found():
    run = rehearse("tasks: {a: {}}")
    run.settle()
    run.find("a").status = "paused"
    with pytest.raises(InternalError, match="the run hangs"):
        run.play()


def test_counts_that_are_wrong_are_found():
    run = rehearse("tasks: {a: {with_items: [1, 2]}}")
    run.settle()
    run.memory.rows("a")[0].status = "succeeded"
    with pytest.raises(InternalError, match="says other than its 2 rows, of which 0 run"):
        run.end("a", item=1)


def test_an_execution_is_never_made_twice():
    run = rehearse("tasks: {a: {}}")
    run.settle()
    with pytest.raises(InternalError, match="made twice"):
        run.memory._obey(run.find("a").made)
