"""The client: once however often, certain or loud, and quiet until the caller's commit."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from dramaturg.engine.client import AsyncClient, Client, output_of
from dramaturg.engine.errors import Conflict, RunCancelled, RunFailed, RunTimedOut, Unreachable


class Stored:
    """Stands in for the service: remembers ids, and fails when told to."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.started: list[str] = []
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
