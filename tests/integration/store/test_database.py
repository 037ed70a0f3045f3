"""Transactions: whole or not at all, in turn on SQLite, and told from errors of ours when the server goes away."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence

import pytest
from servers import PostgresServer

from dramaturg.engine.errors import Unreachable
from dramaturg.engine.store import schema
from dramaturg.engine.store.codec import dumps
from dramaturg.engine.store.database import Database, Row
from dramaturg.engine.store.statements import Statement

PUT = Statement("put", "INSERT INTO queue (name, claimed_at, claimed_sent_at) VALUES (:name, :now, 0)")
COUNT = Statement("count", "SELECT count(*) FROM queue")
ROWS = Statement(
    "rows", "SELECT a, b, c, d FROM <<rows list | a text, b bigint, c float, d bool>> AS x ORDER BY b"
)


def count(store: Database) -> int:
    """Return how many rows are there."""
    with store.read() as tx:
        return int(tx.run(COUNT)[0][0])


def test_a_transaction_that_raises_leaves_nothing(store: Database) -> None:
    """It is rolled back, and the connection is fit for the next one."""

    def fail() -> None:
        with store.write() as tx:
            tx.run(PUT, {"name": "a", "now": 1})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert count(store) == 0
    with store.write() as tx:
        tx.run(PUT, {"name": "a", "now": 1})
    assert count(store) == 1


def test_rows_of_any_text_come_through(store: Database) -> None:
    """A JSON array stands for a table: quotes, percent signs, nulls and large numbers included."""
    texts = ['{"x": "%s %(y)s :z"}', "O'Brien \\ ünï", "", "\u2028"]
    rows = [{"a": text, "b": 2**62 + n, "c": 0.5, "d": n % 2 == 0} for n, text in enumerate(texts)]
    with store.read() as tx:
        found = tx.run(ROWS, {"list": dumps([*rows, {"b": 2**63 - 1}])})
    assert [row[0] for row in found] == [*texts, None]
    assert [row[1] for row in found] == [*(2**62 + n for n in range(4)), 2**63 - 1]
    assert [bool(row[3]) for row in found[:4]] == [True, False, True, False]


def test_writers_take_turns(store: Database) -> None:
    """Many threads write at once: none fails, none is lost."""

    def write(number: int) -> None:
        for index in range(10):
            with store.write(durable=False) as tx:
                tx.run(PUT, {"name": f"{number}-{index}", "now": 1})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert count(store) == 80


def test_another_writer_is_noticed(sqlite_database: str) -> None:
    """`data_version` moves when another connection has written, and only then."""
    ours, other = Database(sqlite_database), Database(sqlite_database)
    schema.upgrade(ours)
    first = ours.data_version()
    assert ours.data_version() == first
    with other.write() as tx:
        tx.run(PUT, {"name": "a", "now": 1})
    assert ours.data_version() != first
    ours.close()
    other.close()


def test_a_value_that_no_index_takes_is_not_a_server_that_is_away(postgres_database: str) -> None:
    """To try again until it "answers" would hold a worker for ever."""
    database = Database(postgres_database)
    schema.upgrade(database)
    long = "".join(hashlib.sha256(str(n).encode()).hexdigest() for n in range(200))
    with pytest.raises(database.errors, match="index row"), database.write() as tx:
        tx.run(PUT, {"name": long, "now": 1})
    assert count(database) == 0
    database.close()


def test_a_server_that_comes_back_is_used_again(postgres_server: Callable[[], PostgresServer]) -> None:
    """While it is away: Unreachable. Afterwards no stale connection of the pool gets in the way."""
    server = postgres_server()
    database = Database(server.url.replace("postgresql://", "postgresql+psycopg://"))
    one = Statement("one", "SELECT 1")
    with database.read() as tx, database.read() as another:
        assert (tx.run(one)[0][0], another.run(one)[0][0]) == (1, 1)
    server.kill()
    with pytest.raises(Unreachable), database.read() as tx:
        tx.run(one)
    server.start()
    with database.read() as tx:
        assert tx.run(one)[0][0] == 1
    database.close()


def test_a_restart_between_two_questions_is_not_noticed(
    postgres_server: Callable[[], PostgresServer],
) -> None:
    """A connection that went stale in the pool is made good: nothing had been done on it."""
    server = postgres_server()
    database = Database(server.url.replace("postgresql://", "postgresql+psycopg://"))
    one = Statement("one", "SELECT 1")
    for use in (lambda: database.ask(one), lambda: _read(database, one)):
        assert use()[0][0] == 1
        server.kill()
        server.start()
        assert use()[0][0] == 1
    database.close()


def _read(database: Database, statement: Statement) -> Sequence[Row]:
    with database.read() as tx:
        return tx.run(statement)
