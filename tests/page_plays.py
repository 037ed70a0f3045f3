"""Plays what the pages about the language show: each workflow in memory, with the outcome that is stated below it.

A block ``yaml workflow`` is followed by one or more blocks ``yaml plays``. Such a block is a map: `parameters`, `script`,
`events` and `ends` say what happens (as in tests/conformance/language), every other key what the run gives; `output` is
`{}`, `error` none and `status` succeeded where the block does not say otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from language.cases import Case, Expected, Moment, Script
from language.in_memory import Play, manners
from language.library import Library
from language.seen import Seen, differences

FENCE = re.compile(r"^```yaml (?P<kind>\w+)[^\n`]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

#: What an action is that a page names and does not show: one that takes anything.
STUB = {"runtime": "python", "entry_point": "stub.py"}

_HAPPENS = ("parameters", "script", "events", "ends")


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A block of a page."""

    line: int
    kind: str
    text: str

    @property
    def value(self) -> Any:
        """Return what the block says."""
        return yaml.safe_load(self.text)


@dataclass(frozen=True, kw_only=True)
class Stated:
    """A workflow of a page, and one play that the page states the outcome of."""

    ref: str
    line: int
    play: Mapping[str, Any]


def shown(page: Path) -> list[Shown]:
    """Return the YAML blocks of a page, in order."""
    content = page.read_text(encoding="utf-8")
    return [
        Shown(line=content.count("\n", 0, found.start()) + 1, kind=found["kind"], text=found["text"])
        for found in FENCE.finditer(content)
    ]


def stated(page: Path) -> list[Stated]:
    """Return the plays of a page.

    Raises:
        AssertionError: there is a workflow that is not played, or a play without a workflow.
    """
    plays: list[Stated] = []
    ref, waiting = "", 0
    for block in shown(page):
        if block.kind == "workflow":
            assert not waiting, f"{page.name}:{waiting}: {ref} is not played"
            ref, waiting = block.value["ref"], block.line
        elif block.kind == "plays":
            assert ref, f"{page.name}:{block.line}: a play of what?"
            waiting = 0
            plays.append(Stated(ref=ref, line=block.line, play=block.value))
    assert not waiting, f"{page.name}:{waiting}: {ref} is not played"
    return plays


def library(page: Path, folder: Path) -> Library:
    """Return the packs of a page: its actions, workflows and pack files, and a stub for each action it only names."""
    written = [block for block in shown(page) if block.kind in ("workflow", "action", "pack")]
    named: set[str] = set()
    for block in written:
        pack, _, name = block.value["ref"].partition(".")
        file = {"workflow": f"workflows/{name}.yaml", "action": f"actions/{name}.yaml", "pack": "pack.yaml"}[
            block.kind
        ]
        _write(folder / pack / file, block.text)
        if block.kind == "action":
            _entry_point(folder / pack / "actions", block.value)
        elif block.kind == "workflow":
            named |= set(_refs(block.value))
    known = {block.value["ref"] for block in written}
    for ref in named - known:
        pack, _, name = ref.partition(".")
        if pack != "core":
            _write(folder / pack / f"actions/{name}.yaml", yaml.safe_dump(STUB))
            _write(folder / pack / "actions/stub.py", "print('null')\n")
    for pack in {path.name for path in folder.iterdir()}:
        manifest = folder / pack / "pack.yaml"
        if not manifest.exists():
            _write(manifest, f"ref: {pack}\n")
    found = Library(folder, ())
    assert found.problems == {}, found.problems
    return found


def _refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        ref = value.get("action")
        if isinstance(ref, str) and "{{" not in ref:
            yield ref
        for inner in value.values():
            yield from _refs(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _refs(inner)


def _entry_point(actions: Path, action: Mapping[str, Any]) -> None:
    entry = str(action.get("entry_point", ""))
    if action.get("runtime") in ("python", "shell", "node"):
        file = f"{entry.partition(':')[0].replace('.', '/')}.py" if ":" in entry else entry
        _write(actions / file, "")


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def played(one: Stated, packs: Library) -> list[Seen]:
    """Play what a page states, in every manner in which it must end the same.

    Raises:
        AssertionError: it ends otherwise.
    """
    gives = {key: value for key, value in one.play.items() if key not in _HAPPENS}
    pack, _, name = one.ref.partition(".")
    case = Case(
        file="page",
        number=one.line,
        name=one.ref,
        rules=(),
        files={},
        config={},
        parameters=one.play.get("parameters", {}),
        script=Script.read(one.play.get("script", {})),
        events=tuple(Moment.read(event) for event in one.play.get("events", ())),
        ends=tuple(one.play.get("ends", ())),
        servers=False,
        ordered="ends" in one.play,
        start=f"t.{name}",
        expect=Expected.read({"path": [], **gives}),
    )
    endings = []
    for manner in manners(case):
        seen = Play(
            case, manner=manner, pack=packs.packs[pack], program=packs.program, action=packs.action
        ).play()
        expect = case.expect
        if "path" not in gives:
            expect = replace(expect, path=seen.ended)
        if "errors" not in gives:
            expect = replace(expect, errors=[error["type"] for error in seen.errors])
        found = differences(expect, seen, late=0.0)
        assert found == [], f"line {one.line}, {one.ref}, {manner.name}: {found}"
        endings.append(seen)
    return endings
