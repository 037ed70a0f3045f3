"""`dramaturg pack`: what can be run, from files and in the database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dramaturg.cli import catalog
from dramaturg.cli.app import App, examples, pass_app
from dramaturg.cli.output import Format, Output, format_option
from dramaturg.cli.problems import report
from dramaturg.cli.words import counted
from dramaturg.engine.errors import DefinitionError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PATHS = click.argument("paths", nargs=-1, type=click.Path(path_type=Path))


@click.group()
def pack() -> None:
    """Packs: actions and workflows that belong together."""


@pack.command("list")
@format_option()
@pass_app
@examples("dramaturg pack list", "dramaturg --packs ./packs pack list -o json")
def list_packs(app: App, fmt: Format) -> None:
    """List the packs that are registered in the database, and those found on the pack path."""
    output = Output(fmt)
    rows = catalog.packs(app.access)
    if fmt != "text":
        output.records(rows)
    else:
        output.lines(catalog.pack_table(rows))


@pack.command()
@click.argument("ref", metavar="PACK")
@format_option()
@pass_app
@examples("dramaturg pack show core", "dramaturg pack show examples -o json")
def show(app: App, ref: str, fmt: Format) -> None:
    """Show a pack with its actions, its workflows and their parameters."""
    output = Output(fmt)
    found = catalog.pack(app.access, ref)
    if fmt != "text":
        output.json(found)
    else:
        output.lines(catalog.pack_lines(found))


@pack.command()
@_PATHS
@format_option("text", "json")
@pass_app
@examples("dramaturg pack validate ./packs", "dramaturg pack validate")
def validate(app: App, paths: tuple[Path, ...], fmt: Format) -> None:
    """Check packs without registering them: every problem with its file, line and column.

    Each of PATHS is a pack or a folder of packs; without any, the pack path is checked. Exit 3 if something is wrong.
    """
    output = Output(fmt)
    given = _there(paths)
    try:
        found = catalog.load(app.access, given)
    except DefinitionError as error:
        report(output, {"packs": []}, error.problems, valid=False)
        raise click.exceptions.Exit(error.exit_code) from None
    problems = [problem for each in found for problem in each.warnings]
    report(output, {"packs": [each.ref for each in found]}, problems, valid=True)
    if fmt == "text":
        for each in found:
            parts = f"{counted(len(each.actions), 'action')}, {counted(len(each.workflows), 'workflow')}"
            output.line(f"{each.ref}: {parts}: valid")


@pack.command()
@_PATHS
@format_option("text", "json")
@pass_app
@examples("dramaturg pack register", "dramaturg pack register ./packs/shop")
def register(app: App, paths: tuple[Path, ...], fmt: Format) -> None:
    """Put packs into the database: a new revision of what has changed, nothing for the rest.

    Runs that have started keep the revision they started with.
    """
    output = Output(fmt)
    given = _there(paths)
    with app.access.service(create=True) as service:
        done = service.register(given or None)
    if fmt != "text":
        output.json({"packs": list(done.packs), "new": list(done.new), "removed": list(done.removed)})
        return
    for ref in done.new:
        output.line(f"{ref}: new revision")
    for ref in done.removed:
        output.line(f"{ref}: taken away")
    output.say(f"{counted(len(done.packs), 'pack')}: {counted(len(done.new), 'new revision')}")


def _there(paths: Sequence[Path]) -> tuple[Path, ...]:
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise UsageError(f"there is no {', '.join(missing)}")
    return tuple(paths)
