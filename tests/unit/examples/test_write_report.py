"""packs/examples, the script that writes the reports of code_census."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Script = Callable[..., "subprocess.CompletedProcess[str]"]

ROW = {"file": "__init__.py", "lines": 1200, "code": 900, "functions": 3, "classes": 2}
CENSUS: dict[str, Any] = {
    "name": "pkg",
    "root": "/src/pkg",
    "summary": "pkg: 2 files, 1,200 lines",
    "totals": {"files": 2},
    "largest": [
        {**ROW, "longest_function": "A.__init__ (40)"},
        {**ROW, "file": "a|b`c.py", "code": None, "longest_function": None},
    ],
    "longest": {"file": "__init__.py", "name": "A.__init__", "line": 7, "lines": 1040},
    "problems": [{"file": "bad\n.py", "problem": "line 3: invalid syntax"}],
    "files": [{**ROW, "bytes": 30_000, "longest": None, "problem": None}],
}

MARKDOWN = r"""# Code census of `pkg`

pkg: 2 files, 1,200 lines

Folder: `/src/pkg`

Longest function: `A.__init__` in `__init__.py`, line 7, 1,040 lines

## The largest files

| File | Lines | Code | Functions | Classes | Longest function (lines) |
| --- | ---: | ---: | ---: | ---: | --- |
| `__init__.py` | 1,200 | 900 | 3 | 2 | `A.__init__ (40)` |
| `` a\|b`c.py `` | 1,200 |  | 3 | 2 |  |

## What could not be read or parsed

| File | Problem |
| --- | --- |
| `bad\x0a.py` | `line 3: invalid syntax` |

## All files

| File | Bytes | Lines | Code | Functions | Classes |
| --- | ---: | ---: | ---: | ---: | ---: |
| `__init__.py` | 30,000 | 1,200 | 900 | 3 | 2 |
"""


def test_the_markdown_report(script: Script, tmp_path: Path) -> None:
    """Names show as they are, whatever is in them; the folder is made if it is not there."""
    done = script("write_report.py", out=str(tmp_path / "new"), format="markdown", census=CENSUS)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"path": str(tmp_path / "new" / "pkg.md")}
    assert (tmp_path / "new" / "pkg.md").read_text() == MARKDOWN


def test_the_json_report_is_the_census(script: Script, tmp_path: Path) -> None:
    """All of it, as it came."""
    done = script("write_report.py", out=str(tmp_path), format="json", census=CENSUS)
    assert json.loads(done.stdout) == {"path": str(tmp_path / "pkg.json")}
    assert json.loads((tmp_path / "pkg.json").read_text()) == CENSUS


def test_a_census_without_anything(script: Script, tmp_path: Path) -> None:
    """No largest, no longest, no problems, no files."""
    empty = {**CENSUS, "largest": [], "longest": None, "problems": [], "files": []}
    assert script("write_report.py", out=str(tmp_path), format="markdown", census=empty).returncode == 0
    assert "could not be read" not in (tmp_path / "pkg.md").read_text()


@pytest.mark.parametrize("format", ["markdown", "json"])
def test_writing_again_gives_the_same_and_leaves_nothing_else(
    script: Script, tmp_path: Path, format: str
) -> None:
    """What an attempt that was killed left behind is gone after the next one."""
    path = Path(
        json.loads(script("write_report.py", out=str(tmp_path), format=format, census=CENSUS).stdout)["path"]
    )
    first = path.read_bytes()
    path.unlink()
    path.mkdir()  # so that the last step, the renaming, can't be done: as if killed just before it
    assert script("write_report.py", out=str(tmp_path), format=format, census=CENSUS).returncode == 1
    assert len(list(tmp_path.iterdir())) == 2
    path.rmdir()
    script("write_report.py", out=str(tmp_path), format=format, census=CENSUS)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]
