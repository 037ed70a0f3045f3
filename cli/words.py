"""How times, statuses and errors read: no streams, no terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from dramaturg.engine.errors import JSON

#: How a run or a task can end.
ENDED = frozenset({"succeeded", "failed", "timed_out", "cancelled", "skipped"})

#: status -> (sign, sign where only ASCII can be shown, style)
SIGNS: Mapping[str, tuple[str, str, str]] = {
    "succeeded": ("✓", "+", "green"),
    "failed": ("✗", "x", "red"),
    "timed_out": ("◷", "t", "magenta"),
    "cancelled": ("⊘", "c", "yellow"),
    "skipped": ("–", "-", "dim"),
    "running": ("●", "*", "cyan"),
    "returned": ("●", "*", "cyan"),
    "lost": ("●", "*", "yellow"),
    "cancelling": ("●", "*", "yellow"),
    "waiting": ("◌", "~", "blue"),
    "paused": ("◌", "~", "yellow"),
    "scheduled": ("○", ".", "dim"),
    "requested": ("○", ".", "dim"),
}

#: The exit code that a run's end gives (DESIGN 8).
EXIT_CODES: Mapping[str, int] = {"succeeded": 0, "failed": 1, "timed_out": 4, "cancelled": 5}


def sign(status: str, signs: Literal["unicode", "ascii"] = "unicode") -> str:
    """Return the sign of a status."""
    known = SIGNS.get(status, ("?", "?", ""))
    return known[0] if signs == "unicode" else known[1]


def style(status: str) -> str:
    """Return the colour of a status."""
    return SIGNS.get(status, ("?", "?", ""))[2]


def spoken(status: str) -> str:
    """Return a status as a person would write it."""
    return status.replace("_", " ")


def moment(text: str | None) -> datetime | None:
    """Read a time of the engine's: ISO 8601, UTC."""
    if not text:
        return None
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def now() -> datetime:
    """Return this machine's time, to show how long something has been running; nothing is decided by it."""
    return datetime.fromtimestamp(time.time(), UTC)


def seconds_between(start: str | None, end: str | None, now: datetime) -> float | None:
    """Return how long something took, or has taken until now; None if it has not started.

    Clocks of two machines may differ: a time that seems to come is shown as 0.
    """
    begun = moment(start)
    if begun is None:
        return None
    return max(0.0, ((moment(end) or now) - begun).total_seconds())


def duration(seconds: float | None) -> str:
    """Return a length of time in at most eight characters: 0.21s, 3.4s, 2m05s, 1h02m, 3d04h."""
    if seconds is None:
        return ""
    if seconds < 9.995:
        return f"{seconds:.2f}s"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02d}h"


def clock(text: str | None) -> str:
    """Return a time without its fraction: 2026-03-01 12:00:05Z."""
    read = moment(text)
    return read.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if read else ""


def instant(text: str | None) -> str:
    """Return a time with milliseconds: 2026-03-01 12:00:05.250Z."""
    read = moment(text)
    return f"{read.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{read.microsecond // 1000:03d}Z" if read else ""


def failure(error: Mapping[str, JSON] | None) -> str:
    """Return an error object in one line: type, message, and where."""
    if not error:
        return ""
    where = ", ".join(
        f"{name} {error[name]}"
        for name in ("task", "visit", "item", "attempt")
        if _tells(name, error.get(name))
    )
    return f"{error.get('type')}: {error.get('message')}" + (f" ({where})" if where else "")


def brief(error: Mapping[str, JSON]) -> str:
    """Return the type of an error and the first line of its message."""
    message = str(error.get("message") or "").strip()
    first = message.splitlines()[0] if message else ""
    return f"{error.get('type')}: {first}" if first else str(error.get("type"))


def _tells(name: str, value: JSON) -> bool:
    # The first visit and the first attempt are what everybody expects.
    return value is not None and not (name in ("visit", "attempt") and value == 1)


def counted(number: int, thing: str) -> str:
    """Return `1 problem`, `2 problems`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
