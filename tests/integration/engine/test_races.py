"""What two do at once, and what comes in the worst moment: signals, cancelling, tokens, other runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dramaturg.engine.runtime import ActionOutcome, ActionRequest
from dramaturg.engine.sends import Send
from dramaturg.engine.step import Report
from dramaturg.engine.store.statements import Statement
from tests.world import World, failed


def announce(world: World, key: int) -> None:
    world.messages.append(Send(kind="interpret", id=key))


def before(world: World, statement: str, action: Callable[[], None]) -> None:
    """Do something once, just before a statement is run."""
    database = world.service.database

    def observe(name: str) -> None:
        if name == statement:
            database.on_statement = None
            action()

    database.on_statement = observe


def test_what_becomes_pending_while_its_run_is_cancelled_is_cancelled(world: World) -> None:
    """It did not wait when what waits was looked for, and does not run when what runs is."""
    world.write(job="tasks: {job: {action: t.do, timeout: 1000}}")
    host, worker = world.host(), world.host()
    run_id = world.start("t.job")
    host.apply(world.messages.pop().id, follow=False)
    [task] = world.messages
    world.messages.clear()
    claim = worker.stepper.claim(task.id)
    assert claim is not None

    def end() -> None:
        worker.stepper.complete(claim, Report(status="pending"))

    if world.service.database.dialect == "postgresql":
        before(world, "cancel_running", end)
    else:  # which has one writer at a time
        end()
    host.apply(world.service.cancel(run_id).key)
    world.settle(host, ticks=3)
    assert world.service.status(run_id) == "cancelled"


def test_a_signal_that_comes_too_late_for_one_wait_goes_to_the_next(world: World) -> None:
    """The time of the first one is over in the very decision that gives it the signal."""
    world.write(
        two="""
        tasks:
          one: {action: core.wait, total_timeout: 5, input: {signal: go}, next: [{when: timed_out, do: noop}, {publish: [a]}]}
          two: {action: core.wait, input: {signal: go}, next: [{publish: [b]}]}
        output_map: {a: '{{ workflow.a }}', b: '{{ workflow.b }}'}
        """
    )
    host = world.host()
    run_id = world.start("t.two")
    world.deliver(host)
    asked = world.service.signal(run_id, "go", 7)
    host.stepper.apply(asked.key)
    world.move(6)
    host.tick()
    world.deliver(host)
    world.settle(host, ticks=5)
    assert world.service.describe(run_id)["output"] == {"a": None, "b": 7}


@pytest.mark.parametrize("how", ["fails", "dies"])
def test_an_attempt_that_was_asked_to_stop_is_not_tried_again(world: World, how: str) -> None:
    """However it ends: whoever cancelled it does not want another one."""

    def script(request: ActionRequest) -> ActionOutcome:
        [task] = world.service.tasks(run_id)
        assert world.service.cancel(str(task["execution_id"])).asked
        if how == "dies" and len(world.attempts) == 1:
            world.move(1000)
            world.host().tick()
        return failed()

    world.script = script
    world.write(job="tasks: {job: {action: t.do, retry: {count: 3}}}")
    run_id = world.start("t.job")
    world.settle(world.host())
    assert len(world.attempts) == 1


@pytest.mark.parametrize("delay", [0, 3])
def test_who_serves_one_root_leaves_another_one_that_it_signals_alone(world: World, delay: int) -> None:
    """Its tasks are for other workers; a signal within the root is looked at here."""
    world.write(
        other="""
        tasks:
          gate: {action: core.wait, input: {signal: go}, next: [{do: job}]}
          job: {action: t.do}
        """,
        inner=f"tasks: {{send: {{action: core.signal, delay: {delay}, input: {{run: '{{{{ system.root_id }}}}', name: go}}}}}}",
        flow=f"""
        tasks:
          send: {{action: core.signal, delay: {delay}, input: {{run: other, name: go}}, next: [{{do: inner}}]}}
          inner: {{action: t.inner}}
          gate: {{action: core.wait, input: {{signal: go}}}}
        """,
    )
    world.start("t.other", id="other")
    world.deliver(world.host())
    started = world.service.start("t.flow")
    mine = world.host(root=started.key)
    announce(world, started.key)
    for _ in range(5):
        world.deliver(mine)
        world.move(2)
        mine.tick()
    assert world.service.status(started.run_id) == "succeeded"
    assert world.attempts == []
    world.move(10)
    world.settle(world.host())
    assert world.attempts == [("job", 1, -1, 1)]


def test_what_an_abandoned_run_is_given_is_its_own(world: World) -> None:
    """Large parameters and output; the time limit of the task that it was is void."""
    world.write(
        inner="""
        parameters: {big: {type: string}}
        tasks:
          gate: {action: core.wait, input: {signal: go}, next: [{do: job}]}
          job: {action: t.do, input: {big: '{{ parameters.big }}'}, next: [{publish: [{got: '{{ result() }}'}]}]}
        output_map: {got: '{{ workflow.got }}'}
        """,
        flow="""
        parameters: {big: {type: string}}
        tasks:
          child: {action: t.inner, type: workflow, parent_close: abandon, timeout: 100, input: {big: '{{ parameters.big }}'}}
        """,
    )
    host = world.host()
    big = "x" * 50_000
    run_id = world.start("t.flow", {"big": big})
    world.deliver(host)
    announce(world, world.service.cancel(run_id).key)
    world.deliver(host)
    assert world.service.status(run_id) == "cancelled"
    [child] = [one for one in world.service.runs(nested=True) if one["ref"] == "t.inner"]
    world.move(200)
    host.tick()
    world.deliver(host)
    assert world.service.status(str(child["id"])) == "running"
    announce(world, world.service.signal(str(child["id"]), "go").key)
    world.settle(host)
    described = world.service.describe(str(child["id"]))
    assert described["output"] == {"got": {"big": big}}


def test_what_a_run_has_told_itself_is_not_kept(world: World) -> None:
    """Looks for signals, and chunks of items: a run may live for years."""
    world.write(
        loop="""
        tasks:
          all: {action: t.do, with_items: '{{ range(1200) }}', concurrency: 1, next: [{do: gate}]}
          first: {next: [{do: gate}]}
          gate: {action: core.wait, input: {signal: go}, next: [{do: gate}]}
        """
    )
    world.script = lambda request: failed()
    host = world.host()
    run_id = world.start("t.loop")
    world.deliver(host)
    for number in range(5):
        announce(world, world.service.signal(run_id, "go", number).key)
        world.deliver(host)
    assert kinds(world) == {"signal": 5}


def kinds(world: World) -> dict[str, int]:
    count = Statement("count", "SELECT kind, count(*) FROM inbox GROUP BY kind")
    return {row[0]: row[1] for row in world.service.database.ask(count)}


def test_a_run_whose_interpreter_raises_is_terminated_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the interpreter is needed for it."""
    world.write(job="tasks: {job: {action: t.do}}")

    def broken(*_: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr("dramaturg.engine.step.advance", broken)
    run_id = world.start("t.job")
    host = world.host()
    world.deliver(host)
    announce(world, world.service.terminate(run_id).key)
    world.deliver(host)
    assert world.service.status(run_id) == "cancelled"
    world.verify()
