"""How many messages one process may hold: no more than it has threads to serve them.

Dramatiq fetches twice as many messages as there are threads, for each queue: what it holds waits behind long tasks
while other processes idle. Our brokers ask here before they fetch.

One thread is kept free of tasks: it interprets runs, so that a process whose tasks all take an hour still applies
a cancel, a signal or a start.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from dramatiq.middleware import Middleware

if TYPE_CHECKING:
    from dramatiq import Broker, Worker

#: What our keys on Redis begin with. Not "dramatiq": an app's own workers would fetch our messages, and we theirs.
NAMESPACE: Final = "dramaturg"
#: The queue of messages that ask to interpret a run.
INTERPRETER_QUEUE: Final = "dramaturg"
#: Stands for the queue of a task that an interpreting thread goes on with; no queue may be called so.
_FOLLOWING: Final = " following"


class Slots(Middleware):
    """Counts the messages that are held, by queue; a middleware because Dramatiq's Worker knows the number of threads.

    Without a worker of this process (a bare consumer) only the consumers' own prefetch counts.
    """

    def __init__(self) -> None:
        #: Notified whenever a slot becomes free; also the embedded broker's lock.
        self.changed = threading.Condition()
        self._held: Counter[str] = Counter()
        self._threads: int | None = None
        self._reserved = 0
        self._closed = False

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        """Learn how many threads there are, and whether this worker interprets runs."""
        only = worker.consumer_whitelist
        with self.changed:
            self._closed = False
            self._threads = worker.worker_threads
            interprets = not only or INTERPRETER_QUEUE in only
            self._reserved = 1 if interprets and worker.worker_threads > 1 else 0
            self.changed.notify_all()

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Let nothing more be fetched: a worker that stops leaves the messages to others."""
        with self.changed:
            self._closed = True

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Forget the worker."""
        with self.changed:
            self._threads = None
            self._closed = False
            self.changed.notify_all()

    def held(self, queue: str) -> int:
        """Return how many messages of *queue* are held: prefetched or being served."""
        with self.changed:
            return self._held[queue]

    def free(self, queue: str, prefetch: int) -> int:
        """Return how many more messages of *queue* may be fetched now; *prefetch* bounds what one queue holds."""
        with self.changed:
            free = 0 if self._closed else prefetch - self._held[queue]
            if self._threads is not None:
                free = min(free, self._threads - self._held.total())
                if queue != INTERPRETER_QUEUE:
                    free = min(free, self._free_for_tasks(self._threads))
            return max(free, 0)

    def _free_for_tasks(self, threads: int) -> int:
        tasks = self._held.total() - self._held[INTERPRETER_QUEUE]
        return threads - self._reserved - tasks

    @contextmanager
    def as_task(self) -> Iterator[bool]:
        """Let a thread that interprets a run go on with a task of it; gives whether it may.

        It may if another task may be served by this process, and counts as one meanwhile.
        """
        with self.changed:
            may = not self._closed and (self._threads is None or self._free_for_tasks(self._threads) > 0)
            self._held[INTERPRETER_QUEUE] -= may
            self._held[_FOLLOWING] += may
            self.changed.notify_all()
        try:
            yield may
        finally:
            with self.changed:
                self._held[_FOLLOWING] -= may
                self._held[INTERPRETER_QUEUE] += may
                self.changed.notify_all()

    def wait(self, queue: str, prefetch: int, timeout: float) -> bool:
        """Wait at most *timeout* seconds for a free slot; say whether there is one."""
        with self.changed:
            return self.changed.wait_for(lambda: self.free(queue, prefetch) > 0, timeout)

    def take(self, queue: str, prefetch: int, timeout: float) -> int:
        """Take all the slots that *queue* may have, waiting at most *timeout* seconds for the first; return how many."""
        with self.changed:
            self.wait(queue, prefetch, timeout)
            count = self.free(queue, prefetch)
            self._held[queue] += count
            return count

    def hold(self, queue: str) -> None:
        """Take one slot that was seen to be free; the caller holds `changed`."""
        self._held[queue] += 1

    def give(self, queue: str, count: int) -> None:
        """Give *count* slots of *queue* back."""
        if count:
            with self.changed:
                self._held[queue] = max(self._held[queue] - count, 0)
                self.changed.notify_all()
