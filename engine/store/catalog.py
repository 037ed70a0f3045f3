"""What refs mean to a run: actions and programs, as they were when its outermost run started.

Everything here is immutable once read (a registration is never changed, a revision is its hash), so it is cached for the
life of the process, within bounds.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Literal, TypeVar

from dramaturg.engine.errors import JSON, InternalError
from dramaturg.engine.interpreter.state import ActionInfo
from dramaturg.engine.interpreter.waits import ENGINE, WAITS
from dramaturg.engine.language.model import ActionDef, RetryDef
from dramaturg.engine.language.program import Program, compile_action, compile_workflow
from dramaturg.engine.language.schema import ParameterSet
from dramaturg.engine.language.stored import action_from_json, workflow_from_json
from dramaturg.engine.store import statements as sql
from dramaturg.engine.store.codec import loads
from dramaturg.engine.store.database import Transaction

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Cache(Generic[K, V]):
    """The values used last, up to a number of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._size:
                self._values.popitem(last=False)
        return value


class Catalog:
    """Reads actions and programs out of the database, and keeps them."""

    def __init__(self) -> None:
        self._programs: _Cache[str, Program] = _Cache(512)
        self._actions: _Cache[tuple[str, int], ActionInfo | None] = _Cache(4096)

    def program(self, transaction: Transaction, digest: str) -> Program:
        """Return the compiled revision.

        Raises:
            InternalError: a run names a revision that is not there.
        """
        return self._programs.get(digest, lambda: self._compile(transaction, digest))

    def action(self, transaction: Transaction, ref: str, catalog: int) -> ActionInfo | None:
        """Return what `ref` means to a run that sees registrations up to `catalog`; None: nothing."""
        return self._actions.get((ref, catalog), lambda: _resolve(transaction, ref, catalog))

    def _compile(self, transaction: Transaction, digest: str) -> Program:
        rows = transaction.run(sql.REVISION, {"digest": digest})
        if not rows:
            raise InternalError(f"revision {digest} is not in the database")
        definition = loads(rows[0][0])
        if definition["kind"] == "action":
            return compile_action(action_from_json(definition), digest)
        return compile_workflow(workflow_from_json(definition), digest)


def _resolve(transaction: Transaction, ref: str, catalog: int) -> ActionInfo | None:
    rows = transaction.run(sql.RESOLVE, {"ref": ref, "catalog": catalog})
    if not rows or not rows[0][0]:
        return None
    digest, text = rows[0]
    return info_of(loads(text), digest)


def info_of(definition: JSON, digest: str) -> ActionInfo:
    """Return what the interpreter knows of an action, from its stored definition."""
    if definition["kind"] == "workflow":
        workflow = workflow_from_json(definition)
        return ActionInfo(
            ref=workflow.ref,
            kind="workflow",
            parameters=ParameterSet(workflow.parameters),
            enabled=workflow.enabled,
            digest=digest,
        )
    action = action_from_json(definition)
    return ActionInfo(
        ref=action.ref,
        kind=kind_of(action),
        parameters=ParameterSet(action.parameters),
        enabled=action.enabled,
        timeout=action.timeout,
        retry=_retry(action.retry),
        queue=action.queue,
        digest=digest,
    )


def kind_of(action: ActionDef) -> Literal["worker", "actor", "wait", "engine"]:
    """Return who does an action."""
    if action.ref in WAITS:
        return "wait"
    if action.ref in ENGINE:
        return "engine"
    return "actor" if action.runtime == "dramatiq" else "worker"


def _retry(retry: RetryDef | None) -> dict[str, JSON] | None:
    if retry is None:
        return None
    names = ("count", "delay", "backoff", "factor", "max_delay", "jitter", "when")
    return {**{name: getattr(retry, name) for name in names}, "non_retryable": list(retry.non_retryable)}
