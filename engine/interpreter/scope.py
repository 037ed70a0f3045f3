"""Where expressions get their values: the run's variables, tasks and parameters, as one turn sees them (LANGUAGE 7).

What a template reads is known from compiling it (`Reads`), so a scope hands out exactly that and no more, and all keys
can be asked for before the first template is rendered. A task's state leads to its latest visit, whose result and
error are keys of their own: two stages, hence :func:`first_keys` and :func:`second_keys`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import cast

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.expressions.compile import EvaluationError, Reads, Template
from dramaturg.engine.interpreter.state import UNSET, Key, TaskState
from dramaturg.engine.interpreter.turn import Ended, Turn

#: What `task.<name>` has: all of it is read where the task is used as a whole.
FIELDS = ("status", "attempts", "visit", "result", "error", "items", "execution_id")

#: Fields that are keys of their own, by visit.
_BY_VISIT = {"result": "result", "error": "error", "items": "task_items", "execution_id": "execution_id"}


def first_keys(reads: Reads) -> Iterator[Key]:
    """Yield the keys that are known from the template alone."""
    for name in reads.variables:
        yield ("var", name)
    if reads.all_variables:
        yield ("vars",)
    for task, _ in reads.tasks:
        yield ("task", task)
    if reads.parameters:
        yield ("parameters",)
    if reads.config:
        yield ("config",)


def second_keys(turn: Turn, reads: Reads) -> Iterator[Key]:
    """Yield the keys that depend on how often the tasks were visited."""
    for task, field in reads.tasks:
        state = turn.task(task)
        if state is None:
            continue
        for one in FIELDS if field == "*" else (field,):
            if one == "result":
                yield from result_keys(turn, task, state.visits)
            elif one in _BY_VISIT and (one != "items" or turn.program.tasks[task].with_items):
                yield (_BY_VISIT[one], task, state.visits)


def result_keys(turn: Turn, task: str, visit: int) -> Iterator[Key]:
    """Yield the keys of a visit's result; that of a parallel task is made of its members'."""
    yield ("result", task, visit)
    members = turn.program.tasks[task].members
    if members:
        yield ("items", task, visit)
    for name in members:
        yield from result_keys(turn, name, visit)


def require(turn: Turn, reads: Reads, more: Iterable[Key] = ()) -> None:
    """Make sure that everything that `reads` names can be read, and `more`.

    Raises:
        Missing: with all keys that are not there, of one stage.
    """
    turn.require((*first_keys(reads), *more))
    if reads.tasks:
        turn.require(second_keys(turn, reads))


def expression_failure(error: EvaluationError) -> Failure:
    """Return what is recorded of an expression that could not be evaluated: place, expression and cause."""
    return Failure(
        type="ExpressionError",
        message=str(error),
        details={"place": error.place, "expression": error.expression},
    )


class Scope:
    """Values for the templates of one place; implements `expressions.compile.Scope`.

    Args:
        task, visit: the task whose own field is rendered, for `system`.
        ended: the task that has just completed, for result(), error() and the outcome words.
        local: names of this place alone: `item` and `index`, or `output`. May be changed between renderings.
        changes: variables published so far by transitions that are not applied yet.
    """

    __slots__ = ("_changes", "_ended", "_reads", "_result", "_task", "_turn", "_visit", "local")

    def __init__(
        self,
        turn: Turn,
        *,
        task: str | None = None,
        visit: int | None = None,
        ended: Ended | None = None,
        result: Key | None = None,
        local: dict[str, JSON] | None = None,
        changes: Mapping[str, JSON] | None = None,
    ) -> None:
        self._turn = turn
        self._task = task
        self._visit = visit
        self._ended = ended
        self._result = result
        # Not a copy, and `or` would make one of an empty map: what is published later must be seen.
        self._changes = {} if changes is None else changes
        self._reads = Reads()
        self.local: dict[str, JSON] = {} if local is None else local

    def render(self, template: Template) -> JSON:
        """Render a template here."""
        if template.constant:
            return template.render(self)
        self._reads = template.reads
        return template.render(self)

    def test(self, template: Template) -> bool:
        """Say whether a condition holds here."""
        self._reads = template.reads
        return template.test(self)

    def name(self, root: str) -> JSON:
        """Return the value of a root name.

        Raises:
            KeyError: there is none, or nothing has set the variable yet.
        """
        if root in self.local:
            return self.local[root]
        if root in _ROOTS:
            return _ROOTS[root](self)
        value = self._variable(root)
        if value is UNSET:
            raise KeyError(root)
        return value

    def outcome(self) -> str | None:
        """Return the status of the task that has just completed."""
        return self._ended.status if self._ended else None

    def result(self) -> JSON:
        """Return the result of the visit that has just completed."""
        if self._result is not None:
            return self._turn.read(self._result)
        if self._ended is None:
            return None
        return result_of(self._turn, self._ended.task.name, self._ended.visit)

    def error(self) -> JSON:
        """Return the error object of the visit that has just completed, or null."""
        return self._ended.error.to_json() if self._ended and self._ended.error else None

    def now(self) -> str:
        """Return the time of this turn."""
        return self._turn.entropy.now()

    def uuid(self) -> str:
        """Return a new UUID."""
        return self._turn.entropy.uuid()

    def random(self) -> float:
        """Return a number in [0, 1)."""
        return self._turn.entropy.random()

    def _variable(self, name: str) -> JSON:
        return self._changes[name] if name in self._changes else self._turn.variable(name)

    def _variables(self) -> JSON:
        if self._reads.all_variables:
            return {**self._turn.all_variables(), **self._changes}
        values = {name: self._variable(name) for name in self._reads.variables}
        return {name: value for name, value in values.items() if value is not UNSET}

    def _tasks(self) -> JSON:
        tasks: dict[str, dict[str, JSON]] = {}
        for task, field in self._reads.tasks:
            fields = FIELDS if field == "*" else (field,)
            state = self._turn.task(task)
            tasks.setdefault(task, {}).update(
                (one, task_field(self._turn, task, state, one)) for one in fields
            )
        return tasks

    def _parameters(self) -> JSON:
        return self._turn.read(("parameters",))

    def _config(self) -> JSON:
        return self._turn.read(("config",))

    def _system(self) -> JSON:
        run = self._turn.run
        system: dict[str, JSON] = {
            "run_id": run.run_id,
            "root_id": run.root_id,
            "parent_id": run.parent_id,
            "workflow": self._turn.program.ref,
            "workflow_start": run.created_at,
            "now": self._turn.now,
        }
        if self._task is not None:
            system |= {"task": self._task, "visit": self._visit}
        return system


_ROOTS: dict[str, Callable[[Scope], JSON]] = {
    "workflow": Scope._variables,
    "vars": Scope._variables,
    "variables": Scope._variables,
    "task": Scope._tasks,
    "tasks": Scope._tasks,
    "parameters": Scope._parameters,
    "config": Scope._config,
    "system": Scope._system,
}


def task_field(turn: Turn, task: str, state: TaskState | None, field: str) -> JSON:
    """Return one field of `task.<name>`; null for a task that was never entered."""
    if state is None:
        return None
    if field == "visit":
        return state.visits
    if field in ("status", "attempts"):
        return getattr(state, field)
    if field == "result":
        return result_of(turn, task, state.visits)
    if field == "items":
        return _items_of(turn, task, state.visits)
    value = known_or_read(turn, (_BY_VISIT[field], task, state.visits))
    return value.to_json() if isinstance(value, Failure) else value


def known_or_read(turn: Turn, key: Key) -> JSON:
    """Return what this turn knows of a visit, else what the view says."""
    return turn.known[key] if key in turn.known else turn.read(key)


def result_of(turn: Turn, task: str, visit: int) -> JSON:
    """Return the result of a visit.

    A fan-out that ends in this turn: items that are not stored yet have none, so the list is filled up.
    """
    members = turn.program.tasks[task].members
    if members and turn.find_fan_out(task, visit) is not None:
        return {name: result_of(turn, name, visit) for name in members}
    value = known_or_read(turn, ("result", task, visit))
    fan = turn.items.get((task, visit))
    if fan is None:
        return value
    given = cast("list[JSON]", value or [])
    return given + [None] * (fan.total - len(given))


def _items_of(turn: Turn, task: str, visit: int) -> JSON:
    """Return status, result and error of each item; what ended in this turn is known better here (LANGUAGE 8)."""
    if turn.program.tasks[task].with_items is None:
        return None
    stored = cast("list[dict[str, JSON]]", known_or_read(turn, ("task_items", task, visit)) or [])
    fan = turn.items.get((task, visit))
    if fan is None:
        return stored
    absent = {"status": "scheduled", "result": None, "error": None}
    items = [dict(one) for one in stored] + [dict(absent) for _ in range(fan.total - len(stored))]
    for item, _, status, error in turn.batches.get((task, visit), ()):
        items[item] |= {"status": status, "error": error.to_json() if error else None}
    if fan.stopped:
        for one in items:
            if one["status"] == "scheduled":
                one["status"] = "skipped"
    return items
