"""What people say to a run: signals, answers, and how something ended that they were waited for. No run's lock is taken.

An answer, and the end of what waits to be completed, is the end of an attempt: it is written by compare-and-set, like a
worker's own, so that the second one is refused. A signal, and the end of a task whose failure nobody handled, are messages
to the run.
"""

from __future__ import annotations

from typing import Any

from uuid_utils import uuid7

from dramaturg.engine.errors import JSON, Conflict, Failure, InvalidParameters, NotFound
from dramaturg.engine.interpreter.waits import schema_of
from dramaturg.engine.store import queries
from dramaturg.engine.store.codec import Encoder, loads
from dramaturg.engine.store.controls import Asked
from dramaturg.engine.store.database import Row, Transaction
from dramaturg.engine.store.due import put_inbox
from dramaturg.engine.store.statements import WRITE_PAYLOADS, Statement

#: A question that is asked: of one run, by one task or by any.
QUESTIONS = Statement(
    "questions",
    """SELECT id, task, visit, item, policy, status FROM execution WHERE run = :run
        AND (CAST(:task AS text) IS NULL OR task = :task)
        AND status = 'waiting' AND awaits = 'answer' ORDER BY id""",
)
ANSWERED = Statement(
    "answered",
    """SELECT count(*) FROM execution WHERE run = :run AND awaits = 'answer'
        AND (CAST(:task AS text) IS NULL OR task = :task)
        AND (status = 'succeeded' OR (status = 'returned' AND outcome = 'succeeded'))""",
)

#: What waits has ended, as somebody says: an attempt by its nonce, or anything that waits by its number.
SAY = Statement(
    "say",
    """UPDATE execution SET status = 'returned', outcome = :outcome, result = :result, error = :error, finished_at = :now,
        due_at = NULL, lease_until = NULL, worker = COALESCE(worker, :by)
    WHERE id = :id AND (status = 'waiting' OR (status = 'running' AND kind IN ('worker', 'actor')
            AND CAST(:nonce AS text) IS NOT NULL))
        AND (CAST(:nonce AS text) IS NULL OR nonce = :nonce)
    RETURNING run""",
)
WAITER = Statement(
    "waiter",
    "SELECT id, run, status, task, visit, item, parked, awaits, policy FROM execution WHERE id = :id AND run IS NOT NULL",
)


def signal(
    tx: Transaction, encode: Encoder, run: Row, name: str, payload: JSON, *, by: str, key: str | None
) -> Asked:
    """Send a run a signal; with a key that was used before nothing happens.

    Args:
        run: what `queries.STATUS` says of it.
    """
    data = encode({"name": name, "payload": payload, "by": by})
    message = {"run": run[0], "key": f"signal:{key or uuid7()}", "kind": "signal", "data": data}
    told = put_inbox(tx, [message])
    _write_payloads(tx, run[0], encode)
    return Asked(target=name, status=run[1], asked=bool(told), key=run[0])


def answer(tx: Transaction, encode: Encoder, run: int, task: str | None, value: JSON, *, by: str) -> Asked:
    """Answer the one question that a run asks, or that one of its tasks does.

    Raises:
        NotFound, Conflict: there is not exactly one such question.
        InvalidParameters: the question wants another kind of answer; nothing has happened.
    """
    rows = tx.run(QUESTIONS, {"run": run, "task": task})
    if not rows:
        raise _nothing_asked(tx, run, task)
    if len(rows) > 1:
        names = ", ".join(_place(row) for row in rows[:12])
        raise Conflict(
            f"several questions are asked: {names}", hint="say which task; items are completed by number"
        )
    id, name, _, _, policy, status = rows[0]
    _check_answer(name, policy, value)
    if not _say(tx, encode, id, None, value, None, by):
        raise Conflict(f"the question of task {name} has just been answered, or is void", hint="")
    return Asked(target=str(id), status=status, asked=True, key=run)


def end(
    tx: Transaction, encode: Encoder, target: str, result: JSON, error: Failure | None, *, by: str
) -> Asked | None:
    """Say how something ended that waits: an attempt by its token, or an execution by its number.

    Returns:
        None: there is no such attempt or execution.
    Raises:
        Conflict: it does not wait for anybody.
        InvalidParameters: it is a question, which wants another kind of answer.
    """
    id, _, nonce = target.partition("-")
    if not id.isascii() or not id.isdigit() or len(id) > 18:
        return None
    rows = tx.run(WAITER, {"id": int(id)})
    if not rows:
        return None
    _, run, status, task, visit, item, parked, awaits, policy = rows[0]
    if parked and not nonce:
        return _resolve(tx, encode, rows[0], result, error, by)
    if awaits == "answer" and status == "waiting" and error is None:
        _check_answer(task, policy, result)
    if not _say(tx, encode, int(id), nonce or None, result, error, by):
        place = f"execution {id} (task {task}, visit {visit}{f', item {item}' if item >= 0 else ''})"
        what = (
            "this attempt of it is over" if nonce else f"it is {'over' if status == 'returned' else status}"
        )
        hint = "" if nonce else "only what waits can be completed; dramaturg cancel stops what runs"
        raise Conflict(f"{place} does not wait to be completed: {what}", hint=hint)
    return Asked(target=id, status=status, asked=True, key=run)


def _say(
    tx: Transaction, encode: Encoder, id: int, nonce: str | None, result: JSON, error: Failure | None, by: str
) -> bool:
    parameters: dict[str, Any] = {
        "id": id,
        "nonce": nonce,
        "outcome": "succeeded" if error is None else "failed",
        "result": None if result is None else encode(result),
        "error": None if error is None else encode(error.to_json()),
        "by": by or None,
        "now": tx.now(),
    }
    rows = tx.run(SAY, parameters)
    if rows:
        _write_payloads(tx, rows[0][0], encode)
    return bool(rows)


def _resolve(
    tx: Transaction, encode: Encoder, row: Row, result: JSON, error: Failure | None, by: str
) -> Asked:
    id, run, status, task, visit, *_ = row
    data = {
        "task": task,
        "visit": visit,
        "status": "succeeded" if error is None else "failed",
        "result": result,
        "error": None if error is None else error.to_json(),
        "by": by,
    }
    message = {"run": run, "key": f"resolve:{task}:{visit}", "kind": "resolve", "data": encode(data)}
    told = put_inbox(tx, [message])
    _write_payloads(tx, run, encode)
    if not told:
        raise Conflict(f"somebody has said before how task {task} ended", hint="")
    return Asked(target=str(id), status=status, asked=True, key=run)


def _check_answer(task: str, policy: str, value: JSON) -> None:
    """Make sure that a question takes a value as its answer, whichever way it comes."""
    schema = schema_of(loads(policy))
    problems = schema.problems({"answer": value}) if schema is not None else []
    if problems:
        raise InvalidParameters(f"the answer to {task}", problems)


def _nothing_asked(tx: Transaction, run: int, task: str | None) -> Exception:
    whom = f"task {task}" if task else "the run"
    if tx.run(ANSWERED, {"run": run, "task": task})[0][0]:
        return Conflict(f"{whom} asks nothing any more: the question has been answered", hint="")
    return NotFound(f"{whom} asks nothing", hint="dramaturg show says what a run waits for")


def _place(row: Row) -> str:
    item = f", item {row[3]}" if row[3] >= 0 else ""
    return f"{row[1]} (visit {row[2]}{item}, execution {row[0]})"


def _write_payloads(tx: Transaction, run: int, encode: Encoder) -> None:
    if encode.payloads:
        tx.run(WRITE_PAYLOADS, {"run": run, "payloads": encode.rows()})


def run_of(tx: Transaction, run_id: str) -> Row | None:
    """Return (number, status, end) of a run, or None."""
    rows = tx.run(queries.STATUS, {"run_id": run_id})
    return rows[0] if rows else None
