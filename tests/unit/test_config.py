"""Settings: where they come from, and what wins."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from dramaturg.engine.config import load_settings
from dramaturg.engine.errors import UsageError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder two levels below the one with dramaturg.toml, and an environment without settings."""
    for name in [name for name in os.environ if name.startswith("DRAMATURG_")]:
        monkeypatch.delenv(name)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    return tmp_path


def test_argument_over_environment_over_file_over_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each level is used where the one before says nothing."""
    (folder / "dramaturg.toml").write_text("lease = 1\ngrace = 1\nlog_limit = 1\n")
    monkeypatch.setenv("DRAMATURG_LEASE", "2")
    monkeypatch.setenv("DRAMATURG_GRACE", "2")
    settings = load_settings(lease=3, eager=None)
    assert (settings.lease, settings.grace, settings.log_limit, settings.eager) == (3.0, 2.0, 1, True)


def test_paths_in_the_file_count_from_its_folder(folder: Path) -> None:
    """Whatever the current folder is; absolute ones stay."""
    (folder / "dramaturg.toml").write_text('packs = ["packs", "/p"]\ndatabase_url = "sqlite:///runs.db"\n')
    settings = load_settings()
    assert settings.packs == (folder / "packs", Path("/p"))
    assert settings.resolved_database_url == f"sqlite:///{folder / 'runs.db'}"


def test_packs_are_separated_as_in_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the environment, and in the file too."""
    (folder / "dramaturg.toml").write_text(f'packs = "x{os.pathsep}y"\n')
    assert load_settings().packs == (folder / "x", folder / "y")
    monkeypatch.setenv("DRAMATURG_PACKS", os.pathsep.join(["one", "", "two"]))
    assert load_settings().packs == (Path("one"), Path("two"))


def test_the_nearest_embedded_database_is_used(folder: Path) -> None:
    """That of the folder or the nearest above; where there is none, one of its own."""
    assert load_settings().resolved_database_url == f"sqlite:///{Path.cwd() / '.dramaturg' / 'dramaturg.db'}"
    (folder / ".dramaturg").mkdir()
    (folder / ".dramaturg" / "dramaturg.db").touch()
    assert load_settings().resolved_database_url == f"sqlite:///{folder / '.dramaturg' / 'dramaturg.db'}"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_postgres_means_psycopg_3(scheme: str) -> None:
    """People write the URL that every other program takes."""
    settings = load_settings(database_url=f"{scheme}://me@h/d")
    assert settings.resolved_database_url == "postgresql+psycopg://me@h/d"


@pytest.mark.parametrize(
    ("text", "told"),
    [("x = [", "dramaturg.toml"), ("leese = 1", "leese"), ("lease = 0\ngrace = 'x'", "grace")],
)
def test_a_setting_that_makes_no_sense_is_named(folder: Path, text: str, told: str) -> None:
    """Unknown ones, too."""
    (folder / "dramaturg.toml").write_text(text)
    with pytest.raises(UsageError, match=told):
        load_settings()


KEYS = [base64.urlsafe_b64encode(bytes([number]) * 32).decode() for number in range(3)]


def test_secret_keys_come_from_the_setting_and_from_a_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the setting first; a relative file counts from the folder of dramaturg.toml."""
    assert load_settings().secret_keys == ()
    monkeypatch.setenv("DRAMATURG_SECRET_KEY", f"{KEYS[0]}, {KEYS[1]}")
    assert load_settings().secret_keys == (KEYS[0], KEYS[1])
    (folder / "key").write_text(KEYS[2] + "\n")
    (folder / "dramaturg.toml").write_text('secret_key_file = "key"\n')
    assert load_settings().secret_keys == tuple(KEYS)
    monkeypatch.setenv("DRAMATURG_SECRET_KEY", "")
    assert load_settings().secret_keys == (KEYS[2],)


def test_what_is_no_key_is_refused_and_not_repeated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a password that somebody put there."""
    monkeypatch.setenv("DRAMATURG_SECRET_KEY", f"{KEYS[0]},hunter2")
    with pytest.raises(UsageError, match=r"secret_key: .*number 2 of 2 is no Fernet key") as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)
    monkeypatch.delenv("DRAMATURG_SECRET_KEY")
    monkeypatch.setenv("DRAMATURG_SECRET_KEY_FILE", str(folder / "key"))
    for text, reason in (
        (None, "No such file"),
        ("hunter2", "it is no Fernet key"),
        ("\n", "there is no key in it"),
    ):
        if text is not None:
            (folder / "key").write_text(text)
        with pytest.raises(UsageError, match=f"secret_key_file .*: {reason}") as refused:
            _ = load_settings().secret_keys
        assert "hunter2" not in str(refused.value)


def test_keys_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings turn up in tracebacks."""
    monkeypatch.setenv("DRAMATURG_SECRET_KEY", KEYS[1])
    assert KEYS[1] not in repr(load_settings())
