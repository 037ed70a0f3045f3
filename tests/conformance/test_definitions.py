"""Broken definitions: every problem of each is found at once, at its exact place."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

from dramaturg.engine.errors import DefinitionError, Problem
from dramaturg.engine.language.parser import parse_action, parse_workflow
from dramaturg.engine.language.report import Report
from dramaturg.engine.packs.loader import load_packs

DATA = Path(__file__).parent / "definitions"


def cases(name: str) -> list[Any]:
    """Return the cases of a file, named."""
    loaded = yaml.safe_load((DATA / name).read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["name"]) for case in loaded]


def shown(problem: Problem) -> dict[str, str]:
    """Return a problem as the data files have it."""
    found = {"code": problem.code, "at": f"{problem.line}:{problem.column}", "message": problem.message}
    if problem.hint:
        found["hint"] = problem.hint
    if problem.severity != "error":
        found["severity"] = problem.severity
    return found


@pytest.mark.parametrize("case", cases("broken.yaml"))
def test_every_problem_of_a_definition_is_found_at_its_place(case: dict[str, Any]) -> None:
    """Code, line, column, message and hint; a definition is refused exactly when one of them is an error."""
    parse = {"workflow": parse_workflow, "action": parse_action}[case["kind"]]
    report = Report()
    refused = any("severity" not in problem for problem in case["problems"])
    expected: AbstractContextManager[object] = pytest.raises(DefinitionError) if refused else nullcontext()
    with expected as raised:
        parse(case["text"], "flow.yaml", report=report)
    if refused:
        assert raised.value.problems == report.problems  # type: ignore[attr-defined]
    assert [shown(problem) for problem in report.problems] == case["problems"]
    assert {problem.path for problem in report.problems} == {"flow.yaml"}


@pytest.mark.parametrize("case", cases("packs.yaml"))
def test_every_problem_of_a_pack_is_found_at_its_place(case: dict[str, Any], tmp_path: Path) -> None:
    """Packs are checked together: refs, inputs, files and names."""
    for name, text in case["files"].items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    with pytest.raises(DefinitionError) as raised:
        load_packs([tmp_path])
    base = str(tmp_path)
    found = [
        {"path": problem.path.removeprefix(base).lstrip("/"), **shown(problem)}
        for problem in raised.value.problems
    ]
    for problem in found:
        problem["message"] = problem["message"].replace(base, "<path>")
    assert found == case["problems"]
