"""Functions on texts."""

from __future__ import annotations

import posixpath
import re
import urllib.parse

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import Fault
from dramaturg.engine.expressions.registry import Registry
from dramaturg.engine.expressions.sandbox import Frame, interpolate, name_type

TEXTS = Registry()

#: How semantic versioning reads a version, with any count of numbers and an optional v before them.
_VERSION = re.compile(r"v?(\d{1,18}(?:\.\d{1,18})*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?", re.ASCII)

_WORD = re.compile(r"[^\W_]+(?:['’]\w+)*")


def built(frame: Frame, text: str) -> str:
    """Return *text* after paying for it; for texts that are at most a few times as long as an argument."""
    frame.build(len(text))
    return text


@TEXTS.add("string")
def string(frame: Frame, value: JSON) -> JSON:
    """Return the value as it appears inside a text."""
    return value if type(value) is str else interpolate(frame, value)


@TEXTS.add("split")
def split(frame: Frame, value: str, sep: str | None = None) -> JSON:
    """Return the parts of a text; without a separator, its words."""
    if sep == "":
        raise Fault("split() can't split at an empty text")
    frame.build(len(value))
    return value.split(sep)


@TEXTS.add("replace")
def replace(frame: Frame, value: str, old: str, new: str, count: int = -1) -> JSON:
    """Return a text with one part replaced by another."""
    times = value.count(old)
    times = times if count < 0 else min(times, count)
    frame.build(len(value) + times * max(0, len(new) - len(old)))
    return value.replace(old, new, count)


@TEXTS.add("lower")
def lower(frame: Frame, value: str) -> JSON:
    """Return a text in small letters."""
    return built(frame, value.lower())


@TEXTS.add("upper")
def upper(frame: Frame, value: str) -> JSON:
    """Return a text in capital letters."""
    return built(frame, value.upper())


@TEXTS.add("capitalize")
def capitalize(frame: Frame, value: str) -> JSON:
    """Return a text with a capital first letter and small others."""
    return built(frame, value.capitalize())


@TEXTS.add("title")
def title(frame: Frame, value: str) -> JSON:
    """Return a text whose words begin with capitals; an apostrophe does not end a word."""
    return built(frame, _WORD.sub(lambda word: word[0][:1].upper() + word[0][1:].lower(), value))


@TEXTS.add("trim")
def trim(frame: Frame, value: str, chars: str | None = None) -> JSON:
    """Return a text without the space, or the given characters, at its ends."""
    frame.step(len(value) * len(chars or "") // 16)
    return built(frame, value.strip(chars))


@TEXTS.add("starts_with")
def starts_with(frame: Frame, value: str, prefix: str) -> JSON:
    """Say whether a text starts with another."""
    return value.startswith(prefix)


@TEXTS.add("ends_with")
def ends_with(frame: Frame, value: str, suffix: str) -> JSON:
    """Say whether a text ends with another."""
    return value.endswith(suffix)


@TEXTS.add("center")
def center(frame: Frame, value: str, width: int = 80) -> JSON:
    """Return a text in the middle of a field of spaces."""
    frame.build(max(len(value), width))
    return value.center(width)


@TEXTS.add("indent")
def indent(frame: Frame, value: str, width: int | str = 4, first: bool = False, blank: bool = False) -> JSON:
    """Return a text with its lines moved to the right: all but the first, and without the blank ones."""
    if type(width) is int:
        frame.build(max(0, width))
        width = " " * width
    lines = value.split("\n")
    frame.build(len(value) + len(str(width)) * len(lines))
    return "\n".join(
        f"{width}{line}" if (index or first) and (line.strip() or blank) else line
        for index, line in enumerate(lines)
    )


@TEXTS.add("truncate")
def truncate(
    frame: Frame, value: str, length: int = 255, killwords: bool = False, end: str = "...", leeway: int = 5
) -> JSON:
    """Return a text cut to a length, at a space unless *killwords*; a few characters too many are left."""
    if length < len(end):
        raise Fault(f"truncate() can't cut to {length} characters, {end!r} is longer")
    if len(value) <= length + max(0, leeway):
        return value
    cut = value[: length - len(end)]
    return built(frame, (cut if killwords else cut.rsplit(" ", 1)[0]) + end)


@TEXTS.add("wordcount")
def wordcount(frame: Frame, value: str) -> JSON:
    """Return how many words a text has."""
    return len(re.findall(r"\w+", value))


@TEXTS.add("urlencode")
def urlencode(frame: Frame, value: JSON) -> JSON:
    """Return a text, or the names and values of a map, fit for a URL."""
    if type(value) is str:
        frame.build(3 * len(value))
        return urllib.parse.quote(value)
    if type(value) is not dict:
        raise Fault(f"urlencode() wants a text or a map, not {name_type(value)}")
    pairs = [(key, interpolate(frame, part)) for key, part in value.items()]
    frame.build(sum(3 * (len(key) + len(part)) + 2 for key, part in pairs))
    return "&".join(
        f"{urllib.parse.quote(key, safe='')}={urllib.parse.quote(part, safe='')}" for key, part in pairs
    )


@TEXTS.add("basename")
def basename(frame: Frame, path: str) -> JSON:
    """Return what stands behind the last slash of a path."""
    return posixpath.basename(path)


@TEXTS.add("dirname")
def dirname(frame: Frame, path: str) -> JSON:
    """Return what stands before the last slash of a path."""
    return posixpath.dirname(path)


@TEXTS.add("version_compare")
def version_compare(frame: Frame, a: str, b: str) -> JSON:
    """Return -1, 0 or 1: the first version is lower, equal or higher.

    Source: semantic versioning 2.0, section 11; missing numbers are 0, build metadata is left out.
    """
    left, right = _version(a), _version(b)
    return (left > right) - (left < right)


def _version(written: str) -> tuple[list[int], list[tuple[int, int, str]]]:
    found = _VERSION.fullmatch(written.strip()) if len(written) <= 256 else None
    if found is None:
        raise Fault(f"version_compare() can't read {written[:40]!r} as a version")
    numbers = [int(part) for part in found[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    if found[2] is None:
        # A release is higher than each of its pre-releases.
        return numbers, [(2, 0, "")]
    # Numbers are lower than words, and a shorter list than a longer one that begins alike.
    return numbers, [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in found[2].split(".")]
