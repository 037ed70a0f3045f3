"""Templates and conditions: compiled once, rendered often (LANGUAGE 7).

A template is any JSON value with ``{{ ... }}`` in its texts. A text that is one template keeps the value's
type; in other texts the values are interpolated. Map keys are never rendered, and a rendered result is never
rendered again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.build import Builder
from dramaturg.engine.expressions.faults import EvaluationError, ExpressionSyntaxError, Fault, SyntaxProblem
from dramaturg.engine.expressions.forms import constant
from dramaturg.engine.expressions.names import always
from dramaturg.engine.expressions.sandbox import MAX_NESTING, Evaluate, Frame, in_text
from dramaturg.engine.expressions.scope import Names, Reads, Scope
from dramaturg.engine.expressions.syntax import Piece, parse, split

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
    #: The value of a constant.
    _value: JSON = field(compare=False, repr=False)
    _evaluate: Evaluate = field(compare=False, repr=False)

    def render(self, scope: Scope) -> JSON:
        """Return the value for *scope*; it may share parts with the scope's data and must not be changed.

        Raises:
            EvaluationError: there is none.
        """
        return self._value if self.constant else self._evaluate(Frame(scope))

    def test(self, scope: Scope) -> bool:
        """Return the truth of the value, as in Python.

        Raises:
            EvaluationError: there is no value.
        """
        return bool(self._value if self.constant else self._evaluate(Frame(scope)))


def compile_value(value: JSON, place: str, names: Names) -> Template:
    """Compile *value*, deep: maps, lists and texts.

    Raises:
        ExpressionSyntaxError: with every problem of every text in it.
    """
    compiler = _Compiler(names)
    evaluate = compiler.value(value, place, 1)
    return compiler.template(value, place, value, evaluate)


def compile_condition(value: str | bool | None, place: str, names: Names) -> Template | None:
    """Compile a condition: one expression, with or without braces; None stays None.

    The words succeeded, failed, timed_out, cancelled, skipped, completed and always need no parentheses.

    Raises:
        ExpressionSyntaxError: with every problem in it.
    """
    if value is None:
        return None
    compiler = _Compiler(names)
    if isinstance(value, bool):
        return compiler.template(value, place, value, None)
    if not isinstance(value, str):
        compiler.problem(Fault("a condition is an expression, true or false"), place, str(value))
        return compiler.template(value, place, None, None)
    evaluate = compiler.condition(value, place)
    return compiler.template(value, place, compiler.literal, evaluate)


class _Compiler:
    """Compiles one template: gathers what its texts read and what is wrong with them."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.reads = Reads()
        self.problems: list[SyntaxProblem] = []
        #: Expressions that are only a literal, and its value.
        self.literals: dict[Evaluate, JSON] = {always: True}
        #: The value of a condition that is only a literal.
        self.literal: JSON = None

    def template(self, source: JSON, place: str, value: JSON, evaluate: Evaluate | None) -> Template:
        """Return the template, constant without *evaluate*, or raise all the problems."""
        if self.problems:
            raise ExpressionSyntaxError(self.problems)
        return Template(source, place, self.reads, evaluate is None, value, evaluate or constant(value))

    def problem(self, fault: Fault, place: str, source: str) -> None:
        """Note a problem."""
        self.problems.append(
            SyntaxProblem(
                message=fault.message, hint=fault.hint, place=place, source=source, offset=fault.offset or 0
            )
        )

    def value(self, value: JSON, place: str, depth: int) -> Evaluate | None:
        """Return what renders *value*; None if there is no expression in it."""
        if isinstance(value, str):
            return self._text(value, place)
        if depth > MAX_NESTING:
            self.problem(Fault(f"the value is nested more than {MAX_NESTING} levels deep"), place, "")
            return None
        if isinstance(value, dict):
            return self._map(value, place, depth)
        if isinstance(value, list | tuple):
            return self._list(value, place, depth)
        return None

    def _map(self, value: dict[str, JSON], place: str, depth: int) -> Evaluate | None:
        parts = {key: self.value(part, f"{place}.{key}", depth + 1) for key, part in value.items()}
        if not any(parts.values()):
            return None
        pairs = [(key, part or constant(value[key])) for key, part in parts.items()]
        return lambda frame: {key: part(frame) for key, part in pairs}

    def _list(self, value: list[JSON] | tuple[JSON, ...], place: str, depth: int) -> Evaluate | None:
        parts = [self.value(part, f"{place}[{index}]", depth + 1) for index, part in enumerate(value)]
        if not any(parts):
            return None
        made = [part or constant(value[index]) for index, part in enumerate(parts)]
        return lambda frame: [part(frame) for part in made]

    def _text(self, source: str, place: str) -> Evaluate | None:
        if "{" not in source:
            return None
        pieces = self._split(source, place)
        expressions = [piece for piece in pieces if piece.expression]
        if not expressions:
            return None
        if len(expressions) == 1 and not any(piece.text.strip() for piece in pieces if not piece.expression):
            return _guarded(self._expression(expressions[0], place, source), place, source)
        parts = [
            self._expression(piece, place, source) if piece.expression else constant(piece.text)
            for piece in pieces
        ]
        return _guarded(lambda frame: in_text(frame, [part(frame) for part in parts]), place, source)

    def _split(self, source: str, place: str) -> list[Piece]:
        try:
            return split(source)
        except Fault as fault:
            self.problem(fault, place, source)
            return []

    def _expression(self, piece: Piece, place: str, source: str, *, words: bool = False) -> Evaluate:
        try:
            tree = parse(piece.text, piece.offset)
        except Fault as fault:
            self.problem(fault, place, source)
            return constant(None)
        builder = Builder(self.names, words=words)
        try:
            made = builder.build(tree)
        except RecursionError:
            self.problem(Fault("the expression is nested too deep", piece.offset), place, source)
            return constant(None)
        for found in builder.problems:
            self.problem(found, place, source)
        self.reads |= builder.resolver.reads
        self.literals |= builder.literals
        return made

    def condition(self, source: str, place: str) -> Evaluate | None:
        """Return what evaluates a condition; None if it is only a literal, which is then `literal`."""
        pieces = [Piece(source, 0, True)]
        if "{{" in source:
            pieces = [piece for piece in self._split(source, place) if piece.expression or piece.text.strip()]
        if not pieces:
            return None
        if len(pieces) > 1 or not pieces[0].expression:
            what = "a condition is one expression; text or another template stands beside it"
            hint = "write all of it inside one pair of braces, or without any"
            self.problem(Fault(what, pieces[-1].offset, hint=hint), place, source)
            return None
        made = self._expression(pieces[0], place, source, words=True)
        if made in self.literals:
            self.literal = self.literals[made]
            return None
        return _guarded(made, place, source)


def _guarded(evaluate: Evaluate, place: str, source: str) -> Evaluate:
    """Return *evaluate* so that a fault becomes an error that names place and text."""

    def guarded(frame: Frame) -> JSON:
        try:
            return evaluate(frame)
        except Fault as fault:
            advice = fault.advice()
            message = f"{fault.message}; {advice}" if advice else fault.message
            raise EvaluationError(message, place, source, fault.offset) from fault
        except RecursionError:
            raise EvaluationError("the value is nested too deep", place, source) from None

    return guarded
