"""The expressions of the engine and those of the reference model say the same, where the model knows the form."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from plain_expressions import Fault, holds, render
from scopes import DataScope

from dramaturg.engine.expressions.compile import EvaluationError, Names, compile_condition, compile_value

VALUES: dict[str, Any] = {
    "n": 2,
    "x": None,
    "flag": True,
    "s": "text",
    "many": [1, 2, 3],
    "one": {"n": 5, "ok": False},
}
LEAVES = st.sampled_from(
    [*VALUES, "workflow.n", "parameters.p", "result()", "result().n", "result()[0]", "one.n", "one.ok", "one.gone", "one.gone.deeper", "many[0]", "many[7]", "parameters['p']", "0", "1", "-1", "2.5", "''", "'text'", "null", "true", "false", "[]", "[1, 2]", "{}", "{'n': 5, 'ok': false}"]
)  # fmt: skip


def forms(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return larger expressions over smaller ones."""
    operators = ["+", "-", "*", "==", "!=", "<", "<=", ">", ">=", "and", "or", "in", "not in"]
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(operators), inner),
        st.builds("(not {})".format, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("default({}, {})".format, inner, inner),
        st.builds("length({})".format, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{'k': {}}}".format, inner),
        st.builds("({})[{}]".format, inner, inner),
    )


EXPRESSIONS = st.recursive(LEAVES, forms, max_leaves=6)
NAMES = Names(variables=frozenset(VALUES), outcome=True)
RESULTS = st.sampled_from([None, 1, "text", {"n": 3}, [4, 5], {"n": {"n": 1}}])
NOTHING = object()


def by_engine(text: str, result: Any, *, condition: bool = False) -> Any:
    """Return what the engine makes of an expression; NOTHING if it fails."""
    scope = DataScope(parameters={"p": 7}, variables=VALUES, latest_result=result)
    try:
        if condition:
            template = compile_condition(text, "here", NAMES)
            return template is None or bool(template.render(scope))
        return compile_value(text, "here", NAMES).render(scope)
    except EvaluationError:
        return NOTHING


def by_model(text: str, result: Any, *, condition: bool = False) -> Any:
    """Return what the model makes of it."""
    scope = {**VALUES, "workflow": VALUES, "parameters": {"p": 7}, "result": lambda: result}
    try:
        return holds(text, scope) if condition else render(text, scope)
    except Fault:
        return NOTHING


def same(one: Any, other: Any) -> bool:
    """Say whether two values are the same JSON: 1, 1.0 and true are three."""
    if NOTHING in (one, other):
        return one is other
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


@given(EXPRESSIONS, RESULTS)
def test_values_are_those_of_the_model(text: str, result: Any) -> None:
    """One template keeps its value's type; both fail, or none does."""
    written = "{{ " + text + " }}"
    engine, model = by_engine(written, result), by_model(written, result)
    assert same(engine, model), f"{text} of {result!r}: engine {engine!r}, model {model!r}"


@given(EXPRESSIONS, RESULTS, st.booleans())
def test_conditions_are_those_of_the_model(text: str, result: Any, braces: bool) -> None:
    """True as in Python, with braces or without."""
    written = "{{ " + text + " }}" if braces else text
    engine, model = by_engine(written, result, condition=True), by_model(written, result, condition=True)
    assert engine is model, f"{text} of {result!r}: engine {engine!r}, model {model!r}"


@given(EXPRESSIONS, RESULTS)
def test_the_same_expression_ends_the_same_way_twice(text: str, result: Any) -> None:
    """Value or error, to the letter."""

    def end() -> bytes:
        scope = DataScope(parameters={"p": 7}, variables=VALUES, latest_result=result)
        try:
            return orjson.dumps(compile_value("{{ " + text + " }}", "here", NAMES).render(scope))
        except EvaluationError as error:
            return str(error).encode()

    assert end() == end()
