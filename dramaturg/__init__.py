"""Dramaturg: durable workflows, written in YAML, for people who already run Dramatiq.

``from dramaturg import Client, Worker`` is what an app needs; both are loaded when they are first asked for,
so that ``import dramaturg`` costs nothing. ``heartbeat``, ``progress``, ``pending``, ``last_heartbeat`` and ``token`` are
for actions while they run; ``DurableTasks`` is the middleware of an app whose actors are tasks.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dramaturg.actors.client import AsyncClient, Client, Worker
    from dramaturg.actors.durable import DurableTasks
    from dramaturg.engine.errors import (
        Conflict,
        DramaturgError,
        InvalidParameters,
        NotFound,
        RunCancelled,
        RunEnded,
        RunFailed,
        RunTimedOut,
        Unreachable,
    )
    from dramaturg.engine.runtime.attempt import heartbeat, last_heartbeat, pending, progress, token

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "Client",
    "Conflict",
    "DramaturgError",
    "DurableTasks",
    "InvalidParameters",
    "NotFound",
    "RunCancelled",
    "RunEnded",
    "RunFailed",
    "RunTimedOut",
    "Unreachable",
    "Worker",
    "__version__",
    "heartbeat",
    "last_heartbeat",
    "pending",
    "progress",
    "token",
]

#: Where each public name lives, if not among the errors.
_HOMES = {
    "AsyncClient": "dramaturg.actors.client",
    "Client": "dramaturg.actors.client",
    "DurableTasks": "dramaturg.actors.durable",
    "Worker": "dramaturg.actors.client",
    "heartbeat": "dramaturg.engine.runtime.attempt",
    "last_heartbeat": "dramaturg.engine.runtime.attempt",
    "pending": "dramaturg.engine.runtime.attempt",
    "progress": "dramaturg.engine.runtime.attempt",
    "token": "dramaturg.engine.runtime.attempt",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES.get(name, "dramaturg.engine.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, those not loaded yet too."""
    return sorted({*globals(), *__all__})
