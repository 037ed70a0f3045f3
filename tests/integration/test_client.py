"""The public client and worker, on real databases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from dramaturg import AsyncClient, Client, Conflict, NotFound, RunCancelled, RunFailed, Worker
from dramaturg.engine.client import Run
from dramaturg.engine.config import load_settings
from dramaturg.engine.errors import InvalidParameters, UsageError
from dramaturg.engine.service import Service

WORKFLOWS = {
    "double": """
parameters: {number: {type: integer, required: true}}
vars: {answer: null}
tasks:
  echo:
    action: core.echo
    input: {message: "{{ parameters.number * 2 }}"}
    next: [{when: succeeded, publish: [{answer: "{{ result().message }}"}]}]
output_map: {answer: "{{ workflow.answer }}"}
""",
    "refuse": """
tasks:
  refuse:
    action: core.fail
    input: {message: not today, type: Refused}
output_map: {kept: true}
""",
    "doze": """
tasks:
  doze: {action: core.sleep, input: {seconds: 3600}}
""",
    "talk": """
vars: {heard: null, told: null}
tasks:
  hear:
    action: core.wait
    input: {signal: word}
    next: [{when: succeeded, publish: [{heard: "{{ result() }}"}], do: ask}]
  ask:
    action: core.ask
    input: {prompt: Well?, response_schema: {type: integer}}
    next: [{when: succeeded, publish: [{told: "{{ result() }}"}]}]
output_map: {heard: "{{ workflow.heard }}", told: "{{ workflow.told }}"}
""",
    "parked": """
unhandled_failure: wait
tasks:
  break: {action: core.fail, input: {message: broken}}
output_map: {got: "{{ task.break.result }}"}
""",
}


@pytest.fixture
def given(tmp_path: Path, database_url: str) -> dict[str, Any]:
    """The settings of a client, with a pack of three workflows that is registered."""
    pack = tmp_path / "packs" / "demo"
    (pack / "workflows").mkdir(parents=True)
    (pack / "pack.yaml").write_text("ref: demo\nlabel: Demo\nversion: '1'\n")
    for name, definition in WORKFLOWS.items():
        (pack / "workflows" / f"{name}.yaml").write_text(f"ref: demo.{name}\n{definition}")
    settings = {"database_url": database_url, "packs": [pack.parent]}
    service = Service.open(load_settings(**settings), migrate=True)
    service.register()
    service.close()
    return settings


@pytest.fixture
def client(given: dict[str, Any]) -> Iterator[Client]:
    """A client with a worker beside it."""
    with Client(**given) as client, Worker(client, threads=2):
        yield client


@pytest.fixture
def engine(given: dict[str, Any]) -> Iterator[Engine]:
    """The caller's own engine on the same database, with a table of the caller's."""
    engine = create_engine(load_settings(**given).resolved_database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE parcel (number int)"))
    yield engine
    engine.dispose()


def test_a_run_is_started_once_and_gives_its_output(client: Client) -> None:
    """The same id and parameters are the same run; other parameters are a conflict."""
    run = client.start("demo.double", {"number": 4}, id="four")
    assert run.result(timeout=30) == {"answer": 8}
    assert client.start("demo.double", {"number": 4}, id="four").id == "four"
    assert client.get("four").status() == "succeeded"
    with pytest.raises(Conflict):
        client.start("demo.double", {"number": 5}, id="four")
    with pytest.raises(Conflict):
        client.start("demo.double", {"number": 4}, id="four", if_exists="reject")
    starts = [event for event in run.history() if event["type"] == "run_started"]
    assert len(starts) == 1
    assert [(task["task"], task["status"]) for task in run.tasks()] == [("echo", "succeeded")]


def test_what_can_not_be_started_is_said_at_once(client: Client) -> None:
    """An unknown ref, wrong parameters, an unknown run."""
    with pytest.raises(NotFound):
        client.start("demo.treble", {"number": 4})
    with pytest.raises(InvalidParameters):
        client.start("demo.double", {"number": "four"})
    with pytest.raises(NotFound):
        client.get("nobody")


def test_a_failed_run_raises_with_its_error_and_output(client: Client) -> None:
    """The deciding error, and what could be rendered."""
    with pytest.raises(RunFailed) as caught:
        client.start("demo.refuse").result(timeout=30)
    assert caught.value.error is not None
    assert (caught.value.error.type, caught.value.error.task) == ("Refused", "refuse")
    assert caught.value.output == {"kept": True}


def test_a_run_can_be_cancelled_and_waiting_has_an_end(client: Client) -> None:
    """A sleeping run: TimeoutError for who does not wait long enough; then it is cancelled."""
    run = client.start("demo.doze")
    with pytest.raises(TimeoutError):
        run.result(timeout=0.1)
    run.cancel(by="a test", reason="enough")
    with pytest.raises(RunCancelled):
        run.result(timeout=30)


def test_a_client_alone_executes_nothing(given: dict[str, Any]) -> None:
    """The run waits in the database; the first worker that comes takes it up."""
    with Client(**given) as client:
        run = client.start("demo.double", {"number": 1}, id="later")
        with pytest.raises(TimeoutError):
            run.result(timeout=0.5)
    with Client(**given) as client, Worker(client):
        assert client.get("later").result(timeout=30) == {"answer": 2}


def test_a_worker_can_be_started_again(given: dict[str, Any]) -> None:
    """Stopped, nothing runs; started again, it goes on."""
    with Client(**given) as client:
        worker = Worker(client, threads=1)
        for number in (1, 2):
            with worker:
                assert client.start("demo.double", {"number": number}).result(timeout=30) == {
                    "answer": 2 * number
                }


def test_a_run_joins_the_callers_transaction(client: Client, engine: Engine) -> None:
    """Committed together with the caller's row: both are there, and the run is executed."""
    with Session(engine) as session, session.begin():
        session.execute(text("INSERT INTO parcel VALUES (7)"))
        run = client.start("demo.double", {"number": 7}, id="parcel-7", session=session)
    assert run.result(timeout=30) == {"answer": 14}
    with engine.connect() as connection:
        assert connection.execute(text("SELECT number FROM parcel")).scalars().all() == [7]


def test_a_run_goes_with_the_callers_rollback(client: Client, engine: Engine) -> None:
    """Rolled back together with the caller's row: neither is there."""
    with Session(engine) as session:
        session.execute(text("INSERT INTO parcel VALUES (7)"))
        client.start("demo.double", {"number": 7}, id="parcel-7", session=session)
        session.rollback()
    with pytest.raises(NotFound):
        client.get("parcel-7")


def test_a_second_start_does_not_poison_the_callers_transaction(client: Client, engine: Engine) -> None:
    """The id is taken: the transaction goes on, and commits."""
    client.start("demo.double", {"number": 7}, id="parcel-7").result(timeout=30)
    with Session(engine) as session, session.begin():
        client.start("demo.double", {"number": 7}, id="parcel-7", session=session)
        session.execute(text("INSERT INTO parcel VALUES (7)"))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM parcel")).scalar() == 1


def test_a_session_of_another_database_is_refused(client: Client) -> None:
    """Its transaction could not hold the run."""
    other = create_engine("sqlite://")
    with Session(other) as session, pytest.raises(UsageError, match="another database"):
        client.start("demo.double", {"number": 7}, session=session)
    other.dispose()


def awaited(run: Run, kind: str) -> dict[str, Any]:
    """Return what a run waits for, once it does."""
    deadline = time.monotonic() + 30
    while not (found := [record for record in run.awaits() if record["kind"] == kind]):
        assert time.monotonic() < deadline, run.describe()
        time.sleep(0.01)
    return found[0]


def test_people_and_programs_talk_to_a_run(client: Client) -> None:
    """A signal counts once under one key; an answer must be one; a run that has ended hears nothing."""
    run = client.start("demo.talk")
    assert awaited(run, "signal")["name"] == "word"
    for _ in range(2):
        run.signal("word", {"n": 1}, key="first")
    assert awaited(run, "answer")["prompt"] == "Well?"
    with pytest.raises(InvalidParameters):
        run.answer("seven")
    run.answer(7, "ask", by="kim")
    assert run.result(timeout=30) == {"heard": {"n": 1}, "told": 7}
    with pytest.raises(Conflict):
        run.signal("word")
    with pytest.raises(NotFound):
        client.signal("nobody", "word")
    assert run.awaits() == []
    assert client.service.verify(run.id) == []


def test_a_person_decides_how_a_failed_task_ends(client: Client) -> None:
    """Completed, its run succeeds; failed, it fails with what the person said."""
    good, bad = client.start("demo.parked"), client.start("demo.parked")
    client.complete(awaited(good, "person")["execution_id"], "mended")
    assert good.result(timeout=30) == {"got": "mended"}
    client.fail(awaited(bad, "person")["execution_id"], "no glue", type="NoGlue", details=[1])
    with pytest.raises(RunFailed) as caught:
        bad.result(timeout=30)
    assert caught.value.error is not None
    assert (caught.value.error.type, caught.value.error.message) == ("NoGlue", "no glue")
    assert [client.service.verify(run.id) for run in (good, bad)] == [[], []]


def test_the_async_client_does_the_same(given: dict[str, Any]) -> None:
    """start, get, result, cancel; many waiters at once."""

    async def scenario() -> None:
        async with AsyncClient(**given) as client:
            with Worker(client, threads=2):
                runs = [await client.start("demo.double", {"number": n}, id=f"n{n}") for n in range(20)]
                outputs = await asyncio.gather(*(run.result(timeout=60) for run in runs))
                assert outputs == [{"answer": 2 * n} for n in range(20)]
                assert await (await client.get("n3")).status() == "succeeded"
                dozing = await client.start("demo.doze")
                with pytest.raises(TimeoutError):
                    await dozing.result(timeout=0.1)
                await dozing.cancel()
                with pytest.raises(RunCancelled):
                    await dozing.result(timeout=30)

    asyncio.run(scenario())


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_the_async_client_joins_an_async_session(given: dict[str, Any]) -> None:
    """The same as for a blocking session: both or neither."""

    async def scenario() -> None:
        engine = create_async_engine(load_settings(**given).resolved_database_url)
        async with AsyncClient(**given) as client:
            with Worker(client, threads=2):
                async with AsyncSession(engine) as session, session.begin():
                    run = await client.start("demo.double", {"number": 7}, id="kept", session=session)
                assert await run.result(timeout=30) == {"answer": 14}
                async with AsyncSession(engine) as session:
                    await client.start("demo.double", {"number": 7}, id="lost", session=session)
                    await session.rollback()
                with pytest.raises(NotFound):
                    await client.get("lost")
        await engine.dispose()

    asyncio.run(scenario())


def test_with_a_broker_the_worker_serves_what_the_client_sends(
    given: dict[str, Any], redis_database: str
) -> None:
    """The same on Redis."""
    with Client(**given, broker_url=redis_database) as client, Worker(client, threads=2):
        assert client.start("demo.double", {"number": 4}).result(timeout=30) == {"answer": 8}


def test_a_broker_that_is_down_keeps_nobody_from_starting(given: dict[str, Any]) -> None:
    """The run is in the database; a worker's clock finds it."""
    with Client(**given, broker_url="redis://127.0.0.1:1/0") as client:
        client.start("demo.double", {"number": 4}, id="unsent")
    with Client(**given) as client, Worker(client):
        assert client.get("unsent").result(timeout=30) == {"answer": 8}
