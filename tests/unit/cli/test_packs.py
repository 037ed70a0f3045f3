"""`dramaturg pack`: what is on the pack path and in the database."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from dramaturg.engine.errors import DefinitionError, Problem

Invoke = Callable[..., Result]

STORED = {
    "ref": "old",
    "label": "Old",
    "version": "1",
    "registered_at": "2026-03-01T12:00:00Z",
    "tags": [],
    "actions": 3,
    "workflows": 4,
}


def test_list_has_what_is_on_the_path_and_what_is_stored(invoke: Invoke, service: Any) -> None:
    """A pack of the path that is not registered is told as such."""
    service.stored = [STORED]
    assert invoke("pack", "list").stdout.splitlines() == [
        "PACK  VERSION  ACTIONS  WORKFLOWS  REGISTERED            PATH",
        "old   1        3        4          2026-03-01 12:00:00Z",
        "shop  2        1        1          no                    packs/shop",
    ]
    rows = json.loads(invoke("pack", "list", "-o", "json").stdout)
    assert [(row["ref"], row["registered_at"], row["path"]) for row in rows] == [
        ("old", "2026-03-01T12:00:00Z", None),
        ("shop", None, "packs/shop"),
    ]


def test_list_without_a_database(invoke: Invoke, access: Any) -> None:
    """What can be run is told before anything was run."""
    access.missing = Path("/somewhere/dramaturg.db")
    assert "shop" in invoke("pack", "list").stdout


def test_show_has_the_parameters_of_each_action(invoke: Invoke) -> None:
    """As they would be typed."""
    lines = invoke("pack", "show", "shop").stdout.splitlines()
    assert "shop.order  workflow" in lines
    assert "  -p n=<integer|null, required, default 3>" in lines
    assert "  Look it up." in lines
    contents = json.loads(invoke("pack", "show", "shop", "-o", "json").stdout)["contents"]
    assert [c["ref"] for c in contents] == ["shop.order", "shop.price"]


def test_show_of_a_pack_that_only_the_database_has(invoke: Invoke, service: Any) -> None:
    """It is shown as it was registered."""
    service.stored = [STORED]
    assert invoke("pack", "show", "old").stdout.splitlines()[0] == "old  Old  1"


def test_show_of_an_unknown_pack_exits_6(invoke: Invoke) -> None:
    """Near names, and which database was asked."""
    done = invoke("pack", "show", "shopp")
    assert done.exit_code == 6
    assert "did you mean shop?" in done.stderr
    assert "sqlite:////somewhere/dramaturg.db" in done.stderr


def test_register_says_what_is_new(invoke: Invoke, service: Any, tmp_path: Path) -> None:
    """Given paths, or those of the pack path."""
    done = invoke("pack", "register", str(tmp_path))
    assert done.stdout.splitlines() == ["shop.order: new revision", "shop.old: taken away"]
    assert service.asked == [("register", (tmp_path,), None)]
    answer = {"packs": ["shop"], "new": ["shop.order"], "removed": ["shop.old"]}
    assert json.loads(invoke("pack", "register", "-o", "json").stdout) == answer
    assert service.asked[-1] == ("register", None, None)


def test_paths_that_are_not_there_are_a_usage_error(invoke: Invoke, service: Any) -> None:
    """Nothing is registered."""
    assert invoke("pack", "register", "nowhere").exit_code == 2
    assert invoke("pack", "validate", "nowhere").exit_code == 2
    assert service.asked == []


def test_validate_says_what_it_found(invoke: Invoke) -> None:
    """A line a pack."""
    assert invoke("pack", "validate").stdout == "shop: 1 action, 1 workflow: valid\n"
    answer = {"packs": ["shop"], "valid": True, "problems": []}
    assert json.loads(invoke("pack", "validate", "-o", "json").stdout) == answer


def test_validate_of_a_broken_pack_exits_3(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every problem is the answer, in text and in JSON."""

    def broken(*_: object) -> None:
        raise DefinitionError([Problem(code=f"c{n}", message=f"m{n}", path="f.yaml", line=n) for n in (1, 2)])

    monkeypatch.setattr("dramaturg.cli.catalog.load", broken)
    done = invoke("pack", "validate")
    assert done.exit_code == 3
    assert done.stdout.splitlines()[:2] == ["f.yaml:1", "  error: m1"]
    done = invoke("pack", "validate", "-o", "json")
    assert done.exit_code == 3
    answer = json.loads(done.stdout)
    assert (answer["valid"], [p["code"] for p in answer["problems"]]) == (False, ["c1", "c2"])
    assert set(answer["problems"][0]) == {"severity", "code", "message", "path", "line", "column", "hint"}


def test_validate_tells_warnings(invoke: Invoke, pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They do not make a pack invalid."""
    warning = Problem(code="race", message="two branches publish x", severity="warning")
    monkeypatch.setattr(pack, "warnings", (warning,))
    done = invoke("pack", "validate")
    assert done.exit_code == 0
    assert "warning: two branches publish x" in done.stdout


def test_workflow_validate_by_ref(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 with warnings, 3 with them and --strict; an unknown one 6."""
    assert invoke("workflow", "validate", "shop.order").stdout == "shop.order: valid\n"
    warning = Problem(code="race", message="two branches publish x", severity="warning")
    monkeypatch.setattr("dramaturg.cli.workflow.warnings_of", lambda _pack, _ref: [warning])
    assert invoke("workflow", "validate", "shop.order").exit_code == 0
    done = invoke("workflow", "validate", "shop.order", "--strict", "-o", "json")
    assert (done.exit_code, json.loads(done.stdout)["valid"]) == (3, False)
    done = invoke("workflow", "validate", "shop.oder")
    assert (done.exit_code, "did you mean shop.order?" in done.stderr) == (6, True)
