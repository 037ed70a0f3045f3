"""The outcome does not depend on the order in which siblings happen to finish, where LANGUAGE 6 says so."""

from __future__ import annotations

from collections import Counter
from typing import Any

from comparison import Case, check, rehearsal
from effort import effort
from hypothesis import given
from hypothesis import strategies as st
from indifferent import indifferent
from scripts import Order

ORDERS = st.lists(st.integers(0, 6), max_size=25).map(tuple)


def outcome(case: Case) -> dict[str, Any]:
    """Return all that an author can see of a run, without the numbers of the visits."""
    memory = rehearsal(case, Order(case.script), checked=False).play()
    assert memory.end is not None
    visits = [
        repr(
            (one.made.task, one.made.item, one.status, one.attempt, one.result, one.error and one.error.type)
        )
        for one in memory.executions.values()
        if one.made.kind != "fanout"
    ]
    return {
        "run": (memory.end.status, memory.end.error.type if memory.end.error else None, memory.end.output),
        "variables": memory.variables,
        "visits": Counter(visits),
        "whole visits": Counter(f"{e.task} {e.status}" for e in memory.events("task_completed")),
    }


@given(indifferent(), ORDERS, st.integers(1, 5))
def test_any_order_of_siblings_gives_the_same_outcome(case: Case, order: tuple[int, ...], batch: int) -> None:
    """First come first served against any other order, applied one at a time or together."""
    expected, found = outcome(case), outcome(case.ordered(*order, batch=batch))
    differences = [
        f"{name}: {expected[name]}, {found[name]}" for name in expected if found[name] != expected[name]
    ]
    assert not differences, "\n".join([f"order {order}, {batch} at a time:", *differences])


@given(indifferent(), ORDERS)
@effort(0.5)
def test_the_model_agrees_with_each_of_them(case: Case, order: tuple[int, ...]) -> None:
    """What is the same in any order is also what the language says."""
    check(case.ordered(*order))
