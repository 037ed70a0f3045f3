"""The command line against a service that is made up: what it prints, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dramaturg.cli.access import Access
from dramaturg.cli.app import App
from dramaturg.cli.main import cli
from dramaturg.engine.errors import NotFound

CREATED = "2026-03-01T12:00:00.000000Z"
STARTED = "2026-03-01T12:00:01.000000Z"
FINISHED = "2026-03-01T12:00:04.500000Z"


def record(run_id: str = "r-1", status: str = "succeeded", **more: Any) -> dict[str, Any]:
    """Return a run as `Service.describe` gives it."""
    ended = status in ("succeeded", "failed", "timed_out", "cancelled")
    known = {
        "id": run_id,
        "ref": "shop.order",
        "status": status,
        "output": {"total": 7} if ended else None,
        "error": None,
        "errors": [],
        "created_at": CREATED,
        "started_at": STARTED,
        "finished_at": FINISHED if ended else None,
    }
    return {**known, **more}


def visit(task: str, status: str = "succeeded", **more: Any) -> dict[str, Any]:
    """Return a visit as `Service.tasks` gives it."""
    known = {
        "task": task,
        "visit": 1,
        "status": status,
        "attempt": 1,
        "action": "core.echo",
        "execution_id": 1,
        "started_at": STARTED,
        "finished_at": FINISHED if status in ("succeeded", "failed", "timed_out", "cancelled") else None,
        "due_at": None,
        "error": None,
        "items": None,
        "run_id": None,
    }
    return {**known, **more}


#: What is on the pack path.
PACKS = (
    SimpleNamespace(
        ref="shop",
        label="Shop",
        version="2",
        path=Path("packs/shop"),
        tags=(),
        warnings=(),
        actions={
            "shop.price": SimpleNamespace(
                label="Price", description="Look it up.\nSlowly.", parameters={"article": {"type": "string"}}
            )
        },
        workflows={
            "shop.order": SimpleNamespace(
                label="Order",
                description="",
                parameters={"n": {"type": ["integer", "null"], "required": True, "default": 3}},
            )
        },
    ),
)


@dataclass
class FakeService:
    """Says what a test has told it to say, and remembers what it was asked."""

    known: dict[str, dict[str, Any]] = field(default_factory=dict)
    visits: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    chunks: list[dict[str, Any]] = field(default_factory=list)
    stored: list[dict[str, Any]] = field(default_factory=list)
    declared: dict[str, Any] | None = None
    findings: list[Any] = field(default_factory=list)
    #: What happens at each look at a run that is waited for, one after the other.
    script: list[Callable[[], None]] = field(default_factory=list)
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    error: Exception | BaseException | None = None
    waits: list[dict[str, Any]] = field(default_factory=list)
    #: What an answer, a signal and the like are told: raised, one after the other.
    refusals: list[Exception] = field(default_factory=list)
    alive: list[str] = field(default_factory=lambda: ["host:1:abc"])

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error

    def register(self, paths: Sequence[Path] | None = None, file: Path | None = None) -> Any:
        self._fail()
        self.asked.append(("register", paths, file))
        return SimpleNamespace(packs=("shop",), new=("shop.order",), removed=("shop.old",))

    def packs(self) -> list[dict[str, Any]]:
        return self.stored

    def pack(self, ref: str) -> dict[str, Any]:
        return {**self.stored[0], "contents": []}

    def actions(self, pack: str | None = None) -> list[dict[str, Any]]:
        return [{"ref": "shop.order", "parameters": self.declared}]

    def start(self, ref: str, parameters: dict[str, Any], *, id: str | None, if_exists: str) -> Any:
        self._fail()
        self.asked.append(("start", ref, parameters, id, if_exists))
        run_id = id or "r-1"
        created = run_id not in self.known
        if created:
            self.known[run_id] = record(run_id, "running")
        return SimpleNamespace(run_id=run_id, key=1, created=created)

    def describe(self, run_id: str) -> dict[str, Any]:
        self._fail()
        if run_id not in self.known:
            raise NotFound(f"there is no run {run_id!r}")
        return self.known[run_id]

    def status(self, run_id: str) -> str:
        return str(self.describe(run_id)["status"])

    def runs(self, **query: Any) -> list[dict[str, Any]]:
        self.asked.append(("runs", query))
        hidden = ("output", "errors")
        return [{k: v for k, v in r.items() if k not in hidden} for r in self.known.values()]

    def tasks(self, run_id: str, *, items: bool = False) -> list[dict[str, Any]]:
        self.asked.append(("tasks", run_id))
        return self.visits.get(run_id, [])

    def history(self, run_id: str, after: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
        return [e for e in self.events.get(run_id, []) if e["seq"] > after][:limit]

    def logs(self, run_id: str, task: str | None = None) -> list[dict[str, Any]]:
        return [c for c in self.chunks if task in (None, c["task"])]

    def cancel(self, target: str, *, by: str, reason: str) -> Any:
        status = self.status(target)
        asked = self.describe(target)["finished_at"] is None and not any(a[0] == "cancel" for a in self.asked)
        self.asked.append(("cancel", target, reason))
        return SimpleNamespace(target=target, status=status, asked=asked, key=1)

    def awaits(self, run_id: str) -> list[dict[str, Any]]:
        self.status(run_id)
        return self.waits

    def workers(self) -> list[str]:
        return self.alive

    def _say(self, *said: Any, new: bool = True) -> Any:
        self.asked.append(said)
        if self.refusals:
            raise self.refusals.pop(0)
        return SimpleNamespace(target=said[1], status="running", asked=new, key=1)

    def signal(self, run_id: str, name: str, payload: Any, *, by: str, key: str | None) -> Any:
        known = key is not None and any(a[0] == "signal" and a[5] == key for a in self.asked)
        return self._say("signal", run_id, name, payload, by, key, new=not known)

    def answer(self, run_id: str, task: str | None, value: Any, *, by: str) -> Any:
        return self._say("answer", run_id, task, value, by)

    def complete(self, target: str, result: Any, *, by: str) -> Any:
        return self._say("complete", target, result, by)

    def fail(self, target: str, message: str, *, type: str, details: Any, by: str) -> Any:
        return self._say("fail", target, message, type, details, by)

    def wait(
        self, run_id: str, timeout: float | None = None, *, look: Callable[[float], object] = lambda _: None
    ) -> dict[str, Any]:
        look(0.0)
        if self.script:
            self.script.pop(0)()
        described = self.describe(run_id)
        if described["finished_at"] is None:
            if timeout is None and self.script:
                return self.wait(run_id, look=look)
            assert timeout is not None, "this would wait for ever"
            raise TimeoutError
        return described

    def doctor(self) -> list[Any]:
        self._fail()
        return self.findings

    def ends(self, run_id: str, status: str = "succeeded", **more: Any) -> Callable[[], None]:
        """Return a step of a script: the run ends."""
        return lambda: self.known.update({run_id: record(run_id, status, **more)})


class FakeAccess(Access):
    """Access to a made-up service; there is no database."""

    def __init__(self, service: FakeService) -> None:
        super().__init__()
        self.fake = service
        self.served: list[str] = []
        self.is_embedded = True
        self.worked: dict[str, Any] = {}
        self.missing: Path | None = None
        self.broker_error: Exception | None = None
        self.tables: tuple[str | None, str] = ("0001", "0001")

    @property
    def embedded(self) -> bool:
        return self.is_embedded

    @property
    def registers(self) -> bool:
        return self.is_embedded

    @property
    def database(self) -> str:
        return "sqlite:////somewhere/dramaturg.db"

    @property
    def missing_file(self) -> Path | None:
        return self.missing

    @contextmanager
    def service(self, *, create: bool = False) -> Iterator[Any]:
        yield self.fake

    @contextmanager
    def serving(self, service: Any, started: Any) -> Iterator[None]:
        self.served.append(f"+{started.run_id}")
        try:
            yield
        finally:
            self.served.append(f"-{started.run_id}")

    def require_broker(self) -> None:
        if self.broker_error is not None:
            raise self.broker_error

    def tell_workers(self, run: int) -> None:
        self.served.append(f"!{run}")

    def work(self, *, queues: Sequence[str], processes: int, threads: int) -> int:
        self.worked = {"queues": queues, "processes": processes, "threads": threads}
        return 0

    def revisions(self) -> tuple[str | None, str]:
        return self.tables

    def upgrade(self) -> tuple[str | None, str]:
        return self.tables


@pytest.fixture
def pack() -> Any:
    """The pack that is on the pack path."""
    return PACKS[0]


@pytest.fixture
def service() -> FakeService:
    """A service that knows nothing yet."""
    return FakeService()


@pytest.fixture
def access(service: FakeService) -> FakeAccess:
    """Access to that service."""
    return FakeAccess(service)


@pytest.fixture
def invoke(access: FakeAccess, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command line: ``invoke("show", "r-1")``; streams are no terminals."""
    monkeypatch.delenv("DRAMATURG_DEBUG", raising=False)
    monkeypatch.setattr("dramaturg.cli.catalog.load", lambda access, paths=(): PACKS)

    def call(*arguments: str, **more: Any) -> Result:
        return CliRunner().invoke(cli, list(arguments), obj=App(access=access), **more)

    return call
