"""How `run` and `result` end: the output, how it went, and the run's exit code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import click

from dramaturg.cli import words
from dramaturg.cli.output import Output, glyphs_for, visible
from dramaturg.cli.values import render
from dramaturg.engine.errors import JSON

#: Exit code where waiting is over before the run (DESIGN 8).
TIMED_OUT = 4


def finish(output: Output, record: Mapping[str, JSON], *, hints: bool) -> NoReturn:
    """Print the run as the answer and end with its exit code.

    Args:
        hints: also say on stderr how it went and how to look at the run afterwards.
    """
    answer(output, record)
    _how_it_went(output, record)
    if hints:
        output.say(f"look at it again: dramaturg show {record['id']} (or history, or logs)")
    raise click.exceptions.Exit(words.EXIT_CODES[record["status"]])


def answer(output: Output, record: Mapping[str, JSON]) -> None:
    """Print a run's record, or in text its output alone."""
    if output.format == "text":
        output.lines(render(record.get("output")))
    else:
        output.json(dict(record))


def waiting_over(output: Output, record: Mapping[str, JSON], timeout: float | None, again: str) -> NoReturn:
    """Say that waiting is over, print the run as it stands, and end with exit code 4."""
    if output.format != "text":
        output.json(dict(record))
    status = words.spoken(str(record["status"]))
    output.say(f"waiting is over after {timeout:g} seconds; run {record['id']} is still {status}")
    output.say(f"go on with: {again}")
    raise click.exceptions.Exit(TIMED_OUT)


def _how_it_went(output: Output, record: Mapping[str, JSON]) -> None:
    from rich.text import Text

    status = str(record["status"])
    took = words.seconds_between(record.get("started_at"), record.get("finished_at"), words.now())
    after = f" in {words.duration(took)}" if took is not None else ""
    line = Text(
        f"{words.sign(status, glyphs_for(output.err))} {words.spoken(status)}", style=words.style(status)
    )
    line.append(after, style="dim")
    output.say(line)
    if record.get("error"):
        output.say(visible(words.failure(record["error"])), style=words.style(status))
