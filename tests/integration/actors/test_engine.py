"""The actors with the real engine: an end to end run, a cancel while every thread is busy, a worker that stops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from actor_fakes import eventually, our_threads

from dramaturg import Client, RunCancelled, Worker

PACK = "ref: stalls\nlabel: Stalls\nversion: '1.0'\n"
WORKFLOW = """
ref: stalls.many
label: Many
version: "1.0.0"
parameters:
  seconds: {type: number, required: true}
  flag: {type: string, required: true}
tasks:
  - name: wait
    with_items: [1, 2, 3, 4, 5, 6]
    action: core.shell
    input:
      command: "echo $$ >> '{{ parameters.flag }}'; [ -e '{{ parameters.flag }}.go' ] || sleep {{ parameters.seconds }}"
"""


@pytest.fixture(params=["embedded", "redis"])
def client(request: pytest.FixtureRequest, tmp_path: Path, sqlite_database: str) -> Iterator[Client]:
    (tmp_path / "stalls" / "workflows").mkdir(parents=True)
    (tmp_path / "stalls" / "pack.yaml").write_text(PACK)
    (tmp_path / "stalls" / "workflows" / "many.yaml").write_text(WORKFLOW)
    given: dict[str, Any] = {"database_url": sqlite_database, "packs": (tmp_path / "stalls",), "grace": 1.0}
    if request.param == "redis":
        given["broker_url"] = request.getfixturevalue("redis_database")
    with Client(**given) as made:
        made.service.register()
        yield made
    assert our_threads() == []


def test_a_run_goes_through_and_the_next_is_served_by_a_new_worker(client: Client) -> None:
    for _ in range(2):
        with Worker(client, threads=2):
            assert client.start("examples.nested_outer").result(timeout=60)["depth"] == 3


def test_a_cancel_gets_through_while_every_thread_is_busy(client: Client, tmp_path: Path) -> None:
    flag = tmp_path / "pids"
    with Worker(client, threads=2):
        run = client.start("stalls.many", {"seconds": 600, "flag": str(flag)})
        eventually(lambda: flag.exists() and len(flag.read_text().split()) == 2)
        run.cancel()
        with pytest.raises(RunCancelled):
            run.result(timeout=60)
    assert len(flag.read_text().split()) == 2, "more than two ran at once"


def test_a_worker_that_stops_hands_back_what_it_runs_and_the_next_one_does_it(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dramaturg.actors.worker.DRAIN", 0.2)
    flag = tmp_path / "pids"
    with Worker(client, threads=2):
        run = client.start("stalls.many", {"seconds": 600, "flag": str(flag)})
        eventually(lambda: flag.exists() and len(flag.read_text().split()) == 2)
    flag.with_name("pids.go").touch()
    with Worker(client, threads=2):
        run.result(timeout=60)
    assert len(flag.read_text().split()) == 2 + 6
    assert [task["status"] for task in run.tasks()] == ["succeeded"]
