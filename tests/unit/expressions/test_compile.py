"""Templates: what they read, where they stand, what they share, how their problems are told."""

from __future__ import annotations

from typing import Any

import pytest
from scopes import EVERYTHING, DataScope

from dramaturg.engine.expressions.compile import (
    EvaluationError,
    ExpressionSyntaxError,
    Names,
    Reads,
    compile_condition,
    compile_value,
)


@pytest.mark.parametrize(
    ("template", "reads"),
    [
        ("plain", Reads()),
        ("{{ 1 + 1 }}", Reads()),
        ("{{ now() ~ uuid() ~ random() }}", Reads()),
        ("{{ n }}", Reads(variables=frozenset({"n"}))),
        ("{{ workflow.n + vars['count'] + variables.later }}", Reads(variables=frozenset({"n", "count", "later"}))),
        ("{{ workflow.count.x }}", Reads(variables=frozenset({"count"}))),
        ("{{ workflow }}", Reads(all_variables=True)),
        ("{{ workflow[parameters.key] }}", Reads(all_variables=True, parameters=True)),
        ("{{ vars | keys }}", Reads(all_variables=True)),
        ("{{ task.build.result.id }}", Reads(tasks=frozenset({("build", "result")}))),
        ("{{ tasks['test-all']['status'] }}", Reads(tasks=frozenset({("test-all", "status")}))),
        ("{{ task.build }}", Reads(tasks=frozenset({("build", "*")}))),
        ("{{ task.build[parameters.field] }}", Reads(tasks=frozenset({("build", "*")}), parameters=True)),
        ("{{ result().id }}", Reads(result=True)),
        ("{{ error().type }}", Reads(error=True)),
        ("{{ parameters.a }}", Reads(parameters=True)),
        ("{{ config }}", Reads(config=True)),
        ("{{ system.run_id }}", Reads(system=True)),
        ("{{ output.x }}", Reads(output=True)),
        ("{{ item.x }}", Reads(item=True)),
        ("{{ default(task.build.result, n) }}", Reads(variables=frozenset({"n"}), tasks=frozenset({("build", "result")}))),
        ("{{ succeeded() and result().ok }}", Reads(result=True)),
        ("{{ parameters[n].x[item] }}", Reads(variables=frozenset({"n"}), parameters=True, item=True)),
        ("{{ parameters.l[n:] | map(attribute=item) }}", Reads(variables=frozenset({"n"}), parameters=True, item=True)),
        ({"{{ n }}": 1}, Reads()),
        ({"a": ["x{{ n }}", {"b": "{{ result() }}"}]}, Reads(variables=frozenset({"n"}), result=True)),
    ],
)  # fmt: skip
def test_a_template_knows_what_it_reads(template: Any, reads: Reads) -> None:
    """Reads is exact: what is named in the text, and nothing else."""
    assert compile_value(template, "here", EVERYTHING).reads == reads


def test_conditions_know_what_they_read() -> None:
    """The words read nothing but the outcome, which is no field of Reads."""
    condition = compile_condition("failed or task.build.visit > n", "here", EVERYTHING)
    assert condition is not None
    assert condition.reads == Reads(variables=frozenset({"n"}), tasks=frozenset({("build", "visit")}))


def test_reads_unite() -> None:
    """Every field of two Reads is in their union."""
    one = Reads(frozenset({"a"}), False, frozenset({("t", "result")}), result=True, config=True)
    two = Reads(frozenset({"b"}), True, frozenset({("t", "*")}), error=True, item=True)
    both = one | two
    assert both == Reads(
        frozenset({"a", "b"}), True, frozenset({("t", "result"), ("t", "*")}), True, True, False, True, item=True
    )  # fmt: skip
    assert both | Reads() == both


class NoScope:
    """A scope that must not be asked."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"asked for {name}")


@pytest.mark.parametrize("value", [None, 5, "plain", "a }}", ["x", {"a": 1}], {"{{ n }}": "x"}])
def test_a_template_without_expressions_is_its_own_value(value: Any) -> None:
    """A constant is returned itself and asks no scope."""
    template = compile_value(value, "here", EVERYTHING)
    assert template.constant
    assert template.render(NoScope()) is value


@pytest.mark.parametrize(
    ("condition", "value"), [(True, True), ("always", True), ("{{ false }}", False), ("0", 0)]
)
def test_a_literal_condition_is_a_constant(condition: Any, value: Any) -> None:
    """A condition that is only a literal asks no scope."""
    template = compile_condition(condition, "here", EVERYTHING)
    assert template is not None
    assert template.constant
    assert template.render(NoScope()) is value
    assert template.test(NoScope()) is bool(value)


def test_no_condition_is_no_template() -> None:
    """None stays None."""
    assert compile_condition(None, "here", EVERYTHING) is None


def test_a_literal_template_needs_no_scope_but_is_no_constant_of_its_source() -> None:
    """``{{ 5 }}`` is 5, not its source."""
    assert compile_value("{{ 5 }}", "here", EVERYTHING).render(NoScope()) == 5


def test_a_rendering_does_not_change_what_it_reads() -> None:
    """Lists and maps of the scope are shared, never changed."""
    scope = DataScope(parameters={"l": [3, 1, 2], "m": {"b": 1}})
    texts = [
        "{{ parameters.l | sort }}",
        "{{ parameters.l | reverse }}",
        "{{ parameters.l + [4] }}",
        "{{ merge(parameters.m, {'b': 2}) }}",
        "{{ parameters.l | batch(2, 0) }}",
        "{{ flat(parameters.l) | unique }}",
    ]
    for text in texts:
        compile_value(text, "here", EVERYTHING).render(scope)
    assert scope.parameters == {"l": [3, 1, 2], "m": {"b": 1}}


def test_every_problem_is_told_at_once_with_its_place() -> None:
    """A deep value with several wrong texts raises once, and each problem says where it stands."""
    value = {"a": ["{{ nope }}", {"b c": "x {{ 1 + }}"}], "d": "{{ lenght(nein) }}", "e": "{{ n }}"}
    with pytest.raises(ExpressionSyntaxError) as refused:
        compile_value(value, "tasks.t.input", EVERYTHING)
    told = [(p.place, p.message, p.hint, p.source, p.offset) for p in refused.value.problems]
    assert told == [
        ("tasks.t.input.a[0]", "there is no name 'nope'", "", "{{ nope }}", 3),
        ("tasks.t.input.a[1].b c", "unexpected end of the expression", "", "x {{ 1 + }}", 7),
        ("tasks.t.input.d", "there is no name 'nein'", "", "{{ lenght(nein) }}", 10),
        (
            "tasks.t.input.d",
            "there is no function 'lenght'",
            "did you mean 'length'?",
            "{{ lenght(nein) }}",
            3,
        ),
    ]
    assert refused.value.exit_code == 3


def test_an_evaluation_error_says_where_and_in_what() -> None:
    """Place, text, offset and path are all there."""
    template = compile_value({"a": ["x {{ parameters.a.b }}"]}, "tasks.t.input", EVERYTHING)
    with pytest.raises(EvaluationError) as failed:
        template.render(DataScope(parameters={"a": {"bb": 1}}))
    error = failed.value
    assert error.message == "parameters.a.b: no 'b'; did you mean 'bb'?"
    assert (error.place, error.expression) == ("tasks.t.input.a[0]", "x {{ parameters.a.b }}")
    assert error.position == 17
    assert str(error) == f"tasks.t.input.a[0]: {error.message} (in 'x {{{{ parameters.a.b }}}}')"


def test_what_a_place_does_not_know_is_refused_there() -> None:
    """Outside transitions there is no outcome, outside output_map no output, outside with_items no item."""
    bare = Names(variables=frozenset({"n"}))
    refused = {
        "{{ result() }}": "result() is only known in transitions and in retry.when",
        "{{ error() }}": "error() is only known in transitions",
        "{{ failed() }}": "failed() is only known in transitions",
        "{{ output.x }}": "output is only known in output_map",
        "{{ item }}": "item is only known in with_items",
        "{{ index }}": "index is only known in with_items",
        "{{ x }}": "there is no name 'x'",
        "{{ task.build.status }}": "there is no task 'build'",
    }
    for text, message in refused.items():
        with pytest.raises(ExpressionSyntaxError, match=r".") as error:
            compile_value(text, "here", bare)
        assert message in str(error.value)
    with pytest.raises(ExpressionSyntaxError, match="failed"):
        compile_condition("failed", "here", bare)


def test_named_items_replace_item() -> None:
    """With ``x, y in`` the named variables are known and go before variables of the workflow."""
    names = Names(variables=frozenset({"x"}), items=frozenset({"x", "y"}))
    template = compile_value("{{ [x, y, workflow.x] }}", "here", names)
    assert template.reads == Reads(item=True, variables=frozenset({"x"}))
    assert template.render(DataScope(roots={"x": 1, "y": 2}, variables={"x": 3})) == [1, 2, 3]


def test_a_variable_never_hides_a_name_of_the_language() -> None:
    """A variable called as a root name is only reached through `workflow`."""
    names = Names(variables=frozenset({"parameters", "config"}))
    template = compile_value("{{ [parameters, workflow.parameters] }}", "here", names)
    assert template.render(DataScope(parameters={"a": 1}, variables={"parameters": 2})) == [{"a": 1}, 2]


class NotLoaded(Exception):
    """What a lazy scope raises for a value that is not there yet."""


class LazyScope(DataScope):
    """A scope that raises an exception of its own."""

    def name(self, root: str) -> Any:
        raise NotLoaded(root)


@pytest.mark.parametrize(
    "text", ["{{ n }}", "{{ default(n, 1) }}", "x{{ n is defined }}", "{{ [1] | map('default', n) }}"]
)
def test_exceptions_of_the_scope_pass_through(text: str) -> None:
    """What the interpreter raises to ask for more data is neither caught nor wrapped."""
    with pytest.raises(NotLoaded):
        compile_value(text, "here", EVERYTHING).render(LazyScope())


def test_templates_are_equal_by_source_and_place() -> None:
    """Two compilations of one text at one place are equal."""
    assert compile_value("{{ n }}", "a", EVERYTHING) == compile_value("{{ n }}", "a", EVERYTHING)
    assert compile_value("{{ n }}", "a", EVERYTHING) != compile_value("{{ n }}", "b", EVERYTHING)


def test_values_are_nested_a_hundred_levels_at_most() -> None:
    """One more is refused, not a recursion error."""
    value: Any = "{{ n }}"
    for _ in range(100):
        value = [value]
    compile_value(value, "here", EVERYTHING)
    with pytest.raises(ExpressionSyntaxError, match="nested more than 100 levels"):
        compile_value([value], "here", EVERYTHING)


def test_evaluating_twice_ends_the_same_way() -> None:
    """The budget belongs to one rendering, and is counted."""
    template = compile_value("{{ range(999999) | length }}", "here", EVERYTHING)
    assert [template.render(DataScope()) for _ in range(3)] == [999_999] * 3
    bomb = compile_value(["{{ range(600000) | length }}", "{{ range(600000) | length }}"], "here", EVERYTHING)
    for _ in range(2):
        with pytest.raises(EvaluationError, match="builds more than 1,000,000") as failed:
            bomb.render(DataScope())
        assert failed.value.place == "here[1]"


def test_compiling_a_text_again_finds_what_is_true_at_the_other_place() -> None:
    """Syntax trees are shared between places; names, reads and problems belong to each place alone."""
    known, unknown = Names(variables=frozenset({"n"})), Names()
    before = compile_value("{{ n + result().x }}", "a", EVERYTHING)
    with pytest.raises(ExpressionSyntaxError, match="there is no"):
        compile_value("{{ n + result().x }}", "b", unknown)
    with pytest.raises(ExpressionSyntaxError, match="only known in transitions"):
        compile_value("{{ n + result().x }}", "c", known)
    after = compile_value("{{ n + result().x }}", "d", EVERYTHING)
    scope = DataScope(variables={"n": 1}, latest_result={"x": 2})
    assert (before.render(scope), after.render(scope), after.place) == (3, 3, "d")
    assert before.reads == after.reads
