"""The clock's work: everything that waits is a row with a due time, and `tick` serves what is due.

Any number of processes do this at once; none is a leader. Rows are taken with SKIP LOCKED in batches ordered by id, so
two clocks never wait for each other, and each move is a compare-and-set on the row's status. A tick looks first, in one
statement (`PEEK`), and runs only what there is something to do for.

Order is written as ``+id``: for ``id`` SQLite goes through the whole table, which has it in that order, where an index
leads to the few rows that are open.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from uuid_utils import uuid7

from dramaturg.engine import failpoints
from dramaturg.engine.errors import Failure
from dramaturg.engine.store.codec import dumps
from dramaturg.engine.store.database import Database, Row, Transaction
from dramaturg.engine.store.leases import ACTORS, Ready
from dramaturg.engine.store.runs import start_nested
from dramaturg.engine.store.statements import (
    ACTOR,
    INBOX_PUT,
    WAIT_MICROSECONDS,
    WAIT_MICROSECONDS_POSTGRESQL,
    Statement,
)
from dramaturg.engine.store.times import SECOND

#: Rows that one statement of the clock moves at most.
BATCH = 200
#: Microseconds that a message, or a run's own process, is given before the clock steps in.
PATIENCE = 2 * SECOND
#: Messages of one queue that are out and not claimed, at most.
WINDOW = 1000

_SCOPE = "(CAST(:root AS bigint) IS NULL OR root = :root)"
# As the condition of the index `execution_due`: SQLite uses an index of some rows only where it is written so.
_TIMED = "status IN ('scheduled', 'waiting') AND due_at IS NOT NULL"
_RUN_SCOPE = "(CAST(:root AS bigint) IS NULL OR w.root = :root OR w.id = :root)"

#: Counts of what is due, and the next time at which something will be.
PEEK = Statement(
    "peek",
    f"""SELECT
    (SELECT count(*) FROM (SELECT 1 FROM execution WHERE status IN ('scheduled', 'waiting') AND due_at IS NOT NULL
        AND due_at <= :now AND {_SCOPE} LIMIT 1) AS a),
    (SELECT count(*) FROM (SELECT 1 FROM execution WHERE status = 'running' AND lease_until IS NOT NULL
        AND (lease_until < :now OR deadline_at < :late) AND {_SCOPE} LIMIT 1) AS b),
    (SELECT count(*) FROM (SELECT 1 FROM timer WHERE due_at <= :now
        AND (CAST(:root AS bigint) IS NULL OR root = :root OR run = :root) LIMIT 1) AS c),
    (SELECT count(*) FROM (SELECT 1 FROM execution WHERE status = 'requested' AND {_SCOPE} LIMIT 1) AS d),
    (SELECT min(due_at) FROM execution WHERE status IN ('scheduled', 'waiting') AND due_at IS NOT NULL AND {_SCOPE}),
    (SELECT min(due_at) FROM timer WHERE (CAST(:root AS bigint) IS NULL OR root = :root OR run = :root)),
    (SELECT min(created_at + CAST(schedule_timeout * 1000000 AS bigint)) FROM execution
        WHERE status = 'requested' AND schedule_timeout IS NOT NULL AND {_SCOPE})""",
)

_ACTIVATE = f"""UPDATE execution SET sent_at = NULL, created_at = :now,
        status = CASE kind WHEN 'workflow' THEN 'running' WHEN 'wait' THEN 'waiting' ELSE 'requested' END,
        due_at = CASE WHEN kind = 'wait' THEN :now + %s END
    WHERE id IN (SELECT id FROM execution WHERE {_TIMED} AND status = 'scheduled' AND due_at <= :now AND {_SCOPE}
        ORDER BY +id LIMIT :limit <<skip>>) AND status = 'scheduled'
    RETURNING id, kind, queue, priority, {ACTOR}, run, awaits"""

#: Retries and delays that have waited long enough.
ACTIVATE = Statement(
    "activate", _ACTIVATE % WAIT_MICROSECONDS, postgresql=_ACTIVATE % WAIT_MICROSECONDS_POSTGRESQL
)

#: Waits that are over, and attempts that nobody completed in time.
WAITED = Statement(
    "waited",
    f"""UPDATE execution SET status = 'returned', outcome = 'due', result = CASE WHEN awaits IS NULL THEN '{{}}' END,
        due_at = NULL, finished_at = :now
    WHERE id IN (SELECT id FROM execution WHERE {_TIMED} AND status = 'waiting' AND due_at <= :now AND {_SCOPE}
        ORDER BY +id LIMIT :limit <<skip>>) AND status = 'waiting'
    RETURNING run""",
)

#: Attempts whose worker no longer renews: lost.
EXPIRED = Statement(
    "expired",
    f"""UPDATE execution SET status = 'returned', outcome = 'lost', lost = lost + 1, nonce = NULL, lease_until = NULL,
        finished_at = :now
    WHERE id IN (SELECT id FROM execution WHERE status = 'running' AND lease_until IS NOT NULL AND lease_until < :now
        AND {_SCOPE} ORDER BY +id LIMIT :limit <<skip>>) AND status = 'running'
    RETURNING run""",
)

#: Attempts of a worker that is known to be gone.
ORPHANED = Statement(
    "orphaned",
    f"""UPDATE execution SET status = 'returned', outcome = 'lost', lost = lost + 1, nonce = NULL, lease_until = NULL,
        finished_at = :now
    WHERE id IN (SELECT id FROM execution WHERE status = 'running' AND lease_until IS NOT NULL AND worker = :worker
        AND {_SCOPE} ORDER BY +id LIMIT :limit <<skip>>) AND status = 'running'
    RETURNING run""",
)

#: Attempts that their worker should have ended by itself, long ago.
OVERDUE = Statement(
    "overdue",
    f"""UPDATE execution SET status = 'returned', outcome = 'timed_out', error = :error, nonce = NULL, lease_until = NULL,
        finished_at = :now
    WHERE id IN (SELECT id FROM execution WHERE status = 'running' AND lease_until IS NOT NULL AND deadline_at < :late
        AND {_SCOPE} ORDER BY +id LIMIT :limit <<skip>>) AND status = 'running'
    RETURNING run""",
)

#: What no worker has taken in time.
UNSTARTED = Statement(
    "unstarted",
    f"""UPDATE execution SET status = 'returned', outcome = 'unstarted', finished_at = :now
    WHERE id IN (SELECT id FROM execution WHERE status = 'requested' AND schedule_timeout IS NOT NULL
        AND created_at + CAST(schedule_timeout * 1000000 AS bigint) <= :now AND {_SCOPE}
        ORDER BY +id LIMIT :limit <<skip>>) AND status = 'requested'
    RETURNING run""",
)

WORKERS = Statement(
    "workers",
    f"SELECT DISTINCT worker FROM execution WHERE status = 'running' AND lease_until IS NOT NULL AND {_SCOPE}",
)

#: Deadlines of runs that have passed: out of the table, into the runs' inboxes.
TIMERS = Statement(
    "timers",
    """DELETE FROM timer WHERE (run, kind, task, visit) IN (SELECT run, kind, task, visit FROM timer WHERE due_at <= :now
        AND (CAST(:root AS bigint) IS NULL OR root = :root OR run = :root) ORDER BY run LIMIT :limit <<skip>>)
    RETURNING run, kind, seconds, task, visit""",
)

#: What may be taken and was not sent, or was sent so long ago that the message must be lost: only if later ones of its
#: queue have been claimed, or none has for as long; each time twice as long.
_UNSENT = f"""UPDATE execution SET sent_at = :now, sends = sends + 1
    WHERE id IN (
        SELECT e.id FROM execution e LEFT JOIN queue q
            ON q.name = CASE WHEN e.kind = 'actor' THEN '{ACTORS}' || e.queue ELSE e.queue END
        WHERE e.status = 'requested' AND {_SCOPE} AND (CAST(:kind AS text) IS NULL OR e.kind = :kind) AND (
            (e.sent_at IS NULL AND e.created_at < :now - :patience)
            OR (e.sent_at < :now - :lost * (CASE WHEN e.sends > 6 THEN 64 WHEN e.sends > 4 THEN 16
                    WHEN e.sends > 2 THEN 4 ELSE 1 END)
                AND (q.claimed_sent_at IS NULL OR q.claimed_sent_at > e.sent_at OR q.claimed_at < :now - :lost)))
        ORDER BY +e.id LIMIT :limit <<of e>>)
        AND status = 'requested'
    RETURNING id, queue, priority, {ACTOR}"""

UNSENT = Statement(
    "unsent",
    _UNSENT.replace("<<of e>>", ""),
    # Two clocks would send the same rows: what the subselect found is not looked at again after a wait for its lock.
    postgresql=_UNSENT.replace("<<of e>>", "FOR UPDATE OF e SKIP LOCKED"),
)

SENT_NOW = Statement(
    "sent_now",
    """UPDATE execution SET sent_at = :now, sends = sends + 1 WHERE id IN (SELECT id FROM <<rows ids | id bigint>> AS x)""",
)

#: In process: what may be taken; the process itself knows what it has in its queue.
REQUESTED = Statement(
    "requested",
    f"""SELECT id, queue, priority, {ACTOR} FROM execution WHERE status = 'requested' AND {_SCOPE}
        AND (CAST(:kind AS text) IS NULL OR kind = :kind)
        AND (CAST(:queues AS text) IS NULL OR queue IN (SELECT name FROM <<rows queues | name text>> AS x))
    ORDER BY priority, id LIMIT :limit""",
)

#: Runs that have something to apply and nobody who does it.
RUNS = Statement(
    "runs",
    f"""SELECT w.id FROM workflow_execution w WHERE w.ended_at IS NULL AND {_RUN_SCOPE}
        AND (w.retry_at IS NULL OR w.retry_at <= :now) AND (
            (w.status = 'requested' AND w.created_at <= :before)
            OR EXISTS (SELECT 1 FROM execution e WHERE e.run = w.id AND e.status = 'returned' AND e.finished_at <= :before)
            OR EXISTS (SELECT 1 FROM inbox i WHERE i.run = w.id AND i.applied_at IS NULL AND i.created_at <= :before))
    ORDER BY +w.id LIMIT :limit""",
    postgresql=f"""SELECT w.id FROM workflow_execution w WHERE w.ended_at IS NULL AND {_RUN_SCOPE}
        AND (w.retry_at IS NULL OR w.retry_at <= :now) AND w.id IN (
            SELECT id FROM workflow_execution WHERE ended_at IS NULL AND status = 'requested' AND created_at <= :before
            UNION SELECT run FROM execution WHERE status = 'returned' AND finished_at <= :before
            UNION SELECT run FROM inbox WHERE applied_at IS NULL AND created_at <= :before)
    ORDER BY +w.id LIMIT :limit""",
)


@dataclass(slots=True, kw_only=True)
class Performed:
    """What executions of kind engine have led to."""

    #: Runs to be looked at: those whose tasks they were, and those of the same root that got a signal.
    runs: list[int] = field(default_factory=list)
    #: Runs of other roots: those that began, and those that got a signal.
    others: list[int] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Due:
    """What a tick has found: to be sent, to be applied, and when to look again."""

    requested: list[Ready] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)
    #: Runs of other roots that a task has started, or sent a signal.
    others: list[int] = field(default_factory=list)
    #: Microseconds until the next row is due, or None: none is known.
    next_in: int | None = None
    #: Whether more was due than one batch takes.
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Serves due rows of a database, of one root or of all runs."""

    database: Database
    #: Only executions of this outermost run.
    root: int | None = None
    #: Seconds after its deadline at which an attempt is ended for its worker: its grace and a margin.
    overdue: float = 15.0
    #: Seconds after which a message that was sent and not claimed may be lost.
    lost: float = 30.0
    #: Whether messages live in this process only, so that `sent_at` says nothing.
    in_process: bool = False
    #: Does executions of kind engine, in the transaction in which their delay is over.
    perform: Callable[[Transaction, Sequence[int]], Performed] | None = None

    def tick(
        self, *, patience: int = PATIENCE, queues: Collection[str] | None = None, actors: bool = False
    ) -> Due:
        """Serve what is due.

        Args:
            queues: in process: those that this process serves; None: all.
            patience: microseconds that runs and unsent messages are left to whoever made them.
            actors: there is a broker to actors of the user's: what they are to do is sent by it, in process too.
        """
        failpoints.hit("tick.begin")
        due = Due()
        with self.database.read() as tx:
            now = tx.now()
            late = now - int(self.overdue * SECOND)
            parameters = {"now": now, "root": self.root, "late": late}
            peek = tx.run(PEEK, parameters)[0]
            before = {"now": now, "before": now - patience, "root": self.root, "limit": BATCH}
            due.runs.extend(row[0] for row in tx.run(RUNS, before))
        if peek[3] and self.in_process:
            due.requested.extend(self.requested(queues, actors=actors))
        later = [at - now for at in peek[4:7] if at is not None]
        due.next_in = max(0, min(later)) if later else None
        if any(peek[:3]) or (peek[6] is not None and peek[6] <= now):
            self._move(due, peek, parameters)
            failpoints.hit("tick.committed")
        if peek[3] and (actors or not self.in_process):
            self._send_again(due, patience)
        return due

    def _move(self, due: Due, peek: Row, parameters: dict[str, Any]) -> None:
        with self.database.write() as tx:
            bounds = {**parameters, "now": tx.now(), "limit": BATCH}
            if peek[0]:
                self._activate(tx, due, bounds)
                due.runs.extend(_note(due, tx.run(WAITED, bounds)))
            if peek[1]:
                due.runs.extend(_note(due, tx.run(EXPIRED, bounds)))
                error = dumps(
                    Failure(
                        type="Timeout",
                        message="the attempt did not end by its timeout, and its worker did not say so",
                        details={"kind": "start_to_close"},
                    ).to_json()
                )
                due.runs.extend(_note(due, tx.run(OVERDUE, {**bounds, "error": error})))
            if peek[2]:
                self._deadlines(tx, due, bounds)
            if peek[6] is not None:
                due.runs.extend(_note(due, tx.run(UNSTARTED, bounds)))

    def _activate(self, tx: Transaction, due: Due, bounds: dict[str, Any]) -> None:
        rows = tx.run(ACTIVATE, bounds)
        due.more = due.more or len(rows) >= BATCH
        ready = [Ready(*row[:1], *row[2:5]) for row in rows if row[1] in ("worker", "actor")]
        due.requested.extend(ready)
        nested = [row[0] for row in rows if row[1] == "workflow"]
        if nested:
            due.runs.extend(start_nested(tx, nested))
        if ready and not self.in_process:
            # It is sent as soon as this has committed.
            tx.run(SENT_NOW, {"now": bounds["now"], "ids": dumps([{"id": one.id} for one in ready])})
        due.runs.extend(look_for_signals(tx, (row[5] for row in rows if row[6] == "signal")))
        own = [row[0] for row in rows if row[1] == "engine"]
        if own and self.perform is not None:
            performed = self.perform(tx, own)
            due.runs.extend(performed.runs)
            due.others.extend(performed.others)

    def _deadlines(self, tx: Transaction, due: Due, bounds: dict[str, Any]) -> None:
        rows = tx.run(TIMERS, bounds)
        messages = [
            {
                "run": run,
                "key": f"deadline:{kind}:{task}:{visit}",
                "kind": "deadline",
                "data": dumps(
                    {"kind": kind, "seconds": seconds, **({"task": task, "visit": visit} if task else {})}
                ),
            }
            for run, kind, seconds, task, visit in rows
        ]
        due.runs.extend(put_inbox(tx, messages))

    def _send_again(self, due: Due, patience: int) -> None:
        with self.database.write(durable=False) as tx:
            found = tx.run(
                UNSENT,
                {
                    "now": tx.now(),
                    "root": self.root,
                    "kind": "actor" if self.in_process else None,
                    "patience": patience,
                    "lost": int(self.lost * SECOND),
                    "limit": WINDOW,
                },
            )
            due.requested.extend(Ready(*row) for row in found)

    def requested(self, queues: Collection[str] | None = None, *, actors: bool = False) -> list[Ready]:
        """Return what this process may take, at most twice a window, in order; `actors` as in `tick`."""
        names = None if queues is None else dumps([{"name": name} for name in sorted(queues)])
        kind = "worker" if actors else None
        rows = self.database.ask(
            REQUESTED, {"root": self.root, "kind": kind, "queues": names, "limit": 2 * WINDOW}
        )
        return [Ready(*row) for row in rows]

    def orphan(self, worker: str) -> list[int]:
        """Give up the attempts of a worker that is gone for certain; return the runs to look at."""
        runs: list[int] = []
        with self.database.write() as tx:
            while True:
                bounds = {"now": tx.now(), "root": self.root, "worker": worker, "limit": BATCH}
                rows = tx.run(ORPHANED, bounds)
                runs.extend(dict.fromkeys(row[0] for row in rows))
                if len(rows) < BATCH:
                    return runs

    def workers(self) -> list[str]:
        """Return the names of the workers that are running something."""
        return [row[0] for row in self.database.ask(WORKERS, {"root": self.root})]


def put_inbox(tx: Transaction, messages: Iterable[dict[str, Any]]) -> list[int]:
    """Put messages ({run, key, kind, data}) into inboxes; return the runs that got one that they did not have."""
    listed = list(messages)
    if not listed:
        return []
    return [row[0] for row in tx.run(INBOX_PUT, {"messages": dumps(listed), "now": tx.now()})]


def look_for_signals(tx: Transaction, runs: Iterable[int]) -> list[int]:
    """Have each run look whether a signal is there for what waits; return the runs."""
    return put_inbox(
        tx,
        [
            {"run": run, "key": f"match:{uuid7()}", "kind": "match", "data": "{}"}
            for run in dict.fromkeys(runs)
        ],
    )


def _note(due: Due, rows: Iterable[Row]) -> list[int]:
    listed = list(rows)
    due.more = due.more or len(listed) >= BATCH
    return list(dict.fromkeys(row[0] for row in listed))
