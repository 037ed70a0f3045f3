"""The command line as a person uses it: the installed program, real packs, a database in an empty folder."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dramaturg.cli.main import cli

PROGRAM = [sys.executable, "-c", "from dramaturg.cli.main import main; main()"]

#: A workflow that waits without a worker, as long as a test needs it.
SLEEPER = """\
ref: try.sleeper
parameters:
  seconds: {type: number, default: 600}
tasks:
  - name: before
    action: core.noop
    next:
      - do: doze
  - name: doze
    action: core.sleep
    input: {seconds: "{{ parameters.seconds }}"}
"""

BROKEN = """\
ref: try.broken
tasks:
  - name: build
    action: core.noop
    next:
      - do: [tset, other]
  - name: test
    action: core.noop
"""

Run = Callable[..., Result]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def environment() -> dict[str, str]:
    """An environment without settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DRAMATURG_")}
    kept.pop("PYTHONUNBUFFERED", None)
    return kept


@pytest.fixture
def dramaturg(tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `dramaturg` to its end in an empty folder; in this process, which saves the start of one each time."""
    monkeypatch.chdir(tmp_path)
    for name in set(os.environ) - set(environment):
        monkeypatch.delenv(name)

    def run(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
        return CliRunner().invoke(cli, arguments, env=env)

    return run


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Iterator[Start]:
    """Start `dramaturg` in that folder; what is left at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Wait until a condition holds, and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
    return value


def task_status(dramaturg: Run, run_id: str, task: str) -> str | None:
    """Return the sign of a task in `show`, or None."""
    shown = dramaturg("show", run_id).stdout
    found = re.search(rf"^ +(\S) {task}\b", shown, re.MULTILINE)
    return found[1] if found else None


def test_a_run_and_everything_that_can_be_asked_about_it(dramaturg: Run, tmp_path: Path) -> None:
    """One echo: run, result, show, list, history and logs tell the same story."""
    done = dramaturg("run", "examples.single_echo", "-p", "message=hello", "--id", "first", "-o", "json")
    assert done.exit_code == 0, done.stderr
    record = json.loads(done.stdout)
    assert list(record) == [
        "id", "ref", "status", "output", "error", "errors", "created_at", "started_at", "finished_at",
    ]  # fmt: skip
    assert (record["id"], record["status"], record["output"]) == ("first", "succeeded", {"message": "hello"})
    assert (record["error"], record["errors"]) == (None, [])
    assert "echo: succeeded" in done.stderr
    assert "dramaturg show first" in done.stderr
    assert (tmp_path / ".dramaturg" / "dramaturg.db").exists()

    for command in ("result", "show"):
        assert json.loads(dramaturg(command, "first", "-o", "json").stdout) == record
    (row,) = json.loads(dramaturg("list", "-o", "json").stdout)
    assert row == {name: record[name] for name in row}
    assert not {"output", "errors"} & set(row)
    assert "✓ echo" in dramaturg("show", "first").stdout
    events = json.loads(dramaturg("history", "first", "-o", "json").stdout)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert (events[0]["type"], events[-1]["type"]) == ("run_started", "run_ended")
    assert dramaturg("logs", "first").exit_code == 0
    assert dramaturg("doctor").exit_code == 0


def test_the_same_id_is_the_same_run(dramaturg: Run) -> None:
    """With the same parameters it is told again; with others it is a conflict."""
    arguments = ("run", "examples.single_echo", "--id", "one", "-o", "json", "-p")
    first = dramaturg(*arguments, "message=hello")
    again = dramaturg(*arguments, "message=hello")
    assert (again.exit_code, again.stdout) == (0, first.stdout)
    assert dramaturg(*arguments, "message=other").exit_code == 8
    assert dramaturg("run", "examples.counter_loop", "--id", "one").exit_code == 8
    assert dramaturg(*arguments, "message=hello", "--if-exists", "reject").exit_code == 8


def test_wrong_parameters_store_nothing(dramaturg: Run) -> None:
    """Exit 2, by name, and there is no run."""
    done = dramaturg("run", "examples.single_echo", "-p", "mesage=hello", "-p", "message:=3", "--id", "x")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "mesage" in done.stderr
    assert "message" in done.stderr
    assert json.loads(dramaturg("list", "-o", "json").stdout) == []


def test_an_unknown_ref_exits_6(dramaturg: Run, tmp_path: Path) -> None:
    """Near names, and which database was asked."""
    done = dramaturg("run", "examples.single_ecko")
    assert (done.exit_code, done.stdout) == (6, "")
    assert "examples.single_echo" in done.stderr
    assert str(tmp_path / ".dramaturg" / "dramaturg.db") in done.stderr


def test_an_unknown_run_exits_6_and_leaves_no_database(dramaturg: Run, tmp_path: Path) -> None:
    """Looking makes nothing."""
    for command in ("show", "result", "history", "logs", "cancel"):
        assert dramaturg(command, "nope").exit_code == 6
    assert not (tmp_path / ".dramaturg").exists()


def test_a_broken_workflow_exits_3_with_every_problem(dramaturg: Run, tmp_path: Path) -> None:
    """File, line, column, the line itself, a caret, within 80 columns; the same for run and validate."""
    (tmp_path / "broken.yaml").write_text(BROKEN)
    for command in (("run",), ("workflow", "validate")):
        done = dramaturg(*command, "broken.yaml")
        assert done.exit_code == 3, done
        report = done.stderr + done.stdout
        assert re.search(r"^broken\.yaml:6:\d+$", report, re.MULTILINE)
        assert "do: [tset, other]" in report
        assert "did you mean" in report
        assert len(re.findall(r"^ +\| +\^$", report, re.MULTILINE)) >= 2
        assert max(map(len, report.splitlines())) <= 80
    answer = json.loads(dramaturg("workflow", "validate", "broken.yaml", "-o", "json").stdout)
    assert answer["valid"] is False
    assert {problem["line"] for problem in answer["problems"]} >= {6}


def test_a_file_of_a_pack_brings_its_pack(dramaturg: Run, tmp_path: Path) -> None:
    """A workflow is run by its file, with the scripts beside it, without being on the pack path."""
    pack = tmp_path / "shop"
    (pack / "actions").mkdir(parents=True)
    (pack / "workflows").mkdir()
    (pack / "pack.yaml").write_text("ref: shop\n")
    (pack / "actions" / "price.yaml").write_text(
        "runtime: python\nentry_point: price.py\nparameters: {n: {}}\n"
    )
    (pack / "actions" / "price.py").write_text("print(7)\n")
    (pack / "workflows" / "order.yaml").write_text(
        "parameters: {n: {type: integer}}\n"
        "tasks: [{name: price, action: shop.price, input: {n: '{{ parameters.n }}'}}]\n"
        "output_map: {price: '{{ task.price.result }}', n: '{{ parameters.n }}'}\n"
    )
    done = dramaturg("run", "shop/workflows/order.yaml", "-p", "n=3", "-o", "json")
    assert done.exit_code == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["ref"], record["output"]) == ("shop.order", {"price": 7, "n": 3})
    assert "shop.order" in dramaturg("pack", "show", "shop").stdout
    assert dramaturg("workflow", "validate", "shop/workflows/order.yaml").stdout == "shop.order: valid\n"


def test_a_file_that_is_no_database_exits_7(dramaturg: Run, tmp_path: Path) -> None:
    """It is told, and left as it is."""
    (tmp_path / "x.db").write_text("something else altogether, and long enough to have a header\n" * 20)
    before = (tmp_path / "x.db").read_bytes()
    for command in (("list",), ("run", "examples.single_echo"), ("doctor",)):
        done = dramaturg("--database-url", "sqlite:///x.db", *command)
        assert (done.exit_code, done.stdout) == (7, ""), done.stderr
        assert "x.db" in done.stderr
    assert (tmp_path / "x.db").read_bytes() == before


@pytest.mark.parametrize(
    "settings",
    [
        {"DRAMATURG_DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/db"},
        {"DRAMATURG_BROKER_URL": "redis://:secret@127.0.0.1:1/0"},
        {"DRAMATURG_DATABASE_URL": "sqlite:////proc/nowhere/dramaturg.db"},
    ],
)
def test_nobody_there_exits_7_in_one_line(dramaturg: Run, settings: dict[str, str]) -> None:
    """What was tried, without the password."""
    done = dramaturg("run", "examples.single_echo", env=settings)
    assert (done.exit_code, done.stdout) == (7, ""), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr
    assert "127.0.0.1" in done.stderr or "/proc/nowhere" in done.stderr


def test_a_failed_run_exits_1_and_says_why(dramaturg: Run) -> None:
    """The error on stderr, the record on stdout."""
    arguments = ("-p", "seconds=0", "-p", "outcome=failure", "--id", "f", "-o", "json")
    done = dramaturg("run", "examples.timeline_demo", *arguments)
    assert done.exit_code == 1, done.stderr
    record = json.loads(done.stdout)
    assert (record["status"], record["error"]["type"]) == ("failed", "Fail")
    assert "failed" in done.stderr
    shown = dramaturg("show", "f").stdout
    assert "✗ check" in shown
    assert "5/5" in shown
    assert json.loads(dramaturg("list", "--status", "failed", "-o", "json").stdout)[0]["id"] == "f"
    assert json.loads(dramaturg("list", "--status", "succeeded", "-o", "json").stdout) == []


def test_show_tells_which_items_failed_and_why(dramaturg: Run, tmp_path: Path) -> None:
    """Of a fan-out those that went wrong are listed, with their errors."""
    (tmp_path / "items.yaml").write_text(
        "ref: try.items\n"
        "tasks: [{name: look, with_items: [a, b], on_item_failure: run_all,\n"
        "         action: core.fail, input: {message: 'no {{ item }}'}}]\n"
    )
    assert dramaturg("run", "items.yaml", "--id", "i").exit_code == 1
    shown = dramaturg("show", "i").stdout
    assert re.search(r"✗ look +\S+s  2/2, 2 failed", shown)
    assert "✗ item 0 failed: Failed: no a\n" in shown
    assert "✗ item 1 failed: Failed: no b\n" in shown


def test_an_interrupted_run_goes_on_with_the_same_id(dramaturg: Run, start: Start, tmp_path: Path) -> None:
    """Ctrl-C: exit 130, the run stands as it is, and says how to go on; then it ends as if nothing had been."""
    (tmp_path / "sleeper.yaml").write_text(SLEEPER)
    arguments = ("run", "sleeper.yaml", "-p", "seconds=3", "--id", "s")
    process = start(*arguments)
    until(lambda: task_status(dramaturg, "s", "doze") == "◌")
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (130, "")
    assert "--id s" in stderr
    assert "dramaturg cancel s" in stderr
    assert json.loads(dramaturg("show", "s", "-o", "json").stdout)["status"] == "running"
    done = dramaturg(*arguments)
    assert done.exit_code == 0, done.stderr
    assert "goes on" in done.stderr
    events = json.loads(dramaturg("history", "s", "-o", "json").stdout)
    assert [e["task"] for e in events if e["type"] == "task_completed"] == ["before", "doze"]


def test_waiting_has_an_end(dramaturg: Run, tmp_path: Path) -> None:
    """--timeout: exit 4, and the run goes on; result without waiting says the same."""
    (tmp_path / "sleeper.yaml").write_text(SLEEPER)
    done = dramaturg("run", "sleeper.yaml", "--id", "s", "--timeout", "0.5", "-o", "json")
    assert done.exit_code == 4, done.stderr
    assert json.loads(done.stdout)["status"] == "running"
    assert "waiting is over" in done.stderr
    done = dramaturg("result", "s", "--no-wait")
    assert (done.exit_code, done.stdout) == (4, "")


def test_cancel_from_another_process(dramaturg: Run, start: Start, tmp_path: Path) -> None:
    """The run ends as cancelled, and its process with exit code 5."""
    (tmp_path / "sleeper.yaml").write_text(SLEEPER)
    process = start("run", "sleeper.yaml", "--id", "s", "-o", "json")
    until(lambda: task_status(dramaturg, "s", "doze") == "◌")
    assert "asked to stop" in dramaturg("cancel", "s", "--reason", "enough").stdout
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 5, stderr
    assert json.loads(stdout)["status"] == "cancelled"
    assert "ended already" in dramaturg("cancel", "s").stdout


def test_a_detached_run_is_served_by_a_worker(dramaturg: Run, start: Start) -> None:
    """A worker without a broker serves what the database holds, and ends with 0 when told to stop."""
    done = dramaturg("run", "examples.single_echo", "--detach", "--id", "d", "-o", "json")
    assert (done.exit_code, json.loads(done.stdout)["finished_at"]) == (0, None)
    worker = start("worker", "--threads", "2")
    done = dramaturg("result", "d", "--timeout", "30")
    assert done.exit_code == 0, done.stderr
    assert "Hello from Dramaturg" in done.stdout
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=30)
    assert worker.returncode == 0


def test_jsonl_is_the_history_and_then_the_run(dramaturg: Run) -> None:
    """Every record once, in order."""
    done = dramaturg("run", "examples.counter_loop", "--id", "c", "-o", "jsonl")
    assert done.exit_code == 0, done.stderr
    *events, record = [json.loads(line) for line in done.stdout.splitlines()]
    assert events == json.loads(dramaturg("history", "c", "-o", "json").stdout)
    assert record == json.loads(dramaturg("show", "c", "-o", "json").stdout)


def test_a_terminal_gets_a_live_tree(tmp_path: Path, environment: dict[str, str]) -> None:
    """Drawn over itself on the terminal, with colours; the last picture and the output stay."""
    environment |= {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    environment.pop("NO_COLOR", None)
    text = on_a_terminal(["run", "examples.timeline_demo", "-p", "seconds=0.2"], tmp_path, environment)
    assert "\x1b[32m✓" in text
    shown = screen(text)
    tasks = ("prepare", "build", "lint", "scan", "assemble", "test", "check", "release")
    assert [line.split()[1] for line in shown if line.startswith("  ✓")] == list(tasks)
    (build,) = (line for line in shown if "✓ build" in line)
    assert build.endswith("attempt 2")
    assert any(re.fullmatch(r"  ✓ test +\S+s +5/5", line) for line in shown)
    assert any(line.startswith("verdict") for line in shown)
    # Meanwhile it has shown what was going on.
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "● prepare" in plain
    assert re.search(r"● test +\S+s  ━*─+  [0-4]/5, \d running", plain)


def test_no_color_leaves_colours_out(tmp_path: Path, environment: dict[str, str]) -> None:
    """The picture moves all the same."""
    environment |= {"TERM": "xterm-256color", "NO_COLOR": "1"}
    text = on_a_terminal(["run", "examples.single_echo"], tmp_path, environment)
    assert not re.search(r"\x1b\[[0-9;]*m", text)
    assert "✓ echo" in text


def screen(text: str) -> list[str]:
    """Return the lines that a terminal shows after it got `text`: what Rich's live display uses of its language."""
    lines, row, column = [""], 0, 0
    for found in re.finditer(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)", text):
        number, command, control, words = found.groups()
        if command == "A":
            row -= int(number or 1)
        elif command == "K":
            lines[row] = ""
        elif control == "\r":
            column = 0
        elif control == "\n":
            row, column = row + 1, 0
            lines.extend([""] * (row + 1 - len(lines)))
        elif words:
            lines[row] = lines[row][:column].ljust(column) + words + lines[row][column + len(words) :]
            column += len(words)
    return [line.rstrip() for line in lines]


def on_a_terminal(arguments: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    """Run `dramaturg` on a terminal, see it succeed, and return what the terminal got."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *arguments], cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    got, deadline = b"", time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 0.1)[0]:
                continue
            try:
                piece = os.read(ours, 65536)
            except OSError:
                break  # the other side is closed: the program has ended
            if not piece:
                break
            got += piece
        assert process.wait(timeout=10) == 0, got.decode()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)
    return got.decode()
