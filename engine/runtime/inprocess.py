"""Actions that are functions, called in the worker's own process (LANGUAGE 2, `module:function`).

Each call has a thread of its own, because a thread can't be killed: past its timeout or on a stop an exception is
raised in it; a thread that does not end within the grace period is given up (it is a daemon) and what it returns one
day is dropped. A function inside C code, such as ``time.sleep``, sees the exception only when it comes back from
there. Who needs killing uses a process.

What such a function prints or logs goes where the worker's own output goes; it is not kept with the attempt.
"""

from __future__ import annotations

import asyncio
import ctypes
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.runtime import ending
from dramaturg.engine.runtime.attempt import speaking
from dramaturg.engine.runtime.modules import find_function
from dramaturg.engine.runtime.normalise import Refused
from dramaturg.engine.runtime.pulse import Pulse
from dramaturg.engine.runtime.request import ActionOutcome, ActionRequest
from dramaturg.engine.runtime.stop import Stop


class Cancelled(BaseException):
    """Raised inside an in-process action that is to stop.

    No `Exception`, so that a function's own error handling does not swallow it.
    """


class TimeLimit(BaseException):
    """Raised inside an in-process action that is past its timeout."""


def run_function(request: ActionRequest, stop: Stop) -> ActionOutcome:
    """Call an in-process action's function."""

    def work() -> object:
        function = find_function(request.action.entry_point or "", request.actions_dir)
        _check_takes(function, request)
        return function(**request.input)

    return run_call(request, stop, work)


def run_call(request: ActionRequest, stop: Stop, work: Callable[[], object]) -> ActionOutcome:
    """Call `work` in a thread of its own, and wait for what it returns if that can be awaited.

    It may raise :class:`Refused` to fail with a failure of its own.
    """
    wake, pulse = threading.Event(), Pulse(request)
    call = _Call(request, pulse, work, wake.set)
    with stop.waking(wake.set):
        call.start()
        silent = wait_for_end(wake, pulse, request.timeout)
    try:
        if not call.ended.is_set():
            return interrupted(call, request, stop, silent)
    finally:
        pulse.close()
    if call.error is not None:
        return ending.failed(_failure(call.error))
    if pulse.pending:
        return ActionOutcome(status="pending")
    return ActionOutcome(status="succeeded", result=call.result)


class Call(Protocol):
    """A call of some function in some thread."""

    @property
    def ended(self) -> threading.Event:
        """Return what is set once the function has ended."""

    def interrupt(self, error: type[BaseException], *, hard: bool = False) -> None:
        """Raise `error` in the function, once; `hard`: it did not end after the first time."""


def wait_for_end(wake: threading.Event, pulse: Pulse, timeout: float | None) -> bool:
    """Wait for the end of a call, a stop, the timeout, or a heartbeat that does not come; say whether it is the last."""
    end = None if timeout is None else time.monotonic() + timeout
    while not wake.is_set():
        moments = [moment for moment in (end, pulse.due) if moment is not None]
        # A heartbeat does not wake this thread, so `due` is what it was: it is looked at again then.
        wake.wait(max(0.0, min(moments) - time.monotonic()) if moments else None)
        if end is not None and time.monotonic() >= end:
            return False
        if pulse.silent():
            return True
    return False


def interrupted(call: Call, request: ActionRequest, stop: Stop, silent: bool) -> ActionOutcome:
    """Interrupt a call that was stopped, took too long or was silent; give it up if it does not end; return how it ended."""
    cancel = stop.cancelled
    error = Cancelled if cancel else TimeLimit
    call.interrupt(error)
    if not call.ended.wait(request.grace / 2):
        call.interrupt(error, hard=True)
    given_up = not call.ended.wait(request.grace / 2)
    details: dict[str, JSON] = {"given_up": True} if given_up else {}
    addition = f"; it did not end within {request.grace:g} s and was given up" if given_up else ""
    if cancel:
        return ending.cancelled(stop, details=details or None, addition=addition)
    late = ending.silent if silent else ending.timed_out
    return late(request, details=details, addition=addition)


def _failure(error: BaseException) -> Failure:
    if isinstance(error, Refused):
        return error.failure
    since = entry = error.__traceback__
    while entry is not None:
        if entry.tb_frame.f_code.co_filename == __file__:
            since = entry.tb_next or entry
        entry = entry.tb_next
    return ending.exception_failure(error, since=since)


class _Call:
    """One call of one function in its thread.

    Exactly one of `result` and `error` means something once `ended` is set. At most one exception is raised in the
    thread from outside, under `_lock` and only while `_open`; so after `_shut` nothing can come any more, and what
    must happen there is certain to happen.
    """

    def __init__(
        self, request: ActionRequest, pulse: Pulse, work: Callable[[], object], on_end: Callable[[], object]
    ) -> None:
        self._pulse = pulse
        self.result: object = None
        self.error: BaseException | None = None
        self.ended = threading.Event()
        self._work = work
        self._on_end = on_end
        self._lock = threading.Lock()
        self._open = True
        self._raised = False
        self._cancel_task: Callable[[], object] | None = None
        name = f"dramaturg {request.action.ref} {request.execution_id}"
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def interrupt(self, error: type[BaseException], *, hard: bool = False) -> None:
        """Raise `error` in the function, once; a coroutine is cancelled as asyncio does it, unless `hard`."""
        with self._lock:
            if self._cancel_task is not None and not hard:
                self._cancel_task()
            elif self._open and not self._raised:
                self._raised = True
                raise_in(self._thread, error)

    def _main(self) -> None:
        try:
            try:
                self.result = self._call()
            except BaseException as error:
                self.error = error
            self._shut()
        except BaseException:  # the one interruption, a moment too late for the function
            self._shut()
        self.ended.set()
        self._on_end()

    def _shut(self) -> None:
        with self._lock:
            self._open = False
        if self._raised:
            take_back()

    def _call(self) -> object:
        with speaking(self._pulse):
            value = self._work()
            return asyncio.run(self._awaited(value)) if inspect.isawaitable(value) else value

    async def _awaited(self, value: Awaitable[object]) -> object:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        with self._lock:
            self._cancel_task = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            return await value
        finally:
            with self._lock:
                self._cancel_task = None


def _check_takes(function: Callable[..., Any], request: ActionRequest) -> None:
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):  # some functions of C have none
        return
    try:
        signature.bind(**request.input)
    except TypeError as error:
        message = f"{request.action.entry_point}: {error}"
        raise Refused(Failure(type="InvalidInput", message=message)) from None


class _Nothing(BaseException):
    """Raised to be caught."""


def take_back() -> None:
    """Take back an exception that was raised in this thread and not delivered yet.

    Another one takes its place and is caught here. Python can take one back itself, but then the interpreter goes on
    believing for ever that some thread has one to deliver; on 3.11 a tracer (a debugger, a profiler) then hangs.
    """
    try:
        raise_in(threading.current_thread(), _Nothing)
        while True:  # it is delivered at the next turn
            pass
    except _Nothing:
        pass


def raise_in(thread: threading.Thread, error: type[BaseException]) -> None:
    """Raise an exception in a thread, at its next step of Python; one that was not delivered yet is replaced."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(error))
