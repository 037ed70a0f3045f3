"""Workers: Dramatiq's own, with our actors; in this process, or as Dramatiq's command line.

``dramatiq dramaturg.actors.worker:boot`` is all that a deployment needs; `run_worker` runs it and keeps it running.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import dramatiq
from dramatiq import Broker
from dramatiq import Worker as DramatiqWorker

from dramaturg.actors.broker import make_actors_broker, make_broker
from dramaturg.actors.embedded import EmbeddedBroker
from dramaturg.actors.interpreter import declare_interpreter
from dramaturg.actors.middleware import SUPERVISOR, Backstage, Lifeline
from dramaturg.actors.slots import INTERPRETER_QUEUE
from dramaturg.actors.supervisor import Supervisor, on_signals
from dramaturg.actors.tasks import Dispatcher, Guard, declare_task
from dramaturg.engine.config import load_settings
from dramaturg.engine.errors import DramaturgError, UsageError
from dramaturg.engine.failpoints import arm_from_environment

if TYPE_CHECKING:
    from dramaturg.engine.config import Settings
    from dramaturg.engine.serve import Host
    from dramaturg.engine.service import Service

#: Milliseconds after which an idle thread of an in-process worker looks whether it is to stop. Messages wake it.
IN_PROCESS_TIMEOUT: Final = 100
#: The same for Dramatiq's command line, where nobody waits for the end of a command.
SERVER_TIMEOUT: Final = 500
#: Seconds that a stopping worker gives the actions that run; then they are handed back, and stopped.
DRAIN: Final = 10.0
#: Seconds that threads get to end after that, on top of the grace that processes get.
MARGIN: Final = 3.0


def assemble(broker: Broker, host: Host, actors: Broker | None = None) -> Backstage:
    """Declare our actors and middleware on a broker, and let the host send through it.

    Args:
        actors: to the user's own actors; it stays open. None: what the settings name, if they name any.
    Raises:
        UsageError: they name one that makes no sense.
    """
    # Without a broker nobody tells that another process has written.
    backstage = Backstage(host, watch=isinstance(broker, EmbeddedBroker), drain=DRAIN)
    guard = Guard(backstage.stopping)
    declare_task(broker, host, guard)
    declare_interpreter(broker, host, guard)
    broker.add_middleware(backstage)
    host.send = Dispatcher(broker).send
    if actors is None and (actors := make_actors_broker(host.settings)) is not None:
        backstage.at_end(actors.close)
    if actors is not None:
        host.post.send = Dispatcher(actors, "The broker of the actors").send
    return backstage


class InProcessWorker:
    """Serves tasks with threads of this process: started once, stopped once, as its host.

    One thread more than asked for interprets runs, so that it is not kept from that by tasks.
    """

    def __init__(
        self,
        host: Host,
        threads: int = 4,
        queues: Collection[str] | None = None,
        *,
        broker: Broker | None = None,
        actors: Broker | None = None,
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            host: forgotten by the database when the worker stops; its database stays open.
            threads: how many tasks run at once.
            queues: the task queues to serve; none: every one that turns up.
            broker: where messages come from and go to; it stays open. None: an embedded one of its own.
            actors: to the user's own actors; it stays open. None: what the settings name, if they name any.
        Raises:
            UsageError: less than one thread, or a broker of actors that makes no sense.
        """
        if threads < 1:
            raise UsageError(f"threads: {threads} is less than 1")
        self._grace = host.settings.grace
        self._broker = broker if broker is not None else EmbeddedBroker()
        self._backstage = assemble(self._broker, host, actors)
        self._worker = DramatiqWorker(
            self._broker,
            queues={*queues, INTERPRETER_QUEUE} if queues else None,
            worker_threads=threads + 1,
            worker_timeout=IN_PROCESS_TIMEOUT,
        )
        self._state: Literal["new", "running", "stopped"] = "new"

    def start(self) -> None:
        """Start the threads; does nothing the second time."""
        if self._state == "new":
            self._state = "running"
            self._worker.start()

    def stop(self, timeout: float | None = None) -> None:
        """Take nothing new, give the actions that run *timeout* seconds (`DRAIN`), hand them back, end the threads."""
        if self._state != "running":
            return
        self._state = "stopped"
        self._backstage.drain = DRAIN if timeout is None else timeout
        self._worker.stop(timeout=int((self._grace + MARGIN) * 1000))

    def wake(self) -> None:
        """Let the clock look now."""
        self._backstage.clock.wake()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def open_service(settings: Settings) -> Service:
    """Open the database of a worker; an embedded one is made, and learns the packs of the search path.

    Raises:
        DefinitionError: a pack of an embedded worker is wrong.
        Unreachable: the database does not answer.
        SchemaOutdated: its tables are not what this version needs.
    """
    from dramaturg.engine.service import Service

    embedded = settings.resolved_database_url.startswith("sqlite:")
    service = Service.open(settings, migrate=embedded)
    if embedded and settings.broker_url is None:
        service.register()
    return service


def boot() -> None:
    """Set up this process's broker, host and actors: the app factory of Dramatiq's command line.

    Raises:
        SystemExit: a setting is wrong, or the database or broker does not answer; one line says what.
    """
    arm_from_environment()
    try:
        settings = load_settings()
        broker = make_broker(settings)
        host = open_service(settings).host(in_process=isinstance(broker, EmbeddedBroker))
        assemble(broker, host)
    except DramaturgError as error:
        raise SystemExit(f"dramaturg: {error}") from None
    broker.add_middleware(Lifeline())
    dramatiq.set_broker(broker)  # noqa: TID251 - Dramatiq's command line asks for it there


def run_worker(settings: Settings, queues: Sequence[str] = (), processes: int = 1, threads: int = 4) -> int:
    """Serve tasks until SIGTERM or SIGINT; return the exit code. Only in the main thread.

    With a broker: Dramatiq's own command line, in as many processes; started again should it end. Without one:
    threads of this process, which serve whatever the database holds.

    Args:
        queues: the task queues to serve; empty: all.
        threads: how many tasks run at once in each process.
    Raises:
        UsageError: a number makes no sense.
        Unreachable: the database or the broker does not answer; later on, a running worker waits for both.
    """
    if processes < 1 or threads < 1:
        raise UsageError(f"processes: {processes}, threads: {threads}: both are 1 at least")
    if settings.broker_url is None:
        if processes > 1:
            raise UsageError("several processes need a broker", hint="set DRAMATURG_BROKER_URL=redis://...")
        return _serve_here(settings, queues, threads)
    make_broker(settings).close()
    open_service(settings).close()
    end = settings.grace + MARGIN
    environment = worker_environment(settings, os.environ, threads)
    command = worker_command(queues, processes, threads, end)
    # Dramatiq waits so long for its threads, then for its consumers.
    return Supervisor(command, environment, patience=DRAIN + 2 * end + MARGIN).run()


def worker_command(queues: Sequence[str], processes: int, threads: int, end: float) -> list[str]:
    """Return the command that runs our actors in Dramatiq's own command line."""
    command = [sys.executable, "-m", "dramatiq", "dramaturg.actors.worker:boot"]
    command += ["--processes", str(processes), "--threads", str(threads + 1)]
    command += ["--worker-shutdown-timeout", str(int(end * 1000))]
    if queues:
        command += ["--queues", *dict.fromkeys([*queues, INTERPRETER_QUEUE])]
    return command


def worker_environment(settings: Settings, environment: Mapping[str, str], threads: int) -> dict[str, str]:
    """Return the environment for Dramatiq's command line: ours, our settings, and fitting ones of Dramatiq."""
    ours = {
        f"DRAMATURG_{name.upper()}": _as_text(getattr(settings, name)) for name in settings.model_fields_set
    }
    dramatiqs = {
        # A stock broker fetches no more than can be served at once; what it holds, others can't have.
        "dramatiq_queue_prefetch": str(threads),
        "dramatiq_worker_timeout": str(SERVER_TIMEOUT),
        "dramatiq_restart_delay": "1000",
    }
    given = {name: value for name, value in ours.items() if value is not None}
    return {**dramatiqs, **environment, **given, SUPERVISOR: str(os.getpid())}


def _as_text(value: Any) -> str | None:
    """Return a setting as the environment has it; None: not set."""
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case tuple():
            separator = os.pathsep if any(isinstance(part, os.PathLike) for part in value) else ","
            return separator.join(str(part) for part in value)
        case _:
            return str(value)


def _serve_here(settings: Settings, queues: Sequence[str], threads: int) -> int:
    told = threading.Event()
    with contextlib.closing(open_service(settings)) as service:
        worker = InProcessWorker(service.host(in_process=True), threads, queues)
        with on_signals(lambda _signum: told.set()), worker:
            told.wait()
    return 0
