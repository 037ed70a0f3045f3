"""What runs beside the threads of a worker: the clock and the leases, from its start to its end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from dramatiq.middleware import Middleware

from dramaturg.actors.clock import make_clock, make_leases
from dramaturg.actors.slots import INTERPRETER_QUEUE

if TYPE_CHECKING:
    from dramatiq import Broker, Worker

    from dramaturg.engine.serve import Host

#: The process that `dramaturg worker` runs in, for the processes below it.
SUPERVISOR: Final = "DRAMATURG_SUPERVISOR"
#: Seconds between two looks whether that process and our parent still live.
LIFELINE: Final = 1.0


class Backstage(Middleware):
    """Starts clock and leases with a worker, and ends them and the host with it: a host serves once.

    The clock stops first; leases are renewed until the last action has ended.
    """

    def __init__(self, host: Host, *, watch: bool, drain: float) -> None:
        """Prepare; *watch* for other processes' writes; *drain*: seconds that running actions get to end."""
        self._host = host
        self.drain = drain
        #: Set while a worker stops.
        self.stopping = threading.Event()
        self.clock = make_clock(host, watch=watch)
        self.leases = make_leases(host)
        self._at_end: list[Callable[[], object]] = []

    def at_end(self, close: Callable[[], object]) -> None:
        """Have something closed when all the rest has ended."""
        self._at_end.append(close)

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        """Make known which queues are served; start the threads."""
        only = worker.consumer_whitelist
        if only:
            self._host.stepper.queues = frozenset(only) - {INTERPRETER_QUEUE}
        for queue in sorted({INTERPRETER_QUEUE, *(only or self._host.known_queues)}):
            broker.declare_queue(queue)
        self.stopping.clear()
        self.leases.start()
        self.clock.start()

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Take nothing new; let what runs end, or hand it back."""
        self.stopping.set()
        # Before the host drains: what it is asked to serve then, it leaves alone, and the message would be used up.
        for thread in worker.workers:
            thread.stop()
        self.clock.stop()
        self._host.drain(self.drain)

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """End what is left."""
        self.leases.stop()
        self._host.close()
        for close in self._at_end:
            close()


class Lifeline(Middleware):
    """Ends a worker process gently when the processes above it were killed: nobody would stop it otherwise.

    Dramatiq's second SIGTERM kills. An orphan may get one more, from a parent that sees a sibling end: it is no wish
    to hurry, and left alone.
    """

    def __init__(self) -> None:
        self._told = False
        self._orphaned = False
        self._terminate: Any = None

    def after_process_boot(self, broker: Broker) -> None:
        """Begin to watch; only Dramatiq's command line calls this, in the main thread and with its handlers set."""
        self._terminate = signal.signal(signal.SIGTERM, self._on_term)
        threading.Thread(
            target=self._watch, args=(os.getppid(),), name="dramaturg-lifeline", daemon=True
        ).start()

    def _on_term(self, signum: int, frame: FrameType | None) -> None:
        if self._told and self._orphaned:
            return
        self._told = True
        if callable(self._terminate):
            self._terminate(signum, frame)

    def _watch(self, parent: int) -> None:
        supervisor = int(os.environ.get(SUPERVISOR, "0"))
        pause = threading.Event()
        while os.getppid() == parent and (not supervisor or _lives(supervisor)):
            pause.wait(LIFELINE)
        self._orphaned = True
        os.kill(os.getpid(), signal.SIGTERM)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
