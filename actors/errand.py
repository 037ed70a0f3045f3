"""One attempt that an actor of the user's makes, in a thread of Dramatiq's.

The engine's part (the claim, the limits, the report) is done by a thread of its own, which waits while the actor runs.
So the exceptions that stop an actor never fall into the middle of the engine's work, and an actor that does not end by
its timeout is given up while it goes on: what it says later is refused.
"""

from __future__ import annotations

import logging
import threading
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Final

from dramatiq.middleware import Interrupt, Shutdown, TimeLimitExceeded

from dramaturg.engine.errors import Failure, Unreachable
from dramaturg.engine.runtime import ActionOutcome, ActionRequest, Stop, ending, run_action
from dramaturg.engine.runtime import inprocess as calls
from dramaturg.engine.runtime.attempt import speaking
from dramaturg.engine.runtime.pulse import Pulse

if TYPE_CHECKING:
    from dramaturg.engine.serve import Host

log = logging.getLogger("dramaturg.actors")

#: The errand whose thread this is.
_mine = threading.local()
#: Modules whose frames begin every traceback of an actor.
_DRAMATIQS: Final = ("dramatiq.worker", "dramatiq.actor")


class Cancelled(Interrupt, calls.Cancelled):
    """Raised inside an actor whose task is cancelled."""


def run_errand(request: ActionRequest, stop: Stop) -> ActionOutcome:
    """Make an attempt of an engine whose calling thread is that of an errand."""
    errand: Errand = _mine.errand
    return run_action(request, stop, errand.wait_for_actor)


class Errand:
    """Exactly one attempt, or none if it is not to be had: `start`, `request`, `enter`, `leave`, `end`, in this order."""

    def __init__(self, host: Host, execution_id: int) -> None:
        """Prepare; nothing is claimed yet."""
        self.execution_id = execution_id
        #: What the actor is to do; None: nothing, the execution is not to be had.
        self.request: ActionRequest | None = None
        #: Why it is not known whether the execution is to be had.
        self.error: Exception | None = None
        #: Set once the actor has ended.
        self.ended = threading.Event()
        self._host = host
        self._pulse: Pulse | None = None
        self._speaking: AbstractContextManager[None] | None = None
        self._known = threading.Event()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._actor: threading.Thread | None = None
        self._raised: type[BaseException] | None = None
        self._outcome: ActionOutcome | None = None
        self._thread = threading.Thread(
            target=self._main, name=f"dramaturg-errand-{execution_id}", daemon=True
        )

    # -- in the thread of the message ------------------------------------------------------------------------

    def start(self) -> None:
        """Claim the execution; `request` and `error` say what came of it.

        Raises:
            Unreachable: the database does not answer.
        """
        self._thread.start()
        self._known.wait()
        if self.request is None and self.error is not None:
            raise self.error

    def enter(self) -> None:
        """Have the actor interrupted from now on, should that be wanted, and let it speak of itself.

        Raises:
            BaseException: it is to be interrupted already.
        """
        with self._lock:
            if self._raised is not None:
                raise self._raised()
            self._actor = threading.current_thread()
        assert self._pulse is not None
        self._speaking = speaking(self._pulse)
        self._speaking.__enter__()

    def leave(self) -> None:
        """Have it interrupted no more; what was raised and has not arrived is taken back. May be called twice."""
        with self._lock:
            entered, self._actor = self._actor is not None, None
        if entered and self._raised is not None:
            calls.take_back()
        if self._speaking is not None:
            self._speaking.__exit__(None, None, None)
            self._speaking = None

    def end(self, outcome: ActionOutcome | None) -> None:
        """Report how the actor ended, unless it was given up; None: it is handed back, for another worker to make."""
        self._outcome = outcome
        self.ended.set()
        self._wake.set()

    def join(self) -> None:
        """Wait until the report is stored; a database that is away is waited for."""
        self._thread.join()

    @property
    def pending(self) -> bool:
        """Say whether the actor said that its task is to be completed later."""
        return self._pulse is not None and self._pulse.pending

    # -- in the thread of the errand -------------------------------------------------------------------------

    def _main(self) -> None:
        _mine.errand = self
        try:
            self._host.serve_one(self.execution_id)
        except Exception as error:
            if self.request is not None:
                log.exception("the report of execution %d was not stored", self.execution_id)
            self.error = error
        finally:
            self._known.set()

    def wait_for_actor(self, request: ActionRequest, stop: Stop) -> ActionOutcome:
        """Let the actor begin, and wait for its end, a stop, or one of the limits."""
        self._pulse = Pulse(request)
        self.request = request
        self._known.set()
        with stop.waking(self._wake.set):
            silent = calls.wait_for_end(self._wake, self._pulse, request.timeout)
        try:
            if not self.ended.is_set():
                return calls.interrupted(self, request, stop, silent)
        finally:
            self._pulse.close()
        if self._outcome is None:
            self._hand_back()
            return ending.cancelled(stop)  # goes nowhere: the attempt is another worker's
        return self._outcome

    def interrupt(self, error: type[BaseException], *, hard: bool = False) -> None:
        """Raise Dramatiq's own kind of `error` in the actor, once."""
        with self._lock:
            if self._raised is not None:
                return
            self._raised = Cancelled if error is calls.Cancelled else TimeLimitExceeded
            if self._actor is not None:
                calls.raise_in(self._actor, self._raised)

    def _hand_back(self) -> None:
        try:
            self._host.hand_back(self.execution_id)
        except Unreachable as error:
            log.warning("execution %d is made again once its lease is over: %s", self.execution_id, error)


def outcome_of(
    errand: Errand, result: object, exception: BaseException | None, limit: float | None
) -> ActionOutcome | None:
    """Return how an actor ended; None: its worker is shutting down, and it is to be made again elsewhere.

    Args:
        limit: the actor's own time limit in milliseconds, if it has one.
    """
    if exception is None:
        return ActionOutcome(status="pending" if errand.pending else "succeeded", result=result)
    if isinstance(exception, Shutdown):
        return None
    if isinstance(exception, TimeLimitExceeded):
        seconds = None if limit is None else limit / 1000
        details = {"kind": "start_to_close", **({} if seconds is None else {"seconds": seconds})}
        allowed = "its time limit" if seconds is None else f"its time limit of {seconds:g} s"
        failure = Failure(type="Timeout", message=f"the actor took longer than {allowed}", details=details)
        return ActionOutcome(status="timed_out", error=failure)
    return ending.failed(ending.exception_failure(exception, since=_since(exception)))


def _since(exception: BaseException) -> TracebackType | None:
    """Return where the traceback reaches the actor's own code; None: it does not."""
    entry = exception.__traceback__
    while entry is not None and entry.tb_frame.f_globals.get("__name__") in _DRAMATIQS:
        entry = entry.tb_next
    return entry
