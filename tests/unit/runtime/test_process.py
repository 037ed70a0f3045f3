"""Children that do not behave: whatever they do, the attempt ends in time and nothing is left."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from textwrap import dedent

import pytest

from dramaturg.engine.runtime import Stop
from dramaturg.engine.runtime.guard import GATE, GUARD

MIB = 1024 * 1024


def cancel_when(stop: Stop, file: Path, until) -> threading.Thread:
    def main() -> None:
        until(file.exists)
        stop.cancel("enough")

    thread = threading.Thread(target=main)
    thread.start()
    return thread


def pid_in(file: Path, until) -> int:
    until(lambda: file.exists() and file.read_text().endswith("\n"))
    return int(file.read_text())


def test_a_timeout_ends_it(pack):
    """SIGTERM is enough for a program that has not asked for it."""
    outcome = pack.shell("echo begun; exec sleep 60", timeout=1)
    assert outcome.status == "timed_out"
    assert (outcome.error.type, outcome.error.message) == ("Timeout", "took longer than 1 s")
    assert outcome.error.details == {
        "kind": "start_to_close",
        "seconds": 1,
        "signal": "SIGTERM",
        "stdout": "begun\n",
        "stderr": "",
    }
    assert outcome.logs[0].text == "begun\n"


def test_one_that_ignores_sigterm_is_killed_after_the_grace_period(pack):
    """With its children, which ignore it, too."""
    script = """
        trap '' TERM
        sleep 60 & echo $!
        sleep 60
    """
    outcome = pack.shell(script, timeout=1, grace=0.3)
    assert outcome.status == "timed_out"
    assert outcome.error.details["signal"] == "SIGKILL"


def test_sigterm_leaves_time_to_clean_up(pack):
    """The outcome stays a timeout, even if the program then says that all is well."""
    script = """
        trap 'echo cleaned up; exit 0' TERM
        echo ready
        sleep 60 & wait
    """
    outcome = pack.shell(script, timeout=1, grace=20)
    assert outcome.status == "timed_out"
    assert outcome.error.details["exit_code"] == 0
    assert outcome.logs[0].text == "ready\ncleaned up\n"


def test_the_others_of_the_group_have_their_grace_period_too(pack, tmp_path, until):
    """A shell ends at once at SIGTERM; the program in it may need longer."""
    ready, done = tmp_path / "ready", tmp_path / "done"
    pack.write(
        "slow.sh",
        f"trap 'sleep 0.5; touch {done}; exit' TERM\ntouch {ready}\nwhile true; do sleep 0.05; done\n",
    )
    stop = Stop()
    thread = cancel_when(stop, ready, until)
    outcome = pack.shell("bash slow.sh", stop, grace=20)
    thread.join()
    assert outcome.status == "cancelled"
    assert done.exists()


def test_a_stop_ends_it(pack, tmp_path, until):
    """Another thread asks; the reason is the message."""
    stop, begun = Stop(), tmp_path / "begun"
    thread = cancel_when(stop, begun, until)
    outcome = pack.script(f"import time; open({str(begun)!r}, 'w'); time.sleep(60)", stop)
    thread.join()
    assert outcome.status == "cancelled"
    assert (outcome.error.type, outcome.error.message) == ("Cancelled", "enough")


def test_a_stop_before_the_start_starts_nothing(pack, tmp_path):
    """No process is made for nothing."""
    stop, begun = Stop(), tmp_path / "begun"
    stop.cancel("never mind")
    outcome = pack.script(f"open({str(begun)!r}, 'w')", stop)
    assert outcome.status == "cancelled"
    assert outcome.error.message == "never mind"
    assert not begun.exists()


def test_a_stop_during_the_grace_period_of_a_timeout_changes_nothing(pack):
    """What came first stands."""
    stop = Stop()
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print(); time.sleep(60)"
    timer = threading.Timer(0.6, stop.cancel)
    timer.start()
    outcome = pack.script(script, stop, timeout=0.4, grace=0.6)
    timer.join()
    assert outcome.status == "timed_out"


def test_a_hundred_megabytes_are_drained_and_capped(pack):
    """The child is never blocked; both ends of what it said are kept, with a notice."""
    script = """
        import sys
        line = "x" * 1023 + "\\n"
        for _ in range(100): sys.stdout.write(line * 1024)
        print("the end")
    """
    pack.write("big.py", script)
    outcome = pack.shell(f"{sys.executable} big.py", log_limit=MIB)
    log = outcome.logs[0]
    assert outcome.status == "succeeded"
    assert log.truncated
    assert log.text.endswith("x\nthe end\n")
    assert f"of {100 * MIB + 8} bytes left out" in log.text
    assert len(log.text) < 1.4 * MIB
    assert outcome.result["stdout"] == log.text


def test_output_that_is_too_long_for_a_result_is_refused_with_its_size(pack):
    """Nothing of it is parsed."""
    outcome = pack.script("print('\"' + 'x' * 3000000 + '\"')", log_limit=1000, result_limit=MIB)
    assert (outcome.status, outcome.error.type) == ("failed", "PayloadTooLarge")
    assert outcome.error.details == {"size": 3000003, "limit": MIB}
    assert outcome.logs[0].truncated


def test_a_result_may_be_longer_than_the_log(pack):
    """Two limits, two purposes."""
    outcome = pack.script("print('\"' + 'x' * 3000 + '\"')", log_limit=100, result_limit=MIB)
    assert outcome.result == "x" * 3000
    assert len(outcome.logs[0].text) < 300


def test_both_streams_are_read_at_once(pack):
    """Whichever is filled first, nobody waits for the other."""
    script = """
        import sys
        for _ in range(200):
            sys.stderr.write("e" * 10000)
            sys.stdout.write("o" * 10000)
    """
    pack.write("both.py", script)
    outcome = pack.shell(f"{sys.executable} both.py")
    assert len(outcome.result["stdout"]) == len(outcome.result["stderr"]) == 2_000_000


def test_a_child_that_does_not_read_its_input_succeeds(pack):
    """Megabytes of parameters that nobody wants are no failure."""
    outcome = pack.script("print(1)", input={"big": "x" * (5 * MIB)})
    assert outcome.result == 1


def test_a_child_that_closes_its_input_early_goes_on(pack):
    """As above, with the pipe closed while it still runs."""
    script = "import os, time; os.close(0); time.sleep(0.2); print(1)"
    outcome = pack.script(script, input={"big": "x" * (5 * MIB)})
    assert outcome.result == 1


def test_a_child_that_reads_slowly_gets_everything(pack):
    """More than any pipe holds at once."""
    outcome = pack.script(
        "import json, sys; print(len(json.load(sys.stdin)['big']))", input={"big": "x" * MIB}
    )
    assert outcome.result == MIB


def test_a_child_that_closes_its_outputs_early_is_waited_for(pack):
    """The end of the pipes is not the end of the process."""
    outcome = pack.script(
        "import os, sys, time; os.close(1); os.close(2); time.sleep(0.3); os._exit(5)", output_format="json"
    )
    assert outcome.error.details["exit_code"] == 5


def test_a_timeout_reaches_a_child_that_closed_its_outputs(pack):
    """It is not forgotten because there is nothing to read."""
    outcome = pack.script("import os, time; os.close(1); os.close(2); time.sleep(60)", timeout=0.3)
    assert outcome.status == "timed_out"


@pytest.mark.parametrize("redirect", ["", ">/dev/null 2>&1"])
def test_what_it_leaves_behind_in_its_group_is_killed(pack, redirect, is_alive, until):
    """Whether it holds the pipes open or not; the attempt does not wait for it."""
    outcome = pack.shell(f"sleep 300 {redirect} & echo $!")
    assert outcome.status == "succeeded"
    until(lambda: not is_alive(int(outcome.result["stdout"])))


def test_what_left_the_group_does_not_hold_us(pack):
    """A daemon that keeps the pipes open is not waited for."""
    outcome = pack.shell("setsid sleep 300 & echo $!")
    os.kill(int(outcome.result["stdout"]), signal.SIGKILL)
    assert outcome.status == "succeeded"


def test_a_group_is_gone_after_a_timeout(pack, tmp_path, until, is_alive):
    """Grandchildren that ignore SIGTERM included."""
    file = tmp_path / "pid"
    script = f"""
        sh -c 'trap "" TERM; echo $$ > {file}; sleep 300; sleep 300' &
        wait
    """
    outcome = pack.shell(script, timeout=1, grace=0.3)
    assert outcome.status == "timed_out"
    pid = pid_in(file, until)
    until(lambda: not is_alive(pid))


def test_it_works_without_process_descriptors(pack, monkeypatch):
    """Systems other than Linux have none."""
    monkeypatch.delattr(os, "pidfd_open")
    assert pack.script("import time; time.sleep(0.1); print(1)").result == 1
    assert pack.script("import time; time.sleep(60)", timeout=0.2).status == "timed_out"


def test_many_threads_run_children_at_once(pack):
    """Each gets its own output and its own exit code."""
    pack.write("n.py", "import json, sys; n = json.load(sys.stdin)['n']; print(n); sys.exit(n % 2)")
    results: dict[int, object] = {}

    def one(n: int) -> None:
        results[n] = pack.run("n.py", input={"n": n})

    threads = [threading.Thread(target=one, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results[n].status for n in range(12)] == ["succeeded", "failed"] * 6
    assert [results[n].result for n in range(0, 12, 2)] == list(range(0, 12, 2))


def test_descriptors_are_not_leaked(pack):
    """A worker lives long."""
    pack.script("print(1)")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        pack.script("print(1)")
        pack.script("import time; time.sleep(9)", timeout=0.05)
        pack.run("missing.py")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_child_does_not_inherit_descriptors(pack):
    """Only its three streams, and the one that lists them."""
    assert pack.script("import json, os; print(json.dumps(len(os.listdir('/proc/self/fd'))))").result == 4


def test_an_exception_in_the_waiting_thread_leaves_no_child(pack, tmp_path, until, is_alive, monkeypatch):
    """Ctrl-C, or a worker's own interruption, passes through after the child is gone."""
    file = tmp_path / "pid"
    select = selectors.PollSelector.select

    class Interrupt(BaseException):
        pass

    def interrupted(selector: selectors.PollSelector, timeout: float | None = None) -> object:
        if file.exists():
            raise Interrupt
        return select(selector, 0.01)

    monkeypatch.setattr(selectors.PollSelector, "select", interrupted)
    with pytest.raises(Interrupt):
        pack.shell(f"echo $$ > {file}.new; mv {file}.new {file}; sleep 300")
    pid = pid_in(file, until)
    until(lambda: not is_alive(pid))


WORKER = """
import sys
from pathlib import Path
from dramaturg.engine.language.model import ActionDef
from dramaturg.engine.runtime import ActionRequest, Stop, run_action
action = ActionDef(ref="p.a", runtime="shell", entry_point="script.sh", output_format="text", parameter_delivery="file")
run_action(ActionRequest(action=action, actions_dir=Path(sys.argv[1]), pack="p", execution_id=1, run_id="r", task="t"), Stop())
"""


@pytest.fixture
def worker(pack, tmp_path, until):
    """A worker process that runs a script with a child of its own; its pid and theirs."""
    file = tmp_path / "pids"
    script = f'trap "" TERM HUP; sleep 300 & echo $$ $! $DRAMATURG_PARAMETER_FILE > {file}.tmp; mv {file}.tmp {file}; wait; sleep 300'
    pack.write("script.sh", script)
    process = subprocess.Popen([sys.executable, "-c", dedent(WORKER), str(pack.actions_dir)])
    try:
        until(file.exists)
        leader, child, parameters = file.read_text().split()
        yield process, int(leader), int(child), Path(parameters)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_a_worker_that_is_killed(worker, until, is_alive, number):
    """Neither the script nor its child, and the file with the parameters is removed."""
    process, leader, child, parameters = worker
    assert is_alive(leader)
    assert is_alive(child)
    assert parameters.exists()
    process.send_signal(number)
    until(lambda: not is_alive(leader) and not is_alive(child) and not parameters.parent.exists())


def test_a_child_that_is_not_let_in_ends_with_its_worker():
    """The gate: a worker that dies before it opened leaves a shell that reads the end of its input."""
    gate = subprocess.run(["/bin/sh", "-c", GATE, "gate", "echo", "in"], input=b"", capture_output=True)
    assert (gate.returncode != 0, gate.stdout) == (True, b"")


def test_a_killed_watchdog_is_replaced(pack, is_alive):
    """The next child is guarded again, and so are those that run."""
    pack.script("print(1)")
    first = GUARD._watchdog
    first.kill()
    first.wait()
    assert pack.script("print(1)").result == 1
    assert GUARD._watchdog.pid != first.pid
    assert is_alive(GUARD._watchdog.pid)


def test_the_watchdog_forgets_what_has_ended(pack):
    """A number that is used again must not be killed."""
    pack.script("print(1)")
    assert GUARD._watched == GUARD._kept == set()


def test_a_forked_worker_starts_its_own_watchdog(pack):
    """It must neither use nor end its parent's."""
    pack.script("print(1)")
    parents = GUARD._watchdog
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of forks where another test has left a thread
        pid = os.fork()
    if pid == 0:  # pragma: no cover
        good = False
        try:
            good = GUARD._watchdog is None and pack.script("print(2)").result == 2
            good = good and GUARD._watchdog.pid != parents.pid
            GUARD.close()
        finally:
            os._exit(0 if good else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert parents.poll() is None
    assert pack.script("print(3)").result == 3
    assert GUARD._watchdog is parents


def test_a_stop_is_noticed_without_polling(pack, tmp_path, until, monkeypatch):
    """The loop sleeps until something happens: few turns, but for looks at the control file that become rare."""
    turns = []
    select = selectors.PollSelector.select
    monkeypatch.setattr(
        selectors.PollSelector, "select", lambda s, t=None: (turns.append(t), select(s, t))[1]
    )
    stop, begun = Stop(), tmp_path / "begun"
    thread = cancel_when(stop, begun, until)
    started = time.monotonic()
    outcome = pack.script(f"import time; open({str(begun)!r}, 'w'); time.sleep(60)", stop)
    thread.join()
    assert outcome.status == "cancelled"
    assert time.monotonic() - started < 30
    assert len(turns) < 12 + (time.monotonic() - started)
