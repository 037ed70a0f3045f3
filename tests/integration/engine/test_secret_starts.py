"""Starting runs with secret parameters, on both databases (LANGUAGE 2 and 10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy
from world import World

from dramaturg.engine.errors import Conflict, InvalidParameters, UsageError
from dramaturg.engine.store.vault import MARK, new_key

KEY = new_key()

LOGIN = """
ref: t.login
parameters: {user: {type: string}, password: {type: [string, "null"], secret: true, minLength: 4, default: default-pw}}
tasks: {a: {action: t.do, input: {user: "{{ parameters.user }}"}}}
"""


def everything(world: World) -> str:
    """Return all that is in the database, as text."""
    with world.service.database.engine.connect() as connection:
        names = sqlalchemy.inspect(connection).get_table_names()
        return "\n".join(
            f"{name}: {list(connection.exec_driver_sql(f'SELECT * FROM {name}'))!r}" for name in names
        )


def test_a_secret_parameter_is_stored_sealed(make_world: Callable[..., World]) -> None:
    """Given or by default; the others are as they are."""
    world = make_world(secret_key=KEY)
    world.write(login=LOGIN)
    world.start("t.login", {"user": "kim-dotcom", "password": "hunter2"})
    world.start("t.login", {})
    world.start("t.login", {"password": None})
    stored = everything(world)
    assert "kim-dotcom" in stored
    assert "hunter2" not in stored
    rows = [line for line in stored.splitlines() if line.startswith("execution:")]
    assert rows[0].count('{"$secret":[{"sealed":') == 2
    assert '{"password":null}' in rows[0]


def test_starting_again_compares_what_is_secret_too(make_world: Callable[..., World]) -> None:
    """By a keyed hash, under any of the keys; nobody without one can try passwords against it."""
    world = make_world(secret_key=KEY)
    world.write(login=LOGIN)
    given = {"user": "kim", "password": "hunter2"}
    run = world.start("t.login", given, id="r")
    assert f"'{MARK}" in everything(world)
    assert not world.service.start("t.login", dict(reversed(given.items())), id="r").created
    for other in ({**given, "password": "hunter3"}, {"user": "kim"}, {**given, "user": "kit"}):
        with pytest.raises(Conflict, match="with other parameters") as refused:
            world.service.start("t.login", other, id="r")
        assert "hunter" not in str(refused.value)
    later = make_world(secret_key=f"{new_key()},{KEY}")
    assert later.service.start("t.login", given, id="r").run_id == run
    assert not later.service.start("t.login", given, id="r").created


def test_a_secret_that_is_not_allowed_is_not_repeated(make_world: Callable[..., World]) -> None:
    """Only its name is told."""
    world = make_world(secret_key=KEY)
    world.write(login=LOGIN)
    with pytest.raises(InvalidParameters, match="'password' has a value that is not allowed") as refused:
        world.start("t.login", {"password": "abc"})
    assert "abc" not in str(refused.value)
    with pytest.raises(InvalidParameters) as refused:
        world.start("t.login", {"password": "hunter2\0"})
    assert "hunter2" not in str(refused.value)


NEEDY = {
    "own": ("parameters: {pw: {secret: true}}\ntasks: {a: {action: t.do}}", "parameter 'pw' of t.own is secret"),
    "gives": (
        "output: {pw: {secret: true}}\ntasks: {a: {action: t.do}}\noutput_map: {pw: x}",
        "output 'pw' of t.gives is secret",
    ),
    "uses": ('tasks: {a: {action: t.do, input: {x: "{{ keystore.db }}"}}}', "task 'a' of t.uses uses keystore.db"),
    "calls": ("tasks: {a: {action: t.uses}}", "task 'a' of t.uses uses keystore.db"),
    "inside": (
        "tasks: {p: {type: parallel, tasks: {a: {action: t.own, input: {pw: x}}}}}",
        "parameter 'pw' of t.own is secret",
    ),
}  # fmt: skip
HARMLESS = 'description: keystore\ntasks: {a: {action: t.do, input: {x: "keystore.db", secret: true}}, b: {action: "{{ \'t.uses\' }}"}}'


@pytest.fixture
def keyless(postgres_database: str, tmp_path: Any) -> Any:
    """A world on a server without a key."""
    world = World(postgres_database, tmp_path / "packs")
    world.write(
        **{name: f"ref: t.{name}\n{text}" for name, (text, _) in NEEDY.items()},
        plain=f"ref: t.plain\n{HARMLESS}",
    )
    yield world
    world.close()


def test_a_server_without_a_key_refuses_what_has_secrets(keyless: World) -> None:
    """It says why, and what to set; the rest runs."""
    for name, (_, reason) in NEEDY.items():
        for _ in range(2):
            with pytest.raises(
                UsageError, match=f"t.{name} can't be started without a secret key: {reason}"
            ) as refused:
                keyless.service.start(f"t.{name}", {"pw": "x"} if name == "own" else {})
            assert "DRAMATURG_SECRET_KEY" in refused.value.hint
    assert keyless.service.start("t.plain").created
    assert keyless.service.runs() != []


def test_what_needs_a_key_is_asked_once(keyless: World) -> None:
    """Whoever starts a thousand runs does not read a thousand definitions."""
    keyless.service.start("t.plain")
    with keyless.counting() as statements:
        keyless.service.start("t.plain")
    assert "definitions" not in statements


def test_an_embedded_database_always_has_a_key(sqlite_database: str, tmp_path: Any) -> None:
    """It is made when the first secret is given, not before."""
    world = World(sqlite_database, tmp_path / "packs")
    world.write(login=LOGIN, plain=f"ref: t.plain\n{HARMLESS}", uses=f"ref: t.uses\n{NEEDY['uses'][0]}")
    world.start("t.plain")
    key = tmp_path / "dramaturg.db.key"
    assert not key.exists()
    world.start("t.login", {"password": "hunter2"})
    assert key.exists()
    assert key.read_text().strip() not in everything(world)
    world.close()
