"""The Redis broker: nothing is lost between workers, wake-ups and outages, and stock Dramatiq works with it."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from actor_fakes import FakeHost, Send, eventually
from dramatiq import Message, Worker
from dramatiq.brokers.redis import RedisBroker
from redis import Connection, Redis
from redis.exceptions import RedisError

from dramaturg.actors import wake
from dramaturg.actors.interpreter import declare_interpreter
from dramaturg.actors.tasks import VERSION, Dispatcher, Guard, declare_task
from dramaturg.actors.wake import NAMESPACE, WakingRedisBroker


def task(key: int, queue: str = "default", **options: Any) -> Message[Any]:
    return Message(
        queue_name=queue, actor_name="dramaturg.task", args=(key, VERSION), kwargs={}, options=options
    )


def left(broker: WakingRedisBroker) -> dict[str, int]:
    """Return what is left in Redis of the default queue: ids waiting, messages, ids being served."""
    client: Any = broker.client
    acks = [client.scard(key) for key in client.scan_iter(f"{NAMESPACE}:__acks__.*")]
    return {
        "waiting": client.llen(f"{NAMESPACE}:default"),
        "messages": client.hlen(f"{NAMESPACE}:default.msgs"),
        "served": sum(acks),
    }


NOTHING = {"waiting": 0, "messages": 0, "served": 0}


def test_messages_of_many_senders_reach_one_of_many_workers_once(
    make: Callable[..., Any], work: Callable[..., Any]
) -> None:
    hosts = [FakeHost() for _ in range(3)]
    for host in hosts:
        work(host)

    def send(first: int) -> None:
        dispatcher = Dispatcher(make())
        for start in range(first, first + 100, 10):
            dispatcher.send([Send("task", key) for key in range(start, start + 10)])

    senders = [threading.Thread(target=send, args=(n * 100,)) for n in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    eventually(lambda: sum(len(host.served) for host in hosts) >= 400)
    assert sorted(key for host in hosts for key in host.served) == list(range(400))
    broker = make()
    eventually(lambda: left(broker) == NOTHING)


def test_a_batch_is_one_round_trip(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    broker = make()
    broker.enqueue_many([task(0)])  # what is done once a process is done
    writes: list[object] = []
    write = Connection.send_packed_command
    monkeypatch.setattr(
        Connection, "send_packed_command", lambda *args, **kw: (writes.append(1), write(*args, **kw))[1]
    )
    broker.enqueue_many([task(n, queue=f"q{n % 3}") for n in range(100)])
    assert len(writes) == 1
    trips: list[int] = []
    pipe = WakingRedisBroker._pipe
    monkeypatch.setattr(
        WakingRedisBroker,
        "_pipe",
        lambda self, messages: (trips.append(len(messages)), pipe(self, messages))[1],
    )
    broker.enqueue_many([task(n) for n in range(1100)])
    assert trips == [500, 500, 100]


def test_an_idle_consumer_is_woken_and_does_not_poll(
    make: Callable[..., Any], work: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake, "POLL", 4.0)
    monkeypatch.setattr("dramaturg.actors.worker.IN_PROCESS_TIMEOUT", 4000)
    host, sender = FakeHost(), make()
    work(host)
    key = sender.wake_key("default")
    # Blocked: a token that we push is gone at once, and nothing polls.
    eventually(lambda: sender.client.info("clients")["blocked_clients"] >= 2)
    for number in range(20):
        started = time.monotonic()
        sender.enqueue(task(number))
        eventually(lambda number=number: number in host.served)
        if time.monotonic() - started < 3.0:
            break
    else:
        pytest.fail("it was not woken, it polled")
    assert sender.client.llen(key) <= wake.SPARE_TOKENS


def test_a_lost_wake_up_delays_and_nothing_more(make: Callable[..., Any], work: Callable[..., Any]) -> None:
    host, sender = FakeHost(), make()
    sender.push_tokens = lambda *_: None
    work(host)
    for number in range(3):
        sender.enqueue(task(number))
        eventually(lambda number=number: number in host.served)


def test_tokens_do_not_pile_up(make: Callable[..., Any]) -> None:
    broker = make()
    for number in range(50):
        broker.enqueue_many([task(number)] * 3)
    assert broker.client.llen(broker.wake_key("default")) == wake.SPARE_TOKENS


@pytest.mark.parametrize("command", ["flushall", "script_flush"])
def test_a_flushed_server_is_gone_on_with(
    command: str, make: Callable[..., Any], work: Callable[..., Any]
) -> None:
    host, sender = FakeHost(), make()
    work(host)
    sender.enqueue_many([task(1), task(2)])
    eventually(lambda: len(host.served) == 2)
    getattr(sender.client, command)()
    sender.enqueue_many([task(3), task(4)])
    eventually(lambda: len(host.served) == 4)


def test_doubled_and_reordered_messages_are_only_more_calls(
    make: Callable[..., Any], work: Callable[..., Any]
) -> None:
    host, sender = FakeHost(), make()
    messages = [task(n) for n in range(30)] * 3
    random.Random(7).shuffle(messages)
    sender.enqueue_many(messages)
    # The very same message twice in the list, as after a retried command.
    key = f"{NAMESPACE}:default"
    sender.client.rpush(key, *sender.client.lrange(key, 0, 9))
    work(host)
    eventually(lambda: len(host.served) >= 90)
    eventually(lambda: sender.client.llen(key) == 0)
    assert sorted(set(host.served)) == list(range(30))


def test_of_what_is_fetched_the_lower_priority_is_first(make: Callable[..., Any]) -> None:
    broker = make()
    broker.enqueue_many([task(1), task(2, priority=5), task(3, priority=-5)])
    consumer = broker.consume("default", prefetch=3, timeout=50)
    assert [next(consumer).args[0] for _ in range(3)] == [3, 1, 2]
    consumer.close()


def test_a_message_that_is_none_is_left_out_and_the_others_are_served(
    make: Callable[..., Any], work: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    host, sender = FakeHost(), make()
    sender.enqueue(task(1))
    sender.client.hset(f"{NAMESPACE}:default.msgs", "broken", b"{not json")
    sender.client.lpush(f"{NAMESPACE}:default", "broken")
    sender.enqueue(Message("default", "somebody.elses", (), {}, {}))
    sender.enqueue(task(2))
    work(host)
    eventually(lambda: host.served == [1, 2])
    assert "not json" in caplog.text


def test_a_busy_process_leaves_messages_to_others(make: Callable[..., Any], work: Callable[..., Any]) -> None:
    gate = threading.Event()
    busy, free = FakeHost(on_serve=lambda _key: gate.wait(30) and None), FakeHost()  # type: ignore[func-returns-value]
    sender = make()
    work(busy, threads=2)
    Dispatcher(sender).send([Send("task", n) for n in range(20)])
    eventually(lambda: left(sender)["served"] == 2)
    work(free, threads=2)
    eventually(lambda: len(free.served) == 18)
    gate.set()
    eventually(lambda: len(busy.served) == 2)


def test_a_busy_process_shows_that_it_lives(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake, "HEARTBEAT", 0.01)
    broker, sender = make(), make()
    sender.enqueue_many([task(1), task(2)])
    consumer = broker.consume("default", prefetch=1, timeout=20)
    assert next(consumer) is not None

    def beat() -> float:
        assert next(consumer) is None, "more was fetched than may be held"
        return float(sender.client.zscore(f"{NAMESPACE}:__heartbeats__", broker.broker_id))

    first = beat()
    eventually(lambda: beat() > first)


def test_a_stopped_worker_gives_back_what_it_has_not_begun(
    make: Callable[..., Any], work: Callable[..., Any]
) -> None:
    gate = threading.Event()
    sender = make()
    host = FakeHost(on_serve=lambda _key: gate.wait(30) and None)  # type: ignore[func-returns-value]
    worker = work(host, threads=2)
    sender.enqueue_many([task(n) for n in range(10)])
    eventually(lambda: left(sender)["served"] == 2)
    gate.set()
    worker.stop()
    other = FakeHost()
    work(other)
    eventually(lambda: len(host.served) + len(other.served) == 10)
    assert sorted(host.served + other.served) == list(range(10))
    eventually(lambda: left(sender) == NOTHING)


def test_a_consumer_that_closes_gives_back_what_it_has_fetched(make: Callable[..., Any]) -> None:
    broker = make()
    broker.enqueue_many([task(n) for n in range(5)])
    consumer = broker.consume("default", prefetch=5, timeout=50)
    assert next(consumer) is not None
    consumer.close()
    assert left(broker) == {"waiting": 4, "messages": 5, "served": 1}
    assert broker.slots.held("default") == 1


def test_a_delay_is_refused(make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="no delays"):
        make().enqueue(task(1), delay=5)


@pytest.fixture
def stock(redis_database: str) -> Iterator[RedisBroker]:
    """Dramatiq's own broker with its own middleware, on the same server and namespace."""
    broker = RedisBroker(url=redis_database, namespace=NAMESPACE)
    yield broker
    broker.client.connection_pool.disconnect()


def test_a_stock_worker_serves_what_our_broker_sends(make: Callable[..., Any], stock: RedisBroker) -> None:
    host = FakeHost()
    guard = Guard(threading.Event())
    declare_task(stock, host, guard)  # type: ignore[arg-type]
    declare_interpreter(stock, host, guard)  # type: ignore[arg-type]
    worker = Worker(stock, worker_threads=2, worker_timeout=50)
    worker.start()
    try:
        Dispatcher(make()).send([*(Send("task", n) for n in range(20)), Send("interpret", 5)])
        eventually(lambda: len(host.served) == 20 and host.applied == [5])
        broker = make()
        eventually(lambda: left(broker) == NOTHING)
    finally:
        worker.stop()


def test_our_worker_serves_what_a_stock_broker_sends(work: Callable[..., Any], stock: RedisBroker) -> None:
    host = FakeHost()
    work(host)
    Dispatcher(stock).send([*(Send("task", n) for n in range(20)), Send("interpret", 5)])
    eventually(lambda: len(host.served) == 20 and host.applied == [5])


def test_apps_with_dramatiq_on_the_same_server_and_we_do_not_see_each_other(
    make: Callable[..., Any], work: Callable[..., Any], redis_database: str
) -> None:
    app = RedisBroker(url=redis_database)
    app.enqueue(Message("default", "app.actor", (), {}, {}))
    host = FakeHost()
    work(host)
    make().enqueue(task(1))
    eventually(lambda: host.served == [1])
    assert app.do_qsize("default") == 1
    app.client.connection_pool.disconnect()


class Outages:
    """A server of this test's own, with a worker on it and a dispatcher to it."""

    def __init__(self, server: Any, make: Callable[..., Any], work: Callable[..., Any]) -> None:
        self.server = server
        self.host = FakeHost()
        self.broker = make(server.url)
        work(self.host, self.broker)
        self.dispatcher = Dispatcher(make(server.url))

    def works(self, key: int) -> None:
        """Send until it arrives, as the clock would."""

        def sent_and_served() -> bool:
            self.dispatcher.send([Send("task", key)])
            return key in self.host.served

        eventually(sent_and_served)


@pytest.mark.parametrize("durable", [False, True])
def test_a_killed_and_restarted_redis_is_used_again(
    durable: bool,
    redis_server: Callable[..., Any],
    make: Callable[..., Any],
    work: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Outages(redis_server(durable=durable), make, work)
    with caplog.at_level(logging.WARNING):
        for outage in range(2):
            stage.works(outage)
            stage.server.kill()
            for _ in range(5):
                stage.dispatcher.send([Send("task", 1000)])
            stage.server.start()
            stage.works(100 + outage)
        eventually(lambda: caplog.text.count("Redis works again") == 2)
    assert caplog.text.count("The broker fails") == 2
    assert caplog.text.count("Redis fails") == 2


def test_what_ends_while_redis_is_away_keeps_no_thread_and_is_acknowledged_later(
    redis_server: Callable[..., Any], make: Callable[..., Any], work: Callable[..., Any]
) -> None:
    gate = threading.Event()
    server = redis_server(durable=True)
    host, broker, sender = FakeHost(), make(server.url), make(server.url)
    host.on_serve = lambda key: key or (gate.wait(30) and None)  # type: ignore[assignment, func-returns-value, return-value]
    work(host, broker)
    sender.enqueue(task(0))
    eventually(lambda: left(sender)["served"] == 1)
    server.kill()
    gate.set()
    eventually(lambda: broker.slots.held("default") == 0)
    assert host.served == [0]
    server.start()
    eventually(lambda: left(sender) == NOTHING)


def test_a_worker_stops_while_redis_is_away(
    redis_server: Callable[..., Any], make: Callable[..., Any], work: Callable[..., Any]
) -> None:
    gate = threading.Event()
    server = redis_server()
    host, broker, sender = FakeHost(), make(server.url), make(server.url)
    host.on_serve = lambda _key: gate.wait(30) and None  # type: ignore[assignment, func-returns-value]
    worker = work(host, broker)
    sender.enqueue_many([task(n) for n in range(10)])
    eventually(lambda: broker.slots.held("default") == 2)
    server.kill()
    gate.set()
    worker.stop()
    assert host.closed == 1


def test_sending_to_a_dead_redis_raises_at_once_from_the_broker(
    redis_server: Callable[..., Any], make: Callable[..., Any]
) -> None:
    server = redis_server()
    broker = make(server.url)
    server.kill()
    with pytest.raises(RedisError):
        broker.enqueue_many([task(1)])


def test_a_full_redis_is_an_outage_and_not_a_crash(
    redis_server: Callable[..., Any], make: Callable[..., Any], work: Callable[..., Any]
) -> None:
    stage = Outages(redis_server(), make, work)
    stage.works(1)
    with Redis.from_url(stage.server.url) as admin:
        admin.config_set("maxmemory", "1")
        stage.dispatcher.send([Send("task", 2)])
        eventually(lambda: stage.broker.outage._failures > 2)
        admin.config_set("maxmemory", "0")
    stage.works(3)
