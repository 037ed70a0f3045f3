"""Every fixed statement is understood by each database, with the parameters that its callers give."""

from __future__ import annotations

import re
from types import ModuleType

from sqlalchemy.exc import DBAPIError

from dramaturg.engine import performing, secrecy, service, starting
from dramaturg.engine.errors import Unreachable
from dramaturg.engine.store import (
    awaits,
    controls,
    database,
    doctor,
    due,
    keystore,
    leases,
    people,
    queries,
    registry,
    statements,
    termination,
    verification,
    waiting,
)
from dramaturg.engine.store.database import Database
from dramaturg.engine.store.statements import Statement

MODULES: tuple[ModuleType, ...] = (
    statements,
    due,
    queries,
    controls,
    registry,
    doctor,
    starting,
    performing,
    secrecy,
    verification,
    service,
    database,
    waiting,
    leases,
    people,
    termination,
    awaits,
    keystore,
)
STATEMENTS = {
    statement.name: statement
    for module in MODULES
    for statement in vars(module).values()
    if isinstance(statement, Statement)
}

#: A value of the right kind for each parameter, by name; `<<rows>>` parameters are empty lists.
TEXT = {
    "nonce", "worker", "outcome", "result", "error", "ref", "digest", "pack", "status", "closing", "fault", "kind", "task",
    "data", "run_id", "query", "by", "sealed", "name", "host", "version", "queues_text", "label", "config", "tags", "input", "given",
}  # fmt: skip
BOOLEANS = {"spared", "nested"}


def _value(name: str, rows: set[str]) -> object:
    if name in rows:
        return "[]"
    if name in TEXT or name == "queues":
        return "x"
    if name in BOOLEANS:
        return False
    return 1


def test_every_statement_is_understood(store: Database) -> None:
    """Each is run with nothing to find: names, types and parameters fit the tables."""
    wrong = {}
    for name, statement in STATEMENTS.items():
        try:
            with store.write() as tx:
                tx.run(statement, _parameters(store, statement))
        except (DBAPIError, Unreachable) as error:
            wrong[name] = str(error)
    assert wrong == {}


def test_no_statement_name_is_used_twice() -> None:
    """Tests and failpoints know a statement by its name."""
    every = {
        id(statement): statement.name
        for module in MODULES
        for statement in vars(module).values()
        if isinstance(statement, Statement)
    }
    assert len(every) == len(set(every.values()))


def _parameters(store: Database, statement: Statement) -> dict[str, object]:
    text = statement.text(store.dialect)
    sqlite = store.dialect == "sqlite"
    named = r"(?<![:\w]):([a-z_]+)" if sqlite else r"%\(([a-z_]+)\)s"
    rows = r"json_each\(:(\w+)\)" if sqlite else r"json_to_recordset\(%\((\w+)\)s"
    lists = set(re.findall(rows, text))
    return {name: _value(name, lists) for name in re.findall(named, text)}
