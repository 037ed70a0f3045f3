"""What the world does in a rehearsed run: how attempts end, in which order, and what actions there are.

The engine and the reference model get the same script, so it is said once, in plain data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: (task, visit, item, attempt); the item is -1 where there are none.
Place = tuple[str, int, int, int]

#: What each ref is. `t.missing` is no action at all; `t.strict` takes a whole number `n` and nothing else.
KINDS = {"t.work": "worker", "t.strict": "worker", "t.nested": "workflow", "t.missing": None}


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ends: an outcome, or "lost"; `result` of what failed is a nested run's partial output."""

    status: str = "succeeded"
    result: Any = None
    type: str = ""

    def __repr__(self) -> str:
        shown = [self.status, *([self.type] if self.type else [])]
        if self.result is not None or self.status == "succeeded":
            shown.append(repr(self.result))
        return " ".join(shown)


DONE = Ending()


@dataclass(frozen=True, slots=True)
class Script:
    """One way in which the world may behave.

    `endings` has for each task the endings of its attempts: the first visit's first item's first attempt takes the first
    one; each later visit, item or attempt counts one on, around and around.
    """

    endings: Mapping[str, Sequence[Ending]] = field(default_factory=dict)
    #: Which of the running attempts (by task, visit, item) ends next; 0 when they are used up.
    order: tuple[int, ...] = ()
    #: How many ends are applied at a time.
    batch: int = 1
    #: Whether later visits count on, too; if not, every visit is like the first one.
    by_visit: bool = True
    #: Before the how-manieth choice somebody asks that the run be cancelled; None: nobody does.
    cancel: int | None = None

    def ending(self, place: Place) -> Ending:
        """Return how the attempt at a place ends."""
        task, visit, item, attempt = place
        given = self.endings.get(task) or (DONE,)
        before = visit - 1 if self.by_visit else 0
        return given[(before + max(item, 0) + attempt - 1) % len(given)]


class Order:
    """Chooses what ends next, and keeps what there was to choose from."""

    def __init__(self, script: Script) -> None:
        self._numbers: Iterator[int] = iter(script.order)
        self._cancel = script.cancel
        #: [what was running], in order of the choices; the chosen one is first.
        self.trace: list[list[Place]] = []

    def is_time_to_cancel(self) -> bool:
        """Say, before a choice, whether the run is to be cancelled now."""
        return self._cancel == len(self.trace)

    def choose(self, running: Sequence[Place]) -> Place:
        """Return the one that ends next."""
        places = sorted(running)
        chosen = places.pop(next(self._numbers, 0) % len(places))
        self.trace.append([chosen, *places])
        return chosen
