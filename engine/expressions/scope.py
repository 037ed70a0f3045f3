"""What an expression may name, what it reads, and where its values come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dramaturg.engine.errors import JSON


@dataclass(frozen=True, slots=True)
class Reads:
    """What a template reads, known from compiling it; united with ``|``.

    It is a bound from above: a template reads nothing that is not named here, and may read less.
    """

    #: Variables by name, however they are written: ``workflow.x``, ``vars.x``, ``x``.
    variables: frozenset[str] = frozenset()
    #: `workflow` used whole or with a computed key.
    all_variables: bool = False
    #: (task, field); the field is "*" where `task.x` is used whole.
    tasks: frozenset[tuple[str, str]] = frozenset()
    result: bool = False
    error: bool = False
    parameters: bool = False
    config: bool = False
    output: bool = False
    system: bool = False
    item: bool = False
    #: Secrets of the keystore, by name.
    keystore: frozenset[str] = frozenset()

    def __or__(self, other: Reads) -> Reads:
        """Return what either of the two reads."""
        return Reads(
            self.variables | other.variables,
            self.all_variables or other.all_variables,
            self.tasks | other.tasks,
            self.result or other.result,
            self.error or other.error,
            self.parameters or other.parameters,
            self.config or other.config,
            self.output or other.output,
            self.system or other.system,
            self.item or other.item,
            self.keystore | other.keystore,
        )


class Scope(Protocol):
    """Where one rendering gets its values."""

    def name(self, root: str) -> JSON:
        """Return the value of a root name.

        `parameters`, `config`, `system`, `output`, `item`, `index`, the names of `x, y in`, a bare variable;
        `workflow`: a Mapping of variables; `task`: a Mapping of task name to a Mapping of field to value.

        Raises:
            KeyError: there is none.
        """
        ...

    def outcome(self) -> str | None:
        """Return the status of the task that just completed; None outside transitions."""
        ...

    def result(self) -> JSON:
        """Return the result of the task that just completed."""
        ...

    def error(self) -> JSON:
        """Return the error of the task that just completed, or None."""
        ...

    def now(self) -> str:
        """Return the time, ISO 8601 in UTC; the caller records it."""
        ...

    def uuid(self) -> str:
        """Return a new UUID; the caller records it."""
        ...

    def random(self) -> float:
        """Return a number from 0 to below 1; the caller records it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What an expression at one place may name; anything else is found when it is compiled."""

    variables: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()
    #: `item` and `index`, or the names of ``x, y in <expr>``; empty outside `with_items`.
    items: frozenset[str] = frozenset()
    #: Whether a task has just completed: result(), error(), succeeded() and the like (transitions, retry.when).
    outcome: bool = False
    #: Whether `output.<name>` is known (`output_map`).
    output: bool = False
    #: Whether `keystore.<name>` is known (a task's `input`).
    keystore: bool = False
