"""One case, played by the engine and by the reference model, and what they say that differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import reference
import yaml
from scripts import KINDS, Order, Place, Script

from dramaturg.engine.errors import Failure
from dramaturg.engine.interpreter.rehearsal import Answer, Execution, Memory, Rehearsal
from dramaturg.engine.interpreter.state import NO_ITEM, ActionInfo, CancelRequested, MatchSignals
from dramaturg.engine.language.parser import digest_of, parse_workflow, workflow_to_json
from dramaturg.engine.language.program import Program, compile_workflow
from dramaturg.engine.language.schema import ParameterSet

STRICT = ParameterSet({"n": {"type": "integer", "required": True}})
OPEN = ParameterSet(None)


class Plain(yaml.SafeDumper):
    """Writes what is there twice out twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class Case:
    """A workflow, and how the world behaves; printed as an author would write it."""

    def __init__(self, flow: Mapping[str, Any], script: Script) -> None:
        self.flow, self.script = flow, script

    @cached_property
    def text(self) -> str:
        """Return the workflow in YAML."""
        return yaml.dump(dict(self.flow), Dumper=Plain, sort_keys=False, default_flow_style=None, width=110)

    @cached_property
    def program(self) -> Program:
        """Return the workflow as the real parser and compiler have it.

        Raises:
            DefinitionError: the parser refuses it.
        """
        workflow = parse_workflow(self.text)
        return compile_workflow(workflow, digest_of(workflow_to_json(workflow)))

    def ordered(self, *order: int, batch: int = 1) -> Case:
        """Return the same case with the ends in another order."""
        return Case(self.flow, replace(self.script, order=order, batch=batch))

    def __repr__(self) -> str:
        endings = "".join(f"# {task}: {list(given)}\n" for task, given in self.script.endings.items())
        world = f"# order {list(self.script.order)}, {self.script.batch} at a time, cancelled: {self.script.cancel}\n"
        return f"\n{self.text}{endings}{world}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What can be seen of a run that has ended, by name."""

    facts: Mapping[str, Any]
    #: What ran whenever something was to end, the one that ended first.
    trace: Sequence[Sequence[Place]]

    def differences(self, other: Seen) -> list[str]:
        """Return a line for each fact in which two differ; `self` is the engine's."""
        names = sorted({*self.facts, *other.facts})
        texts = [
            f"{name}:\n    engine {self.facts.get(name)}\n    model  {other.facts.get(name)}"
            for name in names
            if self.facts.get(name) != other.facts.get(name)
        ]
        for number, (mine, theirs) in enumerate(zip(self.trace, other.trace, strict=False)):
            if mine != theirs:
                texts.insert(0, f"choice {number}, what runs:\n    engine {mine}\n    model  {theirs}")
                break
        return texts


class Prompt(Rehearsal):
    """Does at once what the engine asks itself to do, so that a batch holds only what the world has done."""

    def step(self) -> bool:
        asked = [one for one in self.memory.inbox if isinstance(one, MatchSignals)]
        if not asked:
            return super().step()
        self.memory.inbox = [one for one in self.memory.inbox if not isinstance(one, MatchSignals)]
        self.memory.apply(*asked)
        return True


def rehearsal(case: Case, order: Order, *, checked: bool = True) -> Rehearsal:
    """Return the engine's run of a case, ready to be played."""

    def answer(one: Execution) -> Answer:
        ending = case.script.ending(place_of(one))
        error = Failure(type=ending.type, message="scripted") if ending.type else None
        return Answer(status=ending.status, result=ending.result, error=error)

    def choose(running: Sequence[Execution]) -> int:
        if order.is_time_to_cancel():
            memory.inbox.append(CancelRequested())
        places = [place_of(one) for one in running]
        return places.index(order.choose(places))

    memory = Memory(case.program, actions=action)
    return Prompt(memory, answer, choose=choose, batch=case.script.batch, checked=checked)


def place_of(one: Execution) -> Place:
    """Return which attempt an execution is at."""
    return one.made.task, one.made.visit, one.made.item, one.attempt


def action(ref: str) -> ActionInfo | None:
    """Return what is known of an action."""
    if ref == "core.sleep":
        return ActionInfo(ref=ref, kind="wait", parameters=OPEN)
    kind = KINDS.get(ref)
    if kind is None:
        return None
    digest = "0" * 64 if kind == "workflow" else None
    parameters = STRICT if ref == "t.strict" else OPEN
    return ActionInfo(ref=ref, kind=kind, parameters=parameters, digest=digest)  # type: ignore[arg-type]


def by_engine(case: Case, *, checked: bool = True) -> Seen:
    """Play a case with the engine."""
    order = Order(case.script)
    return seen_of(rehearsal(case, order, checked=checked).play(), order)


def seen_of(memory: Memory, order: Order) -> Seen:
    """Return what can be seen of a run that was played."""
    assert memory.end is not None
    facts: dict[str, Any] = {
        "run": (memory.end.status, _type(memory.end.error), memory.end.output),
        "errors": sorted(_errors(memory), key=str),
        "variables": dict(memory.variables),
        "visits": [],
    }
    attempts = _attempts(memory)
    for event in memory.events("task_completed"):
        one = memory.executions[str(event.task), event.visit or 0, NO_ITEM]
        rows = memory.rows(one.made.task, one.made.visit)
        facts["visits"].append(one.key[:2])
        facts[f"{event.task} {event.visit}"] = (
            one.status,
            _type(one.error),
            attempts.get(one.key),
            result_of(memory, one),
        )
        for row in rows:
            ended = (row.status, _type(row.error), attempts.get(row.key, 0), row.result)
            facts[f"{event.task} {event.visit} item {row.made.item}"] = ended
    for name, task in memory.tasks.items():
        facts[f"latest {name}"] = (task.visits, task.status, task.attempts)
    facts["visits"].sort()
    return Seen(facts, order.trace)


def result_of(memory: Memory, one: Execution) -> Any:
    """Return the result of a visit: a list of its items', a map of those of the tasks inside, or its own."""
    if one.made.kind == "fanout":
        return [row.result for row in memory.rows(one.made.task, one.made.visit)]
    if one.made.kind == "parallel":
        members = memory.program.tasks[one.made.task].members
        return {name: result_of(memory, memory.executions[name, one.made.visit, NO_ITEM]) for name in members}
    return one.result


def _attempts(memory: Memory) -> dict[tuple[str, int, int], int]:
    """Return how many attempts the history counts for each visit and item."""
    found: dict[tuple[str, int, int], int] = {}
    for event in memory.events("items_completed"):
        whole = (str(event.task), event.visit or 0, NO_ITEM)
        for item, attempts, _ in event.data["items"]:
            found[*whole[:2], item] = attempts
            found[whole] = max(found.get(whole, 0), attempts)
    for event in memory.events("task_completed"):
        key = (str(event.task), event.visit or 0, NO_ITEM)
        found[key] = found.get(key, 0) if event.attempt is None else event.attempt
    return found


def _errors(memory: Memory) -> list[tuple[Any, ...]]:
    found = [event.data["error"] for event in memory.events("task_completed") if event.data.get("error")]
    for event in memory.events("run_ended"):
        own = event.data.get("error")
        found += [own] if own and own not in found else []
        found += event.data.get("errors") or []
    return [_place(error) for error in found]


def _place(error: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(error.get(name) for name in ("type", "task", "visit", "item"))


def _type(error: Failure | None) -> str | None:
    return error.type if error else None


def by_model(case: Case) -> Seen:
    """Play a case with the reference model."""
    parameters = {name: one["default"] for name, one in case.flow.get("parameters", {}).items()}
    run = reference.Run(case.flow, case.script, parameters).play()
    facts: dict[str, Any] = {
        "run": (run.status, (run.error or {}).get("type"), run.output),
        "errors": sorted((_place(error) for error in run.errors), key=str),
        "variables": run.variables,
        "visits": sorted((visit.task, visit.number) for visit in run.completed),
    }
    for visit in run.completed:
        error = (visit.error or {}).get("type")
        facts[f"{visit.task} {visit.number}"] = (visit.status, error, visit.attempts, visit.result)
        for work in visit.works if visit.fans_out else ():
            error = (work.error or {}).get("type")
            attempts = 0 if work.status == "skipped" else work.attempt
            facts[f"{visit.task} {visit.number} item {work.item}"] = (
                work.status,
                error,
                attempts,
                work.result,
            )
        facts[f"latest {visit.task}"] = max(
            (one.number, one.status, one.attempts) for one in run.visits_of(visit.task)
        )
    return Seen(facts, run.order.trace)


def check(case: Case) -> None:
    """Compare the engine with the model.

    Raises:
        AssertionError: with what differs.
    """
    differences = by_engine(case, checked=False).differences(by_model(case))
    assert not differences, "\n".join(["the engine and the model differ:", *differences])
