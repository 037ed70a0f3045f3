"""The shape of a workflow: who follows whom, where it starts, what can be reached, which branches exclude each other.

Pure functions of a :class:`WorkflowDef`. Tasks are in the order of the definition everywhere; targets that do not
exist are passed over (the checker reports them).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
