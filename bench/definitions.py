"""How long a great workflow takes to be parsed and checked, compiled, and read again from its stored form.

    python bench/definitions.py              # under a minute
    python bench/definitions.py --rounds 9 -o json

What is measured, and how to read it: bench/README.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import orjson
import yaml
from figures import Benchmark, Figures, Report, medians, repeated, seconds

from dramaturg.engine.language.model import WorkflowDef
from dramaturg.engine.language.parser import workflow_from_json
from dramaturg.engine.language.program import compile_workflow
from dramaturg.engine.packs.loader import load_packs, load_workflow_file
from dramaturg.engine.packs.manifest import Pack

#: Tasks of the workflows that are measured.
SIZES = (100, 1000)

#: What a usual task has: an input with two templates, a retry, two conditions, and a result that is published.
TASK = """\
  step_{number}:
    action: core.echo
    input:
      message: "step {number}: {{{{ workflow.total + 1 }}}} for {{{{ parameters.name }}}}"
    retry: {{count: 2, delay: 3}}
    next:
      - when: succeeded and result().message != 'stop {number}'
        publish: [{{total: "{{{{ workflow.total + 1 }}}}"}}]
        do: {following}
      - when: failed and error().type == 'Timeout'
        do: fail
"""


def chain(length: int) -> str:
    """Return a workflow of usual tasks, one after the other."""
    head = "parameters: {name: {type: string, default: Ada}}\nvars: [{total: 0}]\ntasks:\n"
    tasks = [
        TASK.format(number=number, following=f"step_{number + 1}" if number + 1 < length else "noop")
        for number in range(length)
    ]
    return head + "".join(tasks)


def costs(file: Path, size: int, packs: Sequence[Pack]) -> Figures:
    """Measure one workflow once, in milliseconds; its YAML alone, by PyYAML's parser in C, is the measure."""
    read: list[Pack] = []
    plain = seconds(lambda: yaml.load(file.read_bytes(), Loader=yaml.CSafeLoader))
    parsed = seconds(lambda: read.append(load_workflow_file(file, packs)))
    ((ref, workflow),) = read[0].workflows.items()
    stored = orjson.dumps(read[0].definitions[ref])
    compiled = seconds(lambda: compile_workflow(workflow, "digest"))
    again: list[WorkflowDef] = []
    reading = seconds(lambda: again.append(workflow_from_json(orjson.loads(stored))))
    assert again == [workflow]
    tasks = f"{size:,} tasks"
    return {
        f"{tasks}: YAML alone, ms": 1000 * plain,
        f"{tasks}: parse and check, ms": 1000 * parsed,
        f"{tasks}: compile, ms": 1000 * compiled,
        f"{tasks}: parse, check and compile, ms": 1000 * (parsed + compiled),
        f"{tasks}: the same, in YAML alone": (parsed + compiled) / plain,
        f"{tasks}: stored form read again, ms": 1000 * reading,
    }


def measure(options: argparse.Namespace) -> Report:
    """Measure both sizes, in turn, and what a task of the great one costs against one of the small one."""
    packs = load_packs()
    with tempfile.TemporaryDirectory(prefix="dramaturg-bench-") as folder:
        files = {size: Path(folder) / f"chain_{size}.yaml" for size in SIZES}
        for size, file in files.items():
            file.write_text(chain(size))

        def one_round() -> Figures:
            found: Figures = {}
            for size, file in files.items():
                found |= costs(file, size, packs)
            small, great = SIZES
            for what in ("parse, check and compile", "stored form read again"):
                ratio = found[f"{great:,} tasks: {what}, ms"] / found[f"{small:,} tasks: {what}, ms"]
                found[f"{what}: a task of {great:,} over one of {small:,}"] = ratio * small / great
            return found

        rounds = repeated(options.rounds, one_round)
    title = f"great workflows, by processor time, medians of {len(rounds)}"
    return Report(title=title, figures=medians(rounds), setup=vars(options), rounds=rounds)


BENCHMARK = Benchmark(description=__doc__ or "", rounds=5, measure=measure)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
