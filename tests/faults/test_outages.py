"""Servers that are not there, or go away in the middle of a run."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from actor_fakes import eventually
from machine import Machine
from servers import PostgresServer, RedisServer, free_port

PACK = {
    "pack.yaml": "ref: faults\nversion: 1.0.0\n",
    "workflows/steps.yaml": """\
        ref: faults.steps
        tasks:
          - {name: before, action: core.noop, next: [{do: [gate, fan]}]}
          - name: gate
            action: core.shell
            input: {command: "echo >> $FAULTS_FOLDER/begun; until [ -e $FAULTS_FOLDER/go ]; do sleep 0.05; done"}
            next: [{when: succeeded, do: after}]
          - name: fan
            with_items: [1, 2, 3, 4]
            concurrency: 1
            action: core.shell
            input: {command: "until [ -e $FAULTS_FOLDER/go ]; do sleep 0.05; done; echo {{ item }}"}
            next: [{when: succeeded, do: after}]
          - {name: after, join: all, action: core.sleep, input: {seconds: 0.1}, next: [{do: last}]}
          - {name: last, action: core.echo, input: {message: "{{ task.fan.result | map(attribute='stdout') | map('trim') }}"}}
        output_map: {last: "{{ task.last.result.message }}", attempts: "{{ task.gate.attempts }}"}
        """,
}

Make = Callable[..., Machine]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with ExitStack() as ending:
        yield lambda **settings: ending.enter_context(Machine(tmp_path, PACK, grace="1", **settings))


# -- not there ---------------------------------------------------------------------------------------------------------


def one_line(machine: Machine, *arguments: str) -> str:
    """Run a command that finds nobody there: exit 7 within seconds, nothing on stdout, one line on stderr."""
    code, stdout, stderr = machine.run(*arguments)
    assert (code, stdout) == (7, ""), stderr
    (line,) = stderr.splitlines()
    assert "secret" not in line
    return line


@pytest.mark.parametrize("command", ["run faults.steps", "worker", "list"])
def test_no_postgres(make: Make, redis_database: str, command: str) -> None:
    port = free_port()
    url = f"postgresql://somebody:secret@127.0.0.1:{port}/db"
    assert str(port) in one_line(make(database_url=url, broker_url=redis_database), *command.split())


@pytest.mark.parametrize("command", ["run faults.steps", "worker"])
def test_no_redis(make: Make, command: str) -> None:
    port = free_port()
    machine = make(broker_url=f"redis://:secret@127.0.0.1:{port}/0")
    assert str(port) in one_line(machine, *command.split())


@pytest.mark.parametrize("command", ["run faults.steps", "worker", "list"])
def test_a_file_that_is_no_database(make: Make, command: str) -> None:
    """It is left as it is."""
    machine = make()
    machine.database_file.write_text("These are my notes, " * 100)
    assert str(machine.database_file) in one_line(machine, *command.split())
    assert machine.database_file.read_text().startswith("These are my notes")


def test_a_damaged_database(make: Make) -> None:
    machine = make()
    machine.service.register()
    machine.forget()
    content = machine.database_file.read_bytes()
    machine.database_file.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    assert str(machine.database_file) in one_line(machine, "run", "faults.steps")


@pytest.mark.parametrize("command", ["run faults.steps", "worker"])
def test_a_folder_that_cannot_be_made(make: Make, tmp_path: Path, command: str) -> None:
    """A file in the way stands for a missing permission: the tests may run as root."""
    (tmp_path / "file").touch()
    machine = make(database_url=f"sqlite:///{tmp_path}/file/folder/dramaturg.db")
    assert f"{tmp_path}/file" in one_line(machine, *command.split())


def test_a_database_that_is_a_folder(make: Make, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    machine = make(database_url=f"sqlite:///{tmp_path}/folder")
    assert f"{tmp_path}/folder" in one_line(machine, "run", "faults.steps")


# -- going away --------------------------------------------------------------------------------------------------------


class Served:
    """A run that has got to its gate, and the worker that serves it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        machine.service.register()
        self.worker = machine.start("worker", "--threads", "3")
        code, _, stderr = machine.run("run", "faults.steps", "--id", "steps", "--detach")
        assert code == 0, stderr
        eventually(lambda: self.begun == 1, 60)

    @property
    def begun(self) -> int:
        """How often the gate was begun."""
        file = self.machine.folder / "begun"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def go(self) -> None:
        """Let everything that waits end."""
        (self.machine.folder / "go").touch()

    def noticed(self, text: str) -> None:
        """Wait until the worker has said so."""
        eventually(lambda: text in self.machine.said(self.worker), 60)

    def ends_right(self) -> None:
        """See the run end, each task done once, and the worker, the same one, stop when told."""
        self.machine.forget()  # our own connections have seen the outage, too
        eventually(lambda: self.machine.status("steps") == "succeeded", 60)
        record = self.machine.ended_right("steps")
        assert record["output"] == {"last": ["1", "2", "3", "4"], "attempts": 1}
        assert self.begun == 1
        assert self.worker.poll() is None
        assert "started again" not in self.machine.said(self.worker)
        self.worker.send_signal(signal.SIGTERM)
        assert self.machine.ended(self.worker)[0] == 0
        self.machine.nothing_lives()


def test_postgres_is_killed_and_comes_back(
    make: Make, postgres_server: Callable[[], PostgresServer], redis_database: str
) -> None:
    """While it is away the actions end: their results wait for it."""
    server = postgres_server()
    served = Served(make(database_url=server.url, broker_url=redis_database))
    server.kill()
    served.go()
    served.noticed("the result of task gate of run steps waits")
    server.start()
    served.ends_right()


def test_postgres_is_restarted_between_two_steps(
    make: Make, postgres_server: Callable[[], PostgresServer], redis_database: str
) -> None:
    """Connections that were good a moment ago are not."""
    server = postgres_server()
    served = Served(make(database_url=server.url, broker_url=redis_database))
    server.restart()
    served.go()
    served.ends_right()


def test_redis_is_killed_and_comes_back_empty(
    make: Make, postgres_database: str, redis_server: Callable[..., RedisServer]
) -> None:
    """While it is away the steps go on as far as one worker can see them; what it has forgotten is sent again."""
    server = redis_server()
    served = Served(make(database_url=postgres_database, broker_url=server.url))
    server.kill()
    served.noticed("Redis fails")
    served.go()
    server.start()
    served.ends_right()


def test_redis_forgets_a_run_that_waits_for_a_worker(
    make: Make, postgres_database: str, redis_server: Callable[..., RedisServer]
) -> None:
    """The message that it should begin is lost before any worker is there; some clock finds it."""
    server = redis_server()
    machine = make(database_url=postgres_database, broker_url=server.url)
    machine.service.register()
    assert machine.run("run", "faults.steps", "--id", "steps", "--detach")[0] == 0
    server.kill()
    server.start()
    (machine.folder / "go").touch()
    worker = machine.start("worker")
    eventually(lambda: machine.status("steps") == "succeeded", 60)
    machine.ended_right("steps")
    worker.send_signal(signal.SIGTERM)
    assert machine.ended(worker)[0] == 0
    machine.nothing_lives()


# -- two at once -------------------------------------------------------------------------------------------------------


def test_two_processes_run_the_same_run(make: Make) -> None:
    """On SQLite, one id: both end with its outcome, and each task is done once."""
    machine = make()
    both = [machine.start("run", "faults.steps", "--id", "same", "-o", "json") for _ in range(2)]
    eventually(lambda: all("run same of" in machine.said(process) for process in both), 60)
    (machine.folder / "go").touch()
    answers = [machine.ended(process) for process in both]
    assert [code for code, _, _ in answers] == [0, 0], [stderr for _, _, stderr in answers]
    assert answers[0][1] == answers[1][1]
    assert sorted("started" in machine.said(process) for process in both) == [False, True]
    record = machine.ended_right("same")
    assert record["output"] == {"last": ["1", "2", "3", "4"], "attempts": 1}
    assert len((machine.folder / "begun").read_text().splitlines()) == 1
    machine.nothing_lives()


def test_the_other_process_takes_over_at_once(make: Make) -> None:
    """Of two that serve one run on SQLite, one is killed: what it ran is done by the other, without waiting for a lease."""
    machine = make()
    first = machine.start("run", "faults.steps", "--id", "same", "-o", "json")
    eventually(lambda: (machine.folder / "begun").exists(), 60)
    second: subprocess.Popen[str] = machine.start("run", "faults.steps", "--id", "same", "-o", "json")
    eventually(lambda: "goes on" in machine.said(second), 60)
    os.kill(first.pid, signal.SIGKILL)
    eventually(lambda: len((machine.folder / "begun").read_text().splitlines()) == 2)
    (machine.folder / "go").touch()
    assert machine.ended(second)[0] == 0
    assert machine.ended_right("same")["output"] == {"last": ["1", "2", "3", "4"], "attempts": 2}
    machine.nothing_lives()
