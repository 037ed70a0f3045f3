"""Secrets are taken out of what an action says, however it says them."""

from __future__ import annotations

import base64
import json
import shlex
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dramaturg.engine.scrub import INSIDE, Scrubber
from dramaturg.engine.secret import Plain, Secret

SECRETS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0*"), min_size=3, max_size=40
).filter(lambda text: len(text.strip()) >= 3)
AROUND = st.text(st.sampled_from("ab \n\"\\'é*{}"), max_size=12)
WRITERS = st.sampled_from(
    [
        str,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: json.dumps(json.dumps({"a": text})),
        repr,
        quote,
        lambda text: quote(text, safe=""),
        quote_plus,
        lambda text: urlencode({"q": text}),
        lambda text: f"[{text}]",
        shlex.quote,
        lambda text: text.replace("'", "'\\''"),
        lambda text: base64.b64encode(text.encode()).decode(),
    ]
)


@given(SECRETS, AROUND, AROUND, WRITERS)
def test_a_secret_does_not_survive_in_a_text(secret: str, before: str, after: str, write: Any) -> None:
    """As it is, and in the ways in which programs write texts."""
    written = write(secret)
    found = Scrubber([secret]).text(before + written + after)
    assert secret not in found
    if bare := written.strip("\"'="):
        assert bare not in found
    assert "***" in found


@given(SECRETS, AROUND)
def test_scrubbing_twice_is_scrubbing_once(secret: str, text: str) -> None:
    """What stands in its place is no secret."""
    scrub = Scrubber([secret])
    once = scrub.value({"a": [text + secret, text]})
    assert scrub.value(once) == once


def test_values_are_scrubbed_everywhere() -> None:
    """In texts, keys and numbers, deep; what has nothing to do with it stays as it is."""
    scrub = Scrubber(["hunter2", 4711, {"user": "kim-dotcom", "ports": [8080, True, None]}])
    value = {
        "a": ["x hunter2 y", 4711, 47110, 1, True],
        "hunter2": {"b": "kim-dotcom", "port": 8080, "c": None},
    }
    assert scrub.value(value) == {
        "a": ["x *** y", "***", 47110, 1, True],
        "***": {"b": "***", "port": "***", "c": None},
    }
    assert scrub.text("pin 4711, not 47") == "pin ***, not 47"
    hidden = Secret(Plain("hunter2"))
    assert scrub.value([hidden]) == [hidden]


def test_a_very_short_secret_is_taken_out_where_it_is_all_there_is() -> None:
    """It would be in half of all words."""
    scrub = Scrubber(["ab"])
    assert scrub.value(["ab", "cab", {"ab": "ab"}]) == ["***", "cab", {"***": "***"}]


def test_the_longest_secret_goes_first() -> None:
    """One that is a part of another leaves no rest of it."""
    assert Scrubber(["pass", "password"]).text("a password, a pass") == "a ***, a ***"


def test_a_key_of_many_lines_is_found_line_by_line() -> None:
    """Logs put something in front of each."""
    key = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\nshort\n-----END KEY-----\n"
    scrub = Scrubber([key])
    log = "".join(f"12:00 | {line}\n" for line in key.splitlines())
    assert "MIIEp" not in scrub.text(log)
    assert scrub.text(key) == "***"
    assert "MIIEp" not in scrub.text(f"key is {key.strip()}!")
    assert "MIIEp" not in scrub.text(json.dumps({"key": key}))


SECRET = "s3cr3t-t0ken-0123456789"


@pytest.mark.parametrize("size", range(4, len(SECRET)))
def test_the_rest_of_a_secret_at_a_cut_is_taken_out(size: int) -> None:
    """At both ends of a text whose beginning or end is missing."""
    scrub = Scrubber([SECRET])
    assert scrub.text(SECRET[-size:] + " and more", cut=True) == "*** and more"
    assert scrub.text("it said " + SECRET[:size], cut=True) == "it said ***"


@pytest.mark.parametrize("size", range(INSIDE, len(SECRET)))
def test_a_long_rest_is_taken_out_anywhere(size: int) -> None:
    """Where a notice stands at the cut."""
    scrub = Scrubber([SECRET])
    assert scrub.text(f"a {SECRET[:size]}\n[... cut ...]\n{SECRET[-size:]} b", cut=True) == (
        "a ***\n[... cut ...]\n*** b"
    )


def test_what_is_not_cut_is_not_searched_for_rests() -> None:
    """A result that happens to begin like the secret is none."""
    assert Scrubber([SECRET]).value({"a": SECRET[:15]}) == {"a": SECRET[:15]}


def test_without_secrets_nothing_is_touched() -> None:
    """Not even copied."""
    value = {"a": ["hunter2"]}
    assert not Scrubber()
    assert not Scrubber([None, True, "", {}])
    assert Scrubber().value(value) is value


def test_a_shell_s_quotes_do_not_hide_a_secret() -> None:
    """What `set -x` prints of an ordinary one."""
    secret = "a b$c"
    assert Scrubber([secret]).text(f"+ curl -u {shlex.quote(secret)}") == "+ curl -u '***'"
