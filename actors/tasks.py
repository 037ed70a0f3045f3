"""The actor that runs a task, and the dispatcher that sends messages to it and to the interpreter.

A message holds an id and a version number, nothing else: it is a hint to go and look at the database, so it may be
lost, late, doubled or reordered.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from dramatiq import Actor, Broker, Message

from dramaturg.actors.outage import Outage
from dramaturg.actors.slots import INTERPRETER_QUEUE
from dramaturg.engine.errors import Unreachable

if TYPE_CHECKING:
    from dramaturg.engine.sends import Send
    from dramaturg.engine.serve import Host

log = logging.getLogger("dramaturg.actors")

TASK: Final = "dramaturg.task"
INTERPRET: Final = "dramaturg.interpret"
DEFAULT_QUEUE: Final = "default"
#: Of the messages; a worker leaves newer ones alone, and the clock sends again.
VERSION: Final = 1
#: Of what a process has fetched, runs are interpreted first: it is short, and makes work for others.
INTERPRET_PRIORITY: Final = 0
TASK_PRIORITY: Final = 10
#: Seconds for which nothing is sent at most, after a broker let a sender wait and then failed.
MAX_HOLD: Final = 5.0


@runtime_checkable
class SendsMany(Protocol):
    """A broker that sends many messages in one round trip; stock ones send them one by one."""

    def enqueue_many(self, messages: Sequence[Message[Any]]) -> object:
        """Send all of them."""
        ...


#: Where a message to an actor of the user's says which execution it is for.
OPTION: Final = "dramaturg"
#: An argument that no actor takes: where the middleware of this name is missing, the call fails and says so.
MIDDLEWARE: Final = "dramaturg.DurableTasks"


class Guard:
    """Runs a call of the host until the database answers or the worker stops.

    Without it a worker would use up the messages of all its queues while the database is away.
    """

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._outage = Outage("The database", "trying again until it answers", log)

    def call(self, serve: Callable[[int], None], key: int, version: int) -> None:
        """Call ``serve(key)``."""
        if version > VERSION:
            log.warning("left a message alone: version %s, this is %s", version, VERSION)
            return
        while True:
            try:
                serve(key)
            except Unreachable as error:
                if self._stopping.wait(self._outage.failed(error)):
                    return  # the row is in the database, and will be sent again
            else:
                self._outage.over()
                return


def declare_task(broker: Broker, host: Host, guard: Guard) -> None:
    """Declare the actor that runs a task: its message names an execution."""

    def task(execution: int, version: int = VERSION) -> None:
        guard.call(host.serve_one, execution, version)

    Actor(task, actor_name=TASK, queue_name=DEFAULT_QUEUE, priority=TASK_PRIORITY, broker=broker, options={})


class Dispatcher:
    """Sends what the engine has stored; any thread may call it."""

    def __init__(self, broker: Broker, what: str = "The broker", *, declares: bool = True) -> None:
        """Prepare; *what* it is for people; *declares*: whether queues are made known to it."""
        self._broker = broker
        self._declares = declares
        self._declaring = threading.Lock()
        self._known: frozenset[str] = frozenset()
        self._hold_until = 0.0
        self._outage = Outage(what, "what is not sent now is sent later", log)

    def send(self, sends: Sequence[Send]) -> None:
        """Send a message for each, in one round trip where the broker can.

        Raises nothing if the broker is gone: that is logged once an outage, and the clock sends again.
        """
        started = time.monotonic()
        if not sends or started < self._hold_until:
            return
        try:
            messages = [_message(send) for send in sends]
            self._declare({message.queue_name for message in messages})
            self._enqueue(messages)
            self._outage.over()
        except Exception as error:  # whatever kind of broker it is
            # A broker that refuses at once may be asked again at once, one that lets us wait may not.
            self._hold_until = time.monotonic() + min(time.monotonic() - started, MAX_HOLD)
            self._outage.failed(error)

    def _enqueue(self, messages: Sequence[Message[Any]]) -> None:
        if isinstance(self._broker, SendsMany):
            self._broker.enqueue_many(messages)
            return
        for message in messages:
            self._broker.enqueue(message)

    def _declare(self, queues: set[str]) -> None:
        """Make queues known: a worker of this process that takes any queue takes these from now on."""
        if not self._declares or queues <= self._known:
            return
        with self._declaring:
            for queue in sorted(queues - self._known):
                self._broker.declare_queue(queue)
            self._known |= queues


def _message(send: Send) -> Message[Any]:
    if send.kind == "actor":
        return _actors_message(send)
    interpret = send.kind == "interpret"
    return Message(
        queue_name=INTERPRETER_QUEUE if interpret else send.queue,
        actor_name=INTERPRET if interpret else TASK,
        args=(send.id, VERSION),
        kwargs={},
        options={"priority": send.priority} if send.priority else {},
    )


def _actors_message(send: Send) -> Message[Any]:
    return Message(
        queue_name=send.queue,
        actor_name=send.actor,
        args=(),
        kwargs={MIDDLEWARE: "add it to this broker"},
        # The engine retries, whatever the actor says.
        options={OPTION: {"execution": send.id, "version": VERSION}, "max_retries": 0},
    )
