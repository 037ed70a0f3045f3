"""How a process gets its parameters: what is written to its stdin or into its file (LANGUAGE 2, `parameter_format`).

Never as arguments or environment, which everybody on the machine can see.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson
import yaml

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.runtime.normalise import Refused

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
#: Text between single quotes that python-dotenv does not read otherwise than a shell.
_SINGLE = re.compile(r"(?:[^'\\]|\\(?![\\']|\Z))*\Z")
#: Text between double quotes that a shell takes as it is, but for backslashes and double quotes.
_DOUBLE = re.compile(r"[^$`]*\Z")
#: Text that every version of YAML takes for text without quotes.
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_NO_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))


def encoded(parameters: Mapping[str, JSON], parameter_format: str) -> bytes:
    """Return the parameters as json, dotenv or yaml.

    JSON is one line, with its end: a shell's `read` wants that.

    Raises:
        Refused: InvalidInput, a name that can't be written in this format.
    """
    match parameter_format:
        case "dotenv":
            return _dotenv(parameters)
        case "yaml":
            return _yaml(parameters)
        case _:
            return orjson.dumps(dict(parameters)) + b"\n"


def _dotenv(parameters: Mapping[str, JSON]) -> bytes:
    wrong = [name for name in parameters if not _VARIABLE.match(name)]
    if wrong:
        names = ", ".join(f"{name!r:.80}" for name in wrong)
        message = (
            f"parameter_format dotenv: no name for a shell variable: {names} (letters, digits and _ only)"
        )
        raise Refused(Failure(type="InvalidInput", message=message, details={"names": wrong}))
    return "".join(f"{name}={_quoted(_text(value))}\n" for name, value in parameters.items()).encode()


def _text(value: JSON) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _quoted(text: str) -> str:
    """Write text as a POSIX shell reads it, and python-dotenv, too, wherever that is possible.

    It is not for a text with `$` or a backquote that also has single quotes, double backslashes or a backslash at its
    end: the two know no common way to write it. A shell reads it then.
    """
    if _SINGLE.match(text):
        return f"'{text}'"
    if _DOUBLE.match(text):
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    escaped = text.replace("'", "'\\''")
    return f"'{escaped}'"


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # C where it was built
    """YAML that no reader takes for something else: text is in double quotes, but for plain words."""

    def ignore_aliases(self, data: object) -> bool:
        """Write a value again instead of pointing to it."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = _WORD.match(text) and text.lower() not in _NO_WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _represent_text)


def _yaml(parameters: Mapping[str, JSON]) -> bytes:
    text: str = yaml.dump(
        dict(parameters),
        Dumper=_Dumper,
        allow_unicode=True,
        sort_keys=False,
        default_flow_style=False,
        width=2**30,
    )
    return text.encode()
