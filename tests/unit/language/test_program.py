"""What compiling works out: entry points, joins, and what entering and leaving a task reads."""

from __future__ import annotations

from dramaturg.engine.language.parser import digest_of, parse_workflow, workflow_to_json
from dramaturg.engine.language.program import Program, compile_workflow


def program(text: str) -> Program:
    """Return the program of these lines."""
    workflow = parse_workflow("ref: t.w\n" + text)
    return compile_workflow(workflow, digest_of(workflow_to_json(workflow)))


FLOW = """\
parameters: {n: {type: integer}}
output: {status: {type: string}}
vars: {v: 1, u: "{{ v }}"}
timeout: "{{ parameters.n }}"
tasks:
  - name: a
    action: "core.{{ u }}"
    when: "{{ v > 0 }}"
    input: {message: "{{ task.b.result }} {{ parameters.n }}"}
    timeout: "{{ config }}"
    retry: {count: "{{ w }}", when: "{{ error().type == 'X' }}"}
    next:
      - when: "{{ result().ok }}"
        publish: [{w: "{{ vars }}"}]
        do: [b, c, noop]
      - when: failed
        do: continue
  - name: b
    action: core.echo
    with_items: "{{ u }}"
    concurrency: "{{ v }}"
    input: {message: "{{ item }}"}
    next: [{do: d}]
  - name: c
    next: [{do: d}]
  - name: d
    join: all
output_map: {status: "{{ task.a.status }}", again: "{{ output.status }}"}
"""


def test_the_graph_is_worked_out_once() -> None:
    """Entry points, predecessors and what a join waits for."""
    found = program(FLOW)
    assert found.entry == ("a",)
    assert [(t.name, t.predecessors, t.join) for t in found.tasks.values()] == [
        ("a", (), None),
        ("b", ("a",), None),
        ("c", ("a",), None),
        ("d", ("b", "c"), 2),
    ]


def test_what_is_read_is_known_for_entering_and_for_leaving() -> None:
    """Numbers and inputs when a task is entered; conditions, publishes and `retry.when` when it ends."""
    task = program(FLOW).tasks["a"]
    assert task.entry_reads.variables == {"u", "v", "w"}
    assert task.entry_reads.tasks == {("b", "result")}
    assert task.entry_reads.parameters
    assert task.entry_reads.config
    assert not task.entry_reads.result
    assert task.exit_reads.result
    assert task.exit_reads.error
    assert task.exit_reads.all_variables
    assert not task.exit_reads.parameters
    items = program(FLOW).tasks["b"]
    assert items.entry_reads.variables == {"u", "v"}
    assert items.entry_reads.item


def test_targets_and_commands_are_kept_apart() -> None:
    """`continue` alone handles nothing."""
    first, second = program(FLOW).tasks["a"].next
    assert (first.targets, first.commands, first.handles) == (("b", "c"), {"noop"}, True)
    assert (second.targets, second.commands, second.handles) == ((), {"continue"}, False)
    assert [t.index for t in (first, second)] == [0, 1]


def test_a_junction_has_no_action_and_what_is_left_out_is_none() -> None:
    """So the interpreter need not ask twice."""
    task = program(FLOW).tasks["c"]
    assert (task.action, task.when, task.with_items, task.delay, task.timeout, task.retry) == (None,) * 6
    assert task.input == ()


def test_places_are_those_that_errors_name() -> None:
    """As in `tasks.t1.next[0].when`."""
    found = program(FLOW)
    task = found.tasks["a"]
    assert task.when is not None
    assert task.when.place == "tasks.a.when"
    assert task.input[0][1].place == "tasks.a.input.message"
    assert task.retry is not None
    assert task.retry.count.place == "tasks.a.retry.count"
    assert task.next[0].when is not None
    assert task.next[0].when.place == "tasks.a.next[0].when"
    assert task.next[0].publish[0][1].place == "tasks.a.next[0].publish.w"
    assert found.vars[1][1].place == "vars.u"
    assert found.output_map[0][1].place == "output_map.status"
    assert found.timeout is not None
    assert found.timeout.place == "timeout"


def test_an_output_is_open_and_parameters_are_closed() -> None:
    """A result may have more than it promises; an input may not."""
    found = program(FLOW)
    assert found.output is not None
    assert found.output.problems({"status": "x", "more": 1}) == []
    assert found.parameters.problems({"m": 1}) != []
    assert program("tasks: {a: {}}").output is None
    assert program("tasks: {a: {}}").parameters.problems({"m": 1}) == []
    assert found.output_reads.tasks == {("a", "status")}
    assert found.output_reads.output
