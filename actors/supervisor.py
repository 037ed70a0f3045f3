"""Keeps Dramatiq's command line running: when one of its processes dies, it stops all the others and exits.

The child is a session of its own: Ctrl-C in a terminal reaches only us, and we pass it on once (a second signal
makes Dramatiq's workers exit at once, in the middle of what they do).
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Final

log = logging.getLogger("dramaturg.supervisor")

#: Seconds until a child that ended is started again, doubling from the first to the last.
FIRST_DELAY, LAST_DELAY = 0.5, 30.0
#: Seconds after which a child has proven itself: the delay begins anew.
PROVEN: Final = 30.0
#: Seconds between two looks at the child.
LOOK: Final = 0.2


@contextlib.contextmanager
def on_signals(act: Callable[[int], None]) -> Iterator[None]:
    """Call *act* with SIGTERM and SIGINT, as long as the context lasts; only in the main thread."""

    def handle(signum: int, _frame: FrameType | None) -> None:
        act(signum)

    before = {signum: signal.signal(signum, handle) for signum in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


class Supervisor:
    """Runs a command until told to stop by SIGTERM or SIGINT; a second signal kills it."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], *, patience: float) -> None:
        """Prepare; *patience*: seconds that the child gets to end when it was asked to."""
        self._command = list(command)
        self._environment = dict(environment)
        self._patience = patience
        self._signals = 0
        self._told = threading.Event()

    def run(self) -> int:
        """Run until told to stop; return the exit code."""
        with on_signals(self._on_signal):
            delay = FIRST_DELAY
            while not self._told.is_set():
                started = time.monotonic()
                code = self._run_once()
                if self._told.is_set():
                    break
                delay = FIRST_DELAY if time.monotonic() - started > PROVEN else delay
                log.error("the workers ended (exit code %s): started again in %.1f s", code, delay)
                self._told.wait(delay)
                delay = min(2 * delay, LAST_DELAY)
        return 0

    def _on_signal(self, _signum: int) -> None:
        self._signals += 1
        self._told.set()

    def _run_once(self) -> int | None:
        child = subprocess.Popen(self._command, env=self._environment, start_new_session=True)
        asked: float | None = None
        try:
            while child.poll() is None:
                if asked is None and self._told.is_set():
                    child.send_signal(signal.SIGTERM)
                    asked = time.monotonic()
                if asked is not None and (self._signals > 1 or time.monotonic() - asked > self._patience):
                    break
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(LOOK)
        finally:
            self._clear(
                child, self._patience if child.returncode is not None and not self._told.is_set() else 0
            )
        return child.returncode

    def _clear(self, child: subprocess.Popen[bytes], patience: float) -> None:
        """End what is left of the child's process group: asked first, if there is *patience*, then killed."""
        deadline = time.monotonic() + patience
        signum: int = signal.SIGTERM if patience else signal.SIGKILL
        while _signal_group(child.pid, signum):
            child.poll()
            signum = signal.SIGKILL if time.monotonic() > deadline else 0
            time.sleep(0.05)
        child.wait()


def _signal_group(group: int, signum: int) -> bool:
    """Send a signal to a process group (0: none, only look); say whether there is one."""
    try:
        os.killpg(group, signum)
    except (ProcessLookupError, PermissionError):
        return False
    return True
