"""The keystore: secrets by name, sealed. What is in it is never read back by people, only by workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dramaturg.engine.errors import JSON
from dramaturg.engine.store.codec import dumps
from dramaturg.engine.store.database import Row, Transaction
from dramaturg.engine.store.statements import Statement
from dramaturg.engine.store.times import iso

PUT = Statement(
    "put_secret",
    """INSERT INTO secret (name, sealed, created_at, updated_at) VALUES (:name, :sealed, :now, :now)
    ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at
    RETURNING created_at <> updated_at""",
)
LIST = Statement("secrets", "SELECT name, created_at, updated_at FROM secret ORDER BY name")
DELETE = Statement("delete_secret", "DELETE FROM secret WHERE name = :name RETURNING name")
OPEN = Statement(
    "sealed_secrets",
    "SELECT name, sealed FROM secret WHERE name IN (SELECT name FROM <<rows names | name text>> AS x)",
)

#: Runs a reading statement: of a transaction, or alone.
Ask = Callable[[Statement, Mapping[str, JSON]], Sequence[Row]]


def put(tx: Transaction, name: str, sealed: str) -> bool:
    """Keep a secret; return whether there was one of this name, which it replaces."""
    return bool(tx.run(PUT, {"name": name, "sealed": sealed, "now": tx.now()})[0][0])


def listed(tx: Transaction) -> list[dict[str, JSON]]:
    """Return name and times of each secret, by name; nothing else can be shown of them."""
    return [{"name": row[0], "created_at": iso(row[1]), "updated_at": iso(row[2])} for row in tx.run(LIST)]


def delete(tx: Transaction, name: str) -> bool:
    """Forget a secret; return whether there was one of this name."""
    return bool(tx.run(DELETE, {"name": name}))


def sealed(ask: Ask, names: Sequence[str]) -> dict[str, str]:
    """Return the sealed texts of the secrets of these names that there are."""
    return dict(tuple(row) for row in ask(OPEN, {"names": dumps([{"name": name} for name in names])}))
