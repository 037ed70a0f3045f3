"""Which branches of a workflow exclude each other for sure, and which run side by side.

A branch is known by the outcomes that it asks of tasks: what follows `when: failed` of a task can't meet what follows
`when: succeeded` of it. That is sure only of a task that is visited once at most, so tasks in loops and tasks that
several tokens may enter say nothing. Everything is an upper bound: a condition that is not understood allows every
outcome.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, reduce
from heapq import heapify, heappop, heappush
from itertools import combinations
from operator import and_, or_

from jinja2 import nodes

from dramaturg.engine.language.graph import order_of_travel, predecessors, reach, successors
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


@lru_cache(maxsize=4096)
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
        self._shift = {name: 5 * index for index, name in enumerate(_deciders(workflow))}
        self._full = (1 << 5 * len(self._shift)) - 1
        self._asked = {name: self._edges(name) for name in self._shift}
        self._reached = self._solve() if self._shift else {}

    def conflict(self, join: str) -> tuple[str, str, str] | None:
        """Return a deciding task and two predecessors that exclude each other by it."""
        if not self._shift:
            return None
        ways = {name: self._way(name, join, self._reached) for name in self._before[join]}
        if not all(ways.values()):
            return None
        for decider, shift in self._shift.items():
            seen: list[tuple[str, int]] = []
            for name, way in ways.items():
                bits = way >> shift & EVERY
                other = next((n for n, earlier in seen if not earlier & bits), None)
                if other is not None:
                    return decider, other, name
                if all(earlier != bits for _, earlier in seen):
                    seen.append((name, bits))
        return None

    def _edges(self, decider: str) -> dict[str, int]:
        """Return for each task that a deciding one leads to the outcomes that lead there."""
        asked: dict[str, int] = {}
        for transition in self._workflow.tasks[decider].next:
            for target in transition.do:
                asked[target] = asked.get(target, 0) | outcomes(transition.when).bits
        return asked

    def _way(self, name: str, target: str, reached: Mapping[str, int]) -> int:
        """Return what a token asks that goes from one task to the next; 0: none goes there."""
        shift = self._shift.get(name)
        if shift is None:
            return reached[name]
        bits = reached[name] >> shift & EVERY & self._asked[name][target]
        return reached[name] & ~(EVERY << shift) | bits << shift if bits else 0

    def _solve(self) -> dict[str, int]:
        """Grow what is reached until nothing changes: from nothing, so that loops add only what enters them.

        Tasks are taken in the order in which tokens meet them, so that without loops each is taken once.
        """
        order = {name: number for number, name in enumerate(order_of_travel(self._workflow))}
        reached = dict.fromkeys(self._workflow.tasks, 0)
        following = successors(self._workflow)
        waiting = [
            (order[n], n) for n, before in self._before.items() if not before or n in self._workflow.start
        ]
        reached.update((name, self._full) for _, name in waiting)
        heapify(waiting)
        queued = {name for _, name in waiting}
        first = frozenset(queued)
        while waiting:
            _, name = heappop(waiting)
            queued.discard(name)
            waits = self._workflow.tasks[name].join == "all" and name not in first
            if waits and not self._is_met_anew(name, reached):
                continue
            for target in following[name]:
                if self._grows(name, target, reached) and target not in queued:
                    queued.add(target)
                    heappush(waiting, (order[target], target))
        return reached

    def _grows(self, name: str, target: str, reached: dict[str, int]) -> bool:
        """Let a task's tokens go on to the next one; say whether that one is to be taken (again)."""
        way = self._way(name, target, reached)
        if self._workflow.tasks[target].join == "all":
            return way != 0
        grown = reached[target] | way
        changed = grown != reached[target]
        reached[target] = grown
        return changed

    def _is_met_anew(self, name: str, reached: dict[str, int]) -> bool:
        """Let a join start if it can; say whether it starts in a way that was not known."""
        grown = reached[name] | self._met(name, reached)
        changed = grown != reached[name]
        reached[name] = grown
        return changed

    def _met(self, name: str, reached: Mapping[str, int]) -> int:
        """Return what all tokens of a `join: all` ask together; if they exclude each other, what any of them asks."""
        ways = [self._way(before, name, reached) for before in self._before[name]]
        if not all(ways):
            return 0
        met = reduce(and_, ways)
        if all(met >> shift & EVERY for shift in self._shift.values()):
            return met
        return reduce(or_, ways)


def _deciders(workflow: WorkflowDef) -> list[str]:
    """Return the tasks that can make a `join: all` impossible.

    Such a task is visited once at most, and different outcomes of it lead to the same join by different ways.
    """
    bit = {name: 1 << number for number, name in enumerate(workflow.tasks)}
    joins = reduce(or_, (bit[name] for name, task in workflow.tasks.items() if task.join == "all"), 0)
    if not joins:
        return []
    after = reach(workflow)
    found = []
    for name in visited_once(workflow):
        seen: dict[int, int] = {}
        for transition in workflow.tasks[name].next:
            bits = outcomes(transition.when).bits
            for target in transition.do:
                if target in bit:
                    seen[bits] = seen.get(bits, 0) | (after[target] | bit[target]) & joins
        if any(seen[one] & seen[other] and not one & other for one, other in combinations(seen, 2)):
            found.append(name)
    return found


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
