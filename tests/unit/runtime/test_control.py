"""The control file: what a process says of itself while it runs."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from dramaturg.engine.runtime import Beat, Stop
from dramaturg.engine.runtime import control as control_module
from dramaturg.engine.runtime.control import ControlFile
from dramaturg.engine.runtime.pulse import Pulse


class Heard(list):
    """The signs of life that came."""

    def __call__(self, beat: Beat) -> None:
        self.append(beat)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def open_control(pack, heard, tmp_path):
    """Make a control file and its reader."""

    def make(**given: object) -> tuple[ControlFile, Path]:
        file = tmp_path / "control.jsonl"
        file.touch()
        return ControlFile(file, Pulse(pack.request("x", on_beat=heard, **given))), file

    return make


def append(file: Path, text: str) -> None:
    with file.open("a") as opened:
        opened.write(text)


def notices(control: ControlFile) -> str:
    return "".join(chunk.text for chunk in control.logs())


def test_a_process_says_how_far_it_is_while_it_runs(pack, tmp_path, heard, until):
    """Heard before it ends, not after."""
    go = tmp_path / "go"
    pack.write(
        "s.sh",
        f"""
        echo '{{"heartbeat": {{"row": 7}}}}' >> "$DRAMATURG_CONTROL_FILE"
        echo '{{"progress": 0.4, "message": "half way"}}' >> "$DRAMATURG_CONTROL_FILE"
        until [ -e {go} ]; do sleep 0.02; done
        echo '{{"progress": 1}}' >> "$DRAMATURG_CONTROL_FILE"
        """,
    )
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(pack.run("s.sh", on_beat=heard, timeout=30)))
    thread.start()
    until(lambda: any(beat.progress == 0.4 for beat in heard))
    go.touch()
    thread.join()
    assert outcomes[0].status == "succeeded"
    assert [beat.details for beat in heard if beat.heartbeat] == [{"row": 7}]
    assert [beat.message for beat in heard if beat.message] == ["half way"]
    assert heard[-1] == Beat(progress=1.0)


@pytest.mark.parametrize("end", ["", "\n"])
def test_pending(pack, end):
    """It ends with exit 0, and is not over; what it printed is kept, and need not make sense."""
    script = f"""
        import os
        with open(os.environ["DRAMATURG_CONTROL_FILE"], "a") as file:
            file.write('{{"pending": true}}' + {end!r})
        print("no json")
    """
    outcome = pack.script(script)
    assert (outcome.status, outcome.result, outcome.error) == ("pending", None, None)
    assert outcome.logs[0].text == "no json\n"


def test_pending_does_not_undo_a_failure(pack):
    """Exit 0 belongs to it."""
    outcome = pack.shell("""echo '{"pending": true}' >> "$DRAMATURG_CONTROL_FILE"; exit 3""")
    assert (outcome.status, outcome.error.type) == ("failed", "ExitCode")


def test_pending_does_not_undo_a_timeout(pack):
    """As long as it runs it has its time limit."""
    outcome = pack.shell("""echo '{"pending": true}' >> "$DRAMATURG_CONTROL_FILE"; sleep 60""", timeout=1)
    assert outcome.status == "timed_out"


def test_the_token_and_the_last_heartbeat(pack):
    """In the environment and in a file; only where there are any."""
    script = """
        import json, os
        names = [n for n in ("DRAMATURG_TOKEN", "DRAMATURG_LAST_HEARTBEAT") if n in os.environ]
        last = open(os.environ["DRAMATURG_LAST_HEARTBEAT"]).read() if len(names) == 2 else "null"
        print(json.dumps([names, os.environ.get("DRAMATURG_TOKEN"), json.loads(last)]))
    """
    assert pack.script(script).result == [[], None, None]
    names, token, last = pack.script(script, token="t-1", last_heartbeat={"row": ["ä"]}).result
    assert (len(names), token, last) == (2, "t-1", {"row": ["ä"]})


def test_the_files_are_private_and_gone_afterwards(pack):
    """Heartbeats may hold what parameters hold."""
    script = """
        import json, os
        names = [os.environ["DRAMATURG_CONTROL_FILE"], os.environ["DRAMATURG_LAST_HEARTBEAT"]]
        places = names + [os.path.dirname(names[0])]
        print(json.dumps([[name, oct(os.stat(name).st_mode & 0o777)] for name in places]))
    """
    found = pack.script(script, last_heartbeat=1).result
    assert [mode for _, mode in found] == ["0o600", "0o400", "0o700"]
    assert not any(Path(name).exists() for name, _ in found)


def test_silence_ends_a_process(pack):
    """The first heartbeat is due that long after the start; what it has written by then is heard."""
    outcome = pack.shell("echo begun; sleep 60", heartbeat_timeout=1)
    assert outcome.status == "timed_out"
    assert (outcome.error.type, outcome.error.message) == ("Timeout", "no heartbeat for 1 s")
    assert outcome.error.details == {
        "kind": "heartbeat",
        "seconds": 1,
        "signal": "SIGTERM",
        "stdout": "begun\n",
        "stderr": "",
    }


@pytest.mark.parametrize("said", ['{"heartbeat": null}', '{"progress": 0.1}'])
def test_a_process_that_speaks_is_not_silent(pack, heard, said):
    """Both are signs of life; the time limit between them begins anew with each."""
    script = f"""
        for n in 1 2 3 4 5 6 7 8; do echo '{said}' >> "$DRAMATURG_CONTROL_FILE"; sleep 0.25; done
    """
    assert pack.shell(script, heartbeat_timeout=1.2, on_beat=heard).status == "succeeded"
    assert len(heard) >= 2


def test_one_that_stops_speaking_is_silent(pack, heard):
    """However often it spoke before."""
    script = """
        for n in 1 2 3; do echo "{\\"heartbeat\\": $n}" >> "$DRAMATURG_CONTROL_FILE"; sleep 0.1; done
        sleep 60
    """
    outcome = pack.shell(script, heartbeat_timeout=1, on_beat=heard)
    assert outcome.error.details["kind"] == "heartbeat"
    assert heard[-1].details == 3


def test_one_that_is_pending_may_be_silent(pack):
    """Its work is in other hands."""
    script = """echo '{"pending": true}' >> "$DRAMATURG_CONTROL_FILE"; sleep 1.5"""
    assert pack.shell(script, heartbeat_timeout=0.7).status == "pending"


def test_a_time_limit_that_comes_first_is_that(pack):
    """Not a heartbeat's."""
    outcome = pack.shell("sleep 60", timeout=0.3, heartbeat_timeout=30)
    assert outcome.error.details["kind"] == "start_to_close"


def test_a_stop_goes_before_silence(pack, tmp_path, until):
    """Cancelled is cancelled."""
    stop, begun = Stop(), tmp_path / "begun"

    def cancel() -> None:
        until(begun.exists)
        stop.cancel("enough")

    thread = threading.Thread(target=cancel)
    thread.start()
    outcome = pack.shell(f"touch {begun}; sleep 60", stop, heartbeat_timeout=20)
    thread.join()
    assert outcome.status == "cancelled"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("half way", "line 1: not JSON: half way"),
        ("[1]", "line 1: a map is expected: [1]"),
        ('{"heartbeet": 1}', "line 1: 'heartbeet' is not known (did you mean 'heartbeat'?)"),
        ('{"xyz": 1}', "(heartbeat, progress, message, pending)"),
        ('{"progress": 40}', "line 1: progress is 40: a number from 0 to 1 is expected"),
        ('{"progress": true}', "progress is True"),
        ('{"progress": NaN}', "progress is nan"),
        ('{"message": 1}', "message is a int: text is expected"),
        ('{"pending": false}', "pending can only be true"),
        ('{"heartbeat": 18446744073709551616}', "heartbeat is an integer beyond signed 64 bits"),
        ('{"heartbeat": "a\\u0000"}', "heartbeat has a NUL character"),
        ('{"heartbeat": "%s"}' % ("x" * 70_000), "heartbeat has at least 70002 bytes, 65536 are allowed"),
        ("[" * 100_000, "not JSON"),
        ('{"heartbeat": "%s"}' % ("x" * 300_000), "it has more than 262144 bytes"),
    ],
)
def test_a_line_that_makes_no_sense_is_noticed_and_no_failure(open_control, heard, line, words):
    """The ones around it count."""
    control, file = open_control()
    append(file, line + '\n{"progress": 0.5}\n')
    control.finish()
    assert words in notices(control)
    assert len(notices(control)) < 1000
    assert heard == [Beat(progress=0.5)]


def test_notices_are_in_the_attempts_log(pack):
    """However it ends."""
    outcome = pack.shell('echo oops >> "$DRAMATURG_CONTROL_FILE"')
    assert outcome.status == "succeeded"
    assert outcome.logs[-1].stream == "log"
    assert outcome.logs[-1].text == "WARNING DRAMATURG_CONTROL_FILE: line 1: not JSON: oops\n"


def test_many_notices_are_counted(open_control):
    """A log is not filled with them."""
    control, file = open_control()
    append(file, "oops\n" * 1000)
    control.look()
    assert notices(control).count("\n") == 21
    assert notices(control).endswith("... and 980 more\n")


def test_half_a_line_waits_for_its_other_half(open_control, heard):
    """A character may be cut, too."""
    control, file = open_control()
    line = '{"heartbeat": "ä"}\n'.encode()
    for byte in line:
        assert heard == []
        with file.open("ab") as opened:
            opened.write(bytes([byte]))
        control.look()
    assert heard == [Beat(heartbeat=True, details="ä")]
    assert notices(control) == ""


def test_of_one_look_the_last_of_everything_counts(open_control, heard):
    """A program that talks without end keeps nobody busy."""
    control, file = open_control()
    for n in range(1000):
        append(file, json.dumps({"heartbeat": n}) + "\n" + json.dumps({"progress": n / 1000}) + "\n\n")
    append(file, '{"message": "a\\u0000b"}\n')
    control.look()
    assert heard == [Beat(heartbeat=True, details=999, progress=0.999, message="a\ufffdb")]


def test_a_line_without_an_end_is_dropped_in_time(open_control, heard):
    """It is not collected for ever; the next line counts."""
    control, file = open_control()
    for _ in range(8):
        append(file, "x" * 100_000)
        control.look()
    assert len(control._rest) <= control_module.LINE
    append(file, '\n{"progress": 1}\n')
    control.look()
    assert heard == [Beat(progress=1.0)]
    assert notices(control).count("\n") == 1


def test_more_than_one_look_reads_is_read_by_the_next(open_control, heard, monkeypatch):
    """Nothing is lost, and no look takes long."""
    monkeypatch.setattr(control_module, "LOOK", 10)
    control, file = open_control()
    append(file, '{"progress": 0.5}\n{"pending": true}\n')
    control.look()
    assert heard == []
    control.finish()
    assert heard == [Beat(progress=0.5)]
    assert control.pulse.pending


def test_what_is_beyond_the_last_look_is_left_out(open_control, monkeypatch):
    """And it is said."""
    monkeypatch.setattr(control_module, "LAST", 20)
    control, file = open_control()
    append(file, '{"progress": 0.5}\n' * 3)
    control.finish()
    assert "not read" in notices(control)


def test_a_file_that_is_written_anew_is_read_anew(open_control, heard):
    """`>` where `>>` was meant: shorter, or of the same length."""
    control, file = open_control()
    for text in ('{"progress": 0.25}\n', '{"progress": 0.5}\n', '{"progress": 0.7}\n'):
        file.write_text(text)
        os.utime(file, ns=(1, len(heard) + 1))  # two writes may share a tick of the file system's clock
        control.look()
    assert [beat.progress for beat in heard] == [0.25, 0.5, 0.7]
    assert notices(control) == ""


def test_a_line_that_comes_in_the_middle_of_a_look_is_read_once(open_control, heard, monkeypatch):
    """Between the question for the size and the reading: it is the next look's."""
    control, file = open_control()
    append(file, '{"progress": 0.1}\n')
    real = os.fstat

    def fstat(number: int) -> os.stat_result:
        found = real(number)
        if not heard:
            append(file, '{"progress": 0.2}\n')
            os.utime(file, ns=(1, 1))
        return found

    monkeypatch.setattr(os, "fstat", fstat)
    for _ in range(3):
        control.look()
    assert [beat.progress for beat in heard] == [0.1, 0.2]


@pytest.mark.parametrize("what", ["nothing", "fifo", "device", "link", "folder"])
def test_a_file_that_is_no_file_any_more_holds_nobody(open_control, heard, tmp_path, what):
    """Whatever the process made of it."""
    control, file = open_control()
    file.unlink()
    if what == "fifo":
        os.mkfifo(file)
    elif what == "device":
        file.symlink_to("/dev/zero")
    elif what == "link":
        (tmp_path / "other").write_text('{"progress": 1}\n')
        file.symlink_to(tmp_path / "other")
    elif what == "folder":
        file.mkdir()
    control.look()
    control.finish()
    assert notices(control) == ""
    assert heard == []


def test_looks_become_rare(open_control):
    """A process that says nothing costs little; one that does is looked at often."""
    control, file = open_control()

    def pause() -> float:
        control.look()
        return round(control.next_look - time.monotonic(), 2)

    pauses = [pause() for _ in range(10)]
    assert pauses == sorted(pauses)
    assert 0.9 < pauses[-1] <= control_module.SELDOM
    append(file, '{"progress": 0}\n')
    assert pause() <= control_module.OFTEN


def test_looks_are_as_often_as_heartbeats_are_due(open_control):
    """A quarter of that time."""
    control, _ = open_control(heartbeat_timeout=0.4)
    control.look()
    assert control.next_look - time.monotonic() <= 0.1


def test_what_was_written_in_time_is_heard_in_time(open_control, heard, until):
    """Before a process is called silent its file is looked at once more."""
    control, file = open_control(heartbeat_timeout=0.05)
    append(file, '{"heartbeat": 1}\n')
    until(control.pulse.silent)
    assert not control.silent()
    assert heard == [Beat(heartbeat=True, details=1)]
    until(control.silent)


def test_an_error_in_on_beat_is_not_the_actions(pack, caplog):
    """It is logged."""

    def broken(beat: Beat) -> None:
        raise ZeroDivisionError

    outcome = pack.shell("""echo '{"progress": 0}' >> "$DRAMATURG_CONTROL_FILE" """, on_beat=broken)
    assert outcome.status == "succeeded"
    assert "a heartbeat could not be noted" in caplog.text


def test_core_shell_has_a_control_file(pack):
    """It is a process like every other."""
    command = """echo '{"pending": true}' >> "$DRAMATURG_CONTROL_FILE" """
    assert pack.run("shell", runtime="builtin", input={"command": command}).status == "pending"
