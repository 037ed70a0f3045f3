"""A scope made of plain data, for tests of expressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dramaturg.engine.expressions.compile import Names

JSON = Any


@dataclass
class DataScope:
    """Values by name; what is not given is not there."""

    parameters: JSON = field(default_factory=dict)
    variables: Mapping[str, JSON] = field(default_factory=dict)
    tasks: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)
    roots: Mapping[str, JSON] = field(default_factory=dict)
    status: str | None = "succeeded"
    latest_result: JSON = None
    latest_error: JSON = None

    def name(self, root: str) -> JSON:
        known = {"parameters": self.parameters, "workflow": self.variables, "task": self.tasks}
        return (
            known[root] if root in known else self.roots[root] if root in self.roots else self.variables[root]
        )

    def outcome(self) -> str | None:
        return self.status

    def result(self) -> JSON:
        return self.latest_result

    def error(self) -> JSON:
        return self.latest_error

    def now(self) -> str:
        return "2026-03-01T12:00:00Z"

    def uuid(self) -> str:
        return "0190b5a0-0000-7000-8000-000000000000"

    def random(self) -> float:
        return 0.25


#: Names for a place where everything is known.
EVERYTHING = Names(
    variables=frozenset({"n", "count", "approved", "later", "index"}),
    tasks=frozenset({"build", "test-all", "deploy"}),
    items=frozenset({"item"}),
    outcome=True,
    output=True,
)
