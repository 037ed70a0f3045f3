"""The door: help, version, errors into exit codes, quick to open."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest
from click.testing import Result

import dramaturg
from dramaturg.cli.main import cli
from dramaturg.engine.errors import DefinitionError, InternalError, Problem, SchemaOutdated, Unreachable

Invoke = Callable[..., Result]


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    """Give the path of each command."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", list(commands(cli)), ids=" ".join)
def test_every_command_has_help_with_an_example_of_itself(invoke: Invoke, path: tuple[str, ...]) -> None:
    """The example uses the command, and fits 80 columns."""
    done = invoke(*path, "--help")
    assert done.exit_code == 0
    examples = done.stdout.partition("Examples:\n")[2].partition("\n\n")[0].splitlines()
    assert examples
    assert all(re.search(rf"dramaturg (--packs \S+ )?{' '.join(path)}\b", e) for e in examples)
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_version(invoke: Invoke) -> None:
    """--version names the release."""
    assert invoke("--version").stdout == f"dramaturg {dramaturg.__version__}\n"


def test_an_unknown_command_is_a_usage_error(invoke: Invoke) -> None:
    """click's own errors keep their exit code."""
    assert invoke("rnu").exit_code == 2
    assert invoke("show").exit_code == 2


def test_a_definition_error_exits_3_and_shows_every_problem(invoke: Invoke, service: Any) -> None:
    """All of them, counted."""
    service.error = DefinitionError(
        [Problem(code="x", message=f"wrong {n}", path="f.yaml", line=n) for n in (1, 2)]
    )
    done = invoke("run", "shop.order")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "f.yaml:1\n  error: wrong 1\n" in done.stderr
    assert done.stderr.endswith("2 errors\n")


@pytest.mark.parametrize("kind", [Unreachable, SchemaOutdated])
def test_no_database_exits_7(invoke: Invoke, service: Any, kind: type[Exception]) -> None:
    """What was tried is told, without a traceback."""
    service.error = kind("database postgresql://me:***@h/d: connection refused")
    done = invoke("show", "r-1")
    assert (done.exit_code, done.stdout) == (7, "")
    assert done.stderr == "error: database postgresql://me:***@h/d: connection refused\n"


def test_a_bug_of_ours_exits_70(invoke: Invoke, service: Any) -> None:
    """Short without --debug, with the traceback with it."""
    service.error = InternalError("an invariant does not hold")
    assert "This is a bug of Dramaturg" in invoke("show", "r-1").stderr
    service.error = ZeroDivisionError("division by zero")
    done = invoke("show", "r-1")
    assert done.exit_code == 70
    assert "ZeroDivisionError: division by zero" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in invoke("--debug", "show", "r-1").stderr
    assert "Traceback" in invoke("show", "r-1", env={"DRAMATURG_DEBUG": "1"}).stderr


def test_a_broken_pipe_is_no_failure_of_ours(invoke: Invoke, service: Any) -> None:
    """The reader has seen enough: no message."""
    service.error = BrokenPipeError()
    done = invoke("show", "r-1")
    assert (done.exit_code, done.stderr) == (141, "")


def test_help_loads_no_database_and_no_broker() -> None:
    """`dramaturg --help` is quick: it imports neither SQLModel nor Dramatiq nor Rich."""
    code = (
        "import sys\nfrom dramaturg.cli.main import main\nsys.argv[1:] = ['--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'sqlmodel', 'sqlalchemy', 'pydantic', 'dramatiq', 'rich', 'jinja2', 'yaml', 'alembic'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("HEAVY []\n")


@pytest.mark.parametrize("how", ["print('x')", "Output().line('x')", "print('x' * 10**6)"])
def test_a_reader_that_closes_early_sees_no_complaint(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is printed: no message, not from the interpreter at its end either, and no exit code of a run."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    code = (
        "import sys\nfrom dramaturg.cli import main\nfrom dramaturg.cli.output import Output\n"
        f"@main.cli.command()\ndef speak():\n    {how}\n"
        "sys.argv[1:] = ['speak']\nmain.main()"
    )
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stdout:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 141)


def test_options_of_the_group_become_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Command line over environment."""
    from dramaturg.cli.access import Access

    monkeypatch.setenv("DRAMATURG_DATABASE_URL", "sqlite:///other.db")
    access = Access(database_url="postgresql://me:secret@host/name", broker_url=None)
    assert access.settings.database_url == "postgresql://me:secret@host/name"
    assert "secret" not in access.database
    assert access.embedded
