"""`dramaturg db`: the database's tables."""

from __future__ import annotations

import click

from dramaturg.cli.app import App, examples, pass_app
from dramaturg.cli.output import Format, Output, format_option


@click.group()
def db() -> None:
    """Make and check the tables of the database.

    The embedded database (a file) looks after itself; a server's is brought up to date by you, before new workers start.
    """


@db.command()
@format_option()
@pass_app
@examples("dramaturg db upgrade", "DRAMATURG_DATABASE_URL=postgresql://me@host/name dramaturg db upgrade")
def upgrade(app: App, fmt: Format) -> None:
    """Bring the tables up to date; an empty database gets them all."""
    output = Output(fmt)
    before, after = app.access.upgrade()
    if fmt != "text":
        output.json({"database": app.access.database, "from": before, "to": after})
    elif before == after:
        output.line(f"{app.access.database} is up to date ({after})")
    else:
        output.line(f"{app.access.database} is now at {after} (was {before or 'empty'})")


@db.command()
@format_option()
@pass_app
@examples("dramaturg db check && echo ready")
def check(app: App, fmt: Format) -> None:
    """Say whether the database answers and its tables are those that this version needs; exit 7 if not."""
    output = Output(fmt)
    at, wanted = app.access.revisions()
    if fmt != "text":
        output.json({"database": app.access.database, "revision": at, "wanted": wanted, "ok": at == wanted})
    elif at == wanted:
        output.line(f"{app.access.database} is up to date ({at})")
    else:
        output.line(f"{app.access.database} is at {at or 'nothing'}, and {wanted} is wanted")
        output.say("hint: run `dramaturg db upgrade`")
    if at != wanted:
        raise click.exceptions.Exit(7)
