"""What people do to a run, as rows: a run's inbox, an execution's flag. No run's lock is taken."""

from __future__ import annotations

from dataclasses import dataclass

from dramaturg.engine.errors import Conflict, Failure
from dramaturg.engine.store import queries
from dramaturg.engine.store.codec import dumps
from dramaturg.engine.store.database import Transaction
from dramaturg.engine.store.due import put_inbox
from dramaturg.engine.store.statements import Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked of whom."""

    #: The run's id, or the execution's number.
    target: str
    #: Its status before.
    status: str
    #: False: it has ended already, or was asked before.
    asked: bool
    #: The run that an interpreter should look at.
    key: int


CANCEL_EXECUTION = Statement(
    "cancel_execution",
    "UPDATE execution SET cancel_requested = true WHERE id = :id AND status = 'running' RETURNING run",
)
END_WAITING = Statement(
    "end_waiting",
    """UPDATE execution SET status = 'returned', outcome = 'cancelled', error = :error, finished_at = :now, due_at = NULL
    WHERE id = :id AND (status IN ('requested', 'waiting') OR (status = 'scheduled' AND due_at IS NOT NULL))
    RETURNING run""",
)
NESTED_OF = Statement(
    "nested_of",
    """SELECT w.id FROM workflow_execution w JOIN execution e ON e.id = w.execution_id AND e.attempt = w.attempt
    WHERE e.id = :id AND w.ended_at IS NULL""",
)


def cancel(tx: Transaction, target: str, *, by: str, reason: str) -> Asked | None:
    """Ask a run (by id) or an execution (by number) to stop; None: there is no such thing."""
    rows = tx.run(queries.STATUS, {"run_id": target})
    if rows:
        key, status, ended = rows[0]
        asked = ended is None and bool(_tell(tx, key, by, reason))
        return Asked(target=target, status=status, asked=asked, key=key)
    if not target.isascii() or not target.isdigit() or len(target) > 18:
        return None
    found = tx.run(queries.EXECUTION, {"id": int(target)})
    return (
        _cancel_execution(tx, int(target), found[0][1], found[0][2], found[0][3], by, reason)
        if found
        else None
    )


def terminate(tx: Transaction, run_id: str, *, by: str, reason: str) -> Asked | None:
    """Ask that a run end at once; None: there is no such run."""
    rows = tx.run(queries.STATUS, {"run_id": run_id})
    if not rows:
        return None
    key, status, ended = rows[0]
    data = dumps({"by": by, "reason": reason})
    message = {"run": key, "key": "terminate", "kind": "terminate", "data": data}
    asked = ended is None and bool(put_inbox(tx, [message]))
    return Asked(target=run_id, status=status, asked=asked, key=key)


def _cancel_execution(
    tx: Transaction, id: int, run: int, kind: str, status: str, by: str, reason: str
) -> Asked:
    error = Failure(type="Cancelled", message=reason or f"cancelled by {by or 'a person'}").to_json()
    if kind in ("fanout", "parallel"):
        what = "items" if kind == "fanout" else "tasks"
        raise Conflict(f"execution {id} stands for several {what}: it does no work that could be stopped",
                       hint=f"cancel its {what} by their numbers, or the run")  # fmt: skip
    nested = tx.run(NESTED_OF, {"id": id})
    if nested:
        asked = bool(_tell(tx, nested[0][0], by, reason))
        return Asked(target=str(id), status=status, asked=asked, key=nested[0][0])
    ended = tx.run(END_WAITING, {"id": id, "error": dumps(error), "now": tx.now()})
    asked = bool(ended) or bool(tx.run(CANCEL_EXECUTION, {"id": id}))
    return Asked(target=str(id), status=status, asked=asked, key=run)


def _tell(tx: Transaction, run: int, by: str, reason: str) -> list[int]:
    data = dumps({"by": by, "reason": reason})
    return put_inbox(tx, [{"run": run, "key": "cancel", "kind": "cancel", "data": data}])
