"""Branches that exclude each other: what is refused can never run, whatever its tasks end as."""

from __future__ import annotations

import itertools
from collections import Counter, deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dramaturg.engine.language.branches import (
    BITS,
    EVERY,
    Outcomes,
    impossible_joins,
    outcomes,
    visited_once,
)
from dramaturg.engine.language.graph import entry_points, predecessors
from dramaturg.engine.language.model import TaskDef, TransitionDef, WorkflowDef

S, F, T, C, K = BITS.values()


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (None, Outcomes(EVERY, True)),
        (True, Outcomes(EVERY, True)),
        (False, Outcomes(0, True)),
        ("succeeded", Outcomes(S, True)),
        ("always", Outcomes(EVERY, True)),
        ("completed()", Outcomes(EVERY, True)),
        ("failed() or timed_out()", Outcomes(F | T, True)),
        ("{{ not succeeded() }}", Outcomes(EVERY - S, True)),
        ("{{ succeeded() and result().ok }}", Outcomes(S, False)),
        ("{{ succeeded() or result().ok }}", Outcomes(EVERY, False)),
        ("{{ not (succeeded() and result().ok) }}", Outcomes(EVERY, False)),
        ("{{ result().ok }}", Outcomes(EVERY, False)),
        ("{{ true }}", Outcomes(EVERY, True)),
        ("{{ failed(1) }}", Outcomes(EVERY, False)),
        ("{{ failed( }}", Outcomes(EVERY, False)),
    ],
)
def test_outcomes_of_a_condition(when: str | bool | None, expected: Outcomes) -> None:
    """An upper bound; what is not understood allows everything."""
    assert outcomes(when) == expected


def build(edges: list[tuple[str, str, str | None]], joins: dict[str, int | str]) -> WorkflowDef:
    """Return a workflow of (task, target, condition)."""
    names = sorted({name for edge in edges for name in edge[:2]})
    tasks = {
        name: TaskDef(
            name=name,
            join=joins.get(name),  # type: ignore[arg-type]
            next=tuple(TransitionDef(when=when, do=(to,)) for at, to, when in edges if at == name),
        )
        for name in names
    }
    return WorkflowDef(ref="t.w", tasks=tasks)


IF_ELSE = [("x", "a", "succeeded"), ("x", "b", "failed"), ("a", "z", None), ("b", "z", None)]


@pytest.mark.parametrize(
    ("edges", "joins", "refused"),
    [
        (IF_ELSE, {"z": "all"}, True),
        (IF_ELSE, {"z": 1}, False),
        (IF_ELSE, {}, False),
        # Straight into the join, and by another task.
        ([("x", "z", "failed"), ("x", "a", "succeeded"), ("a", "z", None)], {"z": "all"}, True),
        # Both transitions can fire.
        ([("x", "a", "succeeded"), ("x", "b", "completed"), ("a", "z", None), ("b", "z", None)], {"z": "all"}, False),
        # A loop may fail in one turn and succeed in the next.
        ([*IF_ELSE, ("x", "x", "result()"), ("s", "x", None)], {"z": "all"}, False),
        # Two tokens into x: it runs twice.
        ([*IF_ELSE, ("s", "x", None), ("r", "x", None)], {"z": "all"}, False),
        # ... unless it joins them.
        ([*IF_ELSE, ("s", "x", None), ("r", "x", None)], {"z": "all", "x": "all"}, True),
        # What excludes was decided before another fork.
        ([*IF_ELSE, ("a", "c", None), ("c", "z", None)], {"z": "all"}, True),
        # The branches meet before, so that the join has one predecessor by either way.
        ([("x", "a", "succeeded"), ("x", "b", "failed"), ("a", "m", None), ("b", "m", None), ("m", "z", None), ("o", "z", None)], {"z": "all"}, False),
    ],
)  # fmt: skip
def test_joins_that_exclude(
    edges: list[tuple[str, str, str | None]], joins: dict[str, int | str], refused: bool
) -> None:
    """For sure means: in every run."""
    assert bool(list(impossible_joins(build(edges, joins)))) is refused


def test_the_finding_names_who_excludes_whom() -> None:
    """The task that decides, and the two predecessors."""
    (found,) = impossible_joins(build(IF_ELSE, {"z": "all"}))
    assert (found.join, found.task, found.first, found.second) == ("z", "x", "a", "b")


def runs(workflow: WorkflowDef, ends: dict[tuple[str, int], str], limit: int) -> dict[str, int]:
    """Play the tokens of a run by the letter of LANGUAGE 6; return how often each task was visited."""
    before = predecessors(workflow)
    visits = dict.fromkeys(workflow.tasks, 0)
    rounds: dict[tuple[str, int], tuple[set[str], Counter[str]]] = {}
    tokens = deque((name, "", Counter[str]()) for name in entry_points(workflow))
    for _ in range(limit):
        if not tokens:
            break
        name, origin, past = tokens.popleft()
        if workflow.tasks[name].join == "all" and origin:
            number = past[name] + 1
            arrived, together = rounds.setdefault((name, number), (set(), Counter()))
            if origin in arrived:
                continue
            arrived.add(origin)
            together |= past
            rounds[name, number] = (arrived, together)
            if arrived != set(before[name]):
                continue
            past = together | Counter({name: number})
        visits[name] += 1
        status = ends[name, visits[name] % 2]
        for transition in workflow.tasks[name].next:
            if transition.when is None or status in str(transition.when):
                tokens.extend((target, name, past) for target in transition.do)
    return visits


@st.composite
def forks(draw: st.DrawFn) -> WorkflowDef:
    """Return a workflow of a few tasks with conditions and joins, loops included."""
    names = "abcd"[: draw(st.integers(2, 4))]
    conditions = st.sampled_from([None, "succeeded", "failed", "failed() or timed_out()"])
    edge = st.tuples(st.sampled_from(names), st.sampled_from(names), conditions)
    edges = draw(st.lists(edge, min_size=1, max_size=8))
    joins = draw(st.lists(st.sampled_from(names), max_size=2))
    return build(edges, dict.fromkeys(joins, "all"))


@settings(deadline=None, max_examples=60)
@given(forks())
def test_a_join_that_is_refused_never_runs(workflow: WorkflowDef) -> None:
    """Under no combination of outcomes, other ones in every second visit; and what is said to be visited once is."""
    refused = {found.join for found in impossible_joins(workflow)}
    once = visited_once(workflow)
    names = list(workflow.tasks)
    for ends in itertools.product(["succeeded", "failed"], repeat=2 * len(names)):
        visits = runs(workflow, dict(zip(itertools.product(names, [0, 1]), ends, strict=True)), 40)
        assert {name for name in refused if visits[name]} == set()
        assert {name for name in once if visits[name] > 1} == set()
