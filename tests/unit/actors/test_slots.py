"""How many messages a process may hold."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from dramaturg.actors.slots import INTERPRETER_QUEUE, Slots


def slots_of(threads: int, only: set[str] | None = None) -> Slots:
    slots = Slots()
    worker: Any = SimpleNamespace(worker_threads=threads, consumer_whitelist=only)
    slots.before_worker_boot(SimpleNamespace(), worker)  # type: ignore[arg-type]
    return slots


@pytest.mark.parametrize(
    ("threads", "only", "tasks", "interpreter"),
    [
        (5, None, 4, 5),
        (1, None, 1, 1),
        (5, {"default", INTERPRETER_QUEUE}, 4, 5),
        (5, {"default"}, 5, 5),
    ],
)
def test_one_thread_is_kept_for_the_interpreter(
    threads: int, only: set[str] | None, tasks: int, interpreter: int
) -> None:
    slots = slots_of(threads, only)
    assert slots.free("default", 100) == tasks
    assert slots.free(INTERPRETER_QUEUE, 100) == interpreter


def test_all_queues_share_the_threads() -> None:
    slots = slots_of(5)
    assert slots.take("a", 3, 0) == 3
    assert slots.take("b", 100, 0) == 1
    assert slots.take("b", 100, 0) == 0
    assert slots.take(INTERPRETER_QUEUE, 100, 0) == 1
    assert slots.free(INTERPRETER_QUEUE, 100) == 0
    slots.give("a", 1)
    assert slots.free("b", 100) == 1


def test_interpreting_may_use_every_thread_and_then_no_task_is_fetched() -> None:
    slots = slots_of(3)
    assert slots.take(INTERPRETER_QUEUE, 100, 0) == 3
    assert slots.free("a", 100) == 0


def test_without_a_worker_only_the_prefetch_counts() -> None:
    slots = Slots()
    assert slots.take("a", 7, 0) == 7
    assert slots.free("a", 7) == 0
    assert slots.free("b", 7) == 7


def test_one_slot_given_back_too_often_is_not_counted_twice() -> None:
    slots = slots_of(2)
    slots.give("a", 5)
    assert slots.held("a") == 0
    assert slots.free("a", 9) == 1


def test_a_waiting_consumer_is_woken_by_a_free_slot() -> None:
    slots = slots_of(2)
    slots.take("a", 1, 0)
    got: list[int] = []
    waiter = threading.Thread(target=lambda: got.append(slots.take("b", 5, 20)))
    waiter.start()
    slots.give("a", 1)
    waiter.join(20)
    assert got == [1]


def test_a_thread_that_interprets_goes_on_with_a_task_only_as_one_of_those_for_tasks() -> None:
    slots = slots_of(3)
    slots.take("a", 1, 0)
    assert slots.take(INTERPRETER_QUEUE, 2, 0) == 2
    with slots.as_task() as first, slots.as_task() as second:
        assert (first, second) == (True, False)
        assert slots.free("a", 9) == 0
        assert slots.free(INTERPRETER_QUEUE, 9) == 0
    assert slots.held(INTERPRETER_QUEUE) == 2
    slots.give(INTERPRETER_QUEUE, 2)
    assert slots.free("a", 9) == 1


def test_a_worker_that_stops_fetches_nothing_more() -> None:
    slots = slots_of(3)
    stopping: Any = SimpleNamespace()
    slots.before_worker_shutdown(stopping, stopping)
    assert slots.take("a", 9, 0) == 0
    assert slots.take(INTERPRETER_QUEUE, 9, 0) == 0
    with slots.as_task() as may:
        assert not may
    slots.after_worker_shutdown(stopping, stopping)
    assert slots.free("a", 9) == 9
