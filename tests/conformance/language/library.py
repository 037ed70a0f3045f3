"""The packs of the cases, loaded and checked like anybody's, and what their refs mean to the pure interpreter."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from language.cases import Case, write_packs

from dramaturg.engine.errors import DefinitionError
from dramaturg.engine.interpreter.state import ActionInfo
from dramaturg.engine.language.program import Program, compile_action, compile_workflow
from dramaturg.engine.language.stored import digest_of
from dramaturg.engine.packs.loader import load_packs
from dramaturg.engine.packs.manifest import Pack
from dramaturg.engine.store.catalog import info_of


class Library:
    """Packs in a folder: one for each case."""

    def __init__(self, folder: Path, cases: tuple[Case, ...]) -> None:
        self.folder = folder
        #: By pack, why its case can't be played; the others can.
        self.problems: dict[str, list[str]] = {}
        write_packs(folder, cases)
        self.packs = {pack.ref: pack for pack in self._load()}
        self._definitions = {
            ref: definition for pack in self.packs.values() for ref, definition in pack.definitions.items()
        }
        self._programs: dict[str, Program] = {}
        self._actions: dict[str, ActionInfo | None] = {}

    def _load(self) -> tuple[Pack, ...]:
        try:
            return load_packs([self.folder])
        except DefinitionError as error:
            for problem in error.problems:
                if problem.severity == "error":
                    name = Path(problem.path).relative_to(self.folder).parts[0]
                    self.problems.setdefault(name, []).append(str(problem))
        for name in self.problems:
            shutil.rmtree(self.folder / name)
        return load_packs([self.folder])

    def program(self, ref: str) -> Program:
        """Return a workflow, or an action as a workflow of one task, compiled."""
        if ref not in self._programs:
            pack, digest = self.packs[ref.partition(".")[0]], digest_of(self._definitions[ref])
            if ref in pack.workflows:
                self._programs[ref] = compile_workflow(pack.workflows[ref], digest)
            else:
                self._programs[ref] = compile_action(pack.actions[ref], digest)
        return self._programs[ref]

    def action(self, ref: str) -> ActionInfo | None:
        """Return what a run knows of an action; None: there is none."""
        if ref not in self._actions:
            found = self._definitions.get(ref)
            self._actions[ref] = None if found is None else info_of(found, digest_of(found))
        return self._actions[ref]

    def means(self, case: Case) -> dict[str, Any]:
        """Return what a play of a case needs."""
        assert self.problems.get(case.pack, []) == []
        return {"pack": self.packs[case.pack], "program": self.program, "action": self.action}
