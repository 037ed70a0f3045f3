"""Tells the workers of a database what there is to do, from a process that serves nothing itself.

Whoever serves the database is told: through the broker, where there is one; else the workers of this process
that were started with it. A broker that does not answer costs nothing but time: what is not said now is found by a clock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from dramaturg.actors.broker import make_broker
from dramaturg.actors.tasks import Dispatcher
from dramaturg.engine.config import Settings
from dramaturg.engine.errors import Unreachable
from dramaturg.engine.sends import Send

if TYPE_CHECKING:
    from dramatiq import Broker

log = logging.getLogger("dramaturg.client")

#: Seconds for which a broker that did not answer is left alone.
BROKER_REST: Final = 5.0


class Courier:
    """Tells workers; any thread may call it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._broker: Broker | None = None
        self._send: Callable[[Sequence[Send]], None] | None = None
        self._rest_until = 0.0
        #: What sends to the workers of this process, where there is no broker.
        self._workers: list[Callable[[Sequence[Send]], None]] = []

    def tell(self, run: int) -> None:
        """Tell a worker to look at a run; raises nothing for a dead broker."""
        self.send([Send(kind="interpret", id=run)])

    def send(self, sends: Sequence[Send]) -> None:
        """Tell workers; raises nothing for a dead broker."""
        send = self._sender()
        if send is not None:
            send(sends)

    @contextmanager
    def telling(self, send: Callable[[Sequence[Send]], None]) -> Iterator[None]:
        """Have a worker of this process told, as long as the context lasts."""
        with self._lock:
            self._workers.append(send)
        try:
            yield
        finally:
            with self._lock:
                self._workers.remove(send)

    def close(self) -> None:
        """Close the broker's connections."""
        with self._lock:
            broker, self._broker, self._send = self._broker, None, None
        if broker is not None:
            broker.close()

    def _sender(self) -> Callable[[Sequence[Send]], None] | None:
        with self._lock:
            if self._settings.broker_url is None:
                return self._workers[0] if self._workers else None
            if self._send is None and time.monotonic() >= self._rest_until:
                self._connect()
            return self._send

    def _connect(self) -> None:
        try:
            self._broker = make_broker(self._settings)
        except Unreachable as error:
            self._rest_until = time.monotonic() + BROKER_REST
            log.warning("%s; what is started is in the database, and is found there by a worker", error)
        else:
            self._send = Dispatcher(self._broker).send
