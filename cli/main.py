"""The command line's door: the group of commands, the options of all of them, and errors turned into exit codes.

No other module of this folder ends the process or catches what it does not understand.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

import dramaturg
from dramaturg.cli import db, doctor, pack, people, problems, run, runs, secret, worker, workflow
from dramaturg.cli.access import Access
from dramaturg.cli.app import App
from dramaturg.engine.errors import DefinitionError, DramaturgError

#: What ended by a signal says so as a shell would: 128 + its number (SIGINT 2, SIGPIPE 13).
INTERRUPTED = 130
BROKEN_PIPE = 141
#: A bug of ours (EX_SOFTWARE of sysexits.h).
BUG = 70

#: Where a context keeps the arguments as they were typed.
TYPED = "dramaturg.typed"


class Commands(click.Group):
    """A group that turns every error into a message on stderr and an exit code."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Keep what was typed, so that a command can say how to go on."""
        typed = tuple(args)
        ctx = super().make_context(info_name, args, parent, **extra)
        ctx.meta[TYPED] = typed
        return ctx

    def invoke(self, ctx: click.Context) -> None:
        """Run the command that was asked for."""
        try:
            super().invoke(ctx)
            sys.stdout.flush()
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            _mute()
            ctx.exit(BROKEN_PIPE)
        except DramaturgError as error:
            if error.exit_code == BUG:
                _confess(error, _wants_traceback(ctx))
            else:
                _tell(error, _wants_traceback(ctx))
            ctx.exit(error.exit_code)
        except Exception as error:
            _confess(error, _wants_traceback(ctx))
            ctx.exit(BUG)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 succeeded, 1 run failed, 2 usage or wrong parameters, 3 definition invalid, 4 timed out, "
    "5 cancelled, 6 not found, 7 database or broker not reachable, 8 conflict, 70 a bug of ours, 130 interrupted.",
)
@click.version_option(dramaturg.__version__, "-V", "--version", message="dramaturg %(version)s")
@click.option("--database-url", metavar="URL", help="Database; DRAMATURG_DATABASE_URL.")
@click.option(
    "--broker-url", metavar="URL", help="Broker; DRAMATURG_BROKER_URL. Without one: in this process."
)
@click.option("--packs", metavar="PATH", help="Where packs are, separated as in PATH; DRAMATURG_PACKS.")
@click.option("--debug", is_flag=True, help="Show tracebacks; DRAMATURG_DEBUG=1.")
@click.pass_context
def cli(
    ctx: click.Context, database_url: str | None, broker_url: str | None, packs: str | None, debug: bool
) -> None:
    """Dramaturg runs durable workflows, written in YAML.

    Without any server: `dramaturg run examples.timeline_demo`. Settings come from the options below, from DRAMATURG_*
    in the environment, and from dramaturg.toml, in that order.
    """
    if ctx.obj is None:
        ctx.obj = App(access=Access(database_url=database_url, broker_url=broker_url, packs=_paths(packs)))
    ctx.obj.debug = debug or ctx.obj.debug
    ctx.obj.arguments = ctx.meta[TYPED]


for command in (
    run.run,
    worker.worker,
    runs.list_runs,
    runs.show,
    runs.history,
    runs.result,
    runs.logs,
    people.signal,
    people.answer,
    people.complete,
    people.fail,
    runs.cancel,
    pack.pack,
    secret.secret,
    workflow.workflow,
    db.db,
    doctor.doctor,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; the console script's entry point."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal can't show must not end a command.
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # StringIO has none
    cli(prog_name="dramaturg")


def _tell(error: DramaturgError, with_traceback: bool) -> None:
    if with_traceback:
        traceback.print_exc()
    lines = (
        problems.describe(error.problems) if isinstance(error, DefinitionError) else problems.explain(error)
    )
    for line in lines:
        click.echo(line, err=True)


def _confess(error: Exception, with_traceback: bool) -> None:
    if with_traceback:
        traceback.print_exc()
    frame = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
    where = f" at {Path(frame.filename).name}:{frame.lineno}, in {frame.name}" if frame else ""
    click.echo(f"This is a bug of Dramaturg {dramaturg.__version__}, not of yours.", err=True)
    click.echo(f"{type(error).__name__}: {error}{where}", err=True)
    if not with_traceback:
        click.echo("Run the command again with --debug to get the traceback for a report.", err=True)


def _wants_traceback(ctx: click.Context) -> bool:
    app = ctx.obj
    return os.environ.get("DRAMATURG_DEBUG", "") not in ("", "0") or bool(app is not None and app.debug)


def _paths(packs: str | None) -> tuple[Path, ...] | None:
    return None if packs is None else tuple(Path(p) for p in packs.split(os.pathsep) if p)


def _mute() -> None:
    # Python flushes stdout once more at its end, and would complain.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
