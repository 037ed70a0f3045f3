"""What the commands print: the answer on stdout, progress and trouble on stderr.

An answer is text for people, `json` (one value, indented) or `jsonl` (one value a line) for programs. Colours and
moving pictures appear only on a terminal; NO_COLOR turns the colours off. Rich is imported when something is printed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import IO, TYPE_CHECKING, Literal

import click

from dramaturg.engine.errors import JSON

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Format = Literal["text", "json", "jsonl"]


def format_option(*formats: Format) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command its `-o` option."""
    return click.option(
        "-o",
        "--output",
        "fmt",
        type=click.Choice(formats or ("text", "json", "jsonl")),
        default="text",
        show_default=True,
        help="How the answer is written to stdout.",
    )


class Output:
    """The two streams of one invocation."""

    def __init__(self, fmt: Format = "text") -> None:
        self.format: Format = fmt

    @cached_property
    def out(self) -> Console:
        """Return the console of the answer."""
        return console_for(sys.stdout)

    @cached_property
    def err(self) -> Console:
        """Return the console of progress and trouble."""
        return console_for(sys.stderr)

    @property
    def live(self) -> bool:
        """Return whether a moving picture can be drawn on stderr."""
        return self.err.is_terminal and not self.err.is_dumb_terminal

    def say(self, text: str | Text = "", style: str | None = None) -> None:
        """Write a line of progress or trouble."""
        self.err.print(text, style=style, soft_wrap=True)

    def line(self, text: str | Text = "", style: str | None = None) -> None:
        """Write a line of the answer, cut to the terminal's width on a terminal and whole elsewhere."""
        if self.out.is_terminal:
            self.out.print(text, style=style, no_wrap=True, overflow="ellipsis", crop=True)
        else:
            self.out.print(text, style=style, soft_wrap=True)

    def lines(self, lines: Iterable[str | Text]) -> None:
        """Write lines of the answer."""
        for line in lines:
            self.line(line)

    def raw(self, text: str | Text, style: str | None = None) -> None:
        """Write a line of the answer as it is, however long: what somebody's program has said."""
        self.out.print(text, style=style, soft_wrap=True)

    def json(self, value: JSON) -> None:
        """Write a value as the answer, in the format that was asked for."""
        indent = 2 if self.format == "json" else None
        click.echo(dump(value, indent=indent))

    def records(self, values: Sequence[JSON]) -> None:
        """Write a list as the answer: one array, or a line for each record."""
        if self.format == "json":
            self.json(list(values))
        else:
            for value in values:
                self.json(value)


def dump(value: JSON, *, indent: int | None = None) -> str:
    """Return a JSON text: as readers of this language's text expect it, not escaped to ASCII."""
    separators = (",", ": ") if indent else (",", ":")
    return json.dumps(value, indent=indent, separators=separators, ensure_ascii=not _speaks_utf8(sys.stdout))


def console_for(stream: IO[str]) -> Console:
    """Return a console that colours only a terminal, and nothing where NO_COLOR is set."""
    from rich.console import Console

    class OurConsole(Console):
        def on_broken_pipe(self) -> None:
            # Rich would end the process with exit code 1, which says here that a run has failed.
            raise BrokenPipeError

    terminal = stream.isatty()
    console = OurConsole(
        file=stream,
        force_terminal=terminal,
        markup=False,
        highlight=False,
        emoji=False,
        color_system="auto" if terminal and not os.environ.get("NO_COLOR") else None,
        legacy_windows=False,
    )
    if not terminal:
        # Width is a property of terminals; a table in a file is as wide as what is in it.
        console.width = 10_000
    return console


def glyphs_for(console: Console) -> Literal["unicode", "ascii"]:
    """Return which set of signs the stream can show."""
    return "unicode" if _speaks_utf8(console.file) else "ascii"


def table(headings: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> list[Text]:
    """Return aligned lines: headings in bold, two spaces between the columns, nothing after the last."""
    from rich.text import Text

    cells = [[_text(cell) for cell in row] for row in rows]
    heads = [Text(heading, style="bold") for heading in headings]
    widths = [max(cell.cell_len for cell in column) for column in zip(heads, *cells, strict=True)]
    return [_aligned(row, widths) for row in (heads, *cells)]


def _aligned(row: Sequence[Text], widths: Sequence[int]) -> Text:
    from rich.text import Text

    line = Text()
    for cell, width in zip(row, widths, strict=True):
        line.append_text(cell)
        line.append(" " * (width - cell.cell_len + 2))
    line.rstrip()
    return line


def _text(cell: str | Text) -> Text:
    from rich.text import Text

    return Text(visible(cell)) if isinstance(cell, str) else cell


def visible(text: str) -> str:
    """Return a text on one line in which control characters can be seen and do nothing to the terminal."""
    return "".join(c if c.isprintable() or c == " " else _ESCAPES.get(c) or f"\\x{ord(c):02x}" for c in text)


_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _speaks_utf8(stream: IO[str]) -> bool:
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "") in ("utf8", "utf8sig")
