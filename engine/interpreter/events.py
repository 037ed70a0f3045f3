"""History events: append-only facts, typed, in the order in which they happened (LANGUAGE 11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dramaturg.engine.errors import JSON

#: Version of the shape of `data`; raised when an event changes, and old ones stay readable for ever.
VERSION = 1

#: Every type that a history can contain.
TYPES = frozenset(
    {
        *("run_started", "run_paused", "run_resumed", "run_waiting", "cancel_requested", "run_ended"),
        *("task_scheduled", "task_skipped", "attempt_started", "attempt_ended", "task_completed"),
        *("items_scheduled", "items_completed", "transition_fired", "variables_published"),
        *("join_arrived", "join_fired", "timer_started", "timer_fired", "signal_received"),
        *("question_asked", "question_answered", "child_started", "rerun_requested"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact. `seq` counts 1, 2, 3 without gaps in a run."""

    seq: int
    type: str
    #: ISO 8601 UTC with microseconds and a Z; never before the event before it.
    at: str
    task: str | None = None
    visit: int | None = None
    item: int | None = None
    attempt: int | None = None
    status: str | None = None
    data: Mapping[str, JSON] = field(default_factory=dict)

    def to_json(self) -> dict[str, JSON]:
        """Return the record of LANGUAGE 11: fields that do not apply are left out."""
        names = ("seq", "type", "at", "task", "visit", "item", "attempt", "status", "data")
        values = {name: getattr(self, name) for name in names}
        return {k: v for k, v in values.items() if v is not None and v != {}}
