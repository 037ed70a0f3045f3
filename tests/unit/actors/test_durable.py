"""`DurableTasks` around the actors of an app, in this process: a stub broker, an embedded database, real threads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from actor_fakes import eventually, our_threads
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import AsyncIO, Middleware, Retries, ShutdownNotifications, SkipMessage, TimeLimit
from dramatiq.results import Results
from dramatiq.results.backends import StubBackend

import dramaturg
from dramaturg import Client, DurableTasks, RunCancelled, RunEnded, Worker
from dramaturg.actors import durable
from dramaturg.actors.errand import Cancelled
from dramaturg.engine.errors import UsageError

PACK = "ref: app\nversion: 1.0.0\n"
TASK = """
tasks:
  work:
    action: app.{actor}
    input: {{n: 20}}
    {more}
    next: [{{publish: [{{result: "{{{{ result() }}}}"}}]}}]
vars: {{result: null}}
output_map: {{result: "{{{{ workflow.result }}}}"}}
"""


@cache
def time_limit(milliseconds: int) -> TimeLimit:
    """Return Dramatiq's middleware, at work: its thread never ends, so there is one for all tests."""
    made = TimeLimit(time_limit=milliseconds, interval=20)
    made.after_process_boot(None)
    return made


class App:
    """An app with a broker and a worker of its own, and the engine of its workflows."""

    def __init__(self, folder: Path, *extra: Middleware, general_limit: int = 600_000) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'runs.db'}"
        #: Dramatiq's default middleware, with quicker hands.
        stack = [time_limit(general_limit), ShutdownNotifications(), Retries(min_backoff=20), AsyncIO()]
        self.broker = StubBroker(middleware=[*stack, *extra], fail_fast_default=False)
        self.broker.add_middleware(DurableTasks(database_url=self.url, grace=0.4))
        self.client: Any = None
        self.engine: Any = None
        self.workers: list[dramatiq.Worker] = []
        self.calls: list[Any] = []
        self.texts: dict[str, str] = {}

    def actor(self, function: Callable[..., Any], **options: Any) -> Any:
        """Make an actor of a function, and an action of the actor."""
        name = function.__name__
        made = dramatiq.actor(function, broker=self.broker, queue_name="sums", **options)
        self.texts[f"actions/{name}.yaml"] = (
            f"ref: app.{name}\nruntime: dramatiq\nentry_point: {name}\nqueue: sums\n"
        )
        return made

    def task(self, actor: str, more: str = "") -> str:
        """Define a workflow of one task and return its ref."""
        name = f"w{len(self.texts)}"
        self.texts[f"workflows/{name}.yaml"] = f"ref: app.{name}\n" + TASK.format(actor=actor, more=more)
        return f"app.{name}"

    def start(self) -> App:
        """Start the app's worker and the engine."""
        pack = self.folder / "packs" / "app"
        for name, text in {"pack.yaml": PACK, **self.texts}.items():
            (pack / name).parent.mkdir(parents=True, exist_ok=True)
            (pack / name).write_text(text)
        self.client = Client(database_url=self.url, packs=[pack.parent], grace=0.4)
        self.engine = Worker(self.client, threads=2, actors=self.broker)
        self.engine.start()
        self.work()
        return self

    def work(self) -> dramatiq.Worker:
        """Start a worker of the app."""
        self.workers.append(dramatiq.Worker(self.broker, worker_threads=3, worker_timeout=20))
        self.workers[-1].start()
        return self.workers[-1]

    def run(self, ref: str) -> Any:
        """Run a workflow; return its `result` variable."""
        return self.client.start(ref).result(20)["result"]

    def error(self, ref: str) -> dict[str, Any]:
        """Run a workflow that is to fail; return its error."""
        run = self.client.start(ref)
        with pytest.raises(RunEnded):
            run.result(20)
        return dict(run.describe()["error"])

    def close(self) -> None:
        """End everything."""
        for worker in self.workers:
            worker.stop()
        if self.engine is not None:
            self.engine.stop()
            self.client.close()

    @property
    def given_up(self) -> int:
        """Say how many messages are in the dead-letter queues."""
        return len(self.broker.dead_letters)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., App]]:
    """Make an app, with further middleware if wanted."""
    made: list[App] = []

    def app(*extra: Middleware, **options: Any) -> App:
        made.append(App(tmp_path, *extra, **options))
        return made[-1]

    yield app
    for one in made:
        one.close()


@pytest.fixture
def app(make: Callable[..., App]) -> App:
    """An app."""
    return make()


def doubled(n: int) -> int:
    return n * 2


async def doubled_later(n: int) -> int:
    return n * 2


@pytest.mark.parametrize("function", [doubled, doubled_later])
def test_an_actor_as_it_is_is_a_task_and_its_result_is_the_tasks(
    app: App, function: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app.actor(function)
    ref = app.task(function.__name__)
    assert app.start().run(ref) == 40
    assert "discarded" not in caplog.text


def test_items_of_a_task_are_messages_of_their_own(app: App) -> None:
    app.actor(doubled)
    ref = app.task("doubled", 'with_items: "{{ range(12) }}"').replace("app.", "")
    text = app.texts[f"workflows/{ref}.yaml"].replace("{n: 20}", '{n: "{{ item }}"}')
    app.texts[f"workflows/{ref}.yaml"] = text
    assert app.start().run(f"app.{ref}") == [2 * n for n in range(12)]


def test_messages_that_are_no_tasks_are_not_touched(app: App) -> None:
    seen = []

    class Watching(Middleware):
        def after_process_message(self, broker: Any, message: Any, **_: Any) -> None:
            seen.append((message.args, dict(message.kwargs), sorted(message.options)))

    app.broker.add_middleware(Watching())

    def note(a: int, b: int = 0) -> None:
        app.calls.append((a, b))
        if len(app.calls) < 3:
            raise ValueError("again")

    note_actor = app.actor(note, max_retries=5, max_backoff=20)
    app.start()
    note_actor.send_with_options(args=(1,), kwargs={"b": 2}, mark="mine")
    # Its own retries are Dramatiq's.
    eventually(lambda: len(app.calls) == 3)
    app.broker.join("sums")
    assert app.calls == [(1, 2)] * 3
    assert seen[0] == ((1,), {"b": 2}, ["mark"])


def test_an_exception_is_a_failure_and_dramatiq_neither_retries_nor_keeps_the_message(app: App) -> None:
    sent = []

    class Watching(Middleware):
        def after_enqueue(self, broker: Any, message: Any, delay: Any) -> None:
            sent.append(delay)

    def broken(n: int) -> None:
        app.calls.append(n)
        raise KeyError(f"no {n}")

    app.broker.add_middleware(Watching())
    app.actor(broken, max_retries=7, retry_when=lambda *_: True)
    ref = app.task("broken")
    error = app.start().error(ref)
    assert (error["type"], error["message"], error["attempt"]) == ("KeyError", "'no 20'", 1)
    assert "in broken" in error["details"]["traceback"]
    assert "dramatiq/worker.py" not in error["details"]["traceback"]
    app.broker.join("sums")
    assert (app.calls, app.given_up, sent) == ([20], 0, [None])


def test_retries_are_the_engines(app: App) -> None:
    def flaky(n: int) -> int:
        app.calls.append(n)
        if len(app.calls) < 3:
            raise ValueError("not yet")
        return n

    app.actor(flaky, max_retries=0)
    ref = app.task("flaky", "retry: {count: 4, delay: 0.01}")
    assert app.start().run(ref) == 20
    assert app.calls == [20] * 3


def busy(n: int) -> None:
    """Work until it is interrupted."""
    eventually(lambda: False, 30)


async def busy_later(n: int) -> None:
    """Wait until it is cancelled."""
    await asyncio.sleep(30)


def test_the_actors_own_time_limit_is_a_timeout(app: App) -> None:
    app.actor(busy, time_limit=100)
    ref = app.task("busy", "timeout: 20")
    error = app.start().error(ref)
    assert (error["type"], error["details"]) == ("Timeout", {"kind": "start_to_close", "seconds": 0.1})
    assert app.given_up == 0


@pytest.mark.parametrize("function", [busy, busy_later])
def test_the_tasks_timeout_interrupts_the_actor(app: App, function: Any) -> None:
    app.actor(function)
    ref = app.task(function.__name__, "timeout: 0.2")
    error = app.start().error(ref)
    assert (error["type"], error["details"]) == ("Timeout", {"kind": "start_to_close", "seconds": 0.2})
    app.broker.join("sums", timeout=5_000)


def test_the_tasks_timeout_stands_in_for_dramatiqs_general_limit(make: Callable[..., App]) -> None:
    app = make(general_limit=50)

    def slow(n: int) -> int:
        began = time.monotonic()
        eventually(lambda: time.monotonic() > began + 0.3)
        return n

    app.actor(slow)
    patient, impatient = app.task("slow", "timeout: 20"), app.task("slow")
    app.start()
    assert app.run(patient) == 20
    assert app.error(impatient)["details"]["seconds"] == 0.05


def test_an_actor_that_does_not_stop_is_given_up_and_what_it_says_later_is_refused(app: App) -> None:
    gate = threading.Event()

    def stubborn(n: int) -> int:
        while not gate.is_set():
            try:
                gate.wait(0.01)
            except BaseException as error:
                app.calls.append(type(error).__name__)
        return n

    app.actor(stubborn)
    ref = app.task("stubborn", "timeout: 0.1")
    run = app.start().client.start(ref)
    with pytest.raises(RunEnded):
        run.result(20)
    assert run.describe()["error"]["details"] == {"kind": "start_to_close", "seconds": 0.1, "given_up": True}
    assert app.calls == ["TimeLimitExceeded"]
    gate.set()
    app.broker.join("sums", timeout=5_000)
    assert run.status() == "timed_out"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_cancelled_task_interrupts_its_actor(app: App, asynchronous: bool) -> None:
    def cleaned(n: int) -> None:
        app.calls.append("began")
        try:
            busy(n)
        except dramaturg.engine.runtime.Cancelled as error:  # type: ignore[attr-defined]
            app.calls.append(type(error))
            raise

    async def cleaned_later(n: int) -> None:
        app.calls.append("began")
        try:
            await busy_later(n)
        except asyncio.CancelledError:
            app.calls.append(Cancelled)
            raise

    function = cleaned_later if asynchronous else cleaned
    app.actor(function)
    ref = app.task(function.__name__)
    app.start()
    run = app.client.start(ref)
    eventually(lambda: app.calls)
    run.cancel()
    with pytest.raises(RunCancelled):
        run.result(20)
    assert app.calls == ["began", Cancelled]


def message_for(app: App, actor: str, execution: Any) -> dramatiq.Message[Any]:
    """Return what the engine would send."""
    options = {"dramaturg": {"execution": execution, "version": 1}}
    return dramatiq.Message("sums", actor, (), {}, options)


def test_doubled_and_late_messages_are_skipped(app: App) -> None:
    gate = threading.Event()

    def gated(n: int) -> int:
        app.calls.append(n)
        gate.wait(20)
        return n

    app.actor(gated)
    ref = app.task("gated")
    app.start()
    run = app.client.start(ref)
    eventually(lambda: app.calls)
    execution = run.tasks()[0]["execution_id"]
    for _ in range(5):
        app.broker.enqueue(message_for(app, "gated", execution))
    gate.set()
    assert run.result(20) == {"result": 20}
    app.broker.enqueue(message_for(app, "gated", execution))
    app.broker.join("sums")
    assert (app.calls, app.given_up) == ([20], 0)


@pytest.mark.parametrize("execution", [12345, "no number", None, {"version": 99}])
def test_what_is_not_understood_does_not_run(app: App, execution: Any) -> None:
    app.actor(doubled)
    noted: list[Any] = []
    app.broker.actors["doubled"].fn = lambda **kwargs: noted.append(kwargs)
    app.start()
    message = message_for(app, "doubled", execution)
    if isinstance(execution, dict):
        message.options["dramaturg"] = {"execution": 1, **execution}
    app.broker.enqueue(message)
    app.broker.join("sums")
    assert (noted, app.given_up) == ([], 0)


def test_an_execution_that_is_no_actors_is_not_taken_by_one(app: App) -> None:
    app.actor(doubled)
    name = app.task("doubled").removeprefix("app.")
    path = f"workflows/{name}.yaml"
    more = "action: core.echo\n    queue: elsewhere\n    input: {message: x}"
    app.texts[path] = app.texts[path].replace("action: app.doubled\n    input: {n: 20}", more)
    app.start()
    app.engine.stop()
    with Worker(app.client, queues=["default"], actors=app.broker):
        run = app.client.start(f"app.{name}")
        eventually(lambda: run.tasks())
        app.broker.enqueue(message_for(app, "doubled", run.tasks()[0]["execution_id"]))
        app.broker.join("sums")
        assert run.tasks()[0]["status"] == "requested"


def test_an_actor_that_the_app_does_not_have_is_an_unknown_action(app: App) -> None:
    app.actor(doubled)
    app.texts["actions/doubled.yaml"] = app.texts["actions/doubled.yaml"].replace(
        "entry_point: doubled", "entry_point: trebled"
    )
    ref = app.task("doubled")
    error = app.start().error(ref)
    assert error["type"] == "UnknownAction"
    assert error["message"] == "the app that serves the queue sums has no actor trebled"


def test_without_a_broker_to_actors_the_task_fails_and_says_what_to_set(app: App) -> None:
    app.actor(doubled)
    ref = app.task("doubled")
    app.start()
    app.engine.stop()
    with Worker(app.client):
        error = app.error(ref)
    assert error["type"] == "UnknownAction"
    assert "DRAMATURG_ACTORS_BROKER_URL" in error["message"]


def test_without_the_middleware_an_actor_does_not_run_and_the_log_says_why(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    bare = StubBroker(fail_fast_default=False)
    called = []
    dramatiq.actor(lambda **kwargs: called.append(kwargs), broker=bare, actor_name="any", queue_name="sums")
    dramatiq.actor(lambda: called.append(1), broker=bare, actor_name="none", queue_name="sums")
    app.actor(doubled)
    app.texts["actions/doubled.yaml"] = app.texts["actions/doubled.yaml"].replace(
        "point: doubled", "point: none"
    )
    ref = app.task("doubled")
    app.start()
    app.engine.stop()
    worker = dramatiq.Worker(bare, worker_threads=1, worker_timeout=20)
    worker.start()
    try:
        with Worker(app.client, actors=bare):
            run = app.client.start(ref)
            eventually(lambda: bare.dead_letters)
    finally:
        worker.stop()
    assert called == []
    assert "unexpected keyword argument 'dramaturg.DurableTasks'" in caplog.text
    assert run.status() == "running"


def test_a_shutdown_hands_the_task_back_and_it_is_not_an_attempt(app: App) -> None:
    def long(n: int) -> int:
        app.calls.append(n)
        if len(app.calls) == 1:
            busy(n)
        return n

    app.actor(long, notify_shutdown=True)
    ref = app.task("long")
    app.start()
    run = app.client.start(ref)
    eventually(lambda: app.calls)
    app.workers.pop().stop()
    assert run.tasks()[0]["status"] in ("requested", "scheduled", "running")
    app.work()
    assert run.result(20) == {"result": 20}
    assert (app.calls, run.tasks()[0]["attempt"]) == ([20, 20], 1)


def test_what_has_not_ended_when_the_worker_has_stopped_is_handed_back(app: App) -> None:
    def long(n: int) -> int:
        app.calls.append(n)
        if len(app.calls) == 1:
            busy(n)
        return n

    app.actor(long)
    ref = app.task("long")
    app.start()
    run = app.client.start(ref)
    eventually(lambda: app.calls)
    app.workers.pop().stop(timeout=50)
    app.work()
    assert run.result(20) == {"result": 20}
    assert (app.calls, run.tasks()[0]["attempt"]) == ([20, 20], 1)


def test_while_the_database_is_away_no_actor_runs_and_other_messages_are_served(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "PATIENCE", 0.05)
    noted: list[Any] = []
    middleware = DurableTasks(database_url="postgresql://nobody@127.0.0.1:1/none")
    broker = StubBroker(middleware=[middleware], fail_fast_default=False)
    dramatiq.actor(lambda n=0: noted.append(n), broker=broker, actor_name="note", queue_name="sums")
    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=20)
    worker.start()
    try:
        broker.enqueue(message_for(app, "note", 1))
        broker.enqueue(dramatiq.Message("sums", "note", (7,), {}, {}))
        broker.join("sums", timeout=20_000)
    finally:
        worker.stop()
    assert noted == [7]


def test_no_database_is_made_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    broker = StubBroker(middleware=[DurableTasks()])
    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=20)
    worker.start()
    worker.stop()
    assert list(tmp_path.iterdir()) == []
    assert "there is no database" in caplog.text


def test_settings_that_make_no_sense_are_refused_at_once() -> None:
    with pytest.raises(UsageError, match="lease"):
        DurableTasks(lease=-1)


def says_pending(n: int) -> None:
    dramaturg.heartbeat({"n": n})
    dramaturg.progress(0.5, "half")
    dramaturg.pending()


async def says_pending_later(n: int) -> None:
    says_pending(n)


@pytest.mark.parametrize("function", [says_pending, says_pending_later])
def test_an_actor_may_speak_as_any_action(app: App, function: Any) -> None:
    app.actor(function)
    ref = app.task(function.__name__)
    app.start()
    run = app.client.start(ref)
    eventually(lambda: [one for one in run.awaits() if one["kind"] == "completion"])
    app.client.complete(run.tasks()[0]["execution_id"], 77)
    assert run.result(20) == {"result": 77}


def test_an_actor_that_gives_no_heartbeat_times_out(app: App) -> None:
    app.actor(busy)
    ref = app.task("busy", "heartbeat_timeout: 0.1")
    assert app.start().error(ref)["details"]["kind"] == "heartbeat"


def test_secrets_reach_the_actor_and_nobody_else(app: App, caplog: pytest.LogCaptureFixture) -> None:
    messages = []

    class Watching(Middleware):
        def after_process_message(self, broker: Any, message: Any, **_: Any) -> None:
            messages.append(message.encode())

    app.broker.add_middleware(Watching())

    def login(n: str) -> None:
        app.calls.append(n)
        raise ValueError(f"{n} is wrong")

    app.actor(login)
    app.texts["actions/login.yaml"] += "parameters: {n: {type: string, secret: true}}\n"
    ref = app.task("login")
    path = f"workflows/{ref.removeprefix('app.')}.yaml"
    app.texts[path] = app.texts[path].replace("n: 20", "n: swordfish")
    with caplog.at_level("INFO"):
        error = app.start().error(ref)
        app.broker.join("sums")
    assert (app.calls, error["message"]) == (["swordfish"], "*** is wrong")
    assert len(messages) == 1
    assert b"swordfish" not in messages[0]
    assert "swordfish" not in caplog.text


def test_a_result_that_is_no_json_or_not_what_the_action_declares_is_refused(app: App) -> None:
    def strange(n: int) -> Any:
        return object()

    def wordy(n: int) -> str:
        return "text"

    for function in (strange, wordy):
        app.actor(function)
        app.texts[f"actions/{function.__name__}.yaml"] += "output: {type: {type: integer, required: true}}\n"
    refs = [app.task("strange"), app.task("wordy")]
    app.start()
    assert [app.error(ref)["type"] for ref in refs] == ["InvalidOutput", "InvalidOutput"]


def test_parameters_that_the_actor_does_not_take_are_a_failure(app: App) -> None:
    def none() -> None:
        pass

    app.actor(none)
    ref = app.task("none")
    error = app.start().error(ref)
    assert error["type"] == "TypeError"
    assert "unexpected keyword argument 'n'" in error["message"]


def test_a_message_that_a_middleware_of_the_app_skips_is_a_failure(make: Callable[..., App]) -> None:
    class Refusing(Middleware):
        def before_process_message(self, broker: Any, message: Any) -> None:
            message.fail()
            raise SkipMessage("closed today")

    app = make(Refusing())
    app.actor(doubled)
    ref = app.task("doubled")
    assert app.start().error(ref)["type"] == "SkipMessage"
    app.broker.join("sums")
    assert app.given_up == 0


def test_results_and_callbacks_of_the_app_go_on(make: Callable[..., App]) -> None:
    backend = StubBackend()
    app = make(Results(backend=backend, store_results=True), dramatiq.middleware.Callbacks())

    def sad(n: int) -> None:
        raise ValueError("sad")

    def noted(message: Any, said: Any) -> None:
        app.calls.append((message["kwargs"], said))

    app.actor(noted)
    app.actor(sad, on_failure="noted")
    app.actor(doubled, on_success="noted")
    refs = app.task("sad"), app.task("doubled")
    app.start()
    assert app.error(refs[0])["type"] == "ValueError"
    assert app.run(refs[1]) == 40
    app.broker.join("sums")
    assert app.calls == [
        ({"n": 20}, {"type": "ValueError", "message": "sad"}),
        ({"n": 20}, 40),
    ]
    assert any(data is not None and b"40" in data for data, _ in backend.results.values())


def test_a_worker_that_has_stopped_leaves_no_thread(app: App) -> None:
    app.actor(doubled)
    ref = app.task("doubled")
    assert app.start().run(ref) == 40
    app.close()
    app.workers.clear()
    app.engine = None
    eventually(lambda: not [name for name in our_threads() if name.startswith("dramaturg-")])
