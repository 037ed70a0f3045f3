"""Variables that two branches publish side by side: allowed, and seldom meant (LANGUAGE 6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, islice

from dramaturg.engine.language.branches import Outcomes, outcomes
from dramaturg.engine.language.graph import entry_points, reach
from dramaturg.engine.language.model import WorkflowDef

#: Pairs of branches that are looked at: a bound for workflows that fork by the thousand; it costs only warnings.
MAX_PAIRS = 20_000


@dataclass(frozen=True, slots=True)
class Race:
    """`first` and `second` run side by side, and both publish `variable`."""

    variable: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class _Branch:
    target: str
    transition: int
    when: Outcomes


def races(workflow: WorkflowDef) -> Iterator[Race]:
    """Give one race for each variable that has one; only branches that are sure to start together count."""
    names = list(workflow.tasks)
    bit = {name: 1 << index for index, name in enumerate(names)}
    publishers: dict[str, int] = {}
    for name, task in workflow.tasks.items():
        for transition in task.next:
            for variable, _ in transition.publish:
                publishers[variable] = publishers.get(variable, 0) | bit[name]
    shared = {variable: mask for variable, mask in publishers.items() if mask & (mask - 1)}
    if not shared:
        return
    after = {name: mask | bit[name] for name, mask in reach(workflow).items()}
    for one, other in islice(_pairs(workflow), MAX_PAIRS):
        both = after[one] & after[other]
        for variable, mask in list(shared.items()):
            first, second = mask & after[one] & ~both, mask & after[other] & ~both
            if first and second:
                del shared[variable]
                yield Race(variable, names[_lowest(first)], names[_lowest(second)])


def _pairs(workflow: WorkflowDef) -> Iterator[tuple[str, str]]:
    """Give the pairs of tasks that are sure to start together."""
    yield from combinations(entry_points(workflow), 2)
    for task in workflow.tasks.values():
        branches = [
            _Branch(target, index, outcomes(transition.when))
            for index, transition in enumerate(task.next)
            for target in transition.do
            if target in workflow.tasks
        ]
        for one, other in combinations(branches, 2):
            if one.target != other.target and _together(one, other):
                yield one.target, other.target


def _together(one: _Branch, other: _Branch) -> bool:
    if one.transition == other.transition:
        return True
    return one.when.exact and other.when.exact and bool(one.when.bits & other.when.bits)


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1
