"""Tokens, rounds and joins (LANGUAGE 6)."""

from __future__ import annotations

import pytest
from driver import ends, outcome, play, rehearse

from dramaturg.engine.interpreter.joins import highest, round_of
from dramaturg.engine.interpreter.rehearsal import failed, succeeded
from dramaturg.engine.interpreter.state import Lineage

DIAMOND = """
tasks:
  a: {next: [{do: [b, c]}]}
  b: {next: [{do: d}]}
  c: {next: [{do: d}]}
  d: {JOIN}
"""


def visits(memory, task):
    return sum(name == task for name, _, _ in ends(memory))


def test_without_a_join_every_token_is_a_visit():
    assert visits(play(DIAMOND.replace("JOIN", "")), "d") == 2


def test_a_join_waits_for_every_predecessor():
    run = rehearse(DIAMOND.replace("JOIN", "join: all"))
    run.end("a")
    run.end("b")
    assert not run.memory.visits("d")
    run.end("c")
    assert len(run.memory.visits("d")) == 1
    assert outcome(run.play()) == ("succeeded", None)


def test_a_join_of_n_starts_once_and_swallows_what_comes_later():
    run = rehearse(DIAMOND.replace("JOIN", "join: 1"))
    run.end("a")
    run.end("c")
    run.end("b")
    memory = run.play()
    assert visits(memory, "d") == 1
    assert memory.events("join_arrived")[-1].data == {"from": "b", "round": 1, "swallowed": True}


def test_a_second_token_of_one_predecessor_is_recorded_and_counts_once():
    memory = play("""
tasks:
  a: {next: [{do: [b, c]}]}
  b: {next: [{do: d}, {do: d}]}
  c: {next: [{do: d}]}
  d: {join: all}
""")
    assert [e.data.get("duplicate", False) for e in memory.events("join_arrived")] == [False, True, False]
    assert visits(memory, "d") == 1


def test_events_of_a_join_carry_it_as_their_task():
    memory = play(DIAMOND.replace("JOIN", "join: all"))
    assert [(e.task, e.data["from"]) for e in memory.events("join_arrived")] == [("d", "b"), ("d", "c")]
    assert [(e.task, e.data["round"]) for e in memory.events("join_fired")] == [("d", 1)]


LOOP = """
vars: {n: 0}
start: [a]
tasks:
  a: {next: [{publish: [{n: "{{ workflow.n + 1 }}"}], do: [b, c]}]}
  b: {next: [{do: d}]}
  c: {next: [{do: d}]}
  d: {join: all, next: [{when: "{{ workflow.n < 3 }}", do: a}]}
"""


def test_in_a_loop_each_turn_has_its_own_round():
    memory = play(LOOP)
    assert visits(memory, "d") == 3
    assert [e.data["round"] for e in memory.events("join_fired")] == [1, 2, 3]
    assert outcome(memory) == ("succeeded", None)


def test_a_slow_branch_of_the_last_turn_is_not_taken_for_one_of_this_turn():
    run = rehearse(LOOP.replace("join: all", "join: 1"))
    for task in ("a", "b", "d", "a"):
        run.end(task)
    late = run.memory.executions["c", 1, -1]
    run.memory.finish(late, succeeded())
    run.settle()
    assert run.memory.events("join_arrived")[-1].data == {"from": "c", "round": 1, "swallowed": True}
    assert len(run.memory.visits("d")) == 1
    assert outcome(run.play()) == ("succeeded", None)
    assert visits(run.memory, "d") == 3


def test_a_join_that_cannot_be_satisfied_fails_the_run_and_names_who_did_not_arrive():
    text = """
tasks:
  a: {next: [{when: succeeded, do: [b, c]}]}
  b: {next: [{do: d}]}
  c: {next: [{when: failed, do: d}]}
  d: {join: all}
"""
    memory = play(text)
    assert outcome(memory) == ("failed", "UnreachableJoin")
    assert "'d'" in memory.end.error.message
    expected = {"task": "d", "round": 1, "arrived": ["b"], "missing": ["c"]}
    assert memory.end.error.details == {"joins": [expected]}
    assert "c did not arrive" in memory.end.error.message


def test_every_join_that_hangs_is_named():
    memory = play("""
tasks:
  a: {next: [{do: [x, y]}]}
  b: {next: [{when: failed, do: [x, y]}]}
  x: {join: all}
  y: {join: all}
""")
    assert [one["task"] for one in memory.end.error.details["joins"]] == ["x", "y"]


def test_a_join_that_nobody_reached_is_simply_not_run():
    text = """
tasks:
  a: {next: [{when: failed, do: d}]}
  b: {next: [{when: failed, do: d}]}
  d: {join: all}
"""
    assert outcome(play(text)) == ("succeeded", None)


def test_an_unreachable_join_is_no_news_to_a_run_that_fails_anyway():
    text = DIAMOND.replace("c: {next: [{do: d}]}", "c: {next: [{when: succeeded, do: d}]}")
    memory = play(text.replace("JOIN", "join: all"), {"c": failed()})
    assert outcome(memory) == ("failed", "Error")


def test_spared_tokens_keep_a_join_going():
    text = """
tasks:
  a: {next: [{do: [b, c, fail]}]}
  b: {next: [{do: d}]}
  c: {next: [{do: d}]}
  d: {join: all, next: [{do: e}]}
  e: {}
"""
    memory = play(text)
    assert outcome(memory) == ("failed", "Fail")
    assert visits(memory, "e") == 1


def test_nested_loops_of_joins_count_each_in_the_tokens_own_past():
    memory = play("""
vars: {outer: 0, inner: 0}
start: [a]
tasks:
  a: {next: [{publish: [{outer: "{{ outer + 1 }}"}, {inner: 0}], do: [b]}]}
  b: {next: [{publish: [{inner: "{{ inner + 1 }}"}], do: [p, q]}]}
  p: {next: [{do: j}]}
  q: {next: [{do: j}]}
  j: {join: all, next: [{when: "{{ inner < 2 }}", do: b}, {when: "{{ inner >= 2 }}", do: [x, y]}]}
  x: {next: [{do: k}]}
  y: {next: [{do: k}]}
  k: {join: all, next: [{when: "{{ outer < 2 }}", do: a}]}
""")
    assert outcome(memory) == ("succeeded", None)
    assert (visits(memory, "j"), visits(memory, "k")) == (4, 2)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [({}, {}, {}), ({"j": 1}, {}, {"j": 1}), ({"j": 1, "k": 5}, {"j": 3}, {"j": 3, "k": 5})],
)
def test_a_join_takes_the_highest_count_of_its_inputs(one, other, expected):
    assert highest(one, other) == highest(other, one) == expected


def test_a_round_is_one_more_than_those_in_the_tokens_past():
    assert round_of("j", Lineage()) == 1
    assert round_of("j", Lineage(joins={"j": 2, "k": 7})) == 3
