"""Random workflows whose outcome must not depend on the order in which siblings finish (LANGUAGE 6).

No unhandled failure, no `join: N`, no `succeed`, and nobody reads what a parallel branch still writes: each task
publishes a variable of its own. A task is entered by one transition, or by a join of all of them; a loop goes back from
one task only, which counts its own visits. Fan-outs either start all their items at once or go through all of them.
"""

from __future__ import annotations

from typing import Any

from comparison import Case
from hypothesis import strategies as st
from scripts import Ending, Script
from workflows import ENDINGS, NAMES, accepted, one_in

WHENS = [None, None, "succeeded", "completed", "not succeeded()", "{{ default(result().ok, true) }}"]
RETRIES = st.fixed_dictionaries(
    {"count": st.integers(1, 2)},
    optional={"delay": st.just(1), "when": st.sampled_from(["failed", "{{ default(result().n, 2) < 1 }}"])},
)
FANS: list[dict[str, Any]] = [
    {"with_items": [1, 2, 3]},
    {"with_items": "{{ range(4) }}", "concurrency": 2, "on_item_failure": "run_all"},
    {"with_items": []},
]


@st.composite
def indifferent(draw: st.DrawFn) -> Case:
    """Return a case that any order of completions should leave the same."""
    names = list(NAMES[: draw(st.integers(3, 9))])
    tasks: dict[str, dict[str, Any]] = {name: draw(_works()) for name in names}
    named: set[str] = set()
    for index, name in enumerate(names[1:], 1):
        count = draw(st.sampled_from([1, 1, 2, 3, 0]))
        parents = draw(
            st.lists(st.sampled_from(names[:index]), min_size=min(count, 1), max_size=count, unique=True)
        )
        for parent in parents:
            tasks[parent]["next"].append({"when": draw(st.sampled_from(WHENS)), "do": [name]})
        if parents:
            named.add(name)
        if len(parents) > 1:
            tasks[name]["join"] = "all"
    flow: dict[str, Any] = {
        "ref": "t.flow",
        "vars": {f"v_{name}": None for name in names},
        "tasks": tasks,
        "output_map": {name: f"{{{{ [task.{name}.status, task.{name}.result] }}}}" for name in names},
        "start": [name for name in names if name not in named],
    }
    if draw(st.booleans()):
        _loop(draw, names, tasks)
    for name, task in tasks.items():
        task["next"].append({"publish": [{f"v_{name}": "{{ result() }}"}], "do": ["noop"]})
        task["next"] = [
            {key: value for key, value in one.items() if value is not None} for one in task["next"]
        ]
    case = Case(flow, draw(_scripts(names)))
    if not accepted(case):
        for task in tasks.values():
            task.pop("join", None)
        case = Case(flow, case.script)
    return case


def _loop(draw: st.DrawFn, names: list[str], tasks: dict[str, dict[str, Any]]) -> None:
    """Let one task go back, to one that is entered without a join and that leads to it."""
    before: dict[str, set[str]] = {name: {name} for name in names}
    for name in names:
        for one in tasks[name]["next"]:
            before[one["do"][0]] |= before[name]
    last = draw(st.sampled_from(names))
    first = draw(st.sampled_from([name for name in names if name in before[last]]))
    if "join" not in tasks[first]:
        tasks[last]["next"].append({"when": f"{{{{ task.{last}.visit < 3 }}}}", "do": [first]})


@st.composite
def _works(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["work", "work", "work", "items", "junction", "sleep"]))
    if kind == "junction":
        return {"next": []}
    if kind == "sleep":
        return {"action": "core.sleep", "input": {"seconds": draw(st.integers(1, 3))}, "next": []}
    task: dict[str, Any] = {"action": draw(st.sampled_from(["t.work", "t.nested"]))}
    if kind == "items":
        task |= draw(st.sampled_from(FANS))
    if draw(one_in(3)):
        task["retry"] = draw(RETRIES)
    if draw(one_in(5)):
        task["delay"] = draw(st.integers(1, 2))
    return {**task, "next": []}


@st.composite
def _scripts(draw: st.DrawFn, names: list[str]) -> Script:
    endings = {
        name: draw(st.lists(st.sampled_from([*ENDINGS, Ending("lost")]), min_size=1, max_size=3))
        for name in names
    }
    return Script(endings, by_visit=False)
