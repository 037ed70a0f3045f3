"""An attempt that this process is making, and what it says of itself meanwhile."""

from __future__ import annotations

import threading

from dramaturg.engine.errors import JSON
from dramaturg.engine.runtime import Stop
from dramaturg.engine.runtime.request import Beat
from dramaturg.engine.step import Claim


class Running:
    """An attempt that a thread of this process is making. What it says is kept until the next note of it."""

    __slots__ = ("_beat", "_lock", "_said", "claim", "handed_back", "stop")

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.stop = Stop()
        self.handed_back = False
        self._lock = threading.Lock()
        #: What is not noted yet; and the last heartbeat of all, which goes with the attempt's end.
        self._said: dict[str, JSON] = {}
        self._beat: JSON = None

    def hear(self, beat: Beat) -> None:
        """Take a heartbeat or a progress report; any thread may call it."""
        with self._lock:
            if beat.heartbeat:
                self._said["heartbeat"] = self._beat = beat.details
            if beat.progress is not None:
                self._said["progress"] = beat.progress
            if beat.message is not None:
                self._said["message"] = beat.message

    def take(self) -> dict[str, JSON]:
        """Return what was said since the last call: {heartbeat, progress, message}, each if it was said."""
        with self._lock:
            said, self._said = self._said, {}
        return said

    @property
    def heartbeat(self) -> JSON:
        """Return the details of the last heartbeat; None: there was none."""
        with self._lock:
            return self._beat
