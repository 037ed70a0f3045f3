"""The state of a run, rebuilt from its history alone (DESIGN 7).

The tables are written by decisions, the history too; this module reads only the history. Both must agree at every
prefix, which is what makes it the judge in tests and in `dramaturg verify`. Results of tasks are not in the history,
so they are not compared; nor is how far the window of a fan-out has come, which events do not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import cast

from dramaturg.engine.errors import JSON, Failure, InternalError
from dramaturg.engine.interpreter.events import TYPES, Event
from dramaturg.engine.interpreter.joins import highest
from dramaturg.engine.interpreter.state import Closing, FanOut, JoinRound, Outcome, TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemCounts:
    """How the items of one visit have ended so far."""

    total: int
    succeeded: int = 0
    failed: int = 0
    timed_out: int = 0
    cancelled: int = 0
    skipped: int = 0

    @classmethod
    def of(cls, fan: FanOut) -> ItemCounts:
        """Return the counts of a fan-out as the tables have them."""
        return cls(**{one.name: getattr(fan, one.name) for one in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What both the history and the tables know of a run."""

    status: str = "requested"
    closing: Closing | None = None
    variables: Mapping[str, JSON] = field(default_factory=dict)
    tasks: Mapping[str, TaskState] = field(default_factory=dict)
    joins: Mapping[tuple[str, int], JoinRound] = field(default_factory=dict)
    items: Mapping[tuple[str, int], ItemCounts] = field(default_factory=dict)
    #: Visits that have begun and not ended.
    open: frozenset[tuple[str, int]] = frozenset()
    #: Visits that ended badly and wait for a person.
    parked: frozenset[tuple[str, int]] = frozenset()
    next_seq: int = 1

    def differences(self, other: Replayed) -> list[str]:
        """Return a sentence for each thing in which two states of one run differ; `self` is the history's."""
        texts: list[str] = []
        for one in fields(Replayed):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            if isinstance(mine, Mapping):
                keys = sorted({*mine, *theirs}, key=str)
                pairs = [(f"{one.name} {key}", mine.get(key), theirs.get(key)) for key in keys]
            else:
                pairs = [(one.name, mine, theirs)]
            texts += [f"{name}: {a!r} in the history, {b!r} in the tables" for name, a, b in pairs if a != b]
        return texts


def replay(history: Iterable[Event]) -> Replayed:
    """Return the state that a history leads to.

    Raises:
        InternalError: the history has a gap, or an event of a type that does not exist.
    """
    fold = _Fold()
    for event in history:
        fold.apply(event)
    return fold.result()


class _Fold:
    """The state while events are applied."""

    def __init__(self) -> None:
        self.status = "requested"
        self.closing: Closing | None = None
        self.variables: dict[str, JSON] = {}
        self.tasks: dict[str, TaskState] = {}
        self.joins: dict[tuple[str, int], JoinRound] = {}
        self.items: dict[tuple[str, int], ItemCounts] = {}
        self.open: set[tuple[str, int]] = set()
        self.parked: set[tuple[str, int]] = set()
        self.next_seq = 1

    def result(self) -> Replayed:
        return Replayed(
            status=self.status,
            closing=self.closing,
            variables=self.variables,
            tasks=self.tasks,
            joins=self.joins,
            items=self.items,
            open=frozenset(self.open),
            parked=frozenset(self.parked),
            next_seq=self.next_seq,
        )

    def apply(self, event: Event) -> None:
        if event.seq != self.next_seq:
            raise InternalError(f"the history has event {event.seq} where {self.next_seq} should be")
        if event.type not in TYPES:
            raise InternalError(f"event {event.seq} is of an unknown type: {event.type!r}")
        self.next_seq += 1
        handler = _HANDLERS.get(event.type)
        if handler is not None:
            handler(self, event)
        if "closing" in event.data:
            self._close(event.data)

    def _close(self, data: Mapping[str, JSON]) -> None:
        if self.parked:
            self.parked.clear()
            self.status = "cancelling" if self.status == "cancelling" else "running"
        closing = data["closing"]
        error = closing.get("error", data.get("error"))
        self.closing = Closing(status=closing["status"], error=Failure.from_json(error) if error else None)

    def started(self, event: Event) -> None:
        self.status = "running"

    def cancelling(self, event: Event) -> None:
        # A timer without a task is the run's own deadline.
        if event.task is None:
            self.status = "cancelling"

    def ended(self, event: Event) -> None:
        self.status = cast(str, event.status)

    def waiting(self, event: Event) -> None:
        self.status = "waiting"
        self.parked.add(_visit(event))

    def resumed(self, event: Event) -> None:
        self.status = "running"

    def published(self, event: Event) -> None:
        self.variables.update(event.data["values"])

    def begun(self, event: Event) -> None:
        task, visit = _visit(event)
        self.tasks[task] = TaskState(task=task, visits=visit)
        self.open.add((task, visit))
        self.parked.discard((task, event.data.get("resolves", 0)))

    def attempted(self, event: Event) -> None:
        self._count_attempts(_visit(event), event.attempt or 0)

    def completed(self, event: Event) -> None:
        key = _visit(event)
        state = self.tasks[key[0]]
        if state.visits == key[1]:
            attempts = state.attempts if event.attempt is None else event.attempt
            self.tasks[key[0]] = replace(state, status=cast(str, event.status), attempts=attempts)
        self.open.discard(key)
        if "group" in event.data:
            self._count_member((event.data["group"], key[1]), event)

    def _count_member(self, group: tuple[str, int], event: Event) -> None:
        status = cast(Outcome, event.status)
        if status == "skipped" and not event.data.get("held"):
            status = "succeeded"
        self.items[group] = _counted(self.items[group], status)

    def items_scheduled(self, event: Event) -> None:
        if event.data["total"]:
            self.items[_visit(event)] = ItemCounts(total=event.data["total"])

    def items_completed(self, event: Event) -> None:
        key = _visit(event)
        counts = self.items[key]
        for _, attempts, status in event.data["items"]:
            counts = _counted(counts, status)
            self._count_attempts(key, attempts)
        self.items[key] = replace(counts, skipped=event.data.get("skipped", counts.skipped))

    def arrived(self, event: Event) -> None:
        data = event.data
        if data.get("swallowed") or data.get("duplicate"):
            return
        key = (cast(str, event.task), data["round"])
        before = self.joins.get(key) or JoinRound(task=key[0], round=key[1])
        self.joins[key] = replace(
            before,
            arrived=(*before.arrived, data["from"]),
            joins=highest(before.joins, data.get("joins", {})),
            spared=before.spared or data.get("spared", False),
        )

    def fired(self, event: Event) -> None:
        key = (cast(str, event.task), event.data["round"])
        self.joins[key] = replace(self.joins[key], fired=True)

    def _count_attempts(self, key: tuple[str, int], attempts: int) -> None:
        state = self.tasks[key[0]]
        if state.visits == key[1] and state.attempts < attempts:
            self.tasks[key[0]] = replace(state, attempts=attempts)


def _visit(event: Event) -> tuple[str, int]:
    if event.task is None or event.visit is None:
        raise InternalError(f"event {event.seq} ({event.type}) does not say which visit it is about")
    return event.task, event.visit


def _counted(counts: ItemCounts, status: Outcome) -> ItemCounts:
    return replace(counts, **{status: getattr(counts, status) + 1})


_HANDLERS: dict[str, Callable[[_Fold, Event], None]] = {
    "run_started": _Fold.started,
    "cancel_requested": _Fold.cancelling,
    "timer_fired": _Fold.cancelling,
    "run_waiting": _Fold.waiting,
    "run_resumed": _Fold.resumed,
    "run_ended": _Fold.ended,
    "variables_published": _Fold.published,
    "task_scheduled": _Fold.begun,
    "task_skipped": _Fold.begun,
    "attempt_ended": _Fold.attempted,
    "task_completed": _Fold.completed,
    "items_scheduled": _Fold.items_scheduled,
    "items_completed": _Fold.items_completed,
    "join_arrived": _Fold.arrived,
    "join_fired": _Fold.fired,
}
