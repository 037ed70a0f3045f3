"""The problems of one reading, collected: nothing that reads a definition stops at the first one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from dramaturg.engine.errors import DefinitionError, Problem
from dramaturg.engine.language.model import Position

#: Problems that are kept of one reading; a file that has more is not a definition, and its author will not read them.
MAX_PROBLEMS = 200


class Report:
    """Collects problems, each once, in the order in which they are found."""

    def __init__(self) -> None:
        """Begin with no problem."""
        self._problems: dict[Problem, None] = {}

    def error(self, code: str, message: str, at: Position, hint: str = "") -> None:
        """Note something that makes the definition invalid."""
        self._note("error", code, message, at, hint)

    def warn(self, code: str, message: str, at: Position, hint: str = "") -> None:
        """Note something that is allowed and may not be meant."""
        self._note("warning", code, message, at, hint)

    def add(self, problems: Iterable[Problem]) -> None:
        """Note problems that another reading found."""
        self._problems.update(dict.fromkeys(problems))

    @property
    def full(self) -> bool:
        """Return whether more problems than are kept were found."""
        return len(self._problems) >= MAX_PROBLEMS

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Return all problems, by file and place."""
        return tuple(sorted(self._problems, key=lambda p: (p.path, p.line, p.column)))

    @property
    def failed(self) -> bool:
        """Return whether one of the problems is an error."""
        return any(problem.severity == "error" for problem in self._problems)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Return the warnings, by file and place."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")

    def raise_if_failed(self) -> None:
        """Raise what was found if one of it is an error.

        Raises:
            DefinitionError: with all problems, warnings too.
        """
        if self.failed:
            raise DefinitionError(self.problems)

    def _note(
        self, severity: Literal["error", "warning"], code: str, message: str, at: Position, hint: str
    ) -> None:
        if self.full:
            return
        problem = Problem(
            code=code,
            message=message,
            path=at.path,
            line=at.line,
            column=at.column,
            hint=hint,
            severity=severity,
        )
        self._problems[problem] = None
