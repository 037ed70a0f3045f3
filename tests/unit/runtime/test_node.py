"""`runtime: node`: the contract of process actions, with whatever `node` is on the PATH.

Everywhere a stand-in is run, which does in Python what the script says in JavaScript; where there is a real Node.js, the
same tests run with that, too.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from dramaturg.engine.runtime import Beat

REAL = shutil.which("node")

STAND_IN = f"""#!{sys.executable} -I
import json, os, sys
script = os.path.basename(sys.argv[1])
if script == "tell.js":
    print(json.dumps([sys.argv[2:], os.getcwd(), json.loads(sys.stdin.read()), os.environ["DRAMATURG_TASK"]]))
elif script == "throw.mjs":
    sys.exit("Error: not today")
elif script == "beat.cjs":
    with open(os.environ["DRAMATURG_CONTROL_FILE"], "a") as file:
        file.write('{{"heartbeat": {{"row": 7}}}}\\n{{"pending": true}}\\n')
"""

SCRIPTS = {
    "tell.js": """
        const fs = require("fs");
        const {answer} = require("./helper.js");
        const given = JSON.parse(fs.readFileSync(0, "utf8"));
        console.log(JSON.stringify([process.argv.slice(answer), process.cwd(), given, process.env.DRAMATURG_TASK]));
    """,
    "helper.js": "exports.answer = 2;",
    "throw.mjs": "throw new Error('not today');",
    "beat.cjs": """
        const fs = require("fs");
        fs.appendFileSync(process.env.DRAMATURG_CONTROL_FILE, '{"heartbeat": {"row": 7}}\\n{"pending": true}\\n');
    """,
}


@pytest.fixture(params=["a stand-in", *(["the real one"] if REAL else [])])
def run(request, pack, tmp_path):
    """Run a script with a `node` that is found on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    if request.param == "a stand-in":
        (folder / "node").write_text(STAND_IN)
        (folder / "node").chmod(0o755)
    else:
        (folder / "node").symlink_to(REAL)
    for name, text in SCRIPTS.items():
        pack.write(name, text)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return lambda name, **given: pack.run(name, runtime="node", environment={"PATH": path}, **given)


def test_a_script_is_run_by_node(run, pack):
    """In actions/, with its parameters on stdin, its result as JSON."""
    given = {"a": [1, "ä"], "b": None}
    assert run("tell.js", input=given).result == [[], str(pack.actions_dir), given, "t1"]


def test_an_exception_is_a_failure(run):
    """With what node says of it."""
    outcome = run("throw.mjs")
    assert (outcome.status, outcome.error.type) == ("failed", "ExitCode")
    assert "not today" in outcome.error.details["stderr"]


def test_it_has_a_control_file(run):
    """As every process action."""
    heard: list[Beat] = []
    assert run("beat.cjs", on_beat=heard.append).status == "pending"
    assert heard == [Beat(heartbeat=True, details={"row": 7})]


@pytest.mark.parametrize("path", ["", "/no/such/folder"])
def test_a_worker_without_node_says_what_to_do(pack, path):
    """Trying again would not help: no retry is made of it."""
    pack.write("x.js", "")
    outcome = pack.run("x.js", runtime="node", environment={"PATH": path})
    assert (outcome.status, outcome.error.type) == ("failed", "UnknownAction")
    assert "no `node` on its PATH" in outcome.error.message
    assert "apt-get install nodejs" in outcome.error.message


def test_a_missing_script_is_a_failure(run, pack):
    """It is the script that is missing, not node."""
    error = run("nothing.js").error
    assert error.type == "FileNotFoundError"
    assert str(pack.actions_dir) in error.message
    assert not Path(pack.actions_dir / "nothing.js").exists()
