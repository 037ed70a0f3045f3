"""Arithmetic on the times that an advance is given: text in, text out, no clock (LANGUAGE 11: ISO 8601 in UTC)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def later(now: str, seconds: float) -> str:
    """Return the time so many seconds after `now`, with microseconds and a Z."""
    try:
        moment = datetime.fromisoformat(now) + timedelta(seconds=seconds)
    except OverflowError:
        moment = datetime.max.replace(tzinfo=UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds_until(now: str, moment: str) -> float:
    """Return the seconds from `now` to `moment`, 0 if that is past; a time without a zone is in UTC.

    Raises:
        ValueError: `moment` is no time.
    """
    then = datetime.fromisoformat(moment)
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.fromisoformat(now)).total_seconds())
