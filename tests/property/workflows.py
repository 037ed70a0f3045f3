"""Random workflows that the parser accepts, and random worlds for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comparison import Case
from hypothesis import strategies as st
from reference_state import every_task
from scripts import Ending, Script

from dramaturg.engine.errors import DefinitionError

NAMES = "abcdefghijklmnopqrstuvwxyz"

#: Mostly true, so that most runs come far.
WHENS = [
    *[None] * 30,
    *["succeeded", "completed"] * 5,
    "not failed()",
    "{{ n < 2 }}",
    "{{ n < parameters.p and not failed() }}",
    "{{ default(result().ok, true) }}",
    "{{ default(result().n, 0) > 1 }}",
    "{{ default(error().type, '') != 'Boom' }}",
    "failed",
    "timed_out",
    "cancelled",
    "skipped",
    "not succeeded()",
    "failed() or timed_out()",
    False,
]
#: Conditions that may fail to be evaluated, or that look at other tasks.
RISKY = ["{{ result().ok }}", "{{ x == 1 }}", "{{ error().type == 'Boom' }}"]
PUBLISHES: list[Any] = [
    {"n": "{{ n + 1 }}"},
    "x",
    {"x": "{{ result() }}"},
    {"m": "{{ default(result().n, 0) + n }}"},
    {"x": 1, "m": "{{ [n, 'é', default(x, null)] }}"},
    {"s": "n is {{ n }}, {{ null }}{{ true }}"},
]
VALUES: list[Any] = [None, 1, {"n": 2, "ok": True}, {"n": 0, "ok": False}, [1, 2, 3], "text", []]
DONE = [Ending("succeeded", value) for value in VALUES]
UNDONE = [Ending("failed", None, "Boom"), Ending("failed", None, "Other"), Ending("timed_out")]
ENDINGS = [*DONE * 2, *UNDONE]
NESTED = [*ENDINGS, Ending("failed", {"n": 3}, "Boom"), Ending("cancelled", None, "Cancelled")]
RETRY_WHENS = [
    "failed",
    "timed_out",
    "{{ succeeded() and default(result().n, 5) < 2 }}",
    "completed",
    "{{ result().ok }}",
]


def one_in(chances: int) -> st.SearchStrategy[bool]:
    """Return true once in so many times; false is simpler."""
    return st.integers(0, chances - 1).map(lambda number: number == chances - 1)


def maybe(given: st.SearchStrategy[Any], chances: int) -> st.SearchStrategy[Any]:
    """Return a value once in so many times, else None."""
    return one_in(chances).flatmap(lambda yes: given if yes else st.none())


RETRIES = st.fixed_dictionaries(
    {"count": st.integers(1, 3)},
    optional={
        "delay": st.sampled_from([1, 3, "2s"]),
        "backoff": st.sampled_from(["constant", "linear", "exponential"]),
        "max_delay": st.just(4),
        "when": st.sampled_from(RETRY_WHENS),
        "non_retryable": st.just(["Boom"]),
    },
)
ITEM_LISTS = st.sampled_from(
    [
        [1, 2, 3],
        [],
        [1],
        "{{ range(4) }}",
        "{{ [n, n, n] }}",
        "{{ default(x, []) }}",
        [{"n": 1}, {"n": "a"}, 3],
    ]
)
ITEMS = st.fixed_dictionaries(
    {"with_items": ITEM_LISTS},
    optional={
        "concurrency": st.sampled_from([1, 2, 5, "{{ parameters.p }}"]),
        "batch_size": st.sampled_from([1, 2, "{{ parameters.p }}"]),
        "on_item_failure": st.sampled_from(["finish_started", "run_all", "cancel_started"]),
    },
)


#: Never the moment at which something else is due.
LIMITS = st.sampled_from([0.5, 1.5, 2.5])


@st.composite
def works(draw: st.DrawFn, risky: bool = True) -> dict[str, Any]:
    """Return what a task does, without its place in the graph."""
    kinds = ["t.work"] * 12 + ["junction", "items", "items", "items", "t.nested", "core.sleep"]
    kinds += ["t.missing", "t.strict"] if risky else []
    kind = draw(st.sampled_from(kinds))
    if kind == "junction":
        return {}
    task: dict[str, Any] = {"action": kind if kind != "items" else "t.work"}
    if kind == "core.sleep":
        return {**task, "input": {"seconds": draw(st.integers(1, 3))}}
    if kind == "items":
        task["action"] = draw(st.sampled_from(["t.work", "t.work", "t.nested", "core.sleep"]))
        task |= draw(ITEMS)
        if task["action"] != "core.sleep" and draw(one_in(5)):
            # Two names for each item, some of which are pairs.
            task |= {"with_items": "v, w in [[1, 2], [n, x], parameters.p]", "input": {"v": "{{ w }}"}}
            task.pop("batch_size", None)
        elif task["action"] == "core.sleep":
            task["input"] = {"seconds": "{{ index + 1 }}"}
        elif risky and draw(one_in(4)):
            task |= {
                "action": "t.strict",
                "input": {"n": draw(st.sampled_from(["{{ item }}", "{{ item.n }}"]))},
            }
    elif kind == "t.strict":
        task["input"] = {"n": draw(st.sampled_from(["{{ n }}", "{{ default(x, 1) }}", "{{ x.n }}"]))}
    if task["action"] != "core.sleep":
        task |= _some(draw, retry=(RETRIES, 3), on_lost=(st.just("fail"), 8))
    return task | _some(draw, delay=(st.integers(1, 2), 6), total_timeout=(LIMITS, 8))


@st.composite
def groups(draw: st.DrawFn, name: str, depth: int = 2) -> dict[str, Any]:
    """Return a parallel task: what is inside is called as it is, with a number behind."""
    inner: dict[str, Any] = {}
    for number in range(1, draw(st.integers(1, 3)) + 1):
        one = f"{name}{number}"
        inner[one] = draw(groups(one, depth - 1)) if depth and draw(one_in(6)) else draw(works())
        inner[one] |= _some(draw, when=(st.sampled_from(["{{ n > 0 }}", "{{ x }}", False]), 8))
    policy = (st.sampled_from(["run_all", "cancel_started"]), 2)
    return {
        "type": "parallel",
        "tasks": inner,
        **_some(draw, on_item_failure=policy, total_timeout=(LIMITS, 8)),
    }


def _some(draw: st.DrawFn, **given: tuple[st.SearchStrategy[Any], int]) -> dict[str, Any]:
    found = {name: draw(maybe(*one)) for name, one in given.items()}
    return {name: value for name, value in found.items() if value is not None}


class Graph:
    """A graph that is made of blocks: sequences, forks that join, choices and loops, one inside the other."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.joins: dict[str, Any] = {}
        #: (from, to, when, publish), in the order in which they are made.
        self.edges: list[tuple[str, str, Any, list[Any]]] = []
        self.names: list[str] = []

    def make(self) -> str:
        """Return a new task's name."""
        self.names.append(NAMES[len(self.names)])
        return self.names[-1]

    def link(self, one: str, other: str, when: Any = "?", publish: Sequence[Any] = ()) -> None:
        """Let one task lead to another; without a condition under any that comes along."""
        condition = self.draw(st.sampled_from(WHENS)) if when == "?" else when
        self.edges.append((one, other, condition, list(publish)))

    def block(self, size: int) -> tuple[str, str]:
        """Make a block of so many tasks, about; return its first and its last one."""
        if size <= 1:
            name = self.make()
            return name, name
        kinds = [self.sequence, self.fork, self.fork, self.fork, self.loop, self.choice]
        return self.draw(st.sampled_from(kinds))(size)

    def sequence(self, size: int) -> tuple[str, str]:
        first, one = self.block(size // 2)
        other, last = self.block(size - size // 2)
        self.link(one, other)
        return first, last

    def loop(self, size: int) -> tuple[str, str]:
        first, last = self.block(size)
        turns = self.draw(st.integers(1, 3))
        self.link(last, first, f"{{{{ n < {turns} }}}}", [{"n": "{{ n + 1 }}"}])
        return first, last

    def fork(self, size: int) -> tuple[str, str]:
        first, last = self.make(), self.make()
        count = self.draw(st.sampled_from([2, 2, 3] if size > 4 else [2]))
        for _ in range(count):
            one, other = self.block((size - 2) // count)
            self.link(first, one)
            self.link(other, last)
        self.joins[last] = self.draw(st.sampled_from(["all", "all", "all", *range(1, count + 1), None]))
        return first, last

    def choice(self, size: int) -> tuple[str, str]:
        first, last = self.make(), self.make()
        for when in self.draw(
            st.sampled_from([("succeeded", "not succeeded()"), ("{{ n < 1 }}", "{{ n >= 1 }}")])
        ):
            one, other = self.block((size - 2) // 2)
            self.link(first, one, when)
            self.link(other, last)
        return first, last


@st.composite
def flows(draw: st.DrawFn) -> dict[str, Any]:
    """Return a workflow that the parser may yet refuse for a join that nobody can meet."""
    graph = Graph(draw)
    graph.block(draw(st.sampled_from([2, 3, 4, 5, 6, 7, 8])))
    if draw(one_in(4)):
        graph.block(draw(st.integers(1, 2)))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        graph.link(*draw(st.tuples(st.sampled_from(graph.names), st.sampled_from(graph.names))))
    wild = draw(one_in(3))
    tasks = {name: draw(groups(name)) if draw(one_in(8)) else draw(works(risky=wild)) for name in graph.names}
    for name in graph.names:
        tasks[name] |= _some(draw, when=(st.sampled_from(["{{ n > 0 }}", "{{ x }}", False]), 15))
        transitions = _transitions(draw, [edge[1:] for edge in graph.edges if edge[0] == name], wild)
        if not wild:
            transitions.append({"when": "not succeeded()", "do": ["noop"]})
        if transitions:
            tasks[name]["next"] = transitions
        if graph.joins.get(name) is not None:
            tasks[name]["join"] = graph.joins[name]
    flow: dict[str, Any] = {
        "ref": "t.flow",
        "parameters": {"p": {"type": "integer", "default": 2}},
        "vars": {"n": 0, "x": draw(st.sampled_from([None, 1, [1, 2]])), "m": "{{ n }}", "s": ""},
        "tasks": tasks,
        "output_map": {"n": "{{ n }}", "m": "{{ [output.n, m, s] }}"},
        "limits": {"visits": draw(st.sampled_from([5, 4, 3, 2, 1]))},
    }
    forward = {other for one, other, *_ in graph.edges if graph.names.index(one) < graph.names.index(other)}
    entry = [name for name in graph.names if name not in forward and name not in graph.joins]
    if any(other in entry for _, other, *_ in graph.edges):
        flow["start"] = entry
    if draw(one_in(12)):
        task = draw(st.sampled_from(graph.names))
        flow["output_map"] |= {"r": f"{{{{ task.{task}.result.n }}}}", "t": f"{{{{ task.{task}.status }}}}"}
    flow |= _some(draw, cancellation_policy=(st.just("cancel_running"), 4), timeout=(st.integers(1, 6), 12))
    return flow


def _transitions(draw: st.DrawFn, edges: list[Any], wild: bool) -> list[dict[str, Any]]:
    """Spread what follows a task over its transitions, and put a few things between."""
    found: list[dict[str, Any]] = []
    for target, when, publish in edges:
        last = found[-1] if found else None
        if last and last["when"] == when and target not in last["do"] and not publish and draw(st.booleans()):
            last["do"].append(target)
        else:
            found.append({"when": when, "publish": publish, "do": [target]})
    for one in found:
        if wild and draw(one_in(8)):
            one["when"] = draw(st.sampled_from(RISKY))
        if draw(one_in(3)):
            one["publish"].append(draw(st.sampled_from(PUBLISHES)))
        if draw(one_in(25)):
            one["do"].append("fail")
    for _ in range(draw(st.sampled_from([0, 0, 0, 1]))):
        do = draw(st.sampled_from([["noop"], [], ["continue"], ["fail"], ["succeed"]]))
        new = {"when": draw(st.sampled_from(WHENS)), "publish": [draw(st.sampled_from(PUBLISHES))], "do": do}
        found.insert(draw(st.integers(0, len(found))), new)
    return [{key: value for key, value in one.items() if value not in (None, [])} for one in found]


@st.composite
def scripts(draw: st.DrawFn, flow: dict[str, Any]) -> Script:
    """Return how the world behaves towards a workflow."""
    endings: dict[str, list[Ending]] = {}
    for name, task in every_task(flow["tasks"]):
        if task.get("action") in (None, "core.sleep", "t.missing"):
            continue
        kinds = NESTED if task["action"] == "t.nested" else [*ENDINGS, Ending("lost")]
        given = draw(st.lists(st.sampled_from(kinds), max_size=3))
        if given:
            endings[name] = given
    order = tuple(draw(st.lists(st.integers(0, 5), max_size=30)))
    cancel = draw(maybe(st.integers(0, 6), 12))
    return Script(endings, order, draw(st.sampled_from([1, 1, 2, 3, 7])), cancel=cancel)


def accepted(case: Case) -> bool:
    """Say whether the parser takes a case's workflow."""
    try:
        assert case.program
    except DefinitionError:
        return False
    return True


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Return a case whose workflow the parser accepts."""
    flow = draw(flows())
    script = draw(scripts(flow))
    case = Case(flow, script)
    if not accepted(case):
        # Nearly always a join that can't be met; without joins the same graph is fine.
        for task in flow["tasks"].values():
            task.pop("join", None)
        case = Case(flow, script)
        assert case.program
    return case
