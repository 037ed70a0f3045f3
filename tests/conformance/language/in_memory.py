"""Cases played by the pure interpreter: runs in memory, nested ones too, in any order and with a clock of their own."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from language.cases import NOBODY, Act, Case, Moment, as_written
from language.seen import Seen, errors_of

from dramaturg.engine.errors import JSON, Failure, InvalidParameters
from dramaturg.engine.interpreter.memory import OPENING
from dramaturg.engine.interpreter.rehearsal import Answer, Execution, Memory, Rehearsal, cancelled
from dramaturg.engine.interpreter.state import (
    NO_ITEM,
    ActionInfo,
    CancelRequested,
    RunTimedOutInput,
    VisitTimedOut,
)
from dramaturg.engine.interpreter.waits import schema_of
from dramaturg.engine.language.program import Program
from dramaturg.engine.packs.manifest import Pack

#: Which of so many running attempts ends next.
Choice = Callable[[Sequence[Execution]], int]

#: Steps after which a case that has not ended is taken for one that never will.
PATIENCE = 5_000


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a case is played: what may not matter."""

    name: str
    choose: Choice
    batch: int = 1
    preload: bool = True


def shuffled(seed: int) -> Choice:
    """Choose by chance, the same each time."""
    chance = random.Random(seed)
    return lambda running: chance.randrange(len(running))


def manners(case: Case) -> Iterator[Manner]:
    """Return the ways in which a case must end the same."""

    def first(_: Sequence[Execution]) -> int:
        return 0

    yield Manner(name="one by one", choose=first)
    yield Manner(name="asking for everything", choose=first, preload=False)
    if case.ordered:
        return
    yield Manner(name="all at once", choose=first, batch=1000)
    yield Manner(name="last first", choose=lambda running: len(running) - 1, preload=False)
    for seed in range(3):
        yield Manner(name=f"shuffled {seed}", choose=shuffled(seed), batch=(1, 2, 1000)[seed])


def nobody_takes(one: Execution) -> bool:
    """Say whether an attempt is for a queue that no worker serves."""
    return one.made.queue == NOBODY


class Refused(Exception):
    """The engine can't do what a task asks for."""

    def __init__(self, type: str) -> None:
        super().__init__(type)
        self.type = type


class Stage(Rehearsal):
    """One run of a play."""

    def __init__(self, memory: Memory, *, batch: int, parent: tuple[Stage, Execution] | None) -> None:
        super().__init__(memory, batch=batch, checked=True)
        self.parent = parent
        #: When each running attempt began, by execution and attempt.
        self.began: dict[tuple[int, int], float] = {}
        #: What was told to it about a cancel, so that it is told once.
        self.told = False
        #: It was ended from outside, at once: nothing of it is interpreted any more.
        self.terminated = False
        self.attempt = parent[1].attempt if parent else 1
        self.absent = nobody_takes

    @property
    def over(self) -> bool:
        """Say whether the run has ended."""
        return self.terminated or self.memory.end is not None


class Play:
    """A case, played to its end."""

    def __init__(
        self,
        case: Case,
        *,
        manner: Manner,
        pack: Pack,
        program: Callable[[str], Program],
        action: Callable[[str], ActionInfo | None],
    ) -> None:
        self.case = case
        self.manner = manner
        self.program = program
        self.action = action
        self.config = pack.config
        self.elapsed = 0.0
        self.events = list(case.events)
        self.root = self._stage(
            f"{pack.ref}.{case.start.removeprefix('t.')}", case.parameters, case.run_id, None
        )
        self.stages = [self.root]

    def _stage(
        self,
        ref: str,
        parameters: Mapping[str, JSON],
        run_id: str,
        parent: tuple[Stage, Execution] | None,
    ) -> Stage:
        memory = Memory(
            self.program(ref),
            actions=self.action,
            parameters=parameters,
            config=self.config,
            run_id=run_id,
            preload=self.manner.preload,
        )
        memory.elapsed = self.elapsed
        if parent is not None:
            around, one = parent
            memory.run = replace(
                memory.run, root_id=around.memory.run.root_id, parent_id=around.memory.run.run_id
            )
            if one.made.timeout is not None:
                memory.deadline = (self.elapsed + one.made.timeout, one.made.timeout)
        return Stage(memory, batch=self.manner.batch, parent=parent)

    def play(self) -> Seen:
        """Play until every run has ended."""
        for _ in range(PATIENCE):
            if all(stage.over for stage in self.stages) and not self.events:
                return as_seen(self)
            if not (self._advance() or self._happen() or self._end_one() or self._wait()):
                raise AssertionError(
                    f"it hangs: {[stage.memory.run for stage in self.stages]}, {self.events}"
                )
        raise AssertionError(f"it does not end: {self.root.memory.run}")

    # -- what follows by itself ----------------------------------------------------------------------------

    def _advance(self) -> bool:
        """Take what may be taken, begin nested runs, and apply what has returned."""
        moved = False
        for stage in tuple(self.stages):
            if stage.over:
                continue
            stage._claim()
            moved |= self._nested(stage) or self._perform(stage)
            running = bool(list(self._may_end()))
            if len(stage.memory.inbox) >= stage.batch or (stage.memory.inbox and not running):
                stage._advance()
                moved = True
        return moved

    def _nested(self, stage: Stage) -> bool:
        """Begin and end the runs that executions of one run are, and pass cancels on."""
        moved = False
        for one in stage._open():
            if one.made.kind != "workflow" or one.status != "running":
                continue
            child = self._child(stage, one)
            if child is None:
                number = f"{stage.memory.run.run_id}.{one.id}.{one.attempt}"
                self.stages.append(
                    self._stage(one.made.action or "", one.made.input or {}, number, (stage, one))
                )
                moved = True
            elif child.over:
                end = child.memory.end
                assert end is not None
                stage.memory.finish(one, Answer(status=end.status, result=end.output, error=end.error))
                moved = True
            elif one.cancel_requested and not child.told:
                child.told = moved = True
                self._close(stage, one, child)
        return moved

    def _close(self, stage: Stage, one: Execution, child: Stage) -> None:
        """Do with a nested run what its task says becomes of it."""
        match one.made.policy.get("parent_close", "cancel"):
            case "abandon":
                stage.memory.finish(one, cancelled("it goes on by itself"))
            case "terminate":
                child.terminated = True
                error = Failure(type="Terminated", message="the run was terminated")
                stage.memory.finish(one, Answer(status="cancelled", error=error))
            case _:
                child.memory.inbox.append(CancelRequested())

    # -- what the engine does by itself --------------------------------------------------------------------

    def _perform(self, stage: Stage) -> bool:
        """Start the runs and send the signals that tasks of one run are."""
        ready = [one for one in stage._open() if one.made.kind == "engine" and one.status == "running"]
        for one in ready:
            try:
                do = {"core.start": self._start_run, "core.signal": self._send_signal}[one.made.action or ""]
                stage.memory.finish(one, Answer(result=do(stage, one, one.made.input)))
            except Refused as refused:
                error = Failure(type=refused.type, message="it was refused")
                stage.memory.finish(one, Answer(status="failed", error=error))
        return bool(ready)

    def _start_run(self, stage: Stage, one: Execution, given: Mapping[str, JSON]) -> JSON:
        action = self.action(given["ref"])
        if action is None:
            raise Refused("UnknownAction")
        parameters = given.get("parameters") or {}
        if action.parameters.problems(parameters) or not action.enabled:
            raise Refused("InvalidInput")
        run_id = given.get("id") or f"{stage.memory.run.run_id}/{one.id}"
        known = self._run(run_id)
        if known is None:
            self.stages.append(self._stage(given["ref"], parameters, run_id, None))
        elif known.memory.program.ref != given["ref"] or known.memory.parameters != parameters:
            raise Refused("Conflict")
        return {"run_id": run_id}

    def _send_signal(self, stage: Stage, one: Execution, given: Mapping[str, JSON]) -> JSON:
        target = self._run(str(given["run"]))
        if target is None or target.over:
            raise Refused("InvalidInput")
        target.memory.signal(given["name"], given.get("payload"))
        return {}

    def _run(self, run_id: str) -> Stage | None:
        return next((stage for stage in self.stages if stage.memory.run.run_id == run_id), None)

    def _child(self, stage: Stage, one: Execution) -> Stage | None:
        found = [s for s in self.stages if s.parent == (stage, one) and s.attempt == one.attempt]
        return found[-1] if found else None

    # -- attempts ------------------------------------------------------------------------------------------

    def _may_end(self) -> Iterator[tuple[Stage, Execution, Answer]]:
        """Return the attempts that can end now."""
        for stage in self.stages:
            for one in stage._running() if not stage.over else ():
                if one.made.kind not in ("workflow", "engine"):
                    began = stage.began.setdefault((one.id, one.attempt), self.elapsed)
                    answer = self._answer(one, began)
                    if answer is not None:
                        yield stage, one, answer

    def _answer(self, one: Execution, began: float) -> Answer | None:
        """Return how an attempt ends if it can end now."""
        act = self.case.script.act(*one.key, one.attempt)
        if act.status == "hangs" or act.takes:
            if one.cancel_requested:
                return cancelled("it was cancelled")
            seconds, kind = limit_of(act, one.made.timeout, one.made.heartbeat_timeout)
            # Not began + seconds > elapsed: sums of floats, compared as they were made.
            if self.elapsed < began + seconds:
                return None
            if kind:
                return timed_out(seconds, kind)
        return answer_of(act, one.made.input)

    def _end_one(self) -> bool:
        ready = list(self._may_end())
        if not ready:
            return False
        index = ranked([one.key for _, one, _ in ready], self.case) if self.case.ends else None
        if index is None:
            index = self.manner.choose([one for _, one, _ in ready])
        stage, one, answer = ready[index]
        stage.memory.finish(one, answer)
        return True

    # -- from outside --------------------------------------------------------------------------------------

    def _happen(self) -> bool:
        """Let the next event from outside happen if its moment has come."""
        if not self.events or not self._has_come(self.events[0]):
            return False
        event = self.events.pop(0)
        memory = self.root.memory
        try:
            self._do(event, memory)
        except (LookupError, InvalidParameters) as error:
            refused = "Conflict" if isinstance(error, LookupError) else type(error).__name__
            assert refused == event.refused, refused
        else:
            assert event.refused is None, f"{event.refused} expected"
        return True

    @staticmethod
    def _checked(event: Moment, memory: Memory) -> None:
        """Hold an answer against the schema of its question.

        Raises:
            InvalidParameters: it is no answer to it.
        """
        asked = [one for one in memory.visits(place_of(event.target)[0]) if one.status == "waiting"]
        schema = schema_of(asked[-1].made.policy) if asked else None
        problems = schema.problems({"answer": event.value}) if schema else []
        if problems:
            raise InvalidParameters(event.target, problems)

    def _do(self, event: Moment, memory: Memory) -> None:
        match event.verb:
            case "signal":
                memory.signal(event.value, event.payload)
            case "answer":
                self._checked(event, memory)
                memory.answer(event.target, event.value)
            case "complete":
                task, _, item = place_of(event.target)
                memory.complete(task, event.value, item)
            case "fail":
                task, _, item = place_of(event.target)
                error = Failure(**{"type": "Failed", "message": "it failed", **event.value})
                memory.fail(task, error, item)
            case "cancel" if event.value == "run":
                memory.inbox.append(CancelRequested(by="somebody"))
            case "edit":
                pass  # A program is what it was when the run started: nothing can reach it.
            case "cancel":
                cancel(memory, *place_of(event.target)[::2])
            case _:
                raise AssertionError(f"nobody knows how to {event}")

    def _has_come(self, event: Moment) -> bool:
        if not event.when:
            return True
        task, visit, item = place_of(event.task)
        states = {"waits": "waiting", "runs": "running", "is delayed": "scheduled"}
        wanted = states.get(event.state, event.state)
        found = [one for one in self.root.memory.executions.values() if one.key[::2] == (task, item)]
        found = [one for one in found if visit is None or one.made.visit == visit]
        return bool(found) and found[-1].status == wanted

    # -- time ----------------------------------------------------------------------------------------------

    def _wait(self) -> bool:
        """Let time pass until something is due."""
        dues = [due for stage in self.stages if not stage.over for due in self._dues(stage)]
        dues = [due for due in dues if due < float("inf")]
        if not dues:
            return False
        self.elapsed = max(self.elapsed, min(dues))
        for stage in self.stages:
            if not stage.over:
                stage.memory.elapsed = self.elapsed
                self._fall_due(stage)
        return True

    def _dues(self, stage: Stage) -> Iterator[float]:
        memory = stage.memory
        for one in stage._open():
            due = stage._due(one)
            if due is not None:
                yield due
            if one.status == "running" and (one.id, one.attempt) in stage.began:
                act = self.case.script.act(*one.key, one.attempt)
                if act.status == "hangs" or act.takes:
                    yield (
                        stage.began[one.id, one.attempt]
                        + limit_of(act, one.made.timeout, one.made.heartbeat_timeout)[0]
                    )
        yield from (due for due, _ in memory.deadlines.values())
        if memory.deadline is not None:
            yield memory.deadline[0]

    def _fall_due(self, stage: Stage) -> None:
        memory = stage.memory
        if memory.deadline is not None and memory.deadline[0] <= self.elapsed:
            kind = "run" if stage.parent is None or stage.parent[1].made.timeout is None else "start_to_close"
            memory.inbox.append(RunTimedOutInput(kind=kind, seconds=memory.deadline[1]))
            memory.deadline = None
        for (task, visit, kind), (due, seconds) in tuple(memory.deadlines.items()):
            if due <= self.elapsed:
                del memory.deadlines[task, visit, kind]
                memory.inbox.append(VisitTimedOut(task=task, visit=visit, kind=kind, seconds=seconds))
        for one in stage._open():
            at = stage._due(one)
            if at is not None and at <= self.elapsed:
                stage._fall_due(one)


def limit_of(act: Act, timeout: float | None, heartbeat: float | None) -> tuple[float, str]:
    """Return the seconds after which a slow attempt ends, and by which timeout; by none where it has done its work."""
    takes = act.takes or float("inf")
    limits = [
        (takes, ""),
        (timeout or float("inf"), "start_to_close"),
        (heartbeat or float("inf"), "heartbeat"),
    ]
    return min(limits, key=lambda limit: limit[0])


def answer_of(act: Act, given: JSON) -> Answer:
    """Return how an attempt ends that a script says something about."""
    if act.status == "timed_out":
        return timed_out(1.0, act.kind)
    if act.status == "failed":
        return Answer(status="failed", error=Failure(type=act.type, message=act.message, details=act.details))
    if act.status in ("lost", "pending"):
        return Answer(status=act.status)
    # Over JSON, as everything that a worker says.
    return Answer(result=json.loads(json.dumps(given if act.echo else act.result)))


def timed_out(seconds: float, kind: str = "start_to_close") -> Answer:
    """Return an attempt that its timeout ended."""
    error = Failure(type="Timeout", message="it took too long", details={"kind": kind, "seconds": seconds})
    return Answer(status="timed_out", error=error)


def cancel(memory: Memory, task: str, item: int) -> None:
    """Ask one execution to stop; what only waits ends at once."""
    one = [one for one in memory.executions.values() if one.key[::2] == (task, item) and not one.over][-1]
    if one.status in ("requested", "scheduled", "waiting"):
        memory.finish(one, cancelled("somebody said so"), ran=False)
    else:
        one.cancel_requested = True


def place_of(text: str) -> tuple[str, int | None, int]:
    """Return task, visit and item of ``task#visit[item]``."""
    rest, _, item = text.partition("[")
    task, _, visit = rest.partition("#")
    return task, int(visit) if visit else None, int(item.rstrip("]")) if item else NO_ITEM


def ranked(keys: Sequence[tuple[str, int, int]], case: Case) -> int:
    """Return the index of what is to end next: what the case does not name, then what it names, in its order."""

    def rank(key: tuple[str, int, int]) -> int:
        task, visit, item = key
        place = f"[{item}]" if item >= 0 else ""
        names = (f"{task}#{visit}{place}", f"{task}{place}", f"{task}#{visit}", task)
        return next((case.ends.index(name) for name in names if name in case.ends), -1)

    return min(range(len(keys)), key=lambda index: rank(keys[index]))


def as_seen(play: Play) -> Seen:
    """Return what there is to see of a play."""
    return as_written_run(play, play.root)


def as_written_run(play: Play, stage: Stage) -> Seen:
    """Return what there is to see of one run of a play."""
    memory = stage.memory
    assert memory.end is not None
    history: list[Mapping[str, Any]] = as_written([event.to_json() for event in memory.history], play.case)
    nested = {}
    for other in play.stages:
        if other.parent is not None and other.parent[0] is stage and not other.terminated:
            task, visit, item = other.parent[1].key
            place = f"[{item}]" if item >= 0 else ""
            seen = as_written_run(play, other)
            nested |= {f"{task}{place}": seen, f"{task}#{visit}{place}": seen}
    return Seen(
        status=memory.end.status,
        output=as_written(memory.end.output, play.case),
        error=as_written(memory.end.error.to_json() if memory.end.error else None, play.case),
        errors=errors_of(history),
        history=history,
        nested=nested,
        started={
            other.memory.run.run_id: as_written_run(play, other)
            for other in play.stages
            if stage is play.root and other.parent is None and other is not stage
        },
    )


__all__ = ["OPENING", "Manner", "Play", "manners"]
