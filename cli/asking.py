"""A question of a run, asked at the terminal: what is shown, and how what is typed becomes an answer.

The service decides whether an answer is one that the question takes; here a field is only looked at by itself, so that
a slip of the finger is told at once.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from dramaturg.cli.output import Output, dump, visible
from dramaturg.cli.parameters import coerce, parse_json
from dramaturg.engine.errors import JSON

if TYPE_CHECKING:
    from dramaturg.cli.awaiting import Record

_YES = {"y": True, "yes": True, "true": True, "n": False, "no": False, "false": False}


def possible() -> bool:
    """Return whether somebody sits there to be asked: both what is read and what is shown are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def show(question: Record, output: Output) -> None:
    """Show what is asked, of whom, and what the answer is to be."""
    for line in str(question.get("prompt") or "").strip().splitlines():
        output.say(visible(line), style="bold")
    if question.get("assigned_to"):
        output.say(f"for {visible(str(question['assigned_to']))}")


def ask(question: Record, output: Output) -> JSON:
    """Ask for an answer: a map's fields one by one, any other value as a whole.

    Raises:
        KeyboardInterrupt: the person has had enough.
    """
    schema = question.get("schema")
    fields = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(fields, Mapping) or not fields:
        return _value("answer", schema if isinstance(schema, Mapping) else None, output, required=True)[0]
    must = schema.get("required") if isinstance(schema, Mapping) else None
    required = set(must) if isinstance(must, list) else set()
    given = {}
    for name, field in fields.items():
        known = field if isinstance(field, Mapping) else {}
        found = _value(str(name), known, output, required=name in required)
        if found:
            given[str(name)] = found[0]
    return given


def _value(
    name: str, schema: Mapping[str, JSON] | None, output: Output, *, required: bool
) -> tuple[JSON, ...]:
    """Ask for one value until it is one; nothing for an empty line where it may be left out."""
    about = "" if schema is None else _about(schema, required)
    while True:
        text = _line(f"{visible(name)}{about}: ").strip()
        if not text and schema is not None and "default" in schema:
            return (schema["default"],)
        if not text:
            if not required:
                return ()
            continue
        try:
            value = _read(text, schema)
        except ValueError as error:
            output.say(f"  no JSON: {error}", style="red")
            continue
        problems = _problems(name, schema, value)
        if not problems:
            return (value,)
        for problem in problems:
            output.say(f"  {visible(problem)}", style="red")


def _line(label: str) -> str:
    """Read a line; what is shown goes to stderr, where all that is no answer to the command goes."""
    try:
        click.echo(label, nl=False, err=True)
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        click.echo(err=True)
        raise
    if not line:
        click.echo(err=True)
        raise KeyboardInterrupt
    return line


def _about(schema: Mapping[str, JSON], required: bool) -> str:
    """Return what there is to know about a value: `, size of the parcel (small, large; may be left out)`."""
    told = str(schema.get("description") or schema.get("title") or "").strip()
    facts = []
    kind = schema.get("type")
    if isinstance(schema.get("enum"), list):
        facts.append(
            ", ".join(option if isinstance(option, str) else dump(option) for option in schema["enum"])
        )
    elif kind == "boolean":
        facts.append("yes or no")
    elif kind in ("array", "object"):
        facts.append("JSON")
    elif isinstance(kind, str) and kind != "string":
        facts.append(kind)
    if "default" in schema:
        facts.append(f"default {dump(schema['default'])}")
    elif not required:
        facts.append("may be left out")
    first = f", {visible(told.splitlines()[0])}" if told else ""
    return first + (f" ({'; '.join(facts)})" if facts else "")


def _read(text: str, schema: Mapping[str, JSON] | None) -> JSON:
    """Return what was typed as the value that is wanted; where nothing says what, as JSON if it is some, else text."""
    if schema is not None and isinstance(schema.get("enum"), list):
        return next((option for option in schema["enum"] if _is(text, option)), text)
    if schema is not None and schema.get("type") == "boolean":
        return _YES.get(text.lower(), text)
    if schema is not None and "type" in schema:
        return coerce(text, schema)
    try:
        return parse_json(text)
    except ValueError:
        return text


def _is(text: str, option: JSON) -> bool:
    return text == option if isinstance(option, str) else text == dump(option)


def _problems(name: str, schema: Mapping[str, JSON] | None, value: JSON) -> list[str]:
    from dramaturg.engine.language.schema import ParameterSet

    try:
        return ParameterSet({name: schema or {}}).problems({name: value})
    except ValueError:
        # It refers to the rest of its schema: the service sees the whole.
        return []
