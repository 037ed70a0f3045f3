"""`dramaturg secret`: the keystore. What is put in is never shown again; only workers read it."""

from __future__ import annotations

import sys

import click

from dramaturg.cli import words
from dramaturg.cli.app import App, examples, pass_app
from dramaturg.cli.output import Format, Output, format_option, table
from dramaturg.engine.errors import UsageError


@click.group()
def secret() -> None:
    """Keep secrets for workflows: in a task's input, keystore.NAME stands for one.

    They are encrypted with DRAMATURG_SECRET_KEY (of an embedded database: a key in the file beside it), and nobody is
    shown them again: workers open them for the actions that they are given to.
    """


@secret.command("set")
@click.argument("name")
@click.argument("value", metavar="[VALUE|-]", required=False)
@format_option("text", "json")
@pass_app
@examples(
    "dramaturg secret set db_password",
    "pass show db | dramaturg secret set db_password -",
    "dramaturg secret set deploy_key - < id_ed25519",
)
def set_secret(app: App, name: str, value: str | None, fmt: Format) -> None:
    """Keep a secret under NAME, in place of one that may be there.

    Without VALUE it is asked for, and not shown while you type. - reads it from stdin; the end of a single line is not
    part of it. As an argument it would be seen by others: in the list of processes and in the shell's history.
    """
    output = Output(fmt)
    given = _value(value, output)
    with app.access.service(create=True) as service:
        replaced = service.keystore.set(name, given)
    if fmt != "text":
        output.json({"name": name, "replaced": replaced})
    else:
        output.line(f"secret {name} is {'replaced' if replaced else 'kept'}")


@secret.command("list")
@format_option()
@pass_app
@examples("dramaturg secret list", "dramaturg secret list -o json")
def list_secrets(app: App, fmt: Format) -> None:
    """List the names of the secrets, and when they were set."""
    output = Output(fmt)
    with app.access.service() as service:
        rows = service.keystore.list()
    if fmt != "text":
        output.records(rows)
    elif rows:
        cells = [
            [row["name"], words.clock(row["created_at"]), words.clock(row["updated_at"])] for row in rows
        ]
        output.lines(table(["NAME", "CREATED", "UPDATED"], cells))
    else:
        output.say("no secrets are kept here")


@secret.command()
@click.argument("name")
@format_option("text", "json")
@pass_app
@examples("dramaturg secret delete db_password")
def delete(app: App, name: str, fmt: Format) -> None:
    """Forget a secret. Tasks that are given it from now on fail with InvalidInput."""
    output = Output(fmt)
    with app.access.service() as service:
        service.keystore.delete(name)
    if fmt != "text":
        output.json({"name": name, "deleted": True})
    else:
        output.line(f"secret {name} is deleted")


@secret.command()
@examples("export DRAMATURG_SECRET_KEY=$(dramaturg secret key)")
def key() -> None:
    """Make a key for DRAMATURG_SECRET_KEY; every worker and client of a server needs the same one.

    To change it, put a new one in front of the old one, separated by a comma: the first encrypts, all of them decrypt.
    """
    from dramaturg.engine.service import KeptSecrets

    Output().raw(KeptSecrets.new_key())


def _value(given: str | None, output: Output) -> str:
    """Return the secret: from stdin, from the terminal, or, with a warning, as it was typed."""
    if given == "-":
        text = sys.stdin.read()
        # `echo` and editors end a line; a key of many lines wants its last line's end.
        return text.removesuffix("\n").removesuffix("\r") if text.count("\n") == 1 else text
    if given is not None:
        output.say(
            "warning: the value is in the shell's history and the list of processes; leave it out, or pipe it to -"
        )
        return given
    if not sys.stdin.isatty():
        raise UsageError("no value is given", hint="write - to read it from stdin")
    return str(click.prompt("value", hide_input=True, confirmation_prompt="once more", err=True))
