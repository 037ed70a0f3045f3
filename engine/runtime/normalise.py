"""The border: a result becomes a plain JSON value here, once, or is refused with its place (LANGUAGE 2).

What passes can be stored by every database and read by every JSON reader: text without NUL and lone surrogates, finite
numbers, integers of signed 64 bits, at most `DEPTH` levels, text keys, a size under the limit. Nothing behind this
border checks again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import orjson

from dramaturg.engine.errors import JSON, Failure

#: Levels of lists and maps.
DEPTH = 100
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
#: Steps of a place, and characters of a key, that a message shows.
_SHOWN = 60
_UNREADABLE = re.compile("[\x00\ud800-\udfff]")


class Refused(Exception):
    """Output that is not taken; carries the failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def normalise(value: object, limit: int, where: str = "result") -> JSON:
    """Return `value` as new, plain JSON: subclasses of JSON types become these, tuples become lists.

    Args:
        limit: bytes of compact JSON that it may have.
        where: what to call it in messages, such as ``result`` in ``result.items[3].x``.
    Raises:
        Refused: InvalidOutput or PayloadTooLarge; details have `where`, or `size` and `limit`.
    """
    plain = _Border(limit, where).value(value, _Place(None, where))
    size = len(orjson.dumps(plain))
    if size > limit:
        raise too_large(where, size, limit)
    return plain


def readable(text: str) -> str:
    """Return text for people that every database can hold: NUL and lone surrogates become U+FFFD."""
    return _UNREADABLE.sub("\ufffd", text)


def too_large(where: str, size: int, limit: int, *, at_least: bool = False) -> Refused:
    """Return the refusal of something over the limit; sizes in bytes."""
    message = f"{where} has {'at least ' if at_least else ''}{size} bytes, {limit} are allowed"
    return Refused(Failure(type="PayloadTooLarge", message=message, details={"size": size, "limit": limit}))


@dataclass(slots=True, eq=False)
class _Place:
    """Where the walk is: a key or index in the place above."""

    above: _Place | None
    step: str | int
    depth: int = 0


class _Border:
    """One walk over a value."""

    def __init__(self, limit: int, where: str) -> None:
        self._limit = limit
        self._where = where
        #: Never more than the JSON's size. Counted on the way: a few shared lists can stand for more than memory holds.
        self._size = 0

    def value(self, value: object, at: _Place) -> JSON:
        take = self._exact.get(type(value))
        if take is None:
            take = next((take for kind, take in self._kinds if isinstance(value, kind)), _Border._stranger)
        return take(self, value, at)

    def _constant(self, value: bool | None, at: _Place) -> bool | None:
        self._count(4)
        return value

    def _text(self, text: str, at: _Place) -> str:
        text = str.__str__(text)  # the plain text of a subclass, too
        self._count(len(text) + 2)
        if "\x00" in text or not text.isascii():
            _check_text(text, at)
        return text

    def _integer(self, number: int, at: _Place) -> int:
        self._count(1)
        if not _SMALLEST <= number <= _LARGEST:
            raise _invalid(at, "is an integer beyond signed 64 bits")
        return int.__int__(number)

    def _float(self, number: float, at: _Place) -> float:
        self._count(1)
        if not math.isfinite(number):
            raise _invalid(at, f"is {number!r:.9}, which JSON does not have")
        return float.__float__(number)

    def _list(self, values: list[object] | tuple[object, ...], at: _Place) -> list[JSON]:
        here = self._enter(at)
        plain: list[JSON] = []
        for here.step, value in enumerate(values):
            plain.append(self.value(value, here))
        return plain

    def _map(self, values: dict[object, object], at: _Place) -> dict[str, JSON]:
        here = self._enter(at)
        plain: dict[str, JSON] = {}
        for key, value in dict.items(values):
            if not isinstance(key, str):
                raise _invalid(at, f"has the key {key!r:.50}, which is not text")
            here.step = key
            plain[self._text(key, here)] = self.value(value, here)
        return plain

    def _stranger(self, value: object, at: _Place) -> JSON:
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        raise _invalid(at, f"is a {kind}, which is not a JSON value")

    def _enter(self, at: _Place) -> _Place:
        """Return the place inside a list or map, the same object for each of its values in turn."""
        self._count(2)
        if at.depth >= DEPTH:
            raise _invalid(at, f"is nested over {DEPTH} levels deep")
        return _Place(at, 0, at.depth + 1)

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._limit:
            raise too_large(self._where, self._size, self._limit, at_least=True)

    #: For types that are JSON's own; most values are.
    _exact: ClassVar[dict[type, Callable[..., JSON]]] = {
        type(None): _constant,
        bool: _constant,
        str: _text,
        int: _integer,
        float: _float,
        dict: _map,
        list: _list,
        tuple: _list,
    }
    #: For relatives of these.
    _kinds: ClassVar[tuple[tuple[type | tuple[type, ...], Callable[..., JSON]], ...]] = (
        (str, _text),
        (int, _integer),
        (float, _float),
        (dict, _map),
        ((list, tuple), _list),
    )


def _check_text(text: str, at: _Place) -> None:
    if "\x00" in text:
        raise _invalid(at, f"has a NUL character at {text.index(chr(0))}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _invalid(at, f"has a lone surrogate at {error.start}") from None


def _invalid(at: _Place, what: str) -> Refused:
    where = _written(at)
    return Refused(Failure(type="InvalidOutput", message=f"{where} {what}", details={"where": where}))


def _written(place: _Place) -> str:
    """Write a place as an author would: ``result.items[3].x``; only the beginning of a deep one."""
    steps: list[str] = []
    at: _Place | None = place
    while at is not None:
        steps.append(_step(at.step) if at.above else str(at.step))
        at = at.above
    steps.reverse()
    return "".join(steps[:_SHOWN]) + ("..." if len(steps) > _SHOWN else "")


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    shown = readable(step[:_SHOWN])
    return f".{shown}" if _PLAIN_KEY.match(shown) else f"[{shown!r}]"
