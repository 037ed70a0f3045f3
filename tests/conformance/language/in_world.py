"""Cases played on a real database by a real host: each attempt is a thread that stops where its action would run.

The conductor waits until every thread has stopped or ended, then lets one of them go on, lets something happen from
outside, or moves the clock to the next thing that is due. So what may run side by side does, and nothing is left to luck.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from language.cases import NOBODY, Act, Case, Moment, as_written, write_files
from language.in_memory import limit_of, place_of, ranked, shuffled
from language.seen import Seen
from world import World

from dramaturg.engine.errors import DramaturgError, Failure
from dramaturg.engine.runtime import ActionOutcome, ActionRequest, Stop
from dramaturg.engine.serve import Host, Send
from dramaturg.engine.service import Service
from dramaturg.engine.store.due import Clock, Due

#: Steps after which a case that has not ended is taken for one that never will.
PATIENCE = 3_000
#: Seconds that a thread may take to stop or end.
DEADLINE = 30.0


class Died(Exception):
    """The worker of an attempt is no more."""


@dataclass(eq=False)
class Held:
    """An attempt that has stopped where its action would run."""

    request: ActionRequest
    stop: Stop
    #: When it began, and what it is going to do.
    began: float
    act: Act
    go: threading.Event = field(default_factory=threading.Event)
    outcome: ActionOutcome | None = None

    @property
    def key(self) -> tuple[str, int, int]:
        """Return (task, visit, item)."""
        return self.request.task, self.request.visit, self.request.item


class NotingClock:
    """A host's clock that notes when something is due next."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.next_in: float | None = None

    def tick(self, **options: Any) -> Due:
        """Serve what is due."""
        due = self._clock.tick(**options)
        self.next_in = None if due.next_in is None else due.next_in / 1_000_000
        return due

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)


class Conductor:
    """Plays cases, one after another, in one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.service: Service = world.service
        self.host: Host = world.host(queues=["default"])
        self.host._run = self._run
        self.clock = NotingClock(self.host.clock)
        self.host.clock = self.clock  # type: ignore[assignment]
        self.now = 0.0
        self._changed = threading.Condition()
        self._busy = 0
        self._held: list[Held] = []
        self._leases: list[float] = []
        self._faults: list[BaseException] = []
        self._case: Case | None = None

    # -- threads -------------------------------------------------------------------------------------------

    def _run(self, request: ActionRequest, stop: Stop) -> ActionOutcome:
        assert self._case is not None
        act = self._case.script.act(request.task, request.visit, request.item, request.attempt)
        held = Held(request=request, stop=stop, began=self.now, act=act)
        with self._changed:
            self._held.append(held)
            self._busy -= 1
            self._changed.notify_all()
        assert held.go.wait(DEADLINE), "the conductor has gone away"
        if held.outcome is None:
            raise Died
        return held.outcome

    def _serve(self, message: Send) -> None:
        try:
            World.hand(self.host, message)
        except Died:
            pass
        except BaseException as error:  # it is the test's to know
            self._faults.append(error)
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def _settle(self) -> None:
        """Wait until every thread has stopped or ended."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._busy, DEADLINE), "a thread neither stops nor ends"
        if self._faults:
            raise self._faults[0]

    def _deliver(self) -> bool:
        if not self.world.messages:
            return False
        message = self.world.messages.pop(0)
        if message.queue == NOBODY:
            return True
        self._busy += 1
        threading.Thread(target=self._serve, args=(message,), daemon=True).start()
        self._settle()
        return True

    def _release(self, held: Held, outcome: ActionOutcome | None) -> None:
        with self._changed:
            self._held.remove(held)
            self._busy += 1
        if outcome is None:
            self._leases.append(self.now + self.world.settings.lease)
        held.outcome = outcome
        held.go.set()
        self._settle()

    # -- playing -------------------------------------------------------------------------------------------

    def play(self, case: Case) -> Seen:
        """Play a case to its end, and return what there is to see of it."""
        self._case = case
        self._choose = shuffled(case.number) if not case.ordered else lambda _: 0
        self._events = list(case.events)
        self._leases.clear()
        ref = f"{case.pack}.{case.start.removeprefix('t.')}"
        self.world.start(ref, dict(case.parameters), id=case.run_id)
        for _ in range(PATIENCE):
            if self._happen() or self._deliver() or self._end_one():
                continue
            if not self._events and not self._open():
                return seen(self.service, case)
            self._wait(case)
        raise AssertionError(f"it does not end: {self.service.describe(case.run_id)}, {self._events}")

    def abandon(self) -> None:
        """Let every thread end: the case went wrong."""
        for held in self._held:
            held.go.set()

    def _open(self) -> bool:
        return any(
            self.service.runs(status=status, nested=True, limit=1)
            for status in ("running", "requested", "waiting", "cancelling")
        )

    def _end_one(self) -> bool:
        """End one of the attempts that can end now."""
        ready = [held for held in self._held if self._may_end(held)]
        if not ready:
            return False
        assert self._case is not None
        keys = [held.key for held in ready]
        held = ready[ranked(keys, self._case) if self._case.ends else self._choose(ready)]  # type: ignore[arg-type]
        self._release(held, self._outcome(held))
        return True

    def _may_end(self, held: Held) -> bool:
        if held.act.status != "hangs" and not held.act.takes:
            return True
        return held.stop.cancelled or self.now >= self._ends(held)

    @staticmethod
    def _limit(held: Held) -> tuple[float, str]:
        request = held.request
        return limit_of(held.act, request.timeout, request.heartbeat_timeout)

    def _ends(self, held: Held) -> float:
        """Return when an attempt ends by itself, or by a timeout."""
        return held.began + self._limit(held)[0]

    def _outcome(self, held: Held) -> ActionOutcome | None:
        if held.act.status == "hangs" or held.act.takes:
            if held.stop.cancelled:
                error = Failure(type="Cancelled", message="it was cancelled")
                return ActionOutcome(status="cancelled", error=error)
            seconds, kind = self._limit(held)
            if kind:
                return timed_out(seconds, kind)
        return outcome_of(held.act, held.request)

    def _wait(self, case: Case) -> None:
        """Let time pass until something is due, and let the host do what it does once a second."""
        self.host._renewed = float("-inf")
        self.host.renew()
        self.host.tick()
        if self.world.messages or any(held.stop.cancelled for held in self._held):
            return
        dues = [self._ends(held) - self.now for held in self._held]
        dues += [lease + 0.1 - self.now for lease in self._leases if lease + 0.1 > self.now]
        dues += [self.clock.next_in] if self.clock.next_in is not None else []
        seconds = min(dues, default=float("inf"))
        if seconds == float("inf"):
            # Something may have been left to a clock: it looks again after two seconds.
            seconds = 2.1
        self.now += seconds
        self.world.move(seconds)

    # -- from outside --------------------------------------------------------------------------------------

    def _happen(self) -> bool:
        assert self._case is not None
        if not self._events or not has_come(self.service, self._case.run_id, self._events[0]):
            return False
        event = self._events.pop(0)
        if event.verb == "edit":
            write_files(self.world.folder, self._case, event.value)
            self.service.register()
            return True
        asked = happen(self.service, self._case.run_id, event)
        if asked is not None:
            self.world.messages.append(Send(kind="interpret", id=asked))
        return True


def outcome_of(act: Act, request: ActionRequest) -> ActionOutcome | None:
    """Return how an attempt ends that a script says something about; None: its worker dies."""
    match act.status:
        case "lost":
            return None
        case "timed_out":
            return timed_out(1.0, act.kind)
        case "failed":
            error = Failure(type=act.type, message=act.message, details=act.details)
            return ActionOutcome(status="failed", error=error)
        case "pending":
            return ActionOutcome(status="pending")
    return ActionOutcome(status="succeeded", result=dict(request.input) if act.echo else act.result)


def timed_out(seconds: float, kind: str = "start_to_close") -> ActionOutcome:
    """Return an attempt that its timeout ended."""
    error = Failure(type="Timeout", message="it took too long", details={"kind": kind, "seconds": seconds})
    return ActionOutcome(status="timed_out", error=error)


# -- from outside --------------------------------------------------------------------------------------------------


def has_come(service: Service, run_id: str, event: Moment) -> bool:
    """Say whether the moment of an event has come."""
    if not event.when:
        return True
    execution = find(service, run_id, event.task)
    states = {"waits": "waiting", "runs": "running", "is delayed": "scheduled"}
    return execution is not None and execution["status"] == states.get(event.state, event.state)


def find(service: Service, run_id: str, place: str) -> Mapping[str, Any] | None:
    """Return what `tasks` says of ``task#visit[item]``, of its latest visit where none is named."""
    task, visit, item = place_of(place)
    found = [
        one
        for one in service.tasks(run_id, items=item >= 0)
        if one["task"] == task and visit in (None, one["visit"])
    ]
    if item >= 0:
        found = [row for one in found[-1:] for row in one.get("items_list") or () if row["item"] == item]
    return found[-1] if found else None


def happen(service: Service, run_id: str, event: Moment) -> int | None:
    """Do to a run what an event says; return the run to look at, None where it was refused as expected."""
    try:
        asked = _do(service, run_id, event)
    except DramaturgError as error:
        if type(error).__name__ != event.refused:
            raise
        return None
    assert event.refused is None, f"{event.refused} expected"
    return int(asked.key)


def _do(service: Service, run_id: str, event: Moment) -> Any:
    execution = find(service, run_id, event.target) if event.target else None
    target = str(execution["execution_id"]) if execution is not None else ""
    match event.verb:
        case "signal":
            return service.signal(run_id, event.value, event.payload)
        case "answer":
            return service.answer(run_id, event.target, event.value)
        case "complete":
            return service.complete(target, event.value)
        case "fail":
            return service.fail(target, **{"message": "it failed", **event.value})
        case "cancel":
            return service.cancel(run_id if event.value == "run" else target, by="somebody")
    raise AssertionError(f"nobody knows how to {event}")


# -- what there is to see ------------------------------------------------------------------------------------------


def seen(service: Service, case: Case, run_id: str = "") -> Seen:
    """Return what there is to see of a run and those nested in it."""
    other, run_id = bool(run_id), run_id or case.run_id
    record = service.describe(run_id)
    nested: dict[str, Seen] = {}
    for one in service.tasks(run_id, items=True):
        rows: Sequence[Any] = [("", one), *((f"[{row['item']}]", row) for row in one.get("items_list") or ())]
        for place, row in rows:
            if row["run_id"]:
                run = seen(service, case, str(row["run_id"]))
                nested |= {f"{one['task']}{place}": run, f"{one['task']}#{one['visit']}{place}": run}
    return Seen(
        status=str(record["status"]),
        output=as_written(record["output"], case),
        error=as_written(record["error"], case),
        errors=as_written(record["errors"], case),
        history=as_written(service.history(run_id), case),
        nested=nested,
        started={} if other else {id: seen(service, case, id) for id in case.expect.started},
    )
