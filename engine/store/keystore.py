"""The keystore: secrets by name, sealed. What is in it is never read back by people, only by workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dramaturg.engine.errors import JSON, NotFound, UsageError
from dramaturg.engine.expressions.faults import did_you_mean
from dramaturg.engine.language.transitions import LONGEST_NAME, NAME
from dramaturg.engine.store.codec import dumps
from dramaturg.engine.store.database import Database, Row
from dramaturg.engine.store.statements import Statement
from dramaturg.engine.store.times import iso
from dramaturg.engine.store.vault import Vault, new_key

PUT = Statement(
    "put_secret",
    """INSERT INTO secret (name, sealed, created_at, updated_at) VALUES (:name, :sealed, :now, :now)
    ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at""",
)
LIST = Statement("secrets", "SELECT name, created_at, updated_at FROM secret ORDER BY name")
DELETE = Statement("delete_secret", "DELETE FROM secret WHERE name = :name RETURNING name")
OPEN = Statement(
    "sealed_secrets",
    "SELECT name, sealed FROM secret WHERE name IN (SELECT name FROM <<rows names | name text>> AS x)",
)

#: Runs a reading statement: of a transaction, or alone.
Ask = Callable[[Statement, Mapping[str, JSON]], Sequence[Row]]


class KeptSecrets:
    """The keystore of a database, as people use it."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    def set(self, name: str, value: str) -> bool:
        """Keep a secret; return whether it replaces one of this name.

        Raises:
            UsageError: the name can't be written in an expression, the value is empty or no text, or there is no key.
        """
        _check(name, value)
        sealed = self._vault.seal(value)
        with self._database.write() as tx:
            replaced = bool(_sealed(tx.run, [name]))
            tx.run(PUT, {"name": name, "sealed": sealed, "now": tx.now()})
        return replaced

    def list(self) -> list[dict[str, JSON]]:
        """Return name and times of each secret, by name; nothing else can be shown of them."""
        return [
            {"name": row[0], "created_at": iso(row[1]), "updated_at": iso(row[2])}
            for row in self._database.ask(LIST)
        ]

    def delete(self, name: str) -> None:
        """Forget a secret.

        Raises:
            NotFound: there is none of this name.
        """
        with self._database.write() as tx:
            if not tx.run(DELETE, {"name": name}):
                known = [row[0] for row in tx.run(LIST)]
                hint = did_you_mean(name, known) or "dramaturg secret list shows what there is"
                raise NotFound(f"there is no secret {name!r} in database {self._database.shown}", hint=hint)

    @staticmethod
    def new_key() -> str:
        """Return a new key for the setting `secret_key`."""
        return new_key()


def sealed(ask: Ask) -> Callable[[Sequence[str]], Mapping[str, str]]:
    """Return what gives the sealed texts of secrets by name, as the vault asks for them."""
    return lambda names: _sealed(ask, names)


def _sealed(ask: Ask, names: Sequence[str]) -> dict[str, str]:
    return {row[0]: row[1] for row in ask(OPEN, {"names": dumps([{"name": name} for name in names])})}


def _check(name: str, value: str) -> None:
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        what = "letters, digits, _ and -, no digit or - first"
        raise UsageError(f"{name[:60]!r} can't be the name of a secret: {what}")
    if not value:
        raise UsageError(f"secret {name}: the value is empty")
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise UsageError(f"secret {name}: the value is no text (it has a NUL, or bytes that are no UTF-8)")
