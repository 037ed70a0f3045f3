"""A worker dies at each point of the protocol, while runs wait, signal each other, and are helped by people."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from dramaturg.engine import failpoints
from dramaturg.engine.errors import Conflict
from dramaturg.engine.runtime import ActionOutcome, ActionRequest
from dramaturg.engine.sends import Send
from tests.world import World, failed, succeeded

POINTS = [
    "claim.begin",
    "claim.committed",
    "action.ended",
    "complete.begin",
    "complete.locked",
    "complete.decided",
    "complete.committed",
    "apply.committed",
    "send.begin",
    "send.done",
    "tick.begin",
    "tick.committed",
]

FLOW = """
parameters: {other: {type: string}}
unhandled_failure: wait
tasks:
  both:
    type: parallel
    tasks:
      items: {action: t.do, with_items: [1, 2, 3], concurrency: 1, input: {n: '{{ item }}'}}
      told: {action: t.do, timeout: 100, total_timeout: 5000, retry: {count: 9}}
      inner: {type: parallel, on_item_failure: run_all, tasks: {x: {action: core.sleep, input: {seconds: 2}}, y: {when: false}}}
    next: [{publish: [{items: '{{ result().items | length }}'}], do: [start, wait, late]}]
  late: {action: t.do, schedule_timeout: 5000, delay: 4}
  start:
    action: core.start
    delay: 1
    input: {ref: t.other, id: '{{ parameters.other }}', parameters: {back: '{{ system.run_id }}'}}
    next: [{do: send}]
  send:
    action: core.signal
    with_items: [1, 2]
    input: {run: '{{ parameters.other }}', name: go, payload: '{{ item }}'}
    next: [{do: bad}]
  wait: {action: core.wait, input: {signal: mine}, next: [{publish: [{sum: '{{ result() }}'}]}]}
  bad: {action: t.do}
output_map: {items: '{{ workflow.items }}', sum: '{{ workflow.sum }}'}
"""
OTHER = """
parameters: {back: {type: string}}
tasks:
  one: {action: core.wait, input: {signal: go}, next: [{publish: [{a: '{{ result() }}'}], do: two}]}
  two: {action: core.wait, input: {signal: go}, next: [{publish: [{b: '{{ result() }}'}], do: tell}]}
  tell: {action: core.signal, input: {run: '{{ parameters.back }}', name: mine, payload: '{{ workflow.a + workflow.b }}'}}
"""


def script(request: ActionRequest) -> ActionOutcome:
    """Wait for somebody, fail, or succeed, as the task is called."""
    if request.task == "told":
        return ActionOutcome(status="pending")
    return failed() if request.task == "bad" else succeeded(1)


def help_along(world: World, run_id: str) -> None:
    """Do what people do: complete what waits to be completed, and what failed."""
    for one in world.service.awaits(run_id):
        if one["kind"] not in ("completion", "person"):
            continue
        with contextlib.suppress(Conflict):  # which is said again while nobody has looked
            asked = world.service.complete(str(one.get("token") or one["execution_id"]), 5)
            world.messages.append(Send(kind="interpret", id=asked.key))


def play(world: World, run_id: str) -> None:
    """Serve a run until it ends; a worker that dies is followed by another one, and no message outlives it."""
    host = world.host()
    for _ in range(200):
        try:
            world.deliver(host)
            host.renew()
            host.tick()
        except failpoints.FailpointHit:
            host = world.host()
            world.messages.clear()
            world.move(40)
        if world.service.status(run_id) not in ("requested", "running", "waiting"):
            return
        help_along(world, run_id)
        if not world.messages:
            world.move(3)
    raise AssertionError(world.service.tasks(run_id))


def dies_at(point: str, count: int) -> Callable[[], None]:
    """Return what lets a worker die when a point is passed so many times."""
    passed = 0

    def act() -> None:
        nonlocal passed
        passed += 1
        if passed == count:
            raise failpoints.FailpointHit(point)

    return act


@pytest.mark.parametrize("point", POINTS)
def test_nothing_is_lost_and_nothing_is_done_twice(world: World, point: str) -> None:
    """Whichever time it is: each signal arrives once, everything that waits goes on, and tables and history agree."""
    world.script = script
    world.write(other=OTHER, flow=FLOW)
    try:
        for count in (1, 2, 3, 5, 8, 13, 21):
            run_id, other = f"main-{count}", f"other-{count}"
            world.start("t.flow", {"other": other}, id=run_id)
            failpoints.arm(point, dies_at(point, count))
            play(world, run_id)
            failpoints.disarm()
            described = world.service.describe(run_id)
            assert (described["status"], described["output"]) == ("succeeded", {"items": 3, "sum": 3})
            world.settle(world.host())
            assert world.service.status(other) == "succeeded"
    finally:
        failpoints.disarm()
    assert len(world.service.runs(limit=100)) == 14
