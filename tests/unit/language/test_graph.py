"""The shape of a workflow: who follows whom, and what can be reached."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dramaturg.engine.language.graph import (
    arrivals_before_itself,
    entry_points,
    order_of_travel,
    predecessors,
    reach,
    reachable,
    successors,
)
from dramaturg.engine.language.model import TaskDef, TransitionDef, WorkflowDef

NAMES = "abcdefg"


def workflow(edges: dict[str, str], *, joins: str = "", start: str = "") -> WorkflowDef:
    """Return a workflow of these edges; each target is a transition of its own."""
    tasks = {
        name: TaskDef(
            name=name,
            join="all" if name in joins else None,
            next=tuple(TransitionDef(do=(target,)) for target in targets),
        )
        for name, targets in edges.items()
    }
    return WorkflowDef(ref="t.w", tasks=tasks, start=tuple(start))


@st.composite
def graphs(draw: st.DrawFn) -> WorkflowDef:
    """Return any graph of a few tasks, loops included."""
    names = NAMES[: draw(st.integers(1, len(NAMES)))]
    targets = st.lists(st.sampled_from(names), max_size=3, unique=True)
    return workflow({name: "".join(draw(targets)) for name in names})


def test_neighbours_are_in_the_order_of_the_definition() -> None:
    """Each once, commands and unknown names passed over."""
    found = workflow({"a": "cb", "b": "c", "c": "x"})
    assert successors(found) == {"a": ("c", "b"), "b": ("c",), "c": ()}
    assert predecessors(found) == {"a": (), "b": ("a",), "c": ("a", "b")}


def test_entry_points_are_named_or_follow_nobody() -> None:
    """`start` replaces them."""
    assert entry_points(workflow({"b": "", "a": "c", "c": ""})) == ("b", "a")
    assert entry_points(workflow({"a": "b", "b": "a"})) == ()
    assert entry_points(workflow({"a": "b", "b": "a"}, start="b")) == ("b",)


@given(graphs())
def test_reach_is_what_walking_finds(found: WorkflowDef) -> None:
    """The bits of a task are the tasks that a walk from its successors meets."""
    following = successors(found)
    names = list(found.tasks)
    for name, bits in reach(found).items():
        walked = reachable(following, following[name])
        assert {names[i] for i in range(len(names)) if bits >> i & 1} == walked


@given(graphs())
def test_the_order_of_travel_goes_forward(found: WorkflowDef) -> None:
    """A task stands behind those that lead to it, loops aside."""
    order = order_of_travel(found)
    assert sorted(order) == sorted(found.tasks)
    place = {name: number for number, name in enumerate(order)}
    following = successors(found)
    for name, targets in following.items():
        for target in targets:
            in_loop = name in reachable(following, [target])
            assert in_loop or place[name] < place[target]


def test_a_long_chain_costs_no_stack() -> None:
    """Nothing recurses."""
    names = [f"t{i}" for i in range(5000)]
    tasks = {
        name: TaskDef(name=name, next=(TransitionDef(do=(following,)),))
        for name, following in zip(names, [*names[1:], "noop"], strict=True)
    }
    found = WorkflowDef(ref="t.w", tasks=tasks)
    assert order_of_travel(found) == names
    assert reach(found)["t0"].bit_count() == 4999


def test_who_can_come_before_a_join_has_run() -> None:
    """Not those that only the join itself leads to."""
    loop = workflow({"a": "b", "b": "c", "c": "b"}, joins="b")
    assert arrivals_before_itself(loop, "b") == 1
    assert arrivals_before_itself(workflow({"a": "c", "b": "c", "c": ""}, joins="c"), "c") == 2
