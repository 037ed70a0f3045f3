"""The border: a result becomes a plain JSON value here, once, or is refused with its place (LANGUAGE 2).

What passes can be stored by every database and read by every JSON reader: text without NUL and lone surrogates, finite
numbers, integers of signed 64 bits, at most `DEPTH` levels, text keys, a size under the limit. Nothing behind this
border checks again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import orjson

from dramaturg.engine.errors import JSON, Failure

#: Levels of lists and maps.
DEPTH = 100
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
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
    plain = _Border(limit, where).value(value, (where,))
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


#: Keys and indexes that lead to a value, the outermost first.
_Path = tuple[str | int, ...]


class _Border:
    """One walk over a value."""

    def __init__(self, limit: int, where: str) -> None:
        self._limit = limit
        self._where = where
        #: Never more than the JSON's size. Counted on the way: a few shared lists can stand for more than memory holds.
        self._size = 0

    def value(self, value: object, path: _Path) -> JSON:
        if value is None or value is True or value is False:
            self._count(4)
            return value
        for kind, take in self._kinds:
            if isinstance(value, kind):
                return take(self, value, path)
        kind_name = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        raise _invalid(path, f"is a {kind_name}, which is not a JSON value")

    def _text(self, text: str, path: _Path) -> str:
        text = str.__str__(text)  # the plain text of a subclass, too
        self._count(len(text) + 2)
        _check_text(text, path)
        return text

    def _integer(self, number: int, path: _Path) -> int:
        self._count(1)
        if not _SMALLEST <= number <= _LARGEST:
            raise _invalid(path, "is an integer beyond signed 64 bits")
        return int.__int__(number)

    def _float(self, number: float, path: _Path) -> float:
        self._count(1)
        if not math.isfinite(number):
            raise _invalid(path, f"is {number!r:.9}, which JSON does not have")
        return float.__float__(number)

    def _list(self, values: list[object] | tuple[object, ...], path: _Path) -> list[JSON]:
        self._enter(path)
        return [self.value(value, (*path, index)) for index, value in enumerate(values)]

    def _map(self, values: dict[object, object], path: _Path) -> dict[str, JSON]:
        self._enter(path)
        plain: dict[str, JSON] = {}
        for key, value in dict.items(values):
            if not isinstance(key, str):
                raise _invalid(path, f"has the key {key!r:.50}, which is not text")
            name = self._text(key, (*path, readable(key)))
            plain[name] = self.value(value, (*path, name))
        return plain

    def _enter(self, path: _Path) -> None:
        self._count(2)
        if len(path) > DEPTH:
            raise _invalid(path[:4], f"has lists and maps nested over {DEPTH} levels")

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._limit:
            raise too_large(self._where, self._size, self._limit, at_least=True)

    #: Looked through in order.
    _kinds: tuple[tuple[type | tuple[type, ...], Callable[..., JSON]], ...] = (
        (str, _text),
        (int, _integer),
        (float, _float),
        (dict, _map),
        ((list, tuple), _list),
    )


def _check_text(text: str, path: _Path) -> None:
    if "\x00" in text:
        raise _invalid(path, f"has a NUL character at {text.index(chr(0))}")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise _invalid(path, f"has a lone surrogate at {error.start}") from None


def _invalid(path: _Path, what: str) -> Refused:
    where = "".join(_step(step) if at else str(step) for at, step in enumerate(path))
    return Refused(Failure(type="InvalidOutput", message=f"{where} {what}", details={"where": where}))


def _step(step: str | int) -> str:
    if isinstance(step, str) and _PLAIN_KEY.match(step):
        return f".{step}"
    return f"[{step!r}]"
