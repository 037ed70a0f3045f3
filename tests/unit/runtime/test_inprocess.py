"""In-process actions: found in the pack, called by name, interrupted in time."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from dramaturg.engine.runtime import Stop


def test_parameters_by_name_a_value_out(pack):
    """The plainest case."""
    pack.write("m.py", "def add(a, b=2): return {'sum': a + b, 'pair': (a, b)}")
    assert pack.run("m:add", input={"a": 1}).result == {"sum": 3, "pair": [1, 2]}


def test_a_coroutine_is_run(pack):
    """`async def` needs nothing else."""
    pack.write(
        "m.py",
        """
        import asyncio
        async def wait(n):
            await asyncio.sleep(0)
            return n
        """,
    )
    assert pack.run("m:wait", input={"n": 5}).result == 5


def test_an_exception_is_a_failure(pack):
    """Class name, message, and the author's part of the traceback."""
    pack.write(
        "m.py",
        """
        class NotToday(ValueError): pass
        def f():
            raise NotToday("come back\\0 tomorrow")
        """,
    )
    outcome = pack.run("m:f")
    assert outcome.status == "failed"
    assert (outcome.error.type, outcome.error.message) == ("NotToday", "come back\ufffd tomorrow")
    assert outcome.error.details["exception"].endswith("m.NotToday")
    lines = outcome.error.details["traceback"].splitlines()
    assert lines[0].startswith("Traceback")
    assert "actions/m.py" in lines[1]


def test_an_exception_in_a_coroutine_is_a_failure(pack):
    """asyncio's own frames are not shown."""
    pack.write("m.py", "async def f(): raise KeyError('k')")
    error = pack.run("m:f").error
    assert (error.type, error.message, error.details["exception"]) == ("KeyError", "'k'", "KeyError")
    assert "asyncio" not in error.details["traceback"]


@pytest.mark.parametrize(
    "name", ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "StopIteration", "RecursionError"]
)
def test_special_exceptions_are_failures_too(pack, name):
    """None of them ends the worker."""
    pack.write("m.py", f"def f(): raise {name}('x')")
    assert pack.run("m:f").error.type == name


def test_an_exception_that_can_not_be_shown(pack):
    """Its type is still known."""
    pack.write(
        "m.py",
        """
        class Rude(Exception):
            def __str__(self): raise ZeroDivisionError
        def f(): raise Rude
        """,
    )
    assert pack.run("m:f").error.type == "Rude"


@pytest.mark.parametrize(
    ("given", "words"),
    [({}, "missing a required argument: 'a'"), ({"a": 1, "b": 2}, "unexpected keyword argument 'b'")],
)
def test_parameters_that_the_function_does_not_take(pack, given, words):
    """A refusal of the input, which is never retried; not a TypeError from anywhere inside."""
    pack.write("m.py", "def f(a): return a")
    error = pack.run("m:f", input=given).error
    assert error.type == "InvalidInput"
    assert words in error.message


def test_a_result_that_is_no_json(pack):
    """The border is the same for all."""
    pack.write("m.py", "def f(): return {'tags': {1, 2}}")
    error = pack.run("m:f").error
    assert (error.type, error.message) == ("InvalidOutput", "result.tags is a set, which is not a JSON value")


def test_a_result_over_the_limit(pack):
    """With sizes."""
    pack.write("m.py", "def f(): return ['x' * 10] * 10000")
    error = pack.run("m:f", result_limit=1000).error
    assert error.type == "PayloadTooLarge"
    assert error.details["limit"] == 1000


def test_two_packs_have_modules_of_one_name(new_pack):
    """Each finds its own, helpers included; the interpreter's modules stay as they are."""
    one, two = new_pack("one"), new_pack("two")
    for pack, word in ((one, "first"), (two, "second")):
        pack.write("json.py", "from .helper import word\ndef f(): return word")
        pack.write("helper.py", f"word = {word!r}")
    assert [pack.run("json:f").result for pack in (one, two, one)] == ["first", "second", "first"]
    import json

    assert json.dumps([]) == "[]"


def test_a_module_is_loaded_once(pack):
    """Its globals live on between calls."""
    pack.write("m.py", "n = []\ndef f():\n    n.append(1)\n    return len(n)")
    assert [pack.run("m:f").result for _ in range(3)] == [1, 2, 3]


def test_an_edit_is_noticed_at_once(pack, monkeypatch):
    """Even within a second, with the same size; in helpers, too."""
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    pack.write("m.py", "from . import helper\ndef f(): return [helper.x, 1]")
    pack.write("helper.py", "x = 1")
    assert pack.run("m:f").result == [1, 1]
    pack.write("helper.py", "x = 2")
    assert pack.run("m:f").result == [2, 1]
    pack.write("m.py", "from . import helper\ndef f(): return [helper.x, 2]")
    assert pack.run("m:f").result == [2, 2]


def test_no_bytecode_is_written_into_the_pack(pack, monkeypatch):
    """It may be read-only, or under version control."""
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    pack.write("m.py", "def f(): return 1")
    pack.run("m:f")
    assert [file.name for file in pack.actions_dir.iterdir()] == ["m.py"]


def test_modules_in_packages_and_folders(pack):
    """`a.b:f`, with and without __init__.py, and `C.method`."""
    pack.write("pkg/__init__.py", "")
    pack.write("pkg/m.py", "from . import other\ndef f(): return other.x")
    pack.write("pkg/other.py", "x = 1")
    pack.write("plain/m.py", "class C:\n    @staticmethod\n    def f(): return 2")
    assert pack.run("pkg.m:f").result == 1
    assert pack.run("plain.m:C.f").result == 2


def test_an_installed_module_is_found(pack):
    """After actions/, and for a worker without the pack's files."""
    assert pack.run("json:dumps", input={"obj": [1]}).result == "[1]"
    assert pack.run("json:dumps", input={"obj": [1]}, actions_dir=None).result == "[1]"


@pytest.mark.parametrize(
    ("entry_point", "kind", "words"),
    [
        ("no_such_module:f", "ModuleNotFoundError", "no_such_module"),
        ("m:no_such_function", "AttributeError", "m has no 'no_such_function'"),
        ("m:x", "TypeError", "m:x is a int, not a function"),
        ("broken:f", "SyntaxError", "broken.py"),
        ("raising:f", "ZeroDivisionError", "division"),
        ("absolute:f", "ModuleNotFoundError", "from . import m"),
    ],
)
def test_a_function_that_can_not_be_had(pack, entry_point, kind, words):
    """A failure of the attempt, with what to do about it."""
    pack.write("m.py", "x = 1")
    pack.write("broken.py", "def f(:")
    pack.write("raising.py", "1/0")
    pack.write("absolute.py", "import m")
    error = pack.run(entry_point).error
    assert error.type == kind
    assert words in error.message


def test_a_broken_module_works_after_its_repair(pack):
    """Failing to load is not remembered."""
    pack.write("m.py", "1/0")
    assert pack.run("m:f").error.type == "ZeroDivisionError"
    pack.write("m.py", "def f(): return 1")
    assert pack.run("m:f").result == 1


BUSY = """
    import threading
    seen = []
    started = threading.Event()
    def step(): return 0
    def f():
        started.set()
        try:
            # No `while`: Python 3.11 does not count a loop's jump back as inside the `try`.
            sum(iter(step, 1))
        except BaseException as error:
            seen.append(type(error).__name__)
            raise
"""


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("dramaturg ")]


def test_a_timeout_raises_in_the_function(pack):
    """It can clean up, and its thread ends."""
    pack.write("m.py", BUSY + "\n    def found(): return seen\n")
    outcome = pack.run("m:f", timeout=0.5, grace=20)
    assert outcome.status == "timed_out"
    assert (outcome.error.type, outcome.error.message) == ("Timeout", "took longer than 0.5 s")
    assert outcome.error.details == {"kind": "start_to_close", "seconds": 0.5}
    assert pack.run("m:found").result == ["TimeLimit"]


def test_a_stop_raises_in_the_function(pack):
    """As a timeout does."""
    stop = Stop()
    pack.write("m.py", BUSY)
    timer = threading.Timer(0.2, stop.cancel, ["enough"])
    timer.start()
    outcome = pack.run("m:f", stop, grace=20)
    timer.join()
    assert (outcome.status, outcome.error.type, outcome.error.message) == ("cancelled", "Cancelled", "enough")


def test_except_exception_does_not_swallow_the_interruption(pack):
    """A function's own error handling is not asked."""
    pack.write(
        "m.py",
        """
        def f():
            while True:
                try:
                    while True: pass
                except Exception:
                    pass
        """,
    )
    outcome = pack.run("m:f", timeout=0.1, grace=20)
    assert outcome.error.details == {"kind": "start_to_close", "seconds": 0.1}


def test_one_that_does_not_end_is_given_up(pack, until):
    """Its late result is dropped, and the worker's thread is free."""
    pack.write(
        "m.py",
        """
        import threading
        go, ended = threading.Event(), threading.Event()
        def f():
            try:
                while not go.is_set():
                    try: go.wait()
                    except BaseException: pass
                return "late"
            finally:
                ended.set()
        def let_go():
            go.set()
            return ended.wait(20)
        """,
    )
    outcome = pack.run("m:f", timeout=0.1, grace=0.2)
    assert outcome.status == "timed_out"
    assert outcome.result is None
    assert outcome.error.details["given_up"] is True
    assert "given up" in outcome.error.message
    assert pack.run("m:let_go").result is True
    until(lambda: not threads())


def test_a_coroutine_is_cancelled_as_asyncio_does_it(pack):
    """At its await, although its thread sleeps in the selector."""
    pack.write(
        "m.py",
        """
        import asyncio
        seen = []
        async def f():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(0)
                seen.append("cancelled")
                raise
        def found(): return seen
        """,
    )
    outcome = pack.run("m:f", timeout=0.5, grace=20)
    assert outcome.status == "timed_out"
    assert "given_up" not in outcome.error.details
    assert pack.run("m:found").result == ["cancelled"]


def test_a_coroutine_that_never_awaits_is_interrupted_all_the_same(pack, until):
    """After half of the grace period, the hard way."""
    pack.write("m.py", "async def f():\n    while True: pass")
    outcome = pack.run("m:f", timeout=0.1, grace=1)
    assert outcome.status == "timed_out"
    assert "given_up" not in outcome.error.details
    until(lambda: not threads())


def test_a_stop_before_the_start_calls_nothing(pack):
    """Not even the module is loaded."""
    stop = Stop()
    stop.cancel("no")
    assert pack.run("no_such_module:f", stop).status == "cancelled"


def test_an_interruption_at_the_last_moment_does_no_harm(pack, recwarn):
    """Whichever comes first, the end or the interruption, the outcome is one of the two and nothing escapes."""
    escaped = []
    hook, threading.excepthook = threading.excepthook, escaped.append
    try:
        pack.write(
            "m.py",
            "import time\ndef f(t):\n    end = time.monotonic() + t\n    while time.monotonic() < end: pass\n    return 1",
        )
        seen = {pack.run("m:f", timeout=0.003, input={"t": 0.0028 + n * 0.00001}).status for n in range(100)}
    finally:
        threading.excepthook = hook
    assert seen <= {"succeeded", "timed_out"}
    assert escaped == []
    assert threads() == []


CALLS_THEN_TRACES = """
import sys, time
from pathlib import Path
from dramaturg.engine.language.model import ActionDef
from dramaturg.engine.runtime import ActionRequest, Stop, run_action

for timeout in (None, 0.2):
    action = ActionDef(ref="p.act", runtime="python", entry_point="m:f")
    place = dict(actions_dir=Path(sys.argv[1]), pack="p", execution_id=7, run_id="r", task="t", visit=1, attempt=1)
    print(run_action(ActionRequest(action=action, timeout=timeout, grace=20.0, input={"t": timeout}, **place), Stop()).status)
seen = []
sys.setprofile(lambda frame, event, argument: seen.append(event))
(lambda: None)()
sys.setprofile(None)
print("call" in seen)
"""


def test_the_interpreter_is_left_as_it_was(pack):
    """No exception stays announced that nobody will deliver: on Python 3.11 a tracer would hang for ever."""
    pack.write("m.py", "import time\ndef f(t):\n    while t: time.sleep(0.001)\n")
    command = [sys.executable, "-c", CALLS_THEN_TRACES, str(pack.actions_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["succeeded", "timed_out", "True"]


def test_calls_run_side_by_side(pack):
    """No lock of ours is held while a function runs."""
    pack.write(
        "m.py",
        "import threading\nb = threading.Barrier(4)\ndef f(): b.wait(20); return threading.current_thread().name",
    )
    results: list[object] = []
    workers = [threading.Thread(target=lambda: results.append(pack.run("m:f"))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert {outcome.status for outcome in results} == {"succeeded"}


def test_a_module_that_takes_for_ever_to_load_is_timed_out(pack):
    """Loading counts; other modules of the pack are not held up."""
    pack.write("slow.py", "while True: pass\ndef f(): return 1")
    pack.write("m.py", "def f(): return 1")
    assert pack.run("slow:f", timeout=0.2).status == "timed_out"
    assert pack.run("m:f").result == 1
