"""Every statement of the step and of the clock, fixed, for SQLite and PostgreSQL.

One text serves both where the two agree; parameters are written ``:name``. Two marks stand for what differs:

* ``<<rows p | a text, b bigint>>``: the parameter `p`, a JSON array of objects, as a table with these columns, so that
  any number of rows is one statement;
* ``<<skip>>`` and ``<<lock>>``: row locks (``FOR UPDATE SKIP LOCKED`` / ``FOR UPDATE``) where there are any: SQLite has
  one writer.

Order of locks within a transaction: the run, then executions by id (DESIGN 4).
"""

from __future__ import annotations

import re
from typing import Literal

_ROWS = re.compile(r"<<rows (\w+) \| ([^>]+)>>")
_NAMED = re.compile(r"(?<![:\w]):([a-z_]+)")

#: Column types of ``<<rows>>`` as PostgreSQL names them.
_TYPES = {"text": "text", "bigint": "bigint", "float": "double precision", "bool": "boolean"}


class Statement:
    """One statement under a name that tests and failpoints know it by."""

    __slots__ = ("_postgresql", "_sqlite", "name")

    def __init__(self, name: str, text: str, *, postgresql: str | None = None) -> None:
        self.name = name
        self._sqlite = _for_sqlite(text)
        self._postgresql = _for_postgresql(postgresql or text)

    def text(self, dialect: Literal["sqlite", "postgresql"]) -> str:
        """Return the text for a kind of database."""
        return self._sqlite if dialect == "sqlite" else self._postgresql


def _for_sqlite(text: str) -> str:
    def rows(match: re.Match[str]) -> str:
        names = [column.split()[0] for column in match[2].split(",")]
        columns = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in names)
        return f"(SELECT {columns} FROM json_each(:{match[1]}))"

    return _ROWS.sub(rows, text).replace("<<skip>>", "").replace("<<lock>>", "")


def _for_postgresql(text: str) -> str:
    def rows(match: re.Match[str]) -> str:
        pairs = [column.split() for column in match[2].split(",")]
        columns = ", ".join(f"{name} {_TYPES[kind]}" for name, kind in pairs)
        return f"(SELECT * FROM json_to_recordset(:{match[1]}::json) AS r({columns}))"

    text = (
        _ROWS.sub(rows, text).replace("<<skip>>", "FOR UPDATE SKIP LOCKED").replace("<<lock>>", "FOR UPDATE")
    )
    return _NAMED.sub(r"%(\1)s", text.replace("%", "%%"))


#: The action's ref, where an actor of the user's is to do it: who sends looks up the actor's name.
ACTOR = "CASE WHEN kind = 'actor' THEN action END"

# --- the step: reads ---------------------------------------------------------------------------------------

_RUN_COLUMNS = """id, run_id, execution_id, attempt, root, parent, root_run_id, parent_run_id, ref, digest, catalog,
    status, open, open_joins, next_seq, closing, created_at, last_at, retry_at, ended_at,
    parked"""

#: The run's row, if nobody else holds it; with the time, taken after the lock.
LOCK = Statement(
    "lock",
    f"SELECT {_RUN_COLUMNS}, 0 FROM workflow_execution WHERE id = :run",
    postgresql=f"""SELECT {_RUN_COLUMNS}, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    FROM workflow_execution WHERE id = :run FOR NO KEY UPDATE SKIP LOCKED""",
)

#: An attempt has ended: recorded once, by whoever holds its nonce.
COMPLETE = Statement(
    "complete",
    """UPDATE execution SET status = 'returned', outcome = :outcome, result = :result, error = :error,
        heartbeat = COALESCE(CAST(:heartbeat AS text), heartbeat), finished_at = :now, lease_until = NULL
    WHERE id = :id AND nonce = :nonce AND status = 'running' RETURNING run""",
)

#: What became of an execution, for a worker that does not know whether its commit arrived.
READ_CLAIM = Statement(
    "read_claim", "SELECT status, attempt FROM execution WHERE id = :id AND nonce = :nonce"
)

#: What has happened to the run since the last advance: executions that returned, and its inbox; oldest first.
INPUTS = Statement(
    "inputs",
    """SELECT * FROM (
        SELECT 'returned' AS source, id, task, visit, item, attempt, outcome, error, lineage, policy, lost, started_at,
            worker, verdict, cancel_requested, finished_at AS at
        FROM execution WHERE run = :run AND status = 'returned' ORDER BY finished_at, id LIMIT :limit) AS a
    UNION ALL SELECT * FROM (
        SELECT 'inbox', id, kind, NULL, NULL, NULL, NULL, data, NULL, NULL, NULL, NULL, NULL, NULL, false, created_at
        FROM inbox WHERE run = :run AND applied_at IS NULL ORDER BY id LIMIT :limit) AS b
    ORDER BY 16, 2""",
    postgresql="""SELECT * FROM (
        SELECT 'returned' AS source, id, task, visit, item, attempt, outcome, error, lineage, policy, lost, started_at,
            worker, verdict, cancel_requested, finished_at AS at
        FROM execution WHERE run = :run AND status = 'returned' ORDER BY finished_at, id LIMIT :limit) AS a
    UNION ALL SELECT * FROM (
        SELECT 'inbox', id, kind, NULL::int, NULL::int, NULL::int, NULL, data, NULL, NULL, NULL::int,
            NULL::bigint, NULL, NULL, false, created_at
        FROM inbox WHERE run = :run AND applied_at IS NULL ORDER BY id LIMIT :limit) AS b
    ORDER BY 16, 2""",
)

#: Variables, task states, join rounds and the executions of visits, in one go. `visits` has {task, visit}. The keys come
#: first, by CROSS JOIN: SQLite would else go through all rows of the run and look each one up among the keys.
VIEW = Statement(
    "view",
    """SELECT 'var' AS kind, v.name AS name, 0 AS number, 0 AS other, v.value AS first, NULL AS second, NULL AS third
    FROM <<rows vars | name text>> AS k CROSS JOIN variable v WHERE v.run = :run AND v.name = k.name
    UNION ALL SELECT 'task', t.task, t.visits, t.attempts, t.status, NULL, NULL
    FROM <<rows tasks | task text>> AS k CROSS JOIN task_state t WHERE t.run = :run AND t.task = k.task
    UNION ALL SELECT 'join', j.task, j.round, CASE WHEN j.fired THEN 1 ELSE 0 END + CASE WHEN j.spared THEN 2 ELSE 0 END,
        j.arrived, j.joins, NULL
    FROM <<rows joins | task text, round bigint>> AS k
    CROSS JOIN join_round j WHERE j.run = :run AND j.task = k.task AND j.round = k.round
    UNION ALL SELECT e.kind, e.task, e.visit, e.id, e.result, e.error, e.status
    FROM <<rows visits | task text, visit bigint>> AS k
    CROSS JOIN execution e WHERE e.run = :run AND e.task = k.task AND e.visit = k.visit AND e.item = -1""",
)

#: All variables of a run.
ALL_VARS = Statement("all_vars", "SELECT name, value FROM variable WHERE run = :run ORDER BY name")

_FAN_OUT = """task, visit, total, inserted, next, running, succeeded, failed, timed_out, cancelled, skipped, concurrency,
    on_item_failure, lineage, stopped, broken, error, verdict"""

FAN_OUTS = Statement(
    "fan_outs",
    f"""SELECT f.* FROM <<rows visits | task text, visit bigint>> AS k
    CROSS JOIN (SELECT run, {_FAN_OUT} FROM fan_out) AS f
    WHERE f.run = :run AND f.task = k.task AND f.visit = k.visit""",
)

OPEN_FAN_OUTS = Statement(
    "open_fan_outs",
    f"""SELECT f.* FROM (SELECT run, {_FAN_OUT} FROM fan_out) AS f
    JOIN execution e ON e.run = f.run AND e.task = f.task AND e.visit = f.visit AND e.item = -1
    WHERE f.run = :run AND e.status = 'running' ORDER BY e.id""",
)

#: Items of one visit, in order: an attempt that has just returned counts with its outcome.
ITEMS = Statement(
    "items",
    """SELECT CASE WHEN status = 'returned' THEN outcome ELSE status END, result, error
    FROM execution WHERE run = :run AND task = :task AND visit = :visit AND item >= 0 ORDER BY item""",
)

ITEM_RESULT = Statement(
    "item_result",
    "SELECT result FROM execution WHERE run = :run AND task = :task AND visit = :visit AND item = :item",
)

OPEN_JOINS = Statement(
    "open_joins",
    """SELECT task, round, arrived, joins, spared FROM join_round WHERE run = :run AND NOT fired ORDER BY task, round""",
)

#: What the run was given.
PARAMETERS = Statement("parameters", "SELECT input FROM execution WHERE id = :execution")

#: What a ref means now.
CURRENT = Statement(
    "current",
    """SELECT v.digest, v.definition FROM action a JOIN workflow_revision v ON v.digest = a.current_revision
    WHERE a.ref = :ref""",
)

CONFIG = Statement("config", "SELECT config FROM pack WHERE ref = :pack")

PAYLOADS = Statement(
    "payloads",
    """SELECT p.digest, p.body FROM <<rows digests | run bigint, digest text>> AS k
    JOIN payload p ON p.run = k.run AND p.digest = k.digest""",
)

REVISION = Statement("revision", "SELECT definition FROM workflow_revision WHERE digest = :digest")

#: What a ref means to a run: the latest registration that it sees. An empty digest: it was taken away.
RESOLVE = Statement(
    "resolve",
    """SELECT r.digest, v.definition FROM registration r LEFT JOIN workflow_revision v ON v.digest = r.digest
    WHERE r.ref = :ref AND r.id <= :catalog ORDER BY r.id DESC LIMIT 1""",
)

# --- the step: writes --------------------------------------------------------------------------------------

_WRITE_RUN = """UPDATE workflow_execution SET status = :status, open = :open, open_joins = :open_joins,
        parked = :parked, next_seq = :next_seq, closing = :closing, last_at = :now, started_at = COALESCE(started_at, :now),
        ended_at = :ended_at, faults = 0, fault = NULL, retry_at = NULL
    WHERE id = :run"""

_WRITE_EVENTS = """INSERT INTO history_event (run, seq, type, at, task, visit, item, attempt, status, data, version)
    SELECT :run, seq, type, :now, task, visit, item, attempt, status, data, 1
    FROM <<rows events | seq bigint, type text, task text, visit bigint, item bigint, attempt bigint, status text,
        data text>> AS x"""

_WRITE_TASKS = """INSERT INTO task_state (run, task, visits, status, attempts)
    SELECT :run, task, visits, status, attempts
    FROM <<rows tasks | task text, visits bigint, status text, attempts bigint>> AS x WHERE true
    ON CONFLICT (run, task) DO UPDATE SET visits = excluded.visits, status = excluded.status,
        attempts = excluded.attempts"""

_WRITE_VARS = """INSERT INTO variable (run, name, value)
    SELECT :run, name, value FROM <<rows vars | name text, value text>> AS x WHERE true
    ON CONFLICT (run, name) DO UPDATE SET value = excluded.value"""

_SETTLE = """UPDATE execution SET status = x.status, outcome = NULL, error = COALESCE(x.error, execution.error)
    FROM <<rows settled | id bigint, status text, error text>> AS x WHERE execution.id = x.id"""

_EXECUTIONS = f"""INSERT INTO execution (run, root, task, visit, item, attempt, kind, action, status, input, result, error,
        digest, queue, priority, policy, lineage, spared, timeout, once, lost, cancel_requested, nonce, worker,
        lease_until, deadline_at, due_at, sends, created_at, started_at, finished_at, awaits, signal, schedule_timeout,
        heartbeat_timeout)
    SELECT :run, :root, task, visit, item, 1, kind, action, status, input, result, error,
        digest, queue, priority, policy, lineage, spared, timeout, once, 0, false, nonce, worker,
        lease_until, deadline_at, due_at, 0, :now, started_at, finished_at, awaits, signal, schedule_timeout,
        heartbeat_timeout
    FROM <<rows executions | task text, visit bigint, item bigint, kind text, action text, status text, input text,
        result text, error text, digest text, queue text, priority bigint, policy text, lineage text, spared bool,
        timeout float, once bool, nonce text, worker text, lease_until bigint, deadline_at bigint, due_at bigint,
        started_at bigint, finished_at bigint, awaits text, signal text, schedule_timeout float,
        heartbeat_timeout float>> AS x WHERE true
    RETURNING id, task, visit, item, kind, status, queue, priority, {ACTOR}, awaits"""

WRITE_RUN = Statement("write_run", _WRITE_RUN)
WRITE_EVENTS = Statement("write_events", _WRITE_EVENTS)
WRITE_TASKS = Statement("write_tasks", _WRITE_TASKS)
WRITE_VARS = Statement("write_vars", _WRITE_VARS)
SETTLE = Statement("settle", _SETTLE)
EXECUTIONS = Statement("executions", _EXECUTIONS)

#: PostgreSQL: everything that an ordinary step writes, as one statement.
WRITE_STEP = Statement(
    "write_step",
    "SELECT 1",
    postgresql=f"""WITH write_run AS ({_WRITE_RUN}), write_events AS ({_WRITE_EVENTS}), write_tasks AS ({_WRITE_TASKS}),
    write_vars AS ({_WRITE_VARS}), settle AS ({_SETTLE}), made AS ({_EXECUTIONS}) SELECT * FROM made""",
)

WRITE_PAYLOADS = Statement(
    "write_payloads",
    """INSERT INTO payload (run, digest, body) SELECT :run, digest, body FROM <<rows payloads | digest text, body text>> AS x
    WHERE true ON CONFLICT (run, digest) DO NOTHING""",
)

WRITE_JOINS = Statement(
    "write_joins",
    """INSERT INTO join_round (run, task, round, arrived, joins, spared, fired)
    SELECT :run, task, round, arrived, joins, spared, fired
    FROM <<rows joins | task text, round bigint, arrived text, joins text, spared bool, fired bool>> AS x WHERE true
    ON CONFLICT (run, task, round) DO UPDATE SET arrived = excluded.arrived, joins = excluded.joins,
        spared = excluded.spared, fired = excluded.fired""",
)

WRITE_FAN_OUTS = Statement(
    "write_fan_outs",
    f"""INSERT INTO fan_out (run, {_FAN_OUT}) SELECT :run, {_FAN_OUT}
    FROM <<rows fan_outs | task text, visit bigint, total bigint, inserted bigint, next bigint, running bigint,
        succeeded bigint, failed bigint, timed_out bigint, cancelled bigint, skipped bigint, concurrency bigint,
        on_item_failure text, lineage text, stopped bool, broken text, error text, verdict text>> AS x WHERE true
    ON CONFLICT (run, task, visit) DO UPDATE SET inserted = excluded.inserted, next = excluded.next,
        running = excluded.running, succeeded = excluded.succeeded, failed = excluded.failed,
        timed_out = excluded.timed_out, cancelled = excluded.cancelled, skipped = excluded.skipped,
        stopped = excluded.stopped, broken = excluded.broken, error = excluded.error,
        verdict = excluded.verdict""",
)

_RETRY = f"""UPDATE execution SET attempt = x.attempt, outcome = NULL, result = NULL, error = NULL, nonce = NULL, worker = NULL,
        lease_until = NULL, deadline_at = NULL, sent_at = NULL, sends = 0, created_at = :now, started_at = NULL,
        finished_at = NULL, cancel_requested = false, verdict = NULL, progress = NULL, progress_message = NULL,
        awaits = CASE WHEN kind = 'wait' THEN awaits END,
        due_at = CASE WHEN kind = 'wait' AND (awaits IS NULL OR x.due_at IS NULL)
            THEN COALESCE(x.due_at, :now) + %s ELSE x.due_at END,
        status = CASE WHEN kind = 'wait' AND (awaits IS NULL OR x.due_at IS NULL) THEN 'waiting' WHEN x.due_at IS NOT NULL THEN 'scheduled'
            WHEN kind = 'workflow' THEN 'running' ELSE 'requested' END
    FROM <<rows retries | id bigint, attempt bigint, due_at bigint>> AS x WHERE execution.id = x.id
    RETURNING execution.id, task, visit, item, kind, status, queue, priority, {ACTOR}, awaits"""

#: How long a wait takes, in microseconds, by its policy.
WAIT_MICROSECONDS = "CAST(json_extract(policy, '$.seconds') * 1000000 AS bigint)"
WAIT_MICROSECONDS_POSTGRESQL = "((policy::json->>'seconds')::float * 1000000)::bigint"

#: The next attempt of executions that have returned. A wait begins anew; a nested run is made by NESTED.
RETRY = Statement("retry", _RETRY % WAIT_MICROSECONDS, postgresql=_RETRY % WAIT_MICROSECONDS_POSTGRESQL)

#: The parent row of a fan-out has ended.
SETTLE_VISIT = Statement(
    "settle_visit",
    """UPDATE execution SET status = :status, error = :error, finished_at = :now
    WHERE run = :run AND task = :task AND visit = :visit AND item = -1""",
)

RELEASE = Statement(
    "release",
    f"""UPDATE execution SET created_at = :now,
        status = CASE WHEN kind = 'wait' AND (awaits IS NULL OR :due IS NULL) THEN 'waiting'
            WHEN CAST(:due AS bigint) IS NOT NULL THEN 'scheduled' WHEN kind = 'workflow' THEN 'running'
            ELSE 'requested' END,
        due_at = CASE WHEN kind = 'wait' AND (awaits IS NULL OR :due IS NULL)
            THEN COALESCE(:due, :now) + {WAIT_MICROSECONDS} ELSE :due END
    WHERE run = :run AND task = :task AND visit = :visit AND item >= :first AND item < :last
        AND status = 'scheduled' AND due_at IS NULL
    RETURNING id, task, visit, item, kind, status, queue, priority, {ACTOR}, awaits""",
    postgresql=f"""UPDATE execution SET created_at = :now,
        status = CASE WHEN kind = 'wait' AND (awaits IS NULL OR :due::bigint IS NULL) THEN 'waiting'
            WHEN :due::bigint IS NOT NULL THEN 'scheduled' WHEN kind = 'workflow' THEN 'running'
            ELSE 'requested' END,
        due_at = CASE WHEN kind = 'wait' AND (awaits IS NULL OR :due::bigint IS NULL)
            THEN COALESCE(:due, :now)::bigint + {WAIT_MICROSECONDS_POSTGRESQL}
            ELSE :due::bigint END
    WHERE run = :run AND task = :task AND visit = :visit AND item >= :first AND item < :last
        AND status = 'scheduled' AND due_at IS NULL
    RETURNING id, task, visit, item, kind, status, queue, priority, {ACTOR}, awaits""",
)

SKIP_ITEMS = Statement(
    "skip_items",
    """UPDATE execution SET status = 'skipped', finished_at = :now
    WHERE run = :run AND task = :task AND visit = :visit AND item >= :first AND status = 'scheduled'
        AND due_at IS NULL""",
)

_SCOPE = "run = :run AND (:spared OR NOT spared) AND (CAST(:task AS text) IS NULL OR (task = :task AND visit = :visit))"

#: What only waits comes back at once; items outside the window are not touched.
_CANCEL_WAITING = f"""UPDATE execution SET status = 'returned', outcome = :outcome, error = :error, finished_at = :now,
        due_at = NULL
    WHERE id IN (SELECT id FROM execution WHERE {_SCOPE}
        AND (status IN ('requested', 'waiting') OR (status = 'scheduled' AND due_at IS NOT NULL))
        ORDER BY id <<lock>>)"""
CANCEL_WAITING = Statement("cancel_waiting", _CANCEL_WAITING)

#: What runs is asked to stop; also what a worker that stops has handed back just now. What has become pending meanwhile
#: (it ran when CANCEL_WAITING looked) comes back at once. A verdict is also for what has ended and is not applied yet.
CANCEL_RUNNING = Statement(
    "cancel_running",
    f"""UPDATE execution SET cancel_requested = true, verdict = COALESCE(verdict, CAST(:verdict AS text)),
        status = CASE status WHEN 'waiting' THEN 'returned' ELSE status END,
        outcome = CASE status WHEN 'waiting' THEN CAST(:outcome AS text) ELSE outcome END,
        error = CASE status WHEN 'waiting' THEN CAST(:error AS text) ELSE error END,
        finished_at = CASE status WHEN 'waiting' THEN CAST(:now AS bigint) ELSE finished_at END,
        due_at = CASE status WHEN 'waiting' THEN NULL ELSE due_at END
    WHERE id IN (SELECT id FROM execution WHERE {_SCOPE} AND (status IN ('running', 'requested', 'waiting')
            OR (status = 'returned' AND CAST(:verdict AS text) IS NOT NULL))
        AND kind IN ('worker', 'actor', 'workflow') ORDER BY id <<lock>>)""",
)

#: Nested runs that run: the execution that each one is, the run, and its policy.
OPEN_NESTED = Statement(
    "open_nested",
    f"""SELECT e.id, w.id, e.policy
    FROM (SELECT * FROM execution WHERE {_SCOPE} AND status = 'running' AND kind = 'workflow') AS e
    JOIN workflow_execution w ON w.execution_id = e.id AND w.attempt = e.attempt
    WHERE w.ended_at IS NULL ORDER BY e.id""",
)

#: The task of a nested run that goes on by itself: as far as the run around it goes, it was cancelled.
ABANDON = Statement(
    "abandon",
    """UPDATE execution SET status = 'returned', outcome = 'cancelled', error = :error, finished_at = :now
    WHERE id IN (SELECT id FROM <<rows abandoned | id bigint>> AS x) AND status = 'running'""",
)

#: Runs of executions of kind workflow that are to run now. `made` has {execution_id, run_id}.
NESTED = Statement(
    "nested",
    """INSERT INTO workflow_execution (run_id, execution_id, attempt, root, parent, root_run_id, parent_run_id, ref, digest,
        catalog, status, open, open_joins, next_seq, faults, created_at, last_at)
    SELECT x.run_id, e.id, e.attempt, COALESCE(p.root, p.id), p.id, COALESCE(p.root_run_id, p.run_id), p.run_id, e.action,
        e.digest, p.catalog, 'requested', 0, 0, 1, 0, :now, :now
    FROM <<rows made | execution_id bigint, run_id text>> AS x JOIN execution e ON e.id = x.execution_id
    JOIN workflow_execution p ON p.id = e.run WHERE true
    ON CONFLICT (execution_id, attempt) DO NOTHING RETURNING id, execution_id""",
)

#: Deadlines of nested runs, from the timeout of their task.
NESTED_TIMERS = Statement(
    "nested_timers",
    """INSERT INTO timer (run, kind, task, visit, root, due_at, seconds)
    SELECT w.id, 'start_to_close', '', 0, w.root, :now + CAST(e.timeout * 1000000 AS bigint), e.timeout
    FROM <<rows runs | id bigint>> AS x JOIN workflow_execution w ON w.id = x.id JOIN execution e ON e.id = w.execution_id
    WHERE e.timeout IS NOT NULL ON CONFLICT (run, kind, task, visit) DO NOTHING""",
)

#: The executions that nested runs are have begun.
NESTED_STARTED = Statement(
    "nested_started",
    """UPDATE execution SET started_at = :now, status = 'running', due_at = NULL
    FROM <<rows made | execution_id bigint, run_id text>> AS x WHERE execution.id = x.execution_id""",
)

TIMER = Statement(
    "timer",
    """INSERT INTO timer (run, kind, task, visit, root, due_at, seconds)
    VALUES (:run, :kind, :task, :visit, :root, :due_at, :seconds)
    ON CONFLICT (run, kind, task, visit) DO UPDATE SET due_at = excluded.due_at, seconds = excluded.seconds""",
)

#: A run has ended: its execution gets the outcome; a nested run's goes back to the run around it.
END_EXECUTION = Statement(
    "end_execution",
    """UPDATE execution SET status = :status, outcome = :outcome, result = :result, error = :error, finished_at = :now,
        started_at = COALESCE(started_at, :now)
    WHERE id = :execution AND attempt = :attempt AND status = 'running'""",
)
CLEAR_TIMERS = Statement("clear_timers", "DELETE FROM timer WHERE run = :run")
CLEAR_VISIT_TIMERS = Statement(
    "clear_visit_timers", "DELETE FROM timer WHERE run = :run AND task = :task AND visit = :visit"
)
CLEAR_INBOX = Statement("clear_inbox", "DELETE FROM inbox WHERE run = :run")

#: Of a run that has ended: what reports late is put away as it says.
SETTLE_LATE = Statement(
    "settle_late",
    """UPDATE execution SET status = CASE WHEN outcome IN ('lost', 'due', 'unstarted') THEN 'cancelled' ELSE outcome END
    WHERE run = :run AND status = 'returned'""",
)

INBOX_APPLIED = Statement(
    "inbox_applied",
    """UPDATE inbox SET applied_at = :now WHERE id IN (SELECT id FROM <<rows applied | id bigint>> AS x)""",
)

#: What a run has told itself, and has done: nobody sends it twice, and a run may live for years.
INBOX_DONE = Statement(
    "inbox_done",
    """DELETE FROM inbox WHERE id IN (SELECT id FROM <<rows done | id bigint>> AS x)""",
)

INBOX_PUT = Statement(
    "inbox_put",
    """INSERT INTO inbox (run, key, kind, data, created_at) SELECT run, key, kind, data, :now
    FROM <<rows messages | run bigint, key text, kind text, data text>> AS x WHERE true
    ON CONFLICT (run, key) DO NOTHING RETURNING run""",
)

#: An advance raised: remembered, with when to try again.
FAULT = Statement(
    "fault",
    """UPDATE workflow_execution SET faults = faults + 1, fault = :fault,
        retry_at = :now + CASE WHEN faults > 5 THEN 60000000 ELSE 1000000 * (1 + faults * faults * 2) END
    WHERE id = :run""",
)

#: Whether something is left that the holder of the run's lock has to look at.
PENDING = Statement(
    "pending",
    """SELECT 1 WHERE EXISTS (SELECT 1 FROM execution WHERE run = :run AND status = 'returned')
    OR EXISTS (SELECT 1 FROM inbox WHERE run = :run AND applied_at IS NULL)
    OR EXISTS (SELECT 1 FROM workflow_execution WHERE id = :run AND status = 'requested')""",
)
