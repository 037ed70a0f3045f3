"""The threads that keep time: they tick, survive what goes wrong, and stop."""

from __future__ import annotations

import logging
import threading

import pytest
from actor_fakes import FakeHost, eventually, our_threads

from dramaturg.actors import clock
from dramaturg.actors.clock import Loop, make_clock, make_leases
from dramaturg.engine.errors import Unreachable


@pytest.fixture(autouse=True)
def _none_left() -> object:
    yield
    assert our_threads() == []


def test_the_clock_sleeps_until_the_next_due_row_and_no_longer() -> None:
    host = FakeHost(on_tick=lambda: 0.01)
    made = make_clock(host, watch=False)
    made.start()
    eventually(lambda: host.ticks > 5)
    made.stop()


def test_a_wake_up_makes_it_look_at_once_and_one_during_a_turn_is_not_lost() -> None:
    entered, leave = threading.Semaphore(0), threading.Semaphore(0)

    def tick() -> float:
        entered.release()
        assert leave.acquire(timeout=20)
        return 1000.0

    made = make_clock(FakeHost(on_tick=tick), watch=False)
    made.start()
    assert entered.acquire(timeout=20)
    made.wake()
    leave.release()
    assert entered.acquire(timeout=20), "the wake-up was lost"
    leave.release()
    made.wake()
    assert entered.acquire(timeout=20)
    leave.release()
    made.stop()


def test_what_another_process_writes_makes_it_look() -> None:
    written = threading.Event()

    def changed() -> bool:
        seen = written.is_set()
        written.clear()
        return seen

    host = FakeHost(on_tick=lambda: 1000.0, on_changed=changed)
    made = make_clock(host, watch=True)
    made.start()
    eventually(lambda: host.ticks == 1)
    written.set()
    eventually(lambda: host.ticks == 2)
    made.stop()


def test_a_watch_that_fails_does_not_end_the_clock() -> None:
    def changed() -> bool:
        raise Unreachable("the file is gone")

    host = FakeHost(on_tick=lambda: 0.2, on_changed=changed)
    made = make_clock(host, watch=True)
    made.start()
    eventually(lambda: host.ticks > 2)
    made.stop()


@pytest.mark.parametrize("error", [Unreachable("no database at x"), RuntimeError("a bug of ours")])
def test_an_outage_is_said_once_with_its_end_and_time_goes_on(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    broken = threading.Event()
    broken.set()

    def tick() -> float:
        if broken.is_set():
            raise error
        return 0.01

    host = FakeHost(on_tick=tick)
    made = make_clock(host, watch=False)
    with caplog.at_level(logging.WARNING):
        made.start()
        eventually(lambda: host.ticks >= 4)
        broken.clear()
        ticks = host.ticks
        eventually(lambda: host.ticks > ticks + 2)
        made.stop()
    assert [r.levelname for r in caplog.records] == ["ERROR", "WARNING"]
    assert str(error) in caplog.records[0].getMessage()
    assert "works again" in caplog.records[1].getMessage()
    # Where it happened matters for a bug, not for a database that is away.
    assert bool(caplog.records[0].exc_info) is isinstance(error, RuntimeError)


def test_leases_are_renewed_once_a_second_whatever_a_renewal_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert clock.RENEWAL == 1.0
    monkeypatch.setattr(clock, "RENEWAL", 0.01)

    def renew() -> None:
        if host.renewals == 2:
            raise Unreachable("no database")

    host = FakeHost(on_renew=renew)
    made = make_leases(host)
    made.start()
    eventually(lambda: host.renewals > 4)
    made.stop()


def test_stopping_does_not_wait_for_the_next_due_row() -> None:
    host = FakeHost(on_tick=lambda: 1000.0)
    made = make_clock(host, watch=True)
    made.start()
    eventually(lambda: host.ticks == 1)
    made.stop()
    assert host.ticks == 1


def test_a_turn_that_hangs_is_left_behind_and_does_not_go_on_beside_a_new_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock, "STOP_TIMEOUT", 0.05)
    hang, hung = threading.Event(), threading.Event()
    turns: list[str] = []

    def turn() -> float:
        turns.append(threading.current_thread().ident.__str__())
        if not hung.is_set():
            hung.set()
            hang.wait(20)
        return 0.01

    loop = Loop("clock", turn)
    loop.start()
    assert hung.wait(20)
    loop.stop()
    loop.start()
    eventually(lambda: len(turns) > 3)
    hang.set()
    before = len(turns)
    eventually(lambda: len(turns) > before + 3)
    loop.stop()
    eventually(lambda: our_threads() == [])
    assert turns.count(turns[0]) == 1


def test_it_may_be_started_again() -> None:
    host = FakeHost(on_tick=lambda: 1000.0)
    made = make_clock(host, watch=False)
    for n in (1, 2, 3):
        made.start()
        eventually(lambda n=n: host.ticks == n)
        made.stop()
