"""One worker process's engine: claims, runs and completes tasks, interprets runs, serves what is due.

No Dramatiq here: threads and actors of the actors layer merely call :meth:`Host.serve_one`, :meth:`Host.apply`,
:meth:`Host.tick` and :meth:`Host.renew`, and so can a test. What is to be said to other workers goes out by `Host.send`; a message
is a hint, and whatever is not said is found by some clock.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

from uuid_utils import uuid4

from dramaturg import __version__
from dramaturg.engine import failpoints
from dramaturg.engine.config import Settings
from dramaturg.engine.disclosure import Refused, disclose
from dramaturg.engine.errors import Failure, Unreachable
from dramaturg.engine.performing import performer
from dramaturg.engine.running import Running
from dramaturg.engine.runtime import ActionOutcome, ActionRequest, Stop, run_action
from dramaturg.engine.sends import ActorPost, Send, tasks
from dramaturg.engine.sources import ActionSource
from dramaturg.engine.step import Claim, Report, Step, Stepper
from dramaturg.engine.store import leases
from dramaturg.engine.store.catalog import Catalog
from dramaturg.engine.store.codec import dumps
from dramaturg.engine.store.database import Database
from dramaturg.engine.store.due import PATIENCE, WINDOW, Clock
from dramaturg.engine.store.life import LifeLock, dead_workers
from dramaturg.engine.store.vault import Vault

log = logging.getLogger("dramaturg.serve")

#: A thread leaves a run to others after so many follow-ups, or seconds.
FOLLOW_UPS, FOLLOW_SECONDS = 100, 1.0
#: Seconds between two tries while the database does not answer: at first, and at most.
RETRY_FIRST, RETRY_LAST = 0.1, 5.0
#: Seconds between two notes that this worker is alive.
SEEN_EVERY = 10.0


class Host:
    """The engine of one worker process. May be called by many threads at once."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        catalog: Catalog,
        actions: ActionSource,
        *,
        in_process: bool,
        root: int | None = None,
        queues: Iterable[str] | None = None,
        kind: str | None = None,
        run: Callable[[ActionRequest, Stop], ActionOutcome] = run_action,
        name: str | None = None,
    ) -> None:
        """Prepare to serve; nothing is connected yet.

        Args:
            in_process: messages go to this process's own queue only.
            root: serve only this outermost run and what is nested in it.
            queues: take only executions of these queues at once; None: of all.
            kind: take only executions of this kind; None: any that a message names.
        """
        self.settings = settings
        self.database = database
        self.vault = Vault.of(database, settings.secret_keys)
        self.worker = name or f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self.send: Callable[[Sequence[Send]], None] = lambda sends: None
        #: To actors of the user's.
        self.post = ActorPost(actions)
        #: Nobody can be told by `send`: what there is to do is found by a clock.
        self.mute = False
        self.root = root
        self.in_process = in_process
        self._actions = actions
        self._run = run
        self.stepper = self._make_stepper(catalog, queues, kind)
        self.clock = self._make_clock()
        self._environment = {n: os.environ[n] for n in settings.pass_env if n in os.environ}
        self._lock = threading.Lock()
        self._running: dict[str, Running] = {}
        #: In process: what is in our own queue (runs as negative numbers), and whether there was more than it may hold.
        self._outstanding: set[int] = set()
        self._overflow = False
        self._sent: list[int] = []
        self._claimed: dict[str, int] = {}
        self._renewed = self._seen = 0.0
        self._version = 0
        self._closing = threading.Event()
        self._first = True
        self._life = LifeLock(database, self.worker)

    def _make_stepper(self, catalog: Catalog, queues: Iterable[str] | None, kind: str | None) -> Stepper:
        stepper = Stepper(
            self.database,
            catalog,
            worker=self.worker,
            lease=self.settings.lease,
            soft_payload=self.settings.soft_payload,
            vault=self.vault,
            perform=performer(self.settings, self.vault, self.database.shown),
        )
        stepper.queues = frozenset(queues) if queues is not None else None
        stepper.kind = kind
        return stepper

    def _make_clock(self) -> Clock:
        return Clock(
            database=self.database,
            root=self.root,
            overdue=self.settings.grace + 10.0,
            lost=max(self.settings.lease, 1.0),
            in_process=self.in_process,
            perform=self.stepper.perform,
        )

    @property
    def known_queues(self) -> frozenset[str]:
        """Return the queues that this worker's packs name: what it serves when it is to serve all."""
        return self._actions.queues

    # -- tasks ---------------------------------------------------------------------------------------------

    def serve_one(self, execution_id: int) -> None:
        """Take an execution, run its action, complete it, and go on with what follows from it.

        Does nothing if it is taken already. A failed action is data, not an exception.

        Raises:
            Unreachable: the database does not answer (before the action began).
        """
        with self._lock:
            self._outstanding.discard(execution_id)
            refill = self._overflow and len(self._outstanding) < WINDOW // 2
            self._overflow = self._overflow and not refill
        if self._closing.is_set():
            return
        if refill:
            self._dispatch(tasks(self.clock.requested(self.stepper.queues, actors=self.post.open)))
        self._life.hold()
        claim = self.stepper.claim(execution_id, root=self.root)
        if claim is not None:
            self._note_claim(claim)
            self._serve(claim)

    def _serve(self, claim: Claim) -> None:
        began, followed = time.monotonic(), 0
        following: Claim | None = claim
        while following is not None:
            report = self._attempt(following)
            if report is None:
                return
            followed += 1
            more = followed < FOLLOW_UPS and time.monotonic() - began < FOLLOW_SECONDS
            may_follow = more and not self._closing.is_set()
            run = following.run
            step = self._complete(following, report, may_follow)
            following = self._after(run, step, may_follow)

    def _attempt(self, claim: Claim) -> Report | None:
        """Run the action of a claim; None: it was handed back meanwhile."""
        running = Running(claim)
        with self._lock:
            # A drain that found nothing to hand back must not be followed by a new attempt.
            closing = self._closing.is_set()
            if not closing:
                self._running[claim.nonce] = running
        if closing:
            self.stepper.hand_back([claim])
            return None
        try:
            outcome = self._outcome(running)
        finally:
            with self._lock:
                self._running.pop(claim.nonce, None)
        failpoints.hit("action.ended")
        if running.handed_back:
            return None
        return Report(
            status=outcome.status,
            result=outcome.result,
            error=outcome.error,
            heartbeat=running.heartbeat,
            logs=[asdict(chunk) for chunk in outcome.logs],
        )

    def _outcome(self, running: Running) -> ActionOutcome:
        claim = running.claim
        source = self._actions.find(claim.action)
        if source is None:
            message = f"no pack on this worker's path has {claim.action}, and neither has the database"
            return ActionOutcome(status="failed", error=Failure(type="UnknownAction", message=message))
        try:
            secrets = disclose(self.vault, self.database.ask, source.action, claim.input)
        except Refused as refused:
            return ActionOutcome(status="failed", error=refused.failure)
        outcome = self._run(
            ActionRequest(
                action=source.action,
                actions_dir=source.actions_dir,
                pack=claim.action.partition(".")[0],
                execution_id=claim.execution_id,
                run_id=claim.run_id,
                task=claim.task,
                visit=claim.visit,
                item=claim.item,
                attempt=claim.attempt,
                input=secrets.input,
                secret=secrets.secret,
                timeout=claim.timeout,
                grace=self.settings.grace,
                log_limit=self.settings.log_limit,
                result_limit=self.settings.hard_payload,
                environment=self._environment,
                token=claim.token,
                heartbeat_timeout=claim.heartbeat_timeout,
                last_heartbeat=claim.heartbeat,
                on_beat=secrets.beats(running.hear),
            ),
            running.stop,
        )
        return secrets.outcome(outcome)

    def _complete(self, claim: Claim, report: Report, follow: bool) -> Step:
        """Complete, however long the database does not answer: the result is only here."""
        nonce = str(uuid4()) if follow and self.settings.eager else None
        delay, doubt = RETRY_FIRST, False
        while True:
            try:
                if doubt and self.stepper.applied_before(claim):
                    return self.stepper.recover(claim, nonce)
                step = self.stepper.complete(claim, report, next_nonce=nonce)
                if doubt and step.result == "refused":
                    # It arrived after all, between our question and now.
                    return self.stepper.recover(claim, nonce)
                return step
            except Unreachable as error:
                log.warning("the result of task %s of run %s waits: %s", claim.task, claim.run_id, error)
                if self._closing.wait(delay):
                    raise
                delay, doubt = min(delay * 2, RETRY_LAST), True

    # -- runs ----------------------------------------------------------------------------------------------

    def apply(self, run: int, *, follow: bool = True) -> None:
        """Interpret a run until nothing is left to do for it, and go on with a task that it leads to.

        Args:
            follow: whether this thread may take a task.
        Raises:
            Unreachable: the database does not answer.
        """
        with self._lock:
            self._outstanding.discard(-run)
        if self._closing.is_set():
            return
        nonce = self._nonce() if follow else None
        claim = self._after(run, self.stepper.apply(run, next_nonce=nonce), follow)
        if claim is not None:
            self._serve(claim)

    def _nonce(self) -> str | None:
        return str(uuid4()) if self.settings.eager else None

    def _after(self, run: int, step: Step | None, may_follow: bool) -> Claim | None:
        """Do what a transaction has left to do; return the claim to go on with.

        Runs that it leads to (nested ones that begin, the one around this one) are looked at here and now where this
        thread may go on; the others are left to a message. Every holder of a run's lock looks again, a refused one too.
        A claim that was made is never let go: whatever the database says meanwhile, the rest is found by a clock.
        """
        if step is None or step.result == "busy":
            return None
        sends: list[Send] = []
        claim = self._look_on(run, step, may_follow and self.settings.eager, sends)
        self._dispatch(sends)
        return claim

    def _look_on(self, run: int, step: Step, eager: bool, sends: list[Send]) -> Claim | None:
        """Look again, and at the runs that a step leads to; collect what is to be sent, return the claim to go on with."""
        claim = step.follow
        todo, looked = [(run, step)], 0
        try:
            while todo:
                run, step = todo.pop()
                sends.extend(tasks(step.requested))
                # Runs of other roots are not ours, if we serve one only.
                sends.extend(Send(kind="interpret", id=one) for one in step.others if self.root is None)
                again = step.again or (self.database.dialect != "sqlite" and self.stepper.pending(run))
                for other in ([run] if again else []) + step.runs:
                    looked += 1
                    if (other != run and not eager) or looked > FOLLOW_UPS:
                        sends.append(Send(kind="interpret", id=other))
                        continue
                    nonce = self._nonce() if eager and claim is None else None
                    found = self.stepper.apply(other, next_nonce=nonce)
                    if found is not None and found.result != "busy":
                        claim = claim or found.follow
                        todo.append((other, found))
            if claim is None and eager:
                claim = self._keep_one(sends)
        except Unreachable as error:
            log.warning("what follows in run %s is left to a clock: %s", run, error)
        return claim

    def _keep_one(self, sends: list[Send]) -> Claim | None:
        """Take one of what would be sent (a released item, a retry) instead of sending it to ourselves."""
        queues = self.stepper.queues
        for index, send in enumerate(sends):
            if send.kind == "task" and (queues is None or send.queue in queues):
                claim = self.stepper.claim(send.id, root=self.root)
                del sends[index]
                return claim
        return None

    def _dispatch(self, sends: Sequence[Send]) -> None:
        if not sends:
            return
        sends, posted = self.post.take(sends)
        with self._lock:
            self._sent.extend(posted)
        if not sends or self.mute:
            return
        failpoints.hit("send.begin")
        if self.in_process:
            with self._lock:
                room = WINDOW - len(self._outstanding)
                new = [s for s in sends if self._key(s) not in self._outstanding]
                sends, self._overflow = new[: max(room, 0)], self._overflow or len(new) > room
                self._outstanding.update(self._key(s) for s in sends)
        if sends:
            try:
                self.send(sends)
            except Exception:
                with self._lock:
                    self._outstanding.difference_update(self._key(s) for s in sends)
                raise
        if not self.in_process:
            with self._lock:
                self._sent.extend(s.id for s in sends if s.kind == "task")
        failpoints.hit("send.done")

    @staticmethod
    def _key(send: Send) -> int:
        return send.id if send.kind == "task" else -send.id

    # -- the clock -----------------------------------------------------------------------------------------

    def tick(self) -> float:
        """Serve due rows once; return the seconds until the next one is due (at most 1).

        Raises:
            Unreachable: the database does not answer.
        """
        first, self._first = self._first, False
        # In process nobody else tells us anything, and after a start no message can be under way.
        patience = PATIENCE if not self.in_process else 0 if first else PATIENCE // 10
        lost = [run for name in dead_workers(self._life, self.clock) for run in self.clock.orphan(name)]
        due = self.clock.tick(patience=patience, queues=self.stepper.queues, actors=self.post.open)
        sends = tasks(due.requested)
        others = due.others if self.root is None else []
        sends += [Send(kind="interpret", id=run) for run in dict.fromkeys((*due.runs, *lost, *others))]
        self._dispatch(sends)
        if due.more:
            return 0.0
        return 1.0 if due.next_in is None else min(1.0, due.next_in / 1_000_000)

    def renew(self) -> None:
        """Renew leases, pass cancel requests on to what runs, note what was sent; once a second.

        Raises:
            Unreachable: the database does not answer.
        """
        with self._lock:
            running = dict(self._running)
            sent, self._sent = self._sent, []
            claimed, self._claimed = self._claimed, {}
        if running:
            self._watch(running)
        if sent or claimed:
            self._mark(sent, claimed)
        now = time.monotonic()
        if now - self._seen >= SEEN_EVERY or not self._seen:
            self._note_life()
            self._seen = now

    def _watch(self, running: dict[str, Running]) -> None:
        claims = [r.claim for r in running.values()]
        said = [(one.claim, new) for one in running.values() if (new := one.take())]
        if said:
            self.stepper.note(said)
        now = time.monotonic()
        if now - self._renewed >= self.settings.lease / 3:
            self.stepper.renew(claims)
            self._renewed = now
        flags = self.stepper.flags(claims)
        for nonce, attempt in running.items():
            if nonce not in flags:
                # Not ours any more: given up by a clock, or superseded. What it reports would be refused.
                with self._lock:
                    still = self._running.get(nonce) is attempt
                if still:
                    attempt.stop.cancel("the claim on it does not stand any more")
            elif flags[nonce]:
                attempt.stop.cancel("cancelled")

    def _mark(self, sent: list[int], claimed: dict[str, int]) -> None:
        with self.database.write(durable=False) as tx:
            if sent:
                tx.run(
                    leases.MARK_SENT, {"sent": dumps([{"id": id} for id in sorted(sent)]), "now": tx.now()}
                )
            if claimed:
                queues = [{"name": name, "sent_at": at} for name, at in sorted(claimed.items())]
                tx.run(leases.MARK_QUEUES, {"queues": dumps(queues), "now": tx.now()})

    def _note_claim(self, claim: Claim) -> None:
        queue = leases.ACTORS + claim.queue if self.stepper.kind == "actor" else claim.queue
        if not self.in_process:
            with self._lock:
                self._claimed[queue] = max(self._claimed.get(queue, 0), claim.sent_at or 0)

    def _note_life(self) -> None:
        with self.database.write(durable=False) as tx:
            tx.run(
                leases.SEEN,
                {
                    "name": self.worker,
                    "host": socket.gethostname(),
                    "pid": os.getpid(),
                    "version": __version__,
                    "queues": ",".join(sorted(self.stepper.queues or ())),
                    "now": tx.now(),
                },
            )

    def changed(self) -> bool:
        """Say whether another process has written since the last call (SQLite; on a server always false)."""
        version = self.database.data_version()
        before, self._version = self._version, version
        return version != before and before != 0

    # -- the end -------------------------------------------------------------------------------------------

    def drain(self, timeout: float = 0.0) -> None:
        """Take nothing new; give what runs `timeout` seconds to end; hand the rest back, not counted as an attempt."""
        with self._lock:
            self._closing.set()
        deadline = time.monotonic() + timeout
        while self._running and time.monotonic() < deadline:
            time.sleep(0.02)
        with self._lock:
            left = list(self._running.values())
            for running in left:
                running.handed_back = True
        if left:
            self.stepper.hand_back([running.claim for running in left])
            for running in left:
                running.stop.cancel("the worker stops")

    def hand_back(self, execution_id: int) -> None:
        """Give an attempt that runs here back unfinished: it is made elsewhere, under the same number.

        Raises:
            Unreachable: the database does not answer; it is made elsewhere once the lease is over.
        """
        with self._lock:
            mine = [r for r in self._running.values() if r.claim.execution_id == execution_id]
            for running in mine:
                running.handed_back = True
        self.stepper.hand_back([running.claim for running in mine])

    def close(self) -> None:
        """Forget this worker; its database stays open, it may be shared."""
        self._closing.set()
        try:
            with self.database.write(durable=False) as tx:
                tx.run(leases.GONE, {"name": self.worker})
        except Unreachable:
            log.info("the database does not answer: this worker's row stays until it is pruned")
        self._life.release()
