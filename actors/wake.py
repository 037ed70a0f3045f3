"""A Redis broker that wakes its consumers at once.

Dramatiq's wire format, keys and Lua script stay as they are: stock workers, senders and tools of the same namespace
work together with it. What is different:

* A sender also pushes a token to a list, ``<namespace>:__wake__.<queue>``; an idle consumer blocks on that list
  instead of polling. A consumer blocks only after it has seen the queue empty, hence tokens are needed by those
  that are blocked at that moment, and of what is left a few are kept. A token that gets lost (a stock sender, a
  killed consumer, FLUSHALL) costs at most `POLL` seconds: then the consumer looks by itself.
* A consumer whose process has no free thread waits for one, and fetches nothing meanwhile (`slots.py`).
* `enqueue_many` sends in one round trip.
* Redis being away stops no thread: consumers try again every second, acknowledgements are made up for later,
  sending raises at once. A message that is lost or delivered twice does no harm here.
* There are no delays: what waits is a row with a due time.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from dramatiq import Consumer, Message, MessageProxy
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import current_millis
from dramatiq.errors import DecodeError
from dramatiq.middleware import Middleware
from redis import Redis
from redis.exceptions import NoScriptError, RedisError
from uuid_utils.compat import uuid7

from dramaturg.actors.outage import Outage
from dramaturg.actors.slots import NAMESPACE, Slots

log = logging.getLogger("dramaturg.redis")

#: Commands out of a million that also clean up after dead processes (Dramatiq: 1,000). Not relied upon.
MAINTENANCE_CHANCE: Final = 10_000
#: Seconds after which an idle consumer looks by itself.
POLL: Final = 1.0
#: Consumers that one call wakes at most.
TOKENS: Final = 32
#: Tokens that are kept for consumers which are about to block.
SPARE_TOKENS: Final = 4
#: Messages in one round trip.
CHUNK: Final = 500
#: Seconds between heartbeats of a process whose threads are all busy; Dramatiq gives it up after 60.
HEARTBEAT: Final = 10.0
#: Acknowledgements that are made up for after an outage.
OWED: Final = 1_000


class WakingRedisBroker(RedisBroker):
    """Dramatiq's Redis broker, with consumers that are woken."""

    def __init__(self, client: Redis, *, namespace: str = NAMESPACE, wakes: bool = True) -> None:
        """Prepare; *wakes*: whether consumers of this namespace wait for tokens: stock ones do not."""
        self._wakes = wakes
        self.slots = Slots()
        middleware: list[Middleware] = [self.slots]
        super().__init__(  # type: ignore[no-untyped-call]
            client=client, namespace=namespace, middleware=middleware, maintenance_chance=MAINTENANCE_CHANCE
        )
        self.outage = Outage("Redis", "waiting for it, no message is received", log)

    def declare_queue(self, queue_name: str) -> None:
        """Make a queue known, unless it is; there is no queue of delayed messages beside it."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 1000) -> Consumer:
        """Return a consumer that waits at most *timeout* milliseconds, and `POLL` seconds, for a message."""
        return _WakingConsumer(self, queue_name, prefetch, min(timeout / 1000, POLL))

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Send a message.

        Raises:
            RedisError: it is not known whether it was sent.
            ValueError: a delay; the clock does the waiting.
        """
        if delay is not None:
            raise ValueError("this broker knows no delays")
        return self.enqueue_many([message])[0]

    def enqueue_many(self, messages: Sequence[Message[Any]]) -> list[Message[Any]]:
        """Send messages, `CHUNK` a round trip.

        Raises:
            RedisError: it is not known which of them were sent.
        """
        # Redis needs an id that is unique even where a message is sent twice.
        prepared = [message.copy(options={"redis_message_id": str(uuid7())}) for message in messages]
        for message in prepared:
            self.emit_before("enqueue", message, None)
        for start in range(0, len(prepared), CHUNK):
            self._send(prepared[start : start + CHUNK])
        for message in prepared:
            self.emit_after("enqueue", message, None)
        return prepared

    def _send(self, messages: Sequence[Message[Any]]) -> None:
        results = self._pipe(messages)
        unknown = [m for m, r in zip(messages, results, strict=False) if isinstance(r, NoScriptError)]
        if unknown:
            # A restarted or flushed server has forgotten the script; the others have been sent.
            self.client.script_load(self.scripts["dispatch"].script)
            results = [*results, *self._pipe(unknown)]
        for result in results:
            if isinstance(result, RedisError) and not isinstance(result, NoScriptError):
                raise result

    def _pipe(self, messages: Sequence[Message[Any]]) -> list[Any]:
        """Make one round trip; the first results are those of the messages, in order, and errors are among them."""
        sha = self.scripts["dispatch"].sha
        with self.client.pipeline(transaction=False) as pipe:
            for message in messages:
                arguments = self._arguments(
                    "enqueue", message.queue_name, message.options["redis_message_id"], message.encode()
                )
                pipe.evalsha(sha, 1, self.namespace, *arguments)
            for queue, count in Counter(m.queue_name for m in messages).items():
                self.push_tokens(pipe, queue, count)
            return list(pipe.execute(raise_on_error=False))

    def _arguments(self, command: str, queue: str, *arguments: Any) -> list[Any]:
        # The order is that of the script, dramatiq/brokers/redis/dispatch.lua.
        return [
            command,
            current_millis(),
            queue,
            self.broker_id,
            self.heartbeat_timeout,
            self.dead_message_ttl,
            self._should_do_maintenance(command),
            self._max_unpack_size(),  # type: ignore[no-untyped-call]
            *arguments,
        ]

    def wake_key(self, queue: str) -> str:
        """Return the key of the list of tokens of a queue."""
        return f"{self.namespace}:__wake__.{queue}"

    def push_tokens(self, client: Any, queue: str, count: int) -> None:
        """Wake up to *count* consumers of a queue."""
        if not self._wakes:
            return
        key = self.wake_key(queue)
        client.rpush(key, *["1"] * min(count, TOKENS))
        client.ltrim(key, -SPARE_TOKENS, -1)

    def close(self) -> None:
        """Close all connections."""
        self.client.close()
        self.client.connection_pool.disconnect()


class _WakingConsumer(Consumer):
    def __init__(self, broker: WakingRedisBroker, queue_name: str, prefetch: int, timeout: float) -> None:
        self._broker = broker
        self._slots = broker.slots
        self._queue = queue_name
        self._prefetch = prefetch
        self._timeout = timeout
        self._fetched: deque[MessageProxy] = deque()
        #: The last fetch took all there was: block before the next one.
        self._drained = False
        self._owed: deque[str] = deque(maxlen=OWED)
        self._last_call = 0.0

    def __next__(self) -> MessageProxy | None:
        if not self._fetched:
            try:
                self._refill()
                self._broker.outage.over()
            except RedisError as error:
                time.sleep(min(self._broker.outage.failed(error), self._timeout))
        return self._fetched.popleft() if self._fetched else None

    def _refill(self) -> None:
        if not self._slots.wait(self._queue, self._prefetch, self._timeout):
            self._show_life()
            return
        if self._drained and not self._woken():
            return
        count = self._slots.take(self._queue, self._prefetch, 0)
        if not count:
            return
        messages: list[MessageProxy] = []
        fetched = 0
        try:
            data = self._broker.do_fetch(self._queue, count)
            fetched = len(data)
            messages.extend(self._decoded(data))
        finally:
            self._slots.give(self._queue, count - len(messages))
        self._last_call = time.monotonic()
        self._drained = fetched < count
        self._fetched.extend(sorted(messages, key=lambda message: int(message.options.get("priority", 0))))
        self._pay()

    def _woken(self) -> bool:
        """Wait for a token; say whether to fetch: also after `POLL` seconds without one."""
        token = self._broker.client.blpop([self._broker.wake_key(self._queue)], timeout=self._timeout)
        if token and not self._slots.free(self._queue, self._prefetch):
            # Another queue of this process has taken the thread meanwhile: wake somebody else.
            self._broker.push_tokens(self._broker.client, self._queue, 1)
            return False
        return True

    def _show_life(self) -> None:
        """Tell Redis from time to time that this process lives, though it fetches nothing."""
        if time.monotonic() - self._last_call > HEARTBEAT:
            self._broker.do_fetch(self._queue, 0)
            self._last_call = time.monotonic()

    def _decoded(self, data: Iterable[bytes | None]) -> Iterator[MessageProxy]:
        for item in data:
            if item is None:
                continue  # its id was in the list twice, or the message was removed
            try:
                yield MessageProxy(Message.decode(item))
            except DecodeError:
                log.error("Left out a message on queue %r that is none: %r", self._queue, item[:200])

    def _pay(self) -> None:
        while self._owed:
            self._broker.do_ack(self._queue, self._owed[0])
            self._owed.popleft()

    def ack(self, message: MessageProxy) -> None:
        self._settle(self._broker.do_ack, message)

    def nack(self, message: MessageProxy) -> None:
        self._settle(self._broker.do_nack, message)

    def _settle(self, command: Any, message: MessageProxy) -> None:
        message_id = message.options["redis_message_id"]
        try:
            command(self._queue, message_id)
        except RedisError as error:
            self._broker.outage.failed(error)
            self._owed.append(message_id)
        finally:
            self._slots.give(self._queue, 1)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        message_ids = [message.options["redis_message_id"] for message in messages]
        if not message_ids:
            return
        try:
            self._broker.do_requeue(self._queue, *message_ids)
            self._broker.push_tokens(self._broker.client, self._queue, len(message_ids))
        except RedisError as error:
            log.warning("%d messages could not be given back: %s", len(message_ids), error)
        finally:
            self._slots.give(self._queue, len(message_ids))

    def close(self) -> None:
        """Give back what was fetched and not handed out."""
        self.requeue(list(self._fetched))
        self._fetched.clear()
