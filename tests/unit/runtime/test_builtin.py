"""Pack core: what its actions do, and that its files say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import dramaturg.packs
from dramaturg.engine.interpreter.waits import ENGINE, WAITS
from dramaturg.engine.language.model import ActionDef
from dramaturg.engine.language.schema import ParameterSet
from dramaturg.engine.runtime import ActionOutcome, ActionRequest, LogChunk, Stop, run_action
from dramaturg.engine.runtime.builtin import BUILTINS

CORE = Path(dramaturg.packs.__file__).parent / "core"
DOCUMENTS = {
    file.stem: yaml.safe_load(file.read_text()) for file in sorted((CORE / "actions").glob("*.yaml"))
}


def run(name: str, stop: Stop | None = None, timeout: float | None = None, **given: object) -> ActionOutcome:
    """Run an action of pack core as the engine would: input checked, defaults applied."""
    document = DOCUMENTS[name]
    parameters = ParameterSet(document.get("parameters"))
    assert parameters.problems(given) == []
    fields = ("ref", "runtime", "entry_point", "parameters", "output", "output_format")
    request = ActionRequest(
        action=ActionDef(**{key: document[key] for key in fields if key in document}),
        actions_dir=CORE / "actions",
        pack="core",
        execution_id=1,
        run_id="r",
        task="t",
        input=parameters.with_defaults(given),
        timeout=timeout,
    )
    return run_action(request, stop or Stop())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_files_are_sound(name):
    """Each says what it is and declares what it takes; each is done by somebody."""
    document = DOCUMENTS[name]
    assert document["ref"] == f"core.{name}"
    assert document["runtime"] == "builtin"
    assert document["description"]
    assert ParameterSet.problems_of(document["parameters"]) == []
    assert ParameterSet.problems_of(document.get("output")) == []
    assert (document["ref"] in WAITS | ENGINE) != (document["entry_point"] in BUILTINS)


def test_every_builtin_has_a_file():
    """And the other way round."""
    assert {d["entry_point"] for d in DOCUMENTS.values()} == {
        *BUILTINS,
        *(ref.removeprefix("core.") for ref in WAITS | ENGINE),
    }


def test_echo():
    """Any value."""
    assert run("echo", message={"a": [1, None]}).result == {"message": {"a": [1, None]}}
    assert run("echo").result == {"message": None}


def test_noop():
    """An empty map."""
    assert run("noop") == ActionOutcome(status="succeeded", result={})


def test_fail():
    """The error as it was given."""
    outcome = run("fail", message="no stock", type="OutOfStock", details={"sku": 7})
    assert (outcome.status, outcome.result) == ("failed", None)
    assert outcome.error.to_json() == {"type": "OutOfStock", "message": "no stock", "details": {"sku": 7}}


def test_fail_without_anything():
    """Something readable."""
    assert run("fail").error.to_json() == {"type": "Failed", "message": "failed as asked"}


def test_log():
    """A line with its level."""
    outcome = run("log", message="half way", level="warning")
    assert outcome.result == {}
    assert outcome.logs == (LogChunk(stream="log", text="WARNING half way\n"),)
    assert run("log", message="x").logs[0].text == "INFO x\n"


def test_shell():
    """A text result; pipes and several lines are fine."""
    outcome = run("shell", command="x=$(echo a | tr a b)\necho $x; echo err >&2")
    assert outcome.result == {"stdout": "b\n", "stderr": "err\n", "exit_code": 0}


def test_shell_fails_with_its_exit_code():
    """Streams in the details, as for every text action."""
    error = run("shell", command="echo out; exit 9").error
    assert error.type == "ExitCode"
    assert error.details == {"stdout": "out\n", "stderr": "", "exit_code": 9}


def test_shell_surroundings(tmp_path, monkeypatch):
    """cwd and env; the command is in nobody's list of processes; stdin is empty; the rest is a process action's."""
    monkeypatch.setenv("AWS_SECRET", "s")
    command = 'pwd; echo "$A"; cat; echo "$DRAMATURG_TASK$AWS_SECRET"; tr "\\0" " " < /proc/$$/cmdline | grep -c pwd'
    lines = (
        run("shell", command=command, cwd=str(tmp_path), env={"A": "x y"})
        .error.details["stdout"]
        .splitlines()
    )
    assert lines == [str(tmp_path), "x y", "t", "0"]


def test_shell_runs_in_the_workers_folder(tmp_path, monkeypatch):
    """Where no cwd is given."""
    monkeypatch.chdir(tmp_path)
    assert run("shell", command="pwd").result["stdout"] == f"{tmp_path}\n"


def test_shell_leaves_no_file(tmp_path, monkeypatch):
    """The command may hold secrets."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    name = run("shell", command='echo "$0"').result["stdout"].strip()
    assert Path(name).parent.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_shell_has_a_timeout():
    """As every process."""
    assert run("shell", command="sleep 60", timeout=0.2).status == "timed_out"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"cwd": "/no/such/folder"}, "cwd: there is no folder '/no/such/folder'"),
        ({"env": {"A=B": "x"}}, "env: A=B:"),
    ],
)
def test_shell_refuses_surroundings_that_make_no_sense(given, words):
    """By name."""
    error = run("shell", command="true", **given).error
    assert error.type == "InvalidInput"
    assert words in error.message


def test_an_unknown_builtin_is_a_failure():
    """It names what there is."""
    request = ActionRequest(
        action=ActionDef(ref="core.dance", runtime="builtin", entry_point="dance"),
        actions_dir=None,
        pack="core",
        execution_id=1,
        run_id="r",
        task="t",
    )
    error = run_action(request, Stop()).error
    assert error.type == "UnknownAction"
    assert "echo, fail, http_request, log, noop, shell" in error.message
