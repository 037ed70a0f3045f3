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

from dramaturg.engine.errors import JSON, Failure, RunCancelled, RunFailed, RunTimedOut, Unreachable

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session, SessionTransaction

    from dramaturg.engine.service import Service, StartedRun

T = TypeVar("T")

IfExists = Literal["return_existing", "reject", "terminate_existing"]

#: Seconds for which `start` goes on trying while the database does not answer.
PATIENCE = 10.0
#: Seconds between two looks at a run that is waited for: at first, and at most.
FIRST_LOOK, LAST_LOOK = 0.01, 0.25

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

    def close(self) -> None:
        """Give the connections back."""
        self.service.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _insist(self, call: Callable[[], T]) -> T:
        deadline = time.monotonic() + self._patience
        delay = 0.05
        while True:
            try:
                return call()
            except Unreachable:
                # Whether it was stored is not known; asking again under the same id finds out.
                if time.monotonic() + delay > deadline:
                    raise
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
