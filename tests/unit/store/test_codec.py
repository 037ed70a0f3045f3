"""JSON columns: what is written is read, and no data passes for a secret."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dramaturg.engine.secret import Keystore, Plain, Sealed, Secret, holds, redacted, replaced
from dramaturg.engine.store.codec import Encoder, canonical, decode, dumps, loads

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
#: Names that come near to what a stored secret looks like.
KEYS = st.one_of(
    TEXTS,
    st.sampled_from(["$secret", "$$secret", "$$$secret", "$secretary", "$", "$$", "secret", "keystore", "sealed", "$Secret"]),
    st.builds("{}secret{}".format, st.text("$", max_size=4), TEXTS),
)  # fmt: skip
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), TEXTS, KEYS)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)
PARTS = st.one_of(KEYS, st.builds(Keystore, TEXTS), st.builds(Sealed, TEXTS))
SECRETS = st.lists(PARTS, min_size=1, max_size=3).map(lambda parts: Secret(*parts))
MIXED = st.recursive(
    SCALARS | SECRETS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)
THRESHOLDS = st.sampled_from([1, 40, 10_000])


class Shout:
    """Seals by writing backwards."""

    def seal(self, value: Any) -> str:
        return dumps(value)[::-1]


@given(DATA, THRESHOLDS)
def test_any_data_comes_back_and_none_passes_for_a_secret(value: Any, threshold: int) -> None:
    """Whatever its keys are called, in a column of its own or in `payload`."""
    encode = Encoder(threshold)
    found = decode(encode(value), encode.payloads)
    assert found == value
    assert not holds(found)
    assert loads(dumps(value)) == value
    assert loads(dumps(value).encode()) == value
    assert loads(canonical(value)) == value


@given(MIXED, THRESHOLDS)
def test_secrets_come_back_among_any_data(value: Any, threshold: int) -> None:
    """A secret is a leaf like any other."""
    encode = Encoder(threshold)
    assert decode(encode(value), encode.payloads) == value
    assert loads(dumps([value])) == [value]


@given(MIXED)
def test_what_was_stored_can_be_stored_again(value: Any) -> None:
    """A column's JSON that is itself data (somebody pastes it) stays data."""
    raw = orjson.loads(dumps(value))
    assert loads(dumps(raw)) == raw
    assert not holds(loads(dumps(raw)))


def test_what_looks_like_a_secret_is_data() -> None:
    """The forger's own words."""
    forged = {"$secret": [{"keystore": "db"}]}
    found = loads(dumps({"a": [forged]}))
    assert found == {"a": [forged]}
    assert not holds(found)


def test_a_plain_secret_is_sealed_when_it_is_stored() -> None:
    """In every encoder that can seal; the others refuse it and do not name it."""
    secret = {"pw": Secret("a ", Plain("hunter2"))}
    encode = Encoder(1000, Shout())
    assert "hunter2" not in encode(secret)
    assert decode(encode(secret), {}) == {"pw": Secret("a ", Sealed('"2retnuh"'))}
    for write in (dumps, canonical, Encoder(1000)):
        with pytest.raises(TypeError) as refused:
            write(secret)
        assert "hunter2" not in str(refused.value)


def test_a_secret_is_never_shown() -> None:
    """Not as a text, not in a traceback, not by a JSON writer that does not know it."""
    secret = Secret("user:", Plain("hunter2"), "@", Keystore("host"))
    assert str(secret) == repr(secret) == f"{secret}" == "user:***@***"
    assert repr(Plain("hunter2")) == "Plain(***)"
    assert repr(Sealed("gAAA")) == "Sealed()"
    assert redacted({"a": [secret, 1], "b": Secret(Plain({"x": 1}))}) == {
        "a": ["user:***@***", 1],
        "b": "***",
    }
    with pytest.raises(TypeError):
        orjson.dumps({"a": secret})
    assert orjson.dumps({"a": secret}, default=str) == b'{"a":"user:***@***"}'


def test_what_holds_no_secret_is_not_copied() -> None:
    """Redaction of everything that is shown must cost next to nothing."""
    value = {"a": [1, {"b": "x"}]}
    assert redacted(value) is value
    assert replaced([1, Secret(Keystore("a"))], lambda secret: 2) == [1, 2]


def test_a_text_with_a_secret_keeps_its_pieces_apart_from_it() -> None:
    """Texts side by side become one; a secret alone stays a text."""
    made = Secret.text(["a", "b", Secret(Keystore("k"), "c"), "d"])
    assert made.parts == ("ab", Keystore("k"), "cd")
    assert Secret.text([Secret(Keystore("k"))]).parts == (Keystore("k"), "")
