"""The watchdog: a child of a worker that kills the worker's processes and removes its files when the worker is gone.

Run by its path with ``python -I -S``, once a worker process: it must import nothing but the standard library, and as
little of that as it can. `guard.py` is the worker's side and says why it is built like this.

stdin carries lines: ``+GROUP`` watches a process group, ``-GROUP`` forgets it; ``+/HEX`` and ``-/HEX`` do the same with
a folder that must not be left behind. The end of stdin, or of the worker, kills every group that is still watched, and
removes the folders.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator


def main(worker: int) -> None:
    """Watch until the worker is gone, then kill what it left behind."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    watched: set[str] = set()
    for line in _lines(worker):
        if line.startswith("+"):
            watched.add(line[1:])
        else:
            watched.discard(line[1:])
    groups = [int(name) for name in watched if not name.startswith("/")]
    for group in groups:
        # At once: another worker may make the attempt again at any moment, and the two must not overlap.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for name in watched:
        if name.startswith("/"):
            _remove(os.fsdecode(bytes.fromhex(name[1:])))


def _remove(folder: str) -> None:
    """Remove a folder with all that is in it."""
    for place, folders, files in os.walk(folder, topdown=False):
        for name in (*files, *folders):
            path = os.path.join(place, name)
            with contextlib.suppress(OSError):
                if os.path.isdir(path) and not os.path.islink(path):
                    os.rmdir(path)
                else:
                    os.unlink(path)
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def _lines(worker: int) -> Iterator[str]:
    """Yield what the worker wrote, all of it, until it is gone."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    gone = _death_of(worker)
    if gone is not None:
        poll.register(gone, select.POLLIN)
    rest = b""
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if 0 in ready:  # before the worker's end: what it wrote last still counts
            data = os.read(0, 65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            yield from (line.decode() for line in lines)
        elif gone in ready:
            return


def _death_of(worker: int) -> int | None:
    """Return a descriptor that is readable when the worker has ended, where the system has such a thing.

    The end of stdin says the same, but late: a process that the worker forked holds the other end, too.
    """
    try:
        return os.pidfd_open(worker) if os.getppid() == worker else None
    except (AttributeError, OSError):
        return None


if __name__ == "__main__":
    main(int(sys.argv[1]))
