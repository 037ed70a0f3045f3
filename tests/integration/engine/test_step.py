"""The step protocol on real databases: claims, completions, fencing, the second look, what a crash leaves behind."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlmodel import Session, select
from world import World, failed, succeeded

from dramaturg.engine import failpoints
from dramaturg.engine.errors import Failure
from dramaturg.engine.runtime import ActionOutcome, ActionRequest
from dramaturg.engine.step import Report, Stepper
from dramaturg.engine.store.database import Transaction
from dramaturg.engine.store.statements import Statement
from dramaturg.engine.store.tables import Execution

TWO = """
    tasks:
      one: {action: t.do, input: {n: 1}, next: [{when: succeeded, do: two}]}
      two: {action: t.do, input: {n: "{{ task.one.result.n + 1 }}"}}
    output_map: {n: "{{ task.two.result.n }}"}
"""
FORK = """
    tasks:
      a: {action: t.do, next: [{do: end}]}
      b: {action: t.do, next: [{do: end}]}
      end: {action: t.do, join: all}
"""


@pytest.fixture(autouse=True)
def _disarmed() -> object:
    yield
    failpoints.disarm()


def executions(world: World, run_id: str) -> dict[tuple[str, int, int], Execution]:
    """Return a run's executions by place."""
    key = _key(world, run_id)
    with Session(world.service.database.engine) as session:
        rows = session.exec(select(Execution).where(Execution.run == key)).all()
        session.expunge_all()
    return {(row.task, row.visit, row.item): row for row in rows}


def _key(world: World, run_id: str) -> int:
    from dramaturg.engine.store import queries

    with world.service.database.read() as tx:
        return int(tx.run(queries.STATUS, {"run_id": run_id})[0][0])


def test_a_run_of_two_tasks_runs_to_its_output(world: World) -> None:
    """The simplest run: started, done task by task, its output rendered."""
    world.write(two=TWO)
    run_id = world.start("t.two")
    world.deliver(world.host())
    described = world.service.describe(run_id)
    assert described["status"] == "succeeded"
    assert described["output"] == {"n": 2}
    assert world.attempts == [("one", 1, -1, 1), ("two", 1, -1, 1)]


def test_a_doubled_message_does_nothing(world: World) -> None:
    """Every message may come twice: each attempt is still made once."""
    world.write(fork=FORK)
    host = world.host()
    run_id = world.start("t.fork")
    while world.messages:
        message = world.messages.pop(0)
        world.hand(host, message)
        world.hand(host, message)
    assert world.service.status(run_id) == "succeeded"
    assert sorted(world.attempts) == [("a", 1, -1, 1), ("b", 1, -1, 1), ("end", 1, -1, 1)]


@pytest.mark.parametrize("seed", range(5))
def test_messages_in_any_order(world: World, seed: int) -> None:
    """The order in which messages arrive changes nothing of the outcome."""
    world.write(fork=FORK)
    chance = random.Random(seed)
    run_id = world.start("t.fork")
    world.deliver(world.host(), choose=lambda messages: chance.randrange(len(messages)))
    assert world.service.status(run_id) == "succeeded"


def test_lost_messages_are_sent_again_by_a_clock(world: World) -> None:
    """Whatever was sent and lost, a tick finds after its patience."""
    world.write(fork=FORK)
    host = world.host()
    run_id = world.start("t.fork")
    for _ in range(20):
        world.messages.clear()
        host.renew()
        world.move(70)
        host.tick()
        if world.messages:
            world.hand(host, world.messages[0])
        if world.service.status(run_id) == "succeeded":
            break
    assert world.service.status(run_id) == "succeeded"
    assert len(world.attempts) == 3


def test_a_completion_with_a_stale_nonce_is_refused(make_world: Callable[..., World]) -> None:
    """A worker that was given up reports late: its report changes nothing (fencing)."""
    world = make_world(eager=False)
    world.write(two=TWO)
    host = world.host()
    run_id = world.start("t.two")
    world.hand(host, world.messages.pop(0))
    [message] = world.messages
    claim = host.stepper.claim(message.id)
    assert claim is not None
    assert host.stepper.claim(message.id) is None
    world.messages.clear()
    world.move(world.settings.lease + 1)
    host.tick()
    late = host.stepper.complete(claim, Report(status="succeeded", result={"n": 99}))
    assert late.result == "refused"
    world.settle(host)
    assert world.service.describe(run_id)["output"] == {"n": 2}
    history = world.service.history(run_id)
    lost = [r["data"]["error"]["type"] for r in history if r["type"] == "attempt_ended"]
    assert lost == ["LeaseLost"]


def test_a_lost_worker_is_made_up_for_three_times_then_the_task_fails(world: World) -> None:
    """`on_lost: rerun`: three times at most, then LeaseLost (LANGUAGE 4)."""
    world.write(two=TWO)
    host = world.host()
    run_id = world.start("t.two")
    failpoints.arm("action.ended", _die)
    for _ in range(12):
        try:
            world.deliver(host)
        except _Died:
            world.messages.clear()
        world.move(world.settings.lease + 5)
        host.tick()
    described = world.service.describe(run_id)
    assert described["status"] == "failed"
    assert described["error"]["type"] == "LeaseLost"


@pytest.mark.parametrize(
    "point",
    [
        "claim.begin", "claim.committed", "action.ended", "complete.begin", "complete.locked", "complete.decided",
        "complete.committed", "apply.committed", "send.begin", "send.done", "tick.begin", "tick.committed",
    ],
)  # fmt: skip
def test_a_worker_that_dies_anywhere_is_made_up_for(world: World, point: str) -> None:
    """Killed once at each point of the protocol, the run still ends right, and each completion counts once."""
    world.write(fork=FORK)
    run_id = world.start("t.fork")
    first = world.host()
    died = _once(point)
    try:
        world.deliver(first)
        first.tick()
    except _Died:
        world.messages.clear()
    second = world.host()
    world.move(world.settings.lease + 5)
    world.settle(second)
    assert died or point.startswith("tick")
    assert world.service.status(run_id) == "succeeded"
    completed = [
        (r["task"], r["visit"]) for r in world.service.history(run_id) if r["type"] == "task_completed"
    ]
    assert sorted(completed) == [("a", 1), ("b", 1), ("end", 1)]


def test_two_workers_complete_at_once_and_nothing_is_left(make_world: Callable[..., World]) -> None:
    """Many threads complete items of one run: busy locks, second looks, and in the end nothing that was not applied."""
    world = make_world(eager=True)
    world.write(
        many="""
        tasks:
          each: {action: t.do, with_items: "{{ range(40) }}", input: {n: "{{ item }}"}, next: [{do: end}]}
          end: {action: t.do}
        output_map: {n: "{{ task.each.result | length }}"}
        """
    )
    run_id = world.start("t.many")
    hosts = [world.host() for _ in range(4)]
    lock = threading.Lock()

    def work(host: object) -> None:
        while True:
            with lock:
                if not world.messages:
                    return
                message = world.messages.pop(0)
            world.hand(host, message)  # type: ignore[arg-type]

    world.hand(hosts[0], world.messages.pop(0))
    threads = [threading.Thread(target=work, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    world.settle(hosts[0])
    described = world.service.describe(run_id)
    assert (described["status"], described["output"]) == ("succeeded", {"n": 40})
    assert len(world.attempts) == 41


def test_an_advance_that_raises_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is not failed by a bug of ours: the completion is kept, the error shown, the advance repeated."""
    from dramaturg.engine import step

    world.write(two=TWO)
    host = world.host()
    run_id = world.start("t.two")
    real, broken = step.advance, [True, True]

    def advance(*arguments: object) -> object:
        if len(world.attempts) == 1 and broken:
            broken.pop()
            raise ZeroDivisionError("a bug")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(step, "advance", advance)
    with world.counting() as statements:
        world.deliver(host)
    # It waits for its time: nobody goes round in circles meanwhile.
    assert statements.count("lock") < 10
    assert world.service.status(run_id) == "running"
    assert any("ZeroDivisionError: a bug" in finding.text for finding in world.service.doctor())
    world.settle(host)
    assert world.service.describe(run_id)["output"] == {"n": 2}
    assert len(world.attempts) == 2


def test_what_the_database_refuses_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a fault of this run alone, which the doctor names; no worker goes round in circles, or thinks that the database is away."""
    world.write(two=TWO)
    host = world.host()
    run_id = world.start("t.two")
    real, broken = Stepper._advance, [True, True]

    def advance(stepper: Stepper, tx: Transaction, *arguments: Any) -> Any:
        done = real(stepper, tx, *arguments)
        if len(world.attempts) == 1 and broken:
            broken.pop()
            tx.run(
                Statement(
                    "nothing", "INSERT INTO queue (name, claimed_at, claimed_sent_at) VALUES (NULL, 0, 0)"
                )
            )
        return done

    monkeypatch.setattr(Stepper, "_advance", advance)
    with world.counting() as statements:
        world.deliver(host)
    assert statements.count("lock") < 10
    assert world.service.status(run_id) == "running"
    assert any("the database refused it" in finding.text for finding in world.service.doctor())
    world.settle(host)
    assert world.service.describe(run_id)["output"] == {"n": 2}
    assert len(world.attempts) == 2


def test_retries_wait_in_the_database(world: World) -> None:
    """A backoff is a row with a due time: no message, no thread."""
    world.write(
        flaky="""
        tasks:
          t: {action: t.do, retry: {count: 3, delay: 10, backoff: exponential}}
        output_map: {n: "{{ task.t.attempts }}"}
        """
    )
    world.script = lambda request: succeeded() if request.attempt == 3 else failed()
    host = world.host()
    run_id = world.start("t.flaky")
    world.deliver(host)
    host.tick()
    assert (len(world.attempts), world.messages) == (1, [])
    world.move(10.5)
    host.tick()
    world.deliver(host)
    world.move(10.5)
    host.tick()
    assert (len(world.attempts), world.messages) == (2, [])
    world.move(10)
    host.tick()
    world.deliver(host)
    assert world.service.describe(run_id)["output"] == {"n": 3}


@pytest.mark.parametrize("delay", [0, 20])
@pytest.mark.parametrize("items", ["", "with_items: [1, 2], concurrency: 1, "])
def test_a_wait_is_tried_again_like_any_task(world: World, items: str, delay: int) -> None:
    """A sleep that its timeout cuts short begins anew, by the clock, in an item too."""
    retry = f"retry: {{count: 1, delay: {delay}}}"
    world.write(
        nap=f"tasks: {{t: {{action: core.sleep, timeout: 5, {retry}, {items}input: {{seconds: 60}}}}}}"
    )
    run_id = world.start("t.nap")
    world.settle(world.host())
    described = world.service.describe(run_id)
    assert (described["status"], described["error"]["type"]) == ("timed_out", "Timeout")
    ended = [r for r in world.service.history(run_id) if r["type"] == "attempt_ended"]
    assert [r["attempt"] for r in ended] == [1]


def test_a_nested_run_gives_its_result_to_the_run_around_it(world: World) -> None:
    """Three levels; every level is a run of its own with its parent and root."""
    world.write(
        outer="""
        parameters: {n: {type: integer, default: 1}}
        tasks: {mid: {action: t.middle, input: {n: "{{ parameters.n }}"}}}
        output_map: {n: "{{ task.mid.result.n }}"}
        """,
        middle="""
        parameters: {n: {type: integer, required: true}}
        tasks: {in: {action: t.inner, input: {n: "{{ parameters.n + 1 }}"}}}
        output_map: {n: "{{ task.in.result.n }}"}
        """,
        inner="""
        parameters: {n: {type: integer, required: true}}
        tasks: {work: {action: t.do, input: {n: "{{ parameters.n * 10 }}"}}}
        output_map: {n: "{{ task.work.result.n }}", parent: "{{ system.parent_id }}", root: "{{ system.root_id }}"}
        """,
    )
    run_id = world.start("t.outer", {"n": 3})
    world.settle(world.host())
    assert world.service.describe(run_id)["output"] == {"n": 40}
    inner = world.service.runs(ref="t.inner", nested=True)[0]
    output = world.service.describe(inner["id"])["output"]
    assert output["root"] == run_id
    assert output["parent"] == world.service.runs(ref="t.middle", nested=True)[0]["id"]


def test_nested_runs_that_begin_together_lose_none_of_their_tasks(world: World) -> None:
    """A thread that goes on with one of them claims nothing of the others: no lease has to run out."""
    world.write(
        outer="tasks: {a: {action: t.inner}, b: {action: t.inner}, c: {action: t.inner}}",
        inner="tasks: {work: {action: t.do}}",
    )
    run_id = world.start("t.outer")
    world.deliver(world.host())
    assert world.service.status(run_id) == "succeeded"
    assert world.attempts == [("work", 1, -1, 1)] * 3


def test_cancel_reaches_nested_runs_and_what_waits(world: World) -> None:
    """What only waits ends at once, what runs is asked to; nested runs end as cancelled first."""
    world.write(
        outer="tasks: {nest: {action: t.inner}, nap: {action: core.sleep, input: {seconds: 3600}}}",
        inner="tasks: {nap: {action: core.sleep, input: {seconds: 3600}}}",
    )
    host = world.host()
    run_id = world.start("t.outer")
    world.deliver(host)
    asked = world.service.cancel(run_id, by="kim", reason="enough")
    assert asked.asked
    assert not world.service.cancel(run_id, by="kim", reason="again").asked
    host.apply(asked.key)
    world.deliver(host)
    described = world.service.describe(run_id)
    assert described["status"] == "cancelled"
    assert described["error"]["message"] == "the run was cancelled by kim: enough"
    assert [run["status"] for run in world.service.runs(nested=True)] == ["cancelled", "cancelled"]


def test_a_running_action_is_told_to_stop(make_world: Callable[..., World]) -> None:
    """The lease thread reads the flag and sets the action's stop."""
    world = make_world()
    world.write(two=TWO)
    host = world.host()
    began = threading.Event()

    def wait_for_stop(request: ActionRequest, stop: object) -> ActionOutcome:
        began.set()
        assert stop.wait(20)  # type: ignore[attr-defined]
        return ActionOutcome(status="cancelled", error=Failure(type="Cancelled", message="stopped"))

    host._run = wait_for_stop
    run_id = world.start("t.two")
    thread = threading.Thread(target=world.deliver, args=(host,))
    thread.start()
    assert began.wait(10)
    asked = world.service.cancel(run_id, by="test")
    other = world.host()
    other.apply(asked.key)
    host.renew()
    thread.join(20)
    world.deliver(other)
    assert world.service.status(run_id) == "cancelled"


def test_large_values_are_kept_apart(world: World) -> None:
    """A result over the soft threshold is in `payload` and comes back whole."""
    world.write(
        big="""
        vars: {text: ""}
        tasks:
          make: {action: t.do, next: [{publish: {text: "{{ result().text }}"}, do: use}]}
          use: {action: t.do, input: {text: "{{ workflow.text }}"}}
        output_map: {text: "{{ task.use.result.text }}"}
        """
    )
    text = "x" * 40_000
    world.script = lambda request: succeeded({"text": text})
    run_id = world.start("t.big")
    world.deliver(world.host())
    assert world.service.describe(run_id)["output"] == {"text": text}
    assert executions(world, run_id)["make", 1, -1].result.startswith("@")  # type: ignore[union-attr]


class _Died(BaseException):
    """The process ends here: nothing behind it runs."""


def _die() -> None:
    raise _Died


def _once(point: str) -> list[bool]:
    died: list[bool] = []

    def die() -> None:
        if not died:
            died.append(True)
            raise _Died

    failpoints.arm(point, die)
    return died
