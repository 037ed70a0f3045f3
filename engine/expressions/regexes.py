"""Functions with regular expressions: RE2's, which take time linear in the text (LANGUAGE 7)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]  # google-re2 has no types

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import MAX_QUOTED, Fault, quoted
from dramaturg.engine.expressions.registry import Registry
from dramaturg.engine.expressions.sandbox import Frame

REGEXES = Registry()

#: Longest pattern, in characters.
MAX_PATTERN = 1_000
#: Memory that RE2 may take for a pattern and its automaton, which live as long as the pattern is remembered.
_MAX_MEMORY = 1 << 20
#: Up to so many instructions, RE2's automaton fits its memory for sure and reads a character in a nanosecond.
_SMALL_PROGRAM = 12
_CHARACTERS_A_STEP = 1_000
#: A larger one may be simulated: measured, 6 nanoseconds for each character and instruction.
_INSTRUCTIONS_A_STEP = 150
#: Steps of one match beside its reading: spans, decoding, pieces.
_STEPS_A_MATCH = 8

#: In a replacement: a group by number or name, or a backslash.
_REFERENCE = re.compile(r"\\(?:([0-9]{1,2})|g<(\w+)>|(\\))", re.ASCII)


@lru_cache(maxsize=64)
def compile_pattern(pattern: str, groups: bool = False) -> Any:
    """Return the compiled pattern; without *groups*, which is cheaper, its groups are not captured.

    Raises:
        Fault: RE2 can't read it, or it is too large.
    """
    if len(pattern) > MAX_PATTERN:
        raise Fault(f"the regular expression is longer than {MAX_PATTERN:,} characters")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    options.never_capture = not groups
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "invalid"
        shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise Fault(f"{quoted(pattern)} is not a regular expression of RE2: {shown[:MAX_QUOTED]}") from None


def check_pattern(pattern: JSON) -> None:
    """Raise a Fault for a constant that is no regular expression."""
    if isinstance(pattern, str):
        compile_pattern(pattern)


def _pay(frame: Frame, compiled: Any, characters: int) -> None:
    """Pay for reading so many characters with a pattern."""
    size = compiled.programsize
    small = size <= _SMALL_PROGRAM
    frame.step(
        _STEPS_A_MATCH
        + (characters // _CHARACTERS_A_STEP if small else characters * size // _INSTRUCTIONS_A_STEP)
    )


@REGEXES.add("match", "regex_match", checks={"regex": check_pattern})
def match(frame: Frame, value: str, regex: str) -> JSON:
    """Say whether a text matches from its start."""
    compiled = compile_pattern(regex)
    _pay(frame, compiled, len(value))
    return compiled.match(value) is not None


@REGEXES.add("regex_search", checks={"regex": check_pattern})
def regex_search(frame: Frame, value: str, regex: str) -> JSON:
    """Say whether a text matches anywhere."""
    compiled = compile_pattern(regex)
    _pay(frame, compiled, len(value))
    return compiled.search(value) is not None


@REGEXES.add("regex_replace", checks={"regex": check_pattern})
def regex_replace(frame: Frame, value: str, regex: str, by: str) -> JSON:
    r"""Return a text with every match replaced; ``\1`` and ``\g<name>`` in *by* are groups, ``\\`` a backslash."""
    compiled = compile_pattern(regex, "\\" in by)
    template = _template(by, compiled)
    _pay(frame, compiled, len(value))
    pieces, end = [], 0
    for found in compiled.finditer(value):
        # Each search may read to the end of the text before it settles on a match.
        _pay(frame, compiled, len(value) - found.end())
        pieces.append(value[end : found.start()])
        end = found.end()
        pieces.extend(part if isinstance(part, str) else (found[part] or "") for part in template)
        frame.build(sum(map(len, pieces[-len(template) - 1 :])))
    pieces.append(value[end:])
    frame.build(len(value) - end)
    return "".join(pieces)


def _template(by: str, compiled: Any) -> Sequence[str | int]:
    """Return the parts of a replacement: texts, and numbers of groups."""
    parts: list[str | int] = []
    end = 0
    for found in _REFERENCE.finditer(by):
        parts.append(by[end : found.start()])
        end = found.end()
        if found[3]:
            parts.append("\\")
            continue
        name = found[1] or found[2]
        group = int(name) if name.isdigit() else compiled.groupindex.get(name, -1)
        if not 0 <= group <= compiled.groups:
            raise Fault(f"regex_replace(): the regular expression has no group {quoted(name)}")
        parts.append(group)
    parts.append(by[end:])
    return parts
