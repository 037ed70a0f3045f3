"""A store in memory: one run's rows, and what a decision does to them.

:class:`Memory` does with a decision exactly what `commands.py` says, and answers `Need`: it is the shortest full
description of what a store must do. It has no clock: `elapsed` is moved by whoever plays the rest of the world
(`rehearsal.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace

from dramaturg.engine.errors import JSON, Failure, InternalError
from dramaturg.engine.interpreter import commands
from dramaturg.engine.interpreter.advance import advance, reads
from dramaturg.engine.interpreter.events import Event
from dramaturg.engine.interpreter.replay import ItemCounts, Replayed
from dramaturg.engine.interpreter.state import (
    NO_ITEM,
    OUTCOMES,
    UNSET,
    ActionInfo,
    CancelRequested,
    Continue,
    FanOut,
    Input,
    JoinRound,
    Key,
    Match,
    MatchSignals,
    Need,
    Outcome,
    Resolved,
    Returned,
    RunState,
    SignalReceived,
    Started,
    TaskState,
)
from dramaturg.engine.interpreter.times import later
from dramaturg.engine.language.program import Program
from dramaturg.engine.secret import holds

#: When a rehearsed run is requested.
OPENING = "2026-01-01T00:00:00.000000Z"


@dataclass(slots=True, kw_only=True)
class Execution:
    """One row: what the decision asked for, and what has become of it."""

    id: int
    made: commands.Schedule
    status: str
    attempt: int = 1
    #: Attempts that were lost.
    lost: int = 0
    #: Seconds since the opening; None: not by time.
    due: float | None = None
    result: JSON = None
    error: Failure | None = None
    cancel_requested: bool = False
    #: What was decided of it while it ran.
    verdict: Failure | None = None
    #: Seconds since the opening; from when on a worker may take it.
    since: float = 0.0
    #: Its failure waits for a person.
    parked: bool = False

    @property
    def key(self) -> tuple[str, int, int]:
        """Return (task, visit, item)."""
        return self.made.task, self.made.visit, self.made.item

    @property
    def over(self) -> bool:
        """Say whether it has its final status."""
        return self.status in OUTCOMES

    @property
    def held(self) -> bool:
        """Say whether it is an item that waits for its Release."""
        return self.status == "scheduled" and self.due is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How an attempt ends."""

    #: An outcome, or "lost".
    status: str = "succeeded"
    result: JSON = None
    error: Failure | None = None


class Memory:
    """One run's rows, and what a decision does to them.

    Args:
        actions: what each ref means; None: no such action.
        preload: load what `reads` names before each advance, as a store does; else `advance` asks for everything.
    """

    def __init__(
        self,
        program: Program,
        *,
        actions: Callable[[str], ActionInfo | None],
        parameters: Mapping[str, JSON] | None = None,
        config: Mapping[str, JSON] | None = None,
        run_id: str = "rehearsal",
        preload: bool = True,
    ) -> None:
        self.program = program
        self.actions = actions
        self.parameters = program.parameters.with_defaults(parameters or {})
        self.config = dict(config or {})
        self.run = RunState(
            run_id=run_id, root_id=run_id, parent_id=None, status="requested", created_at=OPENING
        )
        self.variables: dict[str, JSON] = {}
        self.tasks: dict[str, TaskState] = {}
        self.joins: dict[tuple[str, int], JoinRound] = {}
        self.items: dict[tuple[str, int], FanOut] = {}
        self.history: list[Event] = []
        self.executions: dict[tuple[str, int, int], Execution] = {}
        self.by_id: dict[int, Execution] = {}
        self._rows: dict[tuple[str, int], list[Execution]] = {}
        #: Inputs that are not applied yet.
        self.inbox: list[Input] = [Started()]
        #: What EndRun said.
        self.end: commands.EndRun | None = None
        #: Every command, in order.
        self.commands: list[commands.Command] = []
        #: Seconds since the opening, the run's deadline, how often advance was called and asked for more.
        self.elapsed = 0.0
        self.deadline: tuple[float, float] | None = None
        #: Deadlines of visits: (task, visit, kind) -> (due, seconds).
        self.deadlines: dict[tuple[str, int, str], tuple[float, float]] = {}
        #: Signals that nobody waited for yet, by `seq`: (name, payload).
        self.signals: dict[int, tuple[str, JSON]] = {}
        self.advances = 0
        self.needs = 0
        self._preload = preload

    # --- asking ----------------------------------------------------------------------------------------------

    @property
    def output(self) -> JSON:
        """Return the run's output; None before its end."""
        return self.end.output if self.end else None

    def visits(self, task: str) -> list[Execution]:
        """Return a task's executions but its items, by visit."""
        return [one for one in self.executions.values() if one.made.task == task and one.made.item == NO_ITEM]

    def rows(self, task: str, visit: int = 1) -> list[Execution]:
        """Return the items of a visit, in order."""
        rows = [
            one for one in self.executions.values() if one.key[:2] == (task, visit) and one.made.item >= 0
        ]
        return sorted(rows, key=lambda one: one.made.item)

    def events(self, type: str, task: str | None = None) -> list[Event]:
        """Return the events of a type, of one task where it is named."""
        return [one for one in self.history if one.type == type and task in (None, one.task)]

    def state(self) -> Replayed:
        """Return what the tables say, to be compared with `replay(history)`."""
        return Replayed(
            status=self.run.status,
            closing=self.run.closing,
            variables=self.variables,
            tasks=self.tasks,
            joins=self.joins,
            items={key: ItemCounts.of(fan) for key, fan in self.items.items()},
            open=frozenset(one.key[:2] for one in self.executions.values() if one.made.item == NO_ITEM and not one.over),
            parked=frozenset(one.key[:2] for one in self.executions.values() if one.parked),
            next_seq=self.run.next_seq,
        )  # fmt: skip

    # --- applying --------------------------------------------------------------------------------------------

    def take(self, count: int = 1) -> None:
        """Advance by the oldest inputs of the inbox, at most so many."""
        inputs, self.inbox = self.inbox[:count], self.inbox[count:]
        self.apply(*inputs)

    def apply(self, *inputs: Input) -> None:
        """Advance by inputs and store the decision."""
        now = later(OPENING, self.elapsed)
        view = {key: self._answer(key) for key in reads(self.program, inputs)} if self._preload else {}
        while isinstance(decided := advance(self.program, self.run, view, inputs, now, self._seed()), Need):
            again = decided.keys & view.keys()
            if again or not decided.keys:
                raise InternalError(f"advance asks again for what it was given: {again}")
            view |= {key: self._answer(key) for key in decided.keys}
            self.needs += 1
        self.advances += 1
        self._store(decided)

    def _seed(self) -> bytes:
        return self.advances.to_bytes(8, "big")

    def _store(self, decision: commands.Decision) -> None:
        self.run = decision.run
        self.history += decision.events
        self.variables |= decision.variables
        self.tasks |= {one.task: one for one in decision.tasks}
        self.joins |= {(one.task, one.round): one for one in decision.joins}
        self.items |= {(one.task, one.visit): one for one in decision.items}
        self.commands += decision.commands
        for command in decision.commands:
            self._obey(command)

    def _obey(self, command: commands.Command) -> None:
        match command:
            case commands.Schedule():
                self._make(command)
            case commands.Retry():
                self._retry(command)
            case commands.Settle():
                one = self.by_id[command.execution_id]
                one.status, one.error = command.status, command.error or one.error
            case commands.SettleVisit():
                one = self.executions[command.task, command.visit, NO_ITEM]
                one.status, one.error = command.status, command.error
            case commands.Release():
                self._release(command)
            case commands.SkipItems():
                for one in self.rows(command.task, command.visit)[command.first :]:
                    one.status = "skipped" if one.held else one.status
            case commands.CancelOpen():
                self._cancel_open(command)
            case commands.GoOn():
                self.inbox.append(Continue(work=_stored(command.work)))
            case commands.SetDeadline():
                self._set_deadline(command)
            case commands.ClearDeadlines():
                for key in [key for key in self.deadlines if key[:2] == (command.task, command.visit)]:
                    del self.deadlines[key]
            case commands.Buffer():
                self.signals[command.seq] = (command.name, command.payload)
            case commands.LookForSignals():
                self.inbox.append(MatchSignals())
            case commands.Deliver():
                one = self.by_id[command.execution_id]
                if one.status == "waiting":
                    self.finish(one, Answer(result=self.signals.pop(command.seq)[1]), ran=False)
            case commands.Park():
                self.executions[command.task, command.visit, NO_ITEM].parked = True
            case commands.Unpark():
                for one in self.executions.values():
                    if command.task is None or one.key[:2] == (command.task, command.visit):
                        one.parked = False
            case commands.EndRun():
                self.end = command

    def _set_deadline(self, command: commands.SetDeadline) -> None:
        due = (self.elapsed + command.seconds, command.seconds)
        if command.task:
            self.deadlines[command.task, command.visit, command.kind] = due
        else:
            self.deadline = due

    def _make(self, made: commands.Schedule) -> None:
        key = (made.task, made.visit, made.item)
        if key in self.executions:
            raise InternalError(f"{key} is made twice")
        due = None if made.due is None else self.elapsed + made.due
        one = Execution(
            id=len(self.executions) + 1,
            made=made,
            status=made.status,
            due=due,
            result=made.result,
            error=made.error,
            since=self.elapsed,
        )
        self.executions[key] = self.by_id[one.id] = one
        if made.item != NO_ITEM:
            self._rows.setdefault(key[:2], []).append(one)

    def _retry(self, command: commands.Retry) -> None:
        one = self.by_id[command.execution_id]
        one.attempt, one.result, one.error, one.cancel_requested = command.attempt, None, None, False
        one.verdict = None
        self._let_start(one, command.delay)

    def _release(self, command: commands.Release) -> None:
        for one in self.rows(command.task, command.visit)[command.first : command.last]:
            if one.held:
                self._let_start(one, command.due or 0.0)

    def _let_start(self, one: Execution, delay: float) -> None:
        if delay and (one.made.kind != "wait" or "awaits" in one.made.policy):
            one.status, one.due = "scheduled", self.elapsed + delay
        else:
            self.let_run(one, delay)

    def let_run(self, one: Execution, delay: float = 0.0) -> None:
        """Let an execution begin whose time has come: as `commands.Release` says, by its kind."""
        one.since = self.elapsed
        if one.made.kind == "wait":
            length = one.made.policy.get("seconds")
            one.status, one.due = "waiting", None if length is None else self.elapsed + delay + length
            self.inbox.append(MatchSignals())
        else:
            one.status, one.due = "running" if one.made.kind == "workflow" else "requested", None

    def _cancel_open(self, command: commands.CancelOpen) -> None:
        for one in tuple(self.executions.values()):
            named = command.task is None or one.key[:2] == (command.task, command.visit)
            spared = one.made.lineage.spared and not command.spared
            if not named or spared or one.made.kind == "fanout" or one.held:
                continue
            if one.status in ("requested", "scheduled", "waiting"):
                verdict = Answer(status="timed_out", error=command.verdict)
                self.finish(one, verdict if command.verdict else cancelled(command.reason), ran=False)
            elif one.status == "running" and command.running:
                one.cancel_requested, one.verdict = True, command.verdict
            elif one.status == "returned" and command.verdict:
                self._judge(one, command.verdict)

    def _judge(self, one: Execution, verdict: Failure) -> None:
        """Tell a verdict to what has ended, where no conclusions have been drawn from that yet."""
        one.verdict = verdict
        self.inbox = [
            replace(said, verdict=said.verdict or verdict)
            if isinstance(said, Returned) and said.execution_id == one.id
            else said
            for said in self.inbox
        ]

    def finish(self, one: Execution, answer: Answer, *, ran: bool = True) -> None:
        """Record how an attempt ended; the engine draws its conclusions when the input is applied."""
        if answer.status == "pending":
            limit = one.made.timeout
            one.status, one.due = "waiting", None if limit is None else self.elapsed + limit
            return
        one.status, one.result, one.error, one.due = "returned", answer.result, answer.error, None
        one.lost += answer.status == "lost"
        task, visit, item = one.key
        self.inbox.append(
            Returned(
                execution_id=one.id,
                task=task,
                visit=visit,
                item=item,
                attempt=one.attempt,
                status=answer.status,
                error=answer.error,
                lineage=one.made.lineage,
                policy=json.loads(json.dumps(one.made.policy)),
                lost=one.lost,
                ran=ran,
                started_at=later(OPENING, self.elapsed) if ran else None,
                worker="rehearsal" if ran else None,
                verdict=one.verdict,
            )
        )

    # --- what people do --------------------------------------------------------------------------------------

    def signal(self, name: str, payload: JSON = None) -> None:
        """Send the run a signal."""
        self.inbox.append(SignalReceived(name=name, payload=payload))

    def cancel(self, reason: str = "") -> None:
        """Ask the run to end as cancelled."""
        self.inbox.append(CancelRequested(reason=reason))

    def answer(self, task: str, value: JSON) -> None:
        """Answer the question that a task asks."""
        self.complete(task, value)

    def complete(self, task: str, result: JSON = None, item: int = NO_ITEM) -> None:
        """Say how a task that waits ended, or one whose failure nobody handled.

        Raises:
            LookupError: it does not wait.
        """
        self._say(task, item, Answer(result=result))

    def fail(self, task: str, error: Failure | None = None, item: int = NO_ITEM) -> None:
        """Say that a task that waits failed, or that one whose failure nobody handled did.

        Raises:
            LookupError: it does not wait.
        """
        error = error or Failure(type="Failed", message="a person said so")
        self._say(task, item, Answer(status="failed", error=error))

    def _say(self, task: str, item: int, answer: Answer) -> None:
        for one in reversed(self.executions.values()):
            if (one.made.task, one.made.item) == (task, item) and one.status == "waiting":
                self.finish(one, answer, ran=one.made.kind != "wait")
                return
            if one.made.task == task and one.parked:
                status: Outcome = "succeeded" if answer.status == "succeeded" else "failed"
                self.inbox.append(
                    Resolved(
                        task=task,
                        visit=one.made.visit,
                        status=status,
                        result=answer.result,
                        error=answer.error,
                    )
                )
                return
        raise LookupError(f"task {task!r} waits for nobody")

    # --- the view --------------------------------------------------------------------------------------------

    def _answer(self, key: Key) -> object:
        kind, rest = key[0], key[1:]
        if kind == "task":
            return self.tasks.get(str(rest[0]))
        if kind in ("join", "items"):
            name, number = str(rest[0]), int(rest[1])
            return self.joins.get((name, number)) if kind == "join" else self.items.get((name, number))
        if kind == "var":
            return self.variables.get(str(rest[0]), UNSET)
        if kind == "action":
            return self.actions(str(rest[0]))
        whole: dict[object, Callable[[], object]] = {
            "parameters": lambda: self.parameters,
            "config": lambda: self.config,
            "vars": lambda: dict(self.variables),
            "open_items": lambda: tuple(fan for fan in self.items.values() if fan.ended < fan.total),
            "open_joins": lambda: tuple(one for one in self.joins.values() if not one.fired),
            "matches": self._matches,
        }
        return whole[kind]() if kind in whole else self._of_visit(str(kind), rest)

    def _of_visit(self, kind: str, rest: Key) -> object:
        task, visit = str(rest[0]), int(rest[1])
        one = self.executions.get((task, visit, int(rest[2]) if kind == "item_result" else NO_ITEM))
        if one is None:
            return None
        if kind == "task_items":
            return [self._item(row) for row in self.rows(task, visit)]
        if kind == "error":
            return one.error.to_json() if one.error else None
        if kind == "status":
            return one.status
        if kind == "parked":
            return one.made.lineage if one.parked else None
        if kind == "execution_id":
            return one.id
        if one.made.kind == "fanout":
            return [row.result for row in self.rows(task, visit)]
        return one.result

    def _matches(self) -> tuple[Match, ...]:
        free = dict(sorted(self.signals.items()))
        found: list[Match] = []
        for one in self.executions.values():
            if one.status != "waiting" or one.made.policy.get("awaits") != "signal":
                continue
            wanted = one.made.policy["signal"]
            seq = next((seq for seq, (name, _) in free.items() if name == wanted), None)
            if seq is not None:
                del free[seq]
                found.append(Match(execution_id=one.id, seq=seq))
        return tuple(found)

    def _item(self, row: Execution) -> JSON:
        return {
            "status": row.status,
            "result": row.result,
            "error": row.error.to_json() if row.error else None,
        }


def _stored(work: JSON) -> JSON:
    """Return what comes back of what was put aside: JSON, and the secrets in it."""
    return deepcopy(work) if holds(work) else json.loads(json.dumps(work))


def cancelled(reason: str) -> Answer:
    """Return how an execution ends that is cancelled."""
    return Answer(status="cancelled", error=Failure(type="Cancelled", message=reason or "it was cancelled"))
