"""Commands by which people take part in a run: signal, answer, complete, fail.

Each only records what was said, in the database; a worker takes it up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dramaturg.cli import asking, awaiting
from dramaturg.cli.app import App, examples, login_name, pass_app
from dramaturg.cli.output import Format, Output, format_option, visible
from dramaturg.cli.parameters import parse_json
from dramaturg.engine.errors import JSON, Conflict, InvalidParameters, NotFound, UsageError

if TYPE_CHECKING:
    from dramaturg.cli.awaiting import Record
    from dramaturg.engine.service import Service

_F = TypeVar("_F", bound=Callable[..., None])


def _by_option(function: _F) -> _F:
    return click.option(
        "--by", metavar="NAME", help="Who says so; kept in the history.  [default: the login name]"
    )(function)


@click.command(short_help="Send a signal to a run.")
@click.argument("run")
@click.argument("name")
@click.argument("payload", metavar="[JSON]", required=False)
@click.option("--key", metavar="KEY", help="Your name for this signal: sent twice, it counts once.")
@_by_option
@format_option()
@pass_app
@examples(
    "dramaturg signal order-7 paid",
    'dramaturg signal order-7 approve \'{"by": "kim"}\'',
    "dramaturg signal order-7 note '\"leave it at the door\"' --key note-1",
)
def signal(
    app: App, run: str, name: str, payload: str | None, key: str | None, by: str | None, fmt: Format
) -> None:
    """Send a signal to a run.

    The oldest task that waits for a signal of this NAME (core.wait) goes on, and JSON is its result. Where no task
    waits for it yet, it is kept until one does. JSON is any JSON value, null without one; - reads it from stdin.
    """
    value = read_json(payload)
    with app.access.service() as service:
        asked = service.signal(run, name, value, by=by or login_name(), key=key)
        said = f"signal {visible(name)} is sent to {visible(run)}"
        before = f"signal {visible(name)} was sent to {visible(run)} before, with the same key"
        _told(app, service, Output(fmt), asked, said if asked.asked else before)


@click.command(short_help="Answer what a run asks.")
@click.argument("run")
@click.argument("words", metavar="[TASK] [JSON]", nargs=-1)
@_by_option
@format_option()
@pass_app
@examples(
    "dramaturg answer order-7",
    "dramaturg answer order-7 '{\"approved\": true}'",
    "dramaturg answer order-7 gate '\"go ahead\"' --by kim",
)
def answer(app: App, run: str, words: tuple[str, ...], by: str | None, fmt: Format) -> None:
    """Answer a question that a run asks (core.ask).

    TASK is the task that asks; it may be left out where only one does. JSON is the answer, any JSON value; - reads it
    from stdin. One word alone is TASK if a task of that name is asking, else JSON.

    Without JSON, on a terminal, the question is shown and the answer asked for, field by field. An answer that is not
    of the form that the question wants is refused, and nothing has happened.
    """
    if len(words) > 2:
        raise UsageError(
            f"{len(words)} words after the run", hint="a TASK and one JSON value; quote the value"
        )
    name = by or login_name()
    output = Output(fmt)
    with app.access.service() as service:
        asks = [record for record in service.awaits(run) if record["kind"] == "answer"]
        task, text = _split(words, asks)
        question = _question(run, task, asks)
        where = str((question or {}).get("run_id") or run)
        task = str(question["task"]) if question else task
        if text is not None:
            asked = service.answer(where, task, _answer_json(text, asks), by=name)
        elif question is None:
            raise _unclear(run, task, asks)
        else:
            asked = _interview(service, output, where, question, name)
        said = f"{visible(where)}: {visible(str(task or 'the question'))} is answered"
        _told(app, service, output, asked, said)


@click.command(short_help="End what waits to be completed, as succeeded.")
@click.argument("target", metavar="TOKEN|EXECUTION")
@click.argument("result", metavar="[JSON]", required=False)
@_by_option
@format_option()
@pass_app
@examples("dramaturg complete 17", "dramaturg complete $DRAMATURG_TOKEN '{\"pages\": 12}'")
def complete(app: App, target: str, result: str | None, by: str | None, fmt: Format) -> None:
    """End what waits to be completed, as succeeded.

    That is an action which said that it is pending (by its TOKEN, or the number of its EXECUTION), or a failed task of
    a run that waits for a person (by its number; `dramaturg show` names it). JSON is the result, null without one;
    - reads it from stdin. A result that the action's `output` does not allow is refused, and nothing has happened.
    """
    value = read_json(result)
    with app.access.service() as service:
        asked = service.complete(target, value, by=by or login_name())
        _told(app, service, Output(fmt), asked, f"{visible(_short(target))} is completed")


@click.command(short_help="End what waits to be completed, as failed.")
@click.argument("target", metavar="TOKEN|EXECUTION")
@click.argument("message", required=False, default="")
@click.option(
    "--type", "kind", metavar="TYPE", default="Failed", show_default=True, help="Type of the error."
)
@click.option("--details", metavar="JSON", help="A JSON value that is kept with the error; - reads stdin.")
@_by_option
@format_option()
@pass_app
@examples("dramaturg fail 17 'the printer is gone'", "dramaturg fail 17 'no room' --type Full --details 3")
def fail(
    app: App, target: str, message: str, kind: str, details: str | None, by: str | None, fmt: Format
) -> None:
    """End what waits to be completed, as failed.

    The task is then tried again, or its transitions followed, as after any failure. What can be named is what
    `dramaturg complete` can name.
    """
    value = read_json(details, "--details")
    with app.access.service() as service:
        asked = service.fail(target, message, type=kind, details=value, by=by or login_name())
        _told(app, service, Output(fmt), asked, f"{visible(_short(target))} is failed")


def read_json(text: str | None, name: str = "JSON") -> JSON:
    """Return an argument's JSON value; null if there is none, and what stdin has for `-`.

    Raises:
        UsageError: it is no JSON.
    """
    if text is None:
        return None
    given = sys.stdin.read() if text == "-" else text
    try:
        return parse_json(given)
    except ValueError as error:
        shown = "stdin" if text == "-" else repr(text if len(text) <= 60 else f"{text[:60]}...")
        raise UsageError(
            f"{name} {shown} is no JSON: {error}",
            hint="a text has quotes of its own, inside those of the shell: '\"text\"'",
        ) from None


def _answer_json(text: str, asks: Sequence[Record]) -> JSON:
    try:
        return read_json(text)
    except UsageError as error:
        names = ", ".join(dict.fromkeys(str(record["task"]) for record in asks))
        if names:
            error.hint += f"; tasks that ask: {names}"
        raise


def _split(words: Sequence[str], asks: Sequence[Record]) -> tuple[str | None, str | None]:
    """Return (task, JSON text) of what was typed."""
    if len(words) == 2:
        return words[0], words[1]
    if len(words) == 1 and any(record["task"] == words[0] for record in asks):
        return words[0], None
    return None, words[0] if words else None


def _question(run: str, task: str | None, asks: Sequence[Record]) -> Record | None:
    """Return the only question that can be meant, or None: the service knows better, and says why."""
    meant = [record for record in asks if task is None or record["task"] == task]
    return meant[0] if len(meant) == 1 else None


def _unclear(run: str, task: str | None, asks: Sequence[Record]) -> Exception:
    if not asks:
        return NotFound(f"run {run} asks nothing", hint=f"dramaturg show {run} says what it waits for")
    names = ", ".join(awaiting.where(record) for record in asks)
    return Conflict(
        f"run {run} asks several questions: {names}", hint=f"name one: dramaturg answer {run} TASK"
    )


def _interview(service: Service, output: Output, run: str, question: Record, by: str) -> Any:
    """Ask at the terminal until the answer is one that the question takes; return what the service says."""
    if not asking.possible():
        raise UsageError(
            f"no answer is given to {awaiting.where(question)}: {visible(str(question.get('prompt') or ''))}",
            hint=f"dramaturg answer {run} {question['task']} JSON; without JSON it asks only on a terminal",
        )
    asking.show(question, output)
    while True:
        value = asking.ask(question, output)
        try:
            return service.answer(run, str(question["task"]), value, by=by)
        except InvalidParameters as error:
            for problem in error.problems:
                output.say(f"  {visible(problem)}", style="red")


def _told(app: App, service: Service, output: Output, asked: Any, said: str) -> None:
    """Let a worker look, print what was done, and what will take it up if nobody is there."""
    if asked.asked:
        app.access.tell_workers(asked.key)
    if output.format != "text":
        output.json({"target": asked.target, "status": asked.status, "asked": asked.asked})
    else:
        output.line(said)
    if asked.asked and not service.workers():
        output.say("it is recorded; no worker is there to take it up now:")
        also = ", or the `dramaturg run` that has started it, with its --id" if app.access.embedded else ""
        output.say(f"  `dramaturg worker` will{also}")


def _short(target: str) -> str:
    return f"execution {target}" if target.isdigit() else "what the token stands for"
