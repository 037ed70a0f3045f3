"""How attempts end without success: the failures that the runtimes have in common."""

from __future__ import annotations

import traceback
from types import TracebackType

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.runtime.normalise import readable
from dramaturg.engine.runtime.request import ActionOutcome, ActionRequest, LogChunk
from dramaturg.engine.runtime.stop import Stop

#: Characters kept of an exception's message, and of the end of its traceback.
MESSAGE, TRACEBACK = 8 * 1024, 16 * 1024


def failed(failure: Failure, logs: tuple[LogChunk, ...] = ()) -> ActionOutcome:
    """Return the outcome of an attempt that failed."""
    return ActionOutcome(status="failed", error=failure, logs=logs)


def cancelled(
    stop: Stop, *, details: JSON = None, addition: str = "", logs: tuple[LogChunk, ...] = ()
) -> ActionOutcome:
    """Return the outcome of an attempt that was asked to stop."""
    failure = Failure(type="Cancelled", message=readable(stop.reason) + addition, details=details)
    return ActionOutcome(status="cancelled", error=failure, logs=logs)


def timed_out(
    request: ActionRequest,
    *,
    details: dict[str, JSON] | None = None,
    addition: str = "",
    logs: tuple[LogChunk, ...] = (),
) -> ActionOutcome:
    """Return the outcome of an attempt that took longer than its timeout."""
    message = f"took longer than {request.timeout:g} s{addition}"
    return _too_late("start_to_close", request.timeout, message, details, logs)


def silent(
    request: ActionRequest,
    *,
    details: dict[str, JSON] | None = None,
    addition: str = "",
    logs: tuple[LogChunk, ...] = (),
) -> ActionOutcome:
    """Return the outcome of an attempt that gave no sign of life for too long."""
    message = f"no heartbeat for {request.heartbeat_timeout:g} s{addition}"
    return _too_late("heartbeat", request.heartbeat_timeout, message, details, logs)


def _too_late(
    kind: str, limit: float | None, message: str, details: dict[str, JSON] | None, logs: tuple[LogChunk, ...]
) -> ActionOutcome:
    about = {"kind": kind, "seconds": limit, **(details or {})}
    return ActionOutcome(
        status="timed_out", error=Failure(type="Timeout", message=message, details=about), logs=logs
    )


def exception_failure(error: BaseException, since: TracebackType | None = None) -> Failure:
    """Return an exception as a failure: its class name as type, its message, its traceback (LANGUAGE 2).

    Args:
        since: the traceback entry to begin with, where the first ones are the engine's own.
    """
    lines = traceback.format_exception(type(error), error, since or error.__traceback__)
    name = type(error).__qualname__
    full_name = f"{type(error).__module__}.{name}".removeprefix("builtins.")
    return Failure(
        type=type(error).__name__,
        message=readable(_message(error))[:MESSAGE],
        details={"exception": full_name, "traceback": readable("".join(lines))[-TRACEBACK:]},
    )


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"(its message can't be shown: {type(broken).__name__})"
