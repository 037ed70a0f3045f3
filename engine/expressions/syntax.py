"""From text to syntax trees: where the templates are, and what stands in them.

Jinja's own lexer and parser read the expressions. They are given offsets in place of line numbers, so that
every node knows where it stands. Nothing else of Jinja is used: trees are evaluated by :mod:`build`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import jinja2
from jinja2 import nodes
from jinja2.lexer import TokenStream
from jinja2.parser import Parser

from dramaturg.engine.expressions.faults import Fault

#: Longest expression, in characters.
MAX_EXPRESSION = 10_000
#: Brackets inside brackets. Jinja's parser takes some 15 Python frames for each.
MAX_BRACKETS = 30
#: Syntax trees that are kept: a definition's expressions are each checked in two ways, and many are written more than once.
#: The greatest has about a megabyte.
KEPT = 32
#: Depth of a syntax tree; building takes up to five Python frames a level, evaluating up to three, so that
#: both end the same way wherever they are called.
MAX_DEPTH = 60

_ENVIRONMENT = jinja2.Environment(keep_trailing_newline=True, autoescape=False)
#: What matters for finding the end of an expression: texts are skipped, brackets are counted.
_LANDMARK = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[{}()\[\]]""", re.DOTALL)
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_FOREIGN = (("{%", "%}", "statements"), ("{#", "#}", "comments"))


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a text: plain, or what stands between ``{{`` and ``}}``."""

    text: str
    #: Where `text` begins in the whole.
    offset: int
    expression: bool


def split(source: str) -> list[Piece]:
    """Cut *source* into plain pieces and expressions, in order; empty plain pieces are left out.

    Raises:
        Fault: an expression is not closed, or there are statements or comments.
    """
    pieces: list[Piece] = []
    position, strip_next = 0, False
    while True:
        start = source.find("{{", position)
        end = start if start >= 0 else len(source)
        plain = _plain(source[position:end], position)
        strip_this, strip_next = strip_next, False
        if start >= 0:
            stop = _end(source, start)
            inner, begin = source[start + 2 : stop], start + 2
            if inner[:1] in {"-", "+"}:
                plain = plain.rstrip() if inner[0] == "-" else plain
                inner, begin = inner[1:], begin + 1
            if inner[-1:] in {"-", "+"}:
                strip_next = inner[-1] == "-"
                inner = inner[:-1]
        if strip_this:
            plain = plain.lstrip()
        if plain:
            pieces.append(Piece(plain, position, False))
        if start < 0:
            return pieces
        pieces.append(Piece(inner, begin, True))
        position = stop + 2


def _plain(part: str, offset: int) -> str:
    """Return *part*, which must hold nothing else of Jinja's; a ``{#`` alone, as in shell, is only text."""
    for opening, closing, what in _FOREIGN:
        at = part.find(opening)
        if at >= 0 and part.find(closing, at + 2) >= 0:
            message = (
                f"{what} ({opening} {closing}) are not part of the language, only expressions ({{{{ }}}}) are"
            )
            raise Fault(message, offset + at)
    return part


def _end(source: str, start: int) -> int:
    """Return where the ``}}`` of the expression that opens at *start* stands."""
    open_brackets: list[str] = []
    last = min(len(source), start + MAX_EXPRESSION + 4)
    for mark in _LANDMARK.finditer(source, start + 2, last):
        char, at = mark[0], mark.start()
        if char in _CLOSING:
            open_brackets.append(_CLOSING[char])
        elif open_brackets and char == open_brackets[-1]:
            open_brackets.pop()
        elif char == "}" and not open_brackets and source.startswith("}}", at):
            return at
        elif char in ")]}":
            raise Fault(f"unexpected {char!r}", at)
    if last < len(source):
        raise Fault(f"the expression is not closed within {MAX_EXPRESSION:,} characters", start)
    raise Fault("'{{' is not closed by '}}'", start)


@lru_cache(maxsize=KEPT)
def parse(expression: str, offset: int) -> nodes.Expr:
    """Return the syntax tree of *expression*; `lineno` of its nodes is the offset in the whole text.

    *offset* is where the expression begins in the text. Others may get the same tree: it must not be changed.

    Raises:
        Fault: it is no expression, is too long or nested too deep.
    """
    if len(expression) > MAX_EXPRESSION:
        raise Fault(f"the expression is longer than {MAX_EXPRESSION:,} characters", offset)
    if not expression.strip():
        raise Fault("there is no expression", offset)
    try:
        tree = _Parser(expression, offset).parse_all()
    except jinja2.TemplateSyntaxError as error:
        raise Fault(_readable(error.message or "invalid syntax"), error.lineno) from None
    except RecursionError:
        raise Fault("the expression is nested too deep", offset) from None
    _check_depth(tree, offset)
    return tree


class _Parser(Parser):
    """Jinja's parser over tokens that carry offsets."""

    def __init__(self, expression: str, offset: int) -> None:
        super().__init__(_ENVIRONMENT, "")
        self.offset = offset
        tokens = _ENVIRONMENT.lexer.wrap(_tokens(expression, offset))
        self.stream = TokenStream(tokens, None, None)

    def parse_all(self) -> nodes.Expr:
        tree = self.parse_expression()
        if not self.stream.eos:
            token = self.stream.current
            raise jinja2.TemplateSyntaxError(
                f"unexpected {str(token.value)!r} after the expression", token.lineno
            )
        return tree


def _tokens(expression: str, offset: int) -> Iterator[tuple[int, str, str]]:
    position = offset
    depth = 0
    try:
        # A carriage return inside an expression is only space; the lexer would shift what follows.
        for _, kind, value in _ENVIRONMENT.lexer.tokeniter(
            expression.replace("\r", " "), None, state="variable"
        ):
            if kind in {"variable_begin", "variable_end", "block_begin", "block_end", "data"}:
                raise jinja2.TemplateSyntaxError(f"unexpected {value.strip()!r}", position)
            depth += (value in _CLOSING) - (kind == "operator" and value in ")]}")
            if depth > MAX_BRACKETS:
                raise jinja2.TemplateSyntaxError("the expression is nested too deep", position)
            if kind == "integer" and len(value) > MAX_BRACKETS:
                raise jinja2.TemplateSyntaxError("the integer is beyond 64 bits", position)
            yield position, kind, value
            position += len(value)
    except jinja2.TemplateSyntaxError as error:
        # The lexer's own errors have a line; ours, and those of the parser, an offset.
        message = re.sub(r" at \d+$", "", error.message or "")
        raise jinja2.TemplateSyntaxError(message, position) from None


def _readable(message: str) -> str:
    """Return Jinja's message in words that fit an expression without a template around it."""
    message = re.sub(r"'?end of (?:template|print statement)'?", "end of the expression", message)
    return message.replace("unexpected char ", "unexpected character ").replace(
        "expected token ", "expected "
    )


def _check_depth(tree: nodes.Node, offset: int) -> None:
    level: list[nodes.Node] = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in node.iter_child_nodes()]
        if not level:
            return
    raise Fault("the expression is nested too deep", offset)
