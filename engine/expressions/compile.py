"""Templates and conditions: compiled once, rendered often (LANGUAGE 7).

A template is any JSON value with ``{{ ... }}`` in its texts. A text that is one template keeps the value's
type; in other texts the values are interpolated. Map keys are never rendered, and a rendered result is never
rendered again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import EvaluationError, ExpressionSyntaxError, SyntaxProblem
from dramaturg.engine.expressions.scope import Names, Reads, Scope

__all__ = [
    "EvaluationError",
    "ExpressionSyntaxError",
    "Names",
    "Reads",
    "Scope",
    "SyntaxProblem",
    "Template",
    "compile_condition",
    "compile_value",
]


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template; equal to another of the same source and place."""

    #: What was written.
    source: JSON
    #: Where: ``tasks.t1.next[0].when``.
    place: str
    reads: Reads = field(compare=False)
    #: Whether no expression is in it: rendering returns the same value at once and asks no scope.
    constant: bool = field(compare=False)

    def render(self, scope: Scope) -> JSON:
        """Return the value for *scope*; it may share parts with the scope's data and must not be changed.

        Raises:
            EvaluationError: there is none.
        """
        return self.source

    def test(self, scope: Scope) -> bool:
        """Return the truth of the value, as in Python.

        Raises:
            EvaluationError: there is no value.
        """
        return bool(self.render(scope))


def compile_value(value: JSON, place: str, names: Names) -> Template:
    """Compile *value*, deep: maps, lists and texts.

    Raises:
        ExpressionSyntaxError: with every problem of every text in it.
    """
    return Template(value, place, Reads(), True)


def compile_condition(value: str | bool | None, place: str, names: Names) -> Template | None:
    """Compile a condition: one expression, with or without braces; None stays None.

    Raises:
        ExpressionSyntaxError: with every problem in it.
    """
    return None if value is None else Template(value, place, Reads(), True)
