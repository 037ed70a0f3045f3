"""What a worker asks of the runtime, and what it gets back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.language.model import ActionDef

Ending = Literal["succeeded", "failed", "timed_out", "cancelled", "pending"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What an action says of itself while it runs: a heartbeat, or how far it is."""

    #: Of the heartbeat, for the next attempt; a normalised JSON value.
    details: JSON = None
    #: 0 to 1; None: not said.
    progress: float | None = None
    #: For people.
    message: str | None = None
    #: Whether it is a heartbeat: only then `details` mean something.
    heartbeat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequest:
    """One attempt of one action."""

    action: ActionDef
    #: The pack's ``actions/`` folder; None where this worker has no files of the pack.
    actions_dir: Path | None
    pack: str
    execution_id: int
    run_id: str
    task: str
    visit: int = 1
    #: -1: the task has no items.
    item: int = -1
    #: Counts from 1.
    attempt: int = 1
    input: dict[str, JSON] = field(default_factory=dict)
    #: Whether the input holds secrets: then it is shown nowhere.
    secret: bool = False
    #: Seconds from start to close; None: no limit.
    timeout: float | None = None
    #: Seconds between asking the action to stop and making it.
    grace: float = 5.0
    #: Bytes kept of each output stream.
    log_limit: int = 10 * 1024 * 1024
    #: Bytes of JSON that a result may have.
    result_limit: int = 8 * 1024 * 1024
    #: Variables that the worker is configured to pass to process actions.
    environment: Mapping[str, str] = field(default_factory=dict)
    #: What completes this attempt from outside, should the action say that it is pending.
    token: str = ""
    #: Details of the last heartbeat of the attempts before; None: there was none.
    last_heartbeat: JSON = None
    #: Seconds between heartbeats, and from the start to the first one; None: no limit.
    heartbeat_timeout: float | None = None
    #: Called for each heartbeat and progress, from any thread, one at a time; what it raises is logged and dropped.
    #: Of what a process said between two looks at its control file (0.2 to 1 s) only the last comes, as one.
    on_beat: Callable[[Beat], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogChunk:
    """Output of an attempt: what a stream held, or a line of `core.log`."""

    stream: Literal["stdout", "stderr", "log"]
    #: Text that every database can hold: bytes that are no UTF-8, and NUL, are shown as U+FFFD.
    text: str
    #: The stream held more than was kept; `text` ends with a notice that says how much.
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionOutcome:
    """How an attempt ended; `error` is None exactly when it succeeded or is pending.

    Pending: the action did its part, and the attempt is completed later by its token.
    """

    status: Ending
    #: A normalised JSON value; None unless it succeeded.
    result: JSON = None
    error: Failure | None = None
    logs: tuple[LogChunk, ...] = ()
