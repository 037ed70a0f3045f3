"""The outcome does not depend on the order in which siblings happen to finish (LANGUAGE 6)."""

from __future__ import annotations

from typing import Any

from driver import ends, outcome, play
from hypothesis import given, settings
from hypothesis import strategies as st

from dramaturg.engine.interpreter.rehearsal import failed, succeeded, timed_out

#: No unhandled failure, no `join: N`, no `succeed`, nothing read that another branch still writes.
INDIFFERENT = """
vars: {n: 0}
start: [a]
tasks:
  a: {next: [{publish: [{n: "{{ n + 1 }}"}], do: [b, c, e]}]}
  b: {retry: {count: 1, delay: 1}, next: [{when: failed, do: b2}, {when: succeeded, do: d}]}
  b2: {next: [{do: d}]}
  c: {with_items: [0, 1, 2, 3], concurrency: 2, on_item_failure: run_all, next: [{do: d}]}
  e: {delay: 1, next: [{when: completed, do: d}]}
  d: {join: 3, next: [{when: "{{ n < 3 }}", do: a}, {when: "{{ n >= 3 }}", do: z}]}
  z: {input: {c: "{{ task.c.result }}", e: "{{ task.e.status }}"}}
output_map: {z: "{{ task.z.result }}", n: "{{ n }}"}
"""

#: Failures that nobody handles, and commands.
QUARRELSOME = """
vars: {n: 0}
tasks:
  a: {next: [{when: succeeded, do: [b, c]}, {when: failed, do: [f, fail]}]}
  b: {with_items: [0, 1, 2], concurrency: 1, on_item_failure: cancel_started, next: [{when: succeeded, do: d}]}
  c: {retry: {count: 1, delay: 2}, next: [{when: timed_out, do: succeed}, {when: succeeded, do: d}]}
  d: {join: all}
  f: {next: [{do: g}]}
  g: {with_items: [1, 2], concurrency: 1}
  h: {delay: 1, next: [{when: failed, do: fail}, {when: succeeded, do: continue}]}
"""


class Order:
    """Chooses as the example says: the same numbers, the same order."""

    def __init__(self, numbers: list[int]) -> None:
        self.numbers = iter(numbers)

    def __call__(self, running: Any) -> int:
        return next(self.numbers, 0) % len(running)


def by_item(one: Any) -> Any:
    return failed() if one.made.item == 1 else succeeded(one.made.item * 10)


ORDERS = st.lists(st.integers(0, 7), max_size=40)


@given(ORDERS, st.integers(1, 6), st.booleans())
@settings(max_examples=60, deadline=None)
def test_siblings_may_finish_in_any_order(numbers, batch, b_fails):
    answers = {"c": by_item, "b": failed() if b_fails else succeeded()}
    expected = play(INDIFFERENT, answers)
    memory = play(INDIFFERENT, answers, choose=Order(numbers), batch=batch)
    assert outcome(memory) == outcome(expected) == ("succeeded", None)
    assert memory.output == expected.output
    assert sorted(ends(memory)) == sorted(ends(expected))
    assert memory.variables == expected.variables


ANSWERS = st.sampled_from([succeeded(), failed(), timed_out()])


@given(ORDERS, st.integers(1, 6), st.fixed_dictionaries(dict.fromkeys("abcdfgh", ANSWERS)))
@settings(max_examples=100, deadline=None)
def test_whatever_happens_a_run_ends_once_and_its_history_agrees_with_its_tables(numbers, batch, answers):
    memory = play(QUARRELSOME, answers, choose=Order(numbers), batch=batch)
    assert memory.run.open == 0
    assert all(one.over for one in memory.executions.values())
    assert memory.history[-1].type == "run_ended"
    completed = [(e.task, e.visit) for e in memory.events("task_completed")]
    assert len(completed) == len(set(completed))


@given(ORDERS)
@settings(max_examples=30, deadline=None)
def test_one_order_gives_one_history(numbers):
    one, two = (play(QUARRELSOME, choose=Order(numbers)) for _ in "ab")
    assert one.history == two.history
