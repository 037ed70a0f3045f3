"""Commands that look at runs or ask something of them: list, show, history, result, logs, cancel."""

from __future__ import annotations

import time

import click

from dramaturg.cli import awaiting, words
from dramaturg.cli.app import App, examples, login_name, pass_app
from dramaturg.cli.ending import finish, waiting_over
from dramaturg.cli.live import Herald
from dramaturg.cli.output import Format, Output, format_option, glyphs_for, visible
from dramaturg.cli.records import event_line, log_lines, run_rows, show_lines
from dramaturg.cli.stream import HistoryReader, follow
from dramaturg.cli.tree import TreeReader
from dramaturg.engine.errors import JSON, UsageError

STATUSES = ("requested", "scheduled", "running", "paused", "waiting", "cancelling", *words.EXIT_CODES)


@click.command("list")
@click.argument("query", required=False)
@click.option(
    "--status",
    type=click.Choice(STATUSES),
    metavar="STATUS",
    help=f"Only runs that are {', '.join(STATUSES)}.",
)
@click.option("--ref", metavar="REF", help="Only runs of this workflow or action.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many at most.")
@format_option()
@pass_app
@examples("dramaturg list", "dramaturg list --status failed", "dramaturg list order- -o jsonl | jq .id")
def list_runs(
    app: App, query: str | None, status: str | None, ref: str | None, limit: int, fmt: Format
) -> None:
    """List runs, the latest first.

    QUERY is a part of the ref or of the id.
    """
    output = Output(fmt)
    if app.access.missing_file is not None:
        output.say(f"there is no database at {app.access.missing_file} yet")
        rows = []
    else:
        with app.access.service() as service:
            rows = service.runs(query=query, status=status, ref=ref, limit=limit)
    if fmt != "text":
        output.records(rows)
        return
    output.lines(run_rows(rows, words.now(), glyphs_for(output.out)))
    if len(rows) == limit:
        output.say(f"these are the latest {limit}; --limit shows more")


@click.command()
@click.argument("run")
@click.option(
    "--awaits", "only_awaits", is_flag=True, help="Show only what it waits for: signals, people, times."
)
@format_option()
@pass_app
@examples(
    "dramaturg show order-7",
    "dramaturg show order-7 -o json | jq .error",
    "dramaturg show order-7 --awaits -o json",
)
def show(app: App, run: str, only_awaits: bool, fmt: Format) -> None:
    """Show a run as it stands: how it is, what it waits for, its tasks, its output. Does not wait."""
    output = Output(fmt)
    with app.access.service() as service:
        if only_awaits:
            _show_awaits(output, service.awaits(run), run)
            return
        record = service.describe(run)
        if fmt != "text":
            output.json(record)
            return
        reader = TreeReader(service, run, items=True)
        nodes = reader.read()
    output.lines(show_lines(record, nodes, words.now(), glyphs_for(output.out), reader.awaits))


def _show_awaits(output: Output, awaits: list[dict[str, JSON]], run: str) -> None:
    if output.format != "text":
        output.records(awaits)
        return
    for line in awaiting.lines(awaits, run, words.now()):
        output.raw(line)
    if not awaits:
        output.say(f"run {visible(run)} waits for nothing and nobody")


@click.command()
@click.argument("run")
@click.option("--follow", "-f", "following", is_flag=True, help="Go on until the run has ended.")
@format_option()
@pass_app
@examples("dramaturg history order-7", "dramaturg history order-7 --follow -o jsonl")
def history(app: App, run: str, following: bool, fmt: Format) -> None:
    """Print what has happened in a run, event by event."""
    if following and fmt == "json":
        raise UsageError(
            "--follow has no end that -o json could wait for", hint="use -o jsonl: a record a line"
        )
    output = Output(fmt)
    with app.access.service() as service:
        service.status(run)
        reader = HistoryReader(service, run)
        if fmt == "json":
            output.records(list(reader.new()))
            return

        def ended() -> bool:
            return not following or service.status(run) in words.ENDED

        for record in follow(reader, ended, time.sleep):
            if fmt == "jsonl":
                output.json(record)
            else:
                output.raw(event_line(record))
            output.out.file.flush()


@click.command()
@click.argument("run")
@click.option("--no-wait", is_flag=True, help="Do not wait: exit 4 if the run has not ended.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="Seconds to wait; then exit 4.")
@format_option()
@pass_app
@examples("dramaturg result order-7 --timeout 60 -o json")
def result(app: App, run: str, no_wait: bool, timeout: float | None, fmt: Format) -> None:
    """Wait for a run, print its output, and end with its exit code.

    Meanwhile it says what somebody has to do for the run to go on.
    """
    if no_wait and timeout:
        raise UsageError("--no-wait and --timeout exclude each other")
    output = Output(fmt)
    limit = 0.0 if no_wait else timeout
    with app.access.service() as service:
        status = service.status(run)
        if not no_wait and status not in words.ENDED:
            served = (
                ""
                if not app.access.embedded
                else "; it is served by `dramaturg worker` or by `dramaturg run`"
            )
            output.say(f"waiting: the run is {words.spoken(status)}{served}")
        herald = Herald(service, run, output)
        try:
            record = service.wait(run, limit, look=herald.pause)
        except TimeoutError:
            herald.tell()
            waiting_over(output, service.describe(run), limit, f"dramaturg result {run}")
    finish(output, record, hints=False)


@click.command()
@click.argument("run")
@click.option("--task", metavar="NAME", help="Only this task.")
@format_option()
@pass_app
@examples("dramaturg logs order-7", "dramaturg logs order-7 --task build")
def logs(app: App, run: str, task: str | None, fmt: Format) -> None:
    """Print what the tasks of a run have written to stdout and stderr."""
    output = Output(fmt)
    with app.access.service() as service:
        service.status(run)
        chunks = service.logs(run, task)
    if fmt != "text":
        output.records(chunks)
        return
    for line, style in log_lines(chunks):
        output.raw(line, style)
    if not chunks:
        output.say(f"nothing was written{f' by a task {visible(task)}' if task else ''}")


@click.command()
@click.argument("target", metavar="RUN|EXECUTION")
@click.option("--reason", default="", help="Why; it is kept in the history.")
@format_option()
@pass_app
@examples("dramaturg cancel order-7 --reason 'ordered twice'")
def cancel(app: App, target: str, reason: str, fmt: Format) -> None:
    """Ask a run, or one execution of a run, to end as cancelled.

    Running processes are stopped, nested runs too. What waits is cancelled at once.
    """
    output = Output(fmt)
    with app.access.service() as service:
        asked = service.cancel(target, by=login_name(), reason=reason)
        if asked.asked:
            app.access.tell_workers(asked.key)
    if fmt != "text":
        output.json({"target": asked.target, "status": asked.status, "asked": asked.asked})
    elif asked.asked:
        output.line(f"{visible(target)} is asked to stop; it was {words.spoken(asked.status)}")
    elif asked.status in words.ENDED:
        output.line(f"{visible(target)} has ended already: {words.spoken(asked.status)}")
    else:
        output.line(f"{visible(target)} was asked before; it is {words.spoken(asked.status)}")
