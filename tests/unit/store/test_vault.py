"""The vault: what is sealed opens again, with the right key and nowhere else."""

from __future__ import annotations

import base64
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dramaturg.engine.secret import Keystore, Plain, Sealed, Secret
from dramaturg.engine.store.database import Database
from dramaturg.engine.store.vault import MARK, NoKey, Unresolved, Vault, new_key

OLD, NEW = (base64.urlsafe_b64encode(bytes([number]) * 32).decode() for number in (1, 2))
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def nothing(names: Any) -> dict[str, str]:
    return {}


@given(JSONS)
def test_what_is_sealed_opens_again(value: Any) -> None:
    """Any JSON; and twice sealed is twice different."""
    vault = Vault([OLD])
    token = vault.seal(value)
    assert vault.open(token) == value
    assert token != vault.seal(value)


def test_the_first_key_seals_and_all_of_them_open() -> None:
    """So a key is changed by putting a new one in front."""
    token = Vault([OLD]).seal("hunter2")
    assert Vault([NEW, OLD]).open(token) == "hunter2"
    assert Vault([NEW]).open(Vault([NEW, OLD]).seal("x")) == "x"
    with pytest.raises(Unresolved, match="can't be opened with the secret key of this worker"):
        Vault([NEW]).open(token)


def test_without_a_key_nothing_is_sealed() -> None:
    """The error says which setting is missing."""
    vault = Vault()
    assert not vault.available
    with pytest.raises(NoKey, match="there is no secret key") as refused:
        vault.seal("hunter2")
    assert "DRAMATURG_SECRET_KEY" in refused.value.hint


def test_marks_tell_parameters_apart_and_nothing_of_them() -> None:
    """Equal ones have one mark, under any of the keys; without the key it can't be guessed at."""
    vault = Vault([OLD])
    mark = vault.mark({"a": 1, "pw": "hunter2"})
    assert mark == vault.mark({"pw": "hunter2", "a": 1})
    assert mark.startswith(MARK)
    assert mark != Vault([NEW]).mark({"a": 1, "pw": "hunter2"})
    assert vault.matches(mark, {"a": 1, "pw": "hunter2"})
    assert Vault([NEW, OLD]).matches(mark, {"a": 1, "pw": "hunter2"})
    assert not vault.matches(mark, {"a": 1, "pw": "hunter3"})
    assert not Vault([NEW]).matches(mark, {"a": 1, "pw": "hunter2"})


def test_a_value_is_revealed_with_all_its_secrets() -> None:
    """Whole ones keep their type, in texts they read as they would in an expression; names are asked for at once."""
    vault = Vault([OLD])
    asked: list[list[str]] = []

    def stored(names: Any) -> dict[str, str]:
        asked.append(list(names))
        return {name: vault.seal(f"<{name}>") for name in names}

    value = {
        "whole": Secret(Plain({"n": 1})),
        "sealed": [Secret(Sealed(vault.seal(42)))],
        "text": Secret(
            "a ", Keystore("k"), " ", Plain([1, None]), Plain(None), " ", Sealed(vault.seal(True))
        ),
        "again": Secret(Keystore("k"), ""),
        "other": Secret(Keystore("l")),
        "plain": "k",
    }
    found = vault.reveal(value, stored)
    assert found.value == {
        "whole": {"n": 1},
        "sealed": [42],
        "text": "a <k> [1,null] true",
        "again": "<k>",
        "other": "<l>",
        "plain": "k",
    }
    assert asked == [["k", "l"]]
    assert "a " not in found.plaintexts
    assert [text for text in found.plaintexts if isinstance(text, str)] == ["<k>", "<k>", "<l>"]


def test_a_secret_in_what_is_sealed_is_revealed_too() -> None:
    """A map that was given whole as a secret may name others; they stay names as long as it is sealed."""
    vault = Vault([OLD])
    token = vault.seal({"user": "kim", "pw": Secret(Keystore("k")), "id": Secret(Plain(7))})
    assert vault.open(token)["pw"] == Secret(Keystore("k"))
    found = vault.reveal(
        [Secret(Sealed(token)), Secret("x=", Sealed(token))], lambda names: {"k": vault.seal("hunter2")}
    )
    assert found.value == [
        {"user": "kim", "pw": "hunter2", "id": 7},
        'x={"user":"kim","pw":"hunter2","id":7}',
    ]
    assert "hunter2" in found.plaintexts


def test_a_secret_that_is_not_there_is_named() -> None:
    """All of them at once."""
    with pytest.raises(Unresolved, match="the keystore has no secrets 'a', 'b'"):
        Vault([OLD]).reveal([Secret(Keystore("b")), Secret(Keystore("a"))], nothing)
    with pytest.raises(Unresolved, match="secret 'a' of the keystore can't be opened"):
        Vault([OLD]).reveal(Secret(Keystore("a")), lambda names: {"a": Vault([NEW]).seal("x")})


def test_an_embedded_database_has_a_key_of_its_own(tmp_path: Path) -> None:
    """Beside it, for its owner only, made once; looking does not make it."""
    database = Database(f"sqlite:///{tmp_path / 'runs.db'}")
    vault = Vault.of(database, ())
    file = tmp_path / "runs.db.key"
    assert vault.available
    assert not file.exists()
    token = vault.seal("hunter2")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.glob("*.key*")) == [file]
    assert Vault.of(database, ()).open(token) == "hunter2"
    # A key from the settings seals from now on; what was sealed before opens still.
    both = Vault.of(database, [NEW])
    assert both.open(token) == "hunter2"
    assert Vault([NEW]).open(both.seal("x")) == "x"
    database.close()


def test_a_key_file_that_holds_something_else_is_told_of(tmp_path: Path) -> None:
    """With its name, without what is in it."""
    database = Database(f"sqlite:///{tmp_path / 'runs.db'}")
    (tmp_path / "runs.db.key").write_text("hunter2")
    with pytest.raises(NoKey, match=r"runs\.db\.key: it holds no Fernet key") as refused:
        Vault.of(database, ()).seal("x")
    assert "hunter2" not in str(refused.value)
    database.close()


MAKER = """
import sys
from pathlib import Path
from dramaturg.engine.store.vault import Vault
vault = Vault(file=Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(vault.seal("x"), flush=True)
"""


def test_processes_that_need_the_key_at_once_get_the_same_one(tmp_path: Path) -> None:
    """They all wait until all are ready, then go."""
    file = tmp_path / "runs.db.key"
    makers = [
        subprocess.Popen([sys.executable, "-c", MAKER, str(file)], stdin=-1, stdout=-1, text=True)
        for _ in range(4)
    ]
    for maker in makers:
        assert maker.stdout is not None
        assert maker.stdout.readline() == "ready\n"
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write("\n")
        maker.stdin.flush()
    tokens = [maker.communicate(timeout=30)[0].strip() for maker in makers]
    vault = Vault(file=file)
    assert [vault.open(token) for token in tokens] == ["x"] * 4


def test_a_new_key_is_one() -> None:
    """And another each time."""
    assert Vault([new_key()]).available
    assert new_key() != new_key()
