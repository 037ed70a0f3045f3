"""A world of runs under a test's control: real database, real step functions, messages in a list, scripted actions.

Nothing runs by itself. A test starts runs, delivers messages in whatever order it likes (or drops or doubles them), lets a
clock tick and moves the time. The actions' outcomes come from a script.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dramaturg.engine.config import Settings, load_settings
from dramaturg.engine.errors import Failure
from dramaturg.engine.runtime import ActionOutcome, ActionRequest, Stop
from dramaturg.engine.sends import Send
from dramaturg.engine.serve import Host
from dramaturg.engine.service import Service
from dramaturg.engine.store.times import SECOND

Script = Callable[[ActionRequest], ActionOutcome]


def succeeded(result: Any = None) -> ActionOutcome:
    """Return the outcome of an attempt that went well."""
    return ActionOutcome(status="succeeded", result=result)


def failed(type: str = "Boom", message: str = "it broke") -> ActionOutcome:
    """Return the outcome of an attempt that failed."""
    return ActionOutcome(status="failed", error=Failure(type=type, message=message))


def echo(request: ActionRequest) -> ActionOutcome:
    """Succeed with the input: the script that suits most tests."""
    return succeeded(dict(request.input))


class World:
    """One database, any number of hosts, and the messages between them."""

    def __init__(self, url: str, folder: Path, *, script: Script = echo, **settings: Any) -> None:
        self.settings: Settings = load_settings(
            database_url=url, broker_url="redis://unused", packs=(folder,), **settings
        )
        self.folder = folder
        self.script = script
        self.service = Service.open(self.settings, migrate=True)
        #: Messages that are under way, oldest first.
        self.messages: list[Send] = []
        #: Attempts that were made, in order: (task, visit, item, attempt).
        self.attempts: list[tuple[str, int, int, int]] = []
        #: Names of the statements that were run, in order; COMMIT is one.
        self.statements: list[str] = []
        self._ahead = 0
        self._hosts: list[Host] = []

    def close(self) -> None:
        """End the hosts and give the connections back."""
        for host in self._hosts:
            host.close()
        self.service.close()

    # -- definitions ---------------------------------------------------------------------------------------

    def write(self, **workflows: str) -> None:
        """Write workflows of the pack `t`, by name, and register them; `t.do` is an action that takes anything."""
        pack = self.folder / "t"
        (pack / "actions").mkdir(parents=True, exist_ok=True)
        (pack / "workflows").mkdir(exist_ok=True)
        (pack / "pack.yaml").write_text("ref: t\nversion: 1.0.0\n")
        (pack / "actions" / "do.yaml").write_text("ref: t.do\nruntime: python\nentry_point: do.py\n")
        (pack / "actions" / "do.py").write_text("print('null')\n")
        for name, text in workflows.items():
            (pack / "workflows" / f"{name}.yaml").write_text(textwrap.dedent(text))
        self.service.register()

    # -- hosts ---------------------------------------------------------------------------------------------

    def host(self, **options: Any) -> Host:
        """Return a worker process's engine whose messages go to `self.messages`."""
        host = self.service.host(in_process=False, **options)
        host._run = self._run
        host.send = self.messages.extend
        self._hosts.append(host)
        return host

    def _run(self, request: ActionRequest, stop: Stop) -> ActionOutcome:
        self.attempts.append((request.task, request.visit, request.item, request.attempt))
        return self.script(request)

    # -- time ----------------------------------------------------------------------------------------------

    def move(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self._ahead += int(seconds * SECOND)
        # The server of a test is on this machine: one clock.
        self.service.database.clock = lambda: time.time_ns() // 1000 + self._ahead

    # -- running -------------------------------------------------------------------------------------------

    def start(self, ref: str, parameters: dict[str, Any] | None = None, **options: Any) -> str:
        """Start a run and put its message under way."""
        started = self.service.start(ref, parameters, **options)
        self.messages.append(Send(kind="interpret", id=started.key))
        return started.run_id

    def deliver(self, host: Host, *, choose: Callable[[Sequence[Send]], int] = lambda _: 0) -> None:
        """Deliver messages until none is left."""
        while self.messages:
            self.hand(host, self.messages.pop(choose(self.messages)))

    @staticmethod
    def hand(host: Host, message: Send) -> None:
        """Hand one message to a host."""
        if message.kind == "task":
            host.serve_one(message.id)
        else:
            host.apply(message.id)

    def settle(self, host: Host, *, ticks: int = 200, step: float = 5.0) -> None:
        """Deliver, tick and move the time until no run is open."""
        for _ in range(ticks):
            self.deliver(host)
            if not self.service.runs(status="running", nested=True, limit=1) and not self.service.runs(
                status="requested", nested=True, limit=1
            ):
                self.verify()
                return
            host.renew()
            host.tick()
            if not self.messages:
                self.move(step)
        raise AssertionError(f"still open: {self.service.runs(nested=True)}")

    def verify(self) -> None:
        """Hold every history against the tables."""
        for run in self.service.runs(limit=1000):
            problems = self.service.verify(str(run["id"]))
            assert problems == [], problems

    @contextmanager
    def counting(self) -> Iterator[list[str]]:
        """Note the statements that are run meanwhile."""
        noted: list[str] = []
        self.service.database.on_statement = noted.append
        try:
            yield noted
        finally:
            self.service.database.on_statement = None
