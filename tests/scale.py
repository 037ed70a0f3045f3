"""Runs of one shape and several sizes, in a process of their own that tells what they took.

    python tests/scale.py sqlite:///some.db s.chain_10 s.chain_1000

It prints, as JSON and for each run in turn: its output, what `verify` finds, the transactions that the engine made by
the names of their statements, and the most memory that the process had taken by then.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from dramaturg import Client, Worker
from dramaturg.engine.config import Settings

#: Seconds after which a run that has not ended is given up.
PATIENCE = 120.0
#: How a transaction begins that is of interest here; the clock's and the client's own are not.
BEGINNINGS = ("lock", "claim")
#: A look that found nothing to do.
NOTHING = ("lock", "inputs", "COMMIT")


class Transactions:
    """Counts transactions by the names of their statements; to be called with each name."""

    def __init__(self) -> None:
        self.counted: Counter[tuple[str, ...]] = Counter()
        self._open: dict[int, list[str]] = {}
        self._lock = threading.Lock()

    def __call__(self, name: str) -> None:
        with self._lock:
            names = self._open.setdefault(threading.get_ident(), [])
            if not names and name not in BEGINNINGS:
                return
            names.append(name)
            if name in ("COMMIT", "ROLLBACK"):
                self.counted[tuple(names)] += 1
                names.clear()


def peak() -> int:
    """Return the most bytes of memory that this process has taken so far."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Not `ru_maxrss`, which on Linux begins with what the process had that started this one.
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    assert found is not None
    return int(found[1]) * 1024


def measure(client: Client, ref: str) -> dict[str, Any]:
    """Make one run and tell what it took."""
    transactions = Transactions()
    client.service.database.on_statement = transactions
    run = client.start(ref)
    output = run.result(timeout=PATIENCE)
    client.service.database.on_statement = None
    most = peak()
    del transactions.counted[NOTHING]
    return {
        "output": output,
        "peak": most,
        "transactions": [[list(names), count] for names, count in transactions.counted.items()],
        "problems": client.service.verify(run.id),
    }


def main(url: str, *refs: str) -> None:
    """Make the runs, smallest first."""
    with Client(Settings(database_url=url)) as client, Worker(client, threads=2):
        print(json.dumps([measure(client, ref) for ref in refs]))


if __name__ == "__main__":
    main(*sys.argv[1:])
