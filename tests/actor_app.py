"""`dramaturg worker` on a broker with a host that notes what it serves in a file: a program for tests.

``python -m actor_app FILE`` runs the supervisor; Dramatiq's command line calls `boot` in each process below it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from actor_fakes import FakeHost

from dramaturg.actors import worker
from dramaturg.engine.config import load_settings

FILE = "ACTOR_APP_FILE"


def note(line: str) -> None:
    """Append a line to the file of the test, whole whoever else writes."""
    with open(os.environ[FILE], "ab", buffering=0) as file:
        file.write(f"{line}\n".encode())


class NotingHost(FakeHost):
    """Notes its pid with each key; a key above 1000 takes that many milliseconds less 1000."""

    def serve_one(self, execution_id: int) -> None:
        note(f"begin {execution_id} {os.getpid()}")
        time.sleep(max(execution_id - 1000, 0) / 1000)
        note(f"end {execution_id} {os.getpid()}")

    def drain(self, timeout: float = 0.0) -> None:
        note(f"drain {os.getpid()}")

    def close(self) -> None:
        note(f"close {os.getpid()}")


class NoService:
    """Stands in for the database."""

    def host(self, *, in_process: bool) -> Any:
        note(f"boot {os.getpid()}")
        return NotingHost()

    def close(self) -> None:
        pass


def boot() -> None:
    """Be the app factory."""
    worker.open_service = lambda _settings: NoService()  # type: ignore[assignment, return-value]
    worker.boot()


def main() -> int:
    """Run two processes of two threads each."""
    os.environ[FILE] = str(Path(sys.argv[1]))
    worker.open_service = lambda _settings: NoService()  # type: ignore[assignment, return-value]
    command = worker.worker_command

    def ours(*args: Any) -> list[str]:
        return [part.replace("dramaturg.actors.worker:boot", "actor_app:boot") for part in command(*args)]

    worker.worker_command = ours
    return worker.run_worker(load_settings(), ["default"], processes=2, threads=2)


if __name__ == "__main__":
    sys.exit(main())
