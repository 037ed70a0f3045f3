"""Connections and transactions, on SQLite and PostgreSQL alike.

A :class:`Database` gives transactions; a :class:`Transaction` runs fixed statements on a SQLAlchemy connection
without the ORM (reference: client CPU of a step is 17 as ORM objects, 2.4 as fixed statements, 1 on the bare driver).

* SQLite has one writer. Threads of a process queue for it in the order in which they came (`_FairLock`) instead of
  fighting for the file; other processes are waited for by SQLite itself.
* PostgreSQL: a transaction that need not be on disk when it commits (a claim, a lease) says so.
* Time is the database's: one clock for all workers. SQLite's is this machine's. Tests move it (`Database.clock`).
* Whatever tells that the database does not answer is raised as :class:`~dramaturg.engine.errors.Unreachable`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from dramaturg.engine.errors import Unreachable, UsageError
from dramaturg.engine.store.statements import Statement

Dialect = Literal["sqlite", "postgresql"]
Row = Sequence[Any]

#: Milliseconds that SQLite waits for another process's write.
BUSY_TIMEOUT = 15_000
#: Seconds to wait for a server to take a connection.
CONNECT_TIMEOUT = 5


class _FairLock:
    """A lock that is handed on in the order in which it was asked for."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._held = False

    def __enter__(self) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False


class Transaction:
    """One transaction: runs statements, knows the time."""

    __slots__ = ("_database", "_execute", "_now")

    def __init__(
        self, database: Database, execute: Callable[[str, Mapping[str, Any]], Sequence[Row]]
    ) -> None:
        self._database = database
        self._execute = execute
        self._now: int | None = None

    @property
    def dialect(self) -> Dialect:
        """Return the kind of database."""
        return self._database.dialect

    def run(self, statement: Statement, parameters: Mapping[str, Any] | None = None) -> Sequence[Row]:
        """Execute a statement and return its rows (none where it returns none)."""
        observe = self._database.on_statement
        if observe is not None:
            observe(statement.name)
        return self._execute(statement.text(self._database.dialect), parameters or {})

    def taken_at(self, now: int) -> None:
        """Note the database's time where a statement has brought it along; a test's clock stands above it."""
        if self._database.clock is None:
            self._now = now

    def now(self) -> int:
        """Return the time in microseconds, the same one throughout the transaction."""
        if self._now is None:
            clock = self._database.clock
            if clock is not None:
                self._now = clock()
            elif self.dialect == "sqlite":
                self._now = time.time_ns() // 1000
            else:
                self._now = int(self.run(NOW)[0][0])
        return self._now


NOW = Statement(
    "now", "SELECT 0", postgresql="SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
)


class Database:
    """A database: where it is, how to reach it, and its clock."""

    def __init__(
        self,
        url: str,
        *,
        synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
        lock_timeout: float = 10.0,
        idle_timeout: float = 20.0,
    ) -> None:
        """Prepare to use `url`; nothing is connected yet.

        Args:
            lock_timeout: seconds that a statement may wait for a lock (PostgreSQL).
            idle_timeout: seconds that a transaction may stand idle before the server ends it; below the lease, so that
                a worker that was stopped inside a transaction holds up nobody for longer.
        """
        self.url = _checked(url)
        self.dialect: Dialect = "sqlite" if self.url.get_backend_name() == "sqlite" else "postgresql"
        #: Tests set it to move time: microseconds. None: the database's own clock.
        self.clock: Callable[[], int] | None = None
        #: Called with each statement's name; COMMIT counts as one. Tests count with it.
        self.on_statement: Callable[[str], None] | None = None
        self._writer = _FairLock()
        self._version_connection: Connection | None = None
        self._version_lock = threading.Lock()
        if self.dialect == "sqlite":
            self.engine = _sqlite_engine(self.url, synchronous)
        else:
            self.engine = _postgres_engine(self.url, lock_timeout, idle_timeout)

    @property
    def shown(self) -> str:
        """Return the address for people: without the password."""
        return self.url.set(drivername=self.dialect).render_as_string(hide_password=True)

    @property
    def file(self) -> Path | None:
        """Return SQLite's file; None for a server or a database in memory."""
        name = self.url.database
        return Path(name) if self.dialect == "sqlite" and name and name != ":memory:" else None

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Transaction]:
        """Give a transaction that commits at the end, or rolls back on an exception.

        `durable`: false where it does not matter that a power cut takes it back (claims, leases).
        """
        if self.dialect == "sqlite":
            with self._writer, self._transaction("BEGIN IMMEDIATE") as transaction:
                yield transaction
        else:
            begin = "BEGIN" if durable else "BEGIN; SET LOCAL synchronous_commit = off"
            with self._transaction(begin) as transaction:
                yield transaction

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Give a transaction that sees one state of the database and changes nothing."""
        begin = "BEGIN" if self.dialect == "sqlite" else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        with self._transaction(begin, commit="ROLLBACK") as transaction:
            yield transaction

    def ask(self, statement: Statement, parameters: Mapping[str, Any] | None = None) -> Sequence[Row]:
        """Run one reading statement by itself: no transaction around it, one round trip."""
        if self.on_statement is not None:
            self.on_statement(statement.name)
        with self._reachable():
            try:
                return self._ask(statement, parameters or {})
            except self._errors:
                # As in `_begun`: a stale connection is made good, anything else comes again.
                return self._ask(statement, parameters or {})

    def _ask(self, statement: Statement, parameters: Mapping[str, Any]) -> Sequence[Row]:
        with self.engine.connect() as connection:
            cursor = connection.connection.cursor()
            try:
                cursor.execute(statement.text(self.dialect), parameters)
                return cursor.fetchall()
            except self._errors:
                self._roll_back(connection)
                raise
            finally:
                cursor.close()

    @contextmanager
    def reaching(self) -> Iterator[Connection]:
        """Give a plain connection, each statement a transaction of its own."""
        with self._reachable(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """Give the one connection that may change tables now; it commits at the end."""
        begin = "BEGIN IMMEDIATE" if self.dialect == "sqlite" else "BEGIN"
        with self._writer, self._reachable(), self.engine.connect() as connection:
            connection.exec_driver_sql(begin)
            if self.dialect == "postgresql":
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(726172)")
            try:
                yield connection
            except BaseException:
                self._roll_back(connection)
                raise
            connection.exec_driver_sql("COMMIT")

    def joined(self, connection: Connection) -> Transaction:
        """Give a transaction that is part of the caller's own: it is the caller who commits."""

        def execute(text: str, parameters: Mapping[str, Any]) -> Sequence[Row]:
            cursor = connection.exec_driver_sql(text, parameters)
            return cursor.fetchall() if cursor.returns_rows else ()

        return Transaction(self, execute)

    @contextmanager
    def _transaction(self, begin: str, commit: str = "COMMIT") -> Iterator[Transaction]:
        with self._reachable(), self._begun(begin) as connection:
            # The driver's own cursor on SQLAlchemy's connection: its result objects cost as much as a statement.
            cursor = connection.connection.cursor()

            def execute(text: str, parameters: Mapping[str, Any]) -> Sequence[Row]:
                cursor.execute(text, parameters)
                return cursor.fetchall() if cursor.description else ()

            try:
                yield Transaction(self, execute)
                if self.on_statement is not None:
                    self.on_statement(commit)
                cursor.execute(commit)
            except BaseException:
                self._roll_back(connection)
                raise
            finally:
                cursor.close()

    def _begun(self, text: str) -> Connection:
        """Return a connection on which `text` has been executed.

        The server may have been restarted since a connection of the pool was used last. Nothing has happened yet, so
        that is found out here and made good with a new one.
        """
        try:
            return self._execute_first(text)
        except self._errors:
            if self.dialect == "sqlite":
                raise
            return self._execute_first(text)

    def _execute_first(self, text: str) -> Connection:
        connection = self.engine.connect()
        try:
            connection.connection.cursor().execute(text)
        except self._errors:
            self._roll_back(connection)
            connection.close()
            raise
        return connection

    def _roll_back(self, connection: Connection) -> None:
        try:
            connection.connection.cursor().execute("ROLLBACK")
        except self._errors:
            # SQLite says so after a BEGIN that failed; a server that is gone has taken the transaction with it. Then the
            # other connections of the pool are gone, too.
            if self.dialect == "postgresql":
                connection.invalidate()
                self.engine.dispose()

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What is raised where the database answers, but does not take what it is given: a bug of ours."""
        return DBAPIError, self._errors

    @property
    def _errors(self) -> type[Exception]:
        dbapi = self.engine.dialect.dbapi
        assert dbapi is not None
        error: type[Exception] = dbapi.Error
        return error

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        """Turn the errors that say that the database does not answer into Unreachable; others are bugs of ours."""
        try:
            yield
        except PoolTimeout as error:
            raise Unreachable(f"database {self.shown}: no connection is free: {error}") from error
        except DBAPIError as error:
            known = isinstance(error, (OperationalError, InterfaceError)) or error.connection_invalidated
            if (known and not _is_too_much(error.orig)) or _is_no_database(error.orig):
                raise Unreachable(f"database {self.shown}: {first_line(error)}") from error
            raise
        except self._errors as error:
            dbapi = self.engine.dialect.dbapi
            assert dbapi is not None
            known = isinstance(error, (dbapi.OperationalError, dbapi.InterfaceError))
            if (known and not _is_too_much(error)) or _is_no_database(error):
                raise Unreachable(f"database {self.shown}: {first_line(error)}") from error
            raise

    def data_version(self) -> int:
        """Return a number that changes when another connection has written (SQLite); 0 on a server."""
        if self.dialect != "sqlite":
            return 0
        with self._version_lock, self._reachable():
            if self._version_connection is None:
                self._version_connection = self.engine.connect()
            return int(self._version_connection.exec_driver_sql("PRAGMA data_version").scalar_one())

    def close(self) -> None:
        """Give all connections back."""
        with self._version_lock:
            if self._version_connection is not None:
                self._version_connection.close()
                self._version_connection = None
        self.engine.dispose()


def _checked(url: str) -> sqlalchemy.URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError):
        raise UsageError(
            f"database URL {url!r} cannot be read",
            hint="write sqlite:///path/to/file.db or postgresql://user@host/name",
        ) from None
    if backend not in ("sqlite", "postgresql"):
        raise UsageError(f"database {backend!r} is not supported", hint="SQLite and PostgreSQL are")
    return parsed


def _sqlite_engine(url: sqlalchemy.URL, synchronous: str) -> Engine:
    # AUTOCOMMIT: transactions are begun and ended by our own statements, so that they can be IMMEDIATE.
    engine = sqlalchemy.create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=32,
        max_overflow=64,
        connect_args={"check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT}",
            "journal_mode = WAL",
            f"synchronous = {synchronous}",
            "cache_size = -16000",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def _postgres_engine(url: sqlalchemy.URL, lock_timeout: float, idle_timeout: float) -> Engine:
    options = " ".join(
        f"-c {name}={value}"
        for name, value in {
            "lock_timeout": int(lock_timeout * 1000),
            "idle_in_transaction_session_timeout": int(idle_timeout * 1000),
        }.items()
    )
    try:
        return sqlalchemy.create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            pool_size=16,
            max_overflow=64,
            pool_reset_on_return=None,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT,
                "options": options,
                # A peer that is gone without a word is noticed within half a minute.
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 4,
            },
        )
    except ModuleNotFoundError as error:
        raise UsageError(
            f"PostgreSQL needs the package {error.name}", hint="pip install 'dramaturg[postgres]'"
        ) from None


def _is_no_database(error: BaseException | None) -> bool:
    """Say whether SQLite found that the file is none of its own, or is damaged."""
    return getattr(error, "sqlite_errorname", "") in ("SQLITE_NOTADB", "SQLITE_CORRUPT")


def _is_too_much(error: BaseException | None) -> bool:
    """Say whether PostgreSQL refused what it was given as too large or too complex: to wait would not help."""
    return str(getattr(error, "sqlstate", None) or "").startswith("54")


def first_line(error: BaseException) -> str:
    """Return what a driver says, without the statement and its values."""
    error = getattr(error, "orig", None) or error
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
