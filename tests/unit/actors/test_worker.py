"""Workers of this process, with a host that only notes; and the command that runs the others."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from actor_fakes import FakeHost, Send, eventually, our_threads

from dramaturg.actors import worker as worker_module
from dramaturg.actors.embedded import EmbeddedBroker
from dramaturg.actors.worker import InProcessWorker, run_worker, worker_command, worker_environment
from dramaturg.engine.config import Settings
from dramaturg.engine.errors import UsageError


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    yield
    assert our_threads() == []


def in_process(host: FakeHost, threads: int = 2, **options: Any) -> InProcessWorker:
    return InProcessWorker(host, threads, **options)  # type: ignore[arg-type]


def test_what_the_host_sends_comes_back_to_it() -> None:
    host = FakeHost()
    with in_process(host):
        host.send([Send("task", n, queue=f"q{n % 2}") for n in range(50)] + [Send("interpret", 7)])
        eventually(lambda: len(host.served) == 50 and host.applied == [7])
    assert sorted(host.served) == list(range(50))
    assert (host.drained, host.closed) == ([worker_module.DRAIN], 1)


def test_clock_and_leases_go_on_while_every_thread_is_busy_and_runs_are_interpreted() -> None:
    gate = threading.Event()
    host = FakeHost(on_tick=lambda: 0.01, on_serve=lambda _key: gate.wait(30) and None)  # type: ignore[func-returns-value]
    worker = in_process(host, threads=2)
    worker.start()
    host.send([Send("task", n) for n in range(9)])
    broker: Any = worker._broker
    eventually(lambda: broker.slots.held("default") == 2)
    ticks, renewals = host.ticks, host.renewals
    eventually(lambda: host.ticks > ticks + 5 and host.renewals > renewals)
    host.send([Send("interpret", 1)])
    eventually(lambda: host.applied == [1])
    # Its thread is the one that is kept free: it must not go on with a task.
    assert host.follows == [False]
    gate.set()
    eventually(lambda: len(host.served) == 9)
    worker.stop()


def test_a_stopping_worker_takes_nothing_more_and_drains_the_host() -> None:
    gate = threading.Event()
    drained = threading.Event()

    class Draining(FakeHost):
        def drain(self, timeout: float = 0.0) -> None:
            super().drain(timeout)
            drained.set()
            assert gate.wait(30)

    host = Draining(on_serve=lambda _key: gate.wait(30) and None)  # type: ignore[func-returns-value]
    worker = in_process(host, threads=2)
    worker.start()
    host.send([Send("task", n) for n in range(9)])
    broker: Any = worker._broker
    eventually(lambda: broker.slots.held("default") == 2)
    renewals = host.renewals
    stopping = threading.Thread(target=worker.stop, args=(3.0,))
    stopping.start()
    assert drained.wait(20)
    ticks = host.ticks
    eventually(lambda: host.renewals > renewals)
    gate.set()
    stopping.join()
    assert host.ticks == ticks, "the clock went on"
    assert host.drained == [3.0]
    assert sorted(host.served) == [0, 1]
    assert host.closed == 1
    # What was not begun is still there: nobody has used the messages up.
    assert len(broker.queues["default"]) == 7


def test_only_the_queues_asked_for_are_served_and_the_host_knows_them() -> None:
    host = FakeHost()
    with in_process(host, queues=["images"]):
        host.send([Send("task", 1, "default"), Send("task", 2, "images"), Send("interpret", 3)])
        eventually(lambda: host.served == [2] and host.applied == [3])
    assert host.stepper.queues == {"images"}


def test_every_queue_is_served_if_none_is_asked_for() -> None:
    host = FakeHost()
    with in_process(host):
        assert host.stepper.queues is None


def test_a_worker_is_started_once_and_stopped_once() -> None:
    host = FakeHost()
    worker = in_process(host)
    worker.stop()
    worker.start()
    worker.start()
    worker.stop()
    worker.stop()
    worker.start()
    assert len(host.drained) == host.closed == 1


def test_waking_makes_the_clock_look() -> None:
    host = FakeHost(on_tick=lambda: 1000.0)
    with in_process(host) as worker:
        eventually(lambda: host.ticks == 1)
        worker.wake()
        eventually(lambda: host.ticks == 2)


def test_the_embedded_worker_watches_for_what_other_processes_write() -> None:
    looked = threading.Event()

    def changed() -> bool:
        looked.set()
        return False

    with in_process(FakeHost(on_changed=changed, on_tick=lambda: 1000.0)):
        assert looked.wait(20)


def test_a_failing_task_costs_its_message_and_nothing_else() -> None:
    def serve(key: int) -> None:
        if key % 2:
            raise RuntimeError(f"bug {key}")

    host = FakeHost(on_serve=serve)
    worker = in_process(host)
    broker: Any = worker._broker
    with worker:
        host.send([Send("task", n) for n in range(20)])
        broker.join("default", timeout=20_000)
    assert sorted(host.served) == list(range(0, 20, 2))


def test_many_cycles_leave_nothing_behind() -> None:
    for _ in range(5):
        host = FakeHost()
        with in_process(host):
            host.send([Send("task", 1)])
            eventually(lambda host=host: host.served == [1])
        assert our_threads() == []


def test_less_than_one_thread_or_process_is_refused() -> None:
    with pytest.raises(UsageError, match="threads: 0"):
        in_process(FakeHost(), threads=0)
    for processes, threads in ((0, 1), (1, 0)):
        with pytest.raises(UsageError, match="1 at least"):
            run_worker(Settings(), (), processes, threads)
    with pytest.raises(UsageError, match="need a broker") as caught:
        run_worker(Settings(), (), 2, 1)
    assert "DRAMATURG_BROKER_URL" in caught.value.hint


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_without_a_broker_it_serves_in_this_process_until_told(
    signum: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeHost()
    closed: list[str] = []

    class Service:
        def host(self, *, in_process: bool) -> FakeHost:
            assert in_process
            return host

        def close(self) -> None:
            closed.append("database")

    monkeypatch.setattr(worker_module, "open_service", lambda _settings: Service())
    host.on_tick = lambda: os.kill(os.getpid(), signum) or 1000.0  # type: ignore[func-returns-value]
    before = signal.getsignal(signum)
    assert run_worker(Settings(), ["images"], 1, 2) == 0
    assert (host.closed, closed) == (1, ["database"])
    assert host.stepper.queues == {"images"}
    assert signal.getsignal(signum) is before


def test_the_command_is_dramatiqs_own_with_a_thread_to_interpret() -> None:
    command = worker_command(["images", "dramaturg"], 3, 4, 8.0)
    assert command[1:] == [
        *("-m", "dramatiq", "dramaturg.actors.worker:boot"),
        *("--processes", "3", "--threads", "5", "--worker-shutdown-timeout", "8000"),
        *("--queues", "images", "dramaturg"),
    ]
    assert "--queues" not in worker_command([], 1, 1, 8.0)


def test_the_environment_carries_our_settings_and_fits_dramatiq() -> None:
    settings = Settings(
        database_url="postgresql://h/d",
        broker_url="redis://h",
        packs=(Path("/a"), Path("/b")),
        pass_env=("HOME", "TOKEN"),
        eager=False,
        lease=12.5,
        secret_key=None,
    )
    made = worker_environment(settings, {"PATH": "/bin", "dramatiq_queue_prefetch": "99"}, 4)
    assert made["DRAMATURG_PACKS"] == f"/a{os.pathsep}/b"
    assert (made["PATH"], made["dramatiq_queue_prefetch"]) == ("/bin", "99")
    assert "DRAMATURG_SECRET_KEY" not in made
    assert made["DRAMATURG_SUPERVISOR"] == str(os.getpid())
    assert made["dramatiq_worker_timeout"] == str(worker_module.SERVER_TIMEOUT)


def test_settings_read_back_from_that_environment_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        broker_url="redis://h", packs=(Path("/a"), Path("/b")), pass_env=("A", "B"), eager=False
    )
    for name, value in worker_environment(settings, {}, 4).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_the_embedded_broker_is_the_default_and_nothing_of_ours_is_global() -> None:
    first, second = in_process(FakeHost()), in_process(FakeHost())
    assert isinstance(first._broker, EmbeddedBroker)
    assert first._broker is not second._broker
