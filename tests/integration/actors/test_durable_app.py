"""An app with Dramatiq workers of its own, on real servers: its actors, as they are, run as a workflow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from actor_fakes import eventually
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker
from servers import PostgresServer

from dramaturg import Client, RunCancelled, RunTimedOut, Worker
from dramaturg.engine.config import load_settings
from dramaturg.engine.service import Service

#: Seconds for anything that is waited for; what comes late is a fault.
PATIENCE = 60
BINARIES = Path(sys.executable).parent

#: Names of the app's actors, and their queues.
ACTORS = {
    "price": "shop",
    "reserve": "shop",
    "charge": "shop",
    "ship": "post",
    "mail": "post",
    "hurry": "shop",
    "inventory": "shop",
}
ORDER = """
ref: shop.order
parameters: {item: {type: string, required: true}, quantity: {type: integer, default: 2}}
vars: {total: 0, said: ""}
tasks:
  price:
    action: shop.price
    input: {item: "{{ parameters.item }}", quantity: "{{ parameters.quantity }}"}
    next: [{when: succeeded, publish: [{total: "{{ result().total }}"}], do: [reserve, charge]}]
  reserve: {action: shop.reserve, input: {item: "{{ parameters.item }}"}, next: [{when: succeeded, do: ship}]}
  charge:
    action: shop.charge
    input: {total: "{{ workflow.total }}"}
    retry: {count: 3, delay: 0.05}
    next: [{when: succeeded, do: ship}]
  ship: {action: shop.ship, join: all, input: {item: "{{ parameters.item }}"}, next: [{when: succeeded, do: mail}]}
  mail:
    action: shop.mail
    with_items: [thanks, bye]
    input: {text: "{{ item }}"}
    next: [{when: succeeded, publish: [{said: "{{ result() }}"}]}]
output_map: {total: "{{ workflow.total }}", said: "{{ workflow.said }}"}
"""
SINGLE = """
ref: shop.{name}_once
tasks:
  only: {{action: shop.{name}, input: {input}, on_lost: {on_lost}}}
"""


class Stage:
    """The app's workers, the engine's worker and a client, on one Redis and one PostgreSQL."""

    def __init__(self, folder: Path, settings: Mapping[str, str], redis: str) -> None:
        self.folder = folder
        self.notes = folder / "notes"
        self.notes.touch()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DRAMATURG_")}
        ours = {f"DRAMATURG_{name.upper()}": value for name, value in settings.items()}
        self.environment = {
            **kept,
            **ours,
            "SHOP_REDIS": redis,
            "SHOP_NOTES": str(self.notes),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "dramatiq_worker_timeout": "50",
        }
        self.client = Client(**settings)
        #: As any other process of the app has.
        self.broker = RedisBroker(url=redis)
        self.programs: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a program and wait until it serves."""
        log = self.folder / f"{name}-{len(self.programs)}"
        with log.open("wb") as stream:
            program = subprocess.Popen(
                [str(BINARIES / command[0]), *command[1:]],
                env=self.environment,
                cwd=self.folder,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        self.programs.append(program)
        eventually(lambda: "ready for action" in log.read_text() or program.poll() is not None, PATIENCE)
        assert program.poll() is None, log.read_text()
        return program

    def app(self) -> subprocess.Popen[bytes]:
        """Start the app's worker."""
        return self.start("app", "dramatiq", "shop_app", "-p", "1", "-t", "3")

    def noted(self) -> Counter[str]:
        """Return how often each thing was noted."""
        return Counter(line.split()[0] for line in self.notes.read_text().splitlines())

    def left(self) -> dict[str, int]:
        """Return how many messages the app's queues and dead-letter queues hold."""
        client, names = self.broker.client, ("shop", "post", "shop.DQ", "shop.XQ", "post.XQ")
        return {name: size for name in names if (size := client.hlen(f"dramatiq:{name}.msgs"))}

    def close(self) -> None:
        """End everything."""
        for program in self.programs:
            if program.poll() is None:
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()
        self.client.close()
        self.broker.client.connection_pool.disconnect()


@contextmanager
def staged(folder: Path, database: str, redis: str, **more: str) -> Iterator[Stage]:
    """Make a stage, with a worker of the engine if that has a broker; the app's is still to be started."""
    pack = folder / "packs" / "shop"
    (pack / "workflows").mkdir(parents=True)
    (pack / "actions").mkdir()
    (pack / "pack.yaml").write_text("ref: shop\nversion: 1.0.0\n")
    for name, queue in {**ACTORS, "count": "shop"}.items():
        actor = "inventory" if name == "count" else name
        text = f"ref: shop.{name}\nruntime: dramatiq\nentry_point: {actor}\nqueue: {queue}\n"
        (pack / "actions" / f"{name}.yaml").write_text(text)
    (pack / "workflows" / "order.yaml").write_text(ORDER)
    for name, given in {"hurry": "{}", "inventory": "{seconds: 60}", "count": "{seconds: 1}"}.items():
        # A claim that is on disk at once, where the database is killed.
        on_lost = "fail" if name == "count" else "rerun"
        text = SINGLE.format(name=name, input=given, on_lost=on_lost)
        (pack / "workflows" / f"{name}_once.yaml").write_text(text)
    settings = {"database_url": database, "packs": str(pack.parent), "lease": "3", **more}
    service = Service.open(load_settings(**settings), migrate=True)
    service.register()
    service.close()
    made = Stage(folder, settings, redis)
    try:
        if "broker_url" in settings:
            made.start("worker", "dramaturg", "worker", "--threads", "2")
        yield made
    finally:
        made.close()


@pytest.fixture
def stage(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_database: str, redis_database: str
) -> Iterator[Stage]:
    """A stage on servers that others use, too."""
    eager = getattr(request, "param", "true")
    with staged(tmp_path, postgres_database, redis_database, broker_url=redis_database, eager=eager) as made:
        yield made


#: With workers of the engine that go on with what follows themselves, and with some that leave it to messages.
BOTH = pytest.mark.parametrize("stage", ["true", "false"], indirect=True, ids=["eager", "lazy"])


@BOTH
def test_five_actors_run_as_a_workflow_and_other_messages_as_ever(stage: Stage) -> None:
    stage.app()
    for number in range(20):
        stage.broker.enqueue(Message("post", "ship", (f"plain-{number}",), {}, {}))
    run = stage.client.start("shop.order", {"item": "tea"})
    assert run.result(PATIENCE) == {"total": 6, "said": ["THANKS", "BYE"]}
    assert stage.client.service.verify(run.id) == []
    eventually(lambda: stage.noted()["ship"] == 21)
    # Two of them failed; the engine made them again, and Dramatiq's Retries had nothing to do.
    assert stage.noted() == {"price": 1, "reserve": 1, "charge": 3, "ship": 21, "mail": 2}
    assert [task["attempt"] for task in run.tasks() if task["task"] == "charge"] == [3]
    eventually(lambda: stage.left() == {})


def test_an_actors_time_limit_is_a_timeout_of_its_task(stage: Stage) -> None:
    stage.app()
    run = stage.client.start("shop.hurry_once")
    with pytest.raises(RunTimedOut):
        run.result(PATIENCE)
    details = run.describe()["error"]["details"]
    assert details == {"kind": "start_to_close", "seconds": 0.3}
    assert (stage.noted()["hurry"], stage.left()) == (1, {})


@BOTH
def test_a_killed_worker_is_a_lost_attempt_that_is_made_again(stage: Stage) -> None:
    app = stage.app()
    run = stage.client.start("shop.inventory_once")
    eventually(lambda: stage.noted()["inventory"] == 1, PATIENCE)
    os.killpg(app.pid, signal.SIGKILL)
    stage.app()
    run.result(PATIENCE)
    task = run.tasks()[0]
    assert (stage.noted(), task["attempt"]) == ({"inventory": 2, "counted": 1}, 2)
    assert stage.client.service.verify(run.id) == []


def test_a_worker_that_is_told_to_stop_hands_its_task_back(stage: Stage) -> None:
    app = stage.app()
    run = stage.client.start("shop.inventory_once")
    eventually(lambda: stage.noted()["inventory"] == 1, PATIENCE)
    app.send_signal(signal.SIGTERM)
    app.wait(PATIENCE)
    stage.app()
    run.result(PATIENCE)
    assert (stage.noted(), run.tasks()[0]["attempt"]) == ({"inventory": 2, "counted": 1}, 1)


def test_a_cancelled_run_stops_the_actor(stage: Stage) -> None:
    stage.app()
    run = stage.client.start("shop.inventory_once")
    eventually(lambda: stage.noted()["inventory"] == 1, PATIENCE)
    run.cancel()
    with pytest.raises(RunCancelled):
        run.result(PATIENCE)
    assert stage.noted() == {"inventory": 1}
    eventually(lambda: stage.left() == {})


def test_what_an_actor_gives_while_the_database_is_away_is_not_lost(
    tmp_path: Path, postgres_server: Callable[[], PostgresServer], redis_database: str
) -> None:
    server = postgres_server()
    given = {"broker_url": redis_database, "lease": "60"}
    with staged(tmp_path, server.url, redis_database, **given) as stage:
        stage.app()
        run = stage.client.start("shop.count_once")
        eventually(lambda: stage.noted()["inventory"] == 1, PATIENCE)
        server.kill()
        eventually(lambda: stage.noted()["counted"] == 1, PATIENCE)
        server.start()
        run.result(PATIENCE)
        assert (stage.noted(), run.tasks()[0]["attempt"]) == ({"inventory": 1, "counted": 1}, 1)


def test_doubled_messages_do_no_harm(stage: Stage) -> None:
    run = stage.client.start("shop.order", {"item": "tea"})
    eventually(lambda: stage.left() == {"shop": 1}, PATIENCE)
    (text,) = stage.broker.client.hvals("dramatiq:shop.msgs")
    message: Any = Message.decode(text)
    for _ in range(10):
        stage.broker.enqueue(message)
    stage.app()
    assert run.result(PATIENCE)["total"] == 6
    assert stage.noted() == {"price": 1, "reserve": 1, "charge": 3, "ship": 1, "mail": 2}
    eventually(lambda: stage.left() == {})


def test_an_embedded_engine_has_the_actors_of_an_app_beside_it(
    tmp_path: Path, sqlite_database: str, redis_database: str
) -> None:
    given = {"actors_broker_url": redis_database}
    with staged(tmp_path, sqlite_database, redis_database, **given) as stage, Worker(stage.client):
        stage.app()
        run = stage.client.start("shop.order", {"item": "tea"})
        assert run.result(PATIENCE) == {"total": 6, "said": ["THANKS", "BYE"]}
        assert stage.noted() == {"price": 1, "reserve": 1, "charge": 3, "ship": 1, "mail": 2}
