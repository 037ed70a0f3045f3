"""Writes what an advance decided: a fixed number of statements, however much was decided.

On PostgreSQL everything that an ordinary step writes is one statement (`WRITE_STEP`); on SQLite, which knows no writing
CTE, it is one statement a table. What is rare (joins, fan-outs, retries, cancelling, nested runs) adds one each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from uuid_utils import uuid7

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.interpreter import commands as c
from dramaturg.engine.interpreter.state import OUTCOMES, FanOut
from dramaturg.engine.store import statements as sql
from dramaturg.engine.store import waiting
from dramaturg.engine.store.codec import Encoder, dumps, loads
from dramaturg.engine.store.database import Row, Transaction
from dramaturg.engine.store.leases import Ready
from dramaturg.engine.store.times import SECOND
from dramaturg.engine.store.view import RunRow, lineage_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSpec:
    """Who would take one of the new executions at once, and under which nonce."""

    worker: str
    nonce: str
    #: Seconds.
    lease: float
    #: None: it serves every queue.
    queues: frozenset[str] | None = None


@dataclass(slots=True, kw_only=True)
class Saved:
    """What is to be done once the transaction has committed."""

    #: What a worker may take now.
    requested: list[Ready] = field(default_factory=list)
    #: Runs that an interpreter should look at: nested ones that begin or are cancelled, the one around this one.
    runs: list[int] = field(default_factory=list)
    #: Whether the decision itself made something come back (what it cancelled).
    again: bool = False
    #: Executions of kind engine: done in this very transaction, by whoever saves.
    performs: list[int] = field(default_factory=list)
    #: The execution that the claim took, and what was scheduled.
    claimed: tuple[int, c.Schedule] | None = None


def save(
    transaction: Transaction,
    row: RunRow,
    decision: c.Decision,
    applied: Sequence[int],
    done: Sequence[int],
    *,
    encode: Encoder,
    claim: ClaimSpec | None,
) -> Saved:
    """Store a decision as a whole; the caller commits and then sends.

    Args:
        applied, done: inbox rows whose inputs the decision has used up: to be marked, to be removed.
        encode: a new one, which seals what is secret.
    Raises:
        NoKey: there is something secret, and no key.
    """
    return _Writer(transaction, row, decision, encode, claim).write(applied, done)


class _Writer:
    def __init__(
        self,
        transaction: Transaction,
        row: RunRow,
        decision: c.Decision,
        encode: Encoder,
        claim: ClaimSpec | None,
    ) -> None:
        self.tx = transaction
        self.row = row
        self.decision = decision
        self.now = transaction.now()
        self.encode = encode
        self.claim = claim
        self.saved = Saved()
        self.executions: list[dict[str, Any]] = []
        self.settled: list[dict[str, Any]] = []
        self.retries: list[dict[str, Any]] = []
        self.taken: c.Schedule | None = None
        #: Whether something began to wait for a signal by being let in.
        self.looks = False

    def write(self, applied: Sequence[int], done: Sequence[int]) -> Saved:
        """Store everything, in an order in which each statement finds what it needs."""
        for command in self.decision.commands:
            if isinstance(command, c.Schedule):
                self.executions.append(self._execution(command))
            elif isinstance(command, c.Settle):
                self.settled.append(
                    {
                        "id": command.execution_id,
                        "status": command.status,
                        "error": self._error(command.error),
                    }
                )
            elif isinstance(command, c.Retry):
                due = self._at(command.delay) if command.delay > 0 else None
                self.retries.append({"id": command.execution_id, "attempt": command.attempt, "due_at": due})
        made = self._write_step()
        self._write_rest(applied, done)
        self._started(made)
        for command in self.decision.commands:
            self._apply(command)
        self._go_on()
        self._write_signals()
        if self.encode.payloads:
            self._write_payloads(self.row.id, self.encode)
        return self.saved

    # -- the ordinary part ---------------------------------------------------------------------------------

    def _write_step(self) -> Sequence[Row]:
        run = self.decision.run
        closing = run.closing
        parameters: dict[str, Any] = {
            "run": self.row.id,
            "root": self.row.root_or_self,
            "now": self.now,
            "status": run.status,
            "open": run.open,
            "open_joins": run.open_joins,
            "next_seq": run.next_seq,
            "parked": run.parked,
            "closing": None
            if closing is None
            else dumps(
                {"status": closing.status, "error": closing.error.to_json() if closing.error else None}
            ),
            "ended_at": self.now if run.status in OUTCOMES else None,
            "events": self._events(),
            "tasks": dumps(
                [
                    {"task": t.task, "visits": t.visits, "status": t.status, "attempts": t.attempts}
                    for t in self.decision.tasks
                ]
            ),
            "vars": dumps([{"name": n, "value": self.encode(v)} for n, v in self.decision.variables.items()]),
            "settled": dumps(self.settled),
            "executions": dumps(self.executions),
        }
        if self.tx.dialect == "postgresql":
            return self.tx.run(sql.WRITE_STEP, parameters)
        self.tx.run(sql.WRITE_RUN, parameters)
        for statement, name in (
            (sql.WRITE_EVENTS, "events"),
            (sql.WRITE_TASKS, "tasks"),
            (sql.WRITE_VARS, "vars"),
            (sql.SETTLE, "settled"),
        ):
            if parameters[name] != "[]":
                self.tx.run(statement, parameters)
        return self.tx.run(sql.EXECUTIONS, parameters) if self.executions else ()

    def _events(self) -> str:
        return dumps(
            [
                {
                    "seq": e.seq,
                    "type": e.type,
                    "task": e.task,
                    "visit": e.visit,
                    "item": e.item,
                    "attempt": e.attempt,
                    "status": e.status,
                    "data": self.encode(dict(e.data)) if e.data else None,
                }
                for e in self.decision.events
            ]
        )

    def _execution(self, s: c.Schedule) -> dict[str, Any]:
        ended = s.status in OUTCOMES
        row: dict[str, Any] = {
            "task": s.task,
            "visit": s.visit,
            "item": s.item,
            "kind": s.kind,
            "action": s.action,
            "status": s.status,
            "input": None if s.input is None else self.encode(s.input),
            "result": None if s.result is None else self.encode(s.result),
            "error": self._error(s.error),
            "digest": s.digest,
            "queue": s.queue,
            "priority": s.priority,
            "policy": dumps(dict(s.policy)) if s.policy else None,
            "lineage": lineage_text(s.lineage),
            "spared": s.lineage.spared,
            "timeout": s.timeout,
            "once": s.once,
            "due_at": None if s.due is None else self._at(s.due),
            "started_at": self.now if s.status == "running" else None,
            "finished_at": self.now if ended else None,
            "nonce": None,
            "worker": None,
            "lease_until": None,
            "deadline_at": None,
            "awaits": s.policy.get("awaits"),
            "signal": s.policy.get("signal"),
            "schedule_timeout": s.schedule_timeout,
            "heartbeat_timeout": s.heartbeat_timeout,
        }
        if self._takes(s):
            self._take(row, s)
        return row

    def _takes(self, s: c.Schedule) -> bool:
        claim = self.claim
        return (
            claim is not None
            and self.taken is None
            # Nothing new begins in a run that closes; what this decision still made is cancelled by it.
            and self.decision.run.closing is None
            and s.kind == "worker"
            and s.status == "requested"
            and (claim.queues is None or s.queue in claim.queues)
        )

    def _take(self, row: dict[str, Any], s: c.Schedule) -> None:
        """Let the worker whose completion this is have the execution at once: no message, no second commit."""
        claim = self.claim
        assert claim is not None
        row.update(
            status="running",
            nonce=claim.nonce,
            worker=claim.worker,
            lease_until=self._at(claim.lease),
            started_at=self.now,
            deadline_at=None if s.timeout is None else self._at(s.timeout),
        )
        self.taken = s

    def _started(self, rows: Iterable[Row]) -> None:
        """Sort what was made or released: to be sent, claimed by ourselves, or a nested run to be made."""
        nested: list[int] = []
        for id, _task, _visit, _item, kind, status, queue, priority, actor, _awaits in rows:
            if kind == "engine" and status == "requested":
                self.saved.performs.append(id)
            elif status == "requested":
                self.saved.requested.append(Ready(id, queue, priority, actor))
            elif status == "running" and kind == "workflow":
                nested.append(id)
            elif status == "running" and kind == "worker" and self.taken is not None:
                self.saved.claimed = (id, self.taken)
        if nested:
            self.saved.runs.extend(start_nested(self.tx, nested))

    # -- what is rare --------------------------------------------------------------------------------------

    def _write_rest(self, applied: Sequence[int], done: Sequence[int]) -> None:
        run, tx = self.row.id, self.tx
        if self.decision.joins:
            joins = [
                {
                    "task": j.task,
                    "round": j.round,
                    "arrived": dumps(list(j.arrived)),
                    "joins": dumps(dict(j.joins)),
                    "spared": j.spared,
                    "fired": j.fired,
                }
                for j in self.decision.joins
            ]
            tx.run(sql.WRITE_JOINS, {"run": run, "joins": dumps(joins)})
        if self.decision.items:
            fan_outs = dumps([_fan_out(f) for f in self.decision.items])
            tx.run(sql.WRITE_FAN_OUTS, {"run": run, "fan_outs": fan_outs})
        if applied:
            ids = dumps([{"id": id} for id in applied])
            tx.run(sql.INBOX_APPLIED, {"applied": ids, "now": self.now})
        if done:
            tx.run(sql.INBOX_DONE, {"done": dumps([{"id": id} for id in done])})
        if self.retries:
            self._let_in(tx.run(sql.RETRY, {"retries": dumps(self.retries), "now": self.now}))

    def _apply(self, command: c.Command) -> None:
        run = self.row.id
        match command:
            case c.Release():
                due = None if command.due is None else self._at(command.due)
                place = {"run": run, "task": command.task, "visit": command.visit}
                window = {"first": command.first, "last": command.last, "due": due, "now": self.now}
                self._let_in(self.tx.run(sql.RELEASE, {**place, **window}))
            case c.SkipItems():
                place = {"run": run, "task": command.task, "visit": command.visit}
                self.tx.run(sql.SKIP_ITEMS, {**place, "first": command.first, "now": self.now})
            case c.SettleVisit():
                place = {"run": run, "task": command.task, "visit": command.visit}
                error = self._error(command.error)
                self.tx.run(
                    sql.SETTLE_VISIT, {**place, "status": command.status, "error": error, "now": self.now}
                )
            case c.CancelOpen():
                self._cancel(command)
            case c.SetDeadline():
                self._set_deadline(command)
            case c.ClearDeadlines():
                self.tx.run(
                    sql.CLEAR_VISIT_TIMERS, {"run": run, "task": command.task, "visit": command.visit}
                )
            case c.Park() | c.Unpark():
                statement = waiting.PARK if isinstance(command, c.Park) else waiting.UNPARK
                self.tx.run(statement, {"run": run, "task": command.task, "visit": command.visit})
            case c.EndRun():
                self._end(command)
            case _:
                pass

    def _set_deadline(self, command: c.SetDeadline) -> None:
        timer = {
            "run": self.row.id,
            "kind": command.kind,
            "task": command.task,
            "visit": command.visit,
            "root": self.row.root_or_self,
            "due_at": self._at(command.seconds),
            "seconds": command.seconds,
        }
        self.tx.run(sql.TIMER, timer)

    # -- signals -------------------------------------------------------------------------------------------

    def _let_in(self, rows: Sequence[Row]) -> None:
        """Note what may begin later than it was made: a signal for it may be there already."""
        self._started(rows)
        self.looks = self.looks or any(row[5] == "waiting" and row[9] == "signal" for row in rows)

    def _write_signals(self) -> None:
        """Keep signals, give those that are awaited away, and have somebody look again where that may lead to more."""
        commands, run = self.decision.commands, self.row.id
        signals = [
            {"seq": one.seq, "name": one.name, "payload": self.encode(one.payload)}
            for one in commands
            if isinstance(one, c.Buffer)
        ]
        if signals:
            self.tx.run(waiting.BUFFER, {"run": run, "signals": dumps(signals)})
        wanted = {one.execution_id: one.seq for one in commands if isinstance(one, c.Deliver)}
        if wanted:
            delivered = dumps([{"id": id, "seq": seq} for id, seq in wanted.items()])
            rows = self.tx.run(waiting.DELIVER, {"delivered": delivered, "now": self.now})
            taken = dumps([{"seq": wanted[row[0]]} for row in rows])
            self.tx.run(waiting.TAKE_SIGNALS, {"run": run, "taken": taken})
            self.saved.again = self.saved.again or bool(rows)
            # What does not wait any more leaves its signal to others that do.
            self.looks = self.looks or len(rows) < len(wanted)
        if self.looks or any(isinstance(one, c.LookForSignals) for one in commands):
            message = {"run": run, "key": f"match:{uuid7()}", "kind": "match", "data": "{}"}
            self.tx.run(sql.INBOX_PUT, {"messages": dumps([message]), "now": self.now})
            self.saved.again = True

    def _cancel(self, command: c.CancelOpen) -> None:
        failure = command.verdict or Failure(type="Cancelled", message=command.reason or "cancelled")
        error = dumps(failure.to_json())
        scope = {
            "run": self.row.id,
            "spared": command.spared,
            "task": command.task,
            "visit": command.visit,
            "now": self.now,
            "outcome": "cancelled" if command.verdict is None else "timed_out",
            "error": error,
        }
        self.tx.run(sql.CANCEL_WAITING, scope)
        self.saved.again = True
        if command.running:
            verdict = None if command.verdict is None else error
            self.tx.run(sql.CANCEL_RUNNING, {**scope, "verdict": verdict})
            self._close_nested(self.tx.run(sql.OPEN_NESTED, scope), failure.message)

    def _close_nested(self, rows: Sequence[Row], reason: str) -> None:
        """Do with nested runs what their tasks say becomes of them (LANGUAGE 4, `parent_close`)."""
        messages, abandoned = [], []
        for execution, run, policy in rows:
            how = loads(policy).get("parent_close", "cancel") if policy else "cancel"
            if how == "abandon":
                abandoned.append({"id": execution})
            data = dumps({"by": "the run around it", "reason": reason})
            messages.append({"run": run, "key": f"parent:{how}", "kind": how, "data": data})
        if messages:
            rows = self.tx.run(sql.INBOX_PUT, {"messages": dumps(messages), "now": self.now})
            self.saved.runs.extend(row[0] for row in rows)
        if abandoned:
            error = dumps(
                Failure(type="Cancelled", message=f"{reason}; the nested run goes on by itself").to_json()
            )
            self.tx.run(sql.ABANDON, {"abandoned": dumps(abandoned), "error": error, "now": self.now})

    def _go_on(self) -> None:
        """Leave the rest to further decisions, by the run's own inbox: in one statement, however much there is."""
        messages = [
            {
                "run": self.row.id,
                "key": f"continue:{uuid7()}",
                "kind": "continue",
                "data": self.encode(command.work),
            }
            for command in self.decision.commands
            if isinstance(command, c.GoOn)
        ]
        if messages:
            self.tx.run(sql.INBOX_PUT, {"messages": dumps(messages), "now": self.now})
            self.saved.again = True

    def _end(self, command: c.EndRun) -> None:
        parent = self.row.parent
        encode = Encoder(self.encode.threshold, self.encode.sealer)
        returned = parent is not None
        self.tx.run(
            sql.END_EXECUTION,
            {
                "execution": self.row.execution_id,
                "attempt": self.row.attempt,
                "status": "returned" if returned else command.status,
                "outcome": command.status if returned else None,
                "result": encode(command.output),
                "error": self._error(command.error),
                "now": self.now,
            },
        )
        if encode.payloads:
            # What a nested run gives belongs to the run around it, which goes on with it.
            self._write_payloads(parent or self.row.id, encode)
        self.tx.run(sql.CLEAR_TIMERS, {"run": self.row.id})
        self.tx.run(sql.CLEAR_INBOX, {"run": self.row.id})
        self.tx.run(waiting.CLEAR_SIGNALS, {"run": self.row.id})
        if parent is not None:
            self.saved.runs.append(parent)

    def _write_payloads(self, run: int, encode: Encoder) -> None:
        self.tx.run(sql.WRITE_PAYLOADS, {"run": run, "payloads": encode.rows()})

    def _error(self, error: Failure | None) -> str | None:
        return None if error is None else dumps(error.to_json())

    def _at(self, seconds: float) -> int:
        return self.now + int(seconds * SECOND)


def start_nested(transaction: Transaction, executions: Sequence[int]) -> list[int]:
    """Make the runs of executions of kind workflow that are to begin now; return their ids."""
    made = dumps([{"execution_id": id, "run_id": str(uuid7())} for id in executions])
    now = transaction.now()
    runs = [row[0] for row in transaction.run(sql.NESTED, {"made": made, "now": now})]
    transaction.run(sql.NESTED_STARTED, {"made": made, "now": now})
    transaction.run(sql.NESTED_TIMERS, {"runs": dumps([{"id": id} for id in runs]), "now": now})
    return runs


def _fan_out(f: FanOut) -> dict[str, JSON]:
    return {
        "task": f.task,
        "visit": f.visit,
        "total": f.total,
        "inserted": f.inserted,
        "next": f.next,
        "running": f.running,
        "succeeded": f.succeeded,
        "failed": f.failed,
        "timed_out": f.timed_out,
        "cancelled": f.cancelled,
        "skipped": f.skipped,
        "concurrency": f.concurrency,
        "on_item_failure": f.on_item_failure,
        "lineage": lineage_text(f.lineage) or "",
        "stopped": f.stopped,
        "broken": dumps(list(f.broken)),
        "error": None if f.error is None else dumps(f.error.to_json()),
        "verdict": None if f.verdict is None else dumps(f.verdict.to_json()),
    }
