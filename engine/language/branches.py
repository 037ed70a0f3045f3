"""Which branches of a workflow exclude each other for sure, and which run side by side.

A branch is known by the outcomes that it asks of tasks: what follows `when: failed` of a task can't meet what follows
`when: succeeded` of it. That is sure only of a task that is visited once at most, so tasks in loops and tasks that
several tokens may enter say nothing. Everything is an upper bound: a condition that is not understood allows every
outcome.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_

from jinja2 import nodes

from dramaturg.engine.language.graph import predecessors, reach, successors
from dramaturg.engine.language.inspect import expressions
from dramaturg.engine.language.model import WorkflowDef

#: The outcomes of a task, one bit each.
BITS = {"succeeded": 1, "failed": 2, "timed_out": 4, "cancelled": 8, "skipped": 16}
EVERY = 31
_WORDS = {**BITS, "completed": EVERY, "always": EVERY}


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The outcomes under which a condition can be true; `exact`: it is true under every one of them."""

    bits: int = EVERY
    exact: bool = False


def outcomes(when: str | bool | None) -> Outcomes:
    """Return the outcomes under which a transition can fire."""
    if when is None or when is True:
        return Outcomes(EVERY, True)
    if when is False:
        return Outcomes(0, True)
    trees = list(expressions(when, True))
    return _of(trees[0].nodes[0]) if len(trees) == 1 and isinstance(trees[0], nodes.Output) else Outcomes()


def _of(node: nodes.Node) -> Outcomes:
    if isinstance(node, nodes.Call) and not (node.args or node.kwargs):
        node = node.node
    if isinstance(node, nodes.Name) and node.name in _WORDS:
        return Outcomes(_WORDS[node.name], True)
    if isinstance(node, nodes.Const):
        return Outcomes(EVERY if node.value else 0, True)
    if isinstance(node, nodes.Not):
        inner = _of(node.node)
        return Outcomes(EVERY & ~inner.bits, True) if inner.exact else Outcomes()
    if isinstance(node, nodes.And | nodes.Or):
        left, right = _of(node.left), _of(node.right)
        join = and_ if isinstance(node, nodes.And) else or_
        return Outcomes(join(left.bits, right.bits), left.exact and right.exact)
    return Outcomes()


@dataclass(frozen=True, slots=True)
class Impossible:
    """A `join: all` that can't be met: `task` leads to `first` and `second` by outcomes that exclude each other."""

    join: str
    task: str
    first: str
    second: str


def impossible_joins(workflow: WorkflowDef) -> Iterator[Impossible]:
    """Give every `join: all` over branches that exclude each other for sure (LANGUAGE 6)."""
    branches = _Branches(workflow)
    for name, task in workflow.tasks.items():
        if task.join == "all":
            found = branches.conflict(name)
            if found is not None:
                yield Impossible(name, *found)


class _Branches:
    """For each task, the outcomes of other tasks under which a token can reach it.

    One integer a task: five bits for each task that decides something. A bit that is not set is an outcome under which
    no token gets there.
    """

    def __init__(self, workflow: WorkflowDef) -> None:
        self._workflow = workflow
        self._before = predecessors(workflow)
        deciders = _deciders(workflow)
        self._shift = {name: 5 * index for index, name in enumerate(deciders)}
        self._full = (1 << 5 * len(deciders)) - 1
        self._edges = self._masks()
        self._reached = self._solve()

    def conflict(self, join: str) -> tuple[str, str, str] | None:
        """Return a deciding task and two predecessors that exclude each other by it."""
        ways = {name: self._way(name, join) for name in self._before[join]}
        if any(way == 0 for way in ways.values()):
            return None
        for decider, shift in self._shift.items():
            seen: list[tuple[str, int]] = []
            for name, way in ways.items():
                bits = way >> shift & EVERY
                other = next((n for n, earlier in seen if not earlier & bits), None)
                if other is not None:
                    return decider, other, name
                seen.append((name, bits))
        return None

    def _masks(self) -> dict[tuple[str, str], int]:
        """Return for each pair of neighbours what a token on the way between them asks."""
        masks: dict[tuple[str, str], int] = {}
        for name, task in self._workflow.tasks.items():
            for transition in task.next:
                shift = self._shift.get(name)
                bits = EVERY if shift is None else outcomes(transition.when).bits
                mask = self._full if shift is None else self._full & ~(EVERY << shift) | bits << shift
                for target in transition.do:
                    masks[name, target] = masks.get((name, target), 0) | mask
        return masks

    def _way(self, name: str, target: str) -> int:
        return self._reached[name] & self._edges[name, target]

    def _solve(self) -> dict[str, int]:
        """Grow what is reached until nothing changes: from nothing, so that loops add only what enters them."""
        reached = dict.fromkeys(self._workflow.tasks, 0)
        following = successors(self._workflow)
        changed = [
            name for name, before in self._before.items() if not before or name in self._workflow.start
        ]
        for name in changed:
            reached[name] = self._full
        while changed:
            name = changed.pop()
            for target in following[name]:
                grown = reached[target] | self._arriving(target, reached)
                if grown != reached[target]:
                    reached[target] = grown
                    changed.append(target)
        return reached

    def _arriving(self, name: str, reached: Mapping[str, int]) -> int:
        ways = [reached[before] & self._edges[before, name] for before in self._before[name]]
        if self._workflow.tasks[name].join == "all":
            if not all(ways) and self._shift:
                return 0
            met = reduce(and_, ways)
            if all(met >> shift & EVERY for shift in self._shift.values()):
                return met
        return reduce(or_, ways, 0)


def _deciders(workflow: WorkflowDef) -> list[str]:
    """Return the tasks that are visited once at most and whose transitions ask for outcomes."""
    once = visited_once(workflow)
    return [
        name
        for name, task in workflow.tasks.items()
        if name in once and len({outcomes(t.when).bits for t in task.next if t.do}) > 1
    ]


def visited_once(workflow: WorkflowDef) -> set[str]:
    """Return the tasks that no run can visit twice."""
    before, after = predecessors(workflow), reach(workflow)
    tokens: dict[str, int] = dict.fromkeys(workflow.tasks, 0)
    for task in workflow.tasks.values():
        for transition in task.next:
            for target in transition.do:
                if target in tokens:
                    tokens[target] += 1
    index = {name: 1 << number for number, name in enumerate(workflow.tasks)}
    once: set[str] = set()
    open_ = [n for n in workflow.tasks if not before[n] or workflow.tasks[n].join is not None]
    while open_:
        name = open_.pop()
        if name in once or after[name] & index[name]:
            continue
        once.add(name)
        following = dict.fromkeys(t for step in workflow.tasks[name].next for t in step.do if t in tokens)
        open_ += [t for t in following if tokens[t] == 1 and t not in workflow.start]
    return once
