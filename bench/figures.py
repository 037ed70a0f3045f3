"""What the benchmarks share: a report and how it is printed, the clock of pure computing, medians."""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

#: One round: figures by name.
Figures = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one benchmark has measured."""

    #: What, and with which settings; one line.
    title: str
    #: Medians over the rounds; a ratio is taken within a round.
    figures: Figures
    setup: dict[str, Any] = field(default_factory=dict)
    #: Every round, as it was measured.
    rounds: Sequence[Any] = ()


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One benchmark: its own options, and what it measures."""

    description: str
    #: How often everything is measured where nothing else is said.
    rounds: int
    measure: Callable[[argparse.Namespace], Report]
    add_options: Callable[[argparse.ArgumentParser], None] = lambda parser: None

    def parser(self) -> argparse.ArgumentParser:
        """Return the parser of its command line."""
        parser = argparse.ArgumentParser(description=self.description.partition("\n")[0])
        parser.add_argument(
            "--rounds", type=int, default=self.rounds, help="how often all is measured; medians are told"
        )
        parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
        self.add_options(parser)
        return parser

    def main(self, words: Sequence[str] | None = None) -> int:
        """Measure and print."""
        options = self.parser().parse_args(words)
        show({"": self.measure(options)}, options.output)
        return 0


def show(reports: dict[str, Report], output: str) -> None:
    """Print reports by the name of their benchmark, as text or JSON; a single one without a name stands alone."""
    if output == "json":
        written = {name: asdict(report) for name, report in reports.items()}
        print(json.dumps(written.get("", written), indent=2, default=str))
        return
    for number, (name, report) in enumerate(reports.items()):
        print(("\n" if number else "") + (f"{name}: " if name else "") + report.title)
        width = max(map(len, report.figures), default=0) + 2
        for label, figure in report.figures.items():
            print(f"  {label:<{width}}{figure:>12,.{_places(figure)}f}")


def _places(figure: float) -> int:
    return 0 if figure >= 100 else 2 if figure >= 0.1 else 4


def seconds(action: Callable[[], object], times: int = 1) -> float:
    """Return the processor time of this thread that a computation takes, made so often: what else runs is left out."""
    gc.collect()
    begun = time.thread_time()
    for _ in range(times):
        action()
    return time.thread_time() - begun


def repeated(count: int, measure: Callable[[], Figures]) -> list[Figures]:
    """Measure so many rounds, and say on stderr how far it is."""
    rounds = []
    for number in range(count):
        rounds.append(measure())
        print(f"round {number + 1} of {count}", file=sys.stderr)
    return rounds


def medians(rounds: Sequence[Figures]) -> Figures:
    """Return the median of each figure over the rounds."""
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
