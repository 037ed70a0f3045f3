"""docs/language.md is the contract: what is in its tables is taken, and its workflows end as stated below them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import page_plays
import pytest
import yaml
from language.library import Library
from language.seen import Seen
from page_plays import Stated
from scopes import EVERYTHING, DataScope

from dramaturg.engine.errors import DefinitionError
from dramaturg.engine.expressions.compile import compile_value
from dramaturg.engine.expressions.forms import FORMS
from dramaturg.engine.expressions.functions import FUNCTIONS, TESTS
from dramaturg.engine.interpreter.events import TYPES
from dramaturg.engine.language.model import COMMANDS, RetryDef
from dramaturg.engine.language.parser import (
    parse_action,
    parse_workflow,
    workflow_from_json,
    workflow_to_json,
)
from dramaturg.engine.packs.loader import load_packs

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGE = (DOCS / "language.md").read_text(encoding="utf-8")
#: Pages whose workflows are played.
PAGES = ("language.md", "language-details.md")

#: A value for each key of the tables, as it would be written.
VALUES = {
    "pack": dict.fromkeys(("ref", "config", "conf_schema", "label", "description", "version", "tags")),
    "action": {
        "ref": None,
        "label": "A label",
        "description": "A description",
        "tags": "[demo]",
        "runtime": None,
        "runner_type": None,
        "entry_point": None,
        "workflow_file": None,
        "parameters": "{x: {type: string, required: true, secret: true, position: 0}, y: {default: 1}}",
        "output": "{x: {type: string, secret: true}}",
        "parameter_delivery": "file",
        "parameter_format": "dotenv",
        "output_format": "jsonl",
        "timeout": "5m",
        "retry": "{count: 1, when: \"{{ error().type == 'Busy' }}\"}",
        "queue": "slow",
        "enabled": "false",
    },
    "workflow": {
        "ref": None,
        "enabled": "false",
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
#: The tables of keys: what the page calls each, and how its first line begins.
TABLES = {
    "pack": "| key of `pack.yaml` |",
    "action": "## 2. Actions",
    "workflow": "## 3. Workflows",
    "task": "## 4. Tasks",
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
#: The error types of the language (LANGUAGE 5), and those of its built-in actions.
ERRORS = {
    "ExitCode",
    "Timeout",
    "UnknownAction",
    "InvalidInput",
    "InvalidOutput",
    "ExpressionError",
    "LeaseLost",
}
ERRORS |= {"Cancelled", "Terminated", "LimitExceeded", "UnreachableJoin", "PayloadTooLarge", "Fail"}
ERRORS |= {"Conflict", "HttpError"}
#: What no rule of the language may say any more.
UNFINISHED = re.compile(r"not yet|to do|coming soon", re.IGNORECASE)


def table(beginning: str) -> Iterator[list[str]]:
    """Give the rows of the first table after a text, as cells."""
    after = PAGE.partition(beginning)[2]
    assert after, beginning
    started = False
    for line in after.splitlines()[1:]:
        if line.startswith("| "):
            started = True
            yield line.strip("| ").split(" | ")
        elif started and not line.startswith("|"):
            return


def quoted(cell: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def keys(of: str) -> list[str]:
    """Return the keys that a table lists."""
    return [key for cells in table(TABLES[of]) for key in quoted(cells[0])]


def cases(of: str) -> list[str]:
    """Return the keys that can be tried alone."""
    return [key for key, value in VALUES[of].items() if value is not None]


def check(text: str) -> None:
    """Parse a workflow, and see that nothing of it is lost when it is stored."""
    workflow = parse_workflow(text, "page.yaml")
    assert workflow_from_json(workflow_to_json(workflow)) == workflow


# -- the examples --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Library]:
    """The packs of each page."""
    return {name: page_plays.library(DOCS / name, tmp_path_factory.mktemp("packs")) for name in PAGES}


@pytest.fixture(scope="module")
def endings(packs: dict[str, Library]) -> list[Seen]:
    """Every run of the pages."""
    return [
        seen
        for name in PAGES
        for one in page_plays.stated(DOCS / name)
        for seen in page_plays.played(one, packs[name])
    ]


@pytest.mark.parametrize(
    ("page", "play"),
    [
        pytest.param(name, one, id=f"{name}:{one.line} {one.ref}")
        for name in PAGES
        for one in page_plays.stated(DOCS / name)
    ],
)
def test_a_workflow_ends_as_the_page_says(page: str, play: Stated, packs: dict[str, Library]) -> None:
    """In whatever order what it does not say happens."""
    assert page_plays.played(play, packs[page])


def test_every_section_has_an_example() -> None:
    """A feature without one is a feature that nobody has tried."""
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    assert [text.partition(".")[0] for text in sections] == [str(number) for number in range(1, 12)]
    without = [text.partition("\n")[0] for text in sections if "```yaml" not in text]
    assert without == ["10. Runs", "11. History"]


def test_nothing_is_left_open() -> None:
    """The page has no marks of what is missing."""
    assert UNFINISHED.findall(PAGE) == []


# -- the tables ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", VALUES)
def test_a_table_has_every_key(of: str) -> None:
    """Sections 1 to 4: no key that the parser knows is left out."""
    assert sorted(keys(of)) == sorted(VALUES[of])


@pytest.mark.parametrize("key", cases("action"))
def test_an_actions_keys_are_as_the_page_says(key: str) -> None:
    """Each key of the table of section 2."""
    text = f"ref: a.b\nruntime: python\nentry_point: x.py\n{key}: {VALUES['action'][key]}\n"
    action = parse_action(text, "page.yaml")
    assert action != parse_action("ref: a.b\nruntime: python\nentry_point: x.py\n", "page.yaml")


@pytest.mark.parametrize("key", cases("workflow"))
def test_a_workflows_keys_are_as_the_page_says(key: str) -> None:
    """Each key of the table of section 3."""
    check(f"ref: a.b\ntasks: {{one: {{action: core.noop}}}}\n{key}: {VALUES['workflow'][key]}\n")


@pytest.mark.parametrize("key", cases("task"))
def test_a_tasks_keys_are_as_the_page_says(key: str) -> None:
    """Each key of the table of section 4."""
    task = f"    action: core.echo\n    {key}: {VALUES['task'][key]}\n"
    task += f"    {COMPANIONS[key]}\n" if key in COMPANIONS else ""
    check(f"ref: a.b\ntasks:\n  one:\n{task}")


def test_a_key_that_nobody_knows_is_refused() -> None:
    """What the tests above would not notice otherwise."""
    with pytest.raises(DefinitionError):
        check("ref: a.b\ntasks: {one: {action: core.noop, nothing: 1}}\n")


def test_a_parallel_task_has_tasks_inside() -> None:
    """Section 4: `type` and `tasks`, which need each other."""
    inside = "{left: {action: core.noop}, right: {action: core.noop}}"
    check(f"ref: a.b\ntasks: {{one: {{type: parallel, tasks: {inside}}}}}\n")


def test_the_keys_of_a_retry_are_on_the_page() -> None:
    """Section 4."""
    listed = [key for cells in table("### Retries") for key in quoted(cells[0]) if key != "retry"]
    assert sorted(listed) == sorted(field.name for field in fields(RetryDef))


@pytest.mark.parametrize("runtime", ["python", "shell", "node", "dramatiq", "builtin"])
def test_every_runtime_is_taken_and_on_the_page(runtime: str) -> None:
    """Section 2."""
    assert parse_action(f"ref: a.b\nruntime: {runtime}\nentry_point: x\n", "page.yaml").runtime == runtime
    row = next(line for line in PAGE.splitlines() if line.startswith("| `runtime`"))
    assert f"`{runtime}`" in row


def test_every_command_is_on_the_page() -> None:
    """Section 4."""
    assert {name for cells in table("output: {low: true}") for name in quoted(cells[0])} == COMMANDS


def test_every_error_type_is_on_the_page() -> None:
    """Section 5."""
    listed = {name for cells in table("### Errors") for name in quoted(cells[0])}
    assert listed == ERRORS


def test_every_built_in_action_is_on_the_page_with_its_parameters() -> None:
    """Section 9."""
    written: dict[str, set[str]] = {}
    for beginning in ("## 9. Built-in actions", "On workers:"):
        for cells in table(beginning):
            for found in re.finditer(r"`(core\.\w+) \{([^}]*)\}`(?: or `\{(\w+)\}`)?", cells[0]):
                names = [*found[2].split(", "), found[3]]
                written[found[1]] = {name for name in names if name}
    (core,) = [pack for pack in load_packs([ROOT / "packs"]) if pack.ref == "core"]
    assert written == {ref: set(action.parameters or {}) for ref, action in core.actions.items()}


def test_the_events_of_a_history_are_on_the_page(endings: list[Seen]) -> None:
    """Section 11: every type, and all that stands in the `data` of any run of the page."""
    listed = {
        cells[0].strip("`"): set(quoted(cells[2])) if len(cells) > 2 else set() for cells in table("## 11.")
    }
    aside = set(quoted(PAGE.rpartition("The types ")[2].partition(" are set aside")[0]))
    assert {*listed, *aside} - {"type"} == TYPES
    everywhere = {"entropy", "closing"}
    seen = [event for ending in endings for event in ending.history]
    unknown = {
        (event["type"], name)
        for event in seen
        for name in event.get("data", {})
        if name not in listed[event["type"]] | everywhere
    }
    assert unknown == set()
    rare = {"cancel_requested"}
    assert listed.keys() - {"type"} - {event["type"] for event in seen} == rare


def test_every_kind_of_timeout_is_on_the_page_and_happens(endings: list[Seen]) -> None:
    """Section 4."""
    listed = {name for cells in table("### Timeouts") for name in quoted(cells[3])} - {"details.kind"}
    events = [event for ending in endings for event in ending.history]
    errors = [event["data"]["error"] for event in events if event.get("data", {}).get("error")]
    happened = {error["details"]["kind"] for error in errors if error["type"] == "Timeout"}
    assert listed == happened
    assert len(listed) == 6


# -- expressions ---------------------------------------------------------------------------------------------------

#: What expressions of the page see.
SCOPE = DataScope(latest_result={"ok": True})


def evaluate(expression: str) -> object:
    """Return what an expression is worth."""
    return compile_value("{{ " + expression + " }}", "page", EVERYTHING).render(SCOPE)


FUNCTION_ROWS = [
    cells for cells in table("| function | example | gives |") if len(cells) == 3 and cells[0] != "function"
]


@pytest.mark.parametrize(("name", "example", "gives"), FUNCTION_ROWS, ids=lambda cell: cell.strip("`"))
def test_a_function_gives_what_the_page_says(name: str, example: str, gives: str) -> None:
    """Section 7: value and type."""
    value, wanted = evaluate(example.strip("`")), yaml.safe_load(gives.strip("`"))
    assert (value, type(value)) == (wanted, type(wanted))
    assert f"{name.strip('`')}(" in example


def test_every_function_is_on_the_page_and_every_name_on_the_page_is_one() -> None:
    """Section 7: functions and filters."""
    listed = [cells[0].strip("`") for cells in FUNCTION_ROWS]
    assert sorted(listed) == sorted({*FUNCTIONS, *FORMS} - OUTCOMES)


TEST_ROWS = [
    (cells[at].strip("`"), cells[at + 1].strip("`"))
    for cells in table("Tests, after `is`")
    if cells[0] != "test"
    for at in (0, 2)
    if len(cells) > at + 1 and cells[at]
]


@pytest.mark.parametrize(("name", "example"), TEST_ROWS)
def test_a_test_is_true_where_the_page_says_so(name: str, example: str) -> None:
    """Section 7, after `is`."""
    assert evaluate(example) is True
    assert re.search(rf"is {name}\b", example)


def test_every_test_is_on_the_page() -> None:
    """Section 7, after `is`."""
    signs = {name for name in TESTS if not name.isidentifier()}
    long_forms = {"equalto", "greaterthan", "lessthan"}
    assert sorted(name for name, _ in TEST_ROWS) == sorted({*TESTS, *DEFINED} - signs - long_forms)


def test_only_true_and_false_are_truth_values() -> None:
    """Section 1: YAML 1.2."""
    workflow = parse_workflow("ref: a.b\nvars: [{x: yes}, {y: true}]\ntasks: {one: {action: core.noop}}\n")
    assert workflow.vars == (("x", "yes"), ("y", True))
