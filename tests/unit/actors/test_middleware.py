"""The lifeline: an orphan is told once, whoever else tells it too."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from actor_fakes import eventually, our_threads

from dramaturg.actors import middleware
from dramaturg.actors.middleware import SUPERVISOR, Lifeline


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The signals that reach Dramatiq's handler, while parent and supervisor seem to live."""
    monkeypatch.setattr(middleware, "LIFELINE", 0.01)
    monkeypatch.setattr(middleware, "_lives", lambda _pid: True)
    monkeypatch.setenv(SUPERVISOR, "1")
    got: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda signum, _frame: got.append(signum))
    yield got
    signal.signal(signal.SIGTERM, before)
    eventually(lambda: our_threads() == [])


def orphan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "_lives", lambda _pid: False)
    eventually(lambda: our_threads() == [])


def test_an_orphan_is_told_once_whatever_its_parent_says_afterwards(
    told: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker: Any = None
    Lifeline().after_process_boot(broker)
    orphan(monkeypatch)
    os.kill(os.getpid(), signal.SIGTERM)
    assert told == [signal.SIGTERM]


def test_an_orphan_that_was_told_already_is_not_told_again(
    told: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker: Any = None
    Lifeline().after_process_boot(broker)
    os.kill(os.getpid(), signal.SIGTERM)
    orphan(monkeypatch)
    assert told == [signal.SIGTERM]


def test_two_signals_are_two_as_long_as_nobody_is_missing(
    told: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker: Any = None
    Lifeline().after_process_boot(broker)
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
    assert told == [signal.SIGTERM] * 2
    orphan(monkeypatch)
