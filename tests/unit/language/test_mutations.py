"""Damaged definitions: the parser refuses them with problems; it never crashes, and what it accepts can be run."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from dramaturg.engine.errors import JSON, DefinitionError, Problem
from dramaturg.engine.language.model import ActionDef, WorkflowDef
from dramaturg.engine.language.parser import (
    action_from_json,
    action_to_json,
    digest_of,
    parse_action,
    parse_workflow,
    workflow_from_json,
    workflow_to_json,
)
from dramaturg.engine.language.program import compile_workflow

WORKFLOW = """\
ref: t.w
unhandled_failure: wait
parameters: {n: {type: integer, default: 3}, token: {secret: true}}
vars: [{a: 1}, {b: "{{ a + parameters.n }}"}]
tasks:
  - name: one
    action: core.echo
    input: &input {message: "{{ b }}"}
    with_items: x, y in zip([1], [2])
    retry: {count: 2, delay: 5s, backoff: exponential, when: failed}
    next:
      - when: "{{ succeeded() and result()[0] }}"
        publish: [c, {d: "{{ result() }}"}]
        do: [two, three]
  - name: two
    action: core.noop
    on_success: four
    decision: [{when: c, next: four}, {default: noop}]
  - name: three
    input: *input
    action: core.echo
    next: [{do: "four"}]
  - {name: four, join: all, on_complete: side}
  - name: side
    type: parallel
    total_timeout: 1h
    on_item_failure: run_all
    tasks:
      left: {action: core.wait, input: {signal: go}, schedule_timeout: 5, when: c}
      right:
        type: parallel
        tasks: [{name: deep, with_items: "{{ c }}", batch_size: 2, heartbeat_timeout: 9s, action: core.shell}]
      nested: {type: workflow, action: t.x, parent_close: abandon, input: {k: "{{ keystore.k }}"}}
    next: [{publish: {e: "{{ task.deep.result }}"}}]
output_map:
  text: |
    {{ task.one.result }}
"""

ACTION = """\
ref: t.a
runtime: python
entry_point: mod:func
parameters: {a: {type: [string, "null"], required: true, pattern: "^x"}}
timeout: 5m
retry: {count: 1, when: "{{ result().a or failed() }}"}
"""

#: What a careless hand, or another tool, may put anywhere.
YAML_SIGNS = [
    "\t",
    "\n",
    "  ",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    '"',
    "'",
    "#",
    "&a ",
    "*a",
    "!x ",
    "|",
    ">",
    "~",
]
OTHER_SIGNS = ["%", "@", "\\", "\0", "\ufeff", "é", "\u2028", "1e999", ".nan", "null", "<<", "? ", "---\n"]
WORDS = [
    "{{",
    "}}",
    "{% if %}",
    "{# x #}",
    "{{ a.b.c() }}",
    "result()",
    "always",
    "fail",
    "type: parallel",
    "tasks: {z: {}}",
    "left",
    "keystore.k",
    "9" * 30,
    "-1",
    "a" * 300,
]
SNIPPETS = st.sampled_from([*YAML_SIGNS, *OTHER_SIGNS, *WORDS])


@st.composite
def damaged(draw: st.DrawFn, text: str) -> str:
    """Return a text with a few pieces cut out, doubled, or put in."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        piece = draw(st.one_of(SNIPPETS, st.just(""), st.just(text[start:end] * 2), st.text(max_size=3)))
        text = text[:start] + piece + text[end:]
    return text


def check_accepted(workflow: WorkflowDef) -> None:
    """Store, read and compile what the parser has accepted."""
    stored = workflow_to_json(workflow)
    assert workflow_from_json(stored) == workflow
    compile_workflow(workflow, digest_of(stored))


def check_action(action: ActionDef) -> None:
    """Store and read what the parser has accepted."""
    if action.runtime is not None:
        assert action_from_json(action_to_json(action)) == action


def problems(read: Callable[[], object]) -> tuple[Problem, ...]:
    """Return why reading is refused; nothing if it is not. Any other exception is a crash."""
    try:
        read()
    except DefinitionError as error:
        return error.problems
    return ()


def test_what_is_damaged_here_was_whole() -> None:
    """Otherwise the tests below would say little."""
    check_accepted(parse_workflow(WORKFLOW))
    check_action(parse_action(ACTION))


@settings(deadline=None, max_examples=300)
@given(damaged(WORKFLOW))
def test_a_damaged_workflow_is_refused_with_places_or_runs(text: str) -> None:
    """Each problem has its line, its column, a code and a sentence."""
    found = problems(lambda: check_accepted(parse_workflow(text, "f.yaml")))
    lines = len(text.splitlines()) + 1
    for problem in found:
        assert problem.code
        assert problem.message
        assert problem.path == "f.yaml"
        assert 1 <= problem.line <= lines
        assert problem.column >= 1


@settings(deadline=None, max_examples=100)
@given(damaged(ACTION))
def test_a_damaged_action_is_refused_or_read(text: str) -> None:
    """The same for actions; what is accepted is stored and read back equal."""
    problems(lambda: check_action(parse_action(text, "f.yaml")))


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_text_is_refused_or_read(text: bytes | str) -> None:
    """Bytes, too."""
    problems(lambda: parse_workflow(text, "f.yaml"))


KEYS = st.sampled_from(
    [
        "name",
        "action",
        "next",
        "do",
        "when",
        "retry",
        "count",
        "join",
        "tasks",
        "vars",
        "x",
        "type",
        "parallel",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150)
@given(
    st.dictionaries(st.sampled_from(["tasks", "vars", "start", "parameters", "output_map", "limits"]), VALUES)
)
def test_any_stored_document_is_refused_or_read(document: dict[str, JSON]) -> None:
    """A database may hold anything."""
    problems(lambda: workflow_from_json({"kind": "workflow", "ref": "t.w", **document}))
