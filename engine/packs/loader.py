"""Packs from the search path, loaded together and then checked together: all of them, or none (LANGUAGE 1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from dramaturg.engine.expressions.faults import did_you_mean
from dramaturg.engine.language.fields import is_template
from dramaturg.engine.language.model import ActionDef, Position, WorkflowDef
from dramaturg.engine.language.report import Report
from dramaturg.engine.language.schema import ParameterSet, near_or_known
from dramaturg.engine.language.tasks import TaskSource, every_source
from dramaturg.engine.packs.manifest import Pack
from dramaturg.engine.packs.reading import (
    ACTIONS,
    MANIFEST,
    WORKFLOWS,
    Reading,
    listing,
    read_loose,
    read_pack,
    real,
)

#: Packs that are always there.
SHIPPED = ("core", "examples")

#: The built-in action that can send heartbeats: what it runs may write into the control file.
BEATING = "core.shell"

#: The pack of a workflow file that belongs to none.
LOCAL = "local"


def load_packs(paths: Sequence[Path] = ()) -> tuple[Pack, ...]:
    """Load the packs of a search path, and `core` and `examples`, which are always there.

    Args:
        paths: each a pack, or a folder of packs.
    Returns:
        `core` and `examples` first, then in the order of the path; within a folder by name.
    Raises:
        DefinitionError: with every problem of every pack; nothing is half-loaded.
    """
    report = Report()
    readings = [read_pack(folder) for folder in _folders(paths, report)]
    _duplicates(readings, report)
    known = _known(readings)
    for reading in readings:
        _check_uses(reading, known)
        report.add(reading.report.problems)
    report.raise_if_failed()
    return tuple(reading.pack() for reading in readings)


def load_workflow_file(path: Path, packs: Sequence[Pack] | None = None) -> Pack:
    """Load the workflow of one file, as a pack whose first workflow it is.

    A file of a pack brings its whole pack. A loose one makes a pack of its own, called `local` unless it has a `ref`.

    Args:
        packs: where the refs in it are looked up; None: `core` and `examples`.
    Raises:
        DefinitionError: with every problem.
    """
    known = load_packs() if packs is None else packs
    folder = _pack_of(path)
    if folder is not None:
        found = _from_pack(path, folder, known)
        if found is not None:
            return found
    reading = read_loose(path, f"{LOCAL}.{_name_of(path)}")
    same = next((pack for pack in known if pack.ref == reading.manifest.ref and reading.workflows), None)
    if same is not None:
        message = f"the pack '{same.ref}' is in {same.path}; a workflow of it belongs there"
        at = Position(path=str(path), line=1, column=1)
        reading.report.error("pack.duplicate_ref", message, at, "leave `ref` out, or move the file")
    return _alone(reading, known)


def _folders(paths: Sequence[Path], report: Report) -> list[Path]:
    """Return the folders of all packs, each once."""
    shipped = Path(str(files("dramaturg.packs")))
    found: dict[Path, Path] = {real(shipped / name): shipped / name for name in SHIPPED}
    for path in paths:
        for folder in _packs_in(path, report):
            found.setdefault(real(folder), folder)
    return list(found.values())


def _packs_in(path: Path, report: Report) -> list[Path]:
    at = Position(path=str(path))
    if not path.is_dir():
        what = "is a file, not a folder" if path.exists() else "does not exist"
        report.error("pack.path", f"the folder of packs {what}", at)
        return []
    if (path / MANIFEST).is_file():
        return [path]
    folders = [folder for folder in listing(path, report) if folder.is_dir()]
    packs = [folder for folder in folders if (folder / MANIFEST).is_file()]
    for folder in folders:
        if folder not in packs and ((folder / ACTIONS).is_dir() or (folder / WORKFLOWS).is_dir()):
            report.error("pack.manifest", f"the folder has no {MANIFEST}", Position(path=str(folder)))
    if not packs and not report.failed:
        hint = f"a pack is a folder with a {MANIFEST}"
        report.error("pack.path", "there is no pack in this folder", at, hint)
    return packs


def _duplicates(readings: Sequence[Reading], report: Report) -> None:
    first: dict[str, Reading] = {}
    for reading in readings:
        ref = reading.manifest.ref
        other = first.setdefault(ref, reading)
        if other is not reading:
            message = f"the pack '{ref}' is on the path twice; also in {other.folder}"
            report.error(
                "pack.duplicate_ref", message, Position(path=str(reading.folder / MANIFEST), line=1, column=1)
            )


@dataclass(frozen=True, slots=True)
class _Action:
    """What a use of an action is checked against; None: its file is not sound, so nothing is said about it."""

    parameters: ParameterSet | None
    definition: ActionDef | WorkflowDef | None = None


def _known(readings: Iterable[Reading]) -> dict[str, _Action]:
    known: dict[str, _Action] = {}
    for reading in readings:
        known.update(dict.fromkeys(reading.claimed, _Action(None)))
        known.update(_declared({**reading.actions, **reading.workflows}, sound=not reading.report.failed))
    return known


def _declared(definitions: Mapping[str, ActionDef | WorkflowDef], *, sound: bool) -> dict[str, _Action]:
    """Return what definitions take; in a pack with problems, a declaration may be missing because it is wrong."""
    return {
        ref: _Action(ParameterSet(found.parameters) if sound or found.parameters is not None else None, found)
        for ref, found in definitions.items()
    }


def _check_uses(reading: Reading, known: Mapping[str, _Action]) -> None:
    for tasks in reading.tasks.values():
        for task in every_source(tasks.values()):
            ref = task.definition.action
            if ref is not None and not is_template(ref):
                _check_use(task, ref, known, reading.report)


def _check_use(task: TaskSource, ref: str, known: Mapping[str, _Action], report: Report) -> None:
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
    if task.definition.heartbeat_timeout is None or (not nested and _may_beat(action)):
        return
    why = "is a nested run, which" if nested else f"is {ref}, which"
    message = f"task '{name}': `heartbeat_timeout` does nothing: it {why} sends no heartbeats"
    report.error("workflow.no_effect", message, task.node.key("heartbeat_timeout").at)


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


def _pack_of(path: Path) -> Path | None:
    """Return the folder of the pack that a file lies in, or None."""
    return next((folder for folder in path.absolute().parents if (folder / MANIFEST).is_file()), None)


def _from_pack(path: Path, folder: Path, known: Sequence[Pack]) -> Pack | None:
    """Return the pack of a file, the file's workflow first; None if the file is no part of its pack."""
    reading = read_pack(folder)
    file = real(path)
    ref = next((r for r, own in reading.files.items() if any(real(f) == file for f in own)), None)
    if ref is None:
        return None
    if ref in reading.actions and not reading.report.failed:
        message = f"'{ref}' is an action, not a workflow"
        reading.report.error("workflow.not_a_workflow", message, reading.claimed[ref])
    others = [pack for pack in known if real(pack.path) != real(folder)]
    pack = _alone(reading, others)
    first = {ref: pack.workflows[ref]} if ref in pack.workflows else {}
    return replace(pack, workflows=first | pack.workflows)


def _alone(reading: Reading, others: Iterable[Pack]) -> Pack:
    """Check one pack against others, which are sound."""
    known = _known([reading])
    for pack in others:
        known.update(_declared({**pack.actions, **pack.workflows}, sound=True))
    _check_uses(reading, known)
    reading.report.raise_if_failed()
    return reading.pack()


def _name_of(path: Path) -> str:
    """Return a name for a loose file: what is left of its own."""
    stem = path.name.lower().removesuffix(".yaml").removesuffix(".yml").removesuffix(".workflow")
    name = re.sub(r"[^a-z0-9_]+", "_", stem).strip("_")
    return name if name[:1].isalpha() else f"workflow_{name}".rstrip("_")
