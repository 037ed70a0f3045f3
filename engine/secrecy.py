"""What people give to a run: what of it is to be hidden, how two starts are compared, and whether there is a key at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from dramaturg.engine.errors import JSON, InvalidParameters
from dramaturg.engine.interpreter.state import ActionInfo
from dramaturg.engine.language.program import compile_workflow
from dramaturg.engine.language.schema import ParameterSet
from dramaturg.engine.language.stored import workflow_from_json
from dramaturg.engine.secret import hidden, holds
from dramaturg.engine.store.codec import digest_of, dumps, loads
from dramaturg.engine.store.database import Transaction
from dramaturg.engine.store.statements import Statement
from dramaturg.engine.store.vault import HINT, MARK, NoKey, Vault

DEFINITIONS = Statement(
    "definitions",
    """SELECT a.ref, a.current_revision, v.definition FROM action a JOIN workflow_revision v ON v.digest = a.current_revision
    WHERE a.ref IN (SELECT ref FROM <<rows refs | ref text>> AS x)""",
)

#: What an execution's action declares, as its run knows it.
MAKES = Statement(
    "makes",
    """SELECT v.definition, e.kind, e.task FROM execution e JOIN workflow_execution w ON w.id = e.run
    JOIN registration r ON r.ref = e.action AND r.id <= w.catalog JOIN workflow_revision v ON v.digest = r.digest
    WHERE e.id = :id ORDER BY r.id DESC LIMIT 1""",
)

#: Answers that are kept; with a key nothing is asked.
KEPT = 4096


class Secrecy:
    """What starting a run, and giving it a result, have to do with secrets."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        #: (revision, registration) -> what needs a key, or nothing.
        self._reasons: dict[tuple[str, int], str] = {}

    def hide(self, info: ActionInfo, values: dict[str, JSON]) -> dict[str, JSON]:
        """Return parameters in which what is declared as secret is one."""
        return hidden(values, info.parameters.secret) if info.parameters.secret else values

    def taken_result(self, tx: Transaction, target: str, result: JSON) -> JSON:
        """Return what a person says that an action has given, in which what the action declares as secret is one.

        Args:
            target: the execution's number, or a token of it.
        Raises:
            InvalidParameters: it is not what the action's `output` declares.
        """
        number = target.partition("-")[0]
        if not number.isascii() or not number.isdigit() or len(number) > 18:
            return result
        rows = tx.run(MAKES, {"id": int(number)})
        declared = loads(rows[0][0]).get("output") if rows else None
        # Of a visit that has items the result is not the action's.
        if declared is None or rows[0][1] not in ("worker", "actor"):
            return result
        problems = ParameterSet(declared, closed=False).problems(result)
        if problems:
            raise InvalidParameters(f"the result of {rows[0][2]}", problems)
        return hidden(result, [name for name, schema in declared.items() if schema.get("secret") is True])

    def mark(self, info: ActionInfo, given: Mapping[str, JSON]) -> str:
        """Return what parameters are known by: a hash, a keyed one where some of them are secret."""
        return self.vault.mark(given) if self._has_secrets(info, given) else digest_of(given)

    def same(self, mark: str | None, given: Mapping[str, JSON]) -> bool:
        """Say whether a mark is that of these parameters."""
        if mark is not None and mark.startswith(MARK):
            return self.vault.matches(mark, given)
        return mark == digest_of(given)

    def require_key(self, tx: Transaction, ref: str, catalog: int) -> None:
        """Refuse to start what could not go on: without a key, a workflow that has secrets.

        Args:
            catalog: the highest registration: what `ref` means is known by it.
        Raises:
            NoKey: a parameter or an output of it, or of an action that it names, is secret, or it uses the keystore.
        """
        if self.vault.available:
            return
        reason = self._reasons.get((ref, catalog))
        if reason is None:
            reason = next(_reasons(tx, [ref]), "")
            if len(self._reasons) >= KEPT:
                self._reasons.clear()
            self._reasons[ref, catalog] = reason
        if reason:
            raise NoKey(f"{ref} can't be started without a secret key: {reason}", hint=HINT)

    @staticmethod
    def _has_secrets(info: ActionInfo, given: Mapping[str, JSON]) -> bool:
        return not info.parameters.secret.isdisjoint(given) or holds(dict(given))


def _reasons(tx: Transaction, refs: Iterable[str]) -> Iterator[str]:
    """Yield why actions, and those that they name literally, need a key."""
    seen: set[str] = set()
    todo = list(refs)
    while todo:
        seen.update(todo)
        rows = tx.run(DEFINITIONS, {"refs": dumps([{"ref": ref} for ref in sorted(todo)])})
        named: set[str] = set()
        for ref, digest, text in rows:
            definition = loads(text)
            yield from _declared(ref, definition)
            if definition["kind"] == "workflow":
                program = compile_workflow(workflow_from_json(definition), digest)
                for task in program.tasks.values():
                    for name in sorted(task.entry_reads.keystore):
                        yield f"task {task.name!r} of {ref} uses keystore.{name}"
                    if task.action is not None and task.action.constant:
                        named.add(str(task.action.source))
        todo = [ref for ref in named if ref not in seen]


def _declared(ref: str, definition: Mapping[str, JSON]) -> Iterator[str]:
    for key, what in (("parameters", "parameter"), ("output", "output")):
        for name, schema in (definition.get(key) or {}).items():
            if schema.get("secret") is True:
                yield f"{what} {name!r} of {ref} is secret"
