"""Packs from the search path, loaded together and then checked together: all of them, or none (LANGUAGE 1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from dramaturg.engine.language.model import Position
from dramaturg.engine.language.report import Report
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
from dramaturg.engine.packs.uses import check_uses, declared, known_actions

#: Packs that are always there.
SHIPPED = ("core", "examples")

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
    known = known_actions(readings)
    for reading in readings:
        check_uses(reading, known)
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
    known = known_actions([reading])
    for pack in others:
        known.update(declared({**pack.actions, **pack.workflows}, sound=True))
    check_uses(reading, known)
    reading.report.raise_if_failed()
    return reading.pack()


def _name_of(path: Path) -> str:
    """Return a name for a loose file: what is left of its own."""
    stem = path.name.lower().removesuffix(".yaml").removesuffix(".yml").removesuffix(".workflow")
    name = re.sub(r"[^a-z0-9_]+", "_", stem).strip("_")
    return name if name[:1].isalpha() else f"workflow_{name}".rstrip("_")
