"""What one turn reads: its own writes first, then the view, and nothing that is not there."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from driver import ends, play, program

from dramaturg.engine.interpreter.memory import OPENING
from dramaturg.engine.interpreter.state import UNSET, Closing, JoinRound, Lineage, RunState, TaskState
from dramaturg.engine.interpreter.turn import Missing, Turn

RUNNING = RunState(run_id="r", root_id="r", parent_id=None, status="running", created_at=OPENING, open=1)
FLOW = program("vars: {x: 0}\ntasks: {a: {}}")


def turn(view=None, run=RUNNING):
    return Turn(FLOW, run, view or {}, OPENING, b"")


def test_what_is_missing_is_named_all_at_once():
    one = turn({("var", "x"): 1})
    with pytest.raises(Missing) as caught:
        one.require([("var", "x"), ("var", "y"), ("task", "a"), ("join", "j", 1)])
    assert caught.value.keys == {("var", "y"), ("task", "a"), ("join", "j", 1)}


def test_what_this_turn_has_written_need_not_be_loaded():
    one = turn()
    one.variables["x"] = 5
    one.tasks["a"] = TaskState(task="a", visits=2)
    one.joins["j", 1] = JoinRound(task="j", round=1)
    one.require([("var", "x"), ("task", "a"), ("join", "j", 1)])
    assert (one.variable("x"), one.task("a").visits, one.join_round("j", 1).round) == (5, 2, 1)


def test_its_own_writes_come_before_the_view():
    one = turn({("var", "x"): 1, ("vars",): {"x": 1, "y": 2}})
    one.variables["x"] = 5
    assert (one.variable("x"), one.all_variables()) == (5, {"x": 5, "y": 2})


def test_all_variables_answer_for_each_of_them():
    one = turn({("vars",): {"x": None}})
    one.require([("var", "x"), ("var", "y")])
    assert one.variable("x") is None
    assert one.variable("y") is UNSET


def test_before_the_start_nothing_exists_and_nothing_is_loaded():
    one = turn(run=replace(RUNNING, status="requested"))
    one.require([("var", "x"), ("task", "a"), ("join", "j", 1), ("open_items",), ("open_joins",)])
    assert one.variable("x") is UNSET
    assert (one.task("a"), one.join_round("j", 1), one.open_fan_outs(), one.unfired_joins()) == (
        None,
        None,
        [],
        [],
    )
    with pytest.raises(Missing):
        one.require([("action", "pack.work")])


@pytest.mark.parametrize(
    ("closing", "status", "spared", "goes_on"),
    [
        (False, "running", False, True),
        (True, "running", False, False),
        (True, "running", True, True),
        (True, "cancelling", True, False),
    ],
)
def test_what_may_still_start(closing, status, spared, goes_on):
    decided = Closing(status="failed", error=None) if closing else None
    one = turn(run=replace(RUNNING, status=status, closing=decided))
    assert one.goes_on(Lineage(spared=spared)) is goes_on


def test_the_decision_has_only_what_changed():
    one = turn({("var", "x"): 1, ("task", "a"): None})
    one.task("a")
    decision = one.decision()
    assert (decision.run, decision.events, decision.tasks, decision.variables) == (RUNNING, (), (), {})


def test_junctions_in_a_row_are_few_questions():
    """A task that is far away is read with those before it, however many there are."""
    names = [f"j{number}" for number in range(180)]
    lines = [f"  {a}: {{action: null, next: [{{do: {b}}}]}}" for a, b in itertools.pairwise(names)]
    text = "\n".join(["tasks:", "  first: {next: [{do: j0}]}", *lines, f"  {names[-1]}: {{action: null}}"])
    memory = play(text)
    assert len(ends(memory)) == 181
    assert memory.needs < 12


def test_a_junction_with_many_targets_is_few_questions():
    """Each target may have an action of its own."""
    targets = "\n".join(f"  t{number}: {{action: pack.a{number}}}" for number in range(100))
    names = ", ".join(f"t{number}" for number in range(100))
    text = f"tasks:\n  first: {{next: [{{do: j}}]}}\n  j: {{action: null, next: [{{do: [{names}]}}]}}\n{targets}\n"
    memory = play(text)
    assert len(ends(memory)) == 102
    assert memory.needs < 6
