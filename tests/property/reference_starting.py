"""Entering a task, in the reference model: everything of it is rendered before it starts (LANGUAGE 4 and 5)."""

from __future__ import annotations

from typing import Any

from plain_expressions import Fault, holds, render
from reference_state import State, Visit, Work, seconds
from scripts import KINDS


class NotStarted(Exception):
    """A task that cannot be started: a failure of that task."""

    def __init__(self, type: str) -> None:
        self.type = type


class Starting(State):
    """What a visit is before it starts."""

    def prepare(self, visit: Visit, task: dict[str, Any]) -> str | None:
        """Render everything of a task; return an outcome if nobody has to work on it."""
        if not holds(task.get("when"), self.names()):
            return "skipped"
        if "total_timeout" in task:
            visit.deadline = self.elapsed + seconds(self.render_own(task["total_timeout"]))
        if task.get("action") is None:
            return None if "tasks" in task else "succeeded"
        if "with_items" in task:
            return self.prepare_items(visit, task)
        self.prepare_action(task)
        visit.works = [Work(visit, -1, "held", self.render_input(task))]
        return None

    def prepare_items(self, visit: Visit, task: dict[str, Any]) -> str | None:
        named, items = names_of(task["with_items"])
        items = self.render_own(items)
        if not isinstance(items, list):
            raise NotStarted("ExpressionError")
        visit.fans_out = True
        self.prepare_action(task)
        if "concurrency" in task:
            visit.concurrency = self.render_own(task["concurrency"])
        if "batch_size" in task:
            size = self.render_own(task["batch_size"])
            items = [items[first : first + size] for first in range(0, len(items), size)]
        for index, item in enumerate(items):
            work = Work(visit, index, "held")
            visit.works.append(work)
            try:
                local = {"item": item, "index": index} if not named else self.named(named, item)
                work.input = self.render_input(task, **local)
            except (Fault, NotStarted) as error:
                type = "ExpressionError" if isinstance(error, Fault) else error.type
                work.attempt, work.error = 0, self.failure(visit, type, index)
        return None if items else "succeeded"

    def prepare_action(self, task: dict[str, Any]) -> None:
        if task["action"] != "core.sleep" and KINDS.get(task["action"]) is None:
            raise NotStarted("UnknownAction")
        for number in ("delay", "timeout"):
            render(task.get(number), self.names())
        for number in ("count", "delay"):
            render(task.get("retry", {}).get(number), self.names())

    def render_input(self, task: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Return a task's input; what the one action that declares parameters does not allow is refused."""
        given = render(task.get("input", {}), self.names(**more))
        n = given.get("n")
        if task["action"] == "t.strict" and (
            set(given) != {"n"} or not isinstance(n, int) or isinstance(n, bool)
        ):
            raise NotStarted("InvalidInput")
        return given

    def named(self, names: list[str], item: Any) -> dict[str, Any]:
        """Return the variables of one item of `x, y in ...`; one name alone is the item."""
        if len(names) == 1:
            return {names[0]: item}
        if not isinstance(item, list) or len(item) != len(names):
            raise NotStarted("ExpressionError")
        return dict(zip(names, item, strict=True))

    def render_own(self, value: Any) -> Any:
        """Return one of a task's own fields, rendered."""
        return render(value, self.names())


def names_of(with_items: Any) -> tuple[list[str], Any]:
    """Return the names in front of ` in `, and what is behind it."""
    if isinstance(with_items, str) and " in " in with_items and not with_items.lstrip().startswith("{{"):
        names, _, rest = with_items.partition(" in ")
        return [name.strip() for name in names.split(",")], rest if "{{" in rest else "{{ " + rest + " }}"
    return [], with_items
