"""Any text compiles or is refused, and any template renders JSON or fails: nothing else is ever raised."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from scopes import EVERYTHING, DataScope

from dramaturg.engine.expressions.compile import (
    EvaluationError,
    ExpressionSyntaxError,
    compile_condition,
    compile_value,
)
from dramaturg.engine.expressions.functions import FUNCTIONS, TESTS

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
DATA = st.recursive(
    SCALARS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
#: What expressions are made of; put together at random, some of it parses.
VOCABULARY = r"""
parameters a b n workflow task build result status item ( ) [ ] { } , : . | ~ + - * ** / // % == != < <= > >=
and or not in is if else 'x' "y" 0 1 -1 2.5 1e300 9223372036854775807 true null result() error() succeeded
{{ }} {% %} {# #} = 'a.b' '(' '\\d' reverse=true attribute='a' map select reject selectattr rejectattr 'upper' 'odd'
"""
WORDS = st.sampled_from([*VOCABULARY.split(), *sorted(FUNCTIONS), *sorted(TESTS)])
LEAVES = st.sampled_from(
    ["parameters.a", "parameters.b", "n", "result()", "1", "0", "-2", "2.5", "'x'", "'1'", "null", "true", "[]", "{}", "[1, 'a', null]"]
)  # fmt: skip


def calls(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return expressions that parse: operators, calls, filters, tests and fields over others."""
    operators = st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "~", "==", "<", "in", "and", "or"])
    names = st.sampled_from(sorted(FUNCTIONS))
    return st.one_of(
        st.builds("({} {} {})".format, inner, operators, inner),
        st.builds("{}({})".format, names, st.lists(inner, max_size=3).map(", ".join)),
        st.builds("({} | {})".format, inner, names),
        st.builds("({} is {})".format, inner, st.sampled_from(sorted(TESTS))),
        st.builds("({} | map('{}'))".format, inner, names),
        st.builds("({} | select('{}'))".format, inner, st.sampled_from(sorted(TESTS))),
        st.builds("({})[{}]".format, inner, inner),
        st.builds("({})[{}:{}]".format, inner, inner, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{'k': {}}}".format, inner),
        st.builds("default({}.a.b, {})".format, inner, inner),
    )


def ends_well(text: str, data: Any) -> None:
    """Compile and render *text* both ways; whatever comes out must be JSON."""
    scope = DataScope(
        parameters={"a": data, "b": "text"}, variables={"n": data}, roots={"item": data}, latest_result=data
    )
    for compile_ in (compile_value, compile_condition):
        try:
            template = compile_(text, "here", EVERYTHING)
            if template is not None:
                orjson.dumps(template.render(scope))
        except (EvaluationError, ExpressionSyntaxError) as error:
            orjson.dumps(str(error))


@given(st.text(), DATA)
@settings(max_examples=150, deadline=None)
def test_arbitrary_text_raises_nothing_else(text: str, data: Any) -> None:
    """Any text at all, alone and as an expression."""
    ends_well(text, data)
    ends_well("{{" + text + "}}", data)


@given(st.lists(WORDS, max_size=12).map(" ".join), DATA)
@settings(max_examples=400, deadline=None)
def test_words_of_the_language_in_any_order_raise_nothing_else(text: str, data: Any) -> None:
    """Text that is nearly an expression."""
    ends_well("{{ " + text + " }}", data)


@given(st.recursive(LEAVES, calls, max_leaves=8), DATA)
@settings(max_examples=600, deadline=None)
def test_expressions_that_parse_give_json_or_fail(text: str, data: Any) -> None:
    """Operators, functions, filters and tests over values of every type."""
    ends_well("{{ " + text + " }}", data)


@given(DATA)
@settings(max_examples=100, deadline=None)
def test_data_passes_through_unchanged(data: Any) -> None:
    """One template keeps value and type, and JSON written and read again is the same."""
    scope = DataScope(parameters={"a": data})
    for text in (
        "{{ parameters.a }}",
        "{{ parameters.a | to_json | from_json }}",
        "{{ [parameters.a] | flat(0) | first }}",
    ):
        found = compile_value(text, "here", EVERYTHING).render(scope)
        assert orjson.dumps(found) == orjson.dumps(data)
