"""What a worker has to tell others: messages that hold only ids, and who they are for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dramaturg.engine.errors import Unreachable
from dramaturg.engine.sources import ActionSource
from dramaturg.engine.store.leases import Ready

log = logging.getLogger("dramaturg.serve")


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """A message to be sent: it holds only ids."""

    #: task, interpret: to our own actors. actor: to one of the user's.
    kind: Literal["task", "interpret", "actor"]
    #: Of the execution, or of the run.
    id: int
    queue: str = "default"
    priority: int = 0
    #: Of kind actor: the ref of the action, and the name of the user's actor once it is looked up.
    action: str = ""
    actor: str = ""


def tasks(requested: Iterable[Ready]) -> list[Send]:
    """Return the messages for executions that may be taken."""
    return [
        Send(
            kind="task" if one.actor is None else "actor",
            id=one.id,
            queue=one.queue,
            priority=one.priority,
            action=one.actor or "",
        )
        for one in requested
    ]


class ActorPost:
    """Sends to the user's actors what is theirs."""

    def __init__(self, actions: ActionSource) -> None:
        self._actions = actions
        #: Hands named messages to the user's broker; None: there is no way to their actors.
        self.send: Callable[[Sequence[Send]], None] | None = None

    @property
    def open(self) -> bool:
        """Say whether there is a way to the user's actors."""
        return self.send is not None

    def take(self, sends: Sequence[Send]) -> tuple[list[Send], list[int]]:
        """Send what is for actors; return the rest, and the executions that were sent.

        What no actor can do, for want of a broker or of a name, becomes a task of our own workers: they say why it
        fails. What can't be looked up now is left to a clock.
        """
        theirs = [send for send in sends if send.kind == "actor"]
        rest = [send for send in sends if send.kind != "actor"]
        if not theirs:
            return rest, []
        try:
            names = {ref: self._actor(ref) for ref in {send.action for send in theirs}}
        except Unreachable as error:
            log.warning("%d tasks of actors are left to a clock: %s", len(theirs), error)
            return rest, []
        named = [replace(send, actor=names[send.action]) for send in theirs]
        able = [send for send in named if send.actor] if self.send is not None else []
        if self.send is not None and able:
            self.send(able)
        sent = {send.id for send in able}
        return rest + [replace(send, kind="task") for send in named if send.id not in sent], sorted(sent)

    def _actor(self, ref: str) -> str:
        """Return the name of the actor that does an action; empty: there is none."""
        source = self._actions.find(ref)
        if source is None or source.action.runtime != "dramatiq":
            return ""
        return source.action.entry_point or ""
