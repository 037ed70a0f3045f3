"""The shape of a workflow: who follows whom, where it starts, what can be reached, which branches exclude each other.

Pure functions of a :class:`WorkflowDef`. Tasks are in the order of the definition everywhere; targets that do not
exist are passed over (the checker reports them).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from dramaturg.engine.language.model import WorkflowDef


def predecessors(workflow: WorkflowDef) -> dict[str, tuple[str, ...]]:
    """Return for each task the distinct tasks with a transition to it, in the order of the definition."""
    before: dict[str, dict[str, None]] = {name: {} for name in workflow.tasks}
    for name, following in successors(workflow).items():
        for target in following:
            before[target][name] = None
    return {name: tuple(found) for name, found in before.items()}


def successors(workflow: WorkflowDef) -> dict[str, tuple[str, ...]]:
    """Return for each task the distinct tasks that its transitions name, in the order of the transitions."""
    return {
        name: tuple(dict.fromkeys(t for step in task.next for t in step.do if t in workflow.tasks))
        for name, task in workflow.tasks.items()
    }


def entry_points(workflow: WorkflowDef) -> tuple[str, ...]:
    """Return the tasks that a run starts with: `start`, or those that no transition names (LANGUAGE 6)."""
    if workflow.start:
        return tuple(name for name in workflow.tasks if name in workflow.start)
    return tuple(name for name, before in predecessors(workflow).items() if not before)


def reachable(following: Mapping[str, Iterable[str]], start: Iterable[str]) -> set[str]:
    """Return the tasks that can be reached from `start`, `start` included."""
    seen: set[str] = set()
    open_ = list(start)
    while open_:
        name = open_.pop()
        if name not in seen:
            seen.add(name)
            open_.extend(following[name])
    return seen


def arrivals_before_itself(workflow: WorkflowDef, join: str) -> int:
    """Return how many predecessors of a join can be reached from the entry points without passing the join.

    Only these can arrive in its first round.
    """
    following = {name: () if name == join else after for name, after in successors(workflow).items()}
    seen = reachable(following, entry_points(workflow))
    return sum(name in seen for name in predecessors(workflow)[join])


def reach(workflow: WorkflowDef) -> dict[str, int]:
    """Return for each task the tasks that can follow it, near or far, as bits in the order of the definition.

    A task follows itself only in a loop. Strongly connected tasks share one set, so that the cost is one union for
    each edge.
    """
    following = successors(workflow)
    bit = {name: 1 << number for number, name in enumerate(workflow.tasks)}
    found: dict[str, int] = {}
    for group in _groups(following):
        inside = set(group)
        together = 0
        for name in group:
            for target in following[name]:
                together |= bit[target] | (0 if target in inside else found[target])
        found.update(dict.fromkeys(group, together))
    return found


def order_of_travel(workflow: WorkflowDef) -> list[str]:
    """Return the tasks so that each stands behind those that lead to it; the tasks of a loop stand together."""
    groups = list(_groups(successors(workflow)))
    return [name for group in reversed(groups) for name in reversed(group)]


def _groups(following: Mapping[str, tuple[str, ...]]) -> Iterator[list[str]]:
    """Give the strongly connected groups of tasks, each after those that it leads to.

    Source: R. Tarjan, "Depth-first search and linear graph algorithms", 1972; here without recursion.
    """
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    for root in following:
        if root in number:
            continue
        work = [(root, iter(following[root]))]
        number[root] = low[root] = len(number)
        stack.append(root)
        on_stack.add(root)
        while work:
            name, rest = work[-1]
            for target in rest:
                if target not in number:
                    number[target] = low[target] = len(number)
                    stack.append(target)
                    on_stack.add(target)
                    work.append((target, iter(following[target])))
                    break
                if target in on_stack:
                    low[name] = min(low[name], number[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == number[name]:
                    yield _popped(stack, on_stack, name)


def _popped(stack: list[str], on_stack: set[str], name: str) -> list[str]:
    group: list[str] = []
    while not group or group[-1] != name:
        group.append(stack.pop())
        on_stack.discard(group[-1])
    return group
