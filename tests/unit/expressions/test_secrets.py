"""Secrets in expressions: passed on and put into text, never looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scopes import EVERYTHING, DataScope

from dramaturg.engine.expressions.compile import (
    EvaluationError,
    ExpressionSyntaxError,
    compile_condition,
    compile_value,
)
from dramaturg.engine.expressions.functions import FUNCTIONS, TESTS
from dramaturg.engine.expressions.sandbox import NOT_LOOKED_AT
from dramaturg.engine.secret import Keystore, Plain, Sealed, Secret, holds, redacted

NAMES = replace(EVERYTHING, keystore=True)
DB = Secret(Keystore("db"))
SEALED = Secret(Sealed("gAAAA"))
SCOPE = DataScope(
    parameters={"pw": SEALED, "plain": "p", "many": [SEALED, "x"], "map": {"pw": SEALED, "n": 1}},
    variables={"n": 3, "later": SEALED},
)


def render(template: Any) -> Any:
    return compile_value(template, "here", NAMES).render(SCOPE)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ keystore.db }}", DB),
        ("  {{ keystore.db }} ", DB),
        ("{{ keystore['my-db'] }}", Secret(Keystore("my-db"))),
        ("{{ parameters.pw }}", SEALED),
        ({"a": ["{{ keystore.db }}", 1]}, {"a": [DB, 1]}),
        ("pw={{ keystore.db }}", Secret("pw=", Keystore("db"))),
        ("{{ keystore.db }}{{ null }}", Secret(Keystore("db"), "")),
        ("{{ 'a' ~ keystore.db ~ n ~ parameters.pw }}!", Secret("a", Keystore("db"), "3", Sealed("gAAAA"), "!")),
        ("a {{ 'b ' ~ keystore.db }} c", Secret("a b ", Keystore("db"), " c")),
        ("{{ [keystore.db, 1] }}", [DB, 1]),
        ("{{ {'k': keystore.db} }}", {"k": DB}),
        ("{{ {'k': keystore.db}.k }}", DB),
        ("{{ parameters.many[0] }}", SEALED),
        ("{{ parameters.many | first }}", SEALED),
        ("{{ parameters.many | length }}", 2),
        ("{{ parameters.many | join(':') }}", Secret(Sealed("gAAAA"), ":x")),
        ("{{ parameters.map.pw }}", SEALED),
        ("{{ merge(parameters.map, {'n': 2}) }}", {"pw": SEALED, "n": 2}),
        ("{{ default(keystore.db, 1) }}", DB),
        ("{{ parameters.none | default(keystore.db) }}", DB),
        ("{{ keystore.db if n > 2 else 1 }}", DB),
        ("{{ 1 if keystore.db else 2 }}", 1),
        ("{{ parameters.pw and 5 }}", 5),
        ("{{ parameters.pw or 5 }}", SEALED),
        ("{{ not parameters.pw }}", False),
        ("{{ parameters.pw is defined }}", True),
        ("{{ workflow.later }}", SEALED),
        ("{{ 'x' in ['x', parameters.pw] }}", True),
        ("{{ 'gAAAA' in [parameters.pw] }}", False),
    ],
)  # fmt: skip
def test_a_secret_is_passed_on_and_put_into_text(template: Any, value: Any) -> None:
    """Whole, in lists and maps, and in texts, which are secret then."""
    found = render(template)
    assert found == value
    assert type(found) is type(value)
    assert redacted(found) == redacted(value)


@pytest.mark.parametrize(
    "expression",
    [
        "keystore.db == 'x'",
        "'x' != keystore.db",
        "parameters.pw == parameters.pw",
        "parameters.pw < 'x'",
        "parameters.many < parameters.many",
        "[parameters.pw] == ['x', 1][:1] or [parameters.pw] == [1]",
        "keystore.db in 'text'",
        "keystore.db in [1]",
        "'x' in keystore.db",
        "keystore.db + 'x'",
        "1 + keystore.db",
        "keystore.db * 2",
        "-keystore.db",
        "+keystore.db",
        "keystore.db.user",
        "keystore.db[0]",
        "keystore.db[1:2]",
        "parameters.map[keystore.db]",
        "parameters.pw.x | default(1)",
        "length(keystore.db)",
        "keystore.db | upper",
        "keystore.db | to_json",
        "[keystore.db] | to_json",
        "{'a': keystore.db} | to_yaml",
        "to_json({'a': [keystore.db]})",
        "split(keystore.db, ',')",
        "contains(keystore.db, 'a')",
        "contains([1], keystore.db)",
        "index_of('abc', keystore.db)",
        "starts_with('abc', keystore.db)",
        "regex_search(keystore.db, 'a')",
        "type_of(keystore.db)",
        "string(keystore.db)",
        "keystore.db is string",
        "keystore.db is none",
        "[keystore.db] | map('length')",
        "[keystore.db] | select('eq', 'x')",
        "json_query({'a': parameters.pw}, 'a')",
        "json_query({'a': parameters.pw}, 'to_string(a)')",
        "json_query({'a': parameters.pw}, 'a == `1`')",
        "'x' ~ [keystore.db]",
        "{'a': parameters.pw} | urlencode",
        "[[parameters.pw], [1]] | unique",
        "from_json(keystore.db)",
        "keystore.db | replace('a', 'b')",
    ],
)
def test_a_secret_is_not_looked_at(expression: str) -> None:
    """One sentence says so, and nothing of the secret is in the error."""
    with pytest.raises(EvaluationError) as failed:
        render("{{ " + expression + " }}")
    assert NOT_LOOKED_AT in failed.value.message
    assert "gAAAA" not in str(failed.value)


@pytest.mark.parametrize("expression", ["[parameters.pw, 'b'] | sort", "max(parameters.many)", "sum([parameters.pw])"])  # fmt: skip
def test_secrets_have_no_order(expression: str) -> None:
    """What sorts says that it can't."""
    with pytest.raises(EvaluationError, match="a secret"):
        render("{{ " + expression + " }}")


def test_keystore_is_known_only_where_a_worker_gets_it() -> None:
    """Everywhere else it is found when the workflow is registered."""
    with pytest.raises(ExpressionSyntaxError, match="keystore is only known in a task's input"):
        compile_value("{{ keystore.db }}", "here", EVERYTHING)
    with pytest.raises(ExpressionSyntaxError, match="keystore is only known in a task's input"):
        compile_condition("keystore.db", "here", EVERYTHING)


@pytest.mark.parametrize("template", ["{{ keystore }}", "{{ keystore[n] }}", "{{ keystore | length }}", "{{ keystore[0] }}"])  # fmt: skip
def test_the_name_of_a_stored_secret_is_written_out(template: str) -> None:
    """So it is known from the definition which secrets a workflow uses."""
    with pytest.raises(ExpressionSyntaxError, match="keystore wants the name of a secret, written out"):
        compile_value(template, "here", NAMES)


def test_a_template_says_which_secrets_it_reads() -> None:
    """Those of all its texts together."""
    template = compile_value(
        {"a": "{{ keystore.db }}", "b": "x {{ keystore.mail ~ keystore.db }}"}, "here", NAMES
    )
    assert template.reads.keystore == {"db", "mail"}


def test_a_variable_called_keystore_is_none_of_ours() -> None:
    """A bare name never goes over a name of the table."""
    names = replace(NAMES, variables=frozenset({"keystore"}))
    assert compile_value("{{ keystore.db }}", "here", names).render(DataScope()) == DB


HIDDEN = "tr0ub4dor"


@given(
    st.sampled_from(sorted(FUNCTIONS) + [f"is {test}" for test in TESTS]),
    st.sampled_from(["parameters.pw", "[parameters.pw]", "{'a': parameters.pw}", "[[parameters.pw, 'x']]"]),
    st.sampled_from(["", "1", "'a'", "parameters.pw", "'a', 'b'", f"'{HIDDEN}'"]),
)
def test_no_function_brings_a_secret_to_light(function: str, value: str, more: str) -> None:
    """Whatever is made of a secret: an error, or something in which it is a secret still, and no other answer than without."""
    test = function.startswith("is ")
    call = f"{value} {function}({more})" if test else f"{function}({', '.join(filter(None, (value, more)))})"
    try:
        template = compile_value("{{ " + call + " }}", "here", NAMES)
    except ExpressionSyntaxError:
        return

    def outcome(secret: str) -> Any:
        scope = DataScope(parameters={"pw": Secret(Plain(secret))})
        try:
            found = template.render(scope)
        except EvaluationError as error:
            return str(error)
        return redacted(found), holds(found)

    first = outcome(HIDDEN)
    assert HIDDEN not in str(first) or HIDDEN in more
    assert first == outcome("another one")
