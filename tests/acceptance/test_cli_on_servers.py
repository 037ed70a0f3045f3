"""The command line on PostgreSQL and Redis: a deployment step by step, with a worker process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dramaturg.cli.main import cli

PROGRAM = [sys.executable, "-c", "from dramaturg.cli.main import main; main()"]

Run = Callable[..., Result]


@pytest.fixture
def dramaturg(
    tmp_path: Path, postgres_database: str, redis_database: str, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run `dramaturg` against an empty PostgreSQL database and an empty Redis."""
    for name in [name for name in os.environ if name.startswith("DRAMATURG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DRAMATURG_DATABASE_URL", postgres_database)
    monkeypatch.setenv("DRAMATURG_BROKER_URL", redis_database)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, arguments)


@pytest.fixture
def deployed(dramaturg: Run) -> Run:
    """The same, with tables and packs in it."""
    assert dramaturg("db", "upgrade").exit_code == 0
    assert dramaturg("pack", "register").exit_code == 0
    return dramaturg


@pytest.fixture
def worker(deployed: Run) -> Iterator[subprocess.Popen[bytes]]:
    """A running `dramaturg worker`, stopped at the end."""
    command = [*PROGRAM, "worker", "--threads", "4"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield process
    process.send_signal(signal.SIGTERM)
    try:
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_a_deployment_step_by_step(dramaturg: Run) -> None:
    """Each step that is missing is told with the command that makes it."""
    check = dramaturg("db", "check")
    assert (check.exit_code, "db upgrade" in check.stderr) == (7, True)
    early = dramaturg("run", "examples.single_echo")
    assert (early.exit_code, early.stdout) == (7, "")
    assert "db upgrade" in early.stderr
    assert "is now at" in dramaturg("db", "upgrade").stdout
    assert dramaturg("db", "check").exit_code == 0
    unknown = dramaturg("run", "examples.single_echo")
    assert (unknown.exit_code, "pack register" in unknown.stderr) == (6, True)
    assert "examples.single_echo: new revision" in dramaturg("pack", "register").stdout
    assert json.loads(dramaturg("pack", "register", "-o", "json").stdout)["new"] == []
    assert dramaturg("doctor").exit_code == 0


def test_run_waits_for_workers_elsewhere(deployed: Run, worker: subprocess.Popen[bytes]) -> None:
    """It serves nothing itself; the worker does, and the outcome is the same as embedded."""
    done = deployed("run", "examples.timeline_demo", "-p", "seconds=0.05", "-o", "json", "--timeout", "60")
    assert done.exit_code == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["output"]["verdict"] == "released"
    workers = re.findall(r'"worker": "([^"]+)"', deployed("history", record["id"]).stdout)
    assert workers
    assert not any(f":{os.getpid()}:" in name for name in workers)


def test_cancel_reaches_a_worker_elsewhere(deployed: Run, worker: subprocess.Popen[bytes]) -> None:
    """A running process is stopped; `result` ends with exit code 5."""
    arguments = ("-p", "seconds=600", "-p", "limit=600", "--detach", "--id", "long")
    assert deployed("run", "examples.timeout_branch", *arguments).stdout == "long\n"
    deadline = time.monotonic() + 60
    while "● slow_way" not in deployed("show", "long").stdout:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert deployed("cancel", "long").exit_code == 0
    done = deployed("result", "long", "--timeout", "60", "-o", "json")
    assert done.exit_code == 5, done.output
    assert json.loads(done.stdout)["status"] == "cancelled"


def test_without_a_worker_run_says_so(deployed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing happens, and a person is told why; waiting has its end."""
    monkeypatch.setattr("dramaturg.cli.live.QUIET", 0.2)
    done = deployed("run", "examples.single_echo", "--id", "w", "--timeout", "2")
    assert done.exit_code == 4
    assert "is a worker running?" in done.stderr
    assert "--id w" in done.stderr
