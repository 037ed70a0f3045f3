"""Where a worker finds the action that an execution names: on its own pack path, else as the database has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dramaturg.engine.language.model import ActionDef
from dramaturg.engine.language.stored import action_from_json
from dramaturg.engine.packs.manifest import Pack
from dramaturg.engine.store import statements as sql
from dramaturg.engine.store.codec import loads
from dramaturg.engine.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An action and the folder of its files."""

    action: ActionDef
    #: The pack's `actions/`; None: this worker has no files of the pack.
    actions_dir: Path | None


class ActionSource:
    """Finds actions by ref; files of a worker's own packs go before what the database remembers.

    So a worker can be rolled forward, or back, by its files: the run keeps its definition, the work is done by the
    scripts that are there.
    """

    def __init__(self, packs: Sequence[Pack], database: Database) -> None:
        self._database = database
        self._local: dict[str, Source] = {}
        tasks = [
            task for pack in packs for workflow in pack.workflows.values() for task in workflow.tasks.values()
        ]
        #: Queues that the packs name; one that only an expression gives is not known before it is used.
        self.queues = frozenset(
            [
                action.queue
                for pack in packs
                for action in pack.actions.values()
                if action.runtime != "dramatiq"  # a queue of the user's app
            ]
            + [task.queue for task in tasks if isinstance(task.queue, str) and "{{" not in task.queue]
        )
        for pack in packs:
            folder = pack.path / "actions"
            for ref, action in pack.actions.items():
                self._local[ref] = Source(action=action, actions_dir=folder if folder.is_dir() else None)

    def find(self, ref: str) -> Source | None:
        """Return the action, or None: neither this worker nor the database has it."""
        local = self._local.get(ref)
        if local is not None:
            return local
        rows = self._database.ask(sql.CURRENT, {"ref": ref})
        if not rows:
            return None
        definition = loads(rows[0][1])
        if definition["kind"] != "action":
            return None
        return Source(action=action_from_json(definition), actions_dir=None)
