"""Every prefix of a history leads to a state: at the end of a decision to the tables' own (DESIGN 7)."""

from __future__ import annotations

import json
from dataclasses import replace

from comparison import Case, rehearsal
from effort import effort
from hypothesis import given
from scripts import Order
from workflows import cases

from dramaturg.engine.interpreter.memory import Memory
from dramaturg.engine.interpreter.replay import Replayed, replay


def copied(memory: Memory) -> Replayed:
    """Return the state of the tables as they are now."""
    state = memory.state()
    tables = {name: dict(getattr(state, name)) for name in ("variables", "tasks", "joins", "items")}
    return replace(state, **tables)


@given(cases())
def test_every_prefix_replays(case: Case) -> None:
    """Equal to the tables after each decision; in the middle of one it is on the way, and never an error."""
    run = rehearsal(case, Order(case.script), checked=False)
    boundaries: dict[int, Replayed] = {}
    while run.memory.end is None:
        run.step()
        boundaries[len(run.memory.history)] = copied(run.memory)
    history = run.memory.history
    for length in range(len(history) + 1):
        state = replay(history[:length])
        assert state.next_seq == length + 1
        if length in boundaries:
            assert state.differences(boundaries[length]) == []


@given(cases())
@effort(0.5)
def test_a_history_is_json_without_gaps_that_ends_once(case: Case) -> None:
    """`seq` counts on, time does not go back, each visit completes once, and the run's end is the last event."""
    history = rehearsal(case, Order(case.script), checked=False).play().history
    assert [event.seq for event in history] == list(range(1, len(history) + 1))
    times = [event.at for event in history]
    assert times == sorted(times)
    completed = [(event.task, event.visit) for event in history if event.type == "task_completed"]
    begun = {(e.task, e.visit) for e in history if e.type in ("task_scheduled", "task_skipped")}
    assert len(completed) == len(set(completed))
    assert set(completed) == begun
    assert [event.type for event in history].count("run_ended") == 1
    assert history[-1].type == "run_ended"
    for event in history:
        assert json.loads(json.dumps(event.to_json())) == event.to_json()
