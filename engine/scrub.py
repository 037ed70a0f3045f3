"""Takes secrets out of what an action has said: wherever a secret's text stands, ``***`` stands instead (LANGUAGE 2).

A secret is looked for as it is and in the ways in which programs like to write it: inside JSON, as Python and a shell
show it, in URLs, in base64. Its lines are looked for one by one as well, because logs are written line by line. Of a text that
somebody has cut (the tail of stderr, a log that grew too long), the rest of a secret at the cut goes, too.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from dramaturg.engine.errors import JSON
from dramaturg.engine.secret import REDACTED

#: A secret that is shorter than this is taken out only where it is the whole text: it would be in half of all words.
SHORTEST = 3
#: The same for a line of a secret.
SHORTEST_LINE = 8
#: Characters of a secret that give it away where a text was cut: at the text's ends, and in the middle of it.
AT_ENDS, INSIDE = 4, 12
#: Longest rest of a secret that is looked for at an end of a text.
LONGEST_REST = 4096


class Scrubber:
    """Knows what must not be shown."""

    def __init__(self, secrets: Iterable[JSON] = ()) -> None:
        """Prepare to take out *secrets*: JSON values; of lists and maps each text and number in them."""
        plain = {text for secret in secrets for text in _texts(secret) if text}
        #: What is taken out where it is all there is: numbers too.
        self._whole = frozenset(plain)
        forms = {form for text in plain for form in _forms(text) if len(form) >= SHORTEST}
        self._forms = sorted(forms, key=len, reverse=True)
        self._plain = sorted((text for text in plain if len(text) > AT_ENDS), key=len, reverse=True)

    def __bool__(self) -> bool:
        return bool(self._whole)

    def text(self, text: str, *, cut: bool = False) -> str:
        """Return *text* without the secrets.

        Args:
            cut: parts of it may have been cut out; what is left of a secret at a cut is taken out, too.
        """
        if text in self._whole:
            return REDACTED
        for form in self._forms:
            if form in text:
                text = text.replace(form, REDACTED)
        if cut:
            for secret in self._plain:
                text = _without_rests(text, secret)
        return text

    def value(self, value: JSON, *, cut: bool = False) -> JSON:
        """Return a JSON value without the secrets: in its texts, in its keys, and as numbers."""
        kind = type(value)
        if not self._whole:
            return value
        if kind is str:
            return self.text(value, cut=cut)
        if kind is dict:
            return {self.text(key): self.value(part, cut=cut) for key, part in value.items()}
        if kind is list:
            return [self.value(part, cut=cut) for part in value]
        if kind is int or kind is float:
            written = json.dumps(value)
            return REDACTED if len(written) >= SHORTEST and written in self._whole else value
        return value


def _texts(secret: JSON) -> Iterator[str]:
    """Yield each text and number in a value, as text."""
    kind = type(secret)
    if kind is str:
        yield secret
    elif kind is int or kind is float:
        yield json.dumps(secret)
    elif kind is dict:
        for part in secret.values():
            yield from _texts(part)
    elif kind is list:
        for part in secret:
            yield from _texts(part)


def _forms(secret: str) -> Iterator[str]:
    """Yield the ways in which a text may be written."""
    lines = [line.strip() for line in secret.splitlines()] if "\n" in secret else []
    for text in (secret, secret.strip(), *(line for line in lines if len(line) >= SHORTEST_LINE)):
        yield text
        for written in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
            yield written[1:-1]
            yield json.dumps(written)[3:-3]
        yield repr(text)[1:-1]
        yield text.replace("'", "'\"'\"'")
        yield text.replace("'", "'\\''")
        yield quote(text)
        yield quote(text, safe="")
        yield quote_plus(text)
        yield base64.b64encode(text.encode()).decode().rstrip("=")


def _without_rests(text: str, secret: str) -> str:
    """Return *text* without beginnings and ends of a secret that a cut has left."""
    text = _without_last(text, secret)
    text = _mirrored(_without_last(_mirrored(text), _mirrored(secret)))
    if len(secret) > INSIDE:
        text = _without_beginnings(text, secret)
        text = _mirrored(_without_beginnings(_mirrored(text), _mirrored(secret)))
    return text


def _without_last(text: str, secret: str) -> str:
    """Return *text* without the beginning of a secret at its very end."""
    for size in range(min(len(secret) - 1, len(text), LONGEST_REST), AT_ENDS - 1, -1):
        if text.endswith(secret[:size]):
            return text[:-size] + REDACTED
    return text


def _without_beginnings(text: str, secret: str) -> str:
    """Return *text* without beginnings of a secret, each as far as it goes."""
    first, at = secret[:INSIDE], 0
    if first not in text:
        return text
    kept: list[str] = []
    while (found := text.find(first, at)) >= 0:
        kept += (text[at:found], REDACTED)
        at = found + INSIDE
        while at < len(text) and at - found < len(secret) and text[at] == secret[at - found]:
            at += 1
    return "".join((*kept, text[at:]))


def _mirrored(text: str) -> str:
    return text[::-1]
