"""Bringing a database's tables to what this version needs (Alembic), and saying whether they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect

from dramaturg.engine.errors import SchemaOutdated
from dramaturg.engine.store.database import Database

if TYPE_CHECKING:
    from alembic.config import Config

#: The newest migration; a test holds it against the folder.
HEAD = "0003"


def current(database: Database) -> str | None:
    """Return the database's migration, or None: it has no tables of ours.

    Raises:
        Unreachable: the database does not answer.
    """
    with database.reaching() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()
        return None if version is None else str(version)


def upgrade(database: Database) -> tuple[str | None, str]:
    """Migrate to the newest tables; return the migration before and after. Safe to call by many at once."""
    before = current(database)
    if before != HEAD:
        from alembic import command

        if database.file is not None:
            database.file.parent.mkdir(parents=True, exist_ok=True)
        with database.migrating() as connection:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    return before, HEAD


def require(database: Database) -> None:
    """Raise SchemaOutdated unless the tables are what this version needs."""
    found = current(database)
    if found == HEAD:
        return
    state = "has no tables of Dramaturg" if found is None else f"is at migration {found}"
    raise SchemaOutdated(
        f"database {database.shown} {state}; this version needs {HEAD}",
        hint="run: dramaturg db upgrade" if found is None or found < HEAD else "upgrade Dramaturg itself",
    )


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
