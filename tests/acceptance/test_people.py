"""People take part in runs by the command line: on SQLite with a worker beside it, and on PostgreSQL and Redis."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dramaturg.cli.main import cli
from dramaturg.engine.config import load_settings
from dramaturg.engine.service import Service

PROGRAM = [sys.executable, "-c", "from dramaturg.cli.main import main; main()"]

WORKFLOWS = {
    "gate": """
tasks:
  ask:
    action: core.ask
    input:
      prompt: How many?
      response_schema: {type: object, properties: {n: {type: integer}}, required: [n]}
    next: [{when: succeeded, publish: [{n: "{{ result().n }}"}], do: wait}]
  wait:
    action: core.wait
    input: {signal: go}
    next: [{when: succeeded, publish: [{said: "{{ result() }}"}]}]
vars: {n: null, said: null}
output_map: {n: "{{ workflow.n }}", said: "{{ workflow.said }}"}
""",
    "caller": """
vars: {said: null}
tasks:
  start:
    action: core.start
    input: {ref: stage.callee, parameters: {caller: "{{ system.run_id }}"}}
    next: [{when: succeeded, do: hear}]
  hear:
    action: core.wait
    input: {signal: reply, timeout: 60}
    next: [{when: succeeded, publish: [{said: "{{ result() }}"}]}]
output_map: {said: "{{ workflow.said }}", callee: "{{ task.start.result.run_id }}"}
""",
    "callee": """
parameters: {caller: {type: string, required: true}}
tasks:
  reply:
    action: core.signal
    input: {run: "{{ parameters.caller }}", name: reply, payload: {from: "{{ system.run_id }}"}}
""",
    "parked": """
unhandled_failure: wait
vars: {got: null}
tasks:
  break:
    action: core.fail
    input: {message: the key is lost, type: NoKey}
    next: [{when: succeeded, publish: [{got: "{{ result() }}"}]}]
output_map: {got: "{{ workflow.got }}"}
""",
    "outer": """
tasks:
  inner:
    action: stage.gate
""",
}


class Stage:
    """A folder with packs, a database, and a worker that serves it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, code: int = 0, **more: Any) -> Result:
        """Run a command to its end."""
        done = CliRunner().invoke(cli, arguments, **more)
        assert done.exit_code == code, done.output
        return done

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Run a command that answers with JSON."""
        return json.loads(self(*arguments, "-o", "json", code=code).stdout)

    def begin(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        """Start a command, and do not wait for it."""
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([*PROGRAM, *arguments], cwd=self.folder, **{**streams, **more})

    def problems(self, run_id: str) -> list[str]:
        """Return what is wrong between the history and the tables."""
        service = Service.open(load_settings())
        try:
            return service.verify(run_id)
        finally:
            service.close()

    def awaits(self, run_id: str, kind: str) -> dict[str, Any]:
        """Return what a run waits for, once it does."""

        def look() -> dict[str, Any] | None:
            done = CliRunner().invoke(cli, ["show", run_id, "--awaits", "-o", "json"])
            found = json.loads(done.stdout) if done.exit_code == 0 else []
            return next((record for record in found if record["kind"] == kind), None)

        found = until(look)
        assert found is not None
        return found


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until a condition holds, and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
    return value


def furnish(folder: Path, patch: pytest.MonkeyPatch) -> Stage:
    """Go to a folder with a pack, in an environment without settings."""
    for name in [name for name in os.environ if name.startswith("DRAMATURG_")]:
        patch.delenv(name)
    pack = folder / "packs" / "stage"
    (pack / "workflows").mkdir(parents=True)
    (pack / "pack.yaml").write_text("ref: stage\n")
    for name, text in WORKFLOWS.items():
        (pack / "workflows" / f"{name}.yaml").write_text(text)
    patch.setenv("DRAMATURG_PACKS", str(pack.parent))
    patch.chdir(folder)
    return Stage(folder)


@pytest.fixture(scope="module", params=["embedded", "servers"])
def stage(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    new_postgres_database: Callable[[], AbstractContextManager[str]],
    redis_url: str,
) -> Iterator[Stage]:
    """The command line with a worker process beside it, for all tests: their runs have ids of their own."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        stage = furnish(tmp_path_factory.mktemp("stage"), patch)
        if request.param == "servers":
            patch.setenv("DRAMATURG_DATABASE_URL", stack.enter_context(new_postgres_database()))
            patch.setenv("DRAMATURG_BROKER_URL", redis_url)
            stage("db", "upgrade")
            stage("pack", "register")
        worker = stage.begin("worker", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: "are alive" in CliRunner().invoke(cli, ["doctor"]).stdout)
        yield stage
        worker.send_signal(signal.SIGTERM)
        try:
            assert worker.wait(30) == 0
        finally:
            worker.kill()
            worker.wait()


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The command line on SQLite, and no worker."""
    return furnish(tmp_path, monkeypatch)


def test_a_question_and_a_signal(stage: Stage) -> None:
    """A wrong answer is refused and nothing happens; what is said again comes too late."""
    stage("run", "stage.gate", "--detach", "--id", "g")
    stage.awaits("g", "answer")
    refused = stage("answer", "g", '{"n": "two"}', code=2)
    assert "whole number" in refused.stderr
    assert stage.awaits("g", "answer")["prompt"] == "How many?"
    stage("answer", "g", "ask", '{"n": 2}', "--by", "kim")
    # Answered already (8), or not asked any more (6), as the worker is quick or not.
    assert CliRunner().invoke(cli, ["answer", "g", "ask", '{"n": 3}']).exit_code in (6, 8)
    waits = stage.awaits("g", "signal")
    assert (waits["task"], waits["name"]) == ("wait", "go")
    shown = stage("show", "g").stdout
    assert "wait waits for signal 'go'" in shown
    assert "dramaturg signal g go [JSON]" in shown
    stage("signal", "g", "go", '"now"')
    assert stage.json("result", "g", "--timeout", "60")["output"] == {"n": 2, "said": "now"}
    assert stage("signal", "g", "go", code=8).stdout == ""
    assert stage("signal", "nobody", "go", code=6).stdout == ""
    (answered,) = (e for e in stage.json("history", "g") if e["type"] == "question_answered")
    assert answered["task"] == "ask"
    assert stage.problems("g") == []


def test_signals_count_once_under_one_key_and_are_kept(stage: Stage) -> None:
    """Sent before anybody waits, twice."""
    stage("run", "stage.gate", "--detach", "--id", "k")
    for asked in (True, False):
        assert stage.json("signal", "k", "go", "1", "--key", "k")["asked"] is asked
    stage.awaits("k", "answer")
    stage("answer", "k", '{"n": 1}')
    assert stage.json("result", "k", "--timeout", "60")["output"] == {"n": 1, "said": 1}
    assert len([e for e in stage.json("history", "k") if e["type"] == "signal_received"]) == 1


def test_two_runs_talk_to_each_other(stage: Stage) -> None:
    """One starts the other (core.start), which sends a signal back (core.signal)."""
    output = stage.json("run", "stage.caller", "--timeout", "60")["output"]
    assert output["said"] == {"from": output["callee"]}
    assert stage.json("result", output["callee"], "--timeout", "60")["status"] == "succeeded"


def test_a_pending_job_is_completed_by_its_token(stage: Stage) -> None:
    """From another shell, by the token that the action has left; a second time it is refused."""
    parameters = (
        "-p",
        "pages=5",
        "-p",
        "seconds=0.05",
        "-p",
        "break_at=3",
        "-p",
        f"out={stage.folder}/queue",
    )
    words = ("run", "examples.external_job", *parameters, "--id", "j", "-o", "json")
    with (stage.folder / "progress").open("w") as progress:
        run = stage.begin(*words, stderr=progress)
    number = stage.awaits("j", "completion")["execution_id"]
    said = f"print waits to be completed -> dramaturg complete {number} [JSON]\n"
    until(lambda: said in (stage.folder / "progress").read_text())
    token = json.loads((stage.folder / "queue" / "job.json").read_text())["token"]
    assert "whole number" in stage("complete", token, '{"printed": "all"}', code=2).stderr
    stage("complete", token, '{"printed": 4}')
    stdout, _ = run.communicate(timeout=60)
    told = (stage.folder / "progress").read_text()
    assert run.returncode == 0, told
    assert json.loads(stdout)["output"] == {"rendered": 5, "began_with": 3, "printed": 4, "note": ""}
    assert told.count("print waits") == 1
    assert told.index(said) < told.index("print: succeeded")
    assert stage("complete", token, '{"printed": 5}', code=8).stdout == ""
    assert stage("complete", "no-such-token", code=6).stdout == ""


def test_a_pending_job_is_failed_by_its_number(stage: Stage) -> None:
    """With a message, which the workflow sees."""
    parameters = ("-p", "pages=1", "-p", "seconds=0", "-p", f"out={stage.folder}/other")
    stage("run", "examples.external_job", *parameters, "--detach", "--id", "f")
    number = stage.awaits("f", "completion")["execution_id"]
    stage("fail", str(number), "paper jam", "--type", "Jam", "--details", '{"tray": 2}')
    record = stage.json("result", "f", "--timeout", "60")
    assert record["output"]["note"] == "paper jam"
    (error,) = record["errors"]
    assert (error["type"], error["details"]) == ("Jam", {"tray": 2})


@pytest.mark.parametrize("good", [True, False])
def test_a_failed_task_waits_for_a_person(stage: Stage, good: bool) -> None:
    """unhandled_failure: wait. Completed, the run goes on from there; failed once more, it ends."""
    run_id = "good" if good else "bad"
    stage("run", "stage.parked", "--detach", "--id", run_id)
    number = str(stage.awaits(run_id, "person")["execution_id"])
    assert stage.json("show", run_id)["status"] == "waiting"
    assert re.search(r"break.* waits for a person", stage("show", run_id).stdout)
    if good:
        stage("complete", number, '"a new key"')
        assert stage.json("result", run_id, "--timeout", "60")["output"] == {"got": "a new key"}
    else:
        stage("fail", number, "no locksmith", "--type", "NoSmith")
        assert stage.json("result", run_id, "--timeout", "60", code=1)["error"]["type"] == "NoSmith"
    assert stage("complete", number, code=8).stdout == ""


def test_a_question_of_a_nested_run(stage: Stage) -> None:
    """It is told, and answered, by the outermost run's id."""
    stage("run", "stage.outer", "--detach", "--id", "o")
    stage.awaits("o", "answer")
    stage("answer", "o", '{"n": 1}')
    inner = stage.awaits("o", "signal")["run_id"]
    assert f"dramaturg signal {inner} go" in stage("show", "o").stdout
    stage("signal", inner, "go")
    assert stage.json("result", "o", "--timeout", "60")["status"] == "succeeded"


def test_an_action_that_is_no_workflow_is_a_run(stage: Stage) -> None:
    """Of one task; its result is the run's output."""
    record = stage.json("run", "core.echo", "-p", "message=hi", "--id", "e", "--timeout", "60")
    assert (record["ref"], record["status"], record["output"]) == (
        "core.echo",
        "succeeded",
        {"message": "hi"},
    )
    assert "✓ echo" in stage("show", "e").stdout
    assert "message" in stage("run", "core.echo", "-p", "mesage=hi", code=2).stderr
    failed = stage.json("run", "core.fail", "-p", "message=no", "--timeout", "60", code=1)
    assert failed["error"]["message"] == "no"


def test_what_is_said_without_a_worker_is_taken_up_later(alone: Stage) -> None:
    """It is recorded, and whoever said it is told what will take it up: the command that has started the run."""
    start = ("run", "stage.gate", "--id", "g", "--timeout")
    assert "dramaturg answer g ask" in alone(*start, "1", code=4).stderr
    done = alone("answer", "g", '{"n": 4}')
    assert "`dramaturg worker` will" in done.stderr
    assert "--id" in done.stderr
    alone("signal", "g", "go")
    done = alone(*start, "60", "-o", "json")
    assert json.loads(done.stdout)["output"] == {"n": 4, "said": None}


def test_a_person_is_asked_on_a_terminal(alone: Stage) -> None:
    """The question, a field at a time; a slip is told and asked again."""
    alone("run", "stage.gate", "--id", "g", "--timeout", "1", code=4)
    ours, theirs = pty.openpty()
    process = alone.begin("answer", "g", stdin=theirs, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    seen = ""
    for typed in ("two\n", "2\n"):
        seen = read_until(ours, "n (integer): ", seen)
        os.write(ours, typed.encode())
        seen = seen.replace("n (integer): ", "n: ")
    stdout, _ = process.communicate(timeout=30)
    os.close(ours)
    assert (process.returncode, stdout) == (0, "g: ask is answered\n")
    assert "How many?" in seen
    assert "must be a whole number" in seen


def read_until(terminal: int, wanted: str, seen: str) -> str:
    """Read what is shown until the wanted text is in it; return all of it."""
    deadline = time.monotonic() + 30
    while wanted not in seen:
        assert time.monotonic() < deadline, seen
        seen += os.read(terminal, 4096).decode()
    return seen
