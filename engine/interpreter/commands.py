"""What a decision asks the store to do, in the transaction that stores the decision's events.

Commands name executions by (task, visit, item) when they make them and by the store's id when they speak of
one that has returned. They are applied in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.interpreter.events import Event
from dramaturg.engine.interpreter.state import (
    NO_ITEM,
    FanOut,
    JoinRound,
    Lineage,
    Outcome,
    RunState,
    TaskState,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Make an execution for one visit, or for one item of a fan-out.

    `status` says what becomes of it:

    * ``requested``: a worker may take it now;
    * ``scheduled``: at `due` (a delay; then a worker may take it, or the nested run is made), or, where `due` is
      None, when a Release names it (an item out of the window);
    * ``waiting``: it comes back as ``due`` at `due` (core.sleep), or before that when what it waits for has come
      (`policy["awaits"]`: ``signal`` with `policy["signal"]`, or ``answer``); where `due` is None it waits for ever;
    * ``running``: a nested run (kind workflow: the store makes the run, with `digest` as its revision), or the
      parent row of a fan-out (kind fanout: it holds no work; its items do);
    * an outcome: it has ended already (a junction, a skipped task, an item that could not be started), with
      `result` or `error`.
    """

    task: str
    visit: int
    item: int = NO_ITEM
    #: Ref of the action; None for a junction and for the parent row of a fan-out.
    action: str | None
    #: worker | actor | workflow | wait | engine | fanout | parallel | junction
    kind: str
    status: str
    input: JSON = None
    #: Seconds after this advance's `now`; None: not by time.
    due: float | None = None
    #: Start to close, seconds, each attempt; for a nested run its deadline.
    timeout: float | None = None
    queue: str = "default"
    priority: int = 0
    #: Durable claim wanted: an attempt must not be made twice (`on_lost: fail`).
    once: bool = False
    #: {"retry": {count, delay, backoff, factor, max_delay, jitter, non_retryable, when} | None, "on_lost": ..., "kind": ...,
    #: "delay": seconds, where there is one, "seconds": how long a wait takes at most, "awaits", "signal", "limit":
    #: {kind, seconds} of the timeout that being due means, "parent_close"}; comes back in Returned.
    policy: Mapping[str, JSON] = field(default_factory=dict)
    lineage: Lineage = field(default_factory=Lineage)
    result: JSON = None
    error: Failure | None = None
    digest: str | None = None
    #: Seconds in which a worker must take each attempt, and between two heartbeats of one.
    schedule_timeout: float | None = None
    heartbeat_timeout: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Make the next attempt of an execution that has returned, `delay` seconds from now (0: at once)."""

    execution_id: int
    attempt: int
    delay: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Give an execution that has returned its final status."""

    execution_id: int
    status: Outcome
    #: Replaces the error that the attempt reported, where the engine knows better.
    error: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleVisit:
    """Give the parent row of a fan-out, or of a parallel task, its final status."""

    task: str
    visit: int
    status: Outcome
    error: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Let the items `first` up to, not including, `last` of a fan-out start.

    By kind: a worker's item becomes ``requested``, a nested run is started, a wait becomes ``waiting`` for
    ``policy["seconds"]`` (without them: for ever). With `due`: only after so many seconds (the
    task's `delay`). Items that have ended already (they could not be started) stay as they are.
    """

    task: str
    visit: int
    first: int
    last: int
    due: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipItems:
    """End the items from `first` on, which never started, as skipped: no input will come for them."""

    task: str
    visit: int
    first: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOpen:
    """Cancel executions of the run that have not ended; each comes back as Returned with `cancelled`.

    What only waits (requested, scheduled by time, waiting) is cancelled at once. `running`: what runs is asked to stop
    as well, nested runs too. Spared executions (`lineage.spared`) are left alone unless `spared` is true.
    Unreleased items are not touched: SkipItems ends them. `task`: only this visit of a task, or its items (visit given
    too). What becomes of nested runs that run is said by ``policy["parent_close"]``: cancel, terminate, abandon.
    """

    running: bool
    spared: bool = False
    task: str | None = None
    visit: int | None = None
    #: What the error says to whoever asks why, such as "the run failed".
    reason: str = ""
    #: Not cancelled but timed out: what only waits comes back so at once, the others carry it in Returned.verdict, what
    #: has returned and is not applied yet as well.
    verdict: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoOn:
    """Store `work` as an input of this run (it comes back as Continue): the decision stops here for now.

    Each one counts as 1 in `RunState.open` until it is applied.
    """

    work: JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDeadline:
    """The run must end within so many seconds from now, or a visit; then RunTimedOutInput or VisitTimedOut comes."""

    seconds: float
    #: run | schedule_to_close | start_to_close
    kind: str = "run"
    #: Empty: the run.
    task: str = ""
    visit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearDeadlines:
    """A visit has ended: its deadlines are void."""

    task: str
    visit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """Keep a signal until somebody waits for it."""

    seq: int
    name: str
    payload: JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver:
    """Give a signal that is kept to an execution that waits: it comes back as succeeded, with the payload as its result.

    If it does not wait any more, the signal stays.
    """

    execution_id: int
    seq: int


@dataclass(frozen=True, slots=True)
class LookForSignals:
    """Send MatchSignals once this decision is stored: a wait begins, or a signal has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """A visit ended badly, and waits for a person."""

    task: str
    visit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpark:
    """A person has decided on a visit, or the run is closing and all of them are void (task None)."""

    task: str | None = None
    visit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRun:
    """The run has ended: store the outcome, tell the parent run if there is one."""

    status: Outcome
    output: JSON
    error: Failure | None


Command = (
    Schedule
    | Retry
    | Settle
    | SettleVisit
    | Release
    | SkipItems
    | CancelOpen
    | GoOn
    | SetDeadline
    | ClearDeadlines
    | Buffer
    | Deliver
    | LookForSignals
    | Park
    | Unpark
    | EndRun
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Everything that one advance decided: stored as a whole or not at all."""

    run: RunState
    events: tuple[Event, ...]
    #: Only what changed.
    variables: Mapping[str, JSON] = field(default_factory=dict)
    tasks: tuple[TaskState, ...] = ()
    joins: tuple[JoinRound, ...] = ()
    items: tuple[FanOut, ...] = ()
    commands: tuple[Command, ...] = ()
