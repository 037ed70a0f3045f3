"""Names and numbers that a database would not take: refused before one is asked, on each database alike."""

from __future__ import annotations

from typing import Any

import pytest

from dramaturg.engine.errors import UsageError
from dramaturg.engine.runtime import ActionOutcome
from dramaturg.engine.serve import Send
from tests.world import World

GATE = """
tasks:
  gate: {action: core.wait, input: {signal: go, timeout: 60}}
"""


def described(world: World, run_id: str) -> Any:
    """Return the output of a run that has succeeded."""
    run = world.service.describe(run_id)
    assert run["status"] == "succeeded", run
    return run["output"]


def test_names_that_no_index_takes_are_refused(world: World) -> None:
    """A long one would be stored, and then stop every worker that came to it."""
    world.write(
        gate=GATE,
        begin="""
        parameters: {name: {}}
        tasks:
          run: {action: core.start, input: {ref: t.gate, id: '{{ parameters.name }}'}, next: [{when: failed, publish: [{a: '{{ error().type }}'}], do: tell}]}
          tell: {action: core.signal, input: {run: '{{ system.run_id }}', name: '{{ parameters.name }}'}, next: [{when: failed, publish: [{b: '{{ error().type }}'}], do: wait}]}
          wait: {action: core.wait, input: {signal: '{{ parameters.name }}x'}, timeout: 5, next: [{when: completed, publish: [{c: '{{ error().type }}'}], do: noop}]}
        output_map: {all: '{{ [a, b, c] }}'}
        """,
    )
    host = world.host()
    run_id = world.start("t.gate")
    for name in ("x" * 256, "a\0b", "two\nlines", " "):
        with pytest.raises(UsageError, match="printable characters"):
            world.service.signal(run_id, name)
        with pytest.raises(UsageError, match="printable characters"):
            world.service.signal(run_id, "go", key=name)
        with pytest.raises(UsageError, match="printable characters"):
            world.service.start("t.gate", id=name)
    long, lines = world.start("t.begin", {"name": "x" * 256}), world.start("t.begin", {"name": "two\nlines"})
    world.messages.append(Send(kind="interpret", id=world.service.signal(run_id, "x" * 255).key))
    world.deliver(host)
    world.move(6)
    host.tick()
    world.settle(host)
    assert described(world, long) == {"all": ["InvalidInput", "InvalidInput", "InvalidInput"]}
    assert described(world, lines) == {"all": ["InvalidInput", "InvalidInput", "Timeout"]}
    assert world.service.status(run_id) == "timed_out"
    world.verify()


def test_a_number_that_no_column_takes_fails_its_task(world: World) -> None:
    """It would stop its run, on one database and not on the other."""
    world.write(
        big="""
        tasks:
          a: {action: core.echo, priority: '{{ 10 ** 12 }}', input: {message: x}, next: [{when: failed, publish: [{got: '{{ error().message }}'}], do: noop}]}
          b: {action: core.echo, with_items: [1], concurrency: '{{ 10 ** 12 }}', input: {message: x}, next: [{when: failed, do: noop}]}
          c: {action: core.sleep, input: {until: soon}, next: [{when: failed, publish: [{until: '{{ error().message }}'}], do: noop}]}
        output_map: {got: '{{ got }}', until: '{{ until }}'}
        """
    )
    host = world.host()
    run_id = world.start("t.big")
    world.deliver(host)
    got = described(world, run_id)
    assert (
        got["until"]
        == "core.sleep: until must be a time as ISO 8601 text (\"2030-01-31T08:00:00Z\"), not 'soon'"
    )
    assert got["got"] == "tasks.a.priority: priority must be 2147483647 or less, not 1000000000000"


def test_what_a_person_says_is_text(world: World) -> None:
    """As results are: what could not be shown, or read again, is refused before anything happens."""
    world.script = lambda request: ActionOutcome(status="pending")
    world.write(one="tasks: {a: {action: t.do}}")
    host = world.host()
    run_id = world.start("t.one")
    world.deliver(host)
    number = str(world.service.awaits(run_id)[0]["execution_id"])
    for given in ({"message": "a\0b"}, {"type": "\ud800"}, {"by": "\ud800"}, {"details": ["\0"]}):
        with pytest.raises(UsageError, match=r"NUL|surrogate"):
            world.service.fail(number, **given)
    asked = world.service.fail(number, "no paper", type="")
    world.messages.append(Send(kind="interpret", id=asked.key))
    world.deliver(host)
    assert world.service.describe(run_id)["error"]["type"] == "Failed"
