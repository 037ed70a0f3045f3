"""How a run is watched while it works: a live tree on a terminal, a line for each change anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from dramaturg.cli import awaiting, words
from dramaturg.cli.awaiting import Record
from dramaturg.cli.output import Output, glyphs_for
from dramaturg.cli.tree import Line, Node, Reads, TreeReader, draw, fit, notes, progress
from dramaturg.engine.errors import JSON, DramaturgError

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

#: Seconds between two looks at a run, at least and at most; a look may take a fifth of the time.
LOOK_AT_LEAST = 0.1
LOOK_AT_MOST = 2.0
LOOK_SHARE = 5
#: Seconds without any change, with nothing running, after which a person wants to know why.
QUIET = 5.0
#: Seconds between two lines about one fan-out, at least; and as a share of the time that has passed, so that a run of
#: hours has some dozens of lines.
FAN_OUT_EVERY = 2.0
FAN_OUT_SHARE = 0.1
#: Waits below the live tree that are told with what to type; more are counted.
HINTS = 5
#: Lines of the last picture, which stays on the screen.
LAST_PICTURE = 60


class View(Protocol):
    """Something that shows how a run is getting on."""

    def update(self, nodes: tuple[Node, ...], remark: str, awaits: Sequence[Record] = ()) -> None:
        """Show the run as it is now.

        Args:
            remark: something to tell below it, or empty.
            awaits: what somebody has to do something about.
        """

    def close(self, nodes: tuple[Node, ...], awaits: Sequence[Record] = ()) -> None:
        """Show the run for the last time."""


class LiveView:
    """A tree that is drawn over itself; the last picture stays."""

    def __init__(
        self, output: Output, now: Callable[[], datetime] | None = None, *, run_id: str = ""
    ) -> None:
        """Prepare to draw on stderr."""
        self._run_id = run_id
        self._console = output.err
        self._signs = glyphs_for(output.err)
        self._now = now or words.now
        self._live: Live | None = None

    def update(self, nodes: tuple[Node, ...], remark: str, awaits: Sequence[Record] = ()) -> None:
        """Draw the run as it is now, in no more lines than the terminal has."""
        from rich.live import Live

        if self._live is None:
            # Only stderr is ours: the answer's stream is left alone. What is logged meanwhile goes above the tree.
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                vertical_overflow="crop",
                redirect_stdout=False,
                transient=True,
            )
            self._live.start()
        below = self._hints(awaits)
        height = max(self._console.size.height - 2 - len(below), 3)
        picture = [*fit(self._lines(nodes), height), *below]
        if remark:
            picture.append(self._remark(remark))
        self._live.update(_joined(picture), refresh=True)

    def close(self, nodes: tuple[Node, ...], awaits: Sequence[Record] = ()) -> None:
        """Leave the last picture on the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        picture = [*fit(self._lines(nodes), LAST_PICTURE), *self._hints(awaits)]
        if picture:
            self._console.print(_joined(picture))

    def _lines(self, nodes: tuple[Node, ...]) -> list[Line]:
        return draw(nodes, self._now(), self._signs)

    def _hints(self, awaits: Sequence[Record]) -> list[Text]:
        """Return what to type, so that what waits goes on: a line each, of a few."""
        hints = [self._remark(self._hint(record)) for record in awaits[:HINTS]]
        if len(awaits) > HINTS:
            more = f"{len(awaits) - HINTS} more -> dramaturg show {self._run_id} --awaits"
            hints.append(self._remark(more))
        return hints

    def _hint(self, record: Record) -> str:
        if awaiting.is_item(record):
            return awaiting.sentence(record, self._run_id)
        return f"{awaiting.where(record)} -> {' | '.join(awaiting.commands(record, self._run_id))}"

    def _remark(self, remark: str) -> Text:
        from rich.text import Text

        return Text(f"  {remark}", style="yellow")


class PlainView:
    """A line on stderr for each change of a task: for files, pipes and logs of a build server."""

    def __init__(
        self,
        output: Output,
        now: Callable[[], datetime] | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        run_id: str = "",
    ) -> None:
        """Prepare to write to stderr."""
        self._run_id = run_id
        self._unsaid = awaiting.Unsaid()
        self._output = output
        self._now = now or words.now
        self._clock = clock
        self._begun = clock()
        self._told: dict[tuple[str, ...], object] = {}
        self._counted: dict[tuple[str, ...], float] = {}
        self._remark = ""

    def update(self, nodes: tuple[Node, ...], remark: str, awaits: Sequence[Record] = ()) -> None:
        """Write what has changed since the last time."""
        for top in nodes:
            for node in top.walk():
                self._tell(node)
        for record in self._unsaid.new(awaits):
            at = words.duration(self._clock() - self._begun)
            self._output.say(f"[{at:>7}] {awaiting.sentence(record, self._run_id)}")
        if remark != self._remark:
            self._remark = remark
            if remark:
                self._output.say(remark)

    def close(self, nodes: tuple[Node, ...], awaits: Sequence[Record] = ()) -> None:
        """Write what has changed since the last time."""
        self.update(nodes, "", awaits)

    def _tell(self, node: Node) -> None:
        key = (*node.path, node.name)
        state: object = (node.status, node.row.get("attempt"))
        items, share = node.row.get("items"), progress(node.row)
        known = self._told.get(key)
        if node.awaits is not None and node.awaits["kind"] != "person":
            # It is told with what to type.
            self._told[key] = state
            return
        if (items and node.status not in words.ENDED) or share is not None:
            state = (state, tuple(sorted((items or {}).items())), share, node.row.get("message"))
            pause = max(FAN_OUT_EVERY, FAN_OUT_SHARE * (self._clock() - self._begun))
            if known is not None and self._clock() - self._counted.get(key, 0.0) < pause:
                return
        if state == known:
            return
        self._told[key] = state
        self._counted[key] = self._clock()
        self._output.say(self._sentence(node))

    def _sentence(self, node: Node) -> str:
        now = self._now()
        at = words.duration(self._clock() - self._begun)
        told = notes(node, now)
        if node.status in ("running", "succeeded") or not told.startswith(words.spoken(node.status)):
            told = words.spoken(node.status) + (f", {told}" if told else "")
        took = words.seconds_between(node.row.get("started_at"), node.row.get("finished_at"), now)
        after = f" after {words.duration(took)}" if node.status in words.ENDED and took is not None else ""
        return f"[{at:>7}] {node.full_name}: {told}{after}"


class Awaits(Protocol):
    """What is needed of the service to say what a run waits for."""

    def awaits(self, run_id: str) -> list[dict[str, JSON]]:
        """Return a record for each thing that the run, or one nested in it, waits for."""


class Herald:
    """Says on stderr what somebody has to do for a run to go on, each thing once."""

    def __init__(self, service: Awaits, run_id: str, output: Output) -> None:
        """Prepare; nothing is said yet."""
        self._service = service
        self._run_id = run_id
        self._output = output
        self._unsaid = awaiting.Unsaid()
        self._next = 0.0

    def pause(self, seconds: float) -> None:
        """Say what is new, at most once in `LOOK_AT_MOST` seconds, and sleep."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LOOK_AT_MOST
            self.tell()
        time.sleep(seconds)

    def tell(self) -> None:
        """Say what is new."""
        for record in self._unsaid.new(awaiting.for_people(self._service.awaits(self._run_id))):
            self._output.say(awaiting.sentence(record, self._run_id))


class WaitingOver(Exception):
    """The time to wait has passed and the run has not ended."""


class Waits(Reads, Protocol):
    """What is needed of the service to follow a run."""

    def wait(self, run_id: str, timeout: float | None = None) -> dict[str, JSON]:
        """Return the run once it has ended, or raise TimeoutError."""


class Follower:
    """Waits for the end of a run and shows it meanwhile."""

    def __init__(self, service: Waits, run_id: str, view: View, *, idle_remark: str = "") -> None:
        """Prepare to follow.

        Args:
            idle_remark: what to say when nothing happens for a while.
        """
        self._service = service
        self._run_id = run_id
        self._view = view
        self._reader = TreeReader(service, run_id)
        self._idle_remark = idle_remark
        self._changed = time.monotonic()
        self._state: object = None
        self._nodes: tuple[Node, ...] = ()

    def follow(self, timeout: float | None = None) -> Mapping[str, JSON]:
        """Return the record of the run once it has ended.

        Raises:
            WaitingOver: it has not ended within `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = LOOK_AT_LEAST
        try:
            while True:
                left = None if deadline is None else deadline - time.monotonic()
                try:
                    return self._service.wait(
                        self._run_id, timeout=pause if left is None else min(pause, left)
                    )
                except TimeoutError:
                    if left is not None and left <= pause:
                        raise WaitingOver from None
                pause = self._look()
        finally:
            last = self._last()
            self._view.close(last, awaiting.for_people(self._reader.awaits))

    def _last(self) -> tuple[Node, ...]:
        """Read once more for the last picture; what was known stands in where the database does not answer."""
        try:
            return self._reader.read()
        except DramaturgError:
            return self._nodes

    def _look(self) -> float:
        """Show the run as it is; return the seconds until the next look."""
        begun = time.monotonic()
        self._nodes = nodes = self._reader.read()
        awaits = awaiting.for_people(self._reader.awaits)
        # Whoever is told that somebody has to do something needs no other reason why nothing happens.
        remark = self._remark(nodes, begun)
        self._view.update(nodes, "" if awaits else remark, awaits)
        took = time.monotonic() - begun
        return min(max(LOOK_AT_LEAST, LOOK_SHARE * took), LOOK_AT_MOST)

    def _remark(self, nodes: tuple[Node, ...], now: float) -> str:
        state = [(n.status, n.row.get("attempt"), n.row.get("items")) for top in nodes for n in top.walk()]
        if state != self._state:
            self._state, self._changed = state, now
        busy = any(_busy(node) for top in nodes for node in top.walk())
        return self._idle_remark if not busy and now - self._changed >= QUIET else ""


def view_for(output: Output, run_id: str = "") -> View:
    """Return the view that fits stderr; records that stream to stdout and a picture would get in each other's way."""
    if output.live and output.format != "jsonl":
        return LiveView(output, run_id=run_id)
    return PlainView(output, run_id=run_id)


def _busy(node: Node) -> bool:
    # Of what has parts, the parts tell whether something is going on.
    return (
        not node.children and not node.row.get("items") and node.status in ("running", "waiting", "scheduled")
    )


def _joined(lines: list[Text]) -> Text:
    from rich.text import Text

    return Text("\n", no_wrap=True, overflow="ellipsis").join(lines)
