"""Invalid definitions and other trouble, as people read it: every problem with its place, source line and caret."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dramaturg.cli.output import Output, visible
from dramaturg.cli.words import counted
from dramaturg.engine.errors import JSON, DramaturgError, InvalidParameters, Problem, Unreachable

#: What a report is made to fit; a path is never broken, because people paste it.
WIDTH = 80


def describe(problems: Sequence[Problem]) -> Iterator[str]:
    """Give the lines of a report: the problems in order of file and place, then how many there are."""
    cache: dict[str, list[str]] = {}
    for problem in sorted(problems, key=lambda p: (p.path, p.line, p.column)):
        yield from _one(problem, cache)
        yield ""
    errors = sum(p.severity == "error" for p in problems)
    warnings = len(problems) - errors
    yield ", ".join(counted(n, word) for n, word in ((errors, "error"), (warnings, "warning")) if n)


def report(output: Output, subject: Mapping[str, JSON], problems: Sequence[Problem], *, valid: bool) -> None:
    """Print a verdict as the answer: in text every problem, in JSON `subject`, `valid` and `problems`."""
    if output.format != "text":
        output.json({**subject, "valid": valid, "problems": [_record(problem) for problem in problems]})
    elif problems:
        for line in describe(problems):
            output.raw(line)


def _record(problem: Problem) -> dict[str, JSON]:
    names = ("severity", "code", "message", "path", "line", "column", "hint")
    return {name: getattr(problem, name) for name in names}


def explain(error: DramaturgError) -> Iterator[str]:
    """Give the lines that tell of an error: what is wrong, and what to do about it."""
    if isinstance(error, InvalidParameters):
        yield f"error: {error.ref}: wrong parameters"
        for problem in error.problems:
            yield from _wrapped(problem, "  - ", "    ")
    elif isinstance(error, Unreachable):
        # One line: it is what ends up in somebody's log.
        hint = f" ({visible(error.hint)})" if error.hint else ""
        yield f"error: {visible(str(error))}{hint}"
        return
    else:
        yield f"error: {visible(str(error))}"
    if error.hint:
        yield f"hint: {visible(error.hint)}"


def _one(problem: Problem, cache: dict[str, list[str]]) -> Iterator[str]:
    numbers = [str(n) for n in (problem.line, problem.column) if n]
    yield ":".join([_shown(problem.path), *numbers])
    yield from _wrapped(f"{problem.severity}: {visible(problem.message)}", "  ", "    ")
    yield from _source(problem, cache)
    if problem.hint:
        yield from _wrapped(f"hint: {visible(problem.hint)}", "  ", "    ")


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=True,
        break_on_hyphens=False,
    )


def _shown(path: str) -> str:
    if not path:
        return "<definition>"
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path


def _source(problem: Problem, cache: dict[str, list[str]]) -> Iterator[str]:
    """Give the source line and a caret below the column, cut to the width around it."""
    lines = _lines(problem.path, cache)
    if not 0 < problem.line <= len(lines):
        return
    prefix = f"  {problem.line:>4} | "
    room = WIDTH - len(prefix)
    line = "".join(c if c.isprintable() else " " for c in lines[problem.line - 1])
    column = min(max(problem.column, 1), len(line) + 1) - 1
    start = max(0, column - room // 2) if len(line) > room else 0
    piece = line[start : start + room]
    if start:
        piece = "…" + piece[1:]
    if start + room < len(line):
        piece = piece[:-1] + "…"
    yield (prefix + piece).rstrip()
    if problem.column:
        yield " " * (len(prefix) - 2) + "| " + " " * (column - start) + "^"


def _lines(path: str, cache: dict[str, list[str]]) -> list[str]:
    if path not in cache:
        try:
            cache[path] = (
                Path(path).read_text(encoding="utf-8", errors="replace").splitlines() if path else []
            )
        except OSError:
            cache[path] = []
    return cache[path]
