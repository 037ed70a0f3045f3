"""A broker inside one process: the embedded default.

Unlike Dramatiq's stub broker it gives prefetched messages back when a worker stops, keeps no dead letters, and
holds a bounded number of messages: the database is the truth, and what is dropped here the clock sends again.
It knows no delays: what waits is a row with a due time.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

from dramatiq import Broker, Consumer, Message, MessageProxy
from dramatiq.errors import QueueJoinTimeout, QueueNotFound
from dramatiq.middleware import Middleware

from dramaturg.actors.slots import Slots

#: Messages of one queue that are kept at most.
LIMIT: Final = 10_000

#: Priority (lower first), number in order of sending, the message.
Entry: TypeAlias = tuple[int, int, Message[Any]]


class EmbeddedBroker(Broker):
    """Hands messages from threads to threads of this process."""

    def __init__(self, middleware: Sequence[Middleware] = ()) -> None:
        self.slots = Slots()
        self._numbers = itertools.count()
        self._waiting: dict[str, list[Entry]] = {}
        super().__init__([self.slots, *middleware])
        self.queues = self._waiting

    def declare_queue(self, queue_name: str) -> None:
        """Make a queue, unless it is there."""
        with self.slots.changed:
            if queue_name in self._waiting:
                return
            self._waiting[queue_name] = []
        self.emit_before("declare_queue", queue_name)
        self.emit_after("declare_queue", queue_name)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Hand a message on.

        Raises:
            QueueNotFound: the queue was not declared.
            ValueError: a delay; the clock does the waiting.
        """
        if delay is not None:
            raise ValueError("the embedded broker knows no delays")
        self.enqueue_many([message])
        return message

    def enqueue_many(self, messages: Sequence[Message[Any]]) -> None:
        """Hand messages on; those above the limit of a queue are dropped.

        Raises:
            QueueNotFound: a queue was not declared; nothing was handed on.
        """
        for message in messages:
            if message.queue_name not in self._waiting:
                raise QueueNotFound(message.queue_name)  # type: ignore[no-untyped-call]
        for message in messages:
            self.emit_before("enqueue", message, None)
        with self.slots.changed:
            for message in messages:
                waiting = self._waiting[message.queue_name]
                if len(waiting) < LIMIT:
                    heapq.heappush(waiting, (_priority(message), next(self._numbers), message))
            self.slots.changed.notify_all()
        for message in messages:
            self.emit_after("enqueue", message, None)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 100) -> Consumer:
        """Return a consumer that waits at most *timeout* milliseconds for each message."""
        if queue_name not in self._waiting:
            raise QueueNotFound(queue_name)  # type: ignore[no-untyped-call]
        return _EmbeddedConsumer(self, queue_name, prefetch, timeout / 1000)

    def take(self, queue_name: str, prefetch: int, timeout: float) -> MessageProxy | None:
        """Return the next message, None if there is none within *timeout* seconds or no thread for it."""
        waiting = self._waiting[queue_name]
        with self.slots.changed:
            ready = self.slots.changed.wait_for(
                lambda: bool(waiting) and self.slots.free(queue_name, prefetch) > 0, timeout
            )
            if not ready:
                return None
            self.slots.hold(queue_name)
            return _Held(heapq.heappop(waiting))

    def give_back(self, queue_name: str, entries: Iterable[Entry]) -> None:
        """Put messages back to where they were in the queue."""
        with self.slots.changed:
            for entry in entries:
                heapq.heappush(self._waiting[queue_name], entry)
                self.slots.give(queue_name, 1)
            self.slots.changed.notify_all()

    def flush(self, queue_name: str) -> None:
        """Drop what waits in a queue."""
        with self.slots.changed:
            self._waiting[queue_name].clear()
            self.slots.changed.notify_all()

    def flush_all(self) -> None:
        """Drop what waits in all queues."""
        for queue_name in self.get_declared_queues():
            self.flush(queue_name)

    def join(self, queue_name: str, *, timeout: int | None = None) -> None:
        """Wait until nothing of a queue waits or is being served; *timeout* in milliseconds.

        Raises:
            QueueJoinTimeout: it took longer.
        """
        waiting = self._waiting[queue_name]
        with self.slots.changed:
            done = self.slots.changed.wait_for(
                lambda: not waiting and not self.slots.held(queue_name),
                None if timeout is None else timeout / 1000,
            )
        if not done:
            raise QueueJoinTimeout(queue_name)  # type: ignore[no-untyped-call]


class _Held(MessageProxy):
    """A message that was taken, with its place in the queue."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(entry[2])
        self.entry = entry


class _EmbeddedConsumer(Consumer):
    def __init__(self, broker: EmbeddedBroker, queue_name: str, prefetch: int, timeout: float) -> None:
        self._broker = broker
        self._queue = queue_name
        self._prefetch = prefetch
        self._timeout = timeout

    def __next__(self) -> MessageProxy | None:
        return self._broker.take(self._queue, self._prefetch, self._timeout)

    def ack(self, message: MessageProxy) -> None:
        self._broker.slots.give(self._queue, 1)

    def nack(self, message: MessageProxy) -> None:
        self._broker.slots.give(self._queue, 1)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        self._broker.give_back(self._queue, [m.entry for m in messages if isinstance(m, _Held)])


def _priority(message: Message[Any]) -> int:
    return int(message.options.get("priority", 0))
