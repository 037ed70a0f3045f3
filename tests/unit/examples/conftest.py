"""Ways to call the actions of packs/examples directly, without an engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dramaturg.engine.runtime.modules import find_function

ACTIONS = Path(__file__).parents[3] / "packs" / "examples" / "actions"

Script = Callable[..., "subprocess.CompletedProcess[str]"]
Function = Callable[..., Any]


@pytest.fixture(scope="session")
def script() -> Script:
    """Run a process action's script with parameters on stdin, as a worker does it: ``script("build.py", seconds=0)``."""

    def run(name: str, *, attempt: int = 1, **parameters: Any) -> subprocess.CompletedProcess[str]:
        variables = {
            "DRAMATURG_RUN_ID": "run/1",
            "DRAMATURG_ATTEMPT": str(attempt),
            "PATH": os.environ["PATH"],
            "PYTHONWARNINGS": "always",  # whatever this Python tells by itself
        }
        return subprocess.run(
            [sys.executable, "-u", "-X", "utf8", str(ACTIONS / name)],
            cwd=ACTIONS,
            env=variables,
            input=json.dumps(parameters),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def function() -> Callable[[str], Function]:
    """Find an in-process action's function, as a worker does it: ``function("census:locate")``."""
    return lambda entry_point: find_function(entry_point, ACTIONS)
