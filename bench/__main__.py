"""Every benchmark, one after the other.

    python bench                             # all of them, some minutes
    python bench interpreter expressions     # some of them
    python bench --rounds 1 -o json          # quick and rough, as JSON

Each can be run by itself with options of its own: python bench/steps.py --help.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import definitions
import expressions
import interpreter
import steps
from figures import Benchmark, Report, show

#: In the order in which they run.
BENCHMARKS: dict[str, Benchmark] = {
    "steps": steps.BENCHMARK,
    "interpreter": interpreter.BENCHMARK,
    "expressions": expressions.BENCHMARK,
    "definitions": definitions.BENCHMARK,
}


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print; with text as soon as each has ended."""
    parser = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="name", help=f"{', '.join(BENCHMARKS)}; all without one")
    parser.add_argument(
        "--rounds", type=int, help="how often all is measured; each benchmark has a number of its own"
    )
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    options = parser.parse_args(words)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    reports: dict[str, Report] = {}
    for name in options.names or BENCHMARKS:
        print(f"--- {name}", file=sys.stderr)
        own = ["--rounds", str(options.rounds)] if options.rounds else []
        reports[name] = BENCHMARKS[name].measure(BENCHMARKS[name].parser().parse_args(own))
        if options.output == "text":
            show({name: reports[name]}, "text")
    if options.output == "json":
        show(reports, "json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
