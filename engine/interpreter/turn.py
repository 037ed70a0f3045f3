"""One turn of the interpreter: what it reads, what it has decided so far.

A :class:`Turn` lives for one call of `advance` and is the only mutable thing in the interpreter. It has three parts.

* **Reading.** Every value comes from what this turn has written, else from the view. A key that neither has raises
  :class:`Missing`, which `advance` turns into `Need`; the turn is then thrown away and made again with more in the
  view, so nothing that it had decided can have leaked. Ask for all that a step needs at once (:meth:`Turn.require`).
* **Writing.** Events, commands and changed state are collected, in order, and leave as one `Decision`. What a turn has
  written it also sees.
* **Work.** `queue` has the tokens that are still to be put on their tasks. Nothing recurses: a task that completes by
  itself puts its tokens at the end of the queue.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import cast

from dramaturg.engine.errors import JSON, Failure, InternalError
from dramaturg.engine.interpreter.commands import Command, Decision
from dramaturg.engine.interpreter.events import Event
from dramaturg.engine.interpreter.state import (
    UNSET,
    ActionInfo,
    FanOut,
    JoinRound,
    Key,
    Lineage,
    Outcome,
    RunState,
    TaskState,
    View,
)
from dramaturg.engine.language.program import Program, TaskProgram

#: Kinds of keys that nothing is stored of before a run has begun.
_OF_A_RUN = frozenset(
    {"var", "vars", "task", "join", "items", "open_items", "open_joins", "status", "parked", "matches"}
)


class Missing(Exception):
    """A key is not in the view: the turn cannot go on."""

    def __init__(self, keys: frozenset[Key]) -> None:
        super().__init__(keys)
        self.keys = keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a transition that fired puts on a task that it names."""

    task: str
    #: Task whose completion made it; None at the start of the run.
    origin: str | None
    lineage: Lineage
    #: Of a task inside a parallel one: the visit that it makes, which is its group's; None: a new one.
    visit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A visit that has just ended: what its transitions see."""

    task: TaskProgram
    visit: int
    lineage: Lineage
    status: Outcome
    error: Failure | None
    #: None for a fan-out, whose items have attempts of their own.
    attempts: int | None
    #: A task inside a parallel one that was not let start, since the others were stopped.
    held: bool = False
    #: A person said so: it does not wait for one again.
    final: bool = False


class Entropy:
    """Values of now(), uuid() and random(): the same for the same turn, and noted for the history."""

    __slots__ = ("_count", "_now", "_seed", "used")

    def __init__(self, seed: bytes, now: str) -> None:
        self._seed = seed
        self._now = now
        self._count = 0
        #: [function, value] in order of use, since the last event.
        self.used: list[JSON] = []

    def _bytes(self) -> bytes:
        self._count += 1
        return hashlib.sha256(self._seed + self._count.to_bytes(8, "big")).digest()

    def share(self) -> float:
        """Return a number in [0, 1) that nobody needs to know afterwards."""
        return int.from_bytes(self._bytes()[:7], "big") / (1 << 56)

    def random(self) -> float:
        """Return the value of random()."""
        value = self.share()
        self.used.append(["random", value])
        return value

    def now(self) -> str:
        """Return the value of now()."""
        self.used.append(["now", self._now])
        return self._now

    def uuid(self) -> str:
        """Return the value of uuid(): a random UUID (version 4, RFC 9562)."""
        raw = bytearray(self._bytes()[:16])
        raw[6] = raw[6] & 0x0F | 0x40
        raw[8] = raw[8] & 0x3F | 0x80
        text = raw.hex()
        value = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
        self.used.append(["uuid", value])
        return value


class Turn:
    """What one call of `advance` reads and decides."""

    def __init__(self, program: Program, run: RunState, view: View, now: str, entropy: bytes) -> None:
        self.program = program
        self.run = run
        self.view = view
        self.now = now
        self.entropy = Entropy(entropy, now)
        # The run's hot state, as it will be stored.
        self.status = run.status
        self.open = run.open
        self.open_joins = run.open_joins
        self.closing = run.closing
        self.parked = run.parked
        #: Nothing of the run is stored yet: what this turn has not written does not exist.
        self.fresh = run.status == "requested"
        self.ended = False
        #: Set by a closing: the fan-outs that are open must be told.
        self.must_stop_items = False
        # What has been written.
        self.events: list[Event] = []
        self.commands: list[Command] = []
        self.variables: dict[str, JSON] = {}
        self.tasks: dict[str, TaskState] = {}
        self.joins: dict[tuple[str, int], JoinRound] = {}
        self.items: dict[tuple[str, int], FanOut] = {}
        #: Keys whose value this turn knows better than the store (results and errors of visits).
        self.known: dict[Key, JSON] = {}
        #: Items that ended in this turn: (task, visit) -> [(item, attempts, status, error)].
        self.batches: dict[tuple[str, int], list[tuple[int, int, Outcome, Failure | None]]] = {}
        #: How much of a batch is in the history, and how many skipped items it tells of.
        self.reported: dict[tuple[str, int], tuple[int, int | None]] = {}
        #: Visits whose time was over in this turn: an attempt of theirs that has ended by now is their last.
        self.verdicts: dict[tuple[str, int], Failure] = {}
        #: Delay of the items of a fan-out, for those that are still to be released.
        self.delays: dict[tuple[str, int], float | None] = {}
        #: What is still to be done, and how many visits ended without anybody having worked on them.
        self.queue: deque[Token] = deque()
        #: Tasks inside parallel ones that have ended and are not counted yet.
        self.members: deque[Ended] = deque()
        #: Failures that a person has decided on in this turn, and whether signals were matched in it.
        self.unparked: set[tuple[str, int]] = set()
        self.matched = False
        self.completed_alone = 0

    # --- reading ---------------------------------------------------------------------------------------------

    def require(self, keys: Iterable[Key]) -> None:
        """Make sure that all of `keys` can be read.

        Raises:
            Missing: with every one that cannot.
        """
        missing = frozenset(key for key in keys if not self._has(key))
        if missing:
            raise Missing(missing)

    def _has(self, key: Key) -> bool:
        if key in self.view or key in self.known:
            return True
        kind = key[0]
        if self.fresh and kind in _OF_A_RUN:
            return True
        if kind == "var":
            return key[1] in self.variables or ("vars",) in self.view
        if kind == "task":
            return key[1] in self.tasks
        if kind == "join":
            return key[1:] in self.joins
        return kind == "items" and key[1:] in self.items

    def read(self, key: Key) -> object:
        """Return what the view says of a key that this turn cannot have written."""
        try:
            return self.view[key]
        except KeyError:
            raise Missing(frozenset((key,))) from None

    def _stored(self, key: Key) -> object:
        return None if self.fresh else self.read(key)

    def variable(self, name: str) -> JSON:
        """Return a variable's value; UNSET where nothing has set it."""
        if name in self.variables:
            return self.variables[name]
        if self.fresh:
            return UNSET
        if ("var", name) not in self.view and ("vars",) in self.view:
            return cast(Mapping[str, JSON], self.view[("vars",)]).get(name, UNSET)
        return self.read(("var", name))

    def all_variables(self) -> dict[str, JSON]:
        """Return every variable that is set."""
        stored = cast("Mapping[str, JSON]", self._stored(("vars",)) or {})
        return {**stored, **self.variables}

    def task(self, name: str) -> TaskState | None:
        """Return a task's state; None if it was never entered."""
        if name in self.tasks:
            return self.tasks[name]
        return cast("TaskState | None", self._stored(("task", name)))

    def join_round(self, task: str, number: int) -> JoinRound | None:
        """Return one round of a join; None if nobody has reached it."""
        if (task, number) in self.joins:
            return self.joins[task, number]
        return cast("JoinRound | None", self._stored(("join", task, number)))

    def fan_out(self, task: str, visit: int) -> FanOut:
        """Return the counts of a visit that has items, or that is of a parallel task."""
        found = self.find_fan_out(task, visit)
        if found is None:
            raise InternalError(f"visit {visit} of task {task!r} has no counts")
        return found

    def find_fan_out(self, task: str, visit: int) -> FanOut | None:
        """Return the counts of a visit; None if it has none (it ended at once)."""
        if (task, visit) in self.items:
            return self.items[task, visit]
        return cast("FanOut | None", self._stored(("items", task, visit)))

    def open_fan_outs(self) -> list[FanOut]:
        """Return the fan-outs that have not ended, in order of their start."""
        stored = cast("tuple[FanOut, ...]", self._stored(("open_items",)) or ())
        both = {(fan.task, fan.visit): fan for fan in stored} | self.items
        return [fan for fan in both.values() if fan.ended < fan.total]

    def unfired_joins(self) -> list[JoinRound]:
        """Return the rounds that somebody reached and that have not fired."""
        stored = cast("tuple[JoinRound, ...]", self._stored(("open_joins",)) or ())
        both = {(one.task, one.round): one for one in stored} | self.joins
        return [one for one in both.values() if not one.fired]

    def action(self, ref: str) -> ActionInfo | None:
        """Return what is known of an action; None: there is no such action."""
        return cast("ActionInfo | None", self.read(("action", ref)))

    def goes_on(self, lineage: Lineage) -> bool:
        """Say whether something new may start on this line: the run is not closing, or the line is spared.

        Nothing is spared once the whole run is cancelled or out of time (status `cancelling`).
        Source: LANGUAGE 4 (`fail`), 5.
        """
        return self.closing is None or (lineage.spared and self.status != "cancelling")

    # --- writing ---------------------------------------------------------------------------------------------

    def event(
        self,
        type: str,
        *,
        task: str | None = None,
        visit: int | None = None,
        item: int | None = None,
        attempt: int | None = None,
        status: str | None = None,
        data: dict[str, JSON] | None = None,
    ) -> None:
        """Add a fact to the history; what expressions drew from the entropy before it goes with it."""
        data = data or {}
        if self.entropy.used:
            data["entropy"] = self.entropy.used
            self.entropy.used = []
        self.events.append(
            Event(
                seq=self.run.next_seq + len(self.events),
                type=type,
                at=self.now,
                task=task,
                visit=visit,
                item=item,
                attempt=attempt,
                status=status,
                data=data,
            )
        )

    def remark(self, name: str, value: JSON) -> None:
        """Add something to the latest event: what it led to."""
        if self.events:
            last = self.events[-1]
            self.events[-1] = replace(last, data={**last.data, name: value})

    def begin(self, task: str, visit: int) -> None:
        """Count a visit that begins; nothing is known of it yet, so nothing of it need be read."""
        self.open += 1
        self.tasks[task] = TaskState(task=task, visits=visit)
        for kind in ("result", "error", "task_items", "execution_id"):
            self.known[kind, task, visit] = None
        self.known["status", task, visit] = "scheduled"

    def command(self, command: Command) -> None:
        """Ask the store for something."""
        self.commands.append(command)

    def decision(self) -> Decision:
        """Return everything that was decided."""
        return Decision(
            run=replace(
                self.run,
                status=self.status,
                open=self.open,
                open_joins=self.open_joins,
                next_seq=self.run.next_seq + len(self.events),
                closing=self.closing,
                parked=self.parked,
            ),
            events=tuple(self.events),
            variables=self.variables,
            tasks=tuple(self.tasks.values()),
            joins=tuple(self.joins.values()),
            items=tuple(self.items.values()),
            commands=tuple(self.commands),
        )
