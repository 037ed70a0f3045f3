"""`dramaturg workflow`: definitions of workflows."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dramaturg.cli import catalog
from dramaturg.cli.access import Access
from dramaturg.cli.app import App, examples, pass_app
from dramaturg.cli.naming import is_file
from dramaturg.cli.output import Format, Output, format_option
from dramaturg.cli.problems import report
from dramaturg.engine.errors import DefinitionError, NotFound, Problem

if TYPE_CHECKING:
    from dramaturg.engine.packs.manifest import Pack


@click.group()
def workflow() -> None:
    """Workflows: check what is written."""


@workflow.command()
@click.argument("what", metavar="REF|FILE")
@click.option("--strict", is_flag=True, help="Warnings are errors.")
@format_option("text", "json")
@pass_app
@examples(
    "dramaturg workflow validate packs/shop/workflows/order.yaml",
    "dramaturg workflow validate examples.timeline_demo --strict",
)
def validate(app: App, what: str, strict: bool, fmt: Format) -> None:
    """Check a workflow: every problem at once, with its file, line and column. Exit 3 if something is wrong."""
    output = Output(fmt)
    try:
        ref, found = _check(app.access, what)
    except DefinitionError as error:
        ref, found = what, error.problems
    invalid = any(strict or problem.severity == "error" for problem in found)
    report(output, {"ref": ref}, found, valid=not invalid)
    if fmt == "text" and not found:
        output.line(f"{ref}: valid")
    if invalid:
        raise click.exceptions.Exit(DefinitionError.exit_code)


def _check(access: Access, what: str) -> tuple[str, Sequence[Problem]]:
    """Return the ref of a workflow and what was noted about it."""
    if is_file(what):
        pack, ref = catalog.from_file(access, Path(what))
        return ref, warnings_of(pack, ref)
    workflows = {ref: pack for pack in catalog.load(access) for ref in pack.workflows}
    if what not in workflows:
        near = difflib.get_close_matches(what, workflows, n=3)
        raise NotFound(
            f"there is no workflow {what!r} on the pack path",
            hint=f"did you mean {' or '.join(near)}?" if near else "`dramaturg pack list` names the packs",
        )
    return what, warnings_of(workflows[what], what)


def warnings_of(pack: Pack, ref: str) -> Sequence[Problem]:
    """Return what was noted about one workflow of a pack: about the files that have its name."""
    if len(pack.workflows) == 1:
        return pack.warnings
    name = ref.rpartition(".")[2]
    return [problem for problem in pack.warnings if Path(problem.path).name.partition(".")[0] == name]
