"""Process actions: the contract of LANGUAGE 2, as a script sees it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dramaturg.engine.runtime import ActionOutcome, LogChunk

ECHO = "import json, sys; print(json.dumps(json.load(sys.stdin)))"


def ok(outcome: ActionOutcome) -> object:
    assert outcome.status == "succeeded", outcome
    assert outcome.error is None
    return outcome.result


def test_parameters_arrive_on_stdin_as_json(pack):
    """They come as written: no argument, no variable, nothing lost."""
    given = {"a": [1, {"b": None}], "text": "ä\n\U0001f600 '\"$HOME", "n": 2**63 - 1}
    assert ok(pack.script(ECHO, input=given)) == given


def test_parameters_are_not_in_arguments_or_environment(pack):
    """What other users of the machine can see does not hold them."""
    script = """
        import json, os, sys
        with open("/proc/self/cmdline") as file:
            print(json.dumps([sys.argv[1:], "geheim" in file.read(), "geheim" in str(os.environ)]))
    """
    assert ok(pack.script(script, input={"password": "geheim"})) == [[], False, False]


def test_a_shell_reads_its_parameters_as_one_line(pack):
    """`read` succeeds, as the line has an end."""
    outcome = pack.shell('read -r line && echo "got $line"', input={"a": 1})
    assert ok(outcome) == {"stdout": 'got {"a":1}\n', "stderr": "", "exit_code": 0}


def test_parameters_in_a_file(pack):
    """The file is private, named in the environment, and gone afterwards; stdin is empty."""
    script = """
        import json, os, sys
        name = os.environ["DRAMATURG_PARAMETER_FILE"]
        with open(name) as file:
            print(json.dumps([name, oct(os.stat(name).st_mode & 0o777), json.load(file), sys.stdin.read()]))
    """
    name, mode, given, stdin = ok(pack.script(script, parameter_delivery="file", input={"a": 1}))
    assert (mode, given, stdin) == ("0o400", {"a": 1}, "")
    assert not Path(name).exists()


def test_the_parameter_file_of_a_failed_action_is_removed(pack):
    """Whatever happens."""
    script = 'import os, sys; sys.exit(os.environ["DRAMATURG_PARAMETER_FILE"])'
    outcome = pack.script(script, parameter_delivery="file")
    assert outcome.error.type == "ExitCode"
    assert not Path(outcome.error.details["stderr"].strip()).exists()


def test_the_environment_is_exactly_the_documented_one(pack, monkeypatch):
    """Nothing else of the worker's own gets through, its secrets least of all."""
    monkeypatch.setenv("DRAMATURG_SECRET_KEY", "k")
    monkeypatch.setenv("AWS_SECRET", "s")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    monkeypatch.setenv("LANG", "C.UTF-8")
    script = "import json; print(json.dumps(dict(l.split('=', 1) for l in open('/proc/self/environ').read().split('\\0') if l)))"
    found = ok(pack.script(script, environment={"PROXY": "p", "DRAMATURG_RUN_ID": "forged"}, item=4))
    assert found.pop("DRAMATURG_CONTROL_FILE").endswith("/control.jsonl")
    assert found == {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "LANG": "C.UTF-8",
        "TZ": "Europe/Berlin",
        "PROXY": "p",
        "DRAMATURG_EXECUTION_ID": "7",
        "DRAMATURG_RUN_ID": "run-1",
        "DRAMATURG_ACTION": "p.act",
        "DRAMATURG_PACK": "p",
        "DRAMATURG_TASK": "t1",
        "DRAMATURG_VISIT": "2",
        "DRAMATURG_ITEM": "4",
        "DRAMATURG_ATTEMPT": "3",
    }


def test_it_runs_in_actions_beside_its_helpers(pack):
    """The current folder is actions/, and modules there can be imported."""
    pack.write("helper.py", "answer = 42\n")
    script = "import helper, json, os; print(json.dumps([os.getcwd(), helper.answer]))"
    assert ok(pack.script(script)) == [str(pack.actions_dir), 42]


def test_it_leads_its_own_session_and_group(pack):
    """So that signals to it reach its children and nobody else."""
    script = "import json, os; print(json.dumps([os.getpid() == os.getpgrp() == os.getsid(0), os.getpgrp()]))"
    leads, group = ok(pack.script(script))
    assert leads
    assert group != os.getpgrp()


def test_the_shell_is_bash(pack):
    """Where there is one."""
    if os.path.exists("/bin/bash"):
        assert ok(pack.shell("[[ a == a* ]] && echo $((1+1))"))["stdout"] == "2\n"


def test_exit_codes_are_failures(pack):
    """With the code and the end of stderr."""
    outcome = pack.script("import sys; print('why', file=sys.stderr); sys.exit(3)")
    assert outcome.status == "failed"
    assert outcome.result is None
    assert (outcome.error.type, outcome.error.message) == ("ExitCode", "exited with 3: why")
    assert outcome.error.details == {"exit_code": 3, "stderr": "why\n"}
    assert outcome.logs == (LogChunk(stream="stderr", text="why\n"),)


def test_a_text_action_that_fails_keeps_its_result_in_the_error(pack):
    """stdout, stderr and exit_code are in the details."""
    outcome = pack.shell("echo out; echo err >&2; exit 4")
    assert outcome.error.details == {"stdout": "out\n", "stderr": "err\n", "exit_code": 4}


def test_death_by_signal_is_a_failure_that_names_it(pack):
    """There is no exit code then."""
    outcome = pack.script("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert (outcome.error.type, outcome.error.message) == ("ExitCode", "was ended by SIGSEGV")
    assert outcome.error.details == {"signal": "SIGSEGV", "stderr": ""}


def test_an_unnamed_signal_is_a_failure_too(pack):
    """Real-time signals have numbers only."""
    outcome = pack.script("import os; os.kill(os.getpid(), 40)")
    assert outcome.error.details["signal"] == "signal 40"


def test_only_the_end_of_a_long_stderr_is_in_the_failure(pack):
    """Even of one that is too long to be kept."""
    outcome = pack.script(
        "import sys\nfor n in range(20000): print('line', n, file=sys.stderr)\nsys.exit(1)", log_limit=1000
    )
    tail = outcome.error.details["stderr"]
    assert tail.endswith("line 19998\nline 19999\n")
    assert tail.startswith("line ")
    assert len(tail) <= 4096


@pytest.mark.parametrize("name", ["nothing.py", "", "."])
def test_a_missing_script_is_a_failure(pack, name):
    """It says which script, and where it was looked for."""
    outcome = pack.run(name)
    assert outcome.error.type == "FileNotFoundError"
    assert str(pack.actions_dir) in outcome.error.message


def test_a_worker_without_the_pack_says_so(pack):
    """A database may know packs that this worker has no files of."""
    outcome = pack.run("x.py", actions_dir=None)
    assert outcome.error.type == "FileNotFoundError"
    assert "no files of pack p" in outcome.error.message


def test_a_file_that_is_not_executable_runs(pack):
    """The interpreter reads it; permission to execute is not asked for."""
    pack.write("script.sh", "echo ran").chmod(0o444)
    assert ok(pack.run("script.sh"))["stdout"] == "ran\n"


def test_a_script_with_crlf_runs_in_python_and_fails_in_a_shell(pack):
    """The shell's own complaint is in the error."""
    pack.write("crlf.py", "print('1')\r\nprint()\r\n")
    assert ok(pack.run("crlf.py")) == 1
    outcome = pack.shell("exit 1\r\n")
    assert outcome.error.type == "ExitCode"


def test_a_parameter_format_of_a_script_with_an_empty_input(pack):
    """No parameters are an empty map, not an empty stdin."""
    assert ok(pack.script(ECHO)) == {}


def test_an_environment_that_can_not_be_passed_is_a_failure(pack):
    """Not an exception in the worker."""
    outcome = pack.script("pass", environment={"A": "x\0y"})
    assert (outcome.status, outcome.error.type) == ("failed", "ValueError")
