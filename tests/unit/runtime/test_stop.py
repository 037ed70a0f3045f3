"""Asking to stop."""

from __future__ import annotations

import threading

from dramaturg.engine.runtime import Stop


def test_it_is_set_once(pack):
    """The first reason stands."""
    stop = Stop()
    assert not stop.cancelled
    assert stop.reason == ""
    stop.cancel("one")
    stop.cancel("two")
    assert stop.cancelled
    assert stop.reason == "one"


def test_wait():
    """Until it is set, or for so long."""
    stop = Stop()
    assert stop.wait(0.01) is False
    threading.Timer(0.01, stop.cancel).start()
    assert stop.wait(20) is True
    assert stop.wait() is True


def test_listeners_are_woken_once_and_only_inside_the_block():
    """At once, if it is set already."""
    stop, woken = Stop(), []
    with stop.waking(lambda: woken.append("before")):
        pass
    with stop.waking(lambda: woken.append("during")):
        stop.cancel()
        stop.cancel()
    with stop.waking(lambda: woken.append("after")):
        pass
    assert woken == ["during", "after"]
