"""Keeping a command running: started again when it ends, stopped when we are told, and nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from actor_fakes import eventually

Start = Callable[..., subprocess.Popen[bytes]]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Start]:
    """Run a supervisor, in a process of its own, of a child with the given body; each child notes its pid."""
    made: list[subprocess.Popen[bytes]] = []

    def start(body: str, patience: float = 20.0) -> subprocess.Popen[bytes]:
        child = "import os, signal, sys, time, subprocess\n" + textwrap.dedent(body)
        note = f"open({str(tmp_path / 'pids')!r}, 'a').write(str(os.getpid()) + chr(10))\n"
        program = (
            "import sys\n"
            "from dramaturg.actors import supervisor as s\n"
            "s.FIRST_DELAY = 0.05\n"
            "import os\n"
            f"child = [sys.executable, '-c', {child.replace('NOTE', note)!r}]\n"
            f"sys.exit(s.Supervisor(child, os.environ, patience={patience}).run())\n"
        )
        made.append(subprocess.Popen([sys.executable, "-c", program]))
        return made[-1]

    yield start
    for process in made:
        process.kill()
        process.wait()
    for pid in pids(tmp_path):
        if lives(pid):
            os.kill(pid, signal.SIGKILL)


def pids(folder: Path) -> list[int]:
    file = folder / "pids"
    return [int(line) for line in file.read_text().split("\n")[:-1]] if file.exists() else []


def test_a_command_that_ends_is_started_again(supervise: Start, tmp_path: Path) -> None:
    process = supervise("NOTE")
    eventually(lambda: len(pids(tmp_path)) >= 3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_asks_the_command_once_and_waits(
    signum: int, supervise: Start, tmp_path: Path
) -> None:
    process = supervise(
        f"""
        told = []
        signal.signal(signal.SIGTERM, lambda *_: told.append(1))
        NOTE
        while not told:
            time.sleep(0.01)
        time.sleep(0.3)
        open({str(tmp_path / "told")!r}, "w").write(str(len(told)))
        """
    )
    eventually(lambda: pids(tmp_path))
    process.send_signal(signum)
    assert process.wait(20) == 0
    assert (tmp_path / "told").read_text() == "1"
    assert len(pids(tmp_path)) == 1


DEAF = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    NOTE
    time.sleep(600)
NOTE
time.sleep(600)
"""


def test_a_command_that_does_not_end_is_killed_with_all_its_processes(
    supervise: Start, tmp_path: Path
) -> None:
    process = supervise(DEAF, patience=0.2)
    eventually(lambda: len(pids(tmp_path)) == 2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    eventually(lambda: not any(lives(pid) for pid in pids(tmp_path)))


def test_a_second_signal_kills_at_once(supervise: Start, tmp_path: Path) -> None:
    process = supervise(DEAF, patience=600)
    eventually(lambda: len(pids(tmp_path)) == 2)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    eventually(lambda: not any(lives(pid) for pid in pids(tmp_path)))


def test_what_a_killed_command_left_running_is_ended_before_the_next_start(
    supervise: Start, tmp_path: Path
) -> None:
    process = supervise(
        """
        if os.fork() == 0:
            NOTE
            time.sleep(600)
        NOTE
        time.sleep(600)
        """
    )
    eventually(lambda: len(pids(tmp_path)) == 2)
    first = pids(tmp_path)
    leader = next(pid for pid in first if os.getpgid(pid) == pid)
    os.kill(leader, signal.SIGKILL)
    eventually(lambda: len(pids(tmp_path)) == 4)
    assert not any(lives(pid) for pid in first)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
