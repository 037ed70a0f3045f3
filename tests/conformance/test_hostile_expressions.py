"""Hostile expressions end in one of the two errors, within a bounded memory (`expressions/hostile.yaml`).

They run in a process of their own whose memory is limited, so that a bomb that goes off can only hurt itself.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from scopes import EVERYTHING, DataScope

from dramaturg.engine.expressions.compile import EvaluationError, ExpressionSyntaxError, compile_value

LIST = Path(__file__).parent / "expressions" / "hostile.yaml"
#: What one process may take beside what it has when it starts.
HEADROOM = 100 * 2**20


def texts() -> list[str]:
    """Return every hostile text."""
    lists: dict[str, Any] = yaml.safe_load(LIST.read_text())
    nested = [opening + body * times + closing for opening, body, closing, times in lists["nested"]]
    return [*lists["attributes"], *lists["bombs"], *nested]


def big_scope() -> DataScope:
    """Return a scope with much in it."""
    choose = random.Random(1)
    parameters = {
        "t": "a" * 1_000_000,
        "ab": "".join(choose.choice("ab") for _ in range(1_000_000)),
        "words": "ab " * 300_000,
        "big": [{"k": number, "s": f"v{number}"} for number in range(100_000)],
    }
    return DataScope(parameters=parameters, variables={"n": 1}, roots={"config": {}}, latest_result={})


def ending(text: str, scope: DataScope) -> str:
    """Return how a text ends: the name of an error, or what it rendered."""
    try:
        return f"rendered {str(compile_value(text, 'here', EVERYTHING).render(scope))[:40]}"
    except (EvaluationError, ExpressionSyntaxError) as error:
        return type(error).__name__
    except BaseException as error:  # what must not happen is reported, not raised
        return f"{type(error).__name__}: {error}"[:200]


def main() -> None:
    """Run every text with limited memory and print how each ended."""
    scope = big_scope()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + HEADROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(json.dumps([[text, ending(text, scope)] for text in texts()]))


def test_hostile_expressions_end_in_an_error_within_bounded_memory() -> None:
    """Every text of the list is refused when compiled or fails when evaluated; nothing else happens."""
    folder = Path(__file__).parents[1]
    program = f"import sys; sys.path[:0] = [{str(folder)!r}, {str(Path(__file__).parent)!r}]; import {Path(__file__).stem} as m; m.main()"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    endings = json.loads(ran.stdout)
    assert len(endings) > 100
    wrong = [pair for pair in endings if pair[1] not in ("EvaluationError", "ExpressionSyntaxError")]
    assert wrong == []


def test_big_but_ordinary_work_is_done() -> None:
    """The bounds leave room for what a workflow may well do."""
    scope = big_scope()
    ordinary = {
        "{{ parameters.big | length }}": 100_000,
        "{{ parameters.big | selectattr('k', 'lt', 5) | map(attribute='s') | join(',') }}": "v0,v1,v2,v3,v4",
        "{{ parameters.big | map(attribute='k') | sum }}": 4_999_950_000,
        "{{ (parameters.big | map(attribute='s') | unique) | length }}": 100_000,
        "{{ parameters.big[99999].s }}": "v99999",
        "{{ json_query(parameters.big[:1000], '[?k > `990`].s') | length }}": 9,
        "{{ parameters.t | regex_search('b') }}": False,
        "{{ parameters.words[:9000] | regex_replace('\\\\s+', '-') | length }}": 9000,
        "{{ parameters.words | split(' ') | length }}": 300_001,
        "{{ parameters.big[:5000] | to_json | from_json | length }}": 5000,
        "{{ parameters.big[:1000] | to_yaml | length }}": 18_780,
        "{{ range(100000) | list | sort(reverse=true) | first }}": 99_999,
    }
    found = {text: compile_value(text, "here", EVERYTHING).render(scope) for text in ordinary}
    assert found == ordinary
