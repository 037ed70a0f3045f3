"""A migrated database of each kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dramaturg.engine.store import schema
from dramaturg.engine.store.database import Database


@pytest.fixture
def store(database_url: str) -> Iterator[Database]:
    """An empty database with its tables, once for SQLite and once for PostgreSQL."""
    database = Database(database_url.replace("postgresql://", "postgresql+psycopg://"))
    schema.upgrade(database)
    yield database
    database.close()
