"""Decisions that go far by themselves: they end, and ask the database little."""

from __future__ import annotations

import itertools

from tests.world import World


def test_a_long_chain_of_junctions(world: World) -> None:
    """Nobody works on them, so one decision goes through 200; another one takes up the rest."""
    names = [f"j{number}" for number in range(300)]
    lines = [f"  {a}: {{next: [{{do: {b}}}]}}" for a, b in itertools.pairwise(names)]
    last = f"  {names[-1]}: {{next: [{{publish: [{{n: 1}}]}}]}}"
    world.write(long="\n".join(["tasks:", *lines, last, "output_map: {n: '{{ workflow.n }}'}"]))
    host = world.host()
    run_id = world.start("t.long")
    with world.counting() as statements:
        world.deliver(host)
    assert world.service.describe(run_id)["output"] == {"n": 1}
    assert statements.count("view") < 20
    world.verify()


def test_a_junction_with_many_targets(world: World) -> None:
    """Each with an action that is not known yet."""
    names = [f"t{number}" for number in range(100)]
    lines = [
        f"  {name}: {{action: core.noop, when: '{{{{ workflow.x == {n} }}}}'}}"
        for n, name in enumerate(names)
    ]
    text = "\n".join(["vars: {x: 7}", "tasks:", f"  j: {{next: [{{do: [{', '.join(names)}]}}]}}", *lines])
    world.write(wide=text)
    host = world.host()
    run_id = world.start("t.wide")
    world.settle(host)
    tasks = world.service.tasks(run_id)
    assert [one["task"] for one in tasks if one["status"] == "succeeded"] == ["j", "t7"]
