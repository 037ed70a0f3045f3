"""Every error that Dramaturg raises, and the failures that it records.

Two kinds are kept apart, as in Temporal: a :class:`Failure` is *data*, stored in a run and seen by its
transitions; an exception is raised to somebody who must act.

::

    DramaturgError                  base; .code is stable, .exit_code is the command line's
    ├── DefinitionError             the author: a pack or workflow is wrong; carries every Problem     exit 3
    ├── InvalidParameters           the caller: parameters that the action does not allow              exit 2
    ├── UsageError                  the caller: a value or a setting that makes no sense               exit 2
    ├── NotFound                    the caller: no such action, run, task or pack                      exit 6
    ├── Conflict                    the caller: the id is taken, or the ref is changed                 exit 8
    ├── Unreachable                 the operator: database or broker does not answer                   exit 7
    ├── SchemaOutdated              the operator: the database wants `dramaturg db upgrade`            exit 7
    ├── RunEnded                    the run ended without success; carries .error and .output
    │   ├── RunFailed                                                                                  exit 1
    │   ├── RunTimedOut                                                                                exit 4
    │   └── RunCancelled                                                                               exit 5
    └── InternalError               us: an invariant of the engine does not hold                       exit 70
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

#: A JSON value: None, bool, int, float, str, list or dict with text keys.
JSON = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a definition, and where."""

    #: Stable, dotted, such as ``workflow.unknown_task``.
    code: str
    message: str
    #: The file, as the reader would type it; empty for a definition that came from no file.
    path: str = ""
    #: Counted from 1; 0 where it is not known.
    line: int = 0
    column: int = 0
    #: What to do about it, such as ``did you mean 'build'?``.
    hint: str = ""
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = ":".join([self.path or "<definition>", *(str(n) for n in (self.line, self.column) if n)])
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}: {self.message}{hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a task or a run did not succeed: data, never raised.

    Source: LANGUAGE 5; the split between failure and error is Temporal's.
    """

    type: str
    message: str
    details: JSON = None
    task: str | None = None
    visit: int | None = None
    item: int | None = None
    attempt: int | None = None

    def to_json(self) -> dict[str, JSON]:
        """Return the error object of LANGUAGE 5: what does not apply is left out."""
        known = {name: getattr(self, name) for name in ("type", "message", "details")}
        place = {name: getattr(self, name) for name in ("task", "visit", "item", "attempt")}
        return {k: v for k, v in {**known, **place}.items() if v is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, JSON]) -> Failure:
        """Read what :meth:`to_json` wrote; names it does not know are left out."""
        names = ("type", "message", "details", "task", "visit", "item", "attempt")
        return cls(**{name: data[name] for name in names if name in data})

    def at(self, *, task: str, visit: int, item: int | None = None, attempt: int | None = None) -> Failure:
        """Return the same failure with its place in the run."""
        return replace(self, task=task, visit=visit, item=item, attempt=attempt)


class DramaturgError(Exception):
    """Something went wrong that somebody must act upon."""

    code: str = "error"
    exit_code: int = 70
    #: What to do about it, where there is something to do.
    hint: str = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class DefinitionError(DramaturgError):
    """A pack or workflow is wrong; every problem that was found is in it."""

    code = "definition.invalid"
    exit_code = 3

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class InvalidParameters(DramaturgError):
    """Parameters that the action does not allow; `problems` has a sentence for each, by name."""

    code = "parameters.invalid"
    exit_code = 2

    def __init__(self, ref: str, problems: Iterable[str]) -> None:
        self.ref = ref
        self.problems: tuple[str, ...] = tuple(problems)
        super().__init__(f"{ref}: " + "; ".join(self.problems))


class UsageError(DramaturgError):
    """A value or a setting that makes no sense."""

    code = "usage"
    exit_code = 2


class NotFound(DramaturgError):
    """There is no such action, run, task or pack."""

    code = "not_found"
    exit_code = 6


class Conflict(DramaturgError):
    """The id is taken by another run, or the ref of an existing workflow is changed."""

    code = "conflict"
    exit_code = 8


class Unreachable(DramaturgError):
    """The database or the broker does not answer."""

    code = "unreachable"
    exit_code = 7


class SchemaOutdated(DramaturgError):
    """The database's tables are older or newer than this version of Dramaturg needs."""

    code = "database.schema"
    exit_code = 7


class RunEnded(DramaturgError):
    """The run ended without success."""

    code = "run.failed"
    exit_code = 1

    def __init__(self, run_id: str, error: Failure | None, output: JSON) -> None:
        self.run_id = run_id
        self.error = error
        self.output = output
        what = f"{error.type}: {error.message}" if error else "no error was recorded"
        super().__init__(f"run {run_id}: {what}")


class RunFailed(RunEnded):
    """The run failed."""


class RunTimedOut(RunEnded):
    """The run, or a task whose timeout nothing handled, took too long."""

    code = "run.timed_out"
    exit_code = 4


class RunCancelled(RunEnded):
    """The run was cancelled or terminated."""

    code = "run.cancelled"
    exit_code = 5


class InternalError(DramaturgError):
    """An invariant of the engine does not hold: a bug of ours."""

    code = "internal"
    exit_code = 70
