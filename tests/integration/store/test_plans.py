"""What a step or a clock reads it looks up: none goes through the rows of a run, or of runs that have ended (SQLite)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

import pytest
from sqlmodel import create_engine

from dramaturg.engine.store import due, leases, statements, waiting
from dramaturg.engine.store.statements import Statement
from dramaturg.engine.store.tables import Execution

#: What ordinary steps are made of.
OF_A_STEP = (
    statements.LOCK,
    statements.COMPLETE,
    statements.INPUTS,
    statements.VIEW,
    statements.FAN_OUTS,
    statements.ITEM_RESULT,
    waiting.PARKED,
    statements.PARAMETERS,
    statements.PAYLOADS,
    statements.RESOLVE,
    statements.WRITE_RUN,
    statements.SETTLE,
    statements.SETTLE_VISIT,
    statements.RETRY,
    statements.RELEASE,
    statements.INBOX_APPLIED,
    leases.CLAIM,
    leases.RENEW,
    leases.FLAGS,
    leases.BEATS,
)
#: What a clock does, whatever runs are kept.
OF_A_TICK = (
    due.PEEK,
    due.ACTIVATE,
    due.WAITED,
    due.EXPIRED,
    due.ORPHANED,
    due.OVERDUE,
    due.UNSTARTED,
    due.WORKERS,
    due.TIMERS,
    due.UNSENT,
    due.SENT_NOW,
    due.REQUESTED,
    due.RUNS,
)
#: Indexes of what is open: they may be gone through, and so may what is read from them (`a` to `d`).
OPEN = re.compile(r"USING INDEX (execution_(requested|unstarted)|workflow_execution_open)$|^SCAN [a-d]$")
#: Tables and their short names, as far as they grow with a run or with the number of runs.
GROWING = (
    r"(execution|variable|task_state|join_round|fan_out|history_event|payload|inbox|workflow_execution|[a-z])"
)
#: Going through a table; looking up by the run alone in an index over more than that, unless it has only what is open.
WALKS = re.compile(
    rf"SCAN {GROWING}( USING |$)|SEARCH {GROWING} USING (COVERING )?INDEX sqlite_\w+ \(run=\?\)$"
)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """An SQLite database with the tables of the model, and nothing in them."""
    engine = create_engine("sqlite://")
    Execution.metadata.create_all(engine)
    connection = engine.raw_connection()
    driver = connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    yield driver
    connection.close()
    engine.dispose()


@pytest.mark.parametrize("statement", OF_A_STEP + OF_A_TICK, ids=lambda one: one.name)
def test_what_is_read_is_looked_up(connection: sqlite3.Connection, statement: Statement) -> None:
    """Each row is found by an index that leads to it, whatever else the run has; what is open may be gone through."""
    text = statement.text("sqlite")
    parameters = dict.fromkeys(re.findall(r"(?<![:\w]):([a-z_]+)", text))
    plan = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", parameters)]
    walks = [line for line in plan if WALKS.search(line) and not OPEN.search(line)]
    assert walks == [], "\n".join(plan)


@pytest.mark.parametrize("waits", ["x", "other"])
def test_signals_that_nobody_waits_for_are_not_gone_through(
    connection: sqlite3.Connection, waits: str
) -> None:
    """A run may keep thousands of them, and every signal leads to a look."""

    def steps(signals: int) -> int:
        connection.execute("DELETE FROM signal")
        rows = [(1, seq, "kept", "1") for seq in range(signals)]
        connection.executemany("INSERT INTO signal (run, seq, name, payload) VALUES (?, ?, ?, ?)", rows)
        connection.execute("INSERT INTO signal (run, seq, name, payload) VALUES (1, 9999, 'x', '1')")
        passed = 0

        def count() -> int:
            nonlocal passed
            passed += 1
            return 0

        connection.set_progress_handler(count, 10)
        found = connection.execute(waiting.MATCHES.text("sqlite"), {"run": 1}).fetchall()
        connection.set_progress_handler(None, 0)
        assert found == ([(1, 9999)] if waits == "x" else [])
        return passed

    connection.execute(
        """INSERT INTO execution (id, run, task, visit, item, attempt, kind, status, awaits, signal, queue, priority, spared,
            once, lost, cancel_requested, sends, created_at)
        VALUES (1, 1, 't', 1, -1, 1, 'wait', 'waiting', 'signal', ?, 'default', 0, 0, 0, 0, 0, 0, 0)""",
        (waits,),
    )
    assert steps(2000) < 2 * steps(10) + 20
