"""Tidies up after a test run that died: kills the servers it started and removes their folders.

Run as a process of its own by :mod:`servers`, which writes lines to its standard input. The end of that
input means that the test run is over, however it ended, kill -9 included. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time


def main() -> None:
    """Read ``+process PID``, ``-process PID``, ``+folder PATH``, ``-folder PATH``; tidy up at the end."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    kept: dict[str, list[str]] = {"process": [], "folder": []}
    for line in sys.stdin:
        verb, _, value = line.rstrip("\n").partition(" ")
        known = kept[verb[1:]]
        if verb[0] == "+":
            known.append(value)
        elif value in known:
            known.remove(value)
    for pid in kept["process"]:
        end(int(pid))
    for folder in kept["folder"]:
        shutil.rmtree(folder, ignore_errors=True)


def end(pid: int) -> None:
    """Ask the process group of *pid* to quit at once, and after three seconds make it."""
    # SIGQUIT is how PostgreSQL stops at once and still gives its shared memory back.
    for signum, seconds in ((signal.SIGQUIT, 3.0), (signal.SIGKILL, 1.0)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signum)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)


if __name__ == "__main__":
    main()
