"""The threads that keep time in a worker process: the clock serves what is due, another one renews the leases.

They are threads of their own, so that no action, however long it blocks, stops them. Neither ends on an error: it
is logged once, and tried again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from dramaturg.actors.outage import Outage
from dramaturg.engine.errors import Unreachable

if TYPE_CHECKING:
    from dramaturg.engine.serve import Host

log = logging.getLogger("dramaturg.clock")

#: Seconds between two renewals of the leases.
RENEWAL: Final = 1.0
#: Seconds between two looks whether another process has written (SQLite without a broker).
WATCH: Final = 0.05
#: Seconds that stopping waits for a turn that is under way.
STOP_TIMEOUT: Final = 5.0


class Loop:
    """A thread that takes one turn after another until it is stopped; may be started again.

    Each turn returns the seconds until the next one.
    """

    def __init__(
        self, name: str, turn: Callable[[], float], *, watch: Callable[[], bool] | None = None
    ) -> None:
        """Prepare; *watch*, asked every `WATCH` seconds, says whether to take the next turn at once."""
        self._name = name
        self._turn = turn
        self._watch = watch
        self._woken = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._outage = Outage(f"The {name}", "trying again", log)

    def start(self) -> None:
        """Start the thread."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"dramaturg-{self._name}", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Take the next turn now."""
        self._woken.set()

    def stop(self) -> None:
        """End the thread; a turn under way is waited for, but not for ever."""
        thread, self._thread = self._thread, None
        self._stopping = True
        self._woken.set()
        if thread is not None:
            thread.join(STOP_TIMEOUT)
            if thread.is_alive():
                log.warning("the %s does not end: it is left behind", self._name)

    def _run(self) -> None:
        me = threading.current_thread()
        # A thread that was left behind must not go on beside a new one.
        while not self._stopping and self._thread is me:
            self._woken.clear()
            try:
                pause = self._turn()
                self._outage.over()
            except Exception as error:  # an error of ours, too, must not stop the time
                pause = self._outage.failed(error, trace=not isinstance(error, Unreachable))
            self._wait(pause)

    def _wait(self, seconds: float) -> None:
        if self._watch is None:
            self._woken.wait(max(seconds, 0))
            return
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self._woken.wait(min(left, WATCH)) or self._changed(self._watch):
                return

    def _changed(self, watch: Callable[[], bool]) -> bool:
        try:
            return watch()
        except Exception:  # the next turn finds out what is wrong, and says so
            return False


def make_clock(host: Host, *, watch: bool) -> Loop:
    """Return the loop that serves what is due; *watch* for what other processes write, where no broker tells."""
    return Loop("clock", host.tick, watch=host.changed if watch else None)


def make_leases(host: Host) -> Loop:
    """Return the loop that renews the leases of what this process runs, and learns what to cancel."""

    def renew() -> float:
        host.renew()
        return RENEWAL

    return Loop("leases", renew)
