"""The state that a history leads to equals the tables, at every prefix (DESIGN 7)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from driver import play, rehearse

from dramaturg.engine.errors import InternalError
from dramaturg.engine.interpreter.events import TYPES, Event
from dramaturg.engine.interpreter.rehearsal import failed, lost, succeeded
from dramaturg.engine.interpreter.replay import Replayed, replay

EVERYTHING = """
vars: {n: 0}
start: [a]
timeout: 1d
tasks:
  a: {retry: {count: 2, delay: 1}, next: [{publish: [{n: "{{ n + 1 }}"}], do: [b, c, skip]}]}
  b: {with_items: [0, 1, 2], concurrency: 2, retry: {count: 1}, on_item_failure: run_all, next: [{do: d}]}
  c: {next: [{do: d}, {do: d}]}
  skip: {when: false}
  d: {join: all, next: [{when: "{{ n < 2 }}", do: a}, {when: "{{ n >= 2 }}", do: [e, fail]}]}
  e: {with_items: [], next: [{do: f}]}
  f: {action: null}
"""


def test_a_run_of_everything_replays_at_every_advance():
    answers = {
        "a": [failed(), lost(), succeeded()],
        "b": [succeeded(), failed(), succeeded(), succeeded(), failed()],
    }
    run = rehearse(EVERYTHING, answers)
    states = {}
    while run.memory.end is None:
        run.step()
        states[len(run.memory.history)] = run.memory.state()
        assert replay(run.memory.history) == run.memory.state()
    assert len(states) > 10
    assert {e.type for e in run.memory.history} >= {
        "attempt_ended",
        "items_completed",
        "join_fired",
        "task_skipped",
    }


def test_a_prefix_leads_to_the_state_of_its_time():
    run = rehearse(EVERYTHING)
    copies = []
    while run.memory.end is None:
        run.step()
        state = run.memory.state()
        tables = {name: dict(getattr(state, name)) for name in ("variables", "tasks", "joins", "items")}
        copies.append((len(run.memory.history), replace(state, **tables)))
    for length, state in copies:
        assert replay(run.memory.history[:length]) == state


def test_no_history_is_a_run_that_was_requested():
    assert replay([]) == Replayed()


def test_a_gap_is_found():
    history = play("tasks: {a: {}}").history
    with pytest.raises(InternalError, match="event 3 where 2 should be"):
        replay([history[0], *history[2:]])


def test_an_unknown_type_is_found():
    with pytest.raises(InternalError, match="unknown type: 'party'"):
        replay([Event(seq=1, type="party", at="2026-01-01T00:00:00.000000Z")])


def test_an_event_that_lacks_its_visit_is_found():
    with pytest.raises(InternalError, match="does not say which visit"):
        replay([Event(seq=1, type="task_scheduled", at="2026-01-01T00:00:00.000000Z")])


def test_every_difference_is_told():
    memory = play("vars: {x: 1}\ntasks: {a: {}}")
    history = replay(memory.history)
    assert history.differences(memory.state()) == []
    memory.variables["x"] = 2
    memory.tasks["a"] = replace(memory.tasks["a"], visits=7)
    memory.run = replace(memory.run, status="failed")
    status, variable, task = history.differences(memory.state())
    assert status == "status: 'succeeded' in the history, 'failed' in the tables"
    assert variable == "variables x: 1 in the history, 2 in the tables"
    assert task.startswith("tasks a: TaskState(task='a', visits=1")


def test_every_event_is_of_a_known_type_and_its_record_leaves_out_what_does_not_apply():
    memory = play(EVERYTHING)
    assert {e.type for e in memory.history} <= TYPES
    first = memory.history[0].to_json()
    assert set(first) == {"seq", "type", "at", "data"}


def test_task_completed_appears_once_for_each_visit():
    memory = play(EVERYTHING, {"b": failed()})
    keys = [(e.task, e.visit) for e in memory.events("task_completed")]
    assert len(keys) == len(set(keys)) == sum(one.made.item == -1 for one in memory.executions.values())
