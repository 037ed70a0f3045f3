"""What the names of an expression stand for, checked when it is compiled (the table of LANGUAGE 7).

:class:`Resolver` turns a name, or a name with its first fields, into what reads it from a scope, notes what is
read, and refuses what can't be known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import Fault, Missing, did_you_mean
from dramaturg.engine.expressions.forms import constant
from dramaturg.engine.expressions.functions import FUNCTIONS
from dramaturg.engine.expressions.sandbox import Evaluate, Frame, plain
from dramaturg.engine.expressions.scope import Names, Reads
from dramaturg.engine.secret import Keystore, Secret

VARIABLES = frozenset({"workflow", "vars", "variables"})
TASKS = frozenset({"task", "tasks"})
ITEMS = frozenset({"item", "index"})
#: Names with one flag of the same name in Reads.
PLAIN = frozenset({"parameters", "config", "system", "output"})
#: Names that no variable hides.
TABLE = VARIABLES | TASKS | ITEMS | PLAIN | {"keystore", "null"}
TASK_FIELDS = frozenset({"status", "result", "error", "attempts", "items", "visit", "execution_id"})
SYSTEM_FIELDS = frozenset(
    {"run_id", "root_id", "parent_id", "workflow", "workflow_start", "now", "task", "visit"}
)
#: Words that ask how the task ended that has just completed; `completed` is any end.
OUTCOMES = frozenset({"succeeded", "failed", "timed_out", "cancelled", "skipped"})
WORDS = OUTCOMES | {"completed", "always"}
#: Calls that read the task that has just completed.
LATEST = frozenset({"result", "error"})


@dataclass(frozen=True, slots=True)
class Step:
    """One literal field behind a name: its key, and where it is written."""

    key: JSON
    offset: int


class Resolver:
    """Resolves the names of one expression and gathers what it reads."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.reads = Reads()

    def resolve(self, name: str, steps: list[Step], offset: int) -> tuple[Evaluate, str, int]:
        """Return what reads *name* and as many of the literal *steps* behind it as belong to it.

        Args:
            offset: where the name stands.
        Returns:
            The evaluator, its path as written, and how many steps it has used.
        Raises:
            Fault: the name, or a field of it, is not known here.
        """
        first = steps[0] if steps else None
        if name in TASKS:
            return self._task(name, steps, offset)
        if name in VARIABLES:
            if first is None or not isinstance(first.key, str):
                self.reads |= Reads(all_variables=True)
                return _root("workflow", name, offset), name, 0
            self._variable(first.key, first.offset)
            path = f"{name}.{first.key}"
            return _variable("workflow", first.key, path, offset), path, 1
        if name == "null":
            return _nothing, name, 0
        if name in self.names.items:
            self.reads |= Reads(item=True)
            return _root(name, name, offset), name, 0
        if name in PLAIN:
            self._plain(name, first)
            return _root(name, name, offset), name, 0
        if name == "keystore" and self.names.keystore:
            return self._secret(first)
        if name in TABLE:
            raise self._not_here(name)
        self._bare(name)
        return _variable(None, name, name, offset), name, 0

    def outcome(self, word: str) -> Evaluate:
        """Return what says whether the task that has just completed ended so.

        Raises:
            Fault: no task has just completed at this place.
        """
        if word == "always":
            return always
        self._needs_outcome(f"{word}()")
        if word == "completed":
            return lambda frame: frame.scope.outcome() is not None
        return lambda frame: frame.scope.outcome() == word

    def latest(self, call: str) -> Evaluate:
        """Return what reads result() or error().

        Raises:
            Fault: no task has just completed at this place.
        """
        self._needs_outcome(f"{call}()")
        if call == "result":
            self.reads |= Reads(result=True)
            return lambda frame: frame.scope.result()
        self.reads |= Reads(error=True)
        return lambda frame: frame.scope.error()

    def _needs_outcome(self, what: str) -> None:
        if not self.names.outcome:
            raise Fault(
                f"{what} is only known in transitions and in retry.when",
                hint="task.<name> has what a task left",
            )

    def _plain(self, name: str, first: Step | None) -> None:
        if name == "output" and not self.names.output:
            raise self._not_here(name)
        if name == "system" and first is not None and first.key not in SYSTEM_FIELDS:
            key = str(first.key)
            raise Fault(f"system has no {key!r}", first.offset, hint=did_you_mean(key, SYSTEM_FIELDS))
        self.reads |= {
            "parameters": Reads(parameters=True),
            "config": Reads(config=True),
            "system": Reads(system=True),
            "output": Reads(output=True),
        }[name]

    def _not_here(self, name: str) -> Fault:
        if name == "keystore":
            return Fault(
                "keystore is only known in a task's input",
                hint="what a worker is to use is written where it gets it",
            )
        hint = f"write workflow.{name} for the variable" if name in self.names.variables else ""
        return Fault(
            f"{name} is only known in {'output_map' if name == 'output' else 'with_items'}", hint=hint
        )

    def _secret(self, first: Step | None) -> tuple[Evaluate, str, int]:
        if first is None or not isinstance(first.key, str):
            raise Fault("keystore wants the name of a secret, written out: keystore.<name>")
        self.reads |= Reads(keystore=frozenset({first.key}))
        return constant(Secret(Keystore(first.key))), f"keystore.{first.key}", 1

    def _variable(self, name: str, offset: int) -> None:
        if name not in self.names.variables:
            raise Fault(
                f"there is no variable {name!r}", offset, hint=did_you_mean(name, self.names.variables)
            )
        self.reads |= Reads(variables=frozenset({name}))

    def _bare(self, name: str) -> None:
        if name in self.names.variables:
            self.reads |= Reads(variables=frozenset({name}))
            return
        if name in WORDS or name in LATEST or name in FUNCTIONS:
            raise Fault(f"there is no name {name!r}", hint=f"write {name}(...) to call the function")
        raise Fault(f"there is no name {name!r}", hint=self._nearest(name))

    def _nearest(self, name: str) -> str:
        if name in self.names.tasks:
            return f"write task.{name} for the task"
        known = self.names.variables | self.names.items | PLAIN | VARIABLES | TASKS
        return did_you_mean(name, known)

    def _task(self, name: str, steps: list[Step], at: int) -> tuple[Evaluate, str, int]:
        if not steps or not isinstance(steps[0].key, str):
            raise Fault(f"{name} wants the name of a task, written out: {name}.<name>")
        task, offset = steps[0].key, steps[0].offset
        if task not in self.names.tasks:
            dashed = sorted(known for known in self.names.tasks if known.startswith(f"{task}-"))
            hint = f"write {name}[{dashed[0]!r}]" if dashed else did_you_mean(task, self.names.tasks)
            raise Fault(f"there is no task {task!r}", offset, hint=hint)
        path = f"{name}.{task}"
        if len(steps) == 1:
            self.reads |= Reads(tasks=frozenset({(task, "*")}))
            return _whole_task(task, path, at), path, 1
        field = steps[1].key
        if field not in TASK_FIELDS:
            hint = did_you_mean(str(field), TASK_FIELDS) or "a task has " + ", ".join(sorted(TASK_FIELDS))
            raise Fault(f"{path} has no {field!r}", steps[1].offset, hint=hint)
        self.reads |= Reads(tasks=frozenset({(task, str(field))}))
        return _task_field(task, str(field), path, at), f"{path}.{field}", 2


def _nothing(frame: Frame) -> JSON:
    return None


def always(frame: Frame) -> JSON:
    """Return true: what the word `always` stands for."""
    return True


def _root(root: str, path: str, offset: int) -> Evaluate:
    def evaluate(frame: Frame) -> JSON:
        try:
            value = frame.scope.name(root)
        except KeyError:
            raise Missing(f"{path} is not there", offset) from None
        return value if type(value) is dict else plain(value)

    return evaluate


def _variable(root: str | None, name: str, path: str, offset: int) -> Evaluate:
    """Return what reads a variable: a field of *root*, or a name of its own."""

    def evaluate(frame: Frame) -> JSON:
        try:
            return frame.scope.name(name) if root is None else frame.scope.name(root)[name]
        except KeyError:
            raise Missing(f"{path}: the variable has no value yet", offset) from None

    return evaluate


def _task_fields(frame: Frame, task: str, path: str, offset: int) -> Mapping[str, JSON]:
    try:
        fields: Mapping[str, JSON] | None = frame.scope.name("task")[task]
    except KeyError:
        fields = None
    if fields is None:
        raise Missing(f"{path}: the task has not run yet", offset)
    return fields


def _whole_task(task: str, path: str, offset: int) -> Evaluate:
    return lambda frame: dict(_task_fields(frame, task, path, offset))


def _task_field(task: str, field: str, path: str, offset: int) -> Evaluate:
    def evaluate(frame: Frame) -> JSON:
        try:
            return _task_fields(frame, task, path, offset)[field]
        except KeyError:
            raise Missing(f"{path}.{field}: the task has none", offset) from None

    return evaluate
