"""Random workflows that the parser accepts, and random worlds for them."""

from __future__ import annotations

from typing import Any

from comparison import Case
from hypothesis import strategies as st
from reference_state import every_task
from scripts import Ending, Script

from dramaturg.engine.errors import DefinitionError

NAMES = "abcdefghijkl"

WHENS = [
    None,
    "succeeded",
    "failed",
    "completed",
    "timed_out",
    "cancelled",
    "skipped",
    "not succeeded()",
    "failed() or timed_out()",
    "{{ succeeded() and default(result().ok, false) }}",
    "{{ n < 2 }}",
    "{{ n < parameters.p and not failed() }}",
    "{{ default(result().n, 0) > 1 }}",
    "{{ default(error().type, '') == 'Boom' }}",
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
ENDINGS = [Ending("succeeded", value) for value in VALUES] + [
    Ending("failed", None, "Boom"),
    Ending("failed", None, "Other"),
    Ending("timed_out"),
]
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
    kinds = ["t.work"] * 8 + ["junction", "items", "items", "items", "t.nested", "core.sleep"]
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


@st.composite
def flows(draw: st.DrawFn, most: int = 9) -> dict[str, Any]:
    """Return a workflow that the parser may yet refuse for a join that nobody can meet."""
    names = list(NAMES[: draw(st.integers(2, most))])
    tasks = {name: draw(groups(name)) if draw(one_in(8)) else draw(works()) for name in names}
    edges: dict[str, list[tuple[str, bool]]] = {name: [] for name in names}
    for index, name in enumerate(names[1:], 1):
        for _ in range(draw(st.sampled_from([1, 1, 1, 2, 2, 3, 0]))):
            edges[draw(st.sampled_from(names[:index]))].append((name, False))
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        index = draw(st.integers(0, len(names) - 1))
        edges[names[index]].append((draw(st.sampled_from(names[: index + 1])), True))
    named = {target for one in edges.values() for target, back in one if not back}
    entry = [name for name in names if name not in named]
    for name in names:
        tasks[name] |= _some(draw, when=(st.sampled_from(["{{ n > 0 }}", "{{ x }}", False]), 10))
        transitions = _transitions(draw, edges[name])
        if transitions:
            tasks[name]["next"] = transitions
    for name in names:
        before = sum(any(target == name for target, _ in edges[one]) for one in names)
        if before and name not in entry and draw(st.booleans()):
            tasks[name]["join"] = draw(st.sampled_from(["all", *range(1, before + 1)]))
    flow: dict[str, Any] = {
        "ref": "t.flow",
        "parameters": {"p": {"type": "integer", "default": 2}},
        "vars": {"n": 0, "x": draw(st.sampled_from([None, 1, [1, 2]])), "m": "{{ n }}", "s": ""},
        "tasks": tasks,
        "output_map": {"n": "{{ n }}", "m": "{{ [output.n, m, s] }}"},
        "limits": {"visits": draw(st.integers(1, 6))},
    }
    if any(back for one in edges.values() for _, back in one):
        flow["start"] = entry
    if draw(one_in(6)):
        task = draw(st.sampled_from(names))
        flow["output_map"] |= {"r": f"{{{{ task.{task}.result }}}}", "t": f"{{{{ task.{task}.status }}}}"}
    flow |= _some(draw, cancellation_policy=(st.just("cancel_running"), 4), timeout=(st.integers(1, 6), 8))
    return flow


def _transitions(draw: st.DrawFn, edges: list[tuple[str, bool]]) -> list[dict[str, Any]]:
    """Spread the edges of a task over its transitions; a way back has a condition, most of the time."""
    found: list[dict[str, Any]] = []
    for target, back in edges:
        if found and target not in found[-1]["do"] and draw(st.booleans()):
            found[-1]["do"].append(target)
            continue
        when = (
            draw(st.sampled_from(WHENS))
            if not back
            else draw(st.sampled_from(["{{ n < 2 }}", "{{ n < 3 }}", None]))
        )
        found.append({"when": when, "publish": [], "do": [target]})
        if back:
            found[-1]["publish"].append({"n": "{{ n + 1 }}"})
    for one in found:
        if draw(one_in(8)):
            one["when"] = draw(st.sampled_from(RISKY))
        if draw(one_in(3)):
            one["publish"].append(draw(st.sampled_from(PUBLISHES)))
        if draw(one_in(12)):
            one["do"].append("fail")
    for _ in range(draw(st.sampled_from([0, 0, 0, 1]))):
        do = draw(st.sampled_from([["noop"], ["fail"], ["succeed"], ["continue"], []]))
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
    order = tuple(draw(st.lists(st.integers(0, 5), max_size=20)))
    return Script(endings, order, draw(st.sampled_from([1, 1, 2, 3, 7])))


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
