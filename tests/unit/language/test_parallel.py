"""Parallel tasks: those inside are part of the workflow by name, and of its graph only through the task around them."""

from __future__ import annotations

import pytest

from dramaturg.engine.errors import DefinitionError
from dramaturg.engine.language.branches import visited_once
from dramaturg.engine.language.graph import entry_points, order_of_travel, predecessors, reach, successors
from dramaturg.engine.language.model import WorkflowDef
from dramaturg.engine.language.parser import digest_of, parse_workflow, workflow_to_json
from dramaturg.engine.language.program import Program, compile_workflow
from dramaturg.engine.language.races import races
from dramaturg.engine.language.scopes import Scopes

FLOW = """\
ref: t.w
vars: {v: 1, u: 2}
tasks:
  first:
    next: [{do: [group, other]}]
  group:
    type: parallel
    when: "{{ u }}"
    tasks:
      left: {action: core.echo, input: {message: "{{ v }} {{ keystore.k }}"}}
      right:
        action: core.echo
        with_items: x in task.first.result
        batch_size: "{{ parameters.n }}"
        input: {message: "{{ x }} {{ task.left.status }}"}
      more:
        type: parallel
        tasks:
          deep: {action: "core.{{ config.what }}", total_timeout: "{{ late }}"}
    next:
      - publish: {late: "{{ task.deep.result }}"}
        do: end
  other: {next: [{do: end}]}
  end:
    join: all
    next: [{when: "{{ task.right.items }}", do: noop}]
output_map: {all: "{{ [task.group.result, task.deep.visit] }}"}
"""


@pytest.fixture
def workflow() -> WorkflowDef:
    """Return a workflow with tasks two levels deep."""
    return parse_workflow(FLOW)


@pytest.fixture
def program(workflow: WorkflowDef) -> Program:
    """Return it compiled."""
    return compile_workflow(workflow, digest_of(workflow_to_json(workflow)))


def test_the_graph_has_the_outer_tasks_only(workflow: WorkflowDef) -> None:
    """Who runs inside is nobody's predecessor and no entry point, and is reached with the task around it."""
    assert list(workflow.tasks) == ["first", "group", "other", "end"]
    assert entry_points(workflow) == ("first",)
    assert successors(workflow)["group"] == ("end",)
    assert predecessors(workflow)["end"] == ("group", "other")
    assert set(reach(workflow)) == set(workflow.tasks)
    assert set(order_of_travel(workflow)) == set(workflow.tasks)
    assert visited_once(workflow) == set(workflow.tasks)
    assert list(races(workflow)) == []


def test_a_program_has_all_tasks_flat(program: Program) -> None:
    """Each knows what it runs inside of, and what runs inside it."""
    found = {task.name: (task.group, task.members) for task in program.tasks.values()}
    assert found == {
        "first": (None, ()),
        "group": (None, ("left", "right", "more")),
        "left": ("group", ()),
        "right": ("group", ()),
        "more": ("group", ("deep",)),
        "deep": ("more", ()),
        "other": (None, ()),
        "end": (None, ()),
    }
    assert list(program.tasks) == list(found)
    assert program.entry == ("first",)
    assert program.tasks["end"].join == 2
    assert program.tasks["left"].predecessors == ()


def test_entering_a_parallel_task_reads_what_those_inside_read(program: Program) -> None:
    """They start together with it."""
    reads = program.tasks["group"].entry_reads
    assert reads.variables == {"u", "v", "late"}
    assert reads.tasks == {("first", "result"), ("left", "status")}
    assert reads.parameters
    assert reads.config
    assert reads.keystore == {"k"}
    assert program.tasks["more"].entry_reads.variables == {"late"}
    assert program.tasks["group"].exit_reads.tasks == {("deep", "result")}


def test_names_of_the_tasks_inside_are_known_everywhere(workflow: WorkflowDef) -> None:
    """And the keystore in inputs only."""
    scopes = Scopes(workflow)
    assert scopes.tasks == {"first", "group", "left", "right", "more", "deep", "other", "end"}
    assert scopes.input("right").items == {"item", "index", "x"}
    assert scopes.input("left").items == frozenset()
    inputs = [scopes.input(name) for name in scopes.tasks]
    others = [scopes.run(), scopes.initial(1), scopes.task(), scopes.outcome(), scopes.output()]
    assert all(names.keystore for names in inputs)
    assert not any(names.keystore for names in [*others, Scopes.attempt()])


def test_places_inside_are_those_of_the_name_alone(program: Program) -> None:
    """Names are unique in the whole workflow, so that a place needs no path."""
    deep = program.tasks["deep"]
    assert deep.action is not None
    assert deep.action.place == "tasks.deep.action"


@pytest.mark.parametrize(
    "spelling", ["{a: {action: core.noop}, b: {}}", "[{name: a, action: core.noop}, {name: b}]"]
)
def test_a_map_and_a_list_of_tasks_inside_are_the_same(spelling: str) -> None:
    """Down to the revision."""
    found = parse_workflow(f"ref: t.w\ntasks: {{g: {{type: parallel, tasks: {spelling}}}}}")
    assert workflow_to_json(found)["tasks"] == [
        {"name": "g", "type": "parallel", "tasks": [{"name": "a", "action": "core.noop"}, {"name": "b"}]}
    ]


def test_a_workflow_of_a_thousand_tasks_inside_is_read_in_one_go() -> None:
    """Names are looked up, not searched for."""
    inside = "".join(
        f"      t{n}: {{action: core.echo, input: {{message: '{{{{ v }}}}'}}}}\n" for n in range(1000)
    )
    text = f"ref: t.w\nvars: {{v: 1}}\ntasks:\n  g:\n    type: parallel\n    tasks:\n{inside}"
    found = compile_workflow(parse_workflow(text), "x")
    assert len(found.tasks) == 1001
    assert found.tasks["g"].entry_reads.variables == {"v"}


def test_what_is_wrong_is_said_once(workflow: WorkflowDef) -> None:
    """A task inside that can't be read does not make every mention of it a problem."""
    with pytest.raises(DefinitionError) as raised:
        parse_workflow(FLOW.replace("type: parallel\n    when", "type: paralel\n    when"))
    assert [problem.code for problem in raised.value.problems] == ["definition.type"]
