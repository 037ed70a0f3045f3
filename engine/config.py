"""Settings: environment ``DRAMATURG_*`` over ``dramaturg.toml`` over defaults (DESIGN 9).

``dramaturg.toml`` is looked for in the current folder and then in each folder above it. A relative path in it counts
from the folder it stands in.
"""

from __future__ import annotations

import base64
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from dramaturg.engine.errors import UsageError

#: The embedded database, below the folder that it belongs to.
EMBEDDED = Path(".dramaturg") / "dramaturg.db"

#: What an SQLite URL with a path begins with.
SQLITE = "sqlite:///"


class Settings(BaseSettings):
    """Everything that can be configured."""

    model_config = SettingsConfigDict(env_prefix="DRAMATURG_", extra="forbid", frozen=True)

    #: sqlite:///file or postgresql://user@host/name; None: the embedded database (see `resolved_database_url`).
    database_url: str | None = None
    #: redis://host/0 or amqp://host; None: in process.
    broker_url: str | None = None
    #: The broker of the app whose actors are tasks (`runtime: dramatiq`); None: the Redis of `broker_url`.
    actors_broker_url: str | None = None
    #: What that app's keys on Redis begin with; Dramatiq's own default.
    actors_namespace: str = "dramatiq"
    #: Where packs are looked for: each a pack or a folder of packs; in the environment separated as in PATH.
    packs: Annotated[tuple[Path, ...], NoDecode] = ()
    #: Seconds after which a worker that no longer renews is given up; renewed every third of it.
    lease: float = Field(default=30.0, gt=0)
    #: Whether the worker that completes a task goes on with the next one itself.
    eager: bool = True
    #: Fernet keys for secret parameters and stored secrets, separated by commas: the first seals, all of them open.
    secret_key: str | None = Field(default=None, repr=False)
    #: A file with such keys, separated by commas or lines; they come behind those of `secret_key`.
    secret_key_file: Path | None = None
    #: SQLite only: NORMAL is safe against a killed process, FULL against a power cut as well.
    sqlite_synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
    #: Seconds between asking a process to stop (SIGTERM) and making it (SIGKILL).
    grace: float = Field(default=5.0, ge=0)
    #: Names of environment variables that process actions get besides their own.
    pass_env: Annotated[tuple[str, ...], NoDecode] = ()
    #: Bytes of JSON above which a value is stored apart and referenced.
    soft_payload: int = Field(default=16 * 1024, gt=0)
    #: Bytes of JSON above which a result is refused with PayloadTooLarge.
    hard_payload: int = Field(default=8 * 1024 * 1024, gt=0)
    #: Bytes kept of each of a process's output streams.
    log_limit: int = Field(default=10 * 1024 * 1024, gt=0)

    @field_validator("packs", mode="before")
    @classmethod
    def _split_paths(cls, value: Any) -> Any:
        return tuple(p for p in value.split(os.pathsep) if p) if isinstance(value, str) else value

    @field_validator("pass_env", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return tuple(n.strip() for n in value.split(",") if n.strip()) if isinstance(value, str) else value

    @field_validator("secret_key")
    @classmethod
    def _are_keys(cls, value: str | None) -> str | None:
        _keys(value or "")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, the toml file."""
        found = next((d / "dramaturg.toml" for d in _upwards() if (d / "dramaturg.toml").is_file()), None)
        toml = (InitSettingsSource(settings_cls, init_kwargs=_from_file(found)),) if found else ()
        return (init_settings, env_settings, *toml)

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """Return the Fernet keys; none where no setting gives any.

        Raises:
            UsageError: the file can't be read, or holds something else.
        """
        file = self.secret_key_file
        if file is None:
            return _keys(self.secret_key or "")
        try:
            kept = _keys(file.read_text(encoding="utf-8"))
            if not kept:
                raise ValueError("there is no key in it")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"secret_key_file {file}: {reason}") from None
        return (*_keys(self.secret_key or ""), *kept)

    @property
    def resolved_database_url(self) -> str:
        """Return the SQLAlchemy URL: psycopg 3 for postgresql://, an absolute path for the embedded file.

        Without a setting it is ``.dramaturg/dramaturg.db`` in the nearest folder upwards that has one, else in the
        current folder.
        """
        url = self.database_url
        if url is None:
            folder = next((d for d in _upwards() if (d / EMBEDDED).exists()), Path.cwd())
            return f"sqlite:///{folder / EMBEDDED}"
        for prefix in ("postgresql://", "postgres://"):
            if url.startswith(prefix):
                return "postgresql+psycopg://" + url.removeprefix(prefix)
        return url


def load_settings(**given: Any) -> Settings:
    """Read the settings; `given` ones win.

    Raises:
        UsageError: a setting has a value that makes no sense; every such setting is named.
    """
    try:
        return Settings(**{k: v for k, v in given.items() if v is not None})
    except ValidationError as error:
        lines = [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()]
        hint = "settings come from DRAMATURG_* in the environment and from dramaturg.toml"
        raise UsageError("invalid settings: " + "; ".join(lines), hint=hint) from None


def _from_file(file: Path) -> dict[str, Any]:
    """Return what a dramaturg.toml says, its relative paths counted from its own folder.

    Raises:
        UsageError: it can't be read, or is no TOML.
    """
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file}: {error}") from None
    packs = values.get("packs")
    if isinstance(packs, str):
        packs = [part for part in packs.split(os.pathsep) if part]
    if isinstance(packs, list):
        values["packs"] = [str(file.parent / p) if isinstance(p, str) else p for p in packs]
    key_file = values.get("secret_key_file")
    if isinstance(key_file, str):
        values["secret_key_file"] = str(file.parent / key_file)
    url = values.get("database_url")
    if isinstance(url, str) and url.startswith(SQLITE) and url not in (SQLITE, f"{SQLITE}:memory:"):
        values["database_url"] = f"{SQLITE}{file.parent / url.removeprefix(SQLITE)}"
    return values


def _keys(text: str) -> tuple[str, ...]:
    """Return the Fernet keys that a text lists.

    Raises:
        ValueError: one is none; the message does not repeat it.
    """
    keys = tuple(key for key in re.split(r"[,\s]+", text) if key)
    for number, key in enumerate(keys, start=1):
        try:
            fits = len(base64.b64decode(key, altchars=b"-_", validate=True)) == 32
        except ValueError:
            fits = False
        if not fits:
            which = "it" if len(keys) == 1 else f"number {number} of {len(keys)}"
            raise ValueError(f"{which} is no Fernet key: 32 random bytes as URL-safe base64")
    return keys


def _upwards() -> Iterator[Path]:
    here = Path.cwd()
    yield here
    yield from here.parents
