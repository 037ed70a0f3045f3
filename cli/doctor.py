"""`dramaturg doctor`: is everything in order, and if not, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import click

from dramaturg.cli import catalog
from dramaturg.cli.access import Access
from dramaturg.cli.app import App, examples, pass_app
from dramaturg.cli.output import Format, Output, format_option, glyphs_for, visible
from dramaturg.cli.words import counted
from dramaturg.engine.errors import DefinitionError, Unreachable

#: {"level": ok | warning | problem, "text", "hint"}
Found: TypeAlias = dict[str, str]

_SIGNS = {"ok": ("✓", "+", "green"), "warning": ("!", "!", "yellow"), "problem": ("✗", "x", "red")}


@click.command(short_help="Say what is wrong, and what to do about it.")
@format_option()
@pass_app
@examples("dramaturg doctor", "dramaturg doctor -o json")
def doctor(app: App, fmt: Format) -> None:
    """Look at the database, the workers, the runs, the broker and the packs, and say what is wrong.

    Exits 0 when it could look, whatever it found; 7 where the database does not answer.
    """
    output = Output(fmt)
    findings = [*_database(app.access), *_broker(app.access), *_packs(app.access)]
    if fmt != "text":
        output.records(findings)
        return
    from rich.text import Text

    for finding in findings:
        rich, plain, style = _SIGNS.get(finding["level"], ("?", "?", ""))
        line = Text(rich if glyphs_for(output.out) == "unicode" else plain, style=style)
        output.raw(line.append(f" {visible(finding['text'])}", style="default"))
        if finding["hint"]:
            output.raw(f"  {visible(finding['hint'])}")


def _database(access: Access) -> Iterator[Found]:
    if access.missing_file is not None:
        yield _found("ok", f"there is no database at {access.missing_file} yet", "`dramaturg run` makes it")
        return
    with access.service() as service:
        yield from (_found(f.level, f.text, f.hint) for f in service.doctor())


def _broker(access: Access) -> Iterator[Found]:
    if access.embedded:
        yield _found("ok", "there is no broker: `run` and `worker` serve tasks in their own process")
        return
    try:
        access.require_broker()
    except Unreachable as error:
        yield _found("problem", str(error), "start it, or set DRAMATURG_BROKER_URL")
    else:
        yield _found("ok", "the broker answers")


def _packs(access: Access) -> Iterator[Found]:
    try:
        packs = catalog.load(access)
    except DefinitionError as error:
        problems = counted(len(error.problems), "problem")
        yield _found("problem", f"the packs on the pack path have {problems}", "dramaturg pack validate")
    else:
        yield _found("ok", f"packs on the pack path: {', '.join(pack.ref for pack in packs)}")


def _found(level: str, text: str, hint: str = "") -> Found:
    return {"level": level, "text": text, "hint": hint}
