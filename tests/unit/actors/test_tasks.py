"""Messages: what they hold, that sending never raises, and that serving waits for the database."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from actor_fakes import FakeHost, Send
from dramatiq import Broker, Message

from dramaturg.actors.embedded import EmbeddedBroker
from dramaturg.actors.interpreter import declare_interpreter
from dramaturg.actors.tasks import VERSION, Dispatcher, Guard, declare_task
from dramaturg.engine.errors import Unreachable


class Noting(EmbeddedBroker):
    """Keeps the batches that it was given; fails when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[Message[Any]]] = []
        self.error: Exception | None = None

    def enqueue_many(self, messages: Sequence[Message[Any]]) -> None:
        self.batches.append(list(messages))
        if self.error is not None:
            raise self.error


class OneByOne(Broker):
    """As a stock broker: it has no way to send many."""

    def __init__(self) -> None:
        super().__init__([])
        self.sent: list[Message[Any]] = []
        self.declared: list[str] = []

    def declare_queue(self, queue_name: str) -> None:
        self.declared.append(queue_name)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        self.sent.append(message)
        return message


def test_a_batch_is_one_call_and_each_message_names_queue_actor_id_and_version() -> None:
    broker = Noting()
    Dispatcher(broker).send(
        [Send("task", 7, "slow", priority=-2), Send("interpret", 9, "slow"), Send("task", 8)]
    )
    assert len(broker.batches) == 1
    shape = [(m.queue_name, m.actor_name, m.args, m.kwargs, m.options) for m in broker.batches[0]]
    assert shape == [
        ("slow", "dramaturg.task", (7, VERSION), {}, {"priority": -2}),
        ("dramaturg", "dramaturg.interpret", (9, VERSION), {}, {}),
        ("default", "dramaturg.task", (8, VERSION), {}, {}),
    ]
    assert json.loads(broker.batches[0][0].encode())["args"] == [7, VERSION]


def test_a_stock_broker_gets_them_one_by_one_and_each_queue_is_declared_once() -> None:
    broker = OneByOne()
    dispatcher = Dispatcher(broker)
    dispatcher.send([Send("task", 1), Send("task", 2, "slow")])
    dispatcher.send([Send("task", 3)])
    assert [m.args[0] for m in broker.sent] == [1, 2, 3]
    assert broker.declared == ["default", "slow"]


def test_nothing_to_send_is_nothing_sent() -> None:
    broker = Noting()
    Dispatcher(broker).send([])
    assert broker.batches == []


def test_a_dead_broker_is_logged_once_an_outage_and_never_raises(caplog: pytest.LogCaptureFixture) -> None:
    broker = Noting()
    dispatcher = Dispatcher(broker)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            broker.error = ConnectionError("refused\nand a second line")
            for _ in range(3):
                dispatcher._hold_until = 0.0
                dispatcher.send([Send("task", 1)])
            broker.error = None
            dispatcher._hold_until = 0.0
            dispatcher.send([Send("task", 1)])
    assert [r.levelname for r in caplog.records] == ["ERROR", "WARNING"] * 2
    assert caplog.records[0].getMessage() == "The broker fails: refused; what is not sent now is sent later"
    assert len(broker.batches) == 8


def test_a_broker_that_lets_us_wait_and_fails_is_not_asked_for_as_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("dramaturg.actors.tasks.time.monotonic", lambda: now[0])

    class Slow(Noting):
        def enqueue_many(self, messages: Sequence[Message[Any]]) -> None:
            super().enqueue_many(messages)
            now[0] += 3.0
            raise TimeoutError("no answer")

    broker = Slow()
    dispatcher = Dispatcher(broker)
    dispatcher.send([Send("task", 1)])
    now[0] += 2.9
    dispatcher.send([Send("task", 2)])
    assert len(broker.batches) == 1
    now[0] += 0.2
    dispatcher.send([Send("task", 3)])
    assert len(broker.batches) == 2


def declared(host: FakeHost, stopping: threading.Event | None = None) -> EmbeddedBroker:
    broker = EmbeddedBroker()
    guard = Guard(stopping or threading.Event())
    declare_task(broker, host, guard)  # type: ignore[arg-type]
    declare_interpreter(broker, host, guard)  # type: ignore[arg-type]
    return broker


def test_the_actors_call_the_host_with_the_id() -> None:
    host = FakeHost()
    broker = declared(host)
    broker.get_actor("dramaturg.task")(5, VERSION)
    broker.get_actor("dramaturg.task")(6)
    broker.get_actor("dramaturg.interpret")(7, VERSION)
    assert (host.served, host.applied, host.follows) == ([5, 6], [7], [True])
    assert broker.get_declared_queues() == {"default", "dramaturg"}
    assert broker.get_actor("dramaturg.interpret").priority < broker.get_actor("dramaturg.task").priority


def test_a_message_of_a_newer_version_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    host = FakeHost()
    declared(host).get_actor("dramaturg.task")(5, VERSION + 1)
    assert host.served == []
    assert "left a message alone" in caplog.text


def test_a_message_waits_for_a_database_that_is_away_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tries = 0

    def serve(_key: int) -> None:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise Unreachable("database sqlite:///x: gone")

    host = FakeHost(on_serve=serve)
    declared(host).get_actor("dramaturg.task")(5)
    assert host.served == [5]
    assert tries == 4
    assert caplog.text.count("sqlite:///x: gone") == 1


def test_a_worker_that_stops_does_not_wait_for_the_database() -> None:
    stopping = threading.Event()

    def serve(_key: int) -> None:
        stopping.set()
        raise Unreachable("gone")

    host = FakeHost(on_serve=serve)
    declared(host, stopping).get_actor("dramaturg.task")(5)
    assert host.served == []


def test_a_bug_in_serving_is_dramatiqs_to_log() -> None:
    def serve(_key: int) -> None:
        raise RuntimeError("bug")

    with pytest.raises(RuntimeError):
        declared(FakeHost(on_serve=serve)).get_actor("dramaturg.task")(5)


def test_a_message_to_an_actor_of_an_app_names_it_and_fails_where_the_middleware_is_missing() -> None:
    broker = Noting()
    Dispatcher(broker).send([Send("actor", 7, "sums", action="app.add", actor="add")])
    ((message,),) = broker.batches
    assert (message.queue_name, message.actor_name, message.args) == ("sums", "add", ())
    assert message.options == {"dramaturg": {"execution": 7, "version": VERSION}, "max_retries": 0}
    with pytest.raises(TypeError, match=r"dramaturg\.DurableTasks"):
        (lambda x=1, y=2: x + y)(**message.kwargs)


def test_a_dispatcher_may_be_told_to_make_no_queue_known() -> None:
    broker = OneByOne()
    Dispatcher(broker, declares=False).send([Send("actor", 7, "sums", actor="add")])
    assert (len(broker.sent), broker.declared) == (1, [])
