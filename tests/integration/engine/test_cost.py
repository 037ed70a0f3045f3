"""What a step costs: exact numbers of statements and commits, whatever the size of the run (issue: the step)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from world import World

from dramaturg.engine import serve

#: Statements of one sequential step with `eager`, by database: completion, advance and the next claim.
STEP = {
    "sqlite": [
        "lock", "complete", "inputs", "view", "write_run", "write_events", "write_tasks", "settle", "executions", "COMMIT",
    ],
    "postgresql": ["lock", "complete", "inputs", "view", "write_step", "COMMIT", "pending"],
}  # fmt: skip


def chain(length: int) -> str:
    """Return a workflow of so many tasks, one after the other."""
    tasks = [f"  t{n}:\n    action: t.do\n    next: [{{do: t{n + 1}}}]" for n in range(length - 1)]
    return "\n".join(["tasks:", *tasks, f"  t{length - 1}:\n    action: t.do"])


@pytest.mark.parametrize("length", [10, 1000])
def test_a_sequential_step_is_one_commit_of_a_fixed_number_of_statements(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    """With `eager` a lone run of N tasks costs N commits besides its start, each of the same statements."""
    # A thread also leaves a run after a time: on a slow machine that would come first.
    monkeypatch.setattr(serve, "FOLLOW_SECONDS", 3600.0)
    world = make_world()
    world.write(chain=chain(length))
    host = world.host()
    run_id = world.start("t.chain")
    with world.counting() as statements:
        world.deliver(host)
    assert world.service.status(run_id) == "succeeded"
    step = STEP[world.service.database.dialect]
    counted = Counter(statements)
    # The first is the start's; a thread leaves the run to a message after a bounded number of tasks.
    assert counted["COMMIT"] - counted["claim"] == length + 1
    middle = _steps(statements)[2:-2]
    usual = [one for one in middle if "claim" not in one and one[0] != "claim"]
    assert usual, statements[:40]
    assert [one for one in usual if one != step] == []
    assert counted["claim"] == (length - 1) // serve.FOLLOW_UPS


def _steps(statements: list[str]) -> list[list[str]]:
    """Cut the statements at each lock: a step begins with it."""
    steps: list[list[str]] = []
    for name in statements:
        if name in ("lock", "now"):  # a claim asks for the time first, a step gets it with its lock
            steps.append([])
        if steps:
            steps[-1].append(name)
    return steps


def test_without_eager_a_step_is_one_durable_commit_and_a_claim(make_world: Callable[..., World]) -> None:
    """Then a task takes a message; its claim is a commit that nobody waits for."""
    world = make_world(eager=False)
    world.write(chain=chain(10))
    run_id = world.start("t.chain")
    with world.counting() as statements:
        world.deliver(world.host())
    counted = Counter(statements)
    assert world.service.status(run_id) == "succeeded"
    assert counted["claim"] == 10
    assert counted["COMMIT"] == 10 + 1 + 10


def test_a_fan_out_costs_a_commit_an_item(make_world: Callable[..., World]) -> None:
    """Each completion is one durable commit; claims are not waited for."""
    world = make_world()
    world.write(
        many="""
        tasks:
          each:
            action: t.do
            with_items: "{{ range(100) }}"
            input: {n: "{{ item }}"}
        """
    )
    run_id = world.start("t.many")
    with world.counting() as statements:
        world.deliver(world.host())
    counted = Counter(statements)
    assert world.service.status(run_id) == "succeeded"
    assert counted["COMMIT"] - counted["claim"] <= 1.1 * 100
