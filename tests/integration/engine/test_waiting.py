"""What waits for somebody, on each database: signals, answers, tokens, people, time limits, other runs."""

from __future__ import annotations

from typing import Any

import pytest

from dramaturg.engine.errors import Conflict, InvalidParameters, NotFound
from dramaturg.engine.runtime import ActionOutcome, ActionRequest
from dramaturg.engine.runtime.request import Beat
from dramaturg.engine.serve import Send
from tests.world import World, failed, succeeded

GATE = """
tasks:
  gate: {action: core.wait, input: {signal: go, timeout: 60}, next: [{publish: [got]}]}
output_map: {got: '{{ default(workflow.got, null) }}'}
"""


def announce(world: World, key: int) -> None:
    world.messages.append(Send(kind="interpret", id=key))


def output_of(world: World, run_id: str) -> Any:
    described = world.service.describe(run_id)
    assert described["status"] == "succeeded", described
    return described["output"]


def test_a_signal_ends_a_wait(world: World) -> None:
    """Whether it comes before or after; one that is sent twice counts once."""
    world.write(gate=GATE)
    host = world.host()
    early, late = world.start("t.gate"), world.start("t.gate")
    announce(world, world.service.signal(early, "go", [1], key="k").key)
    assert not world.service.signal(early, "go", [2], key="k").asked
    world.deliver(host)
    assert output_of(world, early) == {"got": [1]}
    assert [one["kind"] for one in world.service.awaits(late)] == ["signal"]
    announce(world, world.service.signal(late, "go", "x" * 50_000).key)
    world.deliver(host)
    assert output_of(world, late) == {"got": "x" * 50_000}
    with pytest.raises(Conflict, match="has ended"):
        world.service.signal(late, "go")
    with pytest.raises(NotFound):
        world.service.signal("nobody", "go")
    world.verify()


def test_a_signal_for_a_wait_that_is_over_is_kept(world: World) -> None:
    """The clock may be faster: then the next wait of that name gets the signal."""
    world.write(
        two="""
        tasks:
          one: {action: core.wait, input: {signal: go, timeout: 5}, next: [{when: timed_out, do: two}]}
          two: {action: core.wait, input: {signal: go}, next: [{publish: [got]}]}
        output_map: {got: '{{ workflow.got }}'}
        """
    )
    host = world.host()
    run_id = world.start("t.two")
    world.deliver(host)
    world.move(6)
    asked = world.service.signal(run_id, "go", 7)
    host.tick()
    announce(world, asked.key)
    world.settle(host)
    assert output_of(world, run_id) == {"got": 7}


def test_items_wait_each_for_a_signal_of_its_own(world: World) -> None:
    """Also those that are let in later, and those whose delay is over."""
    world.write(
        many="""
        tasks:
          gates: {action: core.wait, with_items: [1, 2, 3], concurrency: 1, delay: 5, input: {signal: go}, next: [{publish: [all]}]}
        output_map: {all: '{{ workflow.all }}'}
        """
    )
    host = world.host()
    run_id = world.start("t.many")
    for value in "abc":
        announce(world, world.service.signal(run_id, "go", value).key)
    world.settle(host)
    assert output_of(world, run_id) == {"all": ["a", "b", "c"]}


ASK = """
tasks:
  ask:
    action: core.ask
    input: {prompt: 'How many?', response_schema: {type: integer, minimum: 1}}
    next: [{publish: [n]}]
output_map: {n: '{{ workflow.n }}'}
"""


def test_a_question_is_answered_once(world: World) -> None:
    """By what its schema allows; the second answer is refused, and so is one that nobody asked for."""
    world.write(ask=ASK)
    host = world.host()
    run_id = world.start("t.ask")
    with pytest.raises(NotFound, match="asks nothing"):
        world.service.answer(run_id, value=1)
    world.deliver(host)
    [question] = world.service.awaits(run_id)
    assert (question["kind"], question["prompt"]) == ("answer", "How many?")
    with pytest.raises(InvalidParameters, match="must be at least 1"):
        world.service.answer(run_id, "ask", 0)
    announce(world, world.service.answer(run_id, "ask", 3, by="kim").key)
    with pytest.raises((Conflict, NotFound)):
        world.service.answer(run_id, "ask", 4)
    world.settle(host)
    assert output_of(world, run_id) == {"n": 3}
    told = [one for one in world.service.history(run_id) if one["type"] == "question_answered"]
    assert told[0]["data"] == {"by": "kim"}
    with pytest.raises((Conflict, NotFound)):
        world.service.answer(run_id, "ask", 4)


JOB = """
tasks:
  job: {action: t.do, timeout: 60, retry: {count: 1}, next: [{publish: [got]}]}
output_map: {got: '{{ workflow.got }}'}
"""


def pending(request: ActionRequest) -> ActionOutcome:
    return ActionOutcome(status="pending")


def test_the_question_of_an_item_is_answered_by_its_number(world: World) -> None:
    """Several have one name together; an answer is held against the schema by this way, too."""
    world.write(
        votes="""
        tasks:
          vote:
            action: core.ask
            with_items: [a, b]
            input: {prompt: "{{ item }}?", response_schema: {type: boolean}}
            next: [{publish: [votes]}]
        output_map: {votes: '{{ workflow.votes }}'}
        """
    )
    host = world.host()
    run_id = world.start("t.votes")
    world.deliver(host)
    first, second = sorted(world.service.awaits(run_id), key=lambda one: int(one["item"]))
    assert [first["prompt"], second["prompt"]] == ["a?", "b?"]
    with pytest.raises(Conflict, match="several questions"):
        world.service.answer(run_id, "vote", True)
    with pytest.raises(InvalidParameters, match="true or false"):
        world.service.complete(str(first["execution_id"]), "perhaps")
    announce(world, world.service.complete(str(second["execution_id"]), False).key)
    world.deliver(host)
    announce(world, world.service.answer(run_id, "vote", True).key)
    world.deliver(host)
    assert output_of(world, run_id) == {"votes": [True, False]}
    world.verify()


def test_a_pending_attempt_is_completed_by_its_token(world: World) -> None:
    """A failure is tried again like any; then the token of before is worth nothing."""
    tokens: list[str] = []

    def script(request: ActionRequest) -> ActionOutcome:
        tokens.append(request.token)
        return pending(request)

    world.script = script
    world.write(job=JOB)
    host = world.host()
    run_id = world.start("t.job")
    world.deliver(host)
    [waits] = world.service.awaits(run_id)
    assert (waits["kind"], waits["token"]) == ("completion", tokens[0])
    announce(world, world.service.fail(tokens[0], "no paper").key)
    world.deliver(host)
    assert len(tokens) == 2
    with pytest.raises(Conflict, match="does not wait"):
        world.service.complete(tokens[0], 1)
    announce(world, world.service.complete(tokens[1], {"pages": 12}).key)
    world.settle(host)
    assert output_of(world, run_id) == {"got": {"pages": 12}}
    for unknown in ("77", "x", f"99-{tokens[0]}"):
        with pytest.raises(NotFound):
            world.service.complete(unknown)


def test_a_result_that_is_given_is_what_the_action_declares(world: World) -> None:
    """Otherwise it is refused, and the attempt goes on waiting."""
    world.script = pending
    world.write()
    action = world.folder / "t" / "actions" / "count.yaml"
    action.write_text("runtime: python\nentry_point: do.py\noutput: {n: {type: integer, required: true}}\n")
    world.write(
        job="""
        tasks: {job: {action: t.count, next: [{publish: [got]}]}}
        output_map: {got: '{{ workflow.got }}'}
        """
    )
    host = world.host()
    run_id = world.start("t.job")
    world.deliver(host)
    [waits] = world.service.awaits(run_id)
    with pytest.raises(InvalidParameters, match="'n' must be a whole number"):
        world.service.complete(waits["token"], {"n": "no"})
    # A run knows an action as it was when it started.
    action.write_text("runtime: python\nentry_point: do.py\noutput: {m: {type: string, required: true}}\n")
    world.service.register()
    announce(world, world.service.complete(waits["token"], {"n": 3}).key)
    world.settle(host)
    assert output_of(world, run_id) == {"got": {"n": 3}}


def test_a_token_is_good_while_the_action_still_runs(world: World) -> None:
    """Who completes it may be faster than the action that started it."""

    def script(request: ActionRequest) -> ActionOutcome:
        world.service.complete(request.token, "early")
        return pending(request)

    world.script = script
    world.write(job=JOB)
    run_id = world.start("t.job")
    world.settle(world.host())
    assert output_of(world, run_id) == {"got": "early"}


def test_a_pending_attempt_that_nobody_completes_times_out(world: World) -> None:
    """By its own timeout, and is tried again."""
    world.script = lambda request: pending(request) if request.attempt == 1 else succeeded("second")
    world.write(job=JOB)
    run_id = world.start("t.job")
    world.settle(world.host(), step=61)
    assert output_of(world, run_id) == {"got": "second"}


def test_an_attempt_that_is_asked_to_stop_does_not_become_pending(world: World) -> None:
    """Nobody would end it any more."""

    def script(request: ActionRequest) -> ActionOutcome:
        announce(world, world.service.cancel(run_id).key)
        world.deliver(world.host())
        return pending(request)

    world.script = script
    world.write(job=JOB)
    host = world.host()
    run_id = world.start("t.job")
    world.settle(host)
    assert world.service.status(run_id) == "cancelled"


def test_a_start_that_is_cancelled_before_it_is_made_starts_nothing(world: World) -> None:
    """A failure of the same decision closes the run first."""
    world.write(
        other=OTHER,
        flow="""
        tasks:
          s: {action: core.start, input: {ref: t.other, parameters: {n: 1}, id: other}}
          bad: {next: [{do: fail}]}
        """,
    )
    run_id = world.start("t.flow")
    world.settle(world.host())
    assert world.service.status(run_id) == "failed"
    assert [one["ref"] for one in world.service.runs()] == ["t.flow"]


def test_what_stands_for_several_is_not_cancelled_as_one(world: World) -> None:
    """Asking would do nothing: it is said."""
    world.write(flow="tasks: {both: {type: parallel, tasks: {a: {action: core.wait, input: {signal: x}}}}}")
    run_id = world.start("t.flow")
    world.deliver(world.host())
    group, member = world.service.tasks(run_id)
    with pytest.raises(Conflict, match="stands for several tasks"):
        world.service.cancel(str(group["execution_id"]))
    announce(world, world.service.cancel(str(member["execution_id"])).key)
    world.settle(world.host())
    assert [one["status"] for one in world.service.tasks(run_id)] == ["failed", "cancelled"]


def test_the_last_heartbeat_reaches_the_next_attempt(world: World) -> None:
    """Of an attempt that failed, and of one whose worker died; progress is shown meanwhile."""
    seen: list[Any] = []

    def script(request: ActionRequest) -> ActionOutcome:
        seen.append(request.last_heartbeat)
        assert request.on_beat is not None
        request.on_beat(Beat(details={"at": request.attempt}, progress=None, message=None, heartbeat=True))
        request.on_beat(Beat(details=None, progress=0.5, message="half", heartbeat=False))
        if request.attempt == 1:
            host.renew()
            [task] = world.service.tasks(run_id)
            assert (task["progress"], task["message"]) == (0.5, "half")
        return failed() if request.attempt < 3 else succeeded()

    world.script = script
    world.write(job="tasks: {job: {action: t.do, retry: {count: 5}}}")
    host = world.host()
    run_id = world.start("t.job")
    world.settle(host)
    assert seen == [None, {"at": 1}, {"at": 2}]


def test_what_no_worker_takes_times_out(world: World) -> None:
    """schedule_timeout counts from when it may be taken, and is not retried."""
    world.write(job="tasks: {job: {action: t.do, delay: 20, schedule_timeout: 10, retry: {count: 3}}}")
    host = world.host()
    run_id = world.start("t.job")
    world.deliver(host)
    world.move(21)
    host.tick()
    world.messages.clear()
    assert world.service.status(run_id) == "running"
    world.move(11)
    host.tick()
    world.settle(host)
    error = world.service.describe(run_id)["error"]
    assert error["details"] == {"kind": "schedule_to_start", "seconds": 10.0}
    assert world.attempts == []


def test_total_timeout_stops_what_runs_and_what_waits(world: World) -> None:
    """An attempt that reports success afterwards has timed out all the same."""

    def script(request: ActionRequest) -> ActionOutcome:
        world.move(11)
        host.tick()
        world.deliver(world.host())
        return succeeded("late")

    world.script = script
    world.write(
        job="""
        tasks: {job: {action: t.do, total_timeout: 10, retry: {count: 3}, next: [{when: timed_out, publish: [got], do: noop}]}}
        output_map: {got: '{{ workflow.got }}'}
        """
    )
    host = world.host()
    run_id = world.start("t.job")
    world.settle(host)
    assert output_of(world, run_id) == {"got": "late"}
    [done] = [one for one in world.service.history(run_id) if one["type"] == "task_completed"]
    assert (done["status"], done["data"]["error"]["details"]["kind"]) == ("timed_out", "schedule_to_close")
    assert len(world.attempts) == 1


OTHER = """
parameters: {n: {type: integer, required: true}}
tasks: {gate: {action: core.wait, input: {signal: go}, next: [{publish: [got]}]}}
output_map: {got: '{{ workflow.got + parameters.n }}'}
"""
STARTER = """
tasks:
  start: {action: core.start, input: {ref: t.other, parameters: {n: 1}, id: other}, next: [{when: succeeded, publish: [{run: '{{ result().run_id }}'}], do: send}]}
  send: {action: core.signal, delay: 3, input: {run: '{{ run }}', name: go, payload: 41}}
output_map: {run: '{{ workflow.run }}'}
"""


def test_one_run_starts_another_and_signals_it(world: World) -> None:
    """The other one goes on by itself; no worker has to do anything for it."""
    world.write(other=OTHER, starter=STARTER)
    run_id = world.start("t.starter")
    world.settle(world.host())
    assert output_of(world, run_id) == {"run": "other"}
    assert output_of(world, "other") == {"got": 42}
    assert world.attempts == []


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"ref": "t.nothing"}, "UnknownAction"),
        ({"ref": "t.other", "parameters": {"n": "x"}}, "InvalidInput"),
        ({"ref": "t.other", "parameters": {"n": 2}, "id": "taken"}, "Conflict"),
    ],
)
def test_a_start_that_is_refused_fails_its_task(world: World, given: dict[str, Any], kind: str) -> None:
    """And nothing else."""
    world.write(
        other=OTHER,
        starter="""
        parameters: {given: {type: object}}
        tasks: {s: {action: core.start, input: {ref: '{{ parameters.given.ref }}', parameters: '{{ parameters.given.parameters | default({}) }}', id: '{{ parameters.given.id | default(null) }}'}}}
        """,
    )
    world.service.start("t.other", {"n": 1}, id="taken")
    run_id = world.start("t.starter", {"given": given})
    world.deliver(world.host())
    assert world.service.describe(run_id)["error"]["type"] == kind


WAITS_FOR_A_PERSON = """
unhandled_failure: wait
tasks:
  a: {action: t.do, next: [{when: succeeded, publish: [got], do: b}]}
  b: {action: t.do}
output_map: {got: '{{ default(workflow.got, null) }}'}
"""


def test_a_failure_waits_for_a_person(world: World) -> None:
    """Who completes the task, or fails it for good; the second one who tries is told."""
    world.script = lambda request: failed() if request.task == "a" else succeeded()
    world.write(flow=WAITS_FOR_A_PERSON)
    host = world.host()
    good, bad, cancelled = (world.start("t.flow") for _ in range(3))
    world.deliver(host)
    numbers = {}
    for run_id in (good, bad, cancelled):
        assert world.service.status(run_id) == "waiting"
        [waits] = world.service.awaits(run_id)
        assert (waits["kind"], waits["error"]["type"]) == ("person", "Boom")
        numbers[run_id] = str(waits["execution_id"])
    announce(world, world.service.complete(numbers[good], 5, by="kim").key)
    with pytest.raises(Conflict):
        world.service.complete(numbers[good], 6)
    announce(world, world.service.fail(numbers[bad], "give up", type="GivenUp").key)
    announce(world, world.service.cancel(cancelled).key)
    world.deliver(host)
    assert output_of(world, good) == {"got": 5}
    assert world.service.describe(bad)["error"]["type"] == "GivenUp"
    assert world.service.status(cancelled) == "cancelled"
    assert [(one["task"], one["visit"], one["status"]) for one in world.service.tasks(good)] == [
        ("a", 1, "failed"),
        ("a", 2, "succeeded"),
        ("b", 1, "succeeded"),
    ]
    world.verify()


INNER = "tasks: {gate: {action: core.wait, input: {signal: go}}}"


@pytest.mark.parametrize(
    ("policy", "status", "kind"),
    [
        ("cancel", "cancelled", "Cancelled"),
        ("terminate", "cancelled", "Terminated"),
        ("abandon", "running", None),
    ],
)
def test_what_becomes_of_a_nested_run(world: World, policy: str, status: str, kind: str | None) -> None:
    """When the run around it is cancelled."""
    world.write(
        inner=INNER,
        outer=f"tasks: {{n: {{type: workflow, action: t.inner, parent_close: {policy}}}}}",
    )
    host = world.host()
    run_id = world.start("t.outer")
    world.deliver(host)
    announce(world, world.service.cancel(run_id).key)
    world.deliver(host)
    assert world.service.status(run_id) == "cancelled"
    [nested] = [one for one in world.service.runs(nested=True) if one["ref"] == "t.inner"]
    described = world.service.describe(str(nested["id"]))
    assert (described["status"], (described["error"] or {}).get("type")) == (status, kind)
    if policy == "abandon":
        announce(world, world.service.signal(str(nested["id"]), "go").key)
        world.deliver(host)
        assert world.service.status(str(nested["id"])) == "succeeded"
    assert world.service.verify(run_id) == []


def test_a_run_is_ended_at_once(world: World) -> None:
    """With everything in it: what runs is fenced off, its result refused, nested runs end too."""
    world.write(
        inner=INNER,
        outer="""
        tasks:
          n: {action: t.inner}
          both: {type: parallel, tasks: {x: {action: t.do}, y: {action: core.wait, input: {signal: no}}}}
          items: {action: core.wait, with_items: [1, 2, 3], concurrency: 2, input: {signal: no}}
        """,
    )

    def script(request: ActionRequest) -> ActionOutcome:
        announce(world, world.service.terminate(run_id, by="kim", reason="enough").key)
        world.deliver(world.host())
        return succeeded()

    world.script = script
    host = world.host()
    run_id = world.start("t.outer")
    world.deliver(host)
    described = world.service.describe(run_id)
    assert (described["status"], described["error"]["type"]) == ("cancelled", "Terminated")
    assert "by kim: enough" in described["error"]["message"]
    assert {one["status"] for one in world.service.runs(nested=True)} == {"cancelled"}
    assert world.service.verify(run_id) == []


def test_an_action_that_is_no_workflow_is_run(world: World) -> None:
    """As a run of one task: its result is the output, its failure the run's."""
    world.script = lambda request: succeeded([1, 2]) if request.input == {"x": 1} else failed()
    world.write()
    good, bad = world.start("t.do", {"x": 1}), world.start("t.do", {})
    asleep = world.start("core.sleep", {"seconds": 3})
    world.settle(world.host())
    assert output_of(world, good) == [1, 2]
    assert output_of(world, asleep) == {}
    described = world.service.describe(bad)
    assert (described["status"], described["error"]["type"], described["output"]) == ("failed", "Boom", None)
