"""What an app holds: a client, and a handle for each run; both in two kinds, blocking and async.

A client starts runs and asks about them; it executes nothing. What it starts is in the database before anybody
is told; the telling (`announce`) is a hint that may be lost, since each worker's clock looks for itself.

The async kind makes the same calls in threads. Only waiting for a result is written twice, because a waiting
thread for each waiting coroutine would use all threads up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from uuid_utils.compat import uuid7

from dramaturg.engine.errors import (
    JSON,
    Conflict,
    Failure,
    RunCancelled,
    RunFailed,
    RunTimedOut,
    Unreachable,
)

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session, SessionTransaction

    from dramaturg.engine.service import Service, StartedRun
    from dramaturg.engine.store.controls import Asked

T = TypeVar("T")

IfExists = Literal["return_existing", "reject", "terminate_existing"]

#: Seconds for which a call that may be repeated is tried again while the database does not answer.
PATIENCE = 10.0
#: Seconds between two looks at a run that is waited for: at first, and at most.
FIRST_LOOK, LAST_LOOK = 0.01, 0.25

#: What is added to a conflict that comes up when a call is repeated.
OWN_DOING = (
    "the database went away during this call: what is in the way may be what the call itself has stored"
)

#: Where a session keeps what is to be said after its commit.
_TO_SAY = "dramaturg.announcements"

_ENDS = {"failed": RunFailed, "timed_out": RunTimedOut, "cancelled": RunCancelled}


class Client:
    """Starts runs, finds them again, asks about them. May be used by many threads at once."""

    def __init__(
        self, service: Service, announce: Callable[[int], None], *, patience: float = PATIENCE
    ) -> None:
        """Use a service; *announce* is told the number of each run that a worker should look at, and never raises."""
        #: The use cases that this client calls; a `Worker` serves the same database.
        self.service = service
        self._announce = announce
        self._patience = patience

    def start(
        self,
        ref: str,
        parameters: Mapping[str, JSON] | None = None,
        *,
        id: str | None = None,
        if_exists: IfExists = "return_existing",
        session: Session | None = None,
    ) -> Run:
        """Start a run of the action *ref*, once, however often it is called with the same *id*.

        Without a session it is tried again, under the same id, until it is certain that the run is in the
        database, for `patience` seconds. With *session* the run is part of the caller's own transaction: it exists
        if that commits, and workers are told after the commit.

        Args:
            id: the caller's name for the run; a time-ordered UUID without one.
            session: a SQLAlchemy session of the database that this client uses.
        Raises:
            NotFound: nothing is called *ref*.
            InvalidParameters: *parameters* are not what the action takes; nothing is stored.
            Conflict: *id* is taken by a run of another ref or of other parameters, or at all with ``reject``.
            UsageError: *session* belongs to another database.
            Unreachable: the database did not answer all the while.
        """
        run_id = id or str(uuid7())

        def store() -> StartedRun:
            given = dict(parameters or {})
            return self.service.start(ref, given, id=run_id, if_exists=if_exists, session=session)

        if session is None:
            self._announce(self._insist(store).key)
        else:
            started = store()
            _after_commit(session, lambda: self._announce(started.key))
        return Run(self, run_id)

    def get(self, run_id: str) -> Run:
        """Return the handle of a run that exists.

        Raises:
            NotFound: there is none of this id.
        """
        self.service.status(run_id)
        return Run(self, run_id)

    def cancel(self, target: str, *, by: str = "client", reason: str = "") -> None:
        """Ask a run, or one execution by its number, to stop.

        Raises:
            NotFound: there is no such run or execution.
        """
        self._announce(self.service.cancel(target, by=by, reason=reason).key)

    def signal(
        self, run_id: str, name: str, payload: JSON = None, *, key: str | None = None, by: str = "client"
    ) -> None:
        """Send a signal to a run: a task that waits for it goes on; else it is kept until one does.

        It is tried again, under the same key, until it is certain that it was stored, for `patience` seconds.

        Args:
            key: the caller's name for this signal: however often it is sent to the run, it counts once. Without one
                each call is a signal of its own.
        Raises:
            NotFound: there is no such run.
            Conflict: the run has ended.
            Unreachable: the database did not answer all the while.
        """
        own = key or str(uuid7())
        asked = self._insist(lambda: self.service.signal(run_id, name, payload, by=by, key=own))
        self._announce(asked.key)

    def answer(self, run_id: str, value: JSON, task: str | None = None, *, by: str = "client") -> None:
        """Answer a question that a run asks. It is not tried again: the next question may be another one.

        Args:
            task: the name of the task that asks; needed only where several do.
        Raises:
            NotFound: there is no such run, or nothing is asked.
            Conflict: several questions are asked and no task was named; or somebody has answered already.
            InvalidParameters: the question's response_schema refuses the answer; it is still asked.
            Unreachable: the database did not answer; whether the answer was stored is not known.
        """
        self._announce(self.service.answer(run_id, task, value, by=by).key)

    def complete(self, target: str | int, result: JSON = None, *, by: str = "client") -> None:
        """End an action that said that it is pending, or a task that waits for a person, as succeeded.

        With a token it is tried again while the database does not answer. With a number it is not: by then the
        number could stand for the next attempt.

        Args:
            target: the attempt's token (``DRAMATURG_TOKEN``), or the number of the execution.
        Raises:
            NotFound: there is no such execution.
            Conflict: it does not wait to be completed, or the token is that of an attempt before.
            InvalidParameters: the action does not allow such a result; it still waits.
            Unreachable: the database did not answer; with a number, whether it was stored is not known.
        """
        self._end(str(target), lambda: self.service.complete(str(target), result, by=by))

    def fail(
        self,
        target: str | int,
        message: str = "",
        *,
        type: str = "Failed",
        details: JSON = None,
        by: str = "client",
    ) -> None:
        """End an action that said that it is pending, or a task that waits for a person, as failed.

        Args:
            type: the type of the error, which `retry` and transitions see.
            details: any JSON value, kept with the error.
        Raises:
            NotFound, Conflict, Unreachable: as :meth:`complete`.
        """
        self._end(
            str(target),
            lambda: self.service.fail(str(target), message, type=type, details=details, by=by),
        )

    def close(self) -> None:
        """Give the connections back."""
        self.service.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _end(self, target: str, call: Callable[[], Asked]) -> None:
        asked = call() if target.isdigit() else self._insist(call)
        self._announce(asked.key)

    def _insist(self, call: Callable[[], T]) -> T:
        deadline = time.monotonic() + self._patience
        delay, uncertain = 0.05, False
        while True:
            try:
                return call()
            except Unreachable:
                # Whether it was stored is not known; asking again under the same id finds out.
                if time.monotonic() + delay > deadline:
                    raise
            except Conflict as error:
                if uncertain:
                    error.hint = f"{error.hint}; {OWN_DOING}" if error.hint else OWN_DOING
                raise
            uncertain = True
            time.sleep(delay)
            delay = min(2 * delay, 1.0)


class Run:
    """One run, by its id."""

    def __init__(self, client: Client, run_id: str) -> None:
        self.id = run_id
        self._client = client

    def status(self) -> str:
        """Return the run's status, one of those of the language."""
        return self._client.service.status(self.id)

    def describe(self) -> dict[str, JSON]:
        """Return the run as ``dramaturg show -o json`` prints it."""
        return self._client.service.describe(self.id)

    def tasks(self) -> list[dict[str, JSON]]:
        """Return the run's tasks, a record for each visit, in the order in which they started."""
        return self._client.service.tasks(self.id)

    def history(self) -> list[dict[str, JSON]]:
        """Return the records of the run's history, in order."""
        return self._client.service.history(self.id)

    def result(self, timeout: float | None = None) -> JSON:
        """Wait until the run has ended, and return its output.

        Args:
            timeout: seconds to wait at most; for ever without one.
        Raises:
            RunFailed, RunTimedOut, RunCancelled: it ended so; they have `error` and `output`.
            TimeoutError: it has not ended in time; it goes on.
        """
        return output_of(self._client.service.wait(self.id, timeout))

    def cancel(self, *, by: str = "client", reason: str = "") -> None:
        """Ask the run to end as cancelled; nested runs and running processes are stopped, too."""
        self._client.cancel(self.id, by=by, reason=reason)

    def awaits(self) -> list[dict[str, JSON]]:
        """Return what the run and those nested in it wait for, a record each: signals, questions, people, times.

        Each record has ``kind`` (signal, answer, completion, person, timer or retry), ``task``, ``visit``, ``item``,
        ``execution_id``, ``since`` and ``until``, and what belongs to its kind, such as a signal's ``name``.
        """
        return self._client.service.awaits(self.id)

    def signal(self, name: str, payload: JSON = None, *, key: str | None = None, by: str = "client") -> None:
        """Send a signal to the run, once for each *key*: see :meth:`Client.signal`."""
        self._client.signal(self.id, name, payload, key=key, by=by)

    def answer(self, value: JSON, task: str | None = None, *, by: str = "client") -> None:
        """Answer a question that the run asks: see :meth:`Client.answer`."""
        self._client.answer(self.id, value, task, by=by)

    def __repr__(self) -> str:
        return f"<Run {self.id}>"


class AsyncClient:
    """The same as :class:`Client` for asyncio."""

    def __init__(self, client: Client) -> None:
        #: The blocking client that does the work; a `Worker` takes it.
        self.client = client

    async def start(
        self,
        ref: str,
        parameters: Mapping[str, JSON] | None = None,
        *,
        id: str | None = None,
        if_exists: IfExists = "return_existing",
        session: AsyncSession | None = None,
    ) -> AsyncRun:
        """Start a run of the action *ref*: see :meth:`Client.start`."""

        def start(own: Session | None = None) -> Run:
            return self.client.start(ref, parameters, id=id, if_exists=if_exists, session=own)

        run = await (asyncio.to_thread(start) if session is None else session.run_sync(start))
        return AsyncRun(run)

    async def get(self, run_id: str) -> AsyncRun:
        """Return the handle of a run that exists: see :meth:`Client.get`."""
        return AsyncRun(await asyncio.to_thread(self.client.get, run_id))

    async def cancel(self, target: str, *, by: str = "client", reason: str = "") -> None:
        """Ask a run, or one execution by its number, to stop: see :meth:`Client.cancel`."""
        await asyncio.to_thread(self.client.cancel, target, by=by, reason=reason)

    async def signal(
        self, run_id: str, name: str, payload: JSON = None, *, key: str | None = None, by: str = "client"
    ) -> None:
        """Send a signal to a run, once for each *key*: see :meth:`Client.signal`."""
        await asyncio.to_thread(self.client.signal, run_id, name, payload, key=key, by=by)

    async def answer(self, run_id: str, value: JSON, task: str | None = None, *, by: str = "client") -> None:
        """Answer a question that a run asks: see :meth:`Client.answer`."""
        await asyncio.to_thread(self.client.answer, run_id, value, task, by=by)

    async def complete(self, target: str | int, result: JSON = None, *, by: str = "client") -> None:
        """End what waits to be completed as succeeded: see :meth:`Client.complete`."""
        await asyncio.to_thread(self.client.complete, target, result, by=by)

    async def fail(
        self,
        target: str | int,
        message: str = "",
        *,
        type: str = "Failed",
        details: JSON = None,
        by: str = "client",
    ) -> None:
        """End what waits to be completed as failed: see :meth:`Client.fail`."""
        await asyncio.to_thread(self.client.fail, target, message, type=type, details=details, by=by)

    async def close(self) -> None:
        """Give the connections back."""
        await asyncio.to_thread(self.client.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncRun:
    """The same as :class:`Run` for asyncio."""

    def __init__(self, run: Run) -> None:
        self.id = run.id
        self._run = run

    async def status(self) -> str:
        """Return the run's status."""
        return await asyncio.to_thread(self._run.status)

    async def describe(self) -> dict[str, JSON]:
        """Return the run as ``dramaturg show -o json`` prints it."""
        return await asyncio.to_thread(self._run.describe)

    async def tasks(self) -> list[dict[str, JSON]]:
        """Return the run's tasks, a record for each visit, in the order in which they started."""
        return await asyncio.to_thread(self._run.tasks)

    async def history(self) -> list[dict[str, JSON]]:
        """Return the records of the run's history, in order."""
        return await asyncio.to_thread(self._run.history)

    async def result(self, timeout: float | None = None) -> JSON:
        """Wait until the run has ended, and return its output: see :meth:`Run.result`."""
        try:
            async with asyncio.timeout(timeout):
                return await self._output()
        except TimeoutError:
            raise TimeoutError(f"run {self.id} has not ended after {timeout:g} s") from None

    async def cancel(self, *, by: str = "client", reason: str = "") -> None:
        """Ask the run to end as cancelled: see :meth:`Run.cancel`."""
        await asyncio.to_thread(self._run.cancel, by=by, reason=reason)

    async def awaits(self) -> list[dict[str, JSON]]:
        """Return what the run and those nested in it wait for: see :meth:`Run.awaits`."""
        return await asyncio.to_thread(self._run.awaits)

    async def signal(
        self, name: str, payload: JSON = None, *, key: str | None = None, by: str = "client"
    ) -> None:
        """Send a signal to the run, once for each *key*: see :meth:`Client.signal`."""
        await asyncio.to_thread(self._run.signal, name, payload, key=key, by=by)

    async def answer(self, value: JSON, task: str | None = None, *, by: str = "client") -> None:
        """Answer a question that the run asks: see :meth:`Run.answer`."""
        await asyncio.to_thread(self._run.answer, value, task, by=by)

    def __repr__(self) -> str:
        return f"<AsyncRun {self.id}>"

    async def _output(self) -> JSON:
        delay = FIRST_LOOK
        while (described := await self.describe())["finished_at"] is None:
            await asyncio.sleep(delay)
            delay = min(2 * delay, LAST_LOOK)
        return output_of(described)


def output_of(described: Mapping[str, JSON]) -> JSON:
    """Return the output of a run that succeeded.

    Args:
        described: the run as `Service.describe` returns it.
    Raises:
        RunFailed, RunTimedOut, RunCancelled: it ended otherwise.
    """
    end = _ENDS.get(described["status"])
    if end is None:
        return described["output"]
    error = described["error"]
    raise end(described["id"], Failure.from_json(error) if error else None, described["output"])


def _after_commit(session: Session, say: Callable[[], None]) -> None:
    """Call *say* once the session's outermost transaction is committed; never, if it is rolled back."""
    from sqlalchemy import event

    if _TO_SAY in session.info:
        session.info[_TO_SAY].append(say)
        return
    session.info[_TO_SAY] = [say]

    def committed(session: Session) -> None:
        # The end of a savepoint is told as a commit, too, and is none.
        if not session.in_nested_transaction():
            waiting: list[Callable[[], Any]] = session.info[_TO_SAY][:]
            session.info[_TO_SAY].clear()
            for each in waiting:
                each()

    def ended(session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:
            session.info[_TO_SAY].clear()

    event.listen(session, "after_commit", committed)
    event.listen(session, "after_transaction_end", ended)
