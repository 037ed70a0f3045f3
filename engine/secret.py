"""Values that nobody is shown: passed on and put into text, never looked at (LANGUAGE 2 and 7).

A :class:`Secret` is a leaf among JSON values. It does not hold what it stands for, but where that is to be had: a name
in the keystore, or a sealed text; so an expression or a log line can't give away what it never had. Only what was given
in this process and is not stored yet is there as it is (:class:`Plain`), and is sealed when it is stored.

Not dataclasses where a plain value is inside: the JSON writer would write the fields of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: What people see in place of a secret.
REDACTED = "***"


@dataclass(frozen=True, slots=True)
class Keystore:
    """A secret of the keystore, by name."""

    name: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """A value that the vault has encrypted."""

    token: str = field(repr=False)


class Plain:
    """A value as it is, in memory only."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and self.value == other.value

    def __hash__(self) -> int:
        return hash(Plain)

    def __repr__(self) -> str:
        return f"Plain({REDACTED})"


Part = str | Keystore | Sealed | Plain


class Secret:
    """A value that is secret, or a text with secrets in it; immutable.

    One part alone keeps the type of what it stands for; of several a text is made.
    """

    __slots__ = ("parts",)

    parts: tuple[Part, ...]

    def __init__(self, *parts: Part) -> None:
        self.parts = parts

    @classmethod
    def text(cls, pieces: Iterable[str | Secret]) -> Secret:
        """Return the text of pieces put together, which is secret because some of them are."""
        parts: list[Part] = []
        for piece in pieces:
            for part in piece.parts if isinstance(piece, Secret) else (piece,):
                if isinstance(part, str) and parts and isinstance(parts[-1], str):
                    parts[-1] += part
                else:
                    parts.append(part)
        if len(parts) == 1:
            # Alone it would not be a text but whatever it stands for.
            parts.append("")
        return cls(*parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash((Secret, self.parts))

    def __repr__(self) -> str:
        return "".join(part if isinstance(part, str) else REDACTED for part in self.parts) or REDACTED


def holds(value: Any) -> bool:
    """Say whether a secret is in *value*, however deep."""
    kind = type(value)
    if kind is dict:
        return any(map(holds, value.values()))
    if kind is list:
        return any(map(holds, value))
    return kind is Secret


def replaced(value: Any, change: Callable[[Secret], Any]) -> Any:
    """Return *value* with what *change* gives in place of each secret; *value* itself where it holds none."""
    return _replaced(value, change) if holds(value) else value


def _replaced(value: Any, change: Callable[[Secret], Any]) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _replaced(part, change) for key, part in value.items()}
    if kind is list:
        return [_replaced(part, change) for part in value]
    return change(value) if kind is Secret else value


def redacted(value: Any) -> Any:
    """Return *value* as people may see it: ``***`` in place of each secret, inside texts too."""
    return replaced(value, repr)


def hidden(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return *values* with those of *names* as secrets; null stays what it is, and so does what is a secret already."""
    secret = [name for name in names if values.get(name) is not None and type(values[name]) is not Secret]
    return {**values, **{name: Secret(Plain(values[name])) for name in secret}}
