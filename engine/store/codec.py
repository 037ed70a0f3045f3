"""JSON in and out of the tables: text columns, with large values kept apart.

A value whose JSON is longer than a threshold goes to the table `payload`, once a run, and the column holds
``@`` and its hash. JSON text never begins with ``@``, so the two cannot be confused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import orjson

from dramaturg.engine.errors import JSON

#: What a column begins with where its value is in `payload`.
REFERENCE = "@"


def dumps(value: JSON) -> str:
    """Return `value` as compact JSON; keys keep their order."""
    return orjson.dumps(value).decode()


def loads(text: str | bytes) -> JSON:
    """Return the value of a JSON text."""
    return orjson.loads(text)


def canonical(value: JSON) -> str:
    """Return `value` as JSON with sorted keys: equal values, equal texts."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def digest_of(value: JSON) -> str:
    """Return the hex SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


class Encoder:
    """Turns values into column texts and collects the payloads that they need."""

    __slots__ = ("payloads", "threshold")

    def __init__(self, threshold: int) -> None:
        self.threshold = threshold
        #: Hash -> JSON text: to be stored in the same transaction.
        self.payloads: dict[str, str] = {}

    def __call__(self, value: JSON) -> str:
        """Return the column text of `value`."""
        raw = orjson.dumps(value)
        if len(raw) <= self.threshold:
            return raw.decode()
        digest = hashlib.sha256(raw).hexdigest()
        self.payloads[digest] = raw.decode()
        return REFERENCE + digest

    def rows(self) -> str:
        """Return the payloads as the JSON that WRITE_PAYLOADS takes."""
        return dumps([{"digest": digest, "body": body} for digest, body in self.payloads.items()])


def references(*texts: str | None) -> frozenset[str]:
    """Return the hashes that column texts refer to."""
    return frozenset(text[1:] for text in texts if text is not None and text.startswith(REFERENCE))


def decode(text: str | None, payloads: Mapping[str, str]) -> JSON:
    """Return the value of a column text; null where it is empty."""
    if text is None:
        return None
    return orjson.loads(payloads[text[1:]] if text.startswith(REFERENCE) else text)
