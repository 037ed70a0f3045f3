"""kill -9 of `dramaturg run` on SQLite, again and again: the same command with the same id goes on, and ends right."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from actor_fakes import eventually
from machine import Machine, record_of

KILLS = 20

WORK = """
import json, os, sys, time

given = json.load(sys.stdin)
time.sleep(0.05)
if given["fails"] and os.environ["DRAMATURG_ATTEMPT"] == "1":
    sys.exit("not at the first attempt")
print(json.dumps(given["value"] * 2))
"""

PACK = {
    "pack.yaml": "ref: faults\nversion: 1.0.0\n",
    "actions/work.py": WORK,
    "actions/work.yaml": """\
        ref: faults.work
        runtime: python
        entry_point: work.py
        parameters:
          value: {type: integer, required: true}
          fails: {type: boolean, default: false}
        """,
    "workflows/inner.yaml": """\
        ref: faults.inner
        parameters:
          value: {type: integer, required: true}
        tasks:
          - {name: one, action: faults.work, input: {value: "{{ parameters.value }}"}, next: [{do: two}]}
          - {name: two, action: core.shell, input: {command: "sleep 0.05; echo {{ task.one.result + 1 }}"}}
        output_map: {value: "{{ task.two.result.stdout | trim | int }}"}
        """,
    "workflows/all.yaml": """\
        ref: faults.all
        vars: {turn: 0, turns: [], recovered: false}
        tasks:
          - {name: first, action: faults.work, input: {value: 1}, next: [{do: [left, right, doze]}]}
          - name: left
            action: faults.work
            input: {value: "{{ task.first.result }}", fails: true}
            retry: {count: 2, delay: 0.05}
            next: [{when: succeeded, do: meet}]
          - {name: right, action: faults.inner, input: {value: 10}, next: [{when: succeeded, do: meet}]}
          - {name: doze, action: core.sleep, input: {seconds: 0.4}, next: [{do: meet}]}
          - name: meet
            join: all
            action: core.shell
            input: {command: "sleep 0.05 & wait; echo {{ task.left.result + task.right.result.value }}"}
            next: [{when: succeeded, do: fan}]
          - name: fan
            with_items: [1, 2, 3, 4, 5, 6]
            concurrency: 2
            action: faults.work
            input: {value: "{{ item }}"}
            next: [{when: succeeded, do: turn}]
          - name: turn
            action: faults.work
            input: {value: "{{ turn }}"}
            next:
              - publish: [{turn: "{{ turn + 1 }}"}, {turns: "{{ flat([turns, [result()]]) }}"}]
              - {when: "{{ turn < 3 }}", do: turn}
              - {when: "{{ turn == 3 }}", do: break}
          - name: break
            action: core.shell
            input: {command: "sleep 0.05; exit 3"}
            retry: {count: 1}
            next: [{when: failed, publish: [{recovered: true}], do: last}]
          - {name: last, action: faults.inner, input: {value: 20}}
        output_map:
          left: "{{ task.left.result }}"
          met: "{{ task.meet.result.stdout | trim | int }}"
          fan: "{{ task.fan.result }}"
          turns: "{{ turns }}"
          recovered: "{{ recovered }}"
          last: "{{ task.last.result.value }}"
        """,
    "workflows/stalls.yaml": """\
        ref: faults.stalls
        tasks:
          - name: stall
            action: core.shell
            input: {command: "if [ -e $FAULTS_FOLDER/stall ]; then trap '' TERM; sleep 601 & sleep 601; fi"}
        output_map: {attempts: "{{ task.stall.attempts }}"}
        """,
}
OUTPUT = {
    "left": 4,
    "met": 25,
    "fan": [2, 4, 6, 8, 10, 12],
    "turns": [0, 2, 4],
    "recovered": True,
    "last": 41,
}

#: Attempts that were lost twice. Who is lost a fourth time fails: LANGUAGE 4, `on_lost`.
WORN = """SELECT count(*) FROM execution WHERE lost >= 2 AND status IN ('requested', 'running', 'returned')"""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path, PACK) as made:
        yield made


def begin(machine: Machine, run_id: str, ref: str = "faults.all") -> subprocess.Popen[str]:
    """Start the command, and wait until it serves the run."""
    process = machine.start("run", ref, "--id", run_id, "-o", "json")
    eventually(lambda: f"run {run_id} of " in machine.said(process) or process.poll() is not None, 60)
    return process


def check(machine: Machine, process: subprocess.Popen[str], run_id: str) -> None:
    code, stdout, stderr = machine.ended(process)
    assert code == 0, stderr
    assert record_of(stdout)["output"] == OUTPUT
    record = machine.ended_right(run_id)
    assert (record["status"], record["output"]) == ("succeeded", OUTPUT)
    assert len(machine.nested(run_id)) == 2


def killed_after(seconds: float, machine: Machine, process: subprocess.Popen[str]) -> bool:
    """Kill a process after so many seconds, or when no attempt is worn any more; say whether it had not ended before."""
    moment = time.monotonic() + seconds
    eventually(
        lambda: (time.monotonic() >= moment and not worn(machine)) or process.poll() is not None, seconds + 60
    )
    process.kill()
    return process.wait() == -signal.SIGKILL


def worn(machine: Machine) -> bool:
    if not machine.database_file.exists():
        return False
    with closing(sqlite3.connect(f"file:{machine.database_file}?mode=ro", uri=True)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'execution'").fetchall()
        return bool(tables and connection.execute(WORN).fetchone()[0])


@pytest.mark.timeout(300)  # it starts 22 processes
def test_killed_at_twenty_moments_it_goes_on_and_ends_right(machine: Machine) -> None:
    """The moments are spread over what the run takes when nobody kills it; a kill adds to the next run if one ended before."""
    process = begin(machine, "unharmed")
    began = time.monotonic()
    process.wait(60)
    duration = time.monotonic() - began
    check(machine, process, "unharmed")

    chance = random.Random(20)
    moments = sorted(chance.uniform(0, duration) for _ in range(KILLS))
    gaps = [later - sooner for sooner, later in zip([0.0, *moments], moments, strict=False)]
    killed = number = 0
    while killed < KILLS:
        number += 1
        run_id = f"killed-{number}"
        while killed < KILLS:
            process = begin(machine, run_id)
            if not killed_after(gaps[killed], machine, process):
                break  # it had ended
            killed += 1
        else:
            process = begin(machine, run_id)
        check(machine, process, run_id)
        machine.nothing_lives()
    # Most of them hit the same run.
    assert number <= 3


def test_killed_while_it_starts(machine: Machine) -> None:
    """Before and while there is a database, tables, a run: whatever is there, the next one goes on."""
    began = time.monotonic()
    process = begin(machine, "unharmed")
    duration = time.monotonic() - began
    check(machine, process, "unharmed")
    machine.remove_database()
    for share in (0.5, 0.7, 0.8, 0.9, 1.0):
        process = machine.start("run", "faults.all", "--id", "early", "-o", "json")
        killed_after(share * duration, machine, process)
    check(machine, machine.start("run", "faults.all", "--id", "early", "-o", "json"), "early")
    machine.nothing_lives()


def test_nothing_outlives_a_killed_process(machine: Machine) -> None:
    """What an action has started goes with it, at once; and the attempt is made again."""
    (machine.folder / "stall").touch()
    process = begin(machine, "stalls", "faults.stalls")
    eventually(lambda: len([line for line in machine.alive() if " sleep 601" in line]) == 2)
    process.kill()
    process.wait()
    machine.nothing_lives(5)
    (machine.folder / "stall").unlink()
    code, stdout, stderr = machine.run("run", "faults.stalls", "--id", "stalls", "-o", "json")
    assert (code, record_of(stdout)["output"]) == (0, {"attempts": 2}), stderr
    machine.ended_right("stalls")
    machine.nothing_lives()
