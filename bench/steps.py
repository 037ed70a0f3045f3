"""How many steps a second an embedded run makes, against what the same disk and driver do without us.

    python bench/steps.py                    # about half a minute
    python bench/steps.py --synchronous FULL --rounds 5 -o json

What is measured, and how to read it: bench/README.md.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import count
from pathlib import Path

from figures import Benchmark, Report

from dramaturg import Client, Worker
from dramaturg.engine.config import Settings

#: Tasks of the workflow that is measured.
CHAIN = 10
#: Seconds that a measurement of raw commits takes; a round has three of them.
RAW_SECONDS = 0.7
#: Seconds after which a run that has not ended is given up.
PATIENCE = 120.0
#: Bytes of a row of the raw commits: about what a step writes.
ROW = "x" * 300


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One round: raw commits before, between and after the workloads."""

    #: One-row commits a second, each time that they were measured.
    raws: tuple[float, ...]
    #: W1: steps a second, from the first start to the last end.
    steps: float
    #: W3: seconds a step, of each run.
    latencies: tuple[float, ...]

    @property
    def raw(self) -> float:
        """Return the commits a second that the workloads are compared with."""
        return statistics.median(self.raws)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what only this benchmark has."""
    parser.add_argument("--runs", type=int, default=200, help="W1: runs that are started at once")
    parser.add_argument("--alone", type=int, default=50, help="W3: runs that are made one after the other")
    parser.add_argument("--threads", type=int, default=4, help="worker threads")
    parser.add_argument("--synchronous", choices=["NORMAL", "FULL"], default="NORMAL")
    parser.add_argument("--no-eager", action="store_true", help="each step by a message of its own")
    parser.add_argument("--folder", type=Path, help="where the databases are made: on the disk that is meant")


def measure(options: argparse.Namespace) -> Report:
    """Measure every round with a database of its own."""
    settings = {"sqlite_synchronous": options.synchronous, "eager": not options.no_eager}
    rounds = []
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="dramaturg-bench-", dir=options.folder) as folder:
            rounds.append(one_round(Path(folder), settings, options.threads, options.runs, options.alone))
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    return report(rounds, options)


def one_round(folder: Path, settings: dict[str, object], threads: int, runs: int, alone: int) -> Measured:
    """Measure one round in an empty folder."""
    numbers = count()

    def raw() -> float:
        return raw_commits(folder / f"raw{next(numbers)}.db", str(settings["sqlite_synchronous"]))

    with serving(folder, settings, threads) as client:
        run_one(client)  # what is compiled and loaded once is not a step's cost
        raws = [raw()]
        steps = many_at_once(client, runs)
        raws.append(raw())
        latencies = tuple(run_one(client) / CHAIN for _ in range(alone))
        raws.append(raw())
    return Measured(raws=tuple(raws), steps=steps, latencies=latencies)


@contextmanager
def serving(folder: Path, settings: dict[str, object], threads: int) -> Iterator[Client]:
    """Give a client of a new embedded database that this process serves."""
    pack = folder / "packs" / "bench"
    (pack / "workflows").mkdir(parents=True)
    (pack / "pack.yaml").write_text("ref: bench\nlabel: Benchmarks\n")
    (pack / "workflows" / "chain.yaml").write_text(chain())
    url = f"sqlite:///{folder / 'dramaturg.db'}"
    with (
        Client(Settings(database_url=url, packs=(folder / "packs",), **settings)) as client,  # type: ignore[arg-type]
        Worker(client, threads=threads),
    ):
        yield client


def chain() -> str:
    """Return a workflow of no-op tasks, each after the one before."""
    lines = ["ref: bench.chain", "tasks:"]
    for number in range(CHAIN):
        lines += [f"  - name: t{number}", "    action: core.noop"]
        if number + 1 < CHAIN:
            lines += ["    next:", "      - when: succeeded", f"        do: t{number + 1}"]
    return "\n".join(lines) + "\n"


def many_at_once(client: Client, runs: int) -> float:
    """W1: start many runs; return the steps a second, from the first start to the last end."""
    handles = [client.start("bench.chain") for _ in range(runs)]
    for handle in handles:
        handle.result(timeout=PATIENCE)
    records = [handle.describe() for handle in handles]
    begun = min(moment(record["created_at"]) for record in records)
    ended = max(moment(record["finished_at"]) for record in records)
    return runs * CHAIN / (ended - begun)


def run_one(client: Client) -> float:
    """W3: make one run with nothing else going on; return the seconds from its start to its end."""
    handle = client.start("bench.chain")
    handle.result(timeout=PATIENCE)
    record = handle.describe()
    return moment(record["finished_at"]) - moment(record["created_at"])


def moment(text: object) -> float:
    """Return a time of a record in seconds."""
    return datetime.fromisoformat(str(text)).timestamp()


def raw_commits(file: Path, synchronous: str) -> float:
    """Return how many one-row transactions a second the disk takes, by the driver alone, in one thread."""
    connection = sqlite3.connect(file, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("CREATE TABLE step (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
        begun = time.perf_counter()
        commits = 0
        while (took := time.perf_counter() - begun) < RAW_SECONDS:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO step (body) VALUES (?)", (ROW,))
            connection.execute("COMMIT")
            commits += 1
        return commits / took
    finally:
        connection.close()


def report(rounds: Sequence[Measured], options: argparse.Namespace) -> Report:
    """Tell the medians of the rounds; ratios are taken within a round, where the disk was the same."""
    raws = [x for r in rounds for x in r.raws]
    eager = "off" if options.no_eager else "on"
    return Report(
        title=f"SQLite {sqlite3.sqlite_version}, synchronous={options.synchronous}, eager {eager},"
        f" {options.threads} threads, {options.runs} runs of {CHAIN} steps, {options.alone} runs alone,"
        f" medians of {len(rounds)}",
        figures={
            "raw one-row commits/s": median(rounds, lambda r: r.raw),
            "raw, fastest over slowest": max(raws) / min(raws),
            "W1 steps/s": median(rounds, lambda r: r.steps),
            "W1 steps per raw commit": median(rounds, lambda r: r.steps / r.raw),
            "W3 ms/step p50": median(rounds, lambda r: 1000 * quantile(r.latencies, 0.5)),
            "W3 ms/step p99": median(rounds, lambda r: 1000 * quantile(r.latencies, 0.99)),
            "W3 p50 in raw commits": median(rounds, lambda r: quantile(r.latencies, 0.5) * r.raw),
        },
        setup=vars(options),
        rounds=[asdict(one) for one in rounds],
    )


def median(rounds: Sequence[Measured], figure: Callable[[Measured], float]) -> float:
    """Return the median of a figure over the rounds."""
    return statistics.median(figure(one) for one in rounds)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


BENCHMARK = Benchmark(description=__doc__ or "", rounds=3, measure=measure, add_options=add_options)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
