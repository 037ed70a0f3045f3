"""One pack's folder, read: what is in it, what it uses of others, and what is wrong with it by itself."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import did_you_mean
from dramaturg.engine.language.actions import SCRIPTS, read_action
from dramaturg.engine.language.fields import Draft, is_template
from dramaturg.engine.language.model import ActionDef, Position, WorkflowDef
from dramaturg.engine.language.report import Report
from dramaturg.engine.language.source import MAX_BYTES, Node
from dramaturg.engine.language.stored import action_to_json, workflow_to_json
from dramaturg.engine.language.tasks import TaskSource
from dramaturg.engine.language.workflows import WorkflowSource, read_companion, read_workflow
from dramaturg.engine.language.yamltree import read
from dramaturg.engine.packs.manifest import PART, Manifest, Pack, read_manifest

MANIFEST = "pack.yaml"
ACTIONS = "actions"
WORKFLOWS = "workflows"
GRAPH_ENDING = ".workflow"


@dataclass(slots=True)
class Reading:
    """A pack while it is being read."""

    folder: Path
    report: Report
    manifest: Manifest
    actions: dict[str, ActionDef] = field(default_factory=dict)
    workflows: dict[str, WorkflowDef] = field(default_factory=dict)
    #: By ref of the workflow: its tasks, with their places.
    tasks: dict[str, dict[str, TaskSource]] = field(default_factory=dict)
    #: Every ref that a file claims, whether the file is sound or not, and where; `files`: all files of a ref.
    claimed: dict[str, Position] = field(default_factory=dict)
    files: dict[str, list[Path]] = field(default_factory=dict)

    def pack(self) -> Pack:
        """Return the pack that was read."""
        stored: dict[str, dict[str, JSON]] = {
            ref: action_to_json(action) for ref, action in self.actions.items()
        }
        stored |= {ref: workflow_to_json(workflow) for ref, workflow in self.workflows.items()}
        return Pack(
            ref=self.manifest.ref,
            label=self.manifest.label,
            description=self.manifest.description,
            version=self.manifest.version,
            path=self.folder,
            config=self.manifest.config,
            tags=self.manifest.tags,
            actions=self.actions,
            workflows=self.workflows,
            definitions=stored,
            warnings=self.report.warnings,
        )

    def claim(self, name: str, file: Path) -> str:
        """Note that a file defines the action or workflow `name` of this pack, and return its ref."""
        ref = f"{self.manifest.ref}.{name}"
        at = Position(path=str(file), line=1, column=1)
        if ref in self.claimed:
            message = f"'{ref}' is defined twice; also by {self.claimed[ref].path}"
            self.report.error("pack.duplicate_ref", message, at)
        self.claimed.setdefault(ref, at)
        self.files.setdefault(ref, []).append(file)
        return ref


def read_pack(folder: Path) -> Reading:
    """Read a pack's folder; its problems are in `report`."""
    report = Report()
    draft = Draft(report=report)
    node = read_tree(folder / MANIFEST, report)
    # The folder's own name, also where the path is "." or ends in "..".
    name = real(folder).name
    manifest = Manifest(ref=name) if node is None else read_manifest(node, draft, name)
    reading = Reading(folder, report, manifest)
    for file in _definitions(folder / ACTIONS, report):
        _action(reading, file)
    for file in _definitions(folder / WORKFLOWS, report):
        name = file.name.removesuffix(".yaml")
        if _usable(name, file, report):
            _workflow(reading, file, reading.claim(name, file))
    _orphans(reading)
    return reading


def read_loose(file: Path, ref: str | None) -> Reading:
    """Read a workflow file that belongs to no pack.

    Args:
        ref: what it is called unless it says so itself.
    """
    report = Report()
    reading = Reading(file.parent, report, Manifest(ref="local"))
    node = read_tree(file, report)
    if node is None:
        return reading
    written = node.get("ref")
    draft = Draft(report=report)
    source = read_workflow(node, draft, None if written is not None else ref, config=())
    name = source.definition.ref
    reading.manifest = Manifest(ref=name.partition(".")[0], label=source.definition.label)
    reading.claimed[name] = Position(path=str(file), line=1, column=1)
    _keep(reading, source)
    return reading


def read_tree(file: Path, report: Report) -> Node | None:
    """Return a file as a tree; None, and a problem, if it can't be read."""
    at = Position(path=str(file))
    try:
        if not file.is_file():
            report.error("pack.file", "there is no such file", at)
            return None
        with file.open("rb") as stream:
            # One byte more than is allowed is enough to know that it is too large.
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        report.error("pack.file", f"the file can't be read: {error.strerror or error}", at)
        return None
    return read(data, str(file), report)


def real(path: Path) -> Path:
    """Return a path without links and dots; links in a circle stay as they are."""
    return Path(os.path.realpath(path))


def listing(folder: Path, report: Report) -> list[Path]:
    """Return what is in a folder, by name; nothing, and a problem, if it can't be read."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        message = f"the folder can't be read: {error.strerror or error}"
        report.error("pack.file", message, Position(path=str(folder)))
        return []


def _definitions(folder: Path, report: Report) -> list[Path]:
    """Return the YAML files of a folder, by name; those that would be passed over are reported."""
    if not folder.is_dir():
        return []
    files = listing(folder, report)
    for file in files:
        if file.suffix in (".yml", ".YAML", ".YML"):
            message = "definitions end in .yaml; this file would be passed over"
            report.error("pack.file_name", message, Position(path=str(file)), "rename it")
        elif file.name.endswith(f"{GRAPH_ENDING}.yaml"):
            message = f"the graph of a workflow belongs into {ACTIONS}/{WORKFLOWS}/"
            report.error("pack.file_name", message, Position(path=str(file)))
    return [
        f
        for f in files
        if f.suffix == ".yaml" and not f.name.endswith(f"{GRAPH_ENDING}.yaml") and f.is_file()
    ]


def _usable(name: str, file: Path, report: Report) -> bool:
    if PART.fullmatch(name):
        return True
    message = (
        f"'{name}' can't be the name of an action or workflow: small letters, digits and _, a letter first"
    )
    report.error("pack.file_name", message, Position(path=str(file)), "rename the file")
    return False


def _action(reading: Reading, file: Path) -> None:
    name = file.name.removesuffix(".yaml")
    if not _usable(name, file, reading.report):
        return
    ref = reading.claim(name, file)
    node = read_tree(file, reading.report)
    if node is None:
        return
    draft = Draft(report=reading.report)
    graph = node.get("workflow_file")
    if graph is not None:
        _companion(reading, node, graph, draft, ref)
        return
    action = read_action(node, draft, ref)
    reading.actions.setdefault(ref, action)
    _entry_point(reading, action, node)


def _companion(reading: Reading, action: Node, written: Node, draft: Draft, ref: str) -> None:
    file = _inside(reading, written, "workflow_file")
    if file is None:
        return
    reading.files[ref].append(file)
    graph = read_tree(file, reading.report)
    if graph is not None:
        _keep(reading, read_companion(action, graph, draft, ref, config=reading.manifest.config_names))


def _workflow(reading: Reading, file: Path, ref: str) -> None:
    node = read_tree(file, reading.report)
    if node is not None:
        draft = Draft(report=reading.report)
        _keep(reading, read_workflow(node, draft, ref, config=reading.manifest.config_names))


def _keep(reading: Reading, source: WorkflowSource) -> None:
    ref = source.definition.ref
    reading.workflows.setdefault(ref, source.definition)
    reading.tasks.setdefault(ref, source.tasks)


def _entry_point(reading: Reading, action: ActionDef, node: Node) -> None:
    """Check the file of a process action, and that only the engine's own pack has built-ins."""
    written = node.get("entry_point")
    if action.runtime == "builtin" and reading.manifest.ref != "core":
        at = (node.get("runtime") or node.get("runner_type") or node).at
        hint = "python, shell, node and dramatiq are for actions of one's own"
        reading.report.error("pack.builtin", "built-in actions exist in the pack `core` only", at, hint)
    if written is None or not isinstance(written.value, str) or action.runtime not in SCRIPTS:
        return
    if action.runtime == "python" and ":" in written.value:
        return
    _inside(reading, written, "entry_point")


def _inside(reading: Reading, written: Node, key: str) -> Path | None:
    """Return the file in `actions/` that a key names; None, and a problem, if it is none or lies elsewhere."""
    report = reading.report
    if not isinstance(written.value, str) or not written.value.strip():
        report.error(
            "definition.type",
            f"{key}: a file in {ACTIONS}/ is expected, not {written.describe()}",
            written.at,
        )
        return None
    base = reading.folder / ACTIONS
    file = base / written.value
    try:
        inside = not is_template(written.value) and real(file).is_relative_to(real(base))
        exists = inside and file.is_file()
    except (OSError, ValueError):
        inside, exists = True, False
    if not inside:
        message = f"{key}: '{written.value}' is not inside the pack's {ACTIONS}/"
        report.error(
            "pack.outside", message, written.at, "a file, or what a link leads to, must stay in there"
        )
    elif not exists:
        report.error(
            "pack.no_file",
            f"{key}: there is no file '{written.value}' in {base}",
            written.at,
            _near(file, base),
        )
    return file if exists else None


def _near(file: Path, base: Path) -> str:
    try:
        names = [
            str(p.relative_to(base)) for p in file.parent.iterdir() if p.is_file() and p.suffix != ".yaml"
        ]
        return did_you_mean(str(file.relative_to(base)), names)
    except (OSError, ValueError):
        return ""


def _orphans(reading: Reading) -> None:
    """Warn of graphs that no action names."""
    folder = reading.folder / ACTIONS / WORKFLOWS
    named = {real(file) for files in reading.files.values() for file in files}
    for file in sorted(folder.glob("*.yaml")) if folder.is_dir() else ():
        if real(file) not in named:
            message = "no action names this file as its `workflow_file`: it is never used"
            reading.report.warn("pack.orphan", message, Position(path=str(file)))
