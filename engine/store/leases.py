"""Statements of workers: claims and their leases, what they wrote, what they sent, that they live.

None of them takes a run's lock.
"""

from __future__ import annotations

from typing import NamedTuple

from dramaturg.engine.store.statements import ACTOR, Statement

#: Before the names of queues of the user's actors: they are not ours, though they may be called the same.
ACTORS = "actors/"


class Ready(NamedTuple):
    """An execution that may be taken now."""

    id: int
    queue: str
    priority: int
    #: Ref of its action, if an actor of the user's is to do it.
    actor: str | None = None


CLAIM = Statement(
    "claim",
    """UPDATE execution SET status = 'running', nonce = :nonce, worker = :worker, lease_until = :lease_until,
        started_at = :now, deadline_at = CASE WHEN timeout IS NULL THEN NULL
            ELSE :now + CAST(timeout * 1000000 AS bigint) END
    WHERE id = :id AND status = 'requested' AND kind IN ('worker', 'actor')
        AND (CAST(:kind AS text) IS NULL OR kind = :kind) AND (CAST(:root AS bigint) IS NULL OR root = :root)
    RETURNING id, run, task, visit, item, attempt, action, input, timeout, queue, sent_at, once, heartbeat_timeout,
        heartbeat, (SELECT run_id FROM workflow_execution w WHERE w.id = execution.run)""",
)

#: This transaction waits for the disk after all.
DURABLE = Statement("durable", "SELECT 1", postgresql="SET LOCAL synchronous_commit = on")

#: An execution that a step claimed whose commit was in doubt.
READ_FOLLOW = Statement(
    "read_follow",
    """SELECT id, run, task, visit, item, attempt, action, input, timeout, queue, sent_at, once, heartbeat_timeout,
        heartbeat
    FROM execution WHERE run = :run AND nonce = :nonce AND status = 'running'""",
)

RENEW = Statement(
    "renew",
    """UPDATE execution SET lease_until = :lease_until WHERE id IN (
        SELECT e.id FROM execution e JOIN <<rows claims | id bigint, nonce text>> AS x ON x.id = e.id AND x.nonce = e.nonce
        WHERE e.status = 'running' ORDER BY e.id <<skip>>)""",
    postgresql="""UPDATE execution SET lease_until = :lease_until WHERE id IN (
        SELECT e.id FROM execution e JOIN <<rows claims | id bigint, nonce text>> AS x ON x.id = e.id AND x.nonce = e.nonce
        WHERE e.status = 'running' ORDER BY e.id FOR UPDATE OF e SKIP LOCKED)""",
)

#: Which claims still stand, and which of them are asked to stop.
FLAGS = Statement(
    "flags",
    """SELECT e.nonce, e.cancel_requested FROM <<rows claims | id bigint, nonce text>> AS x
    JOIN execution e ON e.id = x.id AND e.nonce = x.nonce AND e.status = 'running'""",
)

#: Given back unfinished by a worker that stops: not an attempt. Sent at 0: a clock sends it at once, though whoever sent
#: it first may note so only now.
_RELEASE_CLAIMS = f"""UPDATE execution SET status = 'requested', nonce = NULL, worker = NULL, lease_until = NULL, deadline_at = NULL,
        started_at = NULL, sent_at = 0, created_at = :now
    WHERE id IN (SELECT e.id FROM execution e JOIN <<rows claims | id bigint, nonce text>> AS x
        ON x.id = e.id AND x.nonce = e.nonce WHERE e.status = 'running' ORDER BY e.id%s)
    RETURNING id, queue, priority, {ACTOR}"""
RELEASE_CLAIMS = Statement(
    "release_claims", _RELEASE_CLAIMS % "", postgresql=_RELEASE_CLAIMS % " FOR UPDATE OF e"
)

#: An attempt has ended its work, and somebody else will say how it went: by its nonce, the token. One that is asked to
#: stop has stopped by this.
PEND = Statement(
    "pend",
    """UPDATE execution SET awaits = 'completion', lease_until = NULL, heartbeat = COALESCE(CAST(:heartbeat AS text), heartbeat),
        status = CASE WHEN cancel_requested THEN 'returned' ELSE 'waiting' END,
        outcome = CASE WHEN cancel_requested THEN 'cancelled' END,
        finished_at = CASE WHEN cancel_requested THEN CAST(:now AS bigint) END,
        due_at = CASE WHEN cancel_requested THEN NULL ELSE deadline_at END
    WHERE id = :id AND nonce = :nonce AND status = 'running' RETURNING run""",
)

_BEATS = """UPDATE execution SET heartbeat = COALESCE(y.heartbeat, execution.heartbeat),
        progress = COALESCE(y.progress, execution.progress),
        progress_message = COALESCE(y.message, execution.progress_message)
    FROM (SELECT e.id, x.heartbeat, x.progress, x.message
        FROM <<rows beats | id bigint, nonce text, heartbeat text, progress float, message text>> AS x
        JOIN execution e ON e.id = x.id AND e.nonce = x.nonce WHERE e.status = 'running' ORDER BY e.id%s) AS y
    WHERE execution.id = y.id"""

#: What attempts say of themselves while they run.
BEATS = Statement("beats", _BEATS % "", postgresql=_BEATS % " FOR UPDATE OF e")

LOGS = Statement(
    "logs",
    """INSERT INTO task_log (run, execution_id, attempt, stream, text, truncated, at)
    SELECT :run, :execution, :attempt, stream, text, truncated, :now
    FROM <<rows chunks | stream text, text text, truncated bool>> AS x""",
)

_MARK_SENT = """UPDATE execution SET sent_at = :now, sends = sends + 1
    WHERE id IN (SELECT e.id FROM execution e JOIN <<rows sent | id bigint>> AS x ON x.id = e.id
        WHERE e.status = 'requested' AND e.sent_at IS NULL ORDER BY e.id%s)"""
MARK_SENT = Statement("mark_sent", _MARK_SENT % "", postgresql=_MARK_SENT % " FOR UPDATE OF e SKIP LOCKED")

MARK_QUEUES = Statement(
    "mark_queues",
    """INSERT INTO queue (name, claimed_at, claimed_sent_at) SELECT name, :now, sent_at
    FROM <<rows queues | name text, sent_at bigint>> AS x WHERE true
    ON CONFLICT (name) DO UPDATE SET claimed_at = excluded.claimed_at,
        claimed_sent_at = CASE WHEN excluded.claimed_sent_at > queue.claimed_sent_at
            THEN excluded.claimed_sent_at ELSE queue.claimed_sent_at END""",
)

SEEN = Statement(
    "seen",
    """INSERT INTO worker (name, host, pid, version, queues, started_at, seen_at)
    VALUES (:name, :host, :pid, :version, :queues, :now, :now)
    ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at""",
)
GONE = Statement("gone", "DELETE FROM worker WHERE name = :name")
