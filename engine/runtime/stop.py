"""Asking a running action to stop, from another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stop:
    """A request to stop one running action; set once, by any thread, and never taken back.

    Whoever runs the action waits for something else at the same time (pipes, a thread's end), so it does not wait for
    this object: it subscribes a callback that wakes it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._reason: str | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        """Say whether the action is to stop."""
        return self._reason is not None

    @property
    def reason(self) -> str:
        """Return why the action is to stop; empty as long as it is not."""
        return self._reason or ""

    def cancel(self, reason: str = "cancelled") -> None:
        """Ask the action to stop; the first reason stands, later calls do nothing."""
        with self._changed:
            if self._reason is not None:
                return
            self._reason = reason or "cancelled"
            self._changed.notify_all()
            for wake in self._listeners:
                wake()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the action is to stop, or `timeout` seconds; return `cancelled`."""
        with self._changed:
            return self._changed.wait_for(lambda: self.cancelled, timeout)

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` when the action is to stop, at once if that is so already.

        `wake` runs in the cancelling thread: it must be quick and must not raise. It is never called after the block.
        """
        with self._changed:
            self._listeners.append(wake)
            if self.cancelled:
                wake()
        try:
            yield
        finally:
            with self._changed:
                self._listeners.remove(wake)
