"""What a run waits for: reading only, for `show`, the live tree and the pages."""

from __future__ import annotations

from collections.abc import Mapping

from dramaturg.engine.errors import JSON
from dramaturg.engine.store.codec import loads, shown
from dramaturg.engine.store.database import Row, Transaction
from dramaturg.engine.store.statements import Statement
from dramaturg.engine.store.times import iso, iso_or_none
from dramaturg.engine.store.view import load_payloads

#: What has not ended and waits, and failures that wait for a person: of a run and of those nested in it at any depth.
WAITING = Statement(
    "waiting",
    """WITH RECURSIVE family(id) AS (
        SELECT CAST(:run AS bigint)
        UNION ALL
        SELECT w.id FROM workflow_execution w JOIN family f ON w.parent = f.id
        WHERE w.root = (SELECT coalesce(o.root, o.id) FROM workflow_execution o WHERE o.id = :run) AND w.ended_at IS NULL
    )
    SELECT r.run_id, e.task, e.visit, e.item, e.id, e.status, e.attempt, e.created_at, e.due_at, e.awaits, e.policy, e.nonce,
        e.error, e.run, e.parked
    FROM execution e JOIN workflow_execution r ON r.id = e.run
    WHERE e.run IN (SELECT id FROM family)
        AND (e.status = 'waiting' OR (e.status = 'scheduled' AND e.due_at IS NOT NULL) OR e.parked)
    ORDER BY e.id""",
)

#: What a record says more, by what is awaited: the names in a wait's policy.
_SAID = {"signal": {"name": "signal"}, "answer": {name: name for name in ("prompt", "assigned_to", "schema")}}


def awaits_of(tx: Transaction, run: int) -> list[dict[str, JSON]]:
    """Return a record for each thing that a run, or one nested in it, waits for, the oldest first.

    Each has kind, run_id, task, visit, execution_id, since, until, and item where it is one. Kinds: `signal` (name), `answer`
    (prompt, assigned_to, schema), `completion` (token), `person` (error: a failure that nobody handled), `timer`, `retry`.
    """
    rows = tx.run(WAITING, {"run": run})
    errors: dict[int, list[str | None]] = {}
    for row in rows:
        errors.setdefault(row[13], []).append(row[12])
    payloads = {key: load_payloads(tx, key, texts) for key, texts in errors.items()}
    return [_record(row, payloads[row[13]]) for row in rows]


def _record(row: Row, payloads: Mapping[str, str]) -> dict[str, JSON]:
    record: dict[str, JSON] = {
        "kind": _kind(row),
        "run_id": row[0],
        "task": row[1],
        "visit": row[2],
        "execution_id": row[4],
        "since": iso(row[7]),
        "until": iso_or_none(row[8]),
    }
    if row[3] >= 0:
        record["item"] = row[3]
    policy = loads(row[10]) if row[10] else {}
    record |= {name: policy.get(own) for name, own in _SAID.get(record["kind"], {}).items()}
    if record["kind"] == "completion":
        record["token"] = f"{row[4]}-{row[11]}"
    elif record["kind"] == "person":
        record["error"] = shown(row[12], payloads)
    return record


def _kind(row: Row) -> str:
    status, attempt, awaits = row[5], row[6], row[9]
    if row[14]:
        return "person"
    if status == "waiting" and awaits:
        return str(awaits)
    return "retry" if status == "scheduled" and attempt > 1 else "timer"
