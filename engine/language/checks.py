"""Whether the parts of a workflow fit together: targets, entry points, joins, and what runs side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dramaturg.engine.expressions.faults import did_you_mean
from dramaturg.engine.language.branches import impossible_joins
from dramaturg.engine.language.graph import (
    arrivals_before_itself,
    entry_points,
    predecessors,
    reach,
    reachable,
    successors,
)
from dramaturg.engine.language.model import COMMANDS, RESERVED, Position, WorkflowDef
from dramaturg.engine.language.races import races
from dramaturg.engine.language.report import Report
from dramaturg.engine.language.tasks import TaskSource, every_source
from dramaturg.engine.language.transitions import Step, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A workflow and where its parts are written."""

    workflow: WorkflowDef
    #: Without those inside parallel ones: they have no place of their own in the graph.
    tasks: dict[str, TaskSource]
    start: tuple[Target, ...]
    #: Where `tasks` is written.
    at: Position


def check_shape(shape: Shape, report: Report) -> None:
    """Report what does not fit together."""
    groups = dict(_inner(shape))
    _targets(shape, groups, report)
    for target in shape.start:
        if target.name in groups:
            group = groups[target.name]
            message = f"start: task '{target.name}' runs inside '{group}'"
            report.error("workflow.inner_task", message, target.at, f"name '{group}'")
        elif target.name not in shape.tasks:
            hint = did_you_mean(target.name, shape.tasks)
            message = f"start: there is no task '{target.name}'"
            report.error("workflow.unknown_task", message, target.at, hint)
    if not shape.tasks:
        report.error("workflow.no_tasks", "a workflow has at least one task", shape.at)
        return
    if not _entry(shape, report):
        return
    if _joins(shape, report):
        _exclusive(shape, report)
    _races(shape, report)


def _inner(shape: Shape) -> Iterator[tuple[str, str]]:
    """Give each task that runs inside a parallel one, with the outermost one around it."""
    for name, task in shape.tasks.items():
        for member in every_source(task.members.values()):
            yield member.definition.name, name


def _steps(shape: Shape) -> Iterator[tuple[str, Step]]:
    for name, task in shape.tasks.items():
        for step in task.steps:
            yield name, step


def _targets(shape: Shape, groups: dict[str, str], report: Report) -> None:
    """Report targets that are neither a task nor a command; `groups` has who runs inside which parallel task."""
    for name, step in _steps(shape):
        for target in step.targets:
            if report.full:
                return
            if target.name in shape.tasks or target.name in COMMANDS:
                continue
            if target.name in groups:
                group = groups[target.name]
                message = f"task '{name}' leads to '{target.name}', which runs inside '{group}'"
                report.error("workflow.inner_task", message, target.at, f"lead to '{group}'")
                continue
            message = f"task '{name}' leads to '{target.name}', and there is no such task"
            hint = did_you_mean(target.name, [*shape.tasks, *sorted(COMMANDS)])
            if target.name in RESERVED:
                message = f"task '{name}' leads to '{target.name}', which is no command"
                hint = "retries are written as `retry:` of the task" if target.name == "retry" else hint
            report.error("workflow.unknown_task", message, target.at, hint)


def _entry(shape: Shape, report: Report) -> bool:
    """Check that the workflow can start, and that every task can be reached."""
    entry = entry_points(shape.workflow)
    if not entry:
        if not shape.start:
            message = "no task can be the first: every one is named by a transition"
            report.error("workflow.no_entry_point", message, shape.at, "name the first tasks in `start`")
        return False
    seen = reachable(successors(shape.workflow), entry)
    hint = "`start` leaves it out" if shape.start else ""
    for name, task in shape.tasks.items():
        if name not in seen:
            report.error("workflow.unreachable_task", f"task '{name}' can't be reached", task.name.at, hint)
    return len(seen) == len(shape.tasks)


def _joins(shape: Shape, report: Report) -> bool:
    """Check each join by itself; say whether all are sound."""
    before = predecessors(shape.workflow)
    after: dict[str, int] | None = None
    sound = True
    for number, (name, task) in enumerate(shape.tasks.items()):
        join = task.definition.join
        if join is None:
            continue
        after = after or reach(shape.workflow)
        problem = _join_problem(shape, name, join, before[name], bool(after[name] >> number & 1))
        if problem is not None:
            sound = False
            code, message = problem
            report.error(code, message, task.node.key("join").at)
    return sound


def _join_problem(
    shape: Shape, name: str, join: str | int, before: tuple[str, ...], in_loop: bool
) -> tuple[str, str] | None:
    wanted = len(before) if join == "all" else int(join)
    if not before:
        return (
            "workflow.join_without_predecessors",
            f"task '{name}' has a join, and no transition leads to it",
        )
    if name in shape.workflow.start:
        return (
            "workflow.join_at_start",
            f"task '{name}' has a join and can't be in `start`: nobody arrives there",
        )
    if wanted > len(before):
        have = f"only {len(before)} lead{'s' if len(before) == 1 else ''} to it: {', '.join(before)}"
        return "workflow.join_too_large", f"task '{name}' waits for {wanted} tasks, and {have}"
    if in_loop and (come := arrivals_before_itself(shape.workflow, name)) < wanted:
        message = f"task '{name}' waits for {wanted} tasks, and only {come} can come before it has run itself"
        return "workflow.join_waits_for_itself", message
    return None


def _exclusive(shape: Shape, report: Report) -> None:
    for found in impossible_joins(shape.workflow):
        message = (
            f"task '{found.join}' waits for all, and '{found.first}' and '{found.second}' exclude each other: "
            f"they need different outcomes of '{found.task}'"
        )
        hint = "after an if/else no join is needed"
        at = shape.tasks[found.join].node.key("join").at
        report.error("workflow.join_impossible", message, at, hint)


def _races(shape: Shape, report: Report) -> None:
    for race in races(shape.workflow):
        at = next(
            place
            for step in shape.tasks[race.second].steps
            for variable, place in step.published
            if variable == race.variable
        )
        message = (
            f"'{race.first}' and '{race.second}' run side by side and both publish '{race.variable}': "
            "the last one applied wins"
        )
        report.warn("workflow.shared_variable", message, at, "publish under two names")
