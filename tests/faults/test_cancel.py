"""`dramaturg cancel` from another process: what runs is stopped within seconds, and nothing is left alive."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from actor_fakes import eventually
from machine import Machine, record_of

#: Seconds within which a cancel has stopped everything, and more for a machine that is busy with other things; the
#: actions would take ten minutes.
PROMISED = 5.0 + 10.0

PACK = {
    "pack.yaml": "ref: faults\nversion: 1.0.0\n",
    "actions/stall.py": """\
        import subprocess, sys, time

        subprocess.Popen(["sleep", "602"])
        time.sleep(602)
        """,
    "actions/stall.yaml": "ref: faults.stall\nruntime: python\nentry_point: stall.py\n",
    "workflows/inner.yaml": """\
        ref: faults.inner
        tasks:
          - {name: children, action: faults.stall}
          - {name: deaf, action: core.shell, input: {command: "trap '' TERM; sleep 602 & sleep 602; sleep 602"}}
          - {name: waits, action: core.sleep, input: {seconds: 602}}
        """,
    "workflows/outer.yaml": """\
        ref: faults.outer
        tasks:
          - {name: down, action: faults.inner}
          - {name: beside, action: core.shell, input: {command: "sleep 602 | sleep 602"}}
        """,
}

#: Processes that wait when all is under way: of `children` (with its own), `deaf`, `beside`.
STALLED = 2 + 2 + 2


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    with ExitStack() as ending:
        yield lambda **settings: ending.enter_context(Machine(tmp_path, PACK, grace="1", **settings))


def stalled(machine: Machine) -> int:
    return sum("sleep 602" in line or "stall.py" in line for line in machine.alive())


def cancel(machine: Machine, run_id: str) -> None:
    """Cancel a run from another process, and see everything that runs go."""
    code, _, stderr = machine.run("cancel", run_id)
    assert code == 0, stderr
    eventually(lambda: stalled(machine) == 0, PROMISED)


def check(machine: Machine, run_id: str) -> None:
    eventually(lambda: machine.status(run_id) == "cancelled", 60)
    machine.ended_right(run_id)
    (inner,) = machine.nested(run_id)
    assert machine.service.status(inner) == "cancelled"
    tasks = {task["task"]: task["status"] for run in (run_id, inner) for task in machine.service.tasks(run)}
    assert tasks == dict.fromkeys(("down", "beside", "children", "deaf", "waits"), "cancelled")


def test_a_cancel_stops_a_run_of_another_process(make: Callable[..., Machine]) -> None:
    """On SQLite: there is no broker that could tell."""
    machine = make()
    process = machine.start("run", "faults.outer", "--id", "stalls", "-o", "json")
    eventually(lambda: stalled(machine) == STALLED, 60)
    cancel(machine, "stalls")
    code, stdout, stderr = machine.ended(process)
    assert code == 5, stderr
    assert record_of(stdout)["status"] == "cancelled"
    check(machine, "stalls")
    machine.nothing_lives()


def test_a_cancel_stops_a_run_of_workers(
    make: Callable[..., Machine], postgres_database: str, redis_database: str
) -> None:
    """On Postgres and Redis, with more waiting than there are threads, and the asking process far from the worker."""
    machine = make(database_url=postgres_database, broker_url=redis_database)
    machine.service.register()
    worker = machine.start("worker", "--threads", "3")
    for run_id in ("stalls", "waits"):
        assert machine.run("run", "faults.outer", "--id", run_id, "--detach")[0] == 0
        if run_id == "stalls":
            eventually(lambda: stalled(machine) == STALLED, 60)
    # What waits for a thread is cancelled at once, and nothing else is.
    assert machine.run("cancel", "waits")[0] == 0
    eventually(lambda: machine.status("waits") == "cancelled", 60)
    assert stalled(machine) == STALLED
    cancel(machine, "stalls")
    for run_id in ("stalls", "waits"):
        check(machine, run_id)
    worker.send_signal(signal.SIGTERM)
    assert machine.ended(worker)[0] == 0
    machine.nothing_lives()


def test_a_terminated_process_takes_its_actions_along(make: Callable[..., Machine]) -> None:
    """SIGTERM to `run`: the run stands as it is, what ran is stopped, within the grace."""
    machine = make()
    process: subprocess.Popen[str] = machine.start("run", "faults.outer", "--id", "stalls")
    eventually(lambda: stalled(machine) == STALLED, 60)
    os.kill(process.pid, signal.SIGTERM)
    code, _, stderr = machine.ended(process)
    assert code == 130, stderr
    machine.nothing_lives()
    assert machine.status("stalls") == "running"
    # Nobody serves it now: the cancel is stored, and carried out by who serves it next.
    assert machine.run("cancel", "stalls")[0] == 0
    assert machine.run("run", "faults.outer", "--id", "stalls")[0] == 5
    check(machine, "stalls")
