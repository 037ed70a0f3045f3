"""How many expressions a second are evaluated, against Jinja's own sandbox with the same ones.

    python bench/expressions.py              # some seconds
    python bench/expressions.py --rounds 15 -o json

What is measured, and how to read it: bench/README.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from figures import Benchmark, Figures, Report, medians, repeated, seconds
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from dramaturg.engine.expressions.compile import Names, Template, compile_condition, compile_value

#: Evaluations and compilations that one measurement has.
EVALUATIONS, COMPILATIONS = 1000, 40

#: Usual conditions: how the task before ended, and with what.
CONDITIONS = (
    "succeeded()",
    "failed() and error().type == 'Timeout'",
    "result().count > 3 and result().ok",
    "task.build.result.status == 'green' or parameters.force",
)
#: Usual values: they keep the type of what they give.
VALUES = (
    "{{ parameters.files }}",
    "{{ workflow.count + 1 }}",
    "{{ result().note | default('none') }}",
    "{{ parameters.files | selectattr('size', 'gt', 1000) | map(attribute='name') | list }}",
    "{{ parameters.files | map(attribute='name') | join(', ') }}",
)
#: A usual text.
TEXTS = ("Dear {{ parameters.name }}, {{ workflow.count }} files are in {{ parameters.folder }}.",)

PARAMETERS = {
    "name": "Ada",
    "folder": "/tmp",
    "force": False,
    "files": [{"name": f"f{number}.txt", "size": number * 300} for number in range(10)],
}
VARIABLES = {"count": 7}
TASKS = {"build": {"status": "succeeded", "result": {"status": "green"}}}
RESULT = {"count": 5, "ok": True}
NAMES = Names(variables=frozenset(VARIABLES), tasks=frozenset(TASKS), outcome=True)


class PlainScope:
    """The data of above."""

    def name(self, root: str) -> Any:
        """Return the value of a root name."""
        return {"parameters": PARAMETERS, "workflow": VARIABLES, "task": TASKS}[root]

    def outcome(self) -> str:
        """Return how the task before ended."""
        return "succeeded"

    def result(self) -> Any:
        """Return its result."""
        return RESULT

    def error(self) -> None:
        """Return its error."""

    def now(self) -> str:
        """Return a time that nothing here asks for."""
        return "2026-01-01T00:00:00Z"

    def uuid(self) -> str:
        """Return an id that nothing here asks for."""
        return ""

    def random(self) -> float:
        """Return a number that nothing here asks for."""
        return 0.0


#: The same for Jinja.
CONTEXT = {
    "parameters": PARAMETERS,
    "workflow": VARIABLES,
    "task": TASKS,
    "succeeded": lambda: True,
    "failed": lambda: False,
    "result": lambda: RESULT,
    "error": lambda: None,
}
SANDBOX = SandboxedEnvironment(undefined=StrictUndefined)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One expression, compiled by both."""

    source: str
    ours: Callable[[], Any]
    jinjas: Callable[[], Any]

    def costs(self) -> tuple[float, float]:
        """Measure once: seconds of one evaluation, ours and Jinja's."""
        return seconds(self.ours, EVALUATIONS) / EVALUATIONS, seconds(self.jinjas, EVALUATIONS) / EVALUATIONS


def compile_ours(source: str) -> Template:
    """Compile by our own compiler: a condition where there are no braces."""
    if "{{" in source:
        return compile_value(source, "here", NAMES)
    template = compile_condition(source, "here", NAMES)
    assert template is not None
    return template


def compile_jinjas(source: str) -> Callable[[], Any]:
    """Compile by Jinja's: an expression where a value comes out, a template where a text does."""
    if source in TEXTS:
        template = SANDBOX.from_string(source)
        return lambda: template.render(CONTEXT)
    expression = source.strip().removeprefix("{{").removesuffix("}}")
    made = SANDBOX.compile_expression(expression, undefined_to_none=False)
    return lambda: made(CONTEXT)


def case(source: str) -> Case:
    """Compile an expression by both, and see that they agree."""
    template, scope = compile_ours(source), PlainScope()
    render = template.render if "{{" in source else template.test
    one = Case(source=source, ours=lambda: render(scope), jinjas=compile_jinjas(source))
    if one.ours() != one.jinjas():
        raise AssertionError(f"{source}: {one.ours()!r} is not Jinja's {one.jinjas()!r}")
    return one


def compilation(sources: Sequence[str]) -> Figures:
    """Measure once what compiling them takes."""
    ours, jinjas = _compiling(compile_ours, sources), _compiling(compile_jinjas, sources)
    return {
        "compilation, µs": 1e6 * ours,
        "compilation, Jinja's, µs": 1e6 * jinjas,
        "compilation, Jinja's time over ours": jinjas / ours,
    }


def _compiling(compile_one: Callable[[str], Any], sources: Sequence[str]) -> float:
    """Return the seconds of one compilation; no text is compiled twice, so that nothing is remembered."""
    spaces = count(1)
    taken = seconds(lambda: [compile_one(_other(one, next(spaces))) for one in sources], COMPILATIONS)
    return taken / (COMPILATIONS * len(sources))


def _other(source: str, spaces: int) -> str:
    return source.replace("}}", " " * spaces + "}}") if "{{" in source else source + " " * spaces


def measure(options: argparse.Namespace) -> Report:
    """Measure every expression, ours and Jinja's in turn."""
    cases = [case(source) for source in (*CONDITIONS, *VALUES, *TEXTS)]

    def one_round() -> Figures:
        found: Figures = {}
        costs = {one.source: one.costs() for one in cases}
        for source, (ours, _) in costs.items():
            found[f"{_short(source)}, /s"] = 1 / ours
        for source, (ours, jinjas) in costs.items():
            found[f"{_short(source)}, over Jinja's"] = jinjas / ours
        found["all, /s"] = len(costs) / sum(ours for ours, _ in costs.values())
        found["all, over Jinja's (geometric mean)"] = statistics.geometric_mean(
            jinjas / ours for ours, jinjas in costs.values()
        )
        return found | compilation(CONDITIONS + VALUES)

    rounds = repeated(options.rounds, one_round)
    title = f"{len(cases)} expressions and Jinja's sandbox with the same, medians of {len(rounds)}"
    return Report(title=title, figures=medians(rounds), setup=vars(options), rounds=rounds)


def _short(source: str) -> str:
    return source if len(source) <= 48 else f"{source[:47]}…"


BENCHMARK = Benchmark(description=__doc__ or "", rounds=7, measure=measure)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
