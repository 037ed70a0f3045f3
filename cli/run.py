"""`dramaturg run`: start a run, serve it where there is no broker, watch it, and end as it ends."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal

import click

from dramaturg.cli import catalog, parameters, words
from dramaturg.cli.access import Access
from dramaturg.cli.app import App, examples, pass_app
from dramaturg.cli.ending import finish, waiting_over
from dramaturg.cli.live import Follower, WaitingOver, view_for
from dramaturg.cli.naming import is_file
from dramaturg.cli.output import Format, Output, format_option
from dramaturg.cli.stream import HistoryStream
from dramaturg.engine.errors import JSON, NotFound, Unreachable, UsageError

if TYPE_CHECKING:
    from dramaturg.engine.service import Service, StartedRun

_POLICIES: Mapping[str, Literal["return_existing", "reject"]] = {
    "return": "return_existing",
    "reject": "reject",
}


@click.command(short_help="Run a workflow or an action and wait for it.")
@click.argument("what", metavar="REF|FILE")
@click.option(
    "-p", "--param", "given", multiple=True, metavar="K=V", help="A parameter; K:=JSON gives a JSON value."
)
@click.option(
    "--params", "file", metavar="FILE", help="A map of parameters, JSON or YAML; - reads JSON from stdin."
)
@click.option(
    "--id", "run_id", metavar="ID", help="The run's name; with the name of a run that exists, that run."
)
@click.option(
    "--if-exists",
    type=click.Choice(["return", "reject", "terminate"]),
    default="return",
    show_default=True,
    help="What to do where the id is taken.",
)
@click.option("--detach", is_flag=True, help="Start it, print it as it stands, and do not wait.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="Seconds to wait; then exit 4.")
@format_option()
@pass_app
@examples(
    "dramaturg run examples.timeline_demo",
    "dramaturg run examples.code_census -p path=src --id census",
    "dramaturg run packs/shop/workflows/order.yaml -p order=7 -p 'lines:=[1, 2]'",
    "dramaturg run shop.order --params order.json -o json | jq .output",
)
def run(
    app: App,
    what: str,
    given: tuple[str, ...],
    file: str | None,
    run_id: str | None,
    if_exists: str,
    detach: bool,
    timeout: float | None,
    fmt: Format,
) -> None:
    """Run a workflow or an action, wait for it, and end with its exit code.

    REF is the name of a workflow or an action, such as examples.timeline_demo; FILE is a workflow in a file.

    Without a broker the run is served by this process. It is durable all the same: when this process is killed, the
    same command with the same --id goes on where it was. With a broker it is served by `dramaturg worker`.

    A value of -p is read by the type that the parameter is declared to have. With -o jsonl the history's records are
    printed as they happen, then the run.
    """
    if if_exists not in _POLICIES:
        raise UsageError(f"--if-exists {if_exists} is no part of this release", hint="return and reject are")
    if run_id is not None and not (run_id.strip() and run_id.isprintable() and len(run_id) <= 255):
        raise UsageError(f"--id {run_id!r}: an id is a text of 1 to 255 printable characters")
    output = Output(fmt)
    app.access.require_broker()
    with app.access.service(create=True) as service, _interruptible():
        ref = _register(app.access, service, what)
        declared = _declared(service, ref)
        values = parameters.read(ref, given, file, declared)
        started = _start(app.access, service, ref, values, run_id, _POLICIES[if_exists])
        if detach:
            _detached(app.access, service, started, output)
            return
        try:
            record = _attend(app.access, service, started, output, timeout)
        except WaitingOver:
            again = app.again(started.run_id, _secret(declared))
            waiting_over(output, service.describe(started.run_id), timeout, again)
        except (KeyboardInterrupt, Unreachable):
            _left(output, started.run_id, app.again(started.run_id, _secret(declared)))
            raise
    finish(output, record, hints=True)


def _register(access: Access, service: Service, what: str) -> str:
    """Register what is to be found without being asked, and the file if one is named; return the ref to run."""
    if not is_file(what):
        if access.registers:
            service.register()
        return what
    path = Path(what)
    _, ref = catalog.from_file(access, path)
    service.register(file=path)
    return ref


def _start(
    access: Access, service: Service, ref: str, values: Mapping[str, JSON], run_id: str | None, policy: str
) -> StartedRun:
    try:
        return service.start(ref, values, id=run_id, if_exists=policy)
    except NotFound as error:
        if not access.registers and ref in catalog.refs(access):
            error.hint = "it is on the pack path: `dramaturg pack register` puts it into the database"
        raise


def _declared(service: Service, ref: str) -> Mapping[str, JSON] | None:
    """Return the parameters that an action declares; None if it declares none, or does not exist."""
    actions = service.actions(ref.partition(".")[0])
    found = next((action for action in actions if action["ref"] == ref), None)
    return found["parameters"] if found else None


def _secret(declared: Mapping[str, JSON] | None) -> list[str]:
    return [name for name, schema in (declared or {}).items() if schema.get("secret") is True]


def _attend(
    access: Access, service: Service, started: StartedRun, output: Output, timeout: float | None
) -> Mapping[str, JSON]:
    """Serve the run where there is no broker, show it, and return its record once it has ended."""
    run_id = started.run_id
    record = service.describe(run_id)
    if record["status"] in words.ENDED:
        output.say(f"run {run_id} of {record['ref']} has ended before")
        return record
    verb = "started" if started.created else "goes on"
    output.say(f"run {run_id} of {record['ref']} {verb}")
    idle = "" if access.embedded else "nothing happens: is a worker running? `dramaturg worker` starts one"
    stream = HistoryStream(service, run_id, output) if output.format == "jsonl" else None
    with access.serving(service, started):
        follower = Follower(service, run_id, view_for(output, run_id), idle_remark=idle)
        if stream is None:
            return follower.follow(timeout)
        with stream:
            return follower.follow(timeout)


def _detached(access: Access, service: Service, started: StartedRun, output: Output) -> None:
    access.tell_workers(started.key)
    record = service.describe(started.run_id)
    if output.format == "text":
        output.line(started.run_id)
    else:
        output.json(record)
    if access.embedded and record["status"] not in words.ENDED:
        output.say("it is recorded; it is served by `dramaturg worker`, or by `dramaturg run` with its --id")


def _left(output: Output, run_id: str, again: str) -> None:
    """Say how to go on when waiting has ended before its time."""
    output.say()
    output.say(f"run {run_id} stands as it is")
    output.say(f"  go on:      {again}")
    output.say(f"  look at it: dramaturg show {run_id}")
    output.say(f"  cancel it:  dramaturg cancel {run_id}")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C, so that what this process has started is ended in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.stdout.flush()
