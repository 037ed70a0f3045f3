"""A report of problems: place, source line and caret, within 80 columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from dramaturg.cli.problems import WIDTH, describe, explain
from dramaturg.engine.errors import NotFound, Problem, Unreachable


def problem(**more: object) -> Problem:
    """Return a problem with some text in it."""
    known = {"code": "c", "message": "unknown task 'biuld'", "hint": "did you mean 'build'?"}
    return Problem(**{**known, **more})  # type: ignore[arg-type]


def test_a_problem_shows_its_line_with_a_caret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Column 11 of the file is below the caret; the path counts from the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow.yaml").write_text("tasks:\n    do: [biuld, lint]\n")
    assert list(describe([problem(path=str(tmp_path / "flow.yaml"), line=2, column=10)])) == [
        "flow.yaml:2:10",
        "  error: unknown task 'biuld'",
        "     2 |     do: [biuld, lint]",
        "       |          ^",
        "  hint: did you mean 'build'?",
        "",
        "1 error",
    ]


def test_problems_stand_in_order_and_are_counted() -> None:
    """By file, line and column; warnings apart."""
    found = [
        problem(path="b", line=1),
        problem(path="a", line=9, severity="warning"),
        problem(path="a", line=2, column=5),
        problem(path="a", line=2, column=3),
    ]
    lines = list(describe(found))
    assert [line for line in lines if line[:1] in ("a", "b")] == ["a:2:3", "a:2:5", "a:9", "b:1"]
    assert lines[-1] == "3 errors, 1 warning"


@pytest.mark.parametrize("column", [1, 60, 150, 299, 300, 301, 5000])
def test_a_long_line_is_cut_around_the_column(tmp_path: Path, column: int) -> None:
    """Whatever the column, the caret stands below the right sign and nothing is wider than 80."""
    text = "".join(chr(ord("a") + n % 26) for n in range(300))
    path = tmp_path / "f"
    path.write_text(text)
    lines = [
        *describe([problem(path=str(path), line=1, column=column, message="long " * 60, hint="h" * 200)])
    ]
    assert max(len(line) for line in lines[1:]) <= WIDTH
    (caret,) = (line for line in lines if line.endswith("^"))
    source = lines[lines.index(caret) - 1]
    at = caret.index("^")
    if column <= 300 and at < len(source):
        assert source[at] in (text[column - 1], "…")


@pytest.mark.parametrize("line", [0, 2, 99])
def test_a_line_that_is_not_there_is_left_out(tmp_path: Path, line: int) -> None:
    """The file may have changed since, or be unknown."""
    path = tmp_path / "f"
    path.write_text("one")
    assert not any("|" in text for text in describe([problem(path=str(path), line=line)]))
    assert not any("|" in text for text in describe([problem(path=str(tmp_path / "gone"), line=1)]))
    assert next(iter(describe([problem()]))) == "<definition>"


def test_control_characters_do_nothing_to_the_terminal(tmp_path: Path) -> None:
    """A file may contain anything."""
    path = tmp_path / "f"
    path.write_text("a\x1b[31mb\tc")
    text = "\n".join(describe([problem(path=str(path), line=1, column=2, message="x\x1b[0m\ny")]))
    assert "\x1b" not in text
    assert "\\x1b[0m\\ny" in text


def test_unreachable_is_one_line() -> None:
    """It ends up in somebody's log."""
    assert list(explain(Unreachable("a\nb", hint="start it"))) == ["error: a\\nb (start it)"]
    assert list(explain(NotFound("a", hint="b"))) == ["error: a", "hint: b"]
