"""A machine of a test's own: a folder with a pack, a database, and `dramaturg` as processes that can be killed.

Whatever these processes start has the folder's path in its environment, so a look through ``/proc`` tells what still lives.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from actor_fakes import eventually

from dramaturg.engine.config import load_settings
from dramaturg.engine.service import Service

PROGRAM = [sys.executable, "-c", "from dramaturg.cli.main import main; main()"]
MARK = "FAULTS_FOLDER"


class Machine:
    """A folder, the settings of what runs in it, and its processes."""

    def __init__(self, folder: Path, pack: Mapping[str, str], **settings: str) -> None:
        """Write a pack, a text for each file name, and settings such as ``grace="1"``."""
        self.folder = folder
        for name, text in pack.items():
            file = folder / "packs" / "faults" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text))
        ours = {f"DRAMATURG_{name.upper()}": value for name, value in settings.items()}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DRAMATURG_")}
        self.environment = {
            **kept,
            "DRAMATURG_DATABASE_URL": f"sqlite:///{self.database_file}",
            "DRAMATURG_PACKS": str(folder / "packs"),
            "DRAMATURG_PASS_ENV": MARK,
            "PYTHONUNBUFFERED": "1",
            MARK: str(folder),
            **ours,
        }
        self._started: list[subprocess.Popen[str]] = []
        self._service: Service | None = None

    # -- processes -----------------------------------------------------------------------------------------

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `dramaturg`; what it says on stderr goes to a file, see `said`."""
        with (self.folder / f"stderr-{len(self._started)}").open("w") as errors:
            process = subprocess.Popen(
                [*PROGRAM, *arguments],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._started.append(process)
        return process

    def said(self, process: subprocess.Popen[str]) -> str:
        """Return what a process has written to stderr."""
        return (self.folder / f"stderr-{self._started.index(process)}").read_text()

    def run(self, *arguments: str, timeout: float = 60) -> tuple[int, str, str]:
        """Run `dramaturg` to its end; return exit code, stdout, stderr."""
        process = self.start(*arguments)
        return self.ended(process, timeout)

    def ended(self, process: subprocess.Popen[str], timeout: float = 60) -> tuple[int, str, str]:
        """Wait for a process to end; return exit code, stdout, stderr."""
        try:
            stdout, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end; it said: {self.said(process)}") from None
        return process.returncode, stdout, self.said(process)

    def alive(self) -> list[str]:
        """Return the processes that live and come from here, those of `start` and all that they have started."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and self._is_ours(entry):
                with contextlib.suppress(OSError):
                    words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                    found.append(f"{entry.name} {' '.join(words)}")
        return found

    def _is_ours(self, entry: Path) -> bool:
        try:
            marked = f"{MARK}={self.folder}".encode() in (entry / "environ").read_bytes().split(b"\0")
            return marked and (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def nothing_lives(self, seconds: float = 20.0) -> None:
        """Wait until nothing of here is left alive."""
        try:
            eventually(lambda: not self.alive(), seconds)
        except AssertionError:
            raise AssertionError(f"left alive: {self.alive()}") from None

    # -- the database --------------------------------------------------------------------------------------

    @property
    def service(self) -> Service:
        """Return this process's own view of the database; it serves nothing."""
        if self._service is None:
            given = {
                name: value
                for name in ("database_url", "broker_url")
                if (value := self.environment.get(f"DRAMATURG_{name.upper()}"))
            }
            self._service = Service.open(load_settings(packs=(self.folder / "packs",), **given), migrate=True)
        return self._service

    def ended_right(self, run_id: str) -> dict[str, Any]:
        """Check a run that has ended: history against tables, and each visit completed once; return its object."""
        record = self.service.describe(run_id)
        assert self.service.verify(run_id) == []
        for run in [run_id, *self.nested(run_id)]:
            events = self.service.history(run)
            ends = [(e["task"], e["visit"]) for e in events if e["type"] == "task_completed"]
            assert len(ends) == len(set(ends)), f"{run}: {ends}"
            assert [e["type"] for e in events].count("run_ended") == 1
        return record

    def nested(self, run_id: str) -> list[str]:
        """Return the ids of the runs nested in a run, all levels."""
        children = [str(task["run_id"]) for task in self.service.tasks(run_id) if task["run_id"]]
        return children + [deeper for child in children for deeper in self.nested(child)]

    def status(self, run_id: str) -> str | None:
        """Return a run's status; None: there is none yet."""
        found = [run["status"] for run in self.service.runs(limit=1000) if run["id"] == run_id]
        return str(found[0]) if found else None

    @property
    def database_file(self) -> Path:
        """Return the file of the SQLite database."""
        return self.folder / "dramaturg.db"

    def remove_database(self) -> None:
        """Begin anew without a database."""
        self.forget()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.database_file}{suffix}").unlink(missing_ok=True)

    def forget(self) -> None:
        """Let go of the database, which may be another one from now on."""
        if self._service is not None:
            self._service.close()
            self._service = None

    # -- the end -------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.forget()
        for line in self.alive():  # a test has failed: it says so by itself
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)
        for process in self._started:
            process.communicate()


def record_of(stdout: str) -> dict[str, Any]:
    """Return the object that `-o json` has printed."""
    record: dict[str, Any] = json.loads(stdout)
    return record
