"""packs/examples, the actions that stand for work."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

Script = Callable[..., "subprocess.CompletedProcess[str]"]


def test_work_says_what_was_done(function: Callable[[str], Callable[..., Any]]) -> None:
    """It takes at least the time that it is given."""
    begun = time.monotonic()
    assert function("work:work")(name="lint", seconds=0.02) == {"name": "lint", "seconds": 0.02}
    assert time.monotonic() - begun >= 0.02


def test_work_can_fail(function: Callable[[str], Callable[..., Any]]) -> None:
    """With the message that it is given."""
    with pytest.raises(Exception, match="no good") as raised:
        function("work:work")(name="check", fail_with="no good")
    assert type(raised.value).__name__ == "WorkFailed"


@pytest.mark.parametrize(("attempt", "failing", "code"), [(1, 0, 0), (1, 1, 1), (2, 2, 1), (3, 2, 0)])
def test_a_build_fails_by_the_number_of_its_attempt(
    script: Script, attempt: int, failing: int, code: int
) -> None:
    """And by nothing else, so that every run goes the same way."""
    done = script("build.py", attempt=attempt, seconds=0, failing_attempts=failing)
    assert done.returncode == code
    if code:
        assert (done.stdout, done.stderr) == ("", f"attempt {attempt}: the linker was killed\n")
    else:
        assert json.loads(done.stdout) == {"artefact": "app-1.0.tar.gz", "attempt": attempt}


def test_stalling_answers_in_the_end(script: Script) -> None:
    """If nobody ends it."""
    assert json.loads(script("stall.py", seconds=0).stdout) == {"answer": "an answer that took 0 seconds"}
