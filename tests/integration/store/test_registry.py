"""Registering packs: only what changed is written; runs see the catalog as it was when they started."""

from __future__ import annotations

from collections.abc import Callable

from world import World

ECHO = """
    tasks: {say: {action: t.do, input: {text: "%s"}}}
    output_map: {text: "{{ task.say.result.text }}"}
"""
OUTER = """
    tasks:
      first: {action: t.do, next: [{do: second}]}
      second: {action: t.inner}
    output_map: {text: "{{ task.second.result.text }}"}
"""


def test_without_a_change_nothing_is_registered(make_world: Callable[..., World]) -> None:
    """A second registration of the same files makes no revision and no entry in the log."""
    world = make_world()
    world.write(inner=ECHO % "one")
    again = world.service.register()
    assert (again.new, again.removed) == ((), ())
    world.write(inner=ECHO % "two")
    assert world.service.register().new == ()


def test_a_change_makes_a_revision_and_a_removal_takes_the_ref_away(
    make_world: Callable[..., World],
) -> None:
    """An edited workflow keeps its ref; one whose file is gone can't be started any more."""
    world = make_world()
    world.write(inner=ECHO % "one", other=ECHO % "x")
    before = {action["ref"]: action["revision"] for action in world.service.actions("t")}
    (world.folder / "t" / "workflows" / "other.yaml").unlink()
    world.write(inner=ECHO % "two")
    after = {action["ref"]: action["revision"] for action in world.service.actions("t")}
    assert after["t.inner"] != before["t.inner"]
    assert after["t.do"] == before["t.do"]
    assert "t.other" not in after


def test_a_run_sees_the_catalog_of_its_start(make_world: Callable[..., World]) -> None:
    """A nested workflow that is edited, or taken away, during a run stays what it was for that run (LANGUAGE 10)."""
    world = make_world(eager=False)
    world.write(outer=OUTER, inner=ECHO % "old")
    host = world.host()
    early = world.start("t.outer")
    world.hand(host, world.messages.pop(0))
    world.write(inner=ECHO % "new")
    late = world.start("t.outer")
    world.settle(host)
    assert world.service.describe(early)["output"] == {"text": "old"}
    assert world.service.describe(late)["output"] == {"text": "new"}
