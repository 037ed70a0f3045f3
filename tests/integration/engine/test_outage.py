"""A database that goes away in the middle of a step: what is known of the commit decides what is done again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from world import World

from dramaturg.engine import failpoints
from dramaturg.engine.errors import Failure, Unreachable
from dramaturg.engine.runtime import ActionOutcome, ActionRequest, Stop

THREE = """
    tasks:
      a: {action: t.do, next: [{do: b}]}
      b: {action: t.do, next: [{do: c}]}
      c: {action: t.do}
"""


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


@pytest.mark.parametrize(
    "point", ["complete.begin", "complete.locked", "complete.decided", "complete.committed"]
)
def test_a_completion_survives_an_outage_at_any_point(world: World, point: str) -> None:
    """Rolled back, it is done again; committed without anybody knowing, it is not, and its claim is taken up."""
    world.write(three=THREE)
    host = world.host()
    run_id = world.start("t.three")
    left = [True]

    def cut() -> None:
        if left and world.attempts:  # in a completion, not in the start
            left.pop()
            raise Unreachable("the connection is gone")

    failpoints.arm(point, cut)
    world.deliver(host)
    failpoints.disarm()
    world.settle(host)
    assert left == []
    assert world.service.status(run_id) == "succeeded"
    assert [attempt[0] for attempt in world.attempts] == ["a", "b", "c"]


def test_what_a_stopping_worker_can_not_finish_is_no_attempt(make_world: Callable[..., World]) -> None:
    """It is handed back under the same number; what it reports afterwards does not count."""
    world = make_world()
    world.write(three=THREE)
    first, second = world.host(), world.host()
    began = threading.Event()

    def until_stopped(request: ActionRequest, stop: Stop) -> ActionOutcome:
        began.set()
        assert stop.wait(20)
        return ActionOutcome(status="cancelled", error=Failure(type="Cancelled", message="stopped"))

    first._run = until_stopped
    run_id = world.start("t.three")
    thread = threading.Thread(target=world.deliver, args=(first,))
    thread.start()
    assert began.wait(10)
    first.drain(0)
    thread.join(10)
    world.move(3)
    world.settle(second)
    assert world.service.status(run_id) == "succeeded"
    assert world.attempts == [("a", 1, -1, 1), ("b", 1, -1, 1), ("c", 1, -1, 1)]


def test_doctor_says_what_is_late_and_that_nobody_is_there(world: World) -> None:
    """Without a worker an open run is a problem; a lease that ran out unseen is another."""
    world.write(three=THREE)
    world.start("t.three")
    levels = {finding.text.split(",")[0]: finding.level for finding in world.service.doctor()}
    assert levels["no worker was seen for 30 s"] == "problem"
    host = world.host()
    failpoints.arm("action.ended", _die)
    with pytest.raises(_Died):
        world.deliver(host)
    world.move(world.settings.lease + 60)
    texts = [finding.text for finding in world.service.doctor() if finding.level == "problem"]
    assert any("lease that ended long ago" in text for text in texts)


class _Died(BaseException):
    """The process ends here."""


def _die() -> None:
    raise _Died
