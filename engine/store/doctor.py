"""Says in words what stands and what does not: nothing here changes anything.

A run is stuck when something of it is due for longer than a lease and two seconds and nobody has served it (DESIGN).
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from dramaturg.engine.store import schema
from dramaturg.engine.store.database import Database, Row, Transaction
from dramaturg.engine.store.statements import Statement
from dramaturg.engine.store.times import SECOND, iso
from dramaturg.engine.store.vault import HINT, NO_KEY, NoKey, Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    level: Literal["ok", "warning", "problem"]
    text: str
    #: What to do about it.
    hint: str = ""


COUNTS = Statement(
    "counts",
    """SELECT (SELECT count(*) FROM workflow_execution WHERE ended_at IS NULL),
        (SELECT count(*) FROM execution WHERE status = 'requested'),
        (SELECT min(created_at) FROM execution WHERE status = 'requested'),
        (SELECT count(*) FROM execution WHERE status = 'running' AND lease_until IS NOT NULL),
        (SELECT count(*) FROM execution WHERE status = 'running' AND lease_until < :late),
        (SELECT count(*) FROM execution WHERE status IN ('scheduled', 'waiting') AND due_at < :late),
        (SELECT count(*) FROM execution WHERE status = 'returned' AND finished_at < :late),
        (SELECT count(*) FROM worker WHERE seen_at > :alive)""",
)
FAULTS = Statement(
    "faults",
    """SELECT run_id, faults, fault, retry_at FROM workflow_execution WHERE ended_at IS NULL AND faults > 0
    ORDER BY id LIMIT 20""",
)
SEEN_WORKERS = Statement(
    "seen_workers", "SELECT name, queues, version, seen_at FROM worker WHERE seen_at > :alive ORDER BY name"
)

KEPT = Statement("kept_secrets", "SELECT name, sealed FROM secret ORDER BY name")

#: Microseconds after which a worker that has not been seen does not count.
ALIVE = 30 * SECOND


def examine(database: Database, lease: float, vault: Vault) -> list[Finding]:
    """Look at everything, and say what was found.

    Raises:
        Unreachable: the database does not answer.
    """
    found = schema.current(database)
    if found != schema.HEAD:
        text = f"database {database.shown} is at migration {found}, not {schema.HEAD}"
        return [Finding(level="problem", text=text, hint="run: dramaturg db upgrade")]
    findings = [Finding(level="ok", text=f"database {database.shown} answers, migration {found}")]
    with database.read() as tx:
        now = tx.now()
        late = now - int((lease + 2) * SECOND)
        counts = tx.run(COUNTS, {"late": late, "alive": now - ALIVE})[0]
        findings.extend(_workers(tx, now, counts[0]))
        findings.extend(_queue(now, lease, counts))
        findings.extend(_late(counts))
        for run_id, faults, fault, retry_at in tx.run(FAULTS):
            reason = str(fault).strip().splitlines()[-1:] or ["?"]
            again = f"; tried again at {iso(retry_at)}" if retry_at else ""
            text = f"run {run_id}: the interpreter raised {faults} times: {reason[0]}{again}"
            hint = HINT if NO_KEY in str(fault) else "this is a bug of ours: please report it"
            findings.append(Finding(level="problem", text=text, hint=hint))
        findings.extend(_secrets(tx, vault))
    return findings


def _secrets(tx: Transaction, vault: Vault) -> Iterator[Finding]:
    """Say whether the keystore can be opened, and whether its key is the owner's alone."""
    kept = [(row[0], row[1]) for row in tx.run(KEPT)]
    if not vault.available:
        if kept:
            text = f"the keystore has {len(kept)} secrets, and there is no key here to open them"
            yield Finding(level="problem", text=text, hint=HINT)
        return
    try:
        closed = [name for name, sealed in kept if not vault.opens(sealed)]
    except NoKey as error:
        yield Finding(level="problem", text=str(error), hint=error.hint)
        return
    if closed:
        text = f"the secret key here does not open {', '.join(closed[:12])} of the keystore"
        yield Finding(
            level="problem", text=text, hint="set the key that they were kept with, or set them again"
        )
    elif kept:
        yield Finding(level="ok", text=f"the keystore has {len(kept)} secrets; {vault.source}")
    file = vault.file
    if file is not None and file.exists() and stat.S_IMODE(file.stat().st_mode) & 0o077:
        text = f"others can read the key file {file}"
        yield Finding(level="warning", text=text, hint=f"run: chmod 600 {file}")


def seen_workers(tx: Transaction) -> list[str]:
    """Return the names of the worker processes that were seen lately."""
    return [row[0] for row in tx.run(SEEN_WORKERS, {"alive": tx.now() - ALIVE})]


def _workers(tx: Transaction, now: int, open_runs: int) -> list[Finding]:
    rows = tx.run(SEEN_WORKERS, {"alive": now - ALIVE})
    if rows:
        names = ", ".join(row[0] for row in rows)
        return [Finding(level="ok", text=f"{len(rows)} workers are alive: {names}")]
    if open_runs:
        text = f"no worker was seen for {ALIVE // SECOND} s, and {open_runs} runs are open"
        return [Finding(level="problem", text=text, hint="start one: dramaturg worker")]
    return [Finding(level="ok", text="no worker is alive, and no run is open")]


def _queue(now: int, lease: float, counts: Row) -> list[Finding]:
    open_runs, requested, oldest, running = counts[0], counts[1], counts[2], counts[3]
    findings = [Finding(level="ok", text=f"{open_runs} runs are open, {running} tasks are running")]
    if requested:
        waited = (now - oldest) / SECOND
        level: Literal["ok", "warning"] = "warning" if waited > lease else "ok"
        hint = "more workers, or workers for their queues, would help" if level == "warning" else ""
        text = f"{requested} tasks wait for a worker, the oldest for {waited:.1f} s"
        findings.append(Finding(level=level, text=text, hint=hint))
    return findings


def _late(counts: Row) -> list[Finding]:
    names = (
        (4, "attempts have a lease that ended long ago, and no clock has taken them back"),
        (5, "retries, delays or waits are overdue"),
        (6, "completions are not applied"),
    )
    hint = "no clock is running: start a worker"
    return [Finding(level="problem", text=f"{counts[i]} {text}", hint=hint) for i, text in names if counts[i]]
