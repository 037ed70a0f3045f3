"""Great runs, embedded and from end to end: they end right, a step costs the same at every size, memory stays bounded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dramaturg.engine.config import load_settings
from dramaturg.engine.interpreter.items import CHUNK
from dramaturg.engine.service import Service

PROGRAM = Path(__file__).parents[1] / "scale.py"
MEGABYTE = 1_000_000
CLAIM = ("claim", "COMMIT")

#: Statements of the transaction that begins a run of a workflow that the process has not seen yet.
START = ("lock", "inputs", "revision", "write_run", "write_events", "write_tasks", "executions", "COMMIT")
#: Of the one that ends a task and begins the next; of the one that ends the run.
STEP = (
    "lock", "complete", "inputs", "view", "write_run", "write_events", "write_tasks", "settle", "executions", "COMMIT",
)  # fmt: skip
LAST = (
    "lock", "complete", "inputs", "view", "write_run", "write_events", "write_tasks", "settle",
    "end_execution", "clear_timers", "clear_inbox", "clear_signals", "COMMIT",
)  # fmt: skip
#: Of the one that ends an item of a fan-out.
ITEM = (
    "lock", "complete", "inputs", "view", "fan_outs", "write_run", "write_events", "settle", "write_fan_outs", "COMMIT",
)  # fmt: skip


def chain(length: int) -> str:
    """Return a workflow of so many tasks, one after the other."""
    tasks = [
        f"  t{n}: {{action: core.noop, next: [{{when: succeeded, do: t{n + 1}}}]}}" for n in range(length - 1)
    ]
    last = f"  t{length - 1}: {{action: core.noop}}"
    return "\n".join(["tasks:", *tasks, last, f"output_map: {{last: '{{{{ task.t{length - 1}.status }}}}'}}"])


def loop(visits: int) -> str:
    """Return a workflow of one task that is visited so often."""
    return f"""
limits: {{visits: {visits}}}
start: [count]
vars: {{n: 0}}
tasks:
  count:
    action: core.echo
    input: {{message: "{{{{ n + 1 }}}}"}}
    next:
      - when: "succeeded and result().message < {visits}"
        publish: {{n: "{{{{ result().message }}}}"}}
        do: count
output_map: {{last: "{{{{ task.count.result.message }}}}"}}
"""


def fan_out(items: int) -> str:
    """Return a workflow of so many items, and a task that comes when all have ended."""
    return f"""
tasks:
  each:
    action: core.echo
    with_items: "{{{{ range({items}) }}}}"
    input: {{message: "{{{{ item * 2 }}}}"}}
    next: [{{when: succeeded, do: after}}]
  after: {{action: core.noop}}
output_map:
  results: "{{{{ task.each.result | length }}}}"
  sum: "{{{{ task.each.result | map(attribute='message') | sum }}}}"
  after: "{{{{ task.after.status }}}}"
"""


Play = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def play(tmp_path: Path, sqlite_database: str) -> Play:
    """Run a kind of workflow at several sizes in a process of its own: ``play(chain, 10, 5000)``."""

    def play(kind: Callable[[int], str], *sizes: int) -> list[dict[str, Any]]:
        pack = tmp_path / "packs" / "s"
        (pack / "workflows").mkdir(parents=True)
        (pack / "pack.yaml").write_text("ref: s\nversion: 1.0.0\n")
        # A small one first: what is loaded once is neither a step's cost nor growth.
        everyone = (min(sizes) - 1, *sizes)
        for size in everyone:
            (pack / "workflows" / f"of_{size}.yaml").write_text(f"ref: s.of_{size}\n{kind(size)}")
        service = Service.open(load_settings(database_url=sqlite_database, packs=[pack.parent]))
        service.register()
        service.close()
        command = [sys.executable, str(PROGRAM), sqlite_database, *(f"s.of_{size}" for size in everyone)]
        ended = subprocess.run(
            command, cwd=tmp_path, check=True, timeout=240, stdout=subprocess.PIPE, text=True
        )
        runs: list[dict[str, Any]] = json.loads(ended.stdout)
        assert [run["problems"] for run in runs] == [[]] * len(everyone)
        return runs[1:]

    return play


def transactions(run: dict[str, Any]) -> Counter[tuple[str, ...]]:
    """Return how often each transaction was made, but claims: a thread makes some when it takes up a run again."""
    counted = Counter({tuple(names): count for names, count in run["transactions"]})
    del counted[CLAIM]
    return counted


def growth(runs: list[dict[str, Any]]) -> float:
    """Return the megabytes by which the greatest run has made the process grow."""
    return float(runs[-1]["peak"] - runs[0]["peak"]) / MEGABYTE


@pytest.mark.timeout(300)
def test_a_chain_of_5000_tasks(play: Play) -> None:
    """One commit a task, of the same statements whatever the length; the process grows by the compiled workflow."""
    sizes = (10, 1000, 5000)
    runs = play(chain, *sizes)
    for size, run in zip(sizes, runs, strict=True):
        assert run["output"] == {"last": "succeeded"}
        assert transactions(run) == {START: 1, STEP: size - 1, LAST: 1}
    assert 0 < growth(runs) < 80


@pytest.mark.timeout(300)
def test_a_loop_of_5000_visits(play: Play) -> None:
    """One commit a visit, of the same statements however many there were; the process does not grow with them."""
    sizes = (10, 1000, 5000)
    runs = play(loop, *sizes)

    def with_variables(names: tuple[str, ...]) -> tuple[str, ...]:
        at = names.index("write_tasks") + 1
        return (*names[:at], "write_vars", *names[at:])

    for size, run in zip(sizes, runs, strict=True):
        assert run["output"] == {"last": size}
        assert transactions(run) == {with_variables(START): 1, with_variables(STEP): size - 1, LAST: 1}
    assert growth(runs) < 20


@pytest.mark.timeout(300)
def test_a_fan_out_of_10000_items_that_is_joined(play: Play) -> None:
    """One commit an item, of the same statements whatever their number; rows are inserted by the chunk."""
    sizes = (10, 1000, 10_000)
    runs = play(fan_out, *sizes)
    for size, run in zip(sizes, runs, strict=True):
        chunks = (size - 1) // CHUNK
        assert run["output"] == {"results": size, "sum": size * (size - 1), "after": "succeeded"}
        counted = transactions(run)
        assert sum(count for names, count in counted.items() if "complete" in names) == size + 1
        # The first and the last item, the task after them, start and end; a chunk may come together with an item.
        others = Counter({names: count for names, count in counted.items() if names != ITEM})
        assert counted[ITEM] >= size - 2 - 2 * chunks, others
        assert others.total() <= 5 + 3 * chunks, others
        for names in others:
            assert max(Counter(names).values()) <= 2, names
            assert len(names) <= 16, names
    assert 0 < growth(runs) < 80
