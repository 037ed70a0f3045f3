"""Ending a run at once (LANGUAGE 10, terminate), and letting a nested one go on by itself (LANGUAGE 4, `parent_close`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dramaturg.engine.errors import Failure
from dramaturg.engine.store import statements as sql
from dramaturg.engine.store import waiting
from dramaturg.engine.store.codec import dumps, loads, references
from dramaturg.engine.store.database import Transaction
from dramaturg.engine.store.statements import Statement
from dramaturg.engine.store.view import RunRow

_OPEN = "status NOT IN ('succeeded', 'failed', 'timed_out', 'cancelled', 'skipped')"

FENCE_OFF = Statement(
    "fence_off",
    f"""UPDATE execution SET status = 'cancelled', outcome = NULL, error = :error, nonce = NULL, lease_until = NULL,
        due_at = NULL, finished_at = :now
    WHERE id IN (SELECT id FROM execution WHERE run = :run AND {_OPEN} ORDER BY id <<lock>>)
    RETURNING task, visit, item""",
)
END_TASKS = Statement("end_tasks", f"UPDATE task_state SET status = 'cancelled' WHERE run = :run AND {_OPEN}")
END_RUN = Statement(
    "end_run",
    """UPDATE workflow_execution SET status = 'cancelled', open = 0, parked = 0, closing = :closing, next_seq = :next_seq,
        last_at = :now, started_at = COALESCE(started_at, :now), ended_at = :now, faults = 0, fault = NULL, retry_at = NULL
    WHERE id = :run""",
)


#: An execution of the run's own, in place of that of the task that it was.
OWN_EXECUTION = Statement(
    "own_execution",
    """INSERT INTO execution (task, visit, item, attempt, kind, action, status, input, digest, queue, priority, spared, once,
        lost, cancel_requested, sends, created_at, started_at)
    SELECT '', 1, -1, 1, kind, action, 'running', input, digest, queue, priority, false, false, 0, false, 0, created_at,
        started_at
    FROM execution WHERE id = :execution RETURNING id, input""",
)
DETACH = Statement(
    "detach",
    """UPDATE workflow_execution SET execution_id = :execution, attempt = 1, root = NULL, parent = NULL, root_run_id = NULL,
        parent_run_id = NULL WHERE id = :run""",
)
#: The time limit of the task that the run was is void; what it has itself is of another root now.
CLEAR_TASK_TIMER = Statement(
    "clear_task_timer", "DELETE FROM timer WHERE run = :run AND kind = 'start_to_close' AND task = ''"
)
MOVE_TIMERS = Statement("move_timers", "UPDATE timer SET root = :run WHERE run = :run")
MOVE_EXECUTIONS = Statement(
    "move_executions",
    f"""UPDATE execution SET root = :run
    WHERE id IN (SELECT id FROM execution WHERE run = :run AND {_OPEN} ORDER BY id <<lock>>)""",
)
COPY_PAYLOAD = Statement(
    "copy_payload",
    """INSERT INTO payload (run, digest, body) SELECT :run, digest, body FROM payload
    WHERE run = :parent AND digest = :digest ON CONFLICT (run, digest) DO NOTHING""",
)


def detach(tx: Transaction, row: RunRow) -> RunRow:
    """Make a nested run, whose lock is held, an outermost one; return its row as it is then."""
    if row.parent is None:
        return row
    execution, given = tx.run(OWN_EXECUTION, {"execution": row.execution_id})[0]
    tx.run(DETACH, {"run": row.id, "execution": execution})
    for statement in (CLEAR_TASK_TIMER, MOVE_TIMERS, MOVE_EXECUTIONS):
        tx.run(statement, {"run": row.id})
    for digest in references(given):
        tx.run(COPY_PAYLOAD, {"run": row.id, "parent": row.parent, "digest": digest})
    state = replace(row.state, root_id=row.state.run_id, parent_id=None)
    return replace(row, execution_id=execution, attempt=1, root=None, parent=None, state=state)


def terminate(tx: Transaction, row: RunRow, *, by: str, reason: str) -> list[int]:
    """End a run whose lock is held, as cancelled; return the runs to look at: nested ones, and the one around it."""
    message = "the run was terminated" + (f" by {by}" if by else "") + (f": {reason}" if reason else "")
    failure = Failure(type="Terminated", message=message)
    error, now = dumps(failure.to_json()), max(tx.now(), row.last_at)
    runs = _nested(tx, row, by, reason)
    ended = tx.run(FENCE_OFF, {"run": row.id, "error": error, "now": now})
    tx.run(END_TASKS, {"run": row.id})
    tx.run(waiting.UNPARK, {"run": row.id, "task": None, "visit": None})
    seq = _tell(tx, row, sorted((task, visit) for task, visit, item in ended if item == -1), failure, now)
    closing = dumps({"status": "cancelled", "error": failure.to_json()})
    tx.run(END_RUN, {"run": row.id, "closing": closing, "next_seq": seq, "now": now})
    _give_back(tx, row, error, now)
    return [*runs, row.parent] if row.parent is not None else runs


def _nested(tx: Transaction, row: RunRow, by: str, reason: str) -> list[int]:
    scope = {"run": row.id, "spared": True, "task": None, "visit": None}
    messages = []
    for _, run, policy in tx.run(sql.OPEN_NESTED, scope):
        if not policy or loads(policy).get("parent_close") != "abandon":
            data = dumps({"by": by, "reason": reason or "the run around it was terminated"})
            messages.append({"run": run, "key": "parent:terminate", "kind": "terminate", "data": data})
    if not messages:
        return []
    rows = tx.run(sql.INBOX_PUT, {"messages": dumps(messages), "now": tx.now()})
    return [found[0] for found in rows]


def _tell(tx: Transaction, row: RunRow, visits: list[tuple[str, int]], failure: Failure, now: int) -> int:
    """Write the end of each open visit, and of the run, into the history; return the next `seq`."""
    error = failure.to_json()
    events: list[dict[str, Any]] = [
        {
            "type": "task_completed",
            "task": task,
            "visit": visit,
            "status": "cancelled",
            "data": {"error": error},
        }
        for task, visit in visits
    ]
    data = {"error": error, "closing": {"status": "cancelled"}}
    events.append({"type": "run_ended", "status": "cancelled", "data": data})
    names = ("type", "task", "visit", "item", "attempt", "status")
    written = [
        {"seq": seq, **{name: event.get(name) for name in names}, "data": dumps(event["data"])}
        for seq, event in enumerate(events, start=row.state.next_seq)
    ]
    tx.run(sql.WRITE_EVENTS, {"run": row.id, "events": dumps(written), "now": now})
    return row.state.next_seq + len(events)


def _give_back(tx: Transaction, row: RunRow, error: str, now: int) -> None:
    nested = row.parent is not None
    end = {
        "execution": row.execution_id,
        "attempt": row.attempt,
        "status": "returned" if nested else "cancelled",
        "outcome": "cancelled" if nested else None,
        "result": "{}",
        "error": error,
        "now": now,
    }
    tx.run(sql.END_EXECUTION, end)
    for statement in (sql.CLEAR_TIMERS, sql.CLEAR_INBOX, waiting.CLEAR_SIGNALS):
        tx.run(statement, {"run": row.id})
