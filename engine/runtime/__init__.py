"""Doing one task: one attempt of one action, in a process, in a thread, or built in.

No broker and no database here: a worker asks with an :class:`ActionRequest` and gets an :class:`ActionOutcome`.
"""

from dramaturg.engine.runtime.inprocess import Cancelled, TimeLimit
from dramaturg.engine.runtime.request import ActionOutcome, ActionRequest, Beat, LogChunk
from dramaturg.engine.runtime.run import run_action
from dramaturg.engine.runtime.stop import Stop

__all__ = [
    "ActionOutcome",
    "ActionRequest",
    "Beat",
    "Cancelled",
    "LogChunk",
    "Stop",
    "TimeLimit",
    "run_action",
]
