"""Cases played by real workers: Dramatiq's threads in this process, a real clock, a real broker where there is one.

All of a backend's runs are under way at once. An attempt does what its case's script says; those whose order matters wait
for each other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from language.cases import Case
from language.in_memory import limit_of
from language.in_world import find, happen, has_come, outcome_of, timed_out

from dramaturg import Client, Worker
from dramaturg.engine.errors import Failure
from dramaturg.engine.runtime import ActionOutcome, ActionRequest, Stop
from dramaturg.engine.serve import Host

#: Seconds for anything that is waited for; what comes late is a fault.
PATIENCE = 60.0
#: Seconds between two looks.
LOOK = 0.01
#: Attempts that may run at once: each case may have some that only end when they are stopped.
THREADS = 48

OVER = ("succeeded", "failed", "timed_out", "cancelled", "skipped")


class Cast:
    """A client, and a worker whose actions do what the cases' scripts say."""

    def __init__(self, client: Client, cases: Sequence[Case]) -> None:
        self.client = client
        self.service = client.service
        self.cases = {case.pack: case for case in cases}
        #: What has not happened yet, by the pack of its case.
        self.left = {case.pack: list(case.events) for case in cases}

    @contextmanager
    def working(self) -> Iterator[None]:
        """Have the worker work."""
        make = self.service.host

        def host(**options: Any) -> Host:
            made = make(**options)
            made._run = self._run
            return made

        self.service.host = host  # type: ignore[method-assign]
        with Worker(self.client, threads=THREADS, queues=["default"]):
            yield

    def start(self) -> None:
        """Start every case's run, and let happen to them what comes from outside."""
        for case in self.cases.values():
            ref = f"{case.pack}.{case.start.removeprefix('t.')}"
            self.client.start(ref, dict(case.parameters), id=case.run_id)
        deadline = time.monotonic() + PATIENCE / 2
        while self._happen() and time.monotonic() < deadline:
            time.sleep(LOOK)

    def _happen(self) -> bool:
        """Let what can happen now happen, for each case in its order; say whether something is left."""
        for case in self.cases.values():
            left = self.left[case.pack]
            while left and has_come(self.service, case.run_id, left[0]):
                key = happen(self.service, case.run_id, left[0])
                if key is not None:
                    self.client.courier.tell(key)
                del left[0]
        return any(self.left.values())

    # -- attempts ------------------------------------------------------------------------------------------

    def _run(self, request: ActionRequest, stop: Stop) -> ActionOutcome:
        case = self.cases[request.pack]
        act = case.script.act(request.task, request.visit, request.item, request.attempt)
        if case.ends:
            self._wait_for_turn(case, request)
        if act.takes:
            # Whoever does something while it runs comes in time.
            until(lambda: not any(event.state == "runs" for event in self.left[case.pack]))
        if act.status == "hangs" or act.takes:
            seconds, kind = limit_of(act, request.timeout, request.heartbeat_timeout)
            if stop.wait(min(seconds, PATIENCE)):
                error = Failure(type="Cancelled", message="it was cancelled")
                return ActionOutcome(status="cancelled", error=error)
            if kind:
                return timed_out(seconds, kind)
        outcome = outcome_of(act, request)
        assert outcome is not None, "a worker that dies takes the test with it"
        return outcome

    def _wait_for_turn(self, case: Case, request: ActionRequest) -> None:
        """Wait until what is to end before this attempt has ended, and until all that may run does."""
        place = f"[{request.item}]" if request.item >= 0 else ""
        names = (f"{request.task}{place}", request.task)
        rank = next((case.ends.index(name) for name in names if name in case.ends), -1)
        before = case.ends[:rank] if rank > 0 else ()
        until(lambda: all(self._is_over(case, name) for name in before) and not self._requested(case))

    def _is_over(self, case: Case, place: str) -> bool:
        one = find(self.service, case.run_id, place)
        return one is not None and one["status"] in OVER

    def _requested(self, case: Case) -> bool:
        return any(
            one["status"] == "requested"
            or any(row["status"] == "requested" for row in one.get("items_list") or ())
            for one in self.service.tasks(case.run_id, items=True)
        )


def until(condition: Any) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(LOOK)
