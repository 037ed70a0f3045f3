"""What a step reads it looks up: no statement of a step goes through the rows of its run, or of other runs (SQLite)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

import pytest
from sqlmodel import create_engine

from dramaturg.engine.store import leases, statements
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
    statements.PARKED,
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


@pytest.mark.parametrize("statement", OF_A_STEP, ids=lambda one: one.name)
def test_a_step_looks_up_what_it_reads(connection: sqlite3.Connection, statement: Statement) -> None:
    """Each row is found by an index that leads to it, whatever else the run has; what is open may be gone through."""
    text = statement.text("sqlite")
    parameters = dict.fromkeys(re.findall(r"(?<![:\w]):([a-z_]+)", text))
    plan = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", parameters)]
    # `a` and `b` are the two halves of INPUTS, read from indexes of what is open.
    walks = [line for line in plan if WALKS.search(line) and line not in ("SCAN a", "SCAN b")]
    assert walks == [], "\n".join(plan)
