"""Every definition that this project has written down, to be damaged: packs, examples, pages, and those of the tests."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]

#: Legacy keys, named items and whatever else the other texts happen to lack.
SPECIAL = """\
ref: t.special
parameters: {n: {type: integer, default: 3}}
vars: [{a: 1}, {b: "{{ a + parameters.n }}"}]
timeout: 5m
cancellation_policy: cancel_running
limits: {visits: 7}
tasks:
  - name: one
    action: core.echo
    input: &input {message: "{{ b }}"}
    with_items: x, y in zip([1], [2])
    concurrency: "{{ parameters.n }}"
    on_item_failure: run_all
    retry: {count: 2, delay: 5s, backoff: exponential, factor: 3, max_delay: 1h, jitter: 0.5, when: failed}
    next:
      - when: "{{ succeeded() and result()[0] }}"
        publish: [c, {d: "{{ result() }}"}]
        do: [two, three]
      - {when: failed, do: "three, fail"}
  - name: two
    action: core.noop
    on_success: four
    on_timeout: [{when: "{{ c }}", do: noop}]
    decision: [{when: c, next: four}, {default: noop}]
    __chart_meta__: {x: 1, y: [2]}
  - {name: three, input: *input, action: "{{ parameters.n }}", delay: 2, on_lost: fail, next: [{do: four}]}
  - {name: four, join: all, when: "{{ default(c, null) }}"}
output_map:
  text: |
    {{ task.one.result }}
"""


@lru_cache(maxsize=1)
def texts() -> tuple[str, ...]:
    """Return the texts, short ones first, each once."""
    found = {SPECIAL}
    for folder in ("packs", "examples"):
        found.update(path.read_text(encoding="utf-8") for path in sorted((ROOT / folder).rglob("*.yaml")))
    for page in sorted((ROOT / "docs").rglob("*.md")):
        found.update(re.findall(r"```yaml[^\n]*\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
    for file in sorted((ROOT / "tests" / "conformance").rglob("*.yaml")):
        found.update(_inside(yaml.safe_load(file.read_text(encoding="utf-8"))))
    return tuple(sorted(found, key=lambda text: (len(text), text)))


def _inside(data: Any) -> set[str]:
    """Return the definitions in a file of cases: texts of several lines, and maps that have tasks."""
    if isinstance(data, str):
        return {data} if data.count("\n") > 1 else set()
    if isinstance(data, dict):
        whole = {yaml.safe_dump({"ref": "t.case", **data}, sort_keys=False)} if "tasks" in data else set()
        return whole.union(*(_inside(one) for one in data.values()))
    if isinstance(data, list):
        return set().union(*(_inside(one) for one in data))
    return set()
