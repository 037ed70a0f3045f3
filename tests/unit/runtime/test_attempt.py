"""What code of an action may say and ask: `dramaturg.heartbeat` and its friends."""

from __future__ import annotations

import threading

import pytest

import dramaturg
from dramaturg.engine.runtime import Beat, Stop


@pytest.fixture
def heard() -> list[Beat]:
    return []


@pytest.fixture
def run(pack, heard):
    """Write a module and run its function `f`."""

    def write_and_run(text: str, stop: Stop | None = None, **given: object):
        pack.write("m.py", text)
        return pack.run("m:f", stop, on_beat=heard.append, **given)

    return write_and_run


SAYS = """
    import dramaturg
    {kind}def f():
        dramaturg.heartbeat({{"row": (1, 2)}})
        dramaturg.progress(0.25, "copying")
        dramaturg.progress(1)
        dramaturg.heartbeat()
        return [dramaturg.last_heartbeat(), dramaturg.token()]
"""


@pytest.mark.parametrize("kind", ["", "async "])
def test_functions_and_coroutines_speak(run, heard, kind):
    """In order; values are plain JSON on the other side."""
    outcome = run(SAYS.format(kind=kind), token="t-1", last_heartbeat={"row": 9})
    assert outcome.result == [{"row": 9}, "t-1"]
    assert heard == [
        Beat(heartbeat=True, details={"row": [1, 2]}),
        Beat(progress=0.25, message="copying"),
        Beat(progress=1.0),
        Beat(heartbeat=True),
    ]


def test_a_script_speaks_in_the_same_way(pack, heard):
    """It is Python, after all: the functions write to the control file."""
    script = """
        import dramaturg, json
        dramaturg.progress(0.5, "half")
        dramaturg.heartbeat(["ä"])
        dramaturg.pending()
        print(json.dumps([dramaturg.last_heartbeat(), dramaturg.token()]))
    """
    outcome = pack.script(script, on_beat=heard.append, token="t", last_heartbeat={"a": 1})
    assert (outcome.status, outcome.logs[0].text) == ("pending", '[{"a": 1}, "t"]\n')
    assert [beat.details for beat in heard if beat.heartbeat] == [["ä"]]
    assert [(beat.progress, beat.message) for beat in heard if beat.progress] == [(0.5, "half")]
    script = "import dramaturg, json; print(json.dumps([dramaturg.last_heartbeat(), dramaturg.token()]))"
    assert pack.script(script).result == [None, ""]


def test_what_outlives_a_script_is_told_so(monkeypatch, tmp_path):
    """Its control file is gone."""
    monkeypatch.setenv("DRAMATURG_CONTROL_FILE", str(tmp_path / "gone"))
    with pytest.raises(RuntimeError, match="is over"):
        dramaturg.heartbeat()
    assert list(tmp_path.iterdir()) == []


def test_threads_that_got_the_context_speak(run, heard):
    """asyncio.to_thread passes it on; others do by copy_context."""
    text = """
        import asyncio, contextvars, dramaturg, threading
        async def f():
            await asyncio.to_thread(dramaturg.heartbeat, 1)
            await asyncio.gather(*[asyncio.create_task(one(n)) for n in (2, 3)])
            context = contextvars.copy_context()
            thread = threading.Thread(target=context.run, args=(dramaturg.heartbeat, 4))
            thread.start()
            thread.join()
        async def one(n):
            dramaturg.heartbeat(n)
    """
    assert run(text).status == "succeeded"
    assert [beat.details for beat in heard] == [1, 2, 3, 4]


@pytest.mark.parametrize("call", ["heartbeat()", "progress(0.5)", "pending()", "last_heartbeat()", "token()"])
def test_outside_an_action_they_say_so(call, monkeypatch):
    """By name."""
    monkeypatch.delenv("DRAMATURG_CONTROL_FILE", raising=False)
    name, _, argument = call.rstrip(")").partition("(")
    with pytest.raises(RuntimeError, match=rf"^dramaturg\.{name}\(\) is for actions"):
        getattr(dramaturg, name)(*([float(argument)] if argument else []))


def test_a_thread_without_the_context_is_told_so(run):
    """An error there, not a heartbeat of some other attempt."""
    text = """
        import dramaturg, threading
        def f():
            seen = []
            def other():
                try: dramaturg.heartbeat()
                except RuntimeError as error: seen.append(str(error))
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            return seen
    """
    assert "copy_context" in run(text).result[0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("heartbeat({'x': {1}})", "heartbeat.x is a set, which is not a JSON value"),
        ("heartbeat(float('nan'))", "heartbeat is nan"),
        ("heartbeat('x' * 70000)", "65536 are allowed"),
        ("progress(40)", "progress is 40: a number from 0 to 1 is expected"),
        ("progress(None)", "progress is None"),
        ("progress('half')", "progress is 'half'"),
        ("progress(0.5, 1)", "message is a int"),
    ],
)
def test_what_can_not_be_said_is_an_error_in_the_function(run, heard, call, words):
    """At the place where it was said."""
    error = run(f"import dramaturg\ndef f(): dramaturg.{call}").error
    assert error.type == "ValueError"
    assert words in error.message
    assert heard == []


@pytest.mark.parametrize("kind", ["", "async "])
def test_pending(run, kind):
    """What it returns does not count, not even that it could not be stored."""
    outcome = run(f"import dramaturg\n{kind}def f():\n    dramaturg.pending()\n    return object()")
    assert (outcome.status, outcome.result, outcome.error) == ("pending", None, None)


def test_pending_does_not_undo_an_exception(run):
    """The attempt failed."""
    assert (
        run("import dramaturg\ndef f():\n    dramaturg.pending()\n    1/0").error.type == "ZeroDivisionError"
    )


SILENT = """
    import dramaturg, time
    def f(speak):
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            if speak: dramaturg.heartbeat()
            time.sleep(0.01)
"""


def test_silence_ends_a_function(run):
    """As a timeout does, with its own kind."""
    outcome = run(SILENT, heartbeat_timeout=0.4, input={"speak": False}, grace=20)
    assert outcome.status == "timed_out"
    assert outcome.error.to_json() == {
        "type": "Timeout",
        "message": "no heartbeat for 0.4 s",
        "details": {"kind": "heartbeat", "seconds": 0.4},
    }


def test_a_function_that_speaks_is_not_silent(run, heard):
    """Each heartbeat begins the time anew."""
    assert run(SILENT, heartbeat_timeout=1, input={"speak": True}).status == "succeeded"
    assert len(heard) > 10


def test_silence_ends_a_coroutine(run):
    """Cancelled as asyncio does it."""
    outcome = run("import asyncio\nasync def f(): await asyncio.sleep(60)", heartbeat_timeout=0.3, grace=20)
    assert outcome.error.details == {"kind": "heartbeat", "seconds": 0.3}


def test_one_that_is_pending_may_be_silent(run):
    """Its work is in other hands; the attempt's time limit still stands."""
    text = "import dramaturg, time\ndef f(t):\n    dramaturg.pending()\n    end = time.monotonic() + t\n    while time.monotonic() < end: time.sleep(0.01)"
    assert run(text, heartbeat_timeout=0.3, input={"t": 0.7}).status == "pending"
    outcome = run(text, heartbeat_timeout=0.1, timeout=0.4, input={"t": 30}, grace=20)
    assert outcome.error.details == {"kind": "start_to_close", "seconds": 0.4}


def test_what_one_that_was_given_up_says_goes_nowhere(pack, heard, until):
    """Its attempt is over."""
    pack.write(
        "m.py",
        """
        import dramaturg, threading
        go, ended = threading.Event(), threading.Event()
        def f():
            try:
                while not go.is_set():
                    try: go.wait()
                    except BaseException: pass
                dramaturg.heartbeat("late")
                dramaturg.pending()
            finally:
                ended.set()
        def let_go():
            go.set()
            return ended.wait(20)
        """,
    )
    outcome = pack.run("m:f", timeout=0.1, grace=0.2, on_beat=heard.append)
    assert outcome.error.details["given_up"] is True
    assert pack.run("m:let_go").result is True
    assert heard == []


def test_attempts_side_by_side_are_not_confused(pack):
    """Each speaks for itself."""
    pack.write(
        "m.py",
        "import dramaturg, threading\nb = threading.Barrier(4)\ndef f(n):\n    b.wait(20)\n    dramaturg.heartbeat(n)\n    return dramaturg.token()",
    )
    heard: dict[int, list[object]] = {n: [] for n in range(4)}
    results: dict[int, object] = {}

    def one(n: int) -> None:
        outcome = pack.run(
            "m:f", input={"n": n}, token=str(n), on_beat=lambda beat: heard[n].append(beat.details)
        )
        results[n] = outcome.result

    threads = [threading.Thread(target=one, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == {n: [n] for n in range(4)}
    assert results == {n: str(n) for n in range(4)}


def test_an_error_in_on_beat_is_not_the_actions(pack, caplog):
    """It is logged."""

    def broken(beat: Beat) -> None:
        raise ZeroDivisionError

    pack.write("m.py", "import dramaturg\ndef f():\n    dramaturg.heartbeat()\n    return 1")
    assert pack.run("m:f", on_beat=broken).result == 1
    assert "a heartbeat could not be noted" in caplog.text
