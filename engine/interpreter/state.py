"""What the interpreter sees and keeps: frozen values, no rows, no clock.

The store turns rows into these and back; `advance` never sees a row. A **view** is a mapping from
:data:`Key` to one of these values (or to plain JSON); a key that is not in it makes `advance` return
:class:`Need`. The store answers every key it is asked for: what does not exist is answered by `None`,
so a key that was answered is never asked for twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.language.schema import ParameterSet

Outcome = Literal["succeeded", "failed", "timed_out", "cancelled", "skipped"]

#: How a task or a run can end (LANGUAGE 5).
OUTCOMES: tuple[Outcome, ...] = ("succeeded", "failed", "timed_out", "cancelled", "skipped")


class Unset(Enum):
    """What the view answers for a variable that nothing has set: null is a value."""

    UNSET = "unset"


UNSET = Unset.UNSET

#: Item number of an execution that is no item.
NO_ITEM = -1

#: ::
#:
#:     ("parameters",)              the run's parameters                       dict
#:     ("config",)                  the pack's configuration                   dict
#:     ("var", name)                a variable's value, or UNSET               JSON
#:     ("vars",)                    all variables                              dict
#:     ("task", name)               TaskState, or None if it was never entered
#:     ("result", task, visit)      its result (a fan-out's: the list)         JSON
#:     ("item_result", task, visit, item)  result of an item's last attempt    JSON
#:     ("error", task, visit)       its error object, or None                  JSON
#:     ("execution_id", task, visit) the store's id of the visit's execution   int
#:     ("task_items", task, visit)  [{status, result, error}] of a fan-out     list
#:     ("join", task, round)        JoinRound, or None
#:     ("items", task, visit)       FanOut, or None
#:     ("open_items",)              tuple of FanOut: those that have not ended
#:     ("open_joins",)              tuple of JoinRound: reached, not fired
#:     ("action", ref)              ActionInfo, or None: no such action
#:     ("status", task, visit)      status of the visit's execution, or None   text
#:     ("matches",)                 tuple of Match: waits and the signals that are there for them
#:     ("parked", task, visit)      Lineage of a failure that waits for a person, or None
Key = tuple[str | int, ...]

View = Mapping[Key, object]


@dataclass(frozen=True, slots=True)
class Need:
    """What `advance` must know before it can decide; nothing has happened yet."""

    keys: frozenset[Key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What a token carries from its past.

    `joins` has, for each join in the token's past, how many of its rounds lie there (LANGUAGE 6): the round
    that the token would take part in is one more. `spared`: the token was put beside a `fail`, so it and
    what follows from it go on while the run is closing.
    """

    joins: Mapping[str, int] = field(default_factory=dict)
    spared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """How a run that has not ended yet is going to end; the first decision stands."""

    status: Outcome
    error: Failure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """A run's hot state: one row, written at every step."""

    #: The caller's id or a UUID, as text.
    run_id: str
    root_id: str
    #: Run id of the run that this one is nested in, or None.
    parent_id: str | None
    #: requested | running | paused | waiting | cancelling, or an outcome once it has ended.
    status: str
    #: ISO 8601 UTC, when it was requested.
    created_at: str
    #: Visits that have begun and not ended (a fan-out is one, whatever its items do), plus Continue inputs that
    #: are not applied yet. The run has ended when this is 0 and every input is applied.
    open: int = 0
    #: Join rounds that somebody reached and that have not fired.
    open_joins: int = 0
    #: `seq` of the next history event; the first is 1.
    next_seq: int = 1
    closing: Closing | None = None
    #: Visits that ended badly and wait for a person (`unhandled_failure: wait`).
    parked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """One task of one run: its visits and the latest one."""

    task: str
    #: Visits begun so far; the latest visit has this number.
    visits: int = 0
    #: Status of the latest visit: scheduled | running (as known to the interpreter: not ended) or an outcome.
    status: str = "scheduled"
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRound:
    """One round of one join."""

    task: str
    round: int
    arrived: tuple[str, ...] = ()
    #: Highest counts of what has arrived, join by join.
    joins: Mapping[str, int] = field(default_factory=dict)
    #: Whether one of the tokens that arrived was spared.
    spared: bool = False
    fired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FanOut:
    """One visit of a task with items, or of a parallel one: counts only, never the items themselves."""

    task: str
    visit: int
    total: int
    #: Rows inserted so far; less than `total` while a Continue input for the rest is outstanding.
    inserted: int = 0
    #: The next item to release; items below it have been released.
    next: int = 0
    #: Released and not ended.
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    timed_out: int = 0
    cancelled: int = 0
    skipped: int = 0
    #: How many may run at once; None: all.
    concurrency: int | None = None
    on_item_failure: str = "finish_started"
    lineage: Lineage = field(default_factory=Lineage)
    #: No further item is released.
    stopped: bool = False
    #: Items from `next` on that ended when they were inserted (they could not be started), in order: a window
    #: that moves over one of them must let one more in. Almost always empty.
    broken: tuple[int, ...] = ()
    #: Error of the first item that did not succeed, with its place; the visit's own error is made of it.
    error: Failure | None = None
    #: The time for the visit is over: how it will end, whatever its items do.
    verdict: Failure | None = None

    @property
    def ended(self) -> int:
        """Return how many items have an outcome."""
        return self.succeeded + self.failed + self.timed_out + self.cancelled + self.skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionInfo:
    """What the interpreter knows of an action: immutable, as it was when the outermost run started."""

    ref: str
    #: worker: a task actor does it; actor: one of the user's own; workflow: a nested run; wait: nobody, it ends by
    #: itself (core.sleep and its kin); engine: the engine, at once (core.start, core.signal).
    kind: Literal["worker", "actor", "workflow", "wait", "engine"]
    parameters: ParameterSet
    enabled: bool = True
    timeout: float | None = None
    #: Plain numbers: {count, delay, backoff, factor, max_delay, jitter, non_retryable}, and `when` as it is written;
    #: None: no retries.
    retry: Mapping[str, JSON] | None = None
    queue: str = "default"
    #: Revision of a nested workflow.
    digest: str | None = None


# --- inputs: what has happened since the last advance -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The run begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """An attempt of an execution has ended; the engine has not drawn conclusions yet."""

    #: The store's id of the execution; commands name it again.
    execution_id: int
    task: str
    visit: int
    #: NO_ITEM without items.
    item: int
    attempt: int
    #: An outcome; "lost": the worker died; "due": what it waited for did not come in time, or its time has come
    #: (core.sleep); "unstarted": no worker took it in time.
    status: str
    error: Failure | None
    lineage: Lineage
    #: The policy that was fixed when the visit began (see commands.Schedule), as JSON.
    policy: Mapping[str, JSON]
    #: Attempts of this execution that were lost so far, this one included.
    lost: int = 0
    #: Whether the attempt ran at all (false: cancelled before a worker took it, a wait that ended).
    ran: bool = True
    #: ISO 8601 UTC, when the attempt started; None where it did not run.
    started_at: str | None = None
    worker: str | None = None
    #: What was decided of it while it ran (CancelOpen.verdict): it ends so, whatever it reports.
    verdict: Failure | None = None
    #: It was asked to stop while it ran: whatever it reports, no other attempt follows.
    stopped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    """Somebody asked that the run be cancelled."""

    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTimedOutInput:
    """The run's own timeout has passed, or that of the task that it is the nested run of."""

    #: run | start_to_close
    kind: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitTimedOut:
    """The time for a visit, with all its attempts and items, is over."""

    task: str
    visit: int
    #: schedule_to_close, or start_to_close of a parallel task.
    kind: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalReceived:
    """Somebody sent the run a signal."""

    name: str
    payload: JSON = None
    by: str = ""


@dataclass(frozen=True, slots=True)
class MatchSignals:
    """Waits may have begun, or signals come, since somebody looked last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A person says how a task ended that failed, and that nobody handled."""

    task: str
    visit: int
    #: succeeded | failed
    status: Outcome
    result: JSON = None
    error: Failure | None = None
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A signal that is there, and the execution that waits for it."""

    execution_id: int
    #: `seq` of its `signal_received`.
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Continue:
    """Go on where an earlier decision stopped so as not to hold the run's lock for long."""

    #: What `commands.GoOn` carried, unchanged.
    work: JSON


Input = (
    Started
    | Returned
    | CancelRequested
    | RunTimedOutInput
    | VisitTimedOut
    | SignalReceived
    | MatchSignals
    | Resolved
    | Continue
)
