"""How many tasks a second the pure interpreter decides on, and whether that depends on how many there are.

    python bench/interpreter.py              # about a minute
    python bench/interpreter.py --rounds 5 -o json

What is measured, and how to read it: bench/README.md.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from figures import Benchmark, Figures, Report, medians, repeated, seconds

from dramaturg.engine.interpreter import memory as store
from dramaturg.engine.interpreter.advance import advance
from dramaturg.engine.interpreter.commands import Schedule
from dramaturg.engine.interpreter.memory import Answer, Execution, Memory
from dramaturg.engine.interpreter.rehearsal import workers
from dramaturg.engine.language.parser import parse_workflow
from dramaturg.engine.language.program import Program, compile_workflow

#: Tasks of a chain, items of a fan-out.
SIZES = (10, 100, 1000, 10_000)
#: Tasks that one measurement has at least, by repeating small runs.
LEAST = 2000


def chain(length: int) -> str:
    """Return a workflow of so many tasks, one after the other."""
    tasks = [
        f"  t{n}: {{action: b.do, next: [{{when: succeeded, do: t{n + 1}}}]}}" for n in range(length - 1)
    ]
    return "\n".join(["ref: b.chain", "tasks:", *tasks, f"  t{length - 1}: {{action: b.do}}"])


def fan_out(items: int) -> str:
    """Return a workflow of so many items, each with an input of its own."""
    return f"""
ref: b.fan_out
tasks:
  each:
    action: b.do
    with_items: "{{{{ range({items}) }}}}"
    input: {{number: "{{{{ item }}}}"}}
"""


SHAPES: dict[str, Callable[[int], str]] = {"chain": chain, "fan-out": fan_out}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One workflow, and every call of `advance` that a run of it takes."""

    shape: str
    size: int
    program: Program
    calls: Sequence[tuple[Any, ...]]

    @property
    def repeats(self) -> int:
        """Return how often one measurement plays it."""
        return max(1, LEAST // self.size)

    def rates(self) -> Figures:
        """Measure once: tasks a second with a store in memory around `advance`, and of `advance` by itself."""
        tasks = self.size * self.repeats
        stored = seconds(lambda: play(self.program), self.repeats)
        alone = seconds(lambda: decide(self.calls), self.repeats)
        return {
            f"{self.shape} of {self.size:,}, tasks/s": tasks / stored,
            f"{self.shape} of {self.size:,}, advance alone, tasks/s": tasks / alone,
        }


def case(shape: str, size: int) -> Case:
    """Compile a workflow and play it once."""
    program = compile_workflow(parse_workflow(SHAPES[shape](size)), "digest")
    calls: list[tuple[Any, ...]] = []

    def noted(program: Program, run: Any, view: dict[Any, Any], *more: Any) -> Any:
        # The store fills this view when it is asked for more; the call has what it had.
        calls.append((program, run, dict(view), *more))
        return advance(program, run, view, *more)

    with patch.object(store, "advance", noted):
        play(program)
    return Case(shape=shape, size=size, program=program, calls=calls)


def play(program: Program) -> None:
    """Play a run to its end: each task that may begin ends at once, and well."""
    memory = Memory(program, actions=workers("b.do"))
    ready: deque[Execution] = deque()
    seen = 0
    while memory.end is None:
        if not memory.inbox:
            memory.finish(ready.popleft(), Answer())
        memory.take()
        for made in memory.commands[seen:]:
            if isinstance(made, Schedule) and made.kind == "worker":
                ready.append(memory.executions[made.task, made.visit, made.item])
        seen = len(memory.commands)


def decide(calls: Sequence[tuple[Any, ...]]) -> None:
    """Make every decision of a run again."""
    for call in calls:
        advance(*call)


def measure(options: argparse.Namespace) -> Report:
    """Measure every size of every shape, in turn, and how flat that is."""
    cases = [case(shape, size) for shape in SHAPES for size in SIZES]

    def one_round() -> Figures:
        found: Figures = {}
        for one in cases:
            found |= one.rates()
        for shape in SHAPES:
            for what in ("tasks/s", "advance alone, tasks/s"):
                first, last = (f"{shape} of {size:,}, {what}" for size in (SIZES[0], SIZES[-1]))
                found[f"{shape}, {what}: {SIZES[-1]:,} over {SIZES[0]}"] = found[last] / found[first]
        return found

    rounds = repeated(options.rounds, one_round)
    title = f"the interpreter in memory, by processor time, medians of {len(rounds)}"
    return Report(title=title, figures=medians(rounds), setup=vars(options), rounds=rounds)


BENCHMARK = Benchmark(description=__doc__ or "", rounds=3, measure=measure)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
