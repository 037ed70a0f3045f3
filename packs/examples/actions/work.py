"""A piece of work that takes its time: it stands for real work in the examples."""

from __future__ import annotations

import time

#: Seconds slept at once. An in-process action is stopped by an exception, which waits until a sleep is over.
SLICE = 0.05


class WorkFailed(Exception):
    """The work did not come to a good end."""


def work(name: str, seconds: float = 0, fail_with: str | None = None) -> dict[str, object]:
    """Take `seconds`, then say what was done.

    Raises:
        WorkFailed: `fail_with` was given; it is the message.
    """
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, SLICE))
    if fail_with is not None:
        raise WorkFailed(fail_with)
    return {"name": name, "seconds": seconds}
