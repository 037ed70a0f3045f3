"""A host that only notes what it was asked to do, and ways to wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal

from dramaturg.engine.config import Settings


@dataclass(frozen=True)
class Send:
    """As the engine's."""

    kind: Literal["task", "interpret", "actor"]
    id: int
    queue: str = "default"
    priority: int = 0
    action: str = ""
    actor: str = ""


@dataclass
class FakeHost:
    """Notes calls; what the methods do can be replaced."""

    worker: str = "here"
    served: list[int] = field(default_factory=list)
    applied: list[int] = field(default_factory=list)
    follows: list[bool] = field(default_factory=list)
    settings: Any = field(default_factory=lambda: Settings(grace=0.5))
    post: Any = field(default_factory=lambda: SimpleNamespace(send=None))
    stepper: Any = field(default_factory=lambda: SimpleNamespace(queues=None))
    known_queues: frozenset[str] = frozenset()
    ticks: int = 0
    renewals: int = 0
    drained: list[float] = field(default_factory=list)
    closed: int = 0
    on_serve: Callable[[int], None] = lambda _key: None
    on_apply: Callable[[int], None] = lambda _key: None
    on_tick: Callable[[], float] = lambda: 1.0
    on_renew: Callable[[], None] = lambda: None
    on_changed: Callable[[], bool] = lambda: False
    send: Callable[[Sequence[Any]], None] = lambda _sends: None

    def serve_one(self, execution_id: int) -> None:
        self.on_serve(execution_id)
        self.served.append(execution_id)

    def apply(self, run: int, *, follow: bool = True) -> None:
        self.follows.append(follow)
        self.on_apply(run)
        self.applied.append(run)

    def tick(self) -> float:
        self.ticks += 1
        return self.on_tick()

    def renew(self) -> None:
        self.renewals += 1
        self.on_renew()

    def changed(self) -> bool:
        return self.on_changed()

    def drain(self, timeout: float = 0.0) -> None:
        self.drained.append(timeout)

    def close(self) -> None:
        self.closed += 1


def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until *condition* holds; fail after *seconds*."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def our_threads() -> list[str]:
    """Return the names of the threads that a worker of ours or of Dramatiq has started and not ended."""
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith("dramaturg-") or type(thread).__module__.startswith("dramatiq")
        # It never ends, and an app's broker has one.
        if type(thread).__name__ != "_CtypesTimeoutManager"
    ]
