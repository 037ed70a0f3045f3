"""Named places at which a test can stop the world; no-ops unless armed.

The step protocol (DESIGN 4) has one at each of its points. In a test: ``arm("complete.committed", action)``. In a worker
process: ``DRAMATURG_FAILPOINTS="complete.committed=kill*1,claim.committed=raise"``; ``*N`` leaves the first N - 1 hits alone.

::

    claim.begin          before the claim's transaction
    claim.committed      the claim stands, the action has not begun
    action.ended         the action has ended, nothing is recorded
    complete.begin       before the completion's transaction
    complete.locked      the run is locked
    complete.decided     everything is written, not committed
    complete.committed   committed, nothing is sent
    busy.written         the run is busy: the completion is written alone, not committed
    busy.committed       ... committed, the second look is to come
    apply.committed      an interpreter's advance is committed, nothing is sent
    send.begin           before messages are sent
    send.done            after
    tick.begin           the clock looks for what is due
    tick.committed       what was due has been moved, nothing is sent
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

_armed: dict[str, Callable[[], None]] = {}


class FailpointHit(Exception):
    """Raised by an armed failpoint with the action ``raise``."""


def hit(name: str) -> None:
    """Pass a failpoint: nothing happens unless it is armed."""
    if _armed:
        action = _armed.get(name)
        if action is not None:
            action()


def arm(name: str, action: Callable[[], None]) -> None:
    """Call `action` whenever the failpoint is passed."""
    _armed[name] = action


def disarm(*names: str) -> None:
    """Forget the named failpoints, or all of them."""
    for name in names or tuple(_armed):
        _armed.pop(name, None)


def arm_from_environment() -> None:
    """Arm what ``DRAMATURG_FAILPOINTS`` names: for worker processes under test."""
    for entry in filter(None, os.environ.get("DRAMATURG_FAILPOINTS", "").split(",")):
        name, _, action = entry.partition("=")
        kind, _, count = action.partition("*")
        arm(name.strip(), _countdown(_kill if kind == "kill" else _raiser(name), int(count or 1)))


def _countdown(action: Callable[[], None], count: int) -> Callable[[], None]:
    left = count

    def passed() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            action()

    return passed


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raiser(name: str) -> Callable[[], None]:
    def fail() -> None:
        raise FailpointHit(name)

    return fail
