"""`dramaturg doctor`: is everything in order, and if not, what to do."""

from __future__ import annotations

import click

from dramaturg.cli.app import App, examples, pass_app
from dramaturg.cli.output import Format, Output, format_option, glyphs_for, visible
from dramaturg.engine.errors import NotFound

_SIGNS = {"ok": ("✓", "+", "green"), "warning": ("!", "!", "yellow"), "problem": ("✗", "x", "red")}


@click.command(short_help="Say what is wrong, and what to do about it.")
@format_option()
@pass_app
@examples("dramaturg doctor", "dramaturg doctor -o json")
def doctor(app: App, fmt: Format) -> None:
    """Look at the database, the broker, the workers and the runs, and say what is wrong.

    Exits 0 when it could look, whatever it found; 7 where the database does not answer.
    """
    output = Output(fmt)
    try:
        with app.access.service() as service:
            findings = [{"level": f.level, "text": f.text, "hint": f.hint} for f in service.doctor()]
    except NotFound as error:
        findings = [{"level": "ok", "text": str(error), "hint": error.hint}]
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
