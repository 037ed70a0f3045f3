"""worker, db and doctor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result

from dramaturg.engine.errors import DefinitionError, Problem, Unreachable

Invoke = Callable[..., Result]


def test_worker_passes_its_options_on(invoke: Invoke, access: Any) -> None:
    """Queues by comma; the exit code is the worker's."""
    assert invoke("worker", "--queues", "a, b", "--processes", "2", "--threads", "3").exit_code == 0
    assert access.worked == {"queues": ("a", "b"), "processes": 2, "threads": 3}


def test_worker_refuses_an_empty_queue(invoke: Invoke, access: Any) -> None:
    """A comma too many is told, not guessed at."""
    assert invoke("worker", "--queues", "a,,b").exit_code == 2
    assert access.worked == {}


def test_db_check_says_whether_the_tables_fit(invoke: Invoke, access: Any) -> None:
    """0 if they do; 7 if not, with what to do."""
    assert invoke("db", "check").exit_code == 0
    access.tables = ("0001", "0002")
    done = invoke("db", "check")
    assert (done.exit_code, "db upgrade" in done.stderr) == (7, True)
    answer = json.loads(invoke("db", "check", "-o", "json").stdout)
    assert answer == {"database": access.database, "revision": "0001", "wanted": "0002", "ok": False}


def test_db_upgrade_says_what_it_did(invoke: Invoke, access: Any) -> None:
    """From where to where."""
    access.tables = (None, "0002")
    assert "is now at 0002 (was empty)" in invoke("db", "upgrade").stdout


def test_doctor_prints_findings(invoke: Invoke, service: Any) -> None:
    """A line each; exit 0, because it could look."""
    service.findings = [
        SimpleNamespace(level="ok", text="database answers", hint=""),
        SimpleNamespace(level="problem", text="3 tasks wait", hint="start one: dramaturg worker"),
    ]
    done = invoke("doctor")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "✓ database answers",
        "✗ 3 tasks wait",
        "  start one: dramaturg worker",
        "✓ there is no broker: `run` and `worker` serve tasks in their own process",
        "✓ packs on the pack path: shop",
    ]
    assert json.loads(invoke("doctor", "-o", "json").stdout)[0] == {
        "level": "ok",
        "text": "database answers",
        "hint": "",
    }


def test_doctor_without_a_database_exits_7(invoke: Invoke, service: Any) -> None:
    """The one thing that it can't look past."""
    service.error = Unreachable("database postgresql://h/d: connection refused")
    assert invoke("doctor").exit_code == 7


def test_doctor_tells_of_a_dead_broker_and_of_broken_packs(
    invoke: Invoke, access: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is a finding, not the end."""

    def broken(*_: object) -> None:
        raise DefinitionError([Problem(code="c", message="m")])

    monkeypatch.setattr("dramaturg.cli.catalog.load", broken)
    access.is_embedded = False
    access.broker_error = Unreachable("broker redis://h: connection refused")
    done = invoke("doctor", "-o", "json")
    assert done.exit_code == 0
    assert [f["level"] for f in json.loads(done.stdout)] == ["problem", "problem"]


def test_doctor_before_the_first_run(invoke: Invoke, access: Any) -> None:
    """No database yet is no problem."""
    access.missing = Path("/somewhere/dramaturg.db")
    done = invoke("doctor")
    assert (done.exit_code, "no database" in done.stdout) == (0, True)
