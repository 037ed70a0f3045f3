"""The vault: seals what is secret, and opens it again for the worker that needs it (LANGUAGE 2).

Keys are Fernet keys. The first one seals, all of them open: so a key is changed by putting a new one in front. They come
from the settings; an embedded database has one of its own as well, in a file beside it, made when it is first needed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dramaturg.engine.errors import JSON, UsageError
from dramaturg.engine.secret import Keystore, Part, Plain, Sealed, Secret, holds, replaced
from dramaturg.engine.store.codec import canonical, dumps, loads
from dramaturg.engine.store.database import Database

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

#: What the file of an embedded database's key is called: the database's own name and this.
KEY_FILE = ".key"
#: What a run's mark begins with if some of its parameters are secret.
MARK = "hmac:"

HINT = (
    "set DRAMATURG_SECRET_KEY (or DRAMATURG_SECRET_KEY_FILE) to a Fernet key, the same for all workers and clients; "
    "`dramaturg secret key` makes one"
)


#: What is said where there is none.
NO_KEY = "there is no secret key"


class NoKey(UsageError):
    """There is no key for what is secret."""


class Unresolved(Exception):
    """A secret can't be had: there is none of its name, or no key opens it. The message never has its value."""


class Vault:
    """Seals and opens; its keys are read when they are first needed."""

    def __init__(self, keys: Sequence[str] = (), *, file: Path | None = None) -> None:
        """Prepare a vault.

        Args:
            keys: Fernet keys; the first one seals.
            file: an embedded database's own key; made if nothing else seals.
        """
        self._given = tuple(keys)
        self._file = file
        self._lock = threading.Lock()
        self._keys: tuple[str, ...] | None = None
        self._fernet: MultiFernet | None = None

    @classmethod
    def of(cls, database: Database, keys: Sequence[str]) -> Vault:
        """Return the vault of a database."""
        file = database.file
        return cls(keys, file=None if file is None else file.with_name(file.name + KEY_FILE))

    @property
    def available(self) -> bool:
        """Return whether there is a key, or one can be made."""
        return bool(self._given) or self._file is not None

    @property
    def file(self) -> Path | None:
        """Return where an embedded database's own key is, or will be; None on a server."""
        return self._file

    @property
    def source(self) -> str:
        """Return in words where the key that seals comes from."""
        return "the key is set (secret_key)" if self._given else f"the key is in {self._file}"

    def opens(self, token: str) -> bool:
        """Say whether one of the keys opens what was sealed.

        Raises:
            NoKey: there is no key.
        """
        try:
            self.open(token)
        except Unresolved:
            return False
        return True

    def seal(self, value: JSON) -> str:
        """Return *value* encrypted; secrets in it stay references.

        Raises:
            NoKey: there is no key.
        """
        return self._cipher().encrypt(dumps(replaced(value, self._sealed)).encode()).decode()

    def open(self, token: str) -> JSON:
        """Return what :meth:`seal` was given.

        Raises:
            NoKey: there is no key.
            Unresolved: none of the keys opens it.
        """
        from cryptography.fernet import InvalidToken

        try:
            if not self._given and self._file is not None and not self._file.exists():
                # The key that it was sealed with is lost: a new one would not open it.
                raise InvalidToken
            return loads(self._cipher().decrypt(token.encode()))
        except InvalidToken:
            raise Unresolved("a sealed value can't be opened with the secret key of this worker") from None

    def mark(self, values: Mapping[str, JSON]) -> str:
        """Return what tells equal parameters from others, and nothing else of them: a keyed hash.

        Raises:
            NoKey: there is no key.
        """
        return next(self._marks(values))

    def matches(self, mark: str, values: Mapping[str, JSON]) -> bool:
        """Say whether a mark is that of these parameters, under any of the keys."""
        return any(hmac.compare_digest(mark, one) for one in self._marks(values))

    def _marks(self, values: Mapping[str, JSON]) -> Iterator[str]:
        text = canonical(replaced(dict(values), _comparable)).encode()
        for key in self._all_keys():
            own = hmac.digest(base64.urlsafe_b64decode(key), b"parameters of a run", "sha256")
            yield MARK + hmac.new(own, text, hashlib.sha256).hexdigest()

    def reveal(self, value: JSON, stored: Callable[[Sequence[str]], Mapping[str, str]]) -> Revealed:
        """Return *value* with everything that is secret in it as it is.

        Args:
            stored: gives the sealed texts of the keystore's secrets of these names, those that there are.
        Raises:
            NoKey: there is no key.
            Unresolved: a secret does not exist or can't be opened.
        """
        return _Revelation(self, stored).reveal(value)

    def _sealed(self, secret: Secret) -> Secret:
        parts = [Sealed(self.seal(p.value)) if isinstance(p, Plain) else p for p in secret.parts]
        return Secret(*parts)

    def _cipher(self) -> MultiFernet:
        if self._fernet is None:
            from cryptography.fernet import Fernet, MultiFernet

            self._fernet = MultiFernet([Fernet(key) for key in self._all_keys()])
        return self._fernet

    def _all_keys(self) -> tuple[str, ...]:
        with self._lock:
            if self._keys is None:
                self._keys = (*self._given, *self._own_keys())
            return self._keys

    def _own_keys(self) -> tuple[str, ...]:
        if self._file is None:
            if not self._given:
                raise NoKey(NO_KEY, hint=HINT)
            return ()
        if self._given:
            # What was sealed before there was a setting can be opened still.
            return (_read(self._file),) if self._file.exists() else ()
        if not self._file.exists():
            _make(self._file)
        return (_read(self._file),)


class Revealed:
    """A value with its secrets, and what must not appear anywhere of it."""

    __slots__ = ("plaintexts", "value")

    def __init__(self, value: JSON, plaintexts: Sequence[JSON]) -> None:
        self.value = value
        self.plaintexts = plaintexts


class _Revelation:
    """One value's secrets: opens what is sealed, asks for all names at once, until nothing secret is left."""

    def __init__(self, vault: Vault, stored: Callable[[Sequence[str]], Mapping[str, str]]) -> None:
        self.vault = vault
        self.stored = stored
        self.known: dict[str, JSON] = {}
        self.plaintexts: list[JSON] = []

    def reveal(self, value: JSON) -> Revealed:
        return Revealed(self._whole(value), self.plaintexts)

    def _whole(self, value: JSON) -> JSON:
        # What is sealed may hold names again: a map that was given as a secret, with a secret in it.
        while holds(value):
            names = sorted(set(_names(value)) - set(self.known))
            if names:
                self._learn(names)
            value = replaced(value, self._open)
        return value

    def _learn(self, names: Sequence[str]) -> None:
        found = self.stored(names)
        missing = [name for name in names if name not in found]
        if missing:
            what = "secret" if len(missing) == 1 else "secrets"
            raise Unresolved(
                f"the keystore has no {what} {', '.join(map(repr, missing))}: `dramaturg secret set` keeps one"
            )
        for name in names:
            try:
                self.known[name] = self.vault.open(found[name])
            except Unresolved:
                raise Unresolved(
                    f"secret {name!r} of the keystore can't be opened with the secret key of this worker"
                ) from None

    def _open(self, secret: Secret) -> JSON:
        values = [self._whole(self._part(part)) for part in secret.parts]
        self.plaintexts += [
            value for part, value in zip(secret.parts, values, strict=True) if not isinstance(part, str)
        ]
        return values[0] if len(values) == 1 else "".join(map(_in_text, values))

    def _part(self, part: Part) -> JSON:
        if isinstance(part, Keystore):
            return self.known[part.name]
        if isinstance(part, Sealed):
            return self.vault.open(part.token)
        return part.value if isinstance(part, Plain) else part


def _names(value: JSON) -> Iterator[str]:
    if isinstance(value, Secret):
        for part in value.parts:
            if isinstance(part, Keystore):
                yield part.name
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)


def _in_text(value: JSON) -> str:
    """Return a value as it appears inside a text (LANGUAGE 7)."""
    return value if isinstance(value, str) else "" if value is None else dumps(value)


def _comparable(secret: Secret) -> JSON:
    shown = {Plain: "value", Sealed: "token", Keystore: "name"}
    return [part if isinstance(part, str) else getattr(part, shown[type(part)]) for part in secret.parts]


# -- keys --------------------------------------------------------------------------------------------------------


def new_key() -> str:
    """Return a new Fernet key."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def _read(file: Path) -> str:
    try:
        key = file.read_text(encoding="ascii").strip()
        if len(base64.urlsafe_b64decode(key)) == 32:
            return key
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it holds no Fernet key"
        raise NoKey(f"key file {file}: {reason}") from None
    raise NoKey(f"key file {file}: it holds no Fernet key")


def _make(file: Path) -> None:
    """Make the key's file, readable by its owner only, unless somebody else has made it.

    It is written under another name first and then linked, which only the first one can do: so all processes have the
    same key, and nobody reads a part of it.
    """
    draft = file.with_name(f"{file.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(new_key() + "\n")
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):
            file.hardlink_to(draft)
    except OSError as error:
        raise NoKey(f"key file {file} can't be made: {error.strerror or error}", hint=HINT) from error
    finally:
        draft.unlink(missing_ok=True)
