"""Times as the tables hold them (microseconds since 1970, UTC) and as people read them (ISO 8601 with a Z)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Microseconds in a second.
SECOND = 1_000_000


def iso(at: int) -> str:
    """Return ``2026-01-31T12:00:00.000000Z``."""
    return (_EPOCH + timedelta(microseconds=at)).isoformat(timespec="microseconds")[:-6] + "Z"


def iso_or_none(at: int | None) -> str | None:
    """Return the text, or None where there is no time."""
    return None if at is None else iso(at)


def micros(text: str) -> int:
    """Return the number of an ISO 8601 time; without a zone it is UTC.

    Raises:
        ValueError: the text is no time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)
