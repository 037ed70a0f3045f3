"""`dramaturg worker` with a broker: Dramatiq's command line, kept running, stopped in time, never orphaned."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from actor_fakes import Send, eventually

from dramaturg.actors.tasks import Dispatcher

TESTS = Path(__file__).parents[2]


class Workers:
    """The program of `actor_app`, and what its processes have noted."""

    def __init__(self, url: str, folder: Path) -> None:
        self.file = folder / "notes"
        self.log = folder / "log"
        environment = {
            **os.environ,
            "DRAMATURG_BROKER_URL": url,
            "PYTHONPATH": str(TESTS),
            "DRAMATURG_GRACE": "1",
        }
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "actor_app", str(self.file)]
            self.process = subprocess.Popen(command, env=environment, stderr=log, stdout=log, cwd=folder)

    def notes(self, word: str) -> list[tuple[int, ...]]:
        """Return the numbers noted with a word."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [tuple(int(n) for n in line.split()[1:]) for line in lines if line.split()[0] == word]

    @property
    def booted(self) -> list[int]:
        return [note[0] for note in self.notes("boot")]


def lives(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def workers(redis_database: str, tmp_path: Path) -> Iterator[Workers]:
    made = Workers(redis_database, tmp_path)
    yield made
    made.process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        made.process.wait(30)
    made.process.kill()
    made.process.wait()
    left = [pid for pid in made.booted if lives(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == [], made.log.read_text()[-3000:]


def test_all_processes_serve_and_a_signal_ends_them_gently(
    workers: Workers, make: Callable[..., object]
) -> None:
    eventually(lambda: len(workers.booted) == 2)
    send = Dispatcher(make()).send  # type: ignore[arg-type]
    send([Send("task", n) for n in range(100)])
    eventually(lambda: len(workers.notes("end")) == 100)
    send([Send("task", 1300)])
    eventually(lambda: len(workers.notes("begin")) == 101)
    workers.process.send_signal(signal.SIGINT)
    assert workers.process.wait(30) == 0
    # The one that was running ended, and each process said goodbye.
    assert sorted(key for key, _ in workers.notes("end")) == [*range(100), 1300]
    assert sorted(pid for (pid,) in workers.notes("close")) == sorted(workers.booted)


def test_when_a_process_is_killed_they_are_started_again(
    workers: Workers, make: Callable[..., object]
) -> None:
    eventually(lambda: len(workers.booted) == 2)
    os.kill(workers.booted[0], signal.SIGKILL)
    eventually(lambda: len(workers.booted) == 4, 40)
    assert not any(lives(pid) for pid in workers.booted[:2])
    Dispatcher(make()).send([Send("task", 1)])  # type: ignore[arg-type]
    eventually(lambda: workers.notes("end"))


def test_no_process_outlives_a_killed_supervisor(workers: Workers) -> None:
    eventually(lambda: len(workers.booted) == 2)
    # Before the signal handlers are there, Dramatiq's processes would just die.
    eventually(lambda: workers.log.read_text().count("ready for action") == 2)
    workers.process.kill()
    workers.process.wait()
    eventually(lambda: not any(lives(pid) for pid in workers.booted), 40)
    assert len(workers.notes("close")) == 2


def test_no_process_outlives_a_killed_master(workers: Workers) -> None:
    eventually(lambda: workers.log.read_text().count("ready for action") == 2)
    first = workers.booted
    master = int(Path(f"/proc/{first[0]}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(master, signal.SIGKILL)
    eventually(lambda: len(workers.booted) == 4, 40)
    assert not any(lives(pid) for pid in first)


def test_without_a_broker_that_answers_it_ends_at_once_with_one_line(tmp_path: Path) -> None:
    workers = Workers("redis://127.0.0.1:1/0", tmp_path)
    started = time.monotonic()
    assert workers.process.wait(60) == 1
    assert time.monotonic() - started < 60
    assert "Unreachable: broker redis://127.0.0.1:1/0: " in workers.log.read_text()
    assert workers.booted == []
