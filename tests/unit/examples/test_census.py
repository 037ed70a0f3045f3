"""packs/examples, the parts of code_census that run inside the worker."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Record = dict[str, Any]


@pytest.fixture
def locate(
    function: Callable[[str], Callable[..., Record]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Record]:
    """`census:locate`, called in an empty folder, with the usual parameters."""
    monkeypatch.chdir(tmp_path)
    found = function("census:locate")
    return lambda **given: found(**{"package": "asyncio", "out": "census", **given})


@pytest.fixture
def list_files(function: Callable[[str], Callable[..., Record]]) -> Callable[..., Record]:
    """`census:list_files`."""
    return function("census:list_files")


@pytest.fixture
def sum_up(function: Callable[[str], Callable[..., Record]]) -> Callable[..., Record]:
    """`census:sum_up`."""
    return function("census:sum_up")


def test_a_package_is_found_and_the_folder_for_the_report_made(
    locate: Callable[..., Record], tmp_path: Path
) -> None:
    """Both paths are absolute; a relative `out` counts from the folder where the worker was started."""
    assert locate() == {
        "name": "asyncio",
        "place": os.path.dirname(asyncio.__file__),
        "out": str(tmp_path / "census"),
    }
    assert (tmp_path / "census").is_dir()
    assert locate() == locate(), "a second attempt finds the folder there"


@pytest.mark.parametrize(
    ("package", "file"),
    [("json.tool", "json/tool.py"), ("this", "this.py"), ("os", "os.py"), ("ast", "ast.py")],
)
def test_a_module_is_its_file(locate: Callable[..., Record], package: str, file: str) -> None:
    """A module that is no package, a submodule, and one that is frozen into the interpreter."""
    found = locate(package=package)
    assert found["place"] == os.path.join(os.path.dirname(os.__file__), file)
    assert found["name"] == package


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        ("no_such_package", "no package 'no_such_package' is installed for "),
        ("no_such_package.sub", "can't be found: No module named 'no_such_package'"),
        ("../secret", "'../secret' is not the name of a package"),
        ("", "'' is not the name of a package"),
        ("sys", "has no source files"),
    ],
)
def test_a_package_that_is_not_there_is_a_failure_that_says_so(
    locate: Callable[..., Record], package: str, reason: str
) -> None:
    """The failure names the package and why."""
    with pytest.raises(Exception, match=reason) as raised:
        locate(package=package)
    assert type(raised.value).__name__ == "SourceNotFound"


def test_a_path_is_taken_instead_of_a_package(
    locate: Callable[..., Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder or a file, relative to the current folder or to the home folder."""
    (tmp_path / "src" / "app").mkdir(parents=True)
    (tmp_path / "src" / "one.py").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "src"))
    assert locate(path="src/app") == {
        "name": "app",
        "place": str(tmp_path / "src/app"),
        "out": str(tmp_path / "census"),
    }
    assert locate(path="~/app/..//one.py")["place"] == str(tmp_path / "src/one.py")
    assert locate(path="src/one.py")["name"] == "one"
    assert locate(path="/")["name"] == "census"
    with pytest.raises(Exception, match=f"there is no folder or file {tmp_path}/nowhere"):
        locate(path="nowhere")


def test_a_file_in_the_place_of_the_folder_is_a_failure_at_once(
    locate: Callable[..., Record], tmp_path: Path
) -> None:
    """A wrong `out` is told before the work is done, not after it."""
    (tmp_path / "census").touch()
    with pytest.raises(FileExistsError):
        locate()


def test_files_are_listed_sorted_and_relative(list_files: Callable[..., Record], tmp_path: Path) -> None:
    """Subfolders too; nothing hidden, no bytecode, no other files, nothing behind a link to a folder."""
    for name in (
        "b.py",
        "a.py",
        "sub/c.py",
        "sub.py",
        "note.txt",
        ".git/d.py",
        "__pycache__/e.py",
        "sub/.f/g.py",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere")
    assert list_files(str(tmp_path)) == {
        "root": str(tmp_path),
        "files": ["a.py", "b.py", "gone.py", "sub.py", "sub/c.py"],
        "skipped": [],
    }


def test_one_file_is_a_list_of_one(list_files: Callable[..., Record], tmp_path: Path) -> None:
    """Its folder is the root."""
    (tmp_path / "only").touch()
    assert list_files(str(tmp_path / "only")) == {"root": str(tmp_path), "files": ["only"], "skipped": []}


def test_a_name_that_is_no_text_is_left_out_and_told(
    list_files: Callable[..., Record], tmp_path: Path
) -> None:
    """No result could hold it."""
    os.close(os.open(os.fsencode(tmp_path) + b"/caf\xe9.py", os.O_CREAT))
    (tmp_path / "café.py").touch()
    found = list_files(str(tmp_path))
    assert found["files"] == ["café.py"]
    assert found["skipped"] == [{"file": "caf\\xe9.py", "problem": "its name is not valid UTF-8"}]


def test_a_folder_that_cannot_be_listed_is_told(list_files: Callable[..., Record], tmp_path: Path) -> None:
    """It is one more thing that could not be read."""
    missing = str(tmp_path / "gone")
    assert list_files(missing) == {
        "root": missing,
        "files": [],
        "skipped": [{"file": ".", "problem": "can't be listed: No such file or directory"}],
    }


def looked(file: str, lines: int, **more: Any) -> Record:
    """What examples.look_at_file says of a file that has nothing special."""
    counts = {"bytes": lines * 10, "lines": lines, "code": lines, "functions": 1, "classes": 2}
    return {"file": file, **counts, "longest": None, "problem": None, **more}


def succeeded(result: Record) -> Record:
    """One item of a fan-out."""
    return {"status": "succeeded", "result": result, "error": None}


def test_totals_count_what_is_known(sum_up: Callable[..., Record]) -> None:
    """What could not be parsed counts with its lines, what could not be read as a file, and both are problems."""
    longest = {"name": "f", "line": 3, "lines": 7}
    failure = {"type": "ExitCode", "message": "exited with 1: can't be read: Permission denied"}
    unknown = dict.fromkeys(("code", "functions", "classes"))
    looks = [
        succeeded(looked("a.py", 10, longest=longest)),
        succeeded(looked("b.py", 5, **unknown, problem="line 2: invalid syntax")),
        {"status": "failed", "result": None, "error": failure},
        {"status": "timed_out", "result": None, "error": None},
    ]
    skipped = [{"file": "caf\\xe9.py", "problem": "its name is not valid UTF-8"}]
    census = sum_up("pkg", "/pkg", ["a.py", "b.py", "c.py", "d.py"], looks, skipped)
    assert census["totals"] == {
        "files": 5,
        "parsed": 1,
        "lines": 15,
        "code": 10,
        "functions": 1,
        "classes": 2,
    }
    assert census["problems"] == [
        {"file": "b.py", "problem": "line 2: invalid syntax"},
        {"file": "c.py", "problem": "can't be read: Permission denied"},
        {"file": "caf\\xe9.py", "problem": "its name is not valid UTF-8"},
        {"file": "d.py", "problem": "timed_out"},
    ]
    assert census["longest"] == {"file": "a.py", **longest}
    assert [record["file"] for record in census["files"]] == ["a.py", "b.py"]
    assert census["summary"] == (
        "pkg: 5 files, 15 lines (10 of code), 1 function, 2 classes; 4 could not be read or parsed"
    )


def test_the_ten_largest_come_first_and_equals_by_name(sum_up: Callable[..., Record]) -> None:
    """By lines, not by bytes; in rows of simple values, which is what a table takes."""
    names = [f"f{number:02}.py" for number in range(12)]
    records = [looked(name, 100 + number // 2) for number, name in enumerate(names)]
    records[11]["longest"] = {"name": "C.method", "line": 3, "lines": 40}
    backwards = [succeeded(record) for record in reversed(records)]
    census = sum_up("pkg", "/pkg", names[::-1], backwards)
    order = [10, 11, 8, 9, 6, 7, 4, 5, 2, 3]
    assert [row["file"] for row in census["largest"]] == [names[number] for number in order]
    assert census["largest"][1] == {
        "file": "f11.py",
        "lines": 105,
        "code": 105,
        "functions": 1,
        "classes": 2,
        "longest_function": "C.method (40)",
    }
    assert census["largest"][0]["longest_function"] is None


def test_a_folder_without_files_has_a_census_too(sum_up: Callable[..., Record]) -> None:
    """Everything is nought."""
    census = sum_up("pkg", "/pkg", [], [])
    assert census["summary"] == "pkg: 0 files, 0 lines (0 of code), 0 functions, 0 classes"
    assert (census["largest"], census["longest"], census["problems"]) == ([], None, [])
