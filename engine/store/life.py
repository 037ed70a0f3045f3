"""A worker's life on SQLite: an OS lock on a file beside the database (DESIGN 6).

The lock is gone when the process is, however it ended and whatever takes its pid; so what it was running passes on at
once instead of after a lease. On a server database, and in memory, leases alone decide.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import IO

from dramaturg.engine.store.database import Database
from dramaturg.engine.store.due import Clock

try:
    import fcntl
except ImportError:  # Windows: leases decide
    fcntl = None  # type: ignore[assignment]


class LifeLock:
    """Holds this worker's lock from the first `hold` on; asks whether others hold theirs."""

    def __init__(self, database: Database, worker: str) -> None:
        self.worker = worker
        file = database.file
        self._folder = None if file is None or fcntl is None else file.with_name(file.name + ".workers")
        self._held: IO[str] | None = None
        self._holding = threading.Lock()

    @property
    def kept(self) -> bool:
        """Say whether lives are kept by locks here."""
        return self._folder is not None

    def hold(self) -> None:
        """Take this worker's lock; does nothing the second time."""
        if self._folder is None or self._held is not None:
            return
        with self._holding:
            if self._held is None:
                self._folder.mkdir(exist_ok=True)
                held = self._path(self.worker).open("w")
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._held = held

    def is_dead(self, worker: str) -> bool:
        """Say whether a worker of this machine's database is gone for certain."""
        if self._folder is None or worker == self.worker:
            return False
        try:
            with self._path(worker).open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def forget(self, worker: str) -> None:
        """Remove the file of a worker that is gone."""
        self._path(worker).unlink(missing_ok=True)

    def release(self) -> None:
        """Give this worker's lock back."""
        if self._held is not None:
            self._path(self.worker).unlink(missing_ok=True)
            self._held.close()
            self._held = None

    def _path(self, worker: str) -> Path:
        assert self._folder is not None
        return self._folder / (hashlib.sha256(worker.encode()).hexdigest()[:24] + ".lock")


def dead_workers(life: LifeLock, clock: Clock) -> list[str]:
    """Return the workers that are running something and are gone; none where leases alone decide."""
    if not life.kept:
        return []
    life.hold()
    return [worker for worker in clock.workers() if life.is_dead(worker)]
