"""A pack in a temporary folder, and attempts of its actions."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from dramaturg.engine.language.model import ActionDef
from dramaturg.engine.runtime import ActionOutcome, ActionRequest, Stop, run_action


class Pack:
    """Scripts of one pack; `run` makes an attempt of an action."""

    def __init__(self, folder: Path) -> None:
        self.actions_dir = folder / "actions"
        self.actions_dir.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, text: str) -> Path:
        file = self.actions_dir / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(dedent(text).lstrip("\n").encode())
        return file

    def request(self, entry_point: str, **given: Any) -> ActionRequest:
        runtime = given.pop("runtime", None) or ("shell" if entry_point.endswith(".sh") else "python")
        names = ("parameter_delivery", "parameter_format", "output_format", "output")
        action = {name: given.pop(name) for name in names if name in given}
        if runtime == "shell":
            action.setdefault("output_format", "text")
        return ActionRequest(
            action=ActionDef(ref="p.act", runtime=runtime, entry_point=entry_point, **action),
            actions_dir=given.pop("actions_dir", self.actions_dir),
            pack="p",
            execution_id=7,
            run_id="run-1",
            task="t1",
            visit=2,
            attempt=3,
            **{"grace": 2.0, **given},
        )

    def run(self, entry_point: str, stop: Stop | None = None, **given: Any) -> ActionOutcome:
        return run_action(self.request(entry_point, **given), stop or Stop())

    def script(self, text: str, stop: Stop | None = None, **given: Any) -> ActionOutcome:
        """Write a Python script and run it."""
        self.write("script.py", text)
        return self.run("script.py", stop, **given)

    def shell(self, text: str, stop: Stop | None = None, **given: Any) -> ActionOutcome:
        """Write a shell script and run it."""
        self.write("script.sh", text)
        return self.run("script.sh", stop, **given)


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return Pack(tmp_path / "p")


@pytest.fixture
def new_pack(tmp_path: Path) -> Callable[[str], Pack]:
    return lambda name: Pack(tmp_path / name)


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition; fail at the deadline."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.005)


def alive(pid: int) -> bool:
    """Say whether a process runs; one that waits to be reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    try:
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def until() -> Callable[..., None]:
    return wait_until


@pytest.fixture
def is_alive() -> Callable[[int], bool]:
    return alive
