"""The step protocol: completion, advance and the next claim in one transaction (DESIGN 4).

::

    1  claim      requested -> running, by compare-and-set, with a nonce and a lease
    2  run        (the caller's: nothing of the database is held meanwhile)
    3  complete   try the run's lock
         free     write the completion, apply all that has returned, advance, store the decision and, if asked,
                  claim one of the new executions; commit; the caller then sends the others
         busy     commit the completion alone, try the lock once more; still busy: every holder looks again after its
                  commit, so nothing is lost
    4  apply      the same without a completion of one's own: messages, signals, timers, a clock's finds

Nobody ever waits for a run's lock. A transaction locks one run at most; runs reach each other by rows only.

Whatever is written carries the nonce of the claim, so a late or doubled completion is refused. A commit whose result is
not known (the connection is gone) is asked for again by nonce.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from uuid_utils import uuid4

from dramaturg.engine import failpoints
from dramaturg.engine.errors import JSON, Failure, InternalError, Unreachable
from dramaturg.engine.interpreter.advance import advance, reads
from dramaturg.engine.interpreter.commands import Decision
from dramaturg.engine.interpreter.state import Input, Need, Started
from dramaturg.engine.performing import Performer
from dramaturg.engine.store import leases
from dramaturg.engine.store import statements as sql
from dramaturg.engine.store.catalog import Catalog
from dramaturg.engine.store.codec import Encoder, decode, dumps
from dramaturg.engine.store.database import Database, Row, Transaction, first_line
from dramaturg.engine.store.leases import Ready
from dramaturg.engine.store.runs import ClaimSpec, Saved, save
from dramaturg.engine.store.termination import detach, terminate
from dramaturg.engine.store.times import SECOND, iso
from dramaturg.engine.store.vault import NoKey, Vault
from dramaturg.engine.store.view import RunRow, RunView, load_inputs, load_payloads, lock_run

log = logging.getLogger("dramaturg.step")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An attempt that is ours as long as the nonce stands."""

    execution_id: int
    nonce: str
    run: int
    run_id: str
    task: str
    visit: int
    item: int
    attempt: int
    action: str
    input: dict[str, JSON]
    #: Seconds, start to close.
    timeout: float | None
    queue: str
    #: When its message was sent, microseconds; None: it was not.
    sent_at: int | None
    #: Seconds between two heartbeats; what the last one of the attempt before said.
    heartbeat_timeout: float | None = None
    heartbeat: JSON = None

    @property
    def token(self) -> str:
        """Return what names this attempt to somebody who completes it later."""
        return f"{self.execution_id}-{self.nonce}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How an attempt ended, as its worker reports it."""

    #: An outcome, or `pending`: somebody else will say, by the token.
    status: str
    result: JSON = None
    error: Failure | None = None
    #: Details of the last heartbeat; None: there was none.
    heartbeat: JSON = None
    #: {stream, text, truncated}
    logs: Sequence[dict[str, JSON]] = ()


@dataclass(slots=True, kw_only=True)
class Step:
    """What a transaction has left to do."""

    #: refused: the claim does not stand any more. busy: stored, somebody else advances the run. applied: all of it.
    result: str = "applied"
    #: To be sent to task actors, or to actors of the user's.
    requested: list[Ready] = field(default_factory=list)
    #: Runs to be looked at.
    runs: list[int] = field(default_factory=list)
    #: Runs of other roots that a task has started, or sent a signal.
    others: list[int] = field(default_factory=list)
    follow: Claim | None = None
    #: Whether this run has more to apply.
    again: bool = False


class Stepper:
    """Claims, completes and applies: each call is one transaction, or two where the run was busy."""

    def __init__(
        self,
        database: Database,
        catalog: Catalog,
        *,
        worker: str,
        lease: float,
        soft_payload: int,
        vault: Vault,
        perform: Performer,
    ) -> None:
        """Prepare to step runs in the name of a worker.

        Args:
            lease: seconds.
            soft_payload: bytes above which a value is stored apart.
            vault: seals what is secret.
            perform: does what the engine does by itself for a task.
        """
        self.database = database
        self.catalog = catalog
        self.worker = worker
        self.lease = lease
        self.soft_payload = soft_payload
        self.vault = vault
        self.perform = perform
        #: The queues that this worker serves; None: all.
        self.queues: frozenset[str] | None = None
        #: The kind of executions that it takes; None: any that a message names.
        self.kind: str | None = None

    # -- 1: claim ------------------------------------------------------------------------------------------

    def claim(self, execution_id: int, *, root: int | None = None) -> Claim | None:
        """Take an execution, or return None: it is taken, has ended, waits, or belongs to another root."""
        failpoints.hit("claim.begin")
        nonce = str(uuid4())
        with self.database.write(durable=False) as tx:
            now = tx.now()
            rows = tx.run(
                leases.CLAIM,
                {
                    "id": execution_id,
                    "kind": self.kind,
                    "nonce": nonce,
                    "worker": self.worker,
                    "lease_until": now + int(self.lease * SECOND),
                    "now": now,
                    "root": root,
                },
            )
            if not rows:
                return None
            claim = _claim(tx, rows[0], nonce, rows[0][14])
            if rows[0][11] and tx.dialect == "postgresql":
                # An attempt that must not be made twice: the claim is on disk before it begins.
                tx.run(leases.DURABLE)
        failpoints.hit("claim.committed")
        return claim

    # -- 3: complete ---------------------------------------------------------------------------------------

    def complete(self, claim: Claim, report: Report, *, next_nonce: str | None = None) -> Step:
        """Record how an attempt ended and go on with its run.

        Args:
            next_nonce: under which one of the new executions is claimed at once; None: none is.
        Raises:
            Unreachable: the database does not answer; nothing is known of the commit. Call again: it is asked for by nonce.
        """
        failpoints.hit("complete.begin")
        try:
            step = self._try(claim.run, claim, report, next_nonce)
        except _AdvanceFailed as failed:
            self._complete_alone(claim, report)
            self._record_fault(claim.run, failed)
            return Step(result="busy")
        if step is not None:
            return step
        if not self._complete_alone(claim, report):
            return Step(result="refused")
        failpoints.hit("busy.committed")
        return self.apply(claim.run, next_nonce=next_nonce) or Step(result="busy")

    def _complete_alone(self, claim: Claim, report: Report) -> bool:
        with self.database.write() as tx:
            if not self._write_completion(tx, claim, report):
                return False
            failpoints.hit("busy.written")
        return True

    def _encoder(self) -> Encoder:
        return Encoder(self.soft_payload, self.vault)

    def _write_completion(self, tx: Transaction, claim: Claim, report: Report) -> bool:
        """Write an attempt's end; false: the claim does not stand, or it was written before."""
        encode = self._encoder()
        parameters = {
            "id": claim.execution_id,
            "nonce": claim.nonce,
            "heartbeat": None if report.heartbeat is None else encode(report.heartbeat),
        }
        if report.status == "pending":
            rows = tx.run(leases.PEND, {**parameters, "now": tx.now()})
        else:
            parameters["outcome"] = report.status
            parameters["result"] = None if report.result is None else encode(report.result)
            parameters["error"] = None if report.error is None else encode(report.error.to_json())
            rows = tx.run(sql.COMPLETE, {**parameters, "now": tx.now()})
        if not rows:
            return False
        if encode.payloads:
            tx.run(sql.WRITE_PAYLOADS, {"run": claim.run, "payloads": encode.rows()})
        if report.logs:
            place = {"run": claim.run, "execution": claim.execution_id, "attempt": claim.attempt}
            tx.run(leases.LOGS, {**place, "chunks": dumps(list(report.logs)), "now": tx.now()})
        return True

    def applied_before(self, claim: Claim) -> bool:
        """Say whether a completion whose commit was in doubt has arrived."""
        with self.database.read() as tx:
            rows = tx.run(sql.READ_CLAIM, {"id": claim.execution_id, "nonce": claim.nonce})
        return bool(rows) and rows[0][0] != "running"

    def recover(self, claim: Claim, next_nonce: str | None) -> Step:
        """Return what a completion whose commit was in doubt had claimed; what it would have sent, a clock finds."""
        if next_nonce is None:
            return Step(again=True)
        with self.database.read() as tx:
            rows = tx.run(leases.READ_FOLLOW, {"run": claim.run, "nonce": next_nonce})
            follow = _claim(tx, rows[0], next_nonce, claim.run_id) if rows else None
        return Step(follow=follow, again=True)

    # -- 4: apply ------------------------------------------------------------------------------------------

    def apply(self, run: int, *, next_nonce: str | None = None) -> Step | None:
        """Advance a run by what has returned and what is in its inbox; None: somebody else holds it."""
        try:
            return self._try(run, None, None, next_nonce)
        except _AdvanceFailed as failed:
            self._record_fault(run, failed)
            return Step(result="busy")

    def _try(
        self, run: int, claim: Claim | None, report: Report | None, next_nonce: str | None
    ) -> Step | None:
        """Do one transaction under the run's lock; None: it is not free."""
        try:
            with self.database.write() as tx:
                row = lock_run(tx, run)
                if row is None:
                    return None
                failpoints.hit("complete.locked")
                if claim is not None and report is not None and not self._write_completion(tx, claim, report):
                    return Step(result="refused")
                step = self._advance(tx, row, next_nonce)
                failpoints.hit("complete.decided")
        except self.database.errors as error:
            # What the database does not take would be tried without a pause, and nobody would be told.
            raise _AdvanceFailed(f"the database refused it: {first_line(error)}") from error
        failpoints.hit("complete.committed" if claim is not None else "apply.committed")
        return step

    def _advance(self, tx: Transaction, row: RunRow, next_nonce: str | None) -> Step:
        if row.ended_at is not None:
            # What comes after the end (a cancel that crossed it, a late answer) has nothing to act upon.
            tx.run(sql.CLEAR_INBOX, {"run": row.id})
            tx.run(sql.SETTLE_LATE, {"run": row.id})
            return Step()
        loaded = load_inputs(tx, row)
        if loaded.terminated is not None:
            return Step(runs=terminate(tx, row, **loaded.terminated))
        if row.retry_at is not None and row.retry_at > tx.now():
            # The interpreter raised: a clock looks again when that time has come, and nobody before.
            return Step(result="busy")
        if loaded.abandoned:
            row = detach(tx, row)
        inputs: Sequence[Input] = loaded.inputs
        if row.state.status == "requested":
            inputs = (Started(), *inputs)
        if not inputs:
            if loaded.applied:
                tx.run(
                    sql.INBOX_APPLIED,
                    {"applied": dumps([{"id": id} for id in loaded.applied]), "now": tx.now()},
                )
            return Step()
        decision = self._decide(tx, row, inputs)
        spec = None
        if next_nonce is not None:
            spec = ClaimSpec(worker=self.worker, nonce=next_nonce, lease=self.lease, queues=self.queues)
        try:
            saved = save(tx, row, decision, loaded.applied, loaded.done, encode=self._encoder(), claim=spec)
        except NoKey as error:
            # Another worker may have one: it is tried again.
            raise _AdvanceFailed(f"{error}: {error.hint}") from error
        step = self._step(row, saved, next_nonce, loaded.full or saved.again)
        if saved.performs:
            performed = self.perform(tx, saved.performs)
            step.runs += [run for run in performed.runs if run != row.id]
            step.others += performed.others
            step.again = True
        return step

    def _decide(self, tx: Transaction, row: RunRow, inputs: Sequence[Input]) -> Decision:
        program = self.catalog.program(tx, row.digest)
        # Never before the event before it, whatever the clock does.
        now = max(tx.now(), row.last_at)
        tx.taken_at(now)
        view = RunView(tx, self.catalog, row)
        entropy = os.urandom(16)
        try:
            view.load(reads(program, inputs))
            while isinstance(decision := advance(program, row.state, view, inputs, iso(now), entropy), Need):
                if not decision.keys - view.keys():
                    raise InternalError(f"the interpreter asks again for {sorted(map(str, decision.keys))}")
                view.load(decision.keys)
            return decision
        except (Unreachable, failpoints.FailpointHit):
            raise
        except Exception as error:
            raise _AdvanceFailed(traceback.format_exc(limit=-6)) from error

    def _step(self, row: RunRow, saved: Saved, next_nonce: str | None, again: bool) -> Step:
        follow = None
        if saved.claimed is not None:
            id, scheduled = saved.claimed
            follow = Claim(
                execution_id=id,
                nonce=next_nonce or "",
                run=row.id,
                run_id=row.state.run_id,
                task=scheduled.task,
                visit=scheduled.visit,
                item=scheduled.item,
                attempt=1,
                action=scheduled.action or "",
                input=scheduled.input or {},
                timeout=scheduled.timeout,
                queue=scheduled.queue,
                sent_at=None,
                heartbeat_timeout=scheduled.heartbeat_timeout,
            )
        return Step(requested=saved.requested, runs=saved.runs, follow=follow, again=again)

    def pending(self, run: int) -> bool:
        """Say whether a run has something to apply: the second look of whoever held its lock."""
        return bool(self.database.ask(sql.PENDING, {"run": run}))

    def _record_fault(self, run: int, failed: _AdvanceFailed) -> None:
        log.error("run %s: the interpreter raised; it is tried again\n%s", run, failed)
        with self.database.write() as tx:
            tx.run(sql.FAULT, {"run": run, "fault": str(failed)[-4000:], "now": tx.now()})

    # -- leases --------------------------------------------------------------------------------------------

    def renew(self, claims: Iterable[Claim]) -> None:
        """Renew the leases of what we run, in one statement."""
        with self.database.write(durable=False) as tx:
            until = tx.now() + int(self.lease * SECOND)
            tx.run(leases.RENEW, {"claims": _nonces(claims), "lease_until": until})

    def flags(self, claims: Iterable[Claim]) -> dict[str, bool]:
        """Return, for the nonce of each claim that still stands, whether it is asked to stop; one that is missing is ours no more."""
        rows = self.database.ask(leases.FLAGS, {"claims": _nonces(claims)})
        return {row[0]: bool(row[1]) for row in rows}

    def hand_back(self, claims: Iterable[Claim]) -> list[Ready]:
        """Give unfinished attempts back, to be made by another worker under the same number."""
        with self.database.write() as tx:
            claimed = {"claims": _nonces(claims), "now": tx.now()}
            return [Ready(*row) for row in tx.run(leases.RELEASE_CLAIMS, claimed)]

    def note(self, said: Iterable[tuple[Claim, Mapping[str, JSON]]]) -> None:
        """Write what attempts said of themselves: {heartbeat, progress, message}, each if it was said."""
        with self.database.write(durable=False) as tx:
            encode: dict[int, Encoder] = {}
            beats = []
            for claim, one in sorted(said, key=lambda pair: pair[0].execution_id):
                encoder = encode.setdefault(claim.run, self._encoder())
                beats.append(
                    {
                        "id": claim.execution_id,
                        "nonce": claim.nonce,
                        "heartbeat": encoder(one["heartbeat"]) if "heartbeat" in one else None,
                        "progress": one.get("progress"),
                        "message": one.get("message"),
                    }
                )
            tx.run(leases.BEATS, {"beats": dumps(beats)})
            for run, encoder in encode.items():
                if encoder.payloads:
                    tx.run(sql.WRITE_PAYLOADS, {"run": run, "payloads": encoder.rows()})


class _AdvanceFailed(Exception):
    """`advance` raised, or what it decided could not be stored: rolled back, tried again later; the run does not fail by it."""


def _nonces(claims: Iterable[Claim]) -> str:
    return dumps([{"id": claim.execution_id, "nonce": claim.nonce} for claim in claims])


def _claim(tx: Transaction, row: Row, nonce: str, run_id: str) -> Claim:
    payloads = load_payloads(tx, row[1], [row[7], row[13]])
    return Claim(
        execution_id=row[0],
        nonce=nonce,
        run=row[1],
        run_id=run_id,
        task=row[2],
        visit=row[3],
        item=row[4],
        attempt=row[5],
        action=row[6],
        input=decode(row[7], payloads) or {},
        timeout=row[8],
        queue=row[9],
        sent_at=row[10],
        heartbeat_timeout=row[12],
        heartbeat=decode(row[13], payloads),
    )
