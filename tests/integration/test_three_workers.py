"""Three `dramaturg worker` processes on PostgreSQL and Redis share 100 runs, and do each task once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from actor_fakes import eventually
from scenarios import SCENARIOS, Scenario

from dramaturg import Client
from dramaturg.engine.config import load_settings
from dramaturg.engine.service import Service

RUNS, WORKERS, MARKS = 100, 3, 50
#: Seconds for anything that is waited for; what comes late is a fault.
PATIENCE = 120

DRAMATURG = Path(sys.executable).with_name("dramaturg")

#: Every way through timeline_demo whose attempts are the same each time.
TIMELINES = [s for s in SCENARIOS if s.ref == "examples.timeline_demo" and not s.racing]

#: A witness outside the database: each item adds a line to a file when it is done.
PACK = "ref: marks\nlabel: Marks\nversion: '1'\n"
MARK = """
ref: marks.many
parameters:
  file: {type: string, required: true}
  items: {type: integer, required: true}
tasks:
  mark:
    with_items: "{{ range(parameters.items) | list }}"
    action: core.shell
    input: {command: "echo {{ item }} >> '{{ parameters.file }}'"}
"""


class Workers:
    """The processes, in sessions of their own, and what they print."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DRAMATURG_")}
        ours = {f"DRAMATURG_{name.upper()}": value for name, value in settings.items()}
        self.logs = [folder / f"worker-{number}" for number in range(WORKERS)]
        self.processes = [self._start(log, {**kept, **ours}) for log in self.logs]

    def _start(self, log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with log.open("wb") as stream:
            command = [str(DRAMATURG), "worker", "--threads", "4"]
            return subprocess.Popen(
                command, env=environment, cwd=log.parent, stdout=stream, stderr=stream, start_new_session=True
            )

    def printed(self) -> str:
        """Return the end of what each has printed."""
        return "\n".join(f"{log.name}:\n{log.read_text()[-2000:]}" for log in self.logs)

    def below(self) -> dict[int, list[int]]:
        """Return the processes that live, by the process above each."""
        found: dict[int, list[int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                state, parent = stat.read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    found.setdefault(int(parent), []).append(int(stat.parent.name))
        return found

    def family(self) -> list[int]:
        """Return the processes that live, with all below them."""
        below, family = self.below(), [process.pid for process in self.processes if process.poll() is None]
        for pid in family:
            family.extend(below.get(pid, ()))
        return family

    def stop(self) -> list[int | None]:
        """Ask all to stop; return their exit codes."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
        return [process.returncode for process in self.processes]

    def kill(self) -> None:
        """End whatever is left."""
        for pid in self.family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.wait()


@pytest.fixture
def settings(tmp_path: Path, postgres_database: str, redis_database: str) -> dict[str, str]:
    """What client and workers are told: an empty database, in which the packs are registered."""
    (tmp_path / "packs" / "marks" / "workflows").mkdir(parents=True)
    (tmp_path / "packs" / "marks" / "pack.yaml").write_text(PACK)
    (tmp_path / "packs" / "marks" / "workflows" / "many.yaml").write_text(MARK)
    given = {
        "database_url": postgres_database,
        "broker_url": redis_database,
        "packs": str(tmp_path / "packs"),
    }
    service = Service.open(load_settings(**given), migrate=True)
    service.register()
    service.close()
    return given


@pytest.fixture
def workers(tmp_path: Path, settings: dict[str, str]) -> Iterator[Workers]:
    """The three workers, ready to serve."""
    made = Workers(tmp_path, settings)
    try:
        eventually(lambda: all("ready for action" in log.read_text() for log in made.logs), PATIENCE)
        yield made
    finally:
        made.kill()


def attempts_of(history: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """Return (task, visit, item, attempt) of every attempt that began and of every item that ended."""
    began: Counter[tuple[Any, ...]] = Counter()
    for event in history:
        place = event.get("task"), event.get("visit")
        if event["type"] == "attempt_started":
            began[(*place, event.get("item"), event["attempt"])] += 1
        elif event["type"] == "items_completed":
            began.update((*place, item, attempt) for item, attempt, _ in event["data"]["items"])
    return began


def wanted_attempts(scenario: Scenario) -> Counter[tuple[Any, ...]]:
    """Return what `attempts_of` is to return: one attempt of each task and item, but of the build as many as it takes."""
    of = dict.fromkeys(scenario.visits, 1) | {"build": scenario.output["build_attempts"]}
    del of["test"]
    single = [(task, 1, None, attempt) for task, count in of.items() for attempt in range(1, count + 1)]
    items = [("test", 1, item, 1) for item in range(len(scenario.output["tested"]))]
    return Counter([*single, *items])


@pytest.mark.timeout(300)  # on two cores that others use, too
def test_three_workers_share_a_hundred_runs(
    settings: dict[str, str], workers: Workers, tmp_path: Path
) -> None:
    """Each ends as it should, each task ran once, the history equals the tables; then all go when told."""
    marks = tmp_path / "marks"
    runs = {f"run-{number}": TIMELINES[number % len(TIMELINES)] for number in range(RUNS)}
    served: set[str] = set()
    with Client(**settings) as client:
        service = client.service
        client.start("marks.many", {"file": str(marks), "items": MARKS}, id="marks")
        for name, scenario in runs.items():
            client.start(scenario.ref, scenario.parameters, id=name)
        for name, scenario in runs.items():
            record, history = service.wait(name, PATIENCE), service.history(name)
            assert scenario.seen(record, history) == scenario.wanted, name
            assert attempts_of(history) == wanted_attempts(scenario), name
            assert service.verify(name) == []
            served |= {event["data"]["worker"] for event in history if event["type"] == "attempt_started"}
        assert service.wait("marks", PATIENCE)["status"] == "succeeded"
        assert service.verify("marks") == []
    assert sorted(int(line) for line in marks.read_text().split()) == list(range(MARKS))
    assert len(served) == WORKERS, "not all of them took part"

    family = workers.family()
    assert len(family) >= 2 * WORKERS
    assert workers.stop() == [0] * WORKERS, workers.printed()
    living = {pid for pids in workers.below().values() for pid in pids}
    assert living.isdisjoint(family)
