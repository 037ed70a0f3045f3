"""The client: once however often, certain or loud, and quiet until the caller's commit."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from dramaturg.engine.client import AsyncClient, Client, Run, output_of
from dramaturg.engine.errors import Conflict, RunCancelled, RunFailed, RunTimedOut, Unreachable


class Stored:
    """Stands in for the service: remembers ids, and fails when told to."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.started: list[str] = []
        self.calls: list[Any] = []
        self.looks = [{"id": "r", "status": "running", "finished_at": None}] * 2
        self.end: dict[str, Any] = {
            "id": "r",
            "status": "succeeded",
            "finished_at": "now",
            "output": {"n": 1},
        }

    def start(self, ref: str, parameters: dict[str, Any], *, id: str, **_: Any) -> SimpleNamespace:
        self.started.append(id)
        answer = self.answers.pop(0) if self.answers else None
        if answer:
            raise answer
        return SimpleNamespace(run_id=id, key=len(self.started), created=True)

    def _asked(self, *call: Any, **more: Any) -> SimpleNamespace:
        self.calls.append((*call, more))
        answer = self.answers.pop(0) if self.answers else None
        if answer:
            raise answer
        return SimpleNamespace(target="r", status="running", asked=True, key=len(self.calls))

    def signal(self, run_id: str, name: str, payload: Any, **more: Any) -> SimpleNamespace:
        return self._asked("signal", run_id, name, payload, **more)

    def answer(self, run_id: str, task: str | None, value: Any, **more: Any) -> SimpleNamespace:
        return self._asked("answer", run_id, task, value, **more)

    def complete(self, target: str, result: Any, **more: Any) -> SimpleNamespace:
        return self._asked("complete", target, result, **more)

    def fail(self, target: str, message: str, **more: Any) -> SimpleNamespace:
        return self._asked("fail", target, message, **more)

    def awaits(self, run_id: str) -> list[dict[str, Any]]:
        return [{"task": "t", "kind": "signal", "name": "go"}]

    def describe(self, run_id: str) -> dict[str, Any]:
        return self.looks.pop() if self.looks else self.end

    def wait(self, run_id: str, timeout: float | None) -> dict[str, Any]:
        return self.end


def client(service: Stored, *, patience: float = 5.0) -> tuple[Client, list[Any]]:
    """Return a client and the list of what it announces."""
    said: list[Any] = []
    return Client(service, said.append, patience=patience), said  # type: ignore[arg-type]


def test_an_uncertain_start_is_tried_again_under_the_same_id() -> None:
    """Two lost connections: three attempts, one id, one announcement."""
    service = Stored(Unreachable("gone"), Unreachable("gone"))
    it, said = client(service)
    run = it.start("a.b")
    assert service.started == [run.id] * 3
    assert said == [3]


def test_a_start_that_stays_uncertain_is_loud() -> None:
    """When patience is over the error says so; nothing is announced."""
    service = Stored(*[Unreachable("gone")] * 9)
    it, said = client(service, patience=0.0)
    with pytest.raises(Unreachable):
        it.start("a.b", id="mine")
    assert service.started == ["mine"]
    assert said == []


def test_a_conflict_is_not_tried_again() -> None:
    """What another attempt can't mend is raised at once."""
    service = Stored(Conflict("taken"))
    with pytest.raises(Conflict):
        client(service)[0].start("a.b", id="mine")
    assert service.started == ["mine"]


def test_ids_of_the_client_are_in_the_order_of_time() -> None:
    """Without an id each start has its own, later ones sorted behind."""
    service = Stored()
    it, _ = client(service)
    for _ in range(20):
        it.start("a.b")
    assert service.started == sorted(set(service.started))


def test_a_start_in_a_session_is_announced_after_its_commit() -> None:
    """Not before, not at the end of a savepoint, and once."""
    it, said = client(Stored())
    with Session(create_engine("sqlite://")) as session:
        with session.begin_nested():
            it.start("a.b", id="one", session=session)
        assert said == []
        it.start("a.b", id="two", session=session)
        assert said == []
        session.commit()
        assert said == [1, 2]
        session.connection()
        session.commit()
        assert said == [1, 2]


def test_a_start_in_a_session_that_is_rolled_back_is_never_announced() -> None:
    """The next transaction of the same session does not announce it, either."""
    it, said = client(Stored())
    with Session(create_engine("sqlite://")) as session:
        session.connection()
        it.start("a.b", id="one", session=session)
        session.rollback()
        session.connection()
        session.commit()
        assert said == []


def test_a_start_in_a_session_is_not_tried_again() -> None:
    """The caller's transaction is lost with its connection; only the caller can begin another."""
    service = Stored(Unreachable("gone"))
    with Session(create_engine("sqlite://")) as session, pytest.raises(Unreachable):
        client(service)[0].start("a.b", session=session)
    assert len(service.started) == 1


@pytest.mark.parametrize(
    ("status", "error"), [("failed", RunFailed), ("timed_out", RunTimedOut), ("cancelled", RunCancelled)]
)
def test_an_end_without_success_is_raised_with_error_and_output(status: str, error: type[RunFailed]) -> None:
    """Each end has its exception, and nothing of what the run left is lost."""
    end = {"id": "r", "status": status, "error": {"type": "Fail", "message": "no"}, "output": {"part": 1}}
    with pytest.raises(error) as caught:
        output_of(end)
    assert type(caught.value) is error
    assert caught.value.error is not None
    assert (caught.value.run_id, caught.value.error.type, caught.value.output) == ("r", "Fail", {"part": 1})


def test_the_async_client_waits_without_a_thread_for_each() -> None:
    """start, then result: looked at until it has ended."""

    async def scenario() -> Any:
        it = AsyncClient(client(Stored())[0])
        run = await it.start("a.b", {"x": 1}, id="mine")
        assert run.id == "mine"
        return await run.result(timeout=10)

    assert asyncio.run(scenario()) == {"n": 1}


def test_the_async_result_is_given_up_in_time() -> None:
    """A run that does not end: TimeoutError with the run's id."""
    service = Stored()
    service.end = service.looks[0]

    async def scenario() -> None:
        run = await AsyncClient(client(service)[0]).start("a.b", id="mine")
        await run.result(timeout=0.05)

    with pytest.raises(TimeoutError, match="mine"):
        asyncio.run(scenario())


def test_an_uncertain_signal_is_sent_again_under_the_same_key() -> None:
    """A signal that was stored before the connection broke is not sent twice; another call is another signal."""
    service = Stored(Unreachable("gone"), Unreachable("gone"))
    it, said = client(service)
    Run(it, "r").signal("approve", {"by": "kim"}, by="kim")
    assert [call[:4] for call in service.calls] == [("signal", "r", "approve", {"by": "kim"})] * 3
    keys = {call[4]["key"] for call in service.calls}
    assert len(keys) == 1
    assert said == [3]
    it.signal("r", "approve")
    assert service.calls[-1][4]["key"] not in keys
    it.signal("r", "approve", key="mine")
    assert service.calls[-1] == ("signal", "r", "approve", None, {"by": "client", "key": "mine"})


@pytest.mark.parametrize("how", ["complete", "fail"])
def test_what_is_ended_by_token_is_tried_again(how: str) -> None:
    """A token stands for one attempt only, so that asking again can do no harm."""
    service = Stored(Unreachable("gone"))
    it, said = client(service)
    getattr(it, how)("a-token", "x")
    assert [call[1] for call in service.calls] == ["a-token"] * 2
    assert said == [2]


@pytest.mark.parametrize("how", ["complete", "fail"])
def test_what_is_ended_by_number_is_not_tried_again(how: str) -> None:
    """Once the first try was stored, the number may stand for the next attempt."""
    service = Stored(Unreachable("gone"))
    it, said = client(service)
    with pytest.raises(Unreachable):
        getattr(it, how)(17)
    assert [call[1] for call in service.calls] == ["17"]
    assert said == []


def test_an_answer_is_not_tried_again() -> None:
    """The next question of the run would get the same answer."""
    service = Stored(Unreachable("gone"))
    it, _ = client(service)
    with pytest.raises(Unreachable):
        Run(it, "r").answer({"yes": True}, "ask")
    assert service.calls == [("answer", "r", "ask", {"yes": True}, {"by": "client"})]


def test_a_conflict_after_an_uncertain_try_says_that_it_may_be_our_own() -> None:
    """The first try may have been stored: whoever reads the conflict must know."""
    service = Stored(Unreachable("gone"), Conflict("it does not wait"), Conflict("it does not wait"))
    it, said = client(service)
    with pytest.raises(Conflict) as caught:
        it.complete("a-token")
    assert "the call itself" in caught.value.hint
    with pytest.raises(Conflict) as caught:
        it.complete("a-token")
    assert caught.value.hint == ""
    assert said == []


def test_a_failure_by_a_person_has_type_and_details() -> None:
    """All that an error can say."""
    service = Stored()
    client(service)[0].fail("a-token", "no room", type="Full", details={"left": 0}, by="kim")
    more = {"type": "Full", "details": {"left": 0}, "by": "kim"}
    assert service.calls == [("fail", "a-token", "no room", more)]


def test_the_async_client_asks_the_same() -> None:
    """signal, answer, complete, fail, awaits: each reaches the service, and is announced."""
    service = Stored()
    it, said = client(service)

    async def scenario() -> Any:
        both = AsyncClient(it)
        run = await both.start("a.b", id="r")
        await run.signal("go", 1, key="k")
        await both.signal("r", "go", 1, key="k")
        await run.answer(True)
        await both.answer("r", True)
        await both.complete("a-token", 2)
        await both.fail("a-token", "no", type="T", details=3)
        return await run.awaits()

    assert asyncio.run(scenario()) == [{"task": "t", "kind": "signal", "name": "go"}]
    by = {"by": "client"}
    assert service.calls == [
        *[("signal", "r", "go", 1, {**by, "key": "k"})] * 2,
        *[("answer", "r", None, True, by)] * 2,
        ("complete", "a-token", 2, by),
        ("fail", "a-token", "no", {"type": "T", "details": 3, **by}),
    ]
    assert said == [1, *range(1, 7)]
