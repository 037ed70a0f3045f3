"""Watching a run: the live tree on a terminal, a line a change elsewhere, when to wonder."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from dramaturg.cli import live
from dramaturg.cli.live import Follower, LiveView, PlainView, WaitingOver, view_for
from dramaturg.cli.output import Output, console_for
from dramaturg.cli.tree import Node
from dramaturg.engine.errors import Unreachable

NOW = datetime(2026, 3, 1, 12, 0, 10, tzinfo=UTC)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def output(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> Output:
    """Return an output whose stderr is the stream."""
    monkeypatch.setattr("sys.stderr", stream)
    return Output()


def node(task: str, status: str, *path: str, **more: Any) -> Node:
    """Return a visit."""
    return Node(row={"task": task, "visit": 1, "status": status, **more}, path=path)


def test_plain_view_writes_a_line_for_each_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has not changed is not told again; a nested task names those around it."""
    stream, clock = io.StringIO(), iter(range(100))
    view = PlainView(output(stream, monkeypatch), lambda: NOW, lambda: float(next(clock)))
    outer = Node(row=node("deploy", "running").row, children=(node("build", "running", "deploy"),))
    view.update((outer,), "")
    view.update((outer,), "")
    done = node("deploy", "failed", error={"type": "E", "message": "m"}, started_at="2026-03-01T12:00:00Z")
    view.close((done,))
    assert [line.partition("] ")[2] for line in stream.getvalue().splitlines()] == [
        "deploy: running",
        "deploy / build: running",
        "deploy: failed: E: m after 10.0s",
    ]


def test_plain_view_tells_of_a_fan_out_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of items are no thousands of lines; its end is told at once."""
    time = 0.0
    stream = io.StringIO()
    view = PlainView(output(stream, monkeypatch), lambda: NOW, lambda: time)

    def items(done: int) -> dict[str, Any]:
        return {"items": {"total": 1000, "running": 1, "succeeded": done}}

    for done in range(400):
        time = done / 100
        view.update((node("look", "running", **items(done)),), "")
    view.update((node("look", "succeeded", **items(1000)),), "")
    lines = [line.partition("] ")[2] for line in stream.getvalue().splitlines()]
    assert lines == [
        "look: running, 0/1000, 1 running",
        "look: running, 200/1000, 1 running",
        "look: succeeded, 1000/1000, 1 running",
    ]


def test_a_run_of_hours_has_some_dozens_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between the lines about a fan-out grow."""
    time = 0.0
    stream = io.StringIO()
    view = PlainView(output(stream, monkeypatch), lambda: NOW, lambda: time)
    for second in range(3 * 3600):
        time = float(second)
        view.update((node("look", "running", items={"total": 10**6, "succeeded": second}),), "")
    assert 30 < stream.getvalue().count("\n") < 100


def test_plain_view_says_a_remark_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at each look."""
    stream = io.StringIO()
    view = PlainView(output(stream, monkeypatch))
    for _ in range(3):
        view.update((), "is a worker running?")
    view.close(())
    assert stream.getvalue() == "is a worker running?\n"


def test_live_view_keeps_its_last_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """It draws over itself, shows the cursor again, and what is left is the last state."""
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    view = LiveView(output(stream, monkeypatch), lambda: NOW)
    view.update((node("build", "running", started_at="2026-03-01T12:00:08Z"),), "")
    view.update((node("build", "running", started_at="2026-03-01T12:00:08Z"),), "is a worker running?")
    view.close((node("build", "succeeded"),))
    text = stream.getvalue()
    assert "2.00s" in text
    assert "is a worker running?" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert text.splitlines()[-1].strip().endswith("build")


def test_live_view_never_draws_more_lines_than_the_terminal_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that scrolls can't be drawn over."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("LINES", "10")
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    view = LiveView(output(stream, monkeypatch), lambda: NOW)
    view.update(tuple(node(f"t{n}", "running") for n in range(200)), "remark")
    assert stream.getvalue().count("\n") < 10
    assert "more: 19" in stream.getvalue()
    view.close(())


@pytest.mark.parametrize(
    ("stream", "term", "fmt", "kind"),
    [
        (Terminal(), "xterm", "text", LiveView),
        (Terminal(), "xterm", "json", LiveView),
        (Terminal(), "xterm", "jsonl", PlainView),
        (Terminal(), "dumb", "text", PlainView),
        (io.StringIO(), "xterm", "text", PlainView),
    ],
)
def test_which_view(
    stream: io.StringIO, term: str, fmt: Any, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture only on a terminal that can be drawn over."""
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("sys.stderr", stream)
    assert isinstance(view_for(Output(fmt)), kind)


@pytest.mark.parametrize(
    ("stream", "no_color", "coloured"),
    [(Terminal(), "", True), (Terminal(), "1", False), (io.StringIO(), "", False)],
)
def test_colours(stream: io.StringIO, no_color: str, coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only on a terminal, and not where NO_COLOR is set."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", no_color)
    console = console_for(stream)
    console.print("x", style="bold red")
    assert ("\x1b[" in stream.getvalue()) is coloured
    assert console.is_terminal is stream.isatty()


class Watched:
    """A view that remembers."""

    def __init__(self) -> None:
        self.remarks: list[str] = []
        self.closed: list[tuple[Node, ...]] = []

    def update(self, nodes: tuple[Node, ...], remark: str, awaits: Any = ()) -> None:
        self.remarks.append(remark)

    def close(self, nodes: tuple[Node, ...], awaits: Any = ()) -> None:
        self.closed.append(nodes)


class Service:
    """A run that ends after some looks."""

    def __init__(self, looks: int, status: str = "requested") -> None:
        self.looks = looks
        self.rows = [{"task": "t", "visit": 1, "status": status}]
        self.gone = False
        self.waits: list[dict[str, Any]] = []

    def wait(self, run_id: str, timeout: float | None = None) -> dict[str, Any]:
        self.looks -= 1
        if self.looks < 0:
            return {"id": run_id}
        raise TimeoutError

    def tasks(self, run_id: str, *, items: bool = False) -> list[dict[str, Any]]:
        if self.gone:
            raise Unreachable("gone")
        return self.rows

    def awaits(self, run_id: str) -> list[dict[str, Any]]:
        return self.waits


@pytest.mark.parametrize(("status", "remark"), [("requested", "why?"), ("running", ""), ("waiting", "")])
def test_a_run_on_which_nobody_works_is_remarked_upon(
    status: str, remark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while without change; not while something runs or waits for its time."""
    monkeypatch.setattr(live, "QUIET", 0.0)
    view = Watched()
    Follower(Service(3, status), "r", view, idle_remark="why?").follow()
    assert view.remarks[-1] == remark
    assert len(view.closed) == 1


def signal(number: int, **more: Any) -> dict[str, Any]:
    """Return a wait as `Service.awaits` gives it."""
    known = {"kind": "signal", "name": "go", "task": "gate", "visit": 1, "execution_id": number}
    return {**known, "since": f"2026-03-01T12:00:0{number % 10}Z", "until": None, **more}


def test_plain_view_says_once_what_somebody_has_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to type; the task's own line would say the same; another attempt is another thing."""
    stream = io.StringIO()
    view = PlainView(output(stream, monkeypatch), lambda: NOW, lambda: 0.0, run_id="r 1")
    first = signal(1)
    waiting = Node(row=node("gate", "waiting").row, awaits=first)
    for awaits in ([first], [first], [first, signal(2, item=3, run_id="n")], []):
        view.update((waiting,), "", awaits)
    view.update((node("gate", "succeeded"),), "", [])
    view.close((node("gate", "succeeded"),), [signal(1, since="later")])
    assert [line.partition("] ")[2] for line in stream.getvalue().splitlines()] == [
        "gate waits for signal 'go' -> dramaturg signal 'r 1' go [JSON]",
        "gate, item 3 waits for signal 'go' -> dramaturg signal n go [JSON]",
        "gate: succeeded",
        "gate waits for signal 'go' -> dramaturg signal 'r 1' go [JSON]",
    ]


def test_plain_view_tells_of_progress_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a fan-out."""
    stream, time = io.StringIO(), 0.0
    view = PlainView(output(stream, monkeypatch), lambda: NOW, lambda: time)
    for done in range(400):
        time = done / 100
        view.update((node("look", "running", progress=done / 400, message=f"part {done}"),), "")
    view.update((node("look", "succeeded", progress=0.99),), "")
    lines = [line.partition("] ")[2] for line in stream.getvalue().splitlines()]
    assert lines == ["look: running, 0% part 0", "look: running, 50% part 200", "look: succeeded"]


def test_live_view_shows_what_to_type_below_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line each, of a few; in the last picture too, of a run that has not ended."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("LINES", "12")
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    view = LiveView(output(stream, monkeypatch), lambda: NOW, run_id="r")
    nodes = tuple(node(f"t{n}", "running") for n in range(200))
    view.update(nodes, "", [signal(0, item=0), *(signal(n, task=f"gate{n}") for n in range(1, 8))])
    text = stream.getvalue()
    assert text.count("\n") < 12
    assert "gate, item 0 waits for signal 'go' -> dramaturg signal r go [JSON]" in text
    assert "gate4 -> dramaturg signal r go [JSON]" in text
    assert "gate5" not in text
    assert "3 more -> dramaturg show r --awaits" in text
    view.close((node("gate", "waiting"),), [signal(1)])
    assert "  gate -> dramaturg signal r go [JSON]" in stream.getvalue().splitlines()[-1]


def test_whoever_is_asked_is_not_told_that_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a reason, and it is told."""
    monkeypatch.setattr(live, "QUIET", 0.0)
    service, view = Service(3, "failed"), Watched()
    service.waits = [signal(1, kind="person")]
    Follower(service, "r", view, idle_remark="why?").follow()
    assert set(view.remarks) == {""}


def test_a_busy_parent_is_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent of a nested run is running all the while."""
    monkeypatch.setattr(live, "QUIET", 0.0)
    service, view = Service(3), Watched()
    nested = {"task": "outer", "visit": 1, "status": "running", "run_id": "n"}
    service.tasks = lambda run_id, **_: [nested] if run_id == "r" else service.rows  # type: ignore[assignment]
    Follower(service, "r", view, idle_remark="why?").follow()
    assert view.remarks[-1] == "why?"


def test_waiting_ends_when_it_is_over() -> None:
    """The view is closed all the same."""
    view = Watched()
    with pytest.raises(WaitingOver):
        Follower(Service(10**6), "r", view).follow(timeout=0.0)
    assert len(view.closed) == 1


def test_a_database_that_is_gone_is_told_as_such() -> None:
    """The last picture is what was known; the error is the first one."""
    service, view = Service(10**6), Watched()

    class Gone(Unreachable):
        pass

    def wait(run_id: str, timeout: float | None = None) -> dict[str, Any]:
        if not view.remarks:
            raise TimeoutError
        service.gone = True
        raise Gone("gone")

    service.wait = wait  # type: ignore[method-assign]
    with pytest.raises(Gone):
        Follower(service, "r", view).follow()
    assert [n.name for n in view.closed[0]] == ["t"]


def test_a_terminal_that_speaks_no_utf8_gets_ascii() -> None:
    """Signs that can't be shown are replaced, not escaped."""
    from dramaturg.cli.output import glyphs_for

    ascii_stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert glyphs_for(Console(file=ascii_stream)) == "ascii"
    assert glyphs_for(Console(file=io.StringIO())) == "unicode"
