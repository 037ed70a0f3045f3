"""The broker inside one process: order, threads, giving back, and that nothing is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from actor_fakes import eventually, our_threads
from dramatiq import Message, Worker, actor
from dramatiq.errors import QueueJoinTimeout, QueueNotFound

from dramaturg.actors import embedded
from dramaturg.actors.embedded import EmbeddedBroker


def message(number: int, *, queue: str = "default", priority: int = 0) -> Message[None]:
    return Message(
        queue_name=queue, actor_name="note", args=(number,), kwargs={}, options={"priority": priority}
    )


class Stage:
    """A broker with one actor that notes its numbers, and waits at a gate if there is one."""

    def __init__(self) -> None:
        self.broker = EmbeddedBroker()
        self.noted: list[int] = []
        self.gate: threading.Event | None = None
        self.started = threading.Semaphore(0)
        actor(self._note, actor_name="note", broker=self.broker)
        self.workers: list[Worker] = []

    def _note(self, number: int) -> None:
        self.started.release()
        if self.gate is not None:
            assert self.gate.wait(20)
        self.noted.append(number)

    def work(self, threads: int = 2) -> Worker:
        worker = Worker(self.broker, worker_threads=threads, worker_timeout=50)
        worker.start()
        self.workers.append(worker)
        return worker


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    if made.gate is not None:
        made.gate.set()
    for worker in made.workers:
        worker.stop()
    assert our_threads() == []


def test_messages_are_served_in_order_of_priority_then_of_sending(stage: Stage) -> None:
    stage.broker.enqueue_many([message(1), message(2), message(3, priority=-1), message(4, priority=1)])
    stage.work(threads=1)
    eventually(lambda: len(stage.noted) == 4)
    assert stage.noted == [3, 1, 2, 4]


def test_a_queue_must_be_declared(stage: Stage) -> None:
    with pytest.raises(QueueNotFound):
        stage.broker.enqueue_many([message(1), message(2, queue="elsewhere")])
    with pytest.raises(QueueNotFound):
        stage.broker.consume("elsewhere")
    stage.work()
    stage.broker.join("default", timeout=5000)
    assert stage.noted == []


def test_a_delay_is_refused(stage: Stage) -> None:
    with pytest.raises(ValueError, match="no delays"):
        stage.broker.enqueue(message(1), delay=5)


def test_a_stopped_worker_gives_back_what_it_held_and_the_next_one_serves_it(stage: Stage) -> None:
    stage.gate = threading.Event()
    stage.broker.enqueue_many([message(n) for n in range(20)])
    worker = stage.work(threads=2)
    stage.started.acquire()
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    stage.gate.set()
    stopping.join()
    stage.workers.remove(worker)
    served_before = len(stage.noted)
    assert served_before < 20
    stage.work()
    stage.broker.join("default", timeout=10_000)
    assert sorted(stage.noted) == list(range(20))


def test_given_back_messages_are_again_where_they_were() -> None:
    broker = EmbeddedBroker()
    broker.declare_queue("default")
    broker.enqueue_many([message(n) for n in range(3)])
    consumer = broker.consume("default", prefetch=3)
    taken = [next(consumer) for _ in range(2)]
    consumer.requeue([m for m in taken if m is not None])
    again = [next(consumer) for _ in range(3)]
    assert [m.args[0] for m in again if m is not None] == [0, 1, 2]


def test_no_dead_letter_is_kept_and_a_failed_message_is_gone(stage: Stage) -> None:
    stage.broker.declare_queue("other")
    stage.work()
    unknown = Message(queue_name="default", actor_name="nobody", args=(), kwargs={}, options={})
    stage.broker.enqueue(unknown)
    stage.broker.enqueue(message(1))
    stage.broker.join("default", timeout=5000)
    assert stage.noted == [1]
    assert stage.broker.slots.held("default") == 0


def test_a_queue_that_nobody_serves_stays_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LIMIT", 3)
    stage.broker.enqueue_many([message(n) for n in range(9)])
    stage.work()
    stage.broker.join("default", timeout=5000)
    assert sorted(stage.noted) == [0, 1, 2]


def test_flushed_messages_are_gone(stage: Stage) -> None:
    stage.broker.enqueue(message(1))
    with pytest.raises(QueueJoinTimeout):
        stage.broker.join("default", timeout=1)
    stage.broker.flush_all()
    stage.broker.join("default", timeout=5000)
    stage.work()
    stage.broker.enqueue(message(2))
    stage.broker.join("default", timeout=5000)
    assert stage.noted == [2]


def test_a_queue_declared_while_a_worker_runs_is_served(stage: Stage) -> None:
    stage.work()
    stage.broker.declare_queue("late")
    stage.broker.enqueue(message(7, queue="late"))
    stage.broker.join("late", timeout=5000)
    assert stage.noted == [7]


def test_no_more_is_held_than_there_are_threads_and_one_is_kept_for_the_interpreter(stage: Stage) -> None:
    stage.broker.declare_queue("dramaturg")
    stage.broker.declare_queue("other")
    stage.gate = threading.Event()
    stage.work(threads=4)
    stage.broker.enqueue_many([message(n, queue=q) for n in range(9) for q in ("default", "other")])
    for _ in range(3):
        assert stage.started.acquire(timeout=10)
    held = [stage.broker.slots.held(queue) for queue in ("default", "other")]
    assert sum(held) == 3
    interpreted = threading.Event()
    actor(lambda: interpreted.set(), actor_name="interpret", queue_name="dramaturg", broker=stage.broker)
    stage.broker.enqueue(Message("dramaturg", "interpret", (), {}, {}))
    assert interpreted.wait(10), "busy with tasks, nobody interprets"


def test_an_idle_consumer_is_woken_by_its_timeout_only(stage: Stage) -> None:
    stage.broker.declare_queue("dramaturg")
    stage.work(threads=5)
    wakes = 0
    take = stage.broker.take

    def counted(queue: str, prefetch: int, timeout: float) -> object:
        nonlocal wakes
        wakes += 1
        return take(queue, prefetch, timeout)

    stage.broker.take = counted  # type: ignore[assignment, method-assign]
    deadline = time.monotonic() + 0.5
    eventually(lambda: time.monotonic() > deadline)
    # Two consumers, each woken by nothing but its timeout of 50 ms.
    assert wakes <= 2 * (0.5 / 0.05 + 2)
