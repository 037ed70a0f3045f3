"""Damaged definitions, whatever they were: refused with places, or accepted and then as good as any (LANGUAGE 1)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import yaml
from comparison import Case, Plain
from corpus import texts
from effort import effort
from hypothesis import example, given
from hypothesis import strategies as st
from workflows import cases

from dramaturg.engine.errors import DefinitionError
from dramaturg.engine.language.model import WorkflowDef
from dramaturg.engine.language.parser import (
    action_from_json,
    action_to_json,
    digest_of,
    parse_action,
    parse_workflow,
    workflow_from_json,
    workflow_to_json,
)
from dramaturg.engine.language.program import compile_action, compile_workflow

#: Far more than any of these texts takes on a slow machine, and far less than a pattern or a loop gone wild would.
SECONDS = 10.0

SIGNS = [
    *"{}[]:,-#&*!|>'\"%@`~?\\\t\n",
    "\0",
    "\ufeff",
    "é",
    "\u2028",
    "\x85",
    "\U0001f600",
    "{{",
    "}}",
    "{%",
    "{#",
]
WORDS = [
    "null",
    "true",
    "1e999",
    ".nan",
    "-1",
    "0x1f",
    "9" * 30,
    "1_000",
    "<<",
    "---",
    "...",
    "!!python/object",
    "all",
]
WORDS += [
    "succeeded",
    "fail",
    "noop",
    "default",
    "{{ 1 }}",
    "{{ task.a.b.c() }}",
    "a.b",
    "''",
    "[]",
    "{}",
    "~",
    "a" * 300,
]
KEYS = [
    "next",
    "do",
    "when",
    "with_items",
    "join",
    "retry",
    "tasks",
    "type",
    "parallel",
    "action",
    "vars",
    "start",
    "in",
]
PIECES = st.sampled_from([*SIGNS, *WORDS, *KEYS])
TOKEN = re.compile(r"\w+|\s+|[^\w\s]")


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """Return a text of the corpus, or a random workflow, that a careless hand has been at."""
    text = draw(st.sampled_from(texts()))
    for _ in range(draw(st.integers(1, 4))):
        text = draw(st.sampled_from(DAMAGES))(draw, text)
    return text


def by_characters(draw: st.DrawFn, text: str) -> str:
    """Cut some characters out, double them, or put something else in their place."""
    start = draw(st.integers(0, len(text)))
    end = min(len(text), start + draw(st.integers(0, 12)))
    piece = draw(st.one_of(PIECES, st.just(""), st.just(text[start:end] * 2), st.text(max_size=3)))
    return text[:start] + piece + text[end:]


def by_tokens(draw: st.DrawFn, text: str) -> str:
    """Put one token in another's place."""
    tokens = TOKEN.findall(text)
    if not tokens:
        return text
    at = draw(st.integers(0, len(tokens) - 1))
    tokens[at] = draw(st.one_of(PIECES, st.sampled_from(tokens)))
    return "".join(tokens)


def by_lines(draw: st.DrawFn, text: str) -> str:
    """Move, double, indent or drop a line."""
    lines = text.splitlines(keepends=True)
    if not lines:
        return text
    line = lines.pop(draw(st.integers(0, len(lines) - 1)))
    for _ in range(draw(st.integers(0, 2))):
        lines.insert(
            draw(st.integers(0, len(lines))), draw(st.sampled_from(["", " ", "  ", "    ", "- "])) + line
        )
    return "".join(lines)


DAMAGES: list[Callable[[st.DrawFn, str], str]] = [by_characters, by_tokens, by_lines]


def accepted(read: Callable[[], Any]) -> Any:
    """Return what was read; None if it is refused, with problems that say where. Any other exception is a crash."""
    before = time.monotonic()
    found, problems = None, []
    try:
        found = read()
    except DefinitionError as error:
        problems = list(error.problems)
    assert time.monotonic() - before < SECONDS
    assert found is not None or problems
    for problem in problems:
        assert problem.code
        assert problem.message
        assert problem.line >= 1
        assert problem.column >= 1
    return found


def survives(workflow: WorkflowDef) -> None:
    """Store a workflow, read it again and compile it: nothing is lost, and it is the same revision."""
    stored = workflow_to_json(workflow)
    again = workflow_from_json(json.loads(json.dumps(stored, sort_keys=True)))
    assert again == workflow
    assert digest_of(workflow_to_json(again)) == digest_of(stored)
    compile_workflow(again, digest_of(stored))


@given(damaged())
@effort(2.5)
@example("tasks: {a: {action: core.noop, next: [{do: a}]}}")
def test_a_damaged_definition_is_refused_with_places_or_is_as_good_as_any(text: str) -> None:
    """Read both as a workflow and as an action, as text and as bytes."""
    workflow = accepted(lambda: parse_workflow(text, "f.yaml", ref="t.damaged"))
    if workflow is not None:
        survives(workflow)
    action = accepted(lambda: parse_action(text, "f.yaml", ref="t.damaged"))
    if action is not None:
        stored = action_to_json(action)
        again = action_from_json(json.loads(json.dumps(stored, sort_keys=True)))
        assert again == action
        compile_action(again, digest_of(stored))


def test_the_corpus_is_large_and_most_of_it_is_accepted() -> None:
    """Else the damage would be done to what is broken anyway."""
    good = 0
    for text in texts():
        workflow = accepted(lambda text=text: parse_workflow(text, ref="t.whole"))
        if workflow is not None:
            survives(workflow)
        action = accepted(lambda text=text: parse_action(text, ref="t.whole"))
        good += workflow is not None or action is not None
    assert len(texts()) > 60
    assert good > 20


@given(cases(), st.booleans(), st.booleans())
@effort(0.4)
def test_the_spelling_of_a_definition_does_not_matter(case: Case, flow_style: bool, listed: bool) -> None:
    """Tasks as a list or a map, JSON's braces or YAML's indentation: one definition, one revision; it is stored whole."""
    plain = parse_workflow(case.text)
    survives(plain)
    data = dict(case.flow)
    if listed:
        data["tasks"] = [{"name": name, **task} for name, task in data["tasks"].items()]
        data["vars"] = [{name: value} for name, value in data["vars"].items()]
    other = parse_workflow(yaml.dump(data, Dumper=Plain, default_flow_style=flow_style, sort_keys=False))
    assert other == plain
    assert digest_of(workflow_to_json(other)) == digest_of(workflow_to_json(plain))
