"""The use cases: what the command line, the client and the pages call. No rule of theirs is elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dramaturg.engine.config import Settings
from dramaturg.engine.errors import JSON, Conflict, Failure, NotFound, Unreachable, UsageError
from dramaturg.engine.packs.loader import load_packs, load_workflow_file
from dramaturg.engine.packs.manifest import Pack
from dramaturg.engine.runtime import ActionOutcome, ActionRequest, Stop, run_action
from dramaturg.engine.runtime.normalise import Refused, normalise, readable
from dramaturg.engine.secrecy import Secrecy
from dramaturg.engine.serve import Host
from dramaturg.engine.sources import ActionSource
from dramaturg.engine.starting import StartedRun, check_name, start_run
from dramaturg.engine.store import controls, people, queries, schema, verification
from dramaturg.engine.store.awaits import awaits_of
from dramaturg.engine.store.catalog import Catalog
from dramaturg.engine.store.codec import Encoder, loads
from dramaturg.engine.store.database import Database, Transaction
from dramaturg.engine.store.doctor import Finding, examine, seen_workers
from dramaturg.engine.store.keystore import KeptSecrets
from dramaturg.engine.store.registry import Bundle, Registered, register
from dramaturg.engine.store.statements import Statement
from dramaturg.engine.store.times import iso
from dramaturg.engine.store.vault import Vault

if TYPE_CHECKING:
    import sqlalchemy
    from sqlalchemy.orm import Session

__all__ = ["Finding", "KeptSecrets", "Registered", "Service", "StartedRun"]

#: Seconds between two looks at a run that is waited for: at first, and at most.
LOOK_FIRST, LOOK_LAST = 0.005, 0.25

PACKS = Statement(
    "packs",
    """SELECT p.ref, p.label, p.version, p.registered_at, p.tags,
        (SELECT count(*) FROM action a WHERE a.pack = p.ref AND a.kind <> 'workflow'),
        (SELECT count(*) FROM action a WHERE a.pack = p.ref AND a.kind = 'workflow')
    FROM pack p ORDER BY p.ref""",
)
ACTIONS = Statement(
    "actions",
    """SELECT a.ref, a.pack, a.kind, a.label, a.description, a.enabled, a.current_revision, a.registered_at, v.definition
    FROM action a JOIN workflow_revision v ON v.digest = a.current_revision
    WHERE (CAST(:pack AS text) IS NULL OR a.pack = :pack) ORDER BY a.ref""",
)


class Service:
    """The use cases on one database. May be used by many threads at once."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.catalog = Catalog()
        self.vault = Vault.of(database, settings.secret_keys)
        self.secrecy = Secrecy(self.vault)
        self.keystore = KeptSecrets(database, self.vault)
        self._packs: tuple[Pack, ...] | None = None

    @classmethod
    def open(cls, settings: Settings, *, migrate: bool = False) -> Service:
        """Open the database that the settings name.

        An embedded database (SQLite) is made and migrated; a server's is migrated only with `migrate`.

        Raises:
            Unreachable: it does not answer.
            SchemaOutdated: its tables are not what this version needs.
        """
        database = _database(settings)
        try:
            if migrate or database.dialect == "sqlite":
                schema.upgrade(database)
            else:
                schema.require(database)
        except BaseException:
            database.close()
            raise
        return cls(database, settings)

    @staticmethod
    def upgrade(settings: Settings) -> tuple[str | None, str]:
        """Bring the tables up to date; return the migration before (None: no tables) and after."""
        database = _database(settings)
        try:
            return schema.upgrade(database)
        finally:
            database.close()

    @staticmethod
    def revisions(settings: Settings) -> tuple[str | None, str]:
        """Return the migration of the tables as they are (None: no tables), and the one that is wanted."""
        database = _database(settings)
        try:
            return schema.current(database), schema.HEAD
        finally:
            database.close()

    def close(self) -> None:
        """Give the connections back."""
        self.database.close()

    def host(
        self,
        *,
        in_process: bool,
        root: int | None = None,
        queues: Iterable[str] | None = None,
        kind: str | None = None,
        run: Callable[[ActionRequest, Stop], ActionOutcome] = run_action,
    ) -> Host:
        """Return an engine that serves this database's tasks; threads or actors are to call it.

        Args:
            in_process: its messages stay within this process.
            root: only this outermost run, and what is nested in it.
            queues: the task queues that it serves; None: all.
            kind: the only kind of executions that it takes; None: any.
            run: makes an attempt.
        Raises:
            DefinitionError: the packs on the path do not load.
        """
        if self._packs is None:
            self._packs = load_packs(self.settings.packs)
        return Host(
            self.settings,
            self.database,
            self.catalog,
            ActionSource(self._packs, self.database),
            in_process=in_process,
            root=root,
            queues=queues,
            kind=kind,
            run=run,
        )

    # -- packs ---------------------------------------------------------------------------------------------

    def register(self, paths: Sequence[Path] | None = None, file: Path | None = None) -> Registered:
        """Register the packs of the search path (or of `paths`), or one workflow file.

        Raises:
            DefinitionError: anything is wrong with any of them; nothing is registered.
        """
        packs = load_packs(self.settings.packs if paths is None else paths)
        if file is not None:
            packs = (*packs, load_workflow_file(file, packs))
        if paths is None:
            # The file's pack too: a host of this service finds its scripts.
            self._packs = packs
        return register(self.database, [_bundle(pack) for pack in packs])

    def packs(self) -> list[dict[str, JSON]]:
        """Return what is registered."""
        names = ("ref", "label", "version", "registered_at", "tags", "actions", "workflows")
        with self.database.read() as tx:
            rows = tx.run(PACKS)
        return [
            {**dict(zip(names, row, strict=True)), "registered_at": iso(row[3]), "tags": loads(row[4])}
            for row in rows
        ]

    def pack(self, ref: str) -> dict[str, JSON]:
        """Return a pack with its actions.

        Raises:
            NotFound: nothing is registered under this ref.
        """
        for pack in self.packs():
            if pack["ref"] == ref:
                return {**pack, "contents": self.actions(ref)}
        raise NotFound(f"there is no pack {ref!r} in database {self.database.shown}")

    def actions(self, pack: str | None = None) -> list[dict[str, JSON]]:
        """Return actions and workflows with their parameters, of one pack or of all."""
        names = ("ref", "pack", "kind", "label", "description", "enabled", "revision", "registered_at")
        with self.database.read() as tx:
            rows = tx.run(ACTIONS, {"pack": pack})
        return [
            {
                **dict(zip(names, row[:8], strict=True)),
                "enabled": bool(row[5]),
                "registered_at": iso(row[7]),
                "parameters": loads(row[8]).get("parameters"),
            }
            for row in rows
        ]

    # -- runs ----------------------------------------------------------------------------------------------

    def start(
        self,
        ref: str,
        parameters: Mapping[str, JSON] | None = None,
        *,
        id: str | None = None,
        if_exists: str = "return_existing",
        session: Session | None = None,
    ) -> StartedRun:
        """Start a run, or find the one of this id.

        Args:
            if_exists: ``return_existing`` or ``reject``.
            session: make the run part of this transaction; it exists if that commits.
        Raises:
            NotFound, InvalidParameters, Conflict, UsageError: nothing was stored.
        """

        def start(tx: Transaction) -> StartedRun:
            return start_run(
                tx,
                ref,
                parameters or {},
                run_id=id,
                if_exists=if_exists,
                secrecy=self.secrecy,
                threshold=self.settings.soft_payload,
                limit=self.settings.hard_payload,
                shown=self.database.shown,
            )

        if session is None:
            with self.database.write() as tx:
                return start(tx)
        connection = session.connection()
        if not _same_database(self.database, connection.engine.url):
            raise UsageError(
                f"the session belongs to another database than {self.database.shown}",
                hint="give a session of the database that the client uses",
            )
        return start(self.database.joined(connection))

    def status(self, run_id: str) -> str:
        """Return the run's status."""
        rows = self.database.ask(queries.STATUS, {"run_id": run_id})
        return str(rows[0][1]) if rows else self._missing(run_id)

    def describe(self, run_id: str) -> dict[str, JSON]:
        """Return the object of a run that `show` prints."""
        with self.database.read() as tx:
            row = queries.find_run(tx, run_id)
            if row is not None:
                return queries.described(tx, row)
        return self._missing(run_id)

    def runs(
        self,
        *,
        query: str | None = None,
        status: str | None = None,
        ref: str | None = None,
        limit: int = 50,
        nested: bool = False,
    ) -> list[dict[str, JSON]]:
        """Return runs, newest first; `query` is the beginning of an id, or a part of a ref."""
        filters = {"status": status, "ref": ref, "limit": limit, "nested": nested, "query": None}
        if query:
            escaped = query.replace("!", "!!").replace("%", "!%").replace("_", "!_")
            filters["query"] = f"%{escaped}%"
        with self.database.read() as tx:
            return queries.listed(tx, filters)

    def tasks(self, run_id: str, *, items: bool = False) -> list[dict[str, JSON]]:
        """Return the visits of a run's tasks, in the order in which they started."""
        with self.database.read() as tx:
            return queries.tasks_of(tx, self._key(tx, run_id), items=items)

    def awaits(self, run_id: str) -> list[dict[str, JSON]]:
        """Return what a run, and those nested in it, wait for: a record each, by its ``kind``."""
        with self.database.read() as tx:
            return awaits_of(tx, self._key(tx, run_id))

    def history(self, run_id: str, after: int = 0, limit: int | None = None) -> list[dict[str, JSON]]:
        """Return the history records behind `after`."""
        with self.database.read() as tx:
            return queries.history_of(tx, self._key(tx, run_id), after=after, limit=limit)

    def logs(self, run_id: str, task: str | None = None) -> list[dict[str, JSON]]:
        """Return the output of the attempts, of one task or of all."""
        with self.database.read() as tx:
            return queries.logs_of(tx, self._key(tx, run_id), task)

    def wait(
        self, run_id: str, timeout: float | None = None, *, look: Callable[[float], object] = time.sleep
    ) -> dict[str, JSON]:
        """Wait until a run has ended; return its object.

        Args:
            look: waits so many seconds between two looks.
        Raises:
            TimeoutError: it has not ended after `timeout` seconds; it goes on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        delay = LOOK_FIRST
        while True:
            rows = self.database.ask(queries.STATUS, {"run_id": run_id})
            if not rows:
                self._missing(run_id)
            if rows[0][2] is not None:
                return self.describe(run_id)
            left = delay if deadline is None else min(delay, deadline - time.monotonic())
            if left <= 0:
                raise TimeoutError(f"run {run_id} is {rows[0][1]} after {timeout:g} s")
            look(left)
            delay = min(delay * 1.5, LOOK_LAST)

    def cancel(self, target: str, *, by: str = "", reason: str = "") -> controls.Asked:
        """Ask a run, or one execution by its number, to stop; asking twice does nothing more.

        Raises:
            NotFound: there is no such run or execution.
        """
        with self.database.write() as tx:
            asked = controls.cancel(tx, target, by=readable(by), reason=readable(reason))
        return asked if asked is not None else self._missing(target)

    def terminate(self, run_id: str, *, by: str = "", reason: str = "") -> controls.Asked:
        """End a run, and those nested in it, at once: nothing of it is let finish, no transition is followed.

        Raises:
            NotFound: there is no such run.
        """
        with self.database.write() as tx:
            asked = controls.terminate(tx, run_id, by=readable(by), reason=readable(reason))
        return asked if asked is not None else self._missing(run_id)

    def signal(
        self, run_id: str, name: str, payload: JSON = None, *, by: str = "", key: str | None = None
    ) -> controls.Asked:
        """Send a run a signal; it is kept until a task waits for it.

        Args:
            key: the sender's name for it: sent twice, it counts once.
        Raises:
            NotFound: there is no such run.
            Conflict: it has ended.
            UsageError: the name or the key can't be one, or the payload is no JSON value.
        """
        check_name(name, "signal")
        if key is not None:
            check_name(key, "key")
        value = self._given(payload, "payload")
        with self.database.write() as tx:
            row = people.run_of(tx, run_id)
            if row is not None and row[2] is None:
                return people.signal(tx, self._encoder(), row, name, value, by=readable(by), key=key)
        if row is None:
            self._missing(run_id)
        raise Conflict(f"run {run_id} has ended: it takes no signal", hint="dramaturg show says how")

    def answer(
        self, run_id: str, task: str | None = None, value: JSON = None, *, by: str = ""
    ) -> controls.Asked:
        """Answer what a run asks (`core.ask`): its one question, or that of one of its tasks.

        Raises:
            NotFound: there is no such run, or it asks nothing.
            Conflict: several questions could be meant, or it has been answered.
            InvalidParameters: the question wants another kind of answer; nothing has happened.
        """
        given = self._given(value, "answer")
        with self.database.write() as tx:
            return people.answer(tx, self._encoder(), self._key(tx, run_id), task, given, by=readable(by))

    def complete(self, target: str, result: JSON = None, *, by: str = "") -> controls.Asked:
        """End what waits as succeeded: a pending attempt by its token, what waits by the number of its execution.

        Raises:
            NotFound: there is nothing of this token or number.
            Conflict: it does not wait.
            InvalidParameters: the result is not what the action or the question declares; nothing has happened.
        """
        return self._end(target, self._given(result, "result"), None, by)

    def fail(
        self, target: str, message: str = "", *, type: str = "Failed", details: JSON = None, by: str = ""
    ) -> controls.Asked:
        """End what waits as failed; otherwise like `complete`."""
        text = message or (f"{by} said so" if by else "a person said so")
        self._given([type, text, by], "failure")
        error = Failure(type=type or "Failed", message=text, details=self._given(details, "details"))
        return self._end(target, None, error, by)

    def _end(self, target: str, result: JSON, error: Failure | None, by: str) -> controls.Asked:
        with self.database.write() as tx:
            given = self.secrecy.taken_result(tx, target, result) if error is None else None
            asked = people.end(tx, self._encoder(), target, given, error, by=readable(by))
        if asked is None:
            hint = "dramaturg show names executions, DRAMATURG_TOKEN is the token"
            raise NotFound(
                f"there is no execution or token {target!r} in database {self.database.shown}", hint=hint
            )
        return asked

    def _encoder(self) -> Encoder:
        return Encoder(self.settings.soft_payload, self.vault)

    def _given(self, value: JSON, what: str) -> JSON:
        try:
            return normalise(value, self.settings.hard_payload, what)
        except Refused as refused:
            raise UsageError(refused.failure.message) from None

    def verify(self, run_id: str) -> list[str]:
        """Hold a run's history, and those of the runs nested in it, against the tables; return what is broken."""
        with self.database.read() as tx:
            runs = verification.family(tx, self._key(tx, run_id))
            return [problem for run in runs for problem in verification.verify(tx, run)]

    # -- health --------------------------------------------------------------------------------------------

    def doctor(self) -> list[Finding]:
        """Return, in words, what stands and what does not."""
        return examine(self.database, self.settings.lease, self.vault)

    def workers(self) -> list[str]:
        """Return the names of the worker processes that were seen lately, those of a `run` too."""
        with self.database.read() as tx:
            return seen_workers(tx)

    # -- helpers -------------------------------------------------------------------------------------------

    def _key(self, tx: Transaction, run_id: str) -> int:
        rows = tx.run(queries.STATUS, {"run_id": run_id})
        return int(rows[0][0]) if rows else self._missing(run_id)

    def _missing(self, run_id: str) -> NoReturn:
        with self.database.read() as tx:
            rows = tx.run(queries.NEAR, {"query": run_id[:8].replace("_", "!_").replace("%", "!%") + "%"})
        near = ", ".join(row[0] for row in rows)
        hint = f"did you mean {near}?" if near else "dramaturg list shows what there is"
        raise NotFound(f"there is no run {run_id!r} in database {self.database.shown}", hint=hint)


def open_host(settings: Settings, *, queues: Iterable[str] | None = None) -> Host:
    """Open the database that the settings name, and return the engine of a worker process on it.

    Raises:
        Unreachable, SchemaOutdated, DefinitionError: there is nothing to serve, or no way to.
    """
    service = Service.open(settings)
    return service.host(in_process=settings.broker_url is None, queues=queues)


def _database(settings: Settings) -> Database:
    database = Database(
        settings.resolved_database_url,
        synchronous=settings.sqlite_synchronous,
        idle_timeout=max(1.0, settings.lease * 2 / 3),
    )
    if database.file is not None:
        _make_folder(database.file.parent)
    return database


def _bundle(pack: Pack) -> Bundle:
    return Bundle(
        ref=pack.ref,
        label=pack.label,
        version=pack.version,
        config=pack.config,
        tags=pack.tags,
        definitions=pack.definitions,
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unreachable(f"database folder {folder}: {error.strerror or error}") from error


def _same_database(database: Database, url: sqlalchemy.URL) -> bool:
    ours = database.url
    if ours.get_backend_name() != url.get_backend_name():
        return False
    if database.file is not None:
        return url.database is not None and Path(url.database).resolve() == database.file.resolve()
    return (ours.host, ours.port or 5432, ours.database) == (url.host, url.port or 5432, url.database)
