"""`dramaturg worker`: serve tasks until told to stop."""

from __future__ import annotations

import click

from dramaturg.cli.access import THREADS
from dramaturg.cli.app import App, examples, pass_app
from dramaturg.cli.output import Output
from dramaturg.engine.errors import UsageError


@click.command()
@click.option("--queues", metavar="Q,...", help="Serve only these queues.  [default: all]")
@click.option("--processes", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=THREADS,
    show_default=True,
    help="Threads of each process: tasks at the same time.",
)
@pass_app
@examples("dramaturg worker", "dramaturg worker --queues default,images --processes 2 --threads 8")
def worker(app: App, queues: str | None, processes: int, threads: int) -> None:
    """Serve the tasks of all runs until told to stop.

    Any number of workers serve one database together, on any number of machines. SIGTERM and Ctrl-C let running tasks
    end for a while; what has not ended is done again by another worker.
    """
    names = tuple(name.strip() for name in queues.split(",")) if queues is not None else ()
    if not all(names):
        raise UsageError(f"--queues {queues!r}: an empty name", hint="write names with a comma between them")
    kinds = f"queues {', '.join(names)}" if names else "all queues"
    app.access.require_broker()
    # Whoever is told that it serves can rely on there being something to serve.
    with app.access.service(create=True):
        Output().say(f"serving {kinds} of {app.access.database}; Ctrl-C stops it")
    code = app.access.work(queues=names, processes=processes, threads=threads)
    raise click.exceptions.Exit(code)
