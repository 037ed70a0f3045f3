"""Whether the tasks of packs use actions as these are: known refs, the inputs that they take, and what they can do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dramaturg.engine.expressions.faults import did_you_mean
from dramaturg.engine.interpreter.waits import ENGINE, WAITS
from dramaturg.engine.language.fields import is_template
from dramaturg.engine.language.model import ActionDef, WorkflowDef
from dramaturg.engine.language.report import Report
from dramaturg.engine.language.schema import ParameterSet, near_or_known
from dramaturg.engine.language.tasks import TaskSource, every_source
from dramaturg.engine.packs.reading import Reading

#: The built-in action that can send heartbeats: what it runs may write into the control file.
BEATING = "core.shell"

#: Keys of a task that are about the worker which takes it.
_OF_WORKERS = ("queue", "priority", "on_lost")


@dataclass(frozen=True, slots=True)
class Action:
    """What a use of an action is checked against; None: its file is not sound, so nothing is said about it."""

    parameters: ParameterSet | None
    definition: ActionDef | WorkflowDef | None = None


def known_actions(readings: Iterable[Reading]) -> dict[str, Action]:
    """Return every action and workflow that the packs have, by ref."""
    known: dict[str, Action] = {}
    for reading in readings:
        known.update(dict.fromkeys(reading.claimed, Action(None)))
        known.update(declared({**reading.actions, **reading.workflows}, sound=not reading.report.failed))
    return known


def declared(definitions: Mapping[str, ActionDef | WorkflowDef], *, sound: bool) -> dict[str, Action]:
    """Return what definitions take; in a pack with problems, a declaration may be missing because it is wrong."""
    return {
        ref: Action(ParameterSet(found.parameters) if sound or found.parameters is not None else None, found)
        for ref, found in definitions.items()
    }


def check_uses(reading: Reading, known: Mapping[str, Action]) -> None:
    """Report the tasks of a pack that use what is not there, or use it in a way that can't be."""
    for tasks in reading.tasks.values():
        for task in every_source(tasks.values()):
            ref = task.definition.action
            if ref is not None and not is_template(ref):
                _check_use(task, ref, known, reading.report)


def _check_use(task: TaskSource, ref: str, known: Mapping[str, Action], report: Report) -> None:
    if ref not in known:
        name = task.definition.name
        written = task.node.get("action") or task.node
        message = f"task '{name}': there is no action '{ref}'"
        report.error("workflow.unknown_action", message, written.at, did_you_mean(ref, known))
        return
    action = known[ref]
    if action.definition is not None:
        _check_kind(task, ref, action.definition, report)
    if action.parameters is not None:
        _check_input(task, ref, action.parameters, report)


def _check_kind(task: TaskSource, ref: str, action: ActionDef | WorkflowDef, report: Report) -> None:
    """Report what does nothing, or can't be, because of what the action is."""
    name, nested = task.definition.name, isinstance(action, WorkflowDef)
    if task.definition.type == "workflow" and not nested:
        message = f"task '{name}': {ref} is no workflow, and the task is of `type: workflow`"
        report.error("workflow.not_a_workflow", message, task.node.key("type").at, "leave `type` out")
        return
    if task.definition.type == "workflow":
        return  # What does nothing there, whatever it runs, the parser has said.
    if (why := _nobody(action)) is not None:
        for key in _OF_WORKERS:
            _no_effect(task, key, why, report)
    if not _may_beat(action):
        _no_effect(task, "heartbeat_timeout", f"{ref} sends no heartbeats", report)


def _no_effect(task: TaskSource, key: str, why: str, report: Report) -> None:
    if task.node.get(key) is not None:
        message = f"task '{task.definition.name}': `{key}` does nothing: {why}"
        report.error("workflow.no_effect", message, task.node.key(key).at)


def _nobody(action: ActionDef | WorkflowDef) -> str | None:
    """Say why no worker takes an action; None: one does."""
    if isinstance(action, WorkflowDef):
        return f"{action.ref} is a workflow, whose own tasks have workers"
    return f"no worker does {action.ref}" if action.ref in WAITS | ENGINE else None


def _may_beat(action: ActionDef | WorkflowDef) -> bool:
    return isinstance(action, ActionDef) and (action.runtime != "builtin" or action.ref == BEATING)


def _check_input(task: TaskSource, ref: str, parameters: ParameterSet, report: Report) -> None:
    """Report what the action needs and is not given, and what it is given and does not take."""
    name, given = task.definition.name, task.node.get("input")
    written = task.node.get("action") or task.node
    missing = [n for n in parameters.required if n not in task.definition.input]
    for parameter in missing:
        at = task.node.key("input").at if given is not None else written.at
        message = f"task '{name}': {ref} needs '{parameter}', and its input does not have it"
        report.error("workflow.missing_input", message, at)
    for key, _ in given.entries if given is not None and parameters.closed else ():
        if key.value not in parameters.names:
            message = f"task '{name}': {ref} takes no '{key.value}'"
            hint = near_or_known(str(key.value), parameters.names)
            report.error("workflow.unknown_input", message, key.at, hint)
