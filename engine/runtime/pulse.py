"""What one attempt says of itself while it runs, and whether it says it often enough."""

from __future__ import annotations

import logging
import math
import threading
import time

from dramaturg.engine.errors import JSON
from dramaturg.engine.runtime.normalise import Refused, normalise, readable
from dramaturg.engine.runtime.request import ActionRequest, Beat

log = logging.getLogger("dramaturg.runtime")

#: Bytes of JSON that the details of a heartbeat may have.
DETAILS = 64 * 1024
#: Characters kept of a progress message.
MESSAGE = 1000


class Pulse:
    """The signs of life of one attempt; may be used by any thread.

    Heartbeats and progress are both signs of life. Once the action said that it is pending, none is due any more:
    the work is in other hands then.
    """

    def __init__(self, request: ActionRequest) -> None:
        self.last_heartbeat: JSON = request.last_heartbeat
        self.token = request.token
        self._limit = request.heartbeat_timeout
        self._on_beat = request.on_beat
        self._lock = threading.Lock()
        self._open = True
        self._pending = False
        self._beaten = time.monotonic()

    @property
    def pending(self) -> bool:
        """Say whether the attempt is to be completed later, by its token."""
        return self._pending

    @property
    def due(self) -> float | None:
        """Return when the next sign of life is due, on the monotonic clock; None: never."""
        if self._limit is None or self._pending:
            return None
        return self._beaten + self._limit

    def silent(self) -> bool:
        """Say whether a sign of life is overdue."""
        due = self.due
        return due is not None and time.monotonic() >= due

    def beat(self, beat: Beat) -> None:
        """Note a sign of life and pass it on; after the attempt's end it is dropped."""
        with self._lock:
            if not self._open:
                return
            self._beaten = time.monotonic()
            if self._on_beat is not None:
                try:
                    self._on_beat(beat)
                except Exception:
                    log.exception("a heartbeat could not be noted")

    def say_pending(self) -> None:
        """Have the attempt end as pending, should it end without a failure."""
        with self._lock:
            self._pending = self._pending or self._open

    def close(self) -> None:
        """End it: what a thread that was given up says later goes nowhere."""
        with self._lock:
            self._open = False


def checked_beat(
    *, heartbeat: bool, details: object = None, progress: object = None, message: object = None
) -> Beat:
    """Return a sign of life whose values every database can hold.

    Raises:
        ValueError: it can't be one; says what is wrong, and where.
    """
    return Beat(
        heartbeat=heartbeat,
        details=_details(details) if heartbeat else None,
        progress=_fraction(progress),
        message=_message(message),
    )


def _details(details: object) -> JSON:
    try:
        return normalise(details, DETAILS, "heartbeat")
    except Refused as refused:
        raise ValueError(refused.failure.message) from None


def _fraction(progress: object) -> float | None:
    if progress is None:
        return None
    number = isinstance(progress, int | float) and not isinstance(progress, bool)
    if not number or not math.isfinite(progress) or not 0 <= progress <= 1:  # type: ignore[arg-type,operator]
        raise ValueError(f"progress is {progress!r:.50}: a number from 0 to 1 is expected")
    return float(progress)  # type: ignore[arg-type]


def _message(message: object) -> str | None:
    if message is None:
        return None
    if not isinstance(message, str):
        raise ValueError(f"message is a {type(message).__name__}: text is expected")
    return readable(message)[:MESSAGE]
