"""Variables that two branches publish side by side."""

from __future__ import annotations

import pytest

from dramaturg.engine.language.parser import parse_workflow
from dramaturg.engine.language.races import races

PUBLISH = "next: [{publish: {v: 1}}]"


def found(tasks: str) -> list[tuple[str, str, str]]:
    """Return the races of a workflow."""
    workflow = parse_workflow("ref: t.w\ntasks:\n" + "".join(f"  {line}\n" for line in tasks.splitlines()))
    return [(race.variable, race.first, race.second) for race in races(workflow)]


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        (f"x: {{next: [{{do: [a, b]}}]}}\na: {{{PUBLISH}}}\nb: {{{PUBLISH}}}", [("v", "a", "b")]),
        (f"a: {{{PUBLISH}}}\nb: {{{PUBLISH}}}", [("v", "a", "b")]),
        # One after the other.
        (f"a: {{next: [{{publish: {{v: 1}}, do: b}}]}}\nb: {{{PUBLISH}}}", []),
        # If and else.
        (
            f"x: {{on_success: a, on_failure: b}}\na: {{{PUBLISH}}}\nb: {{{PUBLISH}}}",
            [],
        ),
        # Conditions that nobody can know.
        (
            "x: {next: [{when: result(), do: a}, {when: not result(), do: b}]}\n"
            f"a: {{{PUBLISH}}}\nb: {{{PUBLISH}}}",
            [],
        ),
        # Two transitions that both fire.
        (
            f"x: {{next: [{{do: a}}, {{when: succeeded, do: b}}]}}\na: {{{PUBLISH}}}\nb: {{{PUBLISH}}}",
            [("v", "a", "b")],
        ),
        # Further down each branch.
        (
            f"x: {{next: [{{do: [a, b]}}]}}\na: {{next: [{{do: c}}]}}\nb: {{{PUBLISH}}}\nc: {{{PUBLISH}}}",
            [("v", "c", "b")],
        ),
        # After a join there is one branch again.
        (
            "x: {next: [{do: [a, b]}]}\na: {next: [{do: j}]}\nb: {next: [{do: j}]}\n"
            "j: {join: all, next: [{when: result(), do: p}, {when: not result(), do: q}]}\n"
            f"p: {{{PUBLISH}}}\nq: {{{PUBLISH}}}",
            [],
        ),
        # Two transitions of one task.
        ("a: {next: [{publish: {v: 1}}, {publish: {v: 2}}]}", []),
    ],
)
def test_only_branches_that_are_sure_to_run_together_race(
    tasks: str, expected: list[tuple[str, str, str]]
) -> None:
    """An if/else is no race."""
    assert found(tasks) == expected
