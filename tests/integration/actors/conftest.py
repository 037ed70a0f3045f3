"""Workers and brokers on a real Redis, closed after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from actor_fakes import FakeHost, our_threads

from dramaturg.actors.broker import make_broker
from dramaturg.actors.wake import WakingRedisBroker
from dramaturg.actors.worker import InProcessWorker
from dramaturg.engine.config import Settings

MakeBroker = Callable[..., WakingRedisBroker]
MakeWorker = Callable[..., InProcessWorker]


@pytest.fixture
def make(redis_database: str) -> Iterator[MakeBroker]:
    """Make brokers of ours: `make()`, or `make(url)` for another server."""
    with ExitStack() as ending:

        def broker(url: str = redis_database) -> WakingRedisBroker:
            made = make_broker(Settings(broker_url=url))
            assert isinstance(made, WakingRedisBroker)
            ending.callback(made.close)
            return made

        yield broker
    assert our_threads() == []


@pytest.fixture
def work(make: MakeBroker) -> Iterator[MakeWorker]:
    """Start workers, each as a process of its own would be: ``work(host)``."""
    with ExitStack() as ending:

        def worker(
            host: FakeHost, broker: WakingRedisBroker | None = None, threads: int = 2
        ) -> InProcessWorker:
            made = InProcessWorker(host, threads, broker=broker or make())  # type: ignore[arg-type]
            made.start()
            ending.callback(made.stop)
            return made

        yield worker
