"""`-p name=value`, `-p name:=json` and `--params FILE`: the parameters of a run, as typed at a shell."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dramaturg.engine.errors import JSON, InvalidParameters, UsageError


def read(
    ref: str, given: Iterable[str], file: str | None, declared: Mapping[str, JSON] | None
) -> dict[str, JSON]:
    """Return the parameters of `ref`; single ones win over those of the file.

    A text is read by the type that the action declares for it: ``count=3`` is a number where `count` is an integer,
    and text where it is a string or not declared. What does not read as its type stays text, and the action's own
    check tells of it by name.

    Raises:
        InvalidParameters: a value is not JSON where it must be, or a name is given twice; every such one is named.
        UsageError: an argument is no ``name=value``, or the file can't be read.
    """
    values = _from_file(file) if file else {}
    problems: list[str] = []
    seen: set[str] = set()
    for argument in given:
        name, text, is_json = _split(argument)
        if name in seen:
            problems.append(f"{name}: given twice")
        seen.add(name)
        try:
            values[name] = parse_json(text) if is_json else coerce(text, (declared or {}).get(name))
        except ValueError as error:
            problems.append(f"{name}: not valid JSON: {error}")
    if problems:
        raise InvalidParameters(ref, problems)
    return values


def coerce(text: str, declared: JSON) -> JSON:
    """Return a text as the value that a declaration asks for; as text if it asks for none, or it does not read so.

    Raises:
        ValueError: it must be a list or a map, and is not JSON.
    """
    types = _types(declared)
    if not types or "string" in types:
        return text
    for kind, reader in _READERS.items():
        if kind in types:
            try:
                return reader(text)
            except ValueError:
                continue
    if types & {"array", "object"} and text.lstrip()[:1] in ("[", "{"):
        return parse_json(text)
    return text


def _types(declared: JSON) -> frozenset[str]:
    if not isinstance(declared, Mapping):
        return frozenset()
    kind = declared.get("type")
    kinds = [kind] if isinstance(kind, str) else kind if isinstance(kind, list) else []
    return frozenset(k for k in kinds if isinstance(k, str))


def _boolean(text: str) -> bool:
    try:
        return {"true": True, "false": False}[text.strip().lower()]
    except KeyError:
        raise ValueError(text) from None


def _number(text: str) -> int | float:
    value = parse_json(text.strip())
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(text)
    return value


def _integer(text: str) -> int:
    value = _number(text)
    if not isinstance(value, int):
        raise ValueError(text)
    return value


def _null(text: str) -> None:
    if text.strip() != "null":
        raise ValueError(text)


_READERS = {"integer": _integer, "number": _number, "boolean": _boolean, "null": _null}


def _split(argument: str) -> tuple[str, str, bool]:
    name, equals, text = argument.partition("=")
    is_json = name.endswith(":")
    name = name.removesuffix(":")
    if not equals or not name:
        raise UsageError(
            f"-p {argument!r} is not a parameter",
            hint="write -p name=value, or -p name:=json for a JSON value",
        )
    return name, text, is_json


def parse_json(text: str) -> JSON:
    """Read a JSON value.

    Raises:
        ValueError: it is none, or one of those that Python alone knows: NaN and the infinities.
    """

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is no JSON value")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _from_file(file: str) -> dict[str, JSON]:
    """Read a map from a JSON or YAML file; `-` is stdin."""
    shown = "stdin" if file == "-" else file
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"--params {shown}: {reason}") from None
    try:
        values = _yaml(text) if file.endswith((".yaml", ".yml")) else parse_json(text)
    except ValueError as error:
        raise UsageError(f"--params {shown}: {error}") from None
    if not isinstance(values, dict):
        raise UsageError(f"--params {shown}: a map of parameters is wanted, not {type(values).__name__}")
    return values


def _yaml(text: str) -> JSON:
    import yaml

    try:
        value = yaml.safe_load(text)
        # YAML knows dates and the like; parameters are JSON, where these are texts.
        return json.loads(json.dumps(value, default=str, allow_nan=False))
    except (yaml.YAMLError, TypeError) as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
