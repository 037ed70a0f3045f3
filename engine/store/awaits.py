"""What a run waits for: reading only, for `show`, the live tree and the pages."""

from __future__ import annotations

from dramaturg.engine.errors import JSON
from dramaturg.engine.store.database import Row, Transaction
from dramaturg.engine.store.statements import Statement
from dramaturg.engine.store.times import iso, iso_or_none

#: What has not ended and waits for its time, of a run and of those nested in it at any depth.
WAITING = Statement(
    "waiting",
    """WITH RECURSIVE family(id) AS (
        SELECT CAST(:run AS bigint)
        UNION ALL
        SELECT w.id FROM workflow_execution w JOIN family f ON w.parent = f.id
        WHERE w.root = (SELECT coalesce(o.root, o.id) FROM workflow_execution o WHERE o.id = :run) AND w.ended_at IS NULL
    )
    SELECT r.run_id, e.task, e.visit, e.item, e.id, e.status, e.attempt, e.created_at, e.due_at
    FROM execution e JOIN workflow_execution r ON r.id = e.run
    WHERE e.run IN (SELECT id FROM family) AND e.status IN ('scheduled', 'waiting') AND e.due_at IS NOT NULL
    ORDER BY e.id""",
)


def awaits_of(tx: Transaction, run: int) -> list[dict[str, JSON]]:
    """Return a record for each thing that a run, or one nested in it, waits for, the oldest first."""
    return [_record(row) for row in tx.run(WAITING, {"run": run})]


def _record(row: Row) -> dict[str, JSON]:
    record: dict[str, JSON] = {
        "kind": "retry" if row[5] == "scheduled" and row[6] > 1 else "timer",
        "run_id": row[0],
        "task": row[1],
        "visit": row[2],
        "execution_id": row[4],
        "since": iso(row[7]),
        "until": iso_or_none(row[8]),
    }
    return record if row[3] < 0 else {**record, "item": row[3]}
