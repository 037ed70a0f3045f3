"""What can be wrong with an expression: found when it is compiled, or when it is evaluated.

::

    DramaturgError
    ├── ExpressionSyntaxError    the author: the text can't be compiled; carries every problem
    └── EvaluationError          the data: no value for this rendering; becomes a failure, never a crash
    Fault                        inside the evaluator only: an EvaluationError that does not know its place yet
    └── Missing                  a field or name that is not there; what `default` and `is defined` catch
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from dramaturg.engine.errors import DramaturgError

#: Longest piece of foreign text (a key, another library's message) that is repeated in a message.
MAX_QUOTED = 200
#: Names among which a near one is searched.
MAX_SEARCHED = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntaxProblem:
    """One thing that is wrong with the text of an expression."""

    message: str
    #: What to do about it, such as ``did you mean 'build'?``; may be empty.
    hint: str = ""
    #: Where the text stands: ``tasks.t1.input.a[0]``.
    place: str = ""
    #: The whole text, braces included.
    source: str = ""
    #: Where in `source`; counted from 0.
    offset: int = 0

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.place}: {self.message}{hint}"


class ExpressionSyntaxError(DramaturgError):
    """A template or condition can't be compiled; `problems` has all that was found."""

    code = "expression.syntax"
    exit_code = 3

    def __init__(self, problems: Iterable[SyntaxProblem]) -> None:
        self.problems: tuple[SyntaxProblem, ...] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class EvaluationError(DramaturgError):
    """An expression has no value for the data that it met.

    `place` is the text's place in the definition, `expression` the text, `position` the offset in it (None:
    not known).
    """

    code = "expression.evaluation"
    exit_code = 1

    def __init__(self, message: str, place: str, expression: str, position: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.expression = expression
        self.position = position

    def __str__(self) -> str:
        return f"{self.place}: {self.message} (in {quoted(self.expression)})"


class Fault(Exception):
    """An expression can't go on; the outermost evaluator turns it into an :class:`EvaluationError`."""

    def __init__(self, message: str, offset: int | None = None, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.hint = hint

    def advice(self) -> str:
        """Return the hint; asked only where somebody will read it."""
        return self.hint


class Missing(Fault):
    """A field, element or name that is not there."""

    def __init__(
        self, message: str, offset: int | None = None, *, name: str = "", known: Collection[str] = ()
    ) -> None:
        super().__init__(message, offset)
        self.name = name
        self.known = known

    def advice(self) -> str:
        """Return the nearest name that is there."""
        return did_you_mean(self.name, self.known) if len(self.known) <= MAX_SEARCHED else ""


def quoted(text: str) -> str:
    """Return *text* as it is shown in a message: shortened, in quotes."""
    return repr(text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "…")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest of *known*, or an empty text."""
    if len(name) > MAX_QUOTED:
        return ""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else ""
