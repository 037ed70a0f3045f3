"""The workflows of packs/examples, each run as people run it: by the command line, embedded, in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from scenarios import EXIT_CODES, SCENARIOS, Scenario

DRAMATURG = Path(sys.executable).with_name("dramaturg")

#: Seconds for anything that is waited for; what comes late is a fault.
PATIENCE = 60

COMPLETED = """
    SELECT task, history_event.status FROM history_event
    JOIN workflow_execution ON workflow_execution.id = history_event.run
    WHERE type = 'task_completed' AND run_id = ? ORDER BY seq
"""
LOOKED = """
    SELECT item, attempt, started_at, finished_at FROM execution
    WHERE task = 'look' AND item >= 0 AND status = 'succeeded' ORDER BY item
"""


class Folder:
    """A folder with an embedded database of its own, and the command line in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = path / ".dramaturg" / "dramaturg.db"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DRAMATURG_")}
        # Named, so that no database in a folder above is found.
        self.environment = {**kept, "DRAMATURG_DATABASE_URL": f"sqlite:///{self.database}"}

    def start(self, *words: str, **more: str) -> subprocess.Popen[str]:
        """Start a command and do not wait for it."""
        return subprocess.Popen(
            [str(DRAMATURG), *words],
            cwd=self.path,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *words: str, code: int = 0, **more: str) -> tuple[str, str]:
        """Run a command to its end; return what it wrote to stdout and stderr."""
        with self.start(*words, **more) as process:
            try:
                out, err = process.communicate(timeout=PATIENCE)
            finally:
                process.kill()
        assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{err}"
        return out, err

    def record(self, *words: str, code: int = 0, **more: str) -> dict[str, Any]:
        """Run a command that answers with JSON."""
        return dict(json.loads(self.call(*words, "-o", "json", code=code, **more)[0]))

    def visits(self, run_id: str) -> dict[str, tuple[str, ...]]:
        """Return how each visit of each task of a run ended, by its history; that each ended once is part of it."""
        ended: dict[str, list[str]] = {}
        for task, status in self.rows(COMPLETED, run_id):
            ended.setdefault(task, []).append(status)
        return {task: tuple(statuses) for task, statuses in ended.items()}

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Look into the database; nothing where it is not there yet."""
        if not self.database.exists():
            return []
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            return connection.execute(query, values).fetchall()
        except sqlite3.OperationalError:  # its tables are not made yet
            return []
        finally:
            connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty folder."""
    return Folder(tmp_path)


def given(parameters: Mapping[str, Any]) -> list[str]:
    """Return parameters as options of `run`."""
    return [word for name, value in parameters.items() for word in ("-p", f"{name}:={json.dumps(value)}")]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_each_example_ends_as_it_should(folder: Folder, scenario: Scenario) -> None:
    """Exit code, outcome, whole output, errors, and every task the right number of times."""
    code = EXIT_CODES[scenario.status]
    record = folder.record("run", scenario.ref, "--id", "r", *given(scenario.parameters), code=code)
    assert (record["id"], record["ref"], record["status"]) == ("r", scenario.ref, scenario.status)
    whole = scenario.status == "succeeded"
    output = record["output"] if whole else {name: record["output"].get(name) for name in scenario.output}
    assert output == scenario.output
    assert (record["error"] or {}).get("type") == scenario.error
    assert tuple(error["type"] for error in record["errors"]) == scenario.errors
    ended = folder.visits("r")
    assert {task: ended[task] for task in ended if task not in scenario.racing} == scenario.visits


@pytest.mark.parametrize("name", ["timeline_demo", "nested", "counter_loop", "parallel_join"])
def test_it_is_all_the_same_without_eager(folder: Folder, name: str) -> None:
    """Each step by a message of its own."""
    (scenario,) = (scenario for scenario in SCENARIOS if scenario.name == name)
    record = folder.record("run", scenario.ref, *given(scenario.parameters), DRAMATURG_EAGER="false")
    assert (record["status"], record["output"]) == ("succeeded", scenario.output)
    assert folder.visits(record["id"]) == scenario.visits


def test_wrong_parameters_are_refused_before_anything_runs(folder: Folder) -> None:
    """By name, with exit code 2, and nothing is stored."""
    _, err = folder.call("run", "examples.counter_loop", "--id", "r", "-p", "limit=0", "-p", "limt=3", code=2)
    assert "limit" in err
    assert "limt" in err
    folder.call("show", "r", code=6)


#: A small package, and what there is to say of its files.
PACKAGE: Mapping[str, bytes] = {
    "__init__.py": b'"""A package."""\n',
    "big.py": b"".join(b"def f%d():\n    return %d\n\n\n" % (n, n) for n in range(30)),
    "sub/classes.py": b"class A:\n    def method(self):\n        x = 1\n        return x\n",
    "broken.py": b"def f(:\n",
    "binary.py": b"\0\1\2",
    "latin.py": b"x = '\xe9'\n",
    "notes.txt": b"not Python\n",
}


def package(folder: Folder) -> Path:
    """Make the small package, with a file that can't be read."""
    for name, content in PACKAGE.items():
        file = folder.path / "pkg" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (folder.path / "pkg" / "gone.py").symlink_to("nowhere")
    return folder.path / "pkg"


def test_a_census_of_a_folder(folder: Folder) -> None:
    """Relative paths count from here; what can't be read or parsed is reported, and the run succeeds."""
    package(folder)
    record = folder.record("run", "examples.code_census", "-p", "path=pkg", "-p", "out=reports/one")
    assert record["status"] == "succeeded"
    output = record["output"]
    reports = folder.path / "reports" / "one"
    assert output["reports"] == {"markdown": str(reports / "pkg.md"), "json": str(reports / "pkg.json")}
    assert output["summary"] == (
        "pkg: 7 files, 128 lines (64 of code), 31 functions, 1 class; 4 could not be read or parsed"
    )
    rows = [(row["file"], row["lines"], row["functions"]) for row in output["largest"]]
    assert rows == [
        ("big.py", 120, 30),
        ("sub/classes.py", 4, 1),
        ("__init__.py", 1, 0),
        ("binary.py", 1, None),
        ("broken.py", 1, None),
        ("latin.py", 1, None),
    ]
    assert output["largest"][1]["longest_function"] == "A.method (3)"
    problems = {problem["file"]: problem["problem"] for problem in output["problems"]}
    assert sorted(problems) == ["binary.py", "broken.py", "gone.py", "latin.py"]
    assert problems["gone.py"] == "can't be read: No such file or directory"
    assert problems["broken.py"] == "line 1: invalid syntax"
    assert [error["task"] for error in record["errors"]] == ["look"]
    census = json.loads((reports / "pkg.json").read_text())
    assert census["largest"] == output["largest"]
    assert (reports / "pkg.md").read_text().startswith("# Code census of `pkg`\n")
    assert sorted(path.name for path in reports.iterdir()) == ["pkg.json", "pkg.md"]


def test_a_census_as_people_see_it(folder: Folder) -> None:
    """Text: the ten largest files as a table, where the reports are, and how to look again."""
    out, err = folder.call("run", "examples.code_census", "--id", "census")
    lines = out.splitlines()
    assert any("asyncio: " in line and " files, " in line for line in lines)
    (heading,) = (number for number, line in enumerate(lines) if line.split()[:2] == ["file", "lines"])
    assert lines[heading + 1].split()[0] == "base_events.py"
    assert str(folder.path / "census" / "asyncio.md") in out
    assert "dramaturg show census" in err
    assert (folder.path / "census" / "asyncio.json").is_file()


def test_a_census_of_nothing(folder: Folder) -> None:
    """A folder without Python files has a census; a folder that is not there is a failure that names it."""
    (folder.path / "empty").mkdir()
    record = folder.record("run", "examples.code_census", "-p", "path=empty")
    assert record["output"]["summary"] == "empty: 0 files, 0 lines (0 of code), 0 functions, 0 classes"
    record = folder.record("run", "examples.code_census", "-p", "path=nowhere", code=1)
    assert [error["type"] for error in record["errors"]] == ["SourceNotFound"]
    assert record["error"]["task"] == "locate"
    assert str(folder.path / "nowhere") in record["error"]["message"]


def test_a_census_that_is_killed_goes_on_where_it_was(folder: Folder) -> None:
    """What was done is not done again, every file is looked at, and the report is that of a run left in peace."""
    words = ("run", "examples.code_census", "--id", "census", "-p", "concurrency:=2", "-o", "json")
    process = folder.start(*words)
    done: list[tuple[Any, ...]] = []
    try:
        deadline = time.monotonic() + PATIENCE
        while len(done) < 5:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "no file was looked at"
            time.sleep(0.005)
            done = folder.rows(LOOKED)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not (folder.path / "census" / "asyncio.md").exists(), "it was killed too late to tell"

    record = folder.record(*words[:-2])
    assert record["status"] == "succeeded"
    after = {row[0]: row for row in folder.rows(LOOKED)}
    assert [after[row[0]] for row in done] == done
    assert set(folder.visits("census").values()) == {("succeeded",)}

    other = folder.record("run", "examples.code_census", "-p", "out=other")
    assert {**record["output"], "reports": None} == {**other["output"], "reports": None}
    for name in ("asyncio.md", "asyncio.json"):
        assert (folder.path / "census" / name).read_bytes() == (folder.path / "other" / name).read_bytes()
    assert len(list((folder.path / "census").iterdir())) == 2

    # The run has ended: asking for it once more gives the same answer, at once.
    assert folder.record(*words[:-2]) == record
