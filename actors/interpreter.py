"""The actor that interprets a run: for what is not a worker's own completion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dramatiq import Actor, Broker

from dramaturg.actors.slots import INTERPRETER_QUEUE, Slots
from dramaturg.actors.tasks import INTERPRET, INTERPRET_PRIORITY, VERSION, Guard

if TYPE_CHECKING:
    from dramaturg.engine.serve import Host


def declare_interpreter(broker: Broker, host: Host, guard: Guard) -> None:
    """Declare the actor that interprets a run until nothing is left to do for it: its message names the run.

    Its thread goes on with a task of the run, unless it is the one that is kept for interpreting. A stock broker keeps
    none.
    """
    slots = getattr(broker, "slots", None) or Slots()

    def interpret(run: int, version: int = VERSION) -> None:
        with slots.as_task() as may_follow:
            guard.call(lambda key: host.apply(key, follow=may_follow), run, version)

    Actor(
        interpret,
        actor_name=INTERPRET,
        queue_name=INTERPRETER_QUEUE,
        priority=INTERPRET_PRIORITY,
        broker=broker,
        options={},
    )
