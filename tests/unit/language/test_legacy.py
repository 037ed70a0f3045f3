"""The older keys of a task become `next`, and mean there what they meant."""

from __future__ import annotations

import itertools

import pytest

from dramaturg.engine.errors import JSON, DefinitionError
from dramaturg.engine.expressions.compile import compile_condition
from dramaturg.engine.expressions.scope import Names
from dramaturg.engine.language.model import TransitionDef
from dramaturg.engine.language.parser import parse_workflow, workflow_from_json, workflow_to_json

RESULT = "{{ result() }}"
SUCCEEDED, FAILED, TIMED_OUT = "succeeded", "failed", "timed_out"


def transitions(task: str) -> tuple[TransitionDef, ...]:
    """Return the transitions of a task with these keys, beside tasks b, c and d that follow it."""
    text = f"ref: t.w\ntasks:\n  a: {task}\n  b: {{}}\n  c: {{}}\n  d: {{}}\n"
    text += "  all: {next: [{do: [b, c, d]}]}\n"
    workflow = parse_workflow(text)
    assert workflow_from_json(workflow_to_json(workflow)) == workflow
    return workflow.tasks["a"].next


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("{on_success: b}", [TransitionDef(when=SUCCEEDED, do=("b",))]),
        ("{on_success: [b, c]}", [TransitionDef(when=SUCCEEDED, do=("b", "c"))]),
        ("{on_success: 'b, c'}", [TransitionDef(when=SUCCEEDED, do=("b", "c"))]),
        ("{on_failure: fail}", [TransitionDef(when=FAILED, do=("fail",))]),
        ("{on_timeout: b}", [TransitionDef(when=TIMED_OUT, do=("b",))]),
        ("{on_complete: b}", [TransitionDef(do=("b",))]),
        (
            "{on_success: [{when: '{{ result().ok }}', do: b}, {do: c}, d]}",
            [
                TransitionDef(when="{{ succeeded() and (result().ok) }}", do=("b",)),
                TransitionDef(when=SUCCEEDED, do=("c",)),
                TransitionDef(when=SUCCEEDED, do=("d",)),
            ],
        ),
        (
            "{on_complete: [{when: failed, do: b}]}",
            [TransitionDef(when=FAILED, do=("b",))],
        ),
        (
            "{on_failure: [{when: true, do: b}, {when: false, do: c}, {when: always, do: d}]}",
            [
                TransitionDef(when=FAILED, do=("b",)),
                TransitionDef(when="{{ failed() and (false) }}", do=("c",)),
                TransitionDef(when=FAILED, do=("d",)),
            ],
        ),
        (
            "{publish: [x, {y: 1}]}",
            [TransitionDef(when=SUCCEEDED, publish=(("x", RESULT), ("y", 1)))],
        ),
        (
            "{decision: [{when: result() > 1, next: b}, {when: '{{ result() }}', next: [c]}, {default: d}]}",
            [
                TransitionDef(when="{{ succeeded() and (result() > 1) }}", do=("b",)),
                TransitionDef(when="{{ succeeded() and not (result() > 1) and (result()) }}", do=("c",)),
                TransitionDef(when="{{ succeeded() and not (result() > 1) and not (result()) }}", do=("d",)),
            ],
        ),
        (
            "{decision: [{default: true, next: 'b, c'}]}",
            [TransitionDef(when=SUCCEEDED, do=("b", "c"))],
        ),
    ],
)
def test_legacy_keys_become_transitions(task: str, expected: list[TransitionDef]) -> None:
    """Names, lists, commas, conditions, and the else of a decision."""
    assert transitions(task) == tuple(expected)


def test_they_go_together_and_publishing_comes_first() -> None:
    """However they are ordered in the file."""
    task = "{on_complete: d, on_failure: c, on_success: b, publish: {x: 1}}"
    assert [t.when for t in transitions(task)] == [SUCCEEDED, SUCCEEDED, FAILED, None]
    assert transitions(task)[0].publish == (("x", 1),)


class Completed:
    """A task that has just completed, as an expression sees it."""

    def __init__(self, status: str, result: JSON) -> None:
        self._status, self._result = status, result

    def name(self, root: str) -> JSON:
        """Return no name at all."""
        raise KeyError(root)

    def outcome(self) -> str | None:
        """Return the status."""
        return self._status

    def result(self) -> JSON:
        """Return the result."""
        return self._result

    def error(self) -> JSON:
        """Return no error."""
        return None

    def now(self) -> str:
        """Return a time."""
        return "2020-01-01T00:00:00Z"

    def uuid(self) -> str:
        """Return an id."""
        return "0"

    def random(self) -> float:
        """Return a number."""
        return 0.0


@pytest.mark.parametrize("status", [SUCCEEDED, FAILED])
@pytest.mark.parametrize("flags", list(itertools.product([False, True], repeat=3)))
def test_the_first_match_of_a_decision_wins(status: str, flags: tuple[bool, ...]) -> None:
    """Exactly one branch after success, none after a failure."""
    steps = transitions(
        "{decision: [{when: 'result()[0]', next: b}, {default: d}, {when: 'result()[1] or result()[2]', next: c}]}"
    )
    scope = Completed(status, list(flags))
    fired = []
    for step in steps:
        condition = compile_condition(step.when, "", Names(outcome=True))
        assert condition is not None
        if condition.test(scope):
            fired += step.do
    first = "b" if flags[0] else "c" if flags[1] or flags[2] else "d"
    assert fired == ([first] if status == SUCCEEDED else [])


def test_a_decision_that_has_grown_too_long_is_refused() -> None:
    """What the parser accepts, the compiler compiles."""
    entry = "{when: \"result().field == '" + "x" * 300 + "'\", next: b}"
    with pytest.raises(DefinitionError) as raised:
        transitions("{decision: [" + ", ".join([entry] * 40) + "]}")
    assert {problem.code for problem in raised.value.problems} == {"expression.syntax"}
    assert len(transitions("{decision: [" + ", ".join([entry] * 4) + "]}")) == 4
