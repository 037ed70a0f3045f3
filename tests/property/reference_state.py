"""What the reference model keeps, and what expressions can name of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from scripts import KINDS, Ending, Order, Place, Script


@dataclass
class Token:
    """What a transition puts on a task."""

    task: str
    origin: str | None = None
    #: How many rounds of each join lie in its past.
    past: dict[str, int] = field(default_factory=dict)
    #: It was put beside a `fail`, or follows from one that was.
    spared: bool = False
    #: The visit of a parallel task that it belongs to.
    group: Visit | None = None


@dataclass(eq=False)
class Work:
    """What somebody does for a visit: the visit's own work, or one of its items."""

    visit: Visit
    item: int
    #: held (an item whose turn has not come), delayed, requested, running, waiting, returned; then an outcome.
    status: str
    input: dict[str, Any] = field(default_factory=dict)
    attempt: int = 1
    lost: int = 0
    due: float | None = None
    result: Any = None
    error: dict[str, Any] | None = None
    stop: bool = False
    #: How the attempt that has returned ended.
    ending: Ending | None = None

    @property
    def place(self) -> Place:
        return self.visit.task, self.visit.number, self.item, self.attempt

    @property
    def over(self) -> bool:
        return self.status in ("succeeded", "failed", "timed_out", "cancelled", "skipped")


@dataclass(eq=False)
class Visit:
    """One visit of a task."""

    task: str
    number: int
    token: Token
    status: str | None = None
    attempts: int = 0
    result: Any = None
    error: dict[str, Any] | None = None
    works: list[Work] = field(default_factory=list)
    fans_out: bool = False
    #: No further item, or task inside, is started.
    stopped: bool = False
    concurrency: int | None = None
    #: Of a parallel task: the visits inside.
    inside: list[Visit] = field(default_factory=list)
    #: It was skipped because the others had to stop, not because of its own `when`.
    held: bool = False
    #: When its time is over, and whether it was.
    deadline: float | None = None
    late: bool = False


class State:
    """Everything that there is of a run, in lists and dicts."""

    def __init__(self, flow: Mapping[str, Any], script: Script, parameters: Mapping[str, Any]) -> None:
        self.flow, self.script, self.parameters = flow, script, dict(parameters)
        #: All tasks, those inside parallel ones too; and the names of the others.
        self.tasks: dict[str, dict[str, Any]] = dict(every_task(flow["tasks"]))
        self.outer = list(flow["tasks"])
        self.order = Order(script)
        self.variables: dict[str, Any] = {}
        self.visits: list[Visit] = []
        self.completed: list[Visit] = []
        #: [{"task", "round", "arrived", "past", "spared", "fired"}]
        self.rounds: list[dict[str, Any]] = []
        self.tokens: list[Token] = []
        self.inbox: list[Callable[[], None]] = []
        self.elapsed = 0.0
        self.deadline: float | None = None
        #: (status, error), once it is decided how the run ends.
        self.closing: tuple[str, Any] | None = None
        #: Nothing is spared any more.
        self.all_stops = False
        self.over = False
        self.status, self.error = "", None
        self.errors: list[Any] = []
        self.output: dict[str, Any] = {}

    def visits_of(self, task: str) -> list[Visit]:
        return [visit for visit in self.visits if visit.task == task]

    def before(self, task: str) -> list[str]:
        """Return the distinct tasks that have a transition to a task."""
        return [
            name
            for name, one in self.tasks.items()
            if any(task in transition.get("do", []) for transition in one.get("next", []))
        ]

    def names(self, **more: Any) -> dict[str, Any]:
        """Return what expressions can name (LANGUAGE 7); `more` goes first, bare variables last."""
        tasks = {name: self.describe(name) for name in self.tasks}
        return {
            **self.variables,
            "workflow": self.variables,
            "parameters": self.parameters,
            "task": tasks,
            **more,
        }

    def describe(self, task: str) -> dict[str, Any]:
        """Return `task.<name>`: the latest visit; nulls where there is none (LANGUAGE is silent)."""
        if not self.visits_of(task):
            return {"status": None, "result": None, "error": None, "attempts": 0, "visit": 0, "items": None}
        visit = self.visits_of(task)[-1]
        return {
            "status": visit.status or "running",
            "result": visit.result,
            "error": visit.error,
            "attempts": visit.attempts,
            "visit": visit.number,
            "items": visit.works
            and [{"status": w.status, "result": w.result, "error": w.error} for w in visit.works],
        }

    def failure(self, visit: Visit, type: str, item: int = -1, attempt: int | None = None) -> dict[str, Any]:
        """Return an error object, without its message."""
        place = {"type": type, "task": visit.task, "visit": visit.number}
        place |= {} if item < 0 else {"item": item}
        return place | ({} if attempt is None else {"attempt": attempt})

    def around(self, visit: Visit) -> Iterator[Visit]:
        """Give the visits of the parallel tasks that a visit is inside of, the nearest one first."""
        while visit.token.group is not None:
            visit = visit.token.group
            yield visit


DONE_WAITING = Ending("succeeded", {})


def at_once(task: dict[str, Any]) -> str:
    """Return what becomes of work that may start: a nested run starts, other work waits for a worker."""
    return "running" if KINDS[task["action"]] == "workflow" else "requested"


def words(status: str | None, result: Any, error: Any) -> dict[str, Any]:
    """Return the words about what just completed."""
    outcomes = ("succeeded", "failed", "timed_out", "cancelled", "skipped")
    said: dict[str, Any] = {word: (lambda word=word: word == status) for word in outcomes}
    return said | {
        "completed": lambda: True,
        "always": lambda: True,
        "result": lambda: result,
        "error": lambda: error,
    }


def highest(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Return the higher count of each join."""
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}


def seconds(value: Any) -> float:
    """Return a duration: seconds, or a text such as "5m"."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    if isinstance(value, str):
        return float(value[:-1]) * units[value[-1]]
    return float(value)


def every_task(tasks: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give all tasks by name, each before those inside it."""
    for name, task in tasks.items():
        yield name, task or {}
        yield from every_task((task or {}).get("tasks", {}))
