"""The keystore and secret parameters at the command line, embedded."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from machine import PROGRAM, Machine

from dramaturg.cli.app import App
from dramaturg.cli.main import cli
from dramaturg.engine.secret import Keystore, Secret
from dramaturg.engine.store.keystore import sealed

PASSWORD = "s3cr3t-p4ssword"
TOKEN = "t0ken-Of-Great-Value"

PACK = {
    "pack.yaml": "ref: faults\nversion: 1.0.0\n",
    "workflows/deploy.yaml": """
        ref: faults.deploy
        parameters: {password: {type: string, secret: true, required: true}}
        tasks:
          echo: {action: core.echo, input: {message: "{{ parameters.password }}"}, next: [{do: shell}]}
          shell: {action: core.shell, input: {command: "echo with $T >&2; echo {{ parameters.password }}; exit 3", env: {T: "{{ keystore.token }}"}}, next: [{when: failed, do: inner}]}
          inner: {action: faults.inner, input: {password: "{{ parameters.password }}"}}
        output_map: {echoed: "{{ task.echo.result.message }}", url: "https://me:{{ parameters.password }}@host"}
    """,
    "workflows/inner.yaml": """
        ref: faults.inner
        parameters: {password: {type: string, secret: true}}
        tasks: {a: {action: core.fail, input: {message: "no {{ parameters.password }}"}}}
    """,
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A folder with the pack above."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("DRAMATURG_")]:
        monkeypatch.delenv(name)
    with Machine(tmp_path, PACK) as made:
        yield made


def told(machine: Machine, *arguments: str, text: str = "") -> tuple[int, str, str]:
    """Run `dramaturg` in this process, which saves the start of one each time."""
    done = CliRunner().invoke(cli, arguments, input=text, env=dict(machine.environment))
    return done.exit_code, done.stdout, done.stderr


def test_secrets_are_set_listed_and_deleted(machine: Machine) -> None:
    """Names and times are all that is shown; the value comes from stdin, or from the command line with a warning."""
    assert told(machine, "secret", "set", "token", "-", text=f"{TOKEN}\n")[:2] == (
        0,
        "secret token is kept\n",
    )
    assert told(machine, "secret", "set", "token", "-", "-o", "json", text="other")[:2] == (
        0,
        '{\n  "name": "token",\n  "replaced": true\n}\n',
    )
    code, _, said = told(machine, "secret", "set", "on_the_line", TOKEN)
    assert (code, "the value is in the shell's history" in said) == (0, True)
    code, text, _ = told(machine, "secret", "list", "-o", "json")
    listed = json.loads(text)
    assert (code, [one["name"] for one in listed]) == (0, ["on_the_line", "token"])
    assert set(listed[0]) == {"name", "created_at", "updated_at"}
    assert told(machine, "secret", "list")[1].splitlines()[0].split() == ["NAME", "CREATED", "UPDATED"]
    assert told(machine, "secret", "delete", "token")[:2] == (0, "secret token is deleted\n")
    code, _, said = told(machine, "secret", "delete", "on_the_lin")
    assert (code, "there is no secret 'on_the_lin'" in said, "did you mean 'on_the_line'?" in said) == (
        6,
        True,
        True,
    )
    assert TOKEN not in (machine.database_file).read_bytes().decode("latin-1")


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("x", ("1st", "-"), "'1st' can't be the name of a secret"),
        ("", ("token", "-"), "secret token: the value is empty"),
        ("a\0b-hidden", ("token", "-"), "secret token: the value is no text"),
        ("", ("token",), "no value is given"),
    ],
)
def test_what_can_t_be_kept_is_refused(
    machine: Machine, text: str, arguments: tuple[str, ...], message: str
) -> None:
    """Exit 2; the value is not repeated, and no database is left behind by a name that is wrong."""
    code, _, said = told(machine, "secret", "set", *arguments, text=text)
    assert (code, message in said) == (2, True)
    assert "hidden" not in said


def test_a_key_of_many_lines_keeps_its_last_line_s_end(machine: Machine) -> None:
    """A single line does not: `echo` put it there."""
    lines = "-----BEGIN-----\nabc\n-----END-----\n"
    assert told(machine, "secret", "set", "token", "-", text=lines)[0] == 0
    assert told(machine, "secret", "set", "word", "-", text="word\n")[0] == 0
    service = machine.service
    secrets = [Secret(Keystore("token")), Secret(Keystore("word"))]
    assert service.vault.reveal(secrets, sealed(service.database.ask)).value == [lines, "word"]


def test_on_a_terminal_the_value_is_asked_for_and_not_shown(machine: Machine) -> None:
    """Twice, so that a slip of the finger is found."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, "secret", "set", "token"], cwd=machine.folder, env=machine.environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )  # fmt: skip
    os.close(theirs)
    seen, deadline = b"", time.monotonic() + 30
    for prompt in (b"value: ", b"once more: "):
        while prompt not in seen and time.monotonic() < deadline:
            seen += os.read(ours, 1000)
        # Only now is the echo off.
        os.write(ours, TOKEN.encode() + b"\n")
    while b"kept" not in seen and time.monotonic() < deadline:
        seen += os.read(ours, 1000)
    assert process.wait(30) == 0
    os.close(ours)
    assert TOKEN.encode() not in seen
    assert told(machine, "secret", "list")[1].count("token") == 1


def test_a_run_shows_and_stores_no_secret(machine: Machine) -> None:
    """Whatever is printed by whatever command, and every byte of the database; the key is the owner's alone."""
    assert told(machine, "secret", "set", "token", "-", text=TOKEN)[0] == 0
    said = []
    for output in ("text", "json", "jsonl"):
        code, out, err = told(
            machine, "run", "faults.deploy", "-p", f"password={PASSWORD}", "--id", f"r-{output}", "-o", output
        )
        assert code == 1
        said += [out, err]
    assert json.loads(said[2])["output"] == {"echoed": "***", "url": "https://me:***@host"}
    assert "no ***" in json.loads(said[2])["error"]["message"]
    again = told(
        machine,
        "run",
        "faults.deploy",
        "-p",
        f"password={PASSWORD}",
        "--id",
        "r-text",
        "--if-exists",
        "reject",
    )
    other = told(machine, "run", "faults.deploy", "-p", f"password={PASSWORD}x", "--id", "r-text")
    assert (again[0], other[0]) == (8, 8)
    said += [*again[1:], *other[1:]]
    for command in (
        ("show", "r-text"),
        ("history", "r-text"),
        ("logs", "r-text"),
        ("list",),
        ("doctor",),
        ("result", "r-text"),
        ("secret", "list"),
    ):
        formats = ("text", "json") if command[0] != "doctor" else ("text",)
        for output in formats:
            code, out, err = told(machine, *command, *(["-o", output] if output != "text" else []))
            assert (code, command) == (1 if command[0] == "result" else 0, command), err
            said += [out, err]
    assert any("with ***" in text for text in said)
    for secret in (PASSWORD, TOKEN):
        assert [text for text in said if secret in text] == []
    key = machine.database_file.with_name(machine.database_file.name + ".key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    for file in machine.folder.rglob("*"):
        if file.is_file() and "packs" not in file.parts:
            found = file.read_bytes()
            assert [secret for secret in (PASSWORD, TOKEN) if secret.encode() in found] == [], file


def test_a_key_can_be_made_and_used(machine: Machine) -> None:
    """For a server, or in place of the file beside the database."""
    code, key, _ = told(machine, "secret", "key")
    assert code == 0
    machine.environment["DRAMATURG_SECRET_KEY"] = key.strip()
    assert told(machine, "secret", "set", "token", "-", text=TOKEN)[0] == 0
    assert not machine.database_file.with_name(machine.database_file.name + ".key").exists()
    machine.environment["DRAMATURG_SECRET_KEY"] = "no-key-at-all"
    code, _, said = told(machine, "secret", "list")
    assert (code, "secret_key" in said, "no-key-at-all" in said) == (2, True, False)


def test_a_hint_to_go_on_does_not_repeat_a_secret(machine: Machine) -> None:
    """What to type is told, and that the secret is left to you."""
    (machine.folder / "packs" / "faults" / "workflows" / "slow.yaml").write_text(
        "ref: faults.slow\nparameters: {password: {secret: true}, n: {}}\ntasks: {a: {action: core.sleep, input: {seconds: 60}}}\n"
    )
    code, out, err = told(
        machine, "run", "faults.slow", "-p", f"password={PASSWORD}", "-p", "n=1", "--timeout", "0.1"
    )
    assert code == 4
    assert PASSWORD not in out + err
    assert App(arguments=("run", f"-ppw={PASSWORD}", f"--param=pw:={PASSWORD}", "-p", "n=pw=1")).again(
        "r", ["pw"]
    ) == ("dramaturg run '-ppw=***' '--param=pw:=***' -p n=pw=1 --id r")
