"""The interpreter's only entry: what has happened goes in, what is to be done comes out."""

from __future__ import annotations

from collections.abc import Sequence

from dramaturg.engine.interpreter.commands import Decision
from dramaturg.engine.interpreter.state import Input, Key, Need, RunState, View
from dramaturg.engine.language.program import Program


def advance(
    program: Program, run: RunState, view: View, inputs: Sequence[Input], now: str, entropy: bytes
) -> Decision | Need:
    """Return what follows from `inputs`, or what must be known before that can be said."""
    return Decision(run=run, events=())


def reads(program: Program, inputs: Sequence[Input]) -> frozenset[Key]:
    """Return the keys to load at first, so that advance seldom asks for more."""
    return frozenset()
