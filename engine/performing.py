"""What the engine does by itself for a task: start another run, send a signal (`core.start`, `core.signal`).

It is done in the transaction that lets the execution begin, so exactly once, and no worker is needed. It touches other
runs only by rows (DESIGN 4): a new run, a message in an inbox.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import NAMESPACE_OID, uuid5

from dramaturg.engine.config import Settings
from dramaturg.engine.errors import (
    JSON,
    Conflict,
    DramaturgError,
    Failure,
    InvalidParameters,
    NotFound,
    UsageError,
)
from dramaturg.engine.secrecy import Secrecy
from dramaturg.engine.secret import Secret
from dramaturg.engine.starting import StartedRun, check_name, start_run
from dramaturg.engine.store.codec import Encoder, decode, dumps
from dramaturg.engine.store.database import Row, Transaction
from dramaturg.engine.store.due import Performed, put_inbox
from dramaturg.engine.store.statements import WRITE_PAYLOADS, Statement
from dramaturg.engine.store.vault import Vault
from dramaturg.engine.store.view import load_payloads

READ = Statement(
    "perform_read",
    """SELECT e.id, e.run, e.action, e.input, e.attempt, w.run_id, e.task, COALESCE(w.root, w.id)
    FROM <<rows ids | id bigint>> AS x JOIN execution e ON e.id = x.id JOIN workflow_execution w ON w.id = e.run
    WHERE e.status = 'requested' ORDER BY e.id""",
)
TARGET = Statement(
    "perform_target",
    "SELECT id, COALESCE(root, id), ended_at FROM workflow_execution WHERE run_id = :run_id",
)
RETURN = Statement(
    "perform_return",
    """UPDATE execution SET status = 'returned', outcome = :outcome, result = :result, error = :error, started_at = :now,
        finished_at = :now WHERE id = :id AND status = 'requested'""",
)

#: Starts a run: (transaction, ref, parameters, run id).
Start = Callable[[Transaction, str, Mapping[str, JSON], str], StartedRun]


@dataclass(frozen=True, slots=True, kw_only=True)
class Performer:
    """Does executions of kind engine."""

    start: Start
    encoder: Callable[[], Encoder]

    def __call__(self, tx: Transaction, ids: Sequence[int]) -> Performed:
        """Do them, within the caller's transaction; what is refused is a failure of the task."""
        performed = Performed()
        rows = tx.run(READ, {"ids": dumps([{"id": id} for id in ids])})
        payloads_of: dict[int, list[str | None]] = {}
        for row in rows:
            payloads_of.setdefault(row[1], []).append(row[3])
        payloads = {run: load_payloads(tx, run, texts) for run, texts in payloads_of.items()}
        for row in rows:
            self._one(tx, row, decode(row[3], payloads[row[1]]) or {}, performed)
        return performed

    def _one(self, tx: Transaction, row: Row, given: Mapping[str, JSON], performed: Performed) -> None:
        outcome, result, error = "succeeded", None, None
        try:
            _refuse_secrets(given)
            result = _ACTIONS[row[2]](self, tx, row, given, performed)
        except (NotFound, InvalidParameters, UsageError, Conflict) as refused:
            outcome, error = "failed", _failure(row[2], given, refused)
        encode = self.encoder()
        columns = {
            "result": None if result is None else encode(result),
            "error": None if error is None else encode(error.to_json()),
        }
        tx.run(RETURN, {"id": row[0], "outcome": outcome, "now": tx.now(), **columns})
        if encode.payloads:
            tx.run(WRITE_PAYLOADS, {"run": row[1], "payloads": encode.rows()})
        performed.runs.append(row[1])

    def start_run(self, tx: Transaction, row: Row, given: Mapping[str, JSON], performed: Performed) -> JSON:
        """Start a run that goes on by itself; without an id of its own it has one that follows from the task's."""
        run_id = given.get("id") or str(uuid5(NAMESPACE_OID, f"{row[5]}/{row[0]}"))
        started = self.start(tx, given["ref"], given.get("parameters") or {}, str(run_id))
        if started.created:
            performed.others.append(started.key)
        return {"run_id": started.run_id}

    def send_signal(self, tx: Transaction, row: Row, given: Mapping[str, JSON], performed: Performed) -> JSON:
        """Send a run a signal, once for each attempt."""
        name, target = given["name"], str(given["run"])
        check_name(name, "signal")
        found = tx.run(TARGET, {"run_id": target})
        if not found:
            raise NotFound(f"there is no run {target!r}")
        run, root, ended = found[0]
        if ended is not None:
            raise UsageError(f"run {target} has ended")
        data = {"name": name, "payload": given.get("payload"), "by": f"task {row[6]} of run {row[5]}"}
        key = f"signal:{row[0]}:{row[4]}"
        encode = self.encoder()
        message = {"run": run, "key": key, "kind": "signal", "data": encode(data)}
        told = put_inbox(tx, [message])
        (performed.runs if root == row[7] else performed.others).extend(told)
        if encode.payloads:
            tx.run(WRITE_PAYLOADS, {"run": run, "payloads": encode.rows()})
        return {}


def _refuse_secrets(given: Mapping[str, JSON]) -> None:
    """Make sure that nothing is secret but what is only passed on: a payload, and single parameters."""
    for name, value in given.items():
        if isinstance(value, Secret) and name != "payload":
            raise UsageError(f"{name} can't be a secret")


def performer(settings: Settings, vault: Vault, shown: str) -> Performer:
    """Return what does executions of kind engine, by the settings of a worker.

    Args:
        vault: seals what is secret.
        shown: how to call the database in a message.
    """

    secrecy = Secrecy(vault)

    def start(tx: Transaction, ref: str, parameters: Mapping[str, JSON], run_id: str) -> StartedRun:
        return start_run(
            tx,
            ref,
            parameters,
            run_id=run_id,
            if_exists="return_existing",
            threshold=settings.soft_payload,
            limit=settings.hard_payload,
            shown=shown,
            secrecy=secrecy,
        )

    return Performer(start=start, encoder=lambda: Encoder(settings.soft_payload, vault))


def _failure(action: str, given: Mapping[str, JSON], refused: DramaturgError) -> Failure:
    if isinstance(refused, NotFound) and action == "core.start":
        # Not the refusal's own words: they name the database, which is none of a workflow's business.
        return Failure(type="UnknownAction", message=f"core.start: there is no action {given['ref']!r}")
    kind = "Conflict" if isinstance(refused, Conflict) else "InvalidInput"
    return Failure(type=kind, message=f"{action}: {refused}")


_ACTIONS: dict[str, Callable[[Performer, Transaction, Row, Mapping[str, JSON], Performed], JSON]] = {
    "core.start": Performer.start_run,
    "core.signal": Performer.send_signal,
}
