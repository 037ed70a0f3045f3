"""What people ask of runs: reading only, never on the path of a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dramaturg.engine.errors import JSON
from dramaturg.engine.store.codec import decode, loads, shown
from dramaturg.engine.store.database import Row, Transaction
from dramaturg.engine.store.statements import Statement
from dramaturg.engine.store.times import iso, iso_or_none
from dramaturg.engine.store.view import load_payloads

_RUN = """w.id, w.run_id, w.ref, w.status, w.created_at, w.started_at, w.ended_at, e.result, e.error, w.closing, w.parent,
    w.fault, w.faults, w.parent_run_id"""

FIND = Statement(
    "find",
    f"""SELECT {_RUN} FROM workflow_execution w JOIN execution e ON e.id = w.execution_id WHERE w.run_id = :run_id""",
)
STATUS = Statement("status", "SELECT id, status, ended_at FROM workflow_execution WHERE run_id = :run_id")
LIST = Statement(
    "list",
    """SELECT w.id, w.run_id, w.ref, w.status, w.created_at, w.started_at, w.ended_at FROM workflow_execution w
    WHERE (:nested OR w.parent IS NULL) AND (CAST(:status AS text) IS NULL OR w.status = :status)
        AND (CAST(:ref AS text) IS NULL OR w.ref = :ref)
        AND (CAST(:query AS text) IS NULL OR w.run_id LIKE :query ESCAPE '!' OR w.ref LIKE :query ESCAPE '!')
    ORDER BY w.created_at DESC, w.id DESC LIMIT :limit""",
)
NEAR = Statement(
    "near",
    "SELECT run_id FROM workflow_execution WHERE run_id LIKE :query ESCAPE '!' ORDER BY created_at DESC LIMIT 5",
)
ERRORS = Statement(
    "errors",
    """SELECT type, data FROM history_event WHERE run = :run
        AND ((type = 'task_completed' AND status IN ('failed', 'timed_out', 'cancelled')) OR type = 'run_ended')
    ORDER BY seq""",
)
#: The status of an execution for people: what has returned and is not interpreted yet has its outcome already, or is
#: still what it was.
_SHOWN = """CASE WHEN e.status <> 'returned' THEN e.status WHEN e.outcome = 'lost' THEN 'running'
        WHEN e.outcome = 'due' THEN 'waiting' WHEN e.outcome = 'unstarted' THEN 'requested' ELSE e.outcome END"""

TASKS = Statement(
    "tasks",
    f"""SELECT e.id, e.task, e.visit, {_SHOWN}, e.attempt, e.action,
        e.kind, e.created_at, e.started_at, e.finished_at, e.due_at, e.error, w.run_id,
        f.total, f.running, f.succeeded, f.failed, f.timed_out, f.cancelled, f.skipped, e.worker, e.cancel_requested,
        e.progress, e.progress_message
    FROM execution e
    LEFT JOIN workflow_execution w ON w.execution_id = e.id AND w.attempt = e.attempt AND e.kind = 'workflow'
    LEFT JOIN fan_out f ON f.run = e.run AND f.task = e.task AND f.visit = e.visit
    WHERE e.run = :run AND e.item = -1 ORDER BY e.id""",
)
ITEM_ROWS = Statement(
    "item_rows",
    f"""SELECT e.task, e.visit, e.item, {_SHOWN}, e.attempt, e.id,
        e.started_at, e.finished_at, e.error, w.run_id
    FROM execution e
    LEFT JOIN workflow_execution w ON w.execution_id = e.id AND w.attempt = e.attempt AND e.kind = 'workflow'
    WHERE e.run = :run AND e.item >= 0 ORDER BY e.task, e.visit, e.item""",
)
HISTORY = Statement(
    "history",
    """SELECT seq, type, at, task, visit, item, attempt, status, data FROM history_event
    WHERE run = :run AND seq > :after ORDER BY seq LIMIT :limit""",
)
TASK_LOGS = Statement(
    "task_logs",
    """SELECT e.task, e.visit, e.item, l.attempt, l.stream, l.text, l.truncated, l.at
    FROM task_log l JOIN execution e ON e.id = l.execution_id
    WHERE l.run = :run AND (CAST(:task AS text) IS NULL OR e.task = :task) ORDER BY l.id""",
)
EXECUTION = Statement(
    "execution",
    "SELECT id, run, kind, status, task, visit, item, attempt FROM execution WHERE id = :id AND run IS NOT NULL",
)

#: Given where nobody says how many.
NO_LIMIT = 2**31 - 1


def find_run(tx: Transaction, run_id: str) -> Row | None:
    """Return the run's row, or None: there is none of this id."""
    rows = tx.run(FIND, {"run_id": run_id})
    return rows[0] if rows else None


def described(tx: Transaction, row: Row) -> dict[str, JSON]:
    """Return the object that `run`, `result` and `show` print (DESIGN 9)."""
    payloads = load_payloads(tx, row[10] or row[0], [row[7]])
    # Of a nested run the execution's own error may be that of the task around it, which timed out, say.
    errors, error = _errors(tx, row[0])
    if row[6] is None and row[9]:
        # It has not ended yet, but how it will is decided.
        error = loads(row[9]).get("error")
    return {
        "id": row[1],
        "ref": row[2],
        "status": row[3],
        "output": shown(row[7], payloads),
        "error": error,
        "errors": errors,
        "created_at": iso(row[4]),
        "started_at": iso_or_none(row[5]),
        "finished_at": iso_or_none(row[6]),
    }


def _errors(tx: Transaction, run: int) -> tuple[list[JSON], JSON]:
    """Return every error of a run, in order, and the one that decided how it ended."""
    rows = tx.run(ERRORS, {"run": run})
    payloads = load_payloads(tx, run, (row[1] for row in rows))
    errors: list[JSON] = []
    own: JSON = None
    for type, text in rows:
        data = shown(text, payloads) or {}
        if type == "task_completed":
            if data.get("error"):
                errors.append(data["error"])
            continue
        own = data.get("error")
        if own and own not in errors:
            errors.append(own)
        errors.extend(data.get("errors") or [])
    return errors, own


def listed(tx: Transaction, filters: Mapping[str, Any]) -> list[dict[str, JSON]]:
    """Return runs, newest first, without their output and errors."""
    return [
        {
            "id": row[1],
            "ref": row[2],
            "status": row[3],
            "created_at": iso(row[4]),
            "started_at": iso_or_none(row[5]),
            "finished_at": iso_or_none(row[6]),
        }
        for row in tx.run(LIST, filters)
    ]


def tasks_of(tx: Transaction, run: int, *, items: bool) -> list[dict[str, JSON]]:
    """Return the visits of a run's tasks, in the order in which they started; with their items where asked."""
    rows = tx.run(TASKS, {"run": run})
    item_rows = tx.run(ITEM_ROWS, {"run": run}) if items else ()
    payloads = load_payloads(tx, run, (*(row[11] for row in rows), *(row[8] for row in item_rows)))
    by_visit: dict[tuple[str, int], list[JSON]] = {}
    for row in item_rows:
        by_visit.setdefault((row[0], row[1]), []).append(_item(row, payloads))
    return [_task(row, payloads, by_visit.get((row[1], row[2]))) for row in rows]


def _task(row: Row, payloads: Mapping[str, str], items: list[JSON] | None) -> dict[str, JSON]:
    counts = None
    if row[13] is not None:
        names = ("total", "running", "succeeded", "failed", "timed_out", "cancelled", "skipped")
        counts = dict(zip(names, row[13:20], strict=True))
    task: dict[str, JSON] = {
        "task": row[1],
        "visit": row[2],
        "status": "cancelling" if row[21] and row[3] == "running" else row[3],
        "attempt": row[4],
        "action": row[5],
        "kind": row[6],
        "execution_id": row[0],
        "created_at": iso(row[7]),
        "started_at": iso_or_none(row[8]),
        "finished_at": iso_or_none(row[9]),
        "due_at": iso_or_none(row[10]),
        "error": shown(row[11], payloads),
        "run_id": row[12],
        "items": counts,
        "worker": row[20],
        "progress": row[22],
        "message": row[23],
    }
    if items is not None:
        task["items_list"] = items
    return task


def _item(row: Row, payloads: Mapping[str, str]) -> dict[str, JSON]:
    return {
        "item": row[2],
        "status": row[3],
        "attempt": row[4],
        "execution_id": row[5],
        "started_at": iso_or_none(row[6]),
        "finished_at": iso_or_none(row[7]),
        "error": shown(row[8], payloads),
        "run_id": row[9],
    }


def history_of(
    tx: Transaction, run: int, *, after: int = 0, limit: int | None = None, compared: bool = False
) -> list[dict[str, JSON]]:
    """Return the records of LANGUAGE 11 behind `after`; fields that do not apply are left out.

    Args:
        compared: leave secrets the references that they are; only for who shows them to nobody.
    """
    rows = tx.run(HISTORY, {"run": run, "after": after, "limit": limit or NO_LIMIT})
    payloads = load_payloads(tx, run, (row[8] for row in rows))
    return [_record(row, payloads, decode if compared else shown) for row in rows]


def _record(
    row: Row, payloads: Mapping[str, str], read: Callable[[str | None, Mapping[str, str]], JSON]
) -> dict[str, JSON]:
    names: Sequence[str] = ("seq", "type", "at", "task", "visit", "item", "attempt", "status")
    record = {name: value for name, value in zip(names, row[:8], strict=True) if value is not None}
    record["at"] = iso(row[2])
    data = read(row[8], payloads)
    if data:
        record["data"] = data
    return record


def logs_of(tx: Transaction, run: int, task: str | None) -> list[dict[str, JSON]]:
    """Return what the attempts of a run's tasks wrote, in the order in which they ended."""
    names = ("task", "visit", "item", "attempt", "stream", "text", "truncated")
    return [
        {**dict(zip(names, row[:7], strict=True)), "at": iso(row[7])}
        for row in tx.run(TASK_LOGS, {"run": run, "task": task})
    ]
