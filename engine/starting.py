"""Starting a run: idempotent by its id, in a transaction of its own or in the caller's (LANGUAGE 10)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from uuid_utils import uuid7

from dramaturg.engine.errors import JSON, Conflict, InvalidParameters, NotFound, UsageError
from dramaturg.engine.interpreter.state import ActionInfo
from dramaturg.engine.runtime.normalise import Refused, normalise
from dramaturg.engine.secrecy import Secrecy
from dramaturg.engine.secret import holds
from dramaturg.engine.store import statements as sql
from dramaturg.engine.store.catalog import info_of
from dramaturg.engine.store.codec import Encoder, loads
from dramaturg.engine.store.database import Transaction
from dramaturg.engine.store.statements import Statement

POLICIES = ("return_existing", "reject", "terminate_existing")
#: Characters that a name may have which somebody gives: it is part of an index, where a server takes little.
NAME_LENGTH = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedRun:
    """A run that exists now."""

    run_id: str
    #: The run's own number in the database: what messages name.
    key: int
    #: False: it existed before, and this start did nothing.
    created: bool


EXISTING = Statement("existing", "SELECT id, ref, given FROM workflow_execution WHERE run_id = :run_id")
CATALOG_NOW = Statement("catalog_now", "SELECT COALESCE(MAX(id), 0) FROM registration")
REFS = Statement("refs", "SELECT ref FROM action ORDER BY ref")
PUT_EXECUTION = Statement(
    "put_execution",
    """INSERT INTO execution (task, visit, item, attempt, kind, action, status, input, digest, queue, priority, spared, once,
        lost, cancel_requested, sends, created_at)
    VALUES ('', 1, -1, 1, 'workflow', :ref, 'running', :input, :digest, 'default', 0, false, false, 0, false, 0, :now)
    RETURNING id""",
)
PUT_RUN = Statement(
    "put_run",
    """INSERT INTO workflow_execution (run_id, execution_id, attempt, ref, digest, catalog, given, status, open, open_joins,
        next_seq, faults, created_at, last_at)
    VALUES (:run_id, :execution, 1, :ref, :digest, :catalog, :given, 'requested', 0, 0, 1, 0, :now, :now)
    ON CONFLICT (run_id) DO NOTHING RETURNING id""",
)
TAKE_BACK = Statement("take_back", "DELETE FROM execution WHERE id = :execution")


def check_name(name: str, what: str) -> None:
    """Make sure that a name that somebody gives to a run or a signal can be stored, found and shown.

    Raises:
        UsageError: it is not.
    """
    if not (name.strip() and name.isprintable() and len(name) <= NAME_LENGTH):
        shown = repr(name) if len(name) <= 60 else f"{name[:60]!r}... ({len(name)} characters)"
        raise UsageError(f"{what} {shown}: a text of 1 to {NAME_LENGTH} printable characters is wanted")


def start_run(
    tx: Transaction,
    ref: str,
    parameters: Mapping[str, JSON],
    *,
    run_id: str | None,
    if_exists: str,
    threshold: int,
    limit: int,
    shown: str,
    secrecy: Secrecy,
) -> StartedRun:
    """Store a run, or find the one that the id names.

    Args:
        threshold: bytes above which a value is stored apart.
        limit: bytes of JSON that the parameters may have.
        shown: how to call the database in a message.
    Raises:
        NotFound, InvalidParameters, Conflict, UsageError: nothing was stored. UsageError is also NoKey: the workflow has
            secrets, and there is no key for them.
    """
    if if_exists not in POLICIES[:2]:
        raise UsageError(f"{if_exists!r} is not supported", hint="use 'return_existing' or 'reject'")
    given = _normalised(ref, parameters, limit)
    if run_id is not None:
        check_name(run_id, "run id")
        existing = _existing(tx, ref, secrecy, given, run_id, if_exists)
        if existing is not None:
            return existing
    info = _startable(tx, ref, shown)
    problems = info.parameters.problems(given)
    if problems:
        raise InvalidParameters(ref, problems)
    catalog = tx.run(CATALOG_NOW)[0][0]
    secrecy.require_key(tx, ref, catalog)
    encode = Encoder(threshold, secrecy.vault)
    mark = secrecy.mark(info, given)
    run_id = run_id or str(uuid7())
    run = {"run_id": run_id, "ref": ref, "digest": info.digest, "given": mark, "now": tx.now()}
    text = encode(secrecy.hide(info, info.parameters.with_defaults(given)))
    execution = tx.run(PUT_EXECUTION, {**run, "input": text})[0][0]
    rows = tx.run(PUT_RUN, {**run, "execution": execution, "catalog": catalog})
    if not rows:
        # Somebody else took the id between our look and now.
        tx.run(TAKE_BACK, {"execution": execution})
        found = _existing(tx, ref, secrecy, given, run_id, if_exists)
        if found is None:
            raise Conflict(f"run {run_id} is being started by somebody else", hint="try again")
        return found
    if encode.payloads:
        tx.run(sql.WRITE_PAYLOADS, {"run": rows[0][0], "payloads": encode.rows()})
    return StartedRun(run_id=run_id, key=rows[0][0], created=True)


def _normalised(ref: str, parameters: Mapping[str, JSON], limit: int) -> dict[str, JSON]:
    # What holds a secret comes from the engine itself (core.start), and has been normalised before.
    kept = {name: value for name, value in parameters.items() if holds(value)}
    try:
        value = normalise({n: v for n, v in parameters.items() if n not in kept}, limit, "parameters")
    except Refused as refused:
        raise InvalidParameters(ref, [refused.failure.message]) from None
    assert isinstance(value, dict)
    return {**value, **kept}


def _existing(
    tx: Transaction, ref: str, secrecy: Secrecy, given: Mapping[str, JSON], run_id: str, if_exists: str
) -> StartedRun | None:
    rows = tx.run(EXISTING, {"run_id": run_id})
    if not rows:
        return None
    key, other, mark = rows[0]
    if other != ref:
        raise Conflict(
            f"run id {run_id!r} is taken by a run of {other}, not of {ref}", hint="choose another id"
        )
    if not secrecy.same(mark, given):
        raise Conflict(
            f"run id {run_id!r} is taken by a run of {ref} with other parameters",
            hint="start with the same parameters to go on with it, or choose another id",
        )
    if if_exists == "reject":
        raise Conflict(f"run id {run_id!r} is taken", hint="choose another id")
    return StartedRun(run_id=run_id, key=key, created=False)


def _startable(tx: Transaction, ref: str, shown: str) -> ActionInfo:
    rows = tx.run(sql.CURRENT, {"ref": ref})
    if not rows:
        names = [row[0] for row in tx.run(REFS)]
        near = difflib.get_close_matches(ref, names, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else "dramaturg pack list shows what there is"
        raise NotFound(f"there is no action {ref!r} in database {shown}", hint=hint)
    info = info_of(loads(rows[0][1]), rows[0][0])
    if not info.enabled:
        raise UsageError(f"{ref} is not enabled", hint="set enabled: true in its definition")
    return info
