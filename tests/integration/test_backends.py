"""The examples on every backend, with and without eager steps: the same outcome, and a sound history.

All runs of a backend are started at once and served by one worker, so that they are also in each other's way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from actor_fakes import our_threads
from scenarios import SCENARIOS, Scenario

from dramaturg import Client, Worker
from dramaturg.engine.config import load_settings
from dramaturg.engine.service import Service

#: Seconds for anything that is waited for; what comes late is a fault.
PATIENCE = 60

BACKENDS = [
    pytest.param((database, broker, eager), id=f"{database}-{broker}-{'eager' if eager else 'not eager'}")
    for database, broker in (("sqlite", "in process"), ("sqlite", "redis"), ("postgres", "redis"))
    for eager in (True, False)
]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this module's census reports."""
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the census looks at: two functions, and a file that can't be read."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "two.py").write_text("def a():\n    return 1\n\n\ndef b():\n    return 2\n")
    (folder / "gone.py").symlink_to("nowhere")
    return folder


@pytest.fixture(scope="module", params=BACKENDS)
def settings(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    new_postgres_database: Callable[[], AbstractContextManager[str]],
    redis_url: str,
) -> Iterator[dict[str, Any]]:
    """The settings of one backend: an empty database, a broker without messages."""
    database, broker, eager = request.param
    given: dict[str, Any] = {"eager": eager}
    with ExitStack() as ending:
        if database == "sqlite":
            given["database_url"] = f"sqlite:///{tmp_path_factory.mktemp('database') / 'dramaturg.db'}"
        else:
            given["database_url"] = ending.enter_context(new_postgres_database())
        if broker == "redis":
            with redis.Redis.from_url(redis_url) as connection:
                connection.flushdb()
            given["broker_url"] = redis_url
        service = Service.open(load_settings(**given), migrate=True)
        service.register()
        service.close()
        yield given


@pytest.fixture(scope="module")
def client(settings: dict[str, Any], sources: Path, reports: Path) -> Iterator[Client]:
    """A client with a worker beside it, which has been given every run."""
    with Client(**settings) as client, Worker(client, threads=4):
        for scenario in SCENARIOS:
            client.start(scenario.ref, scenario.parameters, id=scenario.name)
        client.start("examples.code_census", {"path": str(sources), "out": str(reports)}, id="census")
        yield client
    assert our_threads() == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_it_ends_as_it_should(client: Client, scenario: Scenario) -> None:
    """Outcome, output, errors, every task the right number of times; and `replay` equals the tables."""
    record = client.service.wait(scenario.name, PATIENCE)
    assert scenario.seen(record, client.service.history(scenario.name)) == scenario.wanted
    assert client.service.verify(scenario.name) == []


def test_the_census_ends_as_it_should(client: Client, sources: Path, reports: Path) -> None:
    """A fan-out over a list that a task has found; the item that fails is in the run's errors, and not fatal."""
    record = client.service.wait("census", PATIENCE)
    assert (record["status"], [error["task"] for error in record["errors"]]) == ("succeeded", ["look"])
    output = record["output"]
    assert [(row["file"], row["functions"]) for row in output["largest"]] == [("two.py", 2)]
    assert [problem["file"] for problem in output["problems"]] == ["gone.py"]
    assert output["reports"]["json"] == str(reports / f"{sources.name}.json")
    assert client.service.verify("census") == []


def test_eager_is_what_was_asked_for(client: Client, settings: dict[str, Any]) -> None:
    """An eager step claims the next task in the transaction that schedules it; others take it later."""
    client.service.wait("counter_loop", PATIENCE)
    history = client.service.history("counter_loop")
    scheduled = {(e["task"], e["visit"]): e["at"] for e in history if e["type"] == "task_scheduled"}
    started = {
        (e["task"], e["visit"]): e["data"]["started_at"] for e in history if e["type"] == "attempt_started"
    }
    assert len(started) >= 4
    at_once = [visit for visit in started if started[visit] == scheduled[visit]]
    assert bool(at_once) == settings["eager"]
