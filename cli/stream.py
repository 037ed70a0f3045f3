"""The history of a run, record by record as it grows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Protocol, Self

from dramaturg.cli.output import Output
from dramaturg.engine.errors import JSON

#: Records read at a time, and seconds between two looks.
PAGE = 500
LOOK_EVERY = 0.2


class Remembers(Protocol):
    """What is needed of the service."""

    def history(self, run_id: str, after: int = 0, limit: int | None = None) -> list[dict[str, JSON]]:
        """Return records with a `seq` above `after`, in order."""


class HistoryReader:
    """Reads what is new in a history."""

    def __init__(self, service: Remembers, run_id: str) -> None:
        """Begin before the first record."""
        self._service = service
        self._run_id = run_id
        self._after = 0

    def new(self) -> Iterator[dict[str, JSON]]:
        """Give the records that have come since the last time."""
        while True:
            page = self._service.history(self._run_id, self._after, PAGE)
            for record in page:
                self._after = int(record["seq"])
                yield record
            if len(page) < PAGE:
                return


class HistoryStream:
    """Prints records to stdout from a thread of its own while something else waits for the run."""

    def __init__(self, service: Remembers, run_id: str, output: Output) -> None:
        """Prepare; nothing is read yet."""
        self._reader = HistoryReader(service, run_id)
        self._output = output
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._print, name="history", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._failure is not None and kind is None:
            raise self._failure
        if kind is None:
            self._once()

    def _print(self) -> None:
        try:
            while not self._stop.wait(LOOK_EVERY):
                self._once()
        except Exception as error:  # told by the thread that waits
            self._failure = error

    def _once(self) -> None:
        for record in self._reader.new():
            self._output.json(record)


def follow(
    reader: HistoryReader, ended: Callable[[], bool], pause: Callable[[float], None]
) -> Iterator[dict[str, JSON]]:
    """Give the records of a run until it has ended and the last one was given."""
    while True:
        over = ended()
        yield from reader.new()
        if over:
            return
        pause(LOOK_EVERY)
