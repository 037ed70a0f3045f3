"""What an expression may name at each place of a workflow.

The checker (`inspect.py`) and the compiler (`program.py`) both ask here, so that what is accepted can be compiled.
"""

from __future__ import annotations

from dramaturg.engine.expressions.scope import Names
from dramaturg.engine.language.model import WorkflowDef

#: What an item and its number are always called; `x, y in <expr>` adds names.
ITEM_NAMES = frozenset({"item", "index"})


class Scopes:
    """The names that one workflow has, place by place."""

    def __init__(self, workflow: WorkflowDef) -> None:
        """Collect the variables (initial ones and published ones) and the tasks."""
        self._initial = [name for name, _ in workflow.vars]
        published = (name for task in workflow.every_task() for t in task.next for name, _ in t.publish)
        self.variables = frozenset(self._initial).union(published)
        self._items = {
            task.name: ITEM_NAMES.union(task.with_items.names) if task.with_items else frozenset[str]()
            for task in workflow.every_task()
        }
        self.tasks = frozenset(self._items)

    def run(self) -> Names:
        """Return what the run's own fields (`timeout`) may name: no variable is set yet."""
        return Names()

    def initial(self, index: int) -> Names:
        """Return what the initial variable number `index` may name: the ones before it."""
        return Names(variables=frozenset(self._initial[:index]))

    def task(self) -> Names:
        """Return what a task's own fields may name."""
        return Names(variables=self.variables, tasks=self.tasks)

    def input(self, task: str) -> Names:
        """Return what a task's input may name: the keystore, and with `with_items` the item, too."""
        items = self._items.get(task, frozenset())
        return Names(variables=self.variables, tasks=self.tasks, items=items, keystore=True)

    def outcome(self) -> Names:
        """Return what a transition or `retry.when` may name: the outcome of what just ended, too."""
        return Names(variables=self.variables, tasks=self.tasks, outcome=True)

    @staticmethod
    def attempt() -> Names:
        """Return what `retry.when` of an action may name: an action knows nothing of the workflow around it."""
        return Names(outcome=True)

    def output(self) -> Names:
        """Return what `output_map` may name."""
        return Names(variables=self.variables, tasks=self.tasks, output=True)
