"""The tree of tasks: what a line says, how nested runs and fan-outs stand, what is cut."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.text import Text

from dramaturg.cli.tree import Line, Node, TreeReader, draw, fit, notes

NOW = datetime(2026, 3, 1, 12, 0, 10, tzinfo=UTC)
STARTED = "2026-03-01T12:00:01Z"


def row(task: str, status: str = "succeeded", **more: Any) -> dict[str, Any]:
    """Return a visit that took 1.5 seconds, or has not ended."""
    done = status in ("succeeded", "failed", "timed_out", "cancelled")
    known = {
        "task": task,
        "visit": 1,
        "status": status,
        "attempt": 1,
        "action": "core.echo",
        "started_at": STARTED if done or status == "running" else None,
        "finished_at": "2026-03-01T12:00:02.5Z" if done else None,
        "due_at": None,
        "error": None,
        "items": None,
        "run_id": None,
    }
    return {**known, **more}


class Runs:
    """Runs and their visits; counts how often each was read."""

    def __init__(self, runs: Mapping[str, list[dict[str, Any]]]) -> None:
        self.runs = runs
        self.waits: list[dict[str, Any]] = []
        self.read: list[str] = []

    def tasks(self, run_id: str, *, items: bool = False) -> list[dict[str, Any]]:
        self.read.append(run_id)
        return self.runs[run_id]

    def awaits(self, run_id: str) -> list[dict[str, Any]]:
        return self.waits


def plain(nodes: tuple[Node, ...]) -> list[str]:
    """Return the drawing without colours."""
    return [line.text.plain for line in draw(nodes, NOW)]


def drawn(*rows: dict[str, Any]) -> list[str]:
    """Return the drawing of a run with these visits."""
    return plain(TreeReader(Runs({"r": list(rows)}), "r").read())


def test_each_visit_is_a_line_in_order_of_start() -> None:
    """Sign, name with the visit's number, time, what there is to say."""
    assert drawn(
        row("prepare"),
        row("build", "failed", attempt=3, error={"type": "ExitCode", "message": "exited with 2\nmore"}),
        row("build", "running", visit=2),
        row("lint", "skipped"),
    ) == [
        "  ✓ prepare     1.50s",
        "  ✗ build       1.50s  attempt 3, failed: ExitCode: exited with 2",
        "  ● build #2    9.00s",
        "  – lint               skipped",
    ]


def test_a_nested_runs_tasks_stand_below_their_parent() -> None:
    """Indented; names and times stay in their columns."""
    runs = {
        "r": [row("outer", run_id="n1"), row("after")],
        "n1": [row("inner", run_id="n2")],
        "n2": [row("innermost")],
    }
    assert plain(TreeReader(Runs(runs), "r").read()) == [
        "  ✓ outer            1.50s",
        "    ✓ inner          1.50s",
        "      ✓ innermost    1.50s",
        "  ✓ after            1.50s",
    ]


def test_a_nested_run_that_has_ended_is_read_once() -> None:
    """Looking again costs only what can have changed."""
    runs = Runs({"r": [row("a", run_id="done"), row("b", "running", run_id="open")], "done": [], "open": []})
    reader = TreeReader(runs, "r")
    reader.read()
    reader.read()
    assert [runs.read.count(name) for name in ("r", "done", "open")] == [2, 1, 2]


def test_a_fan_out_is_one_line_with_a_bar_and_counts() -> None:
    """What is done, and what is not simply done; no bar once it has ended."""
    items = {
        "total": 10,
        "running": 2,
        "succeeded": 4,
        "failed": 1,
        "timed_out": 0,
        "cancelled": 0,
        "skipped": 0,
    }
    assert drawn(row("look", "running", items=items)) == [
        "  ● look    9.00s  ━━━━━━━━━━──────────  5/10, 2 running, 1 failed"
    ]
    ended = {**items, "running": 0, "succeeded": 9}
    assert drawn(row("look", "failed", items=ended)) == ["  ✗ look    1.50s  10/10, 1 failed, failed"]


def test_items_that_went_wrong_are_listed_where_they_were_read() -> None:
    """At most ten, and how many more."""
    items = {"total": 14, "running": 0, "succeeded": 2, "failed": 12}
    good = [{"item": 0, "status": "succeeded"}, {"item": 1, "status": "requested"}]
    listed = [*good, *({"item": n, "status": "failed", "error": {"type": "E"}} for n in range(2, 14))]
    lines = drawn(row("look", "failed", items=items, items_list=listed))
    assert lines[1] == "    ✗ item 2 failed: E"
    assert (len(lines), lines[-1]) == (12, "    … and 2 more")


@pytest.mark.parametrize(
    ("visit", "told"),
    [
        (row("t", "requested"), "waits for a worker"),
        (row("t", "scheduled", due_at="2026-03-01T12:00:13.5Z"), "starts in 3.50s"),
        (row("t", "scheduled", attempt=2, due_at="2026-03-01T12:00:13.5Z"), "attempt 2 in 3.50s"),
        (row("t", "waiting", action="core.sleep", due_at="2026-03-01T12:02:10Z"), "sleeps, 2m00s left"),
        (row("t", "waiting", action="core.sleep", due_at="2026-03-01T11:00:00Z"), "sleeps, 0.00s left"),
        (row("t", "waiting", action="core.ask"), "waits (core.ask)"),
        (row("t", "running", attempt=2), "attempt 2"),
        (
            row("t", "timed_out", error={"type": "Timeout", "message": "after 3 s"}),
            "timed out: Timeout: after 3 s",
        ),
        (row("t", "cancelled"), "cancelled"),
        (row("t"), ""),
    ],
)
def test_what_is_said_about_a_visit(visit: dict[str, Any], told: str) -> None:
    """What it waits for, how often it was tried, why it went wrong."""
    assert notes(Node(row=visit), NOW) == told


def test_names_and_errors_do_nothing_to_the_terminal() -> None:
    """Markup and escape sequences are text."""
    (line,) = drawn(row("[red]t\x1b[2J", "failed", error={"type": "E", "message": "[/]\x07"}))
    assert "[red]t\\x1b[2J" in line
    assert "[/]\\x07" in line


def test_what_does_not_fit_is_counted() -> None:
    """What is going on stays, then what went wrong, then the latest."""
    statuses = ["running", "failed", *["succeeded"] * 7, "running"]
    lines = [Line(Text(f"{n} {status}"), status) for n, status in enumerate(statuses)]
    assert [text.plain for text in fit(lines, 5)] == [
        "  … 6 more: 6 succeeded",
        "0 running",
        "1 failed",
        "8 succeeded",
        "9 running",
    ]
    assert len(fit(lines, 10)) == 10


def wait(kind: str, **more: Any) -> dict[str, Any]:
    """Return a wait of execution 7 as `Service.awaits` gives it."""
    return {"kind": kind, "task": "t", "visit": 1, "execution_id": 7, "until": None, **more}


@pytest.mark.parametrize(
    ("awaits", "status", "told"),
    [
        (wait("signal", name="go"), "waiting", "waits for signal 'go'"),
        (
            wait("signal", name="go", until="2026-03-01T12:02:10Z"),
            "waiting",
            "waits for signal 'go', 2m00s left",
        ),
        (wait("answer", prompt="Deploy?\nNow"), "waiting", "asks: Deploy?\\nNow"),
        (wait("answer", prompt="Deploy?", assigned_to="ops"), "waiting", "asks ops: Deploy?"),
        (wait("completion"), "waiting", "waits to be completed"),
        (wait("completion"), "running", "waits to be completed"),
        (wait("person"), "failed", "failed, waits for a person"),
        (wait("timer"), "waiting", "waits (core.echo)"),
    ],
)
def test_what_somebody_has_to_do_stands_at_its_task(awaits: dict[str, Any], status: str, told: str) -> None:
    """What is waited for, not that something is; what ends by itself is told as ever."""
    runs = Runs({"r": [row("t", status, execution_id=7), row("u", execution_id=8)]})
    runs.waits = [awaits]
    first, other = TreeReader(runs, "r").read()
    assert notes(first, NOW) == told
    assert notes(other, NOW) == ""


def test_progress_is_a_bar_with_what_is_said_of_it() -> None:
    """While it runs; once it has ended, how far it was tells nothing."""
    assert drawn(
        row("render", "running", progress=0.42, message="frame 7"),
        row("upload", "running", progress=7, message=None),
        row("check", "running", progress=None),
        row("done", progress=0.9, message="nearly"),
    ) == [
        "  ● render    9.00s  ━━━━━━━━────────────  42% frame 7",
        "  ● upload    9.00s  ━━━━━━━━━━━━━━━━━━━━  100%",
        "  ● check     9.00s",
        "  ✓ done      1.50s",
    ]
