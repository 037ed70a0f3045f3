"""Says once that something is gone, and once that it is back: an outage is not a thousand lines of log."""

from __future__ import annotations

import logging
import threading
import time


class Outage:
    """Whether *what* is gone at the moment; any thread may report."""

    #: Seconds between tries, doubling from the first to the last.
    FIRST, LAST = 0.05, 1.0

    def __init__(self, what: str, consequence: str, logger: logging.Logger) -> None:
        self._what = what
        self._consequence = consequence
        self._logger = logger
        self._lock = threading.Lock()
        self._since: float | None = None
        self._failures = 0

    def failed(self, error: BaseException, *, trace: bool = False) -> float:
        """Note a failure; return the seconds to wait before the next try. *trace*: log where it happened."""
        with self._lock:
            first = self._since is None
            if first:
                self._since = time.monotonic()
            pause: float = min(self.FIRST * 2 ** min(self._failures, 10), self.LAST)
            self._failures += 1
        if first:
            where = error if trace else None
            self._logger.error(
                "%s fails: %s; %s", self._what, one_line(error), self._consequence, exc_info=where
            )
        return pause

    def over(self) -> None:
        """Note that it works."""
        if self._since is None:
            return
        with self._lock:
            since, self._since, self._failures = self._since, None, 0
        if since is not None:
            self._logger.warning("%s works again after %.1f s", self._what, time.monotonic() - since)


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its class where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
