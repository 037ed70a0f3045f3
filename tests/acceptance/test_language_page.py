"""docs/language.md is the contract: what is in its tables is taken, and stored whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dramaturg.engine.expressions.forms import FORMS
from dramaturg.engine.expressions.functions import FUNCTIONS, TESTS
from dramaturg.engine.language.parser import (
    parse_action,
    parse_workflow,
    workflow_from_json,
    workflow_to_json,
)

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "language.md").read_text(encoding="utf-8")

#: A value for each key of the tables, as it would be written.
VALUES = {
    "workflow": {
        "parameters": "{x: {type: string}}",
        "output": "{}",
        "vars": "{x: 1}",
        "tasks": None,
        "output_map": "{x: 1}",
        "start": "[one]",
        "timeout": "60",
        "cancellation_policy": "cancel_running",
        "unhandled_failure": "wait",
        "limits": "{visits: 10}",
        "tags": "[demo]",
        "label": "A label",
        "description": "A description",
        "version": "'2'",
    },
    "task": {
        "name": None,
        "action": None,
        "input": "{message: hello}",
        "when": "'{{ true }}'",
        "with_items": "[1, 2]",
        "concurrency": "2",
        "on_item_failure": "run_all",
        "delay": "1",
        "timeout": "60",
        "retry": "{count: 1, delay: 1, backoff: exponential, factor: 3, max_delay: 9, jitter: 0.5, when: failed}",
        "on_lost": "fail",
        "join": None,
        "queue": "slow",
        "priority": "5",
        "next": "[{when: failed, do: fail}]",
        "batch_size": "2",
        "schedule_timeout": "60",
        "total_timeout": "60",
        "heartbeat_timeout": "60",
        "type": "workflow",
        "tasks": None,
        "parent_close": "abandon",
        "__chart_meta__": "{x: 1}",
    },
}
#: Of the task that just completed: in a table of their own.
OUTCOMES = {
    "succeeded",
    "failed",
    "timed_out",
    "cancelled",
    "skipped",
    "completed",
    "always",
    "result",
    "error",
}
#: Tests of names, not of values.
DEFINED = {"defined", "undefined"}
#: Keys that mean nothing without another one.
COMPANIONS = {
    **dict.fromkeys(("concurrency", "on_item_failure", "batch_size"), "with_items: [1]"),
    "parent_close": "type: workflow",
}


def rows(section: str) -> Iterator[str]:
    """Give the keys of a section's first table."""
    part = PAGE.partition(f"\n## {section}")[2].partition("\n## ")[0]
    for line in part.splitlines():
        if line.startswith("| `"):
            yield from re.findall(r"`([^`]+)`", line.strip("| ").split(" | ", 1)[0])


def cases(section: str) -> list[str]:
    """Return the keys that can be tried alone."""
    values = VALUES["workflow" if section.startswith("3") else "task"]
    return [key for key in rows(section) if values[key] is not None]


def check(text: str) -> None:
    """Parse a workflow, and see that nothing of it is lost when it is stored."""
    workflow = parse_workflow(text, "page.yaml")
    assert workflow_from_json(workflow_to_json(workflow)) == workflow


def test_the_tables_have_every_key() -> None:
    """Sections 3 and 4: no key that the parser knows is left out."""
    assert set(rows("3. Workflows")) == set(VALUES["workflow"])
    assert set(rows("4. Tasks")) == set(VALUES["task"])


@pytest.mark.parametrize("key", cases("3. Workflows"))
def test_a_workflows_keys_are_as_the_page_says(key: str) -> None:
    """Each key of the table of section 3."""
    check(f"ref: a.b\ntasks: {{one: {{action: core.noop}}}}\n{key}: {VALUES['workflow'][key]}\n")


@pytest.mark.parametrize("key", cases("4. Tasks"))
def test_a_tasks_keys_are_as_the_page_says(key: str) -> None:
    """Each key of the table of section 4."""
    task = f"    action: core.echo\n    {key}: {VALUES['task'][key]}\n"
    task += f"    {COMPANIONS[key]}\n" if key in COMPANIONS else ""
    check(f"ref: a.b\ntasks:\n  one:\n{task}")


def test_a_parallel_task_has_tasks_inside() -> None:
    """Section 4: `type` and `tasks`, which need each other."""
    inside = "{left: {action: core.noop}, right: {action: core.noop}}"
    check(f"ref: a.b\ntasks: {{one: {{type: parallel, tasks: {inside}}}}}\n")


@pytest.mark.parametrize("runtime", ["python", "shell", "node", "dramatiq", "builtin"])
def test_every_runtime_is_taken_and_on_the_page(runtime: str) -> None:
    """Section 2."""
    assert parse_action(f"ref: a.b\nruntime: {runtime}\nentry_point: x\n", "page.yaml").runtime == runtime
    row = next(line for line in PAGE.splitlines() if line.startswith("| `runtime`"))
    assert f"`{runtime}`" in row


def test_a_secret_parameter_is_taken() -> None:
    """Section 2."""
    text = "ref: a.b\nruntime: python\nentry_point: x.py\nparameters: {p: {type: string, secret: true}}\n"
    assert parse_action(text, "page.yaml").parameters == {"p": {"type": "string", "secret": True}}


def listed(beginning: str) -> list[str]:
    """Return the names that follow in backticks, behind a line's beginning."""
    return PAGE.partition(f"{beginning}: `")[2].partition("`")[0].split()


def test_every_function_is_on_the_page_and_every_name_on_the_page_is_one() -> None:
    """Section 7: functions, filters and tests."""
    ours = listed("* Functions, also as filters on their first argument")
    jinjas = PAGE.partition("of Jinja's own `")[2].partition("`")[0].split()
    assert sorted({*ours, *jinjas}) == sorted({*FUNCTIONS, *FORMS} - OUTCOMES)
    assert len({*ours, *jinjas}) == len(ours) + len(jinjas)
    signs = {name for name in TESTS if not name.isidentifier()}
    long_forms = {"equalto", "greaterthan", "lessthan"}
    assert sorted(listed("* Tests, after `is`")) == sorted({*TESTS, *DEFINED} - signs - long_forms)


def test_only_true_and_false_are_truth_values() -> None:
    """Section 1: YAML 1.2."""
    workflow = parse_workflow("ref: a.b\nvars: [{x: yes}, {y: true}]\ntasks: {one: {action: core.noop}}\n")
    assert workflow.vars == (("x", "yes"), ("y", True))
