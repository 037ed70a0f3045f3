"""JSON in and out of the tables: text columns, with large values kept apart and secrets sealed.

A value whose JSON is longer than a threshold goes to the table `payload`, once a run, and the column holds
``@`` and its hash. JSON text never begins with ``@``, so the two cannot be confused.

A secret is stored as ``{"$secret": [...]}``, a list of its parts: texts, ``{"keystore": name}`` and ``{"sealed": text}``.
A map of the user's whose key looks like that gets one more ``$`` in front of it, so no data can pass for a secret;
everything that is written here is read here, so nobody sees the difference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Protocol

import orjson

from dramaturg.engine.errors import JSON
from dramaturg.engine.secret import Keystore, Part, Plain, Sealed, Secret, redacted

#: What a column begins with where its value is in `payload`.
REFERENCE = "@"

#: The only key of a stored secret.
MARK = "$secret"
#: What every text has that holds a secret, or a key that must not look like one. Written texts never escape a ``$``.
_TRACE = "$secret"
_TRACE_BYTES = _TRACE.encode()


class Sealer(Protocol):
    """Encrypts what may not be stored as it is."""

    def seal(self, value: JSON) -> str:
        """Return a text that gives *value* back to who has the key."""
        ...


def dumps(value: JSON) -> str:
    """Return `value` as compact JSON; keys keep their order."""
    return _written(value, None).decode()


def loads(text: str | bytes) -> JSON:
    """Return the value of a JSON text that this module wrote."""
    value = orjson.loads(text)
    trace: str | bytes = _TRACE if isinstance(text, str) else _TRACE_BYTES
    return _restored(value) if trace in text else value  # type: ignore[operator]  # of one kind, as chosen above


def canonical(value: JSON) -> str:
    """Return `value` as JSON with sorted keys: equal values, equal texts."""
    return _written(value, None, orjson.OPT_SORT_KEYS).decode()


def digest_of(value: JSON) -> str:
    """Return the hex SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


class Encoder:
    """Turns values into column texts and collects the payloads that they need."""

    __slots__ = ("payloads", "sealer", "threshold")

    def __init__(self, threshold: int, sealer: Sealer | None = None) -> None:
        """Prepare to write.

        Args:
            threshold: bytes above which a value goes to `payload`.
            sealer: seals what is secret and not stored yet; without one such a value can't be written.
        """
        self.threshold = threshold
        self.sealer = sealer
        #: Hash -> JSON text: to be stored in the same transaction.
        self.payloads: dict[str, str] = {}

    def __call__(self, value: JSON) -> str:
        """Return the column text of `value`."""
        raw = _written(value, self.sealer)
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
    return loads(payloads[text[1:]] if text.startswith(REFERENCE) else text)


def shown(text: str | None, payloads: Mapping[str, str]) -> JSON:
    """Return the value of a column text as people may see it: ``***`` in place of each secret."""
    return redacted(decode(text, payloads))


# -- secrets -----------------------------------------------------------------------------------------------------


def _written(value: JSON, sealer: Sealer | None, option: int = 0) -> bytes:
    """Return JSON; only where the text has a trace of secrets is the value gone through."""
    raw = orjson.dumps(value, _noticed, option)
    return orjson.dumps(_stored(value, sealer), None, option) if _TRACE_BYTES in raw else raw


def _noticed(value: object) -> JSON:
    if type(value) is Secret:
        return MARK
    raise TypeError(f"{type(value).__name__} is not JSON")


def _stored(value: JSON, sealer: Sealer | None) -> JSON:
    if isinstance(value, dict):
        return {_escaped(key): _stored(part, sealer) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_stored(part, sealer) for part in value]
    if isinstance(value, Secret):
        return {MARK: [_stored_part(part, sealer) for part in value.parts]}
    return value


def _stored_part(part: Part, sealer: Sealer | None) -> JSON:
    if isinstance(part, str):
        return part
    if isinstance(part, Keystore):
        return {"keystore": part.name}
    if isinstance(part, Plain):
        if sealer is None:
            raise TypeError("a secret that is not sealed can't be stored here")
        part = Sealed(sealer.seal(part.value))
    return {"sealed": part.token}


def _restored(value: JSON) -> JSON:
    kind = type(value)
    if kind is dict:
        if len(value) == 1 and MARK in value:
            return Secret(*map(_restored_part, value[MARK]))
        return {_unescaped(key): _restored(part) for key, part in value.items()}
    return [_restored(part) for part in value] if kind is list else value


def _restored_part(part: JSON) -> Part:
    if type(part) is str:
        return part
    return Keystore(part["keystore"]) if "keystore" in part else Sealed(part["sealed"])


def _escaped(key: str) -> str:
    return "$" + key if key.startswith("$") and key.lstrip("$").startswith("secret") else key


def _unescaped(key: str) -> str:
    return key[1:] if key.startswith("$$") and key.lstrip("$").startswith("secret") else key
