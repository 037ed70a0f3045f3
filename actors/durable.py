"""Makes tasks of the actors that an app has, as they are: `DurableTasks`, a middleware for the app's own broker.

The engine sends an actor a message that holds only ids. Two hooks go around it. The reporter, outermost, claims the
execution before anything else happens, and puts the task's parameters into the message; when all is over it waits for
the report to be stored, and only then is the message acknowledged. The guard, innermost, knows exactly when the
actor's code runs: there it may be interrupted, and there it may speak (`dramaturg.heartbeat` and the others).

Messages that are no tasks are not touched. Retries of tasks are the engine's: Dramatiq's leaves them alone.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from dramatiq.middleware import Middleware, SkipMessage, TimeLimit

from dramaturg.actors.broker import make_actors_broker
from dramaturg.actors.clock import Loop, make_leases
from dramaturg.actors.courier import Courier
from dramaturg.actors.errand import Errand, outcome_of, run_errand
from dramaturg.actors.outage import Outage
from dramaturg.actors.tasks import OPTION, VERSION, Dispatcher
from dramaturg.engine.config import SQLITE, Settings, load_settings
from dramaturg.engine.errors import DramaturgError, Failure, Unreachable
from dramaturg.engine.runtime import ActionOutcome, ActionRequest
from dramaturg.engine.service import Service

if TYPE_CHECKING:
    from dramatiq import Broker, MessageProxy, Worker

    from dramaturg.engine.serve import Host

log = logging.getLogger("dramaturg.actors")

#: Seconds for which a task waits for a database that does not answer, at most. Then its message is used up, and those of
#: other tasks for as long, so that the app's other messages are served; the engine sends them again.
PATIENCE: Final = 5.0


class _Everything(str):
    """Stands for all exceptions where Dramatiq asks ``isinstance(exception, throws)``.

    A text, so that a message that has it among its options can still be written as JSON, as Callbacks does.
    """

    def __instancecheck__(self, instance: object) -> bool:
        return True


EVERYTHING: Final = _Everything("everything")
#: Where the result of an actor goes by a message of Dramatiq's own; ours goes another way.
NOWHERE: Final = False


#: Of each thread: the errand that it is on. Of all brokers, as the hooks may change while an actor runs.
_here = threading.local()


class DurableTasks(Middleware):
    """Makes the actors of a broker tasks of workflows (`runtime: dramatiq`), without a change to them.

    ``broker.add_middleware(DurableTasks())`` takes the settings from the environment and from dramaturg.toml;
    ``DurableTasks(database_url=..., broker_url=...)`` gives some of them. It matters only in the app's workers.
    """

    def __init__(self, settings: Settings | None = None, **given: Any) -> None:
        """Prepare; nothing is connected before a worker starts.

        Raises:
            UsageError: a setting makes no sense.
        """
        self._settings = settings or load_settings(**given)
        self._desk: _Desk | None = None

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        """Put the two hooks around all other middleware, and open the engine."""
        desk = self._desk = _Desk(self._settings, broker)
        others = [one for one in broker.middleware if not isinstance(one, _Reporter | _Guard)]
        broker.middleware = [_Reporter(desk), *others, _Guard()]
        desk.open()

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Wait for nothing any more."""
        if self._desk is not None:
            self._desk.stopping.set()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Hand back what has not ended until now, and close the engine."""
        if self._desk is not None:
            self._desk.close()


class _Desk:
    """The engine of an app's worker process: opened once the database answers, shared by the hooks of all threads."""

    def __init__(self, settings: Settings, broker: Broker) -> None:
        # A task is followed by a message: the next one is not for this thread, nor even for this app.
        self._settings = settings.model_copy(update={"eager": False, "packs": ()})
        self._broker = broker
        self.stopping = threading.Event()
        self._opening = threading.Lock()
        self._host: Host | None = None
        self._leases: Loop | None = None
        self._courier = Courier(self._settings)
        self._service: Service | None = None
        self._actors: Broker | None = None
        self._outage = Outage("The database of workflows", "their tasks wait", log)
        self._rest_until = 0.0

    def open(self) -> None:
        """Try to open the database; it is tried again when the first task comes."""
        try:
            self.host()
        except DramaturgError as error:
            self._outage.failed(error)

    def host(self) -> Host:
        """Return the engine.

        Raises:
            DramaturgError: the database does not answer, is not there, or is not what this version needs.
        """
        with self._opening:
            if self._host is None:
                self._host = self._open()
                self._outage.over()
            return self._host

    def _open(self) -> Host:
        _require_database(self._settings)
        service = Service.open(self._settings)
        host = service.host(in_process=False, kind="actor", run=run_errand)
        host.send = self._courier.send
        host.mute = self._settings.broker_url is None
        # Not by the app's own broker object: it would begin to receive from each queue that it sends to.
        self._actors = make_actors_broker(self._settings)
        what = "The broker of the actors"
        sender = Dispatcher(self._actors or self._broker, what, declares=self._actors is not None)
        host.post.send = sender.send
        self._service = service
        self._leases = make_leases(host)
        self._leases.start()
        return host

    def close(self) -> None:
        """Hand back what runs, and end everything."""
        with self._opening:
            host, leases, service = self._host, self._leases, self._service
            self._host = None
        if host is not None:
            try:
                host.drain()
            except Unreachable as error:
                log.warning("what runs is made again once its lease is over: %s", error)
            if leases is not None:
                leases.stop()
            host.close()
        for closing in (service, self._courier, self._actors):
            if closing is not None:
                closing.close()

    # -- the errands of threads ----------------------------------------------------------------------------

    def begin(self, execution_id: int) -> Errand | None:
        """Claim an execution for this thread; None: it is not to be had, or not now."""
        _here.errand = None
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() >= self._rest_until:
            try:
                errand = Errand(self.host(), execution_id)
                errand.start()
            except Unreachable as error:
                pause = min(self._outage.failed(error), deadline - time.monotonic())
                if pause <= 0:
                    self._rest_until = time.monotonic() + PATIENCE
                if pause <= 0 or self.stopping.wait(pause):
                    return None
            else:
                self._outage.over()
                if errand.request is None:
                    return None
                _here.errand = errand
                return errand
        return None

    def refuse(self, execution_id: int, failure: Failure) -> None:
        """Fail an execution that nobody here can make."""
        errand = Errand(self.host(), execution_id)
        errand.end(ActionOutcome(status="failed", error=failure))
        errand.start()
        errand.join()


class _Reporter(Middleware):
    """Claims before all other middleware, and acknowledges after all other middleware."""

    def __init__(self, desk: _Desk) -> None:
        self._desk = desk

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Claim the execution that a message is for, and prepare the message; skip it if that is not to be had."""
        execution = _execution(message)
        if execution is None:
            return
        errand = None
        try:
            if execution:
                errand = self._desk.begin(execution)
        except Exception as error:  # the actor must not run without a claim, whatever went wrong
            log.error("execution %s is left alone: %s", execution, error, exc_info=_trace(error))
        if errand is None or errand.request is None:
            raise SkipMessage(f"execution {execution} is not to be had")
        _give(message, errand.request)
        message.options["throws"] = EVERYTHING
        timeout = errand.request.timeout
        if timeout is not None and _own_limit(broker, message) is None:
            # The task's timeout counts, and is seen to by the errand; Dramatiq's general limit would come before it.
            message.options["time_limit"] = int((timeout + errand.request.grace) * 1000) + 60_000

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """Wait for the report; then the message is used up, however the actor ended."""
        errand, _here.errand = _current(), None
        if errand is not None:
            errand.join()
            message.failed = False

    after_skip_message = after_process_message

    def after_nack(self, broker: Broker, message: MessageProxy) -> None:
        """Fail the task of a message for an actor that this app does not have."""
        execution = _execution(message)
        if not execution or message.actor_name in broker.actors:
            return
        name, queue = message.actor_name, message.queue_name
        text = f"the app that serves the queue {queue} has no actor {name}"
        try:
            self._desk.refuse(execution, Failure(type="UnknownAction", message=text))
        except DramaturgError as error:
            log.error("execution %s is left alone: %s", execution, error)


class _Guard(Middleware):
    """Goes with the actor's own code, inside all other middleware."""

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Let it be interrupted from here on."""
        errand = _current()
        if errand is not None:
            # Else Dramatiq warns of a result that is thrown away, unless the app keeps results itself.
            message.options.setdefault("pipe_target", NOWHERE)
            errand.enter()

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """Report how it ended."""
        errand = _current()
        if errand is not None:
            errand.leave()
            if message.options.get("pipe_target") is NOWHERE:
                del message.options["pipe_target"]
            errand.end(outcome_of(errand, result, exception, _limit(broker, message)))

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        """Report that another middleware has kept the actor from running."""
        errand = _current()
        if errand is not None:
            text = "a middleware of the app skipped the message"
            errand.leave()
            errand.end(ActionOutcome(status="failed", error=Failure(type=SkipMessage.__name__, message=text)))


def _current() -> Errand | None:
    """Return the errand of this thread."""
    return cast("Errand | None", getattr(_here, "errand", None))


def _execution(message: MessageProxy) -> int | None:
    """Return the execution that a message is for; 0: one of a newer version, None: the message is no task."""
    task = message.options.get(OPTION)
    if task is None:
        return None
    if not isinstance(task, dict) or not isinstance(task.get("execution"), int):
        return 0
    if task.get("version", VERSION) > VERSION:
        log.warning("left a message alone: version %s, this is %s", task["version"], VERSION)
        return 0
    return int(task["execution"])


def _give(message: MessageProxy, request: ActionRequest) -> None:
    """Have the actor called with the task's parameters; others see them in the message unless there are secrets."""
    if request.secret:
        # Dramatiq's worker reads this one; what logs a message, or sends it on, reads the message inside.
        message.kwargs = request.input
        return
    message.kwargs.clear()
    message.kwargs.update(request.input)


def _own_limit(broker: Broker, message: MessageProxy) -> float | None:
    """Return the time limit that the actor itself declares, in milliseconds."""
    return broker.get_actor(message.actor_name).options.get("time_limit")


def _limit(broker: Broker, message: MessageProxy) -> float | None:
    """Return the time limit that Dramatiq's middleware has for a message, in milliseconds; None: not known."""
    general = next((one.time_limit for one in broker.middleware if isinstance(one, TimeLimit)), None)
    return message.options.get("time_limit") or _own_limit(broker, message) or general


def _require_database(settings: Settings) -> None:
    """Refuse to make an empty embedded database, of which nobody else would know."""
    file = Path(settings.resolved_database_url.removeprefix(SQLITE))
    if settings.database_url is None and not file.exists():
        hint = "set DRAMATURG_DATABASE_URL to the database of the workflows"
        raise Unreachable(f"there is no database {file}", hint=hint)


def _trace(error: Exception) -> Exception | None:
    """Return an error whose traceback is worth a look: one of ours."""
    return None if isinstance(error, DramaturgError) else error
