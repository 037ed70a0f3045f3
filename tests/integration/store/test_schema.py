"""The migrations make the tables that the classes describe, on each database, however many ask for it at once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlmodel import SQLModel

from dramaturg.engine.errors import SchemaOutdated, Unreachable
from dramaturg.engine.store import schema, tables
from dramaturg.engine.store.database import Database


def open_database(url: str) -> Database:
    """Return the database of a URL as people write it."""
    return Database(url.replace("postgresql://", "postgresql+psycopg://"))


def test_the_migrations_make_what_the_classes_describe(store: Database) -> None:
    """Alembic finds no difference between the migrated database and the SQLModel classes."""
    assert tables.SQLModel is SQLModel
    with store.reaching() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_head_is_the_newest_migration() -> None:
    """`schema.HEAD` is written down so that a start need not load Alembic: it must follow the folder."""
    folder = Path(schema.__file__).parent / "migrations" / "versions"
    newest = max(path.name.split("_")[0] for path in folder.glob("v*.py"))
    assert newest == f"v{schema.HEAD}"


def test_many_upgrade_at_once(database_url: str) -> None:
    """Each process of a deployment may try: one migrates, the others find it done."""
    databases = [open_database(database_url) for _ in range(4)]
    errors: list[BaseException] = []

    def upgrade(database: Database) -> None:
        try:
            schema.upgrade(database)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=upgrade, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert schema.current(databases[0]) == schema.HEAD
    for database in databases:
        database.close()


def test_a_database_without_tables_is_told_as_such(database_url: str) -> None:
    """A server is not migrated behind anybody's back."""
    database = open_database(database_url)
    with pytest.raises(SchemaOutdated, match="has no tables of Dramaturg"):
        schema.require(database)
    database.close()


def test_a_newer_database_wants_a_newer_program(store: Database) -> None:
    """The hint says who has to move."""
    with store.reaching() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaOutdated, match="9999") as caught:
        schema.require(store)
    assert caught.value.hint == "upgrade Dramaturg itself"


def test_a_server_that_is_not_there_is_unreachable() -> None:
    """In one line, and without the password."""
    database = open_database("postgresql://kim:secret@127.0.0.1:1/none")
    with pytest.raises(Unreachable) as caught:
        schema.current(database)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    database.close()
