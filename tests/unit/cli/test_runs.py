"""list, show, history, result, logs, cancel: what they print, and that looking exits 0."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

Invoke = Callable[..., Result]

EVENTS = [
    {"seq": 1, "type": "run_started", "at": "2026-03-01T12:00:00.5Z"},
    {"seq": 2, "type": "task_completed", "at": "2026-03-01T12:00:02Z", "task": "build", "visit": 2,
     "attempt": 3, "status": "timed_out", "data": {"a": "é"}},
]  # fmt: skip


def test_list_shows_a_table(invoke: Invoke, service: Any) -> None:
    """A line a run, headed, without borders."""
    service.ends("r-1")()
    service.ends("order-27", "timed_out")()
    assert invoke("list").stdout.splitlines() == [
        "RUN       REF         STATUS       CREATED               TOOK",
        "r-1       shop.order  ✓ succeeded  2026-03-01 12:00:00Z  3.50s",
        "order-27  shop.order  ◷ timed out  2026-03-01 12:00:00Z  3.50s",
    ]


def test_list_asks_for_what_was_wanted(invoke: Invoke, service: Any) -> None:
    """The filters reach the service."""
    invoke("list", "ord", "--status", "failed", "--ref", "shop.order", "--limit", "3")
    wanted = {"query": "ord", "status": "failed", "ref": "shop.order", "limit": 3}
    assert service.asked == [("runs", wanted)]


def test_list_as_json_is_a_list_without_output_and_errors(invoke: Invoke, service: Any) -> None:
    """DESIGN 9; jsonl is one record a line."""
    service.ends("r-1")()
    (row,) = json.loads(invoke("list", "-o", "json").stdout)
    assert {"id", "ref", "status", "error", "created_at", "started_at", "finished_at"} == set(row)
    assert json.loads(invoke("list", "-o", "jsonl").stdout) == row


def test_list_without_a_database_is_empty(invoke: Invoke, access: Any) -> None:
    """Looking makes no database."""
    access.missing = Path("/somewhere/dramaturg.db")
    done = invoke("list", "-o", "json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, [])
    assert "no database" in done.stderr


def test_show_of_a_failed_run_exits_0(invoke: Invoke, service: Any) -> None:
    """Looking is not failing."""
    error = {"type": "ExitCode", "message": "exited with 2", "task": "build", "attempt": 3}
    service.ends("r-1", "failed", error=error, errors=[error, {"type": "Early", "message": "handled"}])()
    done = invoke("show", "r-1")
    assert done.exit_code == 0
    assert "error     ExitCode: exited with 2 (task build, attempt 3)" in done.stdout
    assert "handled   Early: handled" in done.stdout
    assert json.loads(invoke("show", "r-1", "-o", "json").stdout) == service.known["r-1"]


def test_show_does_not_call_handled_what_waits_for_a_person(invoke: Invoke, service: Any) -> None:
    """A run that waits has a failure that nobody handled."""
    service.ends("r-1", "waiting", errors=[{"type": "Boom", "message": "no"}])()
    assert "failure   Boom: no" in invoke("show", "r-1").stdout


def test_show_of_an_unknown_run_exits_6(invoke: Invoke) -> None:
    """It is told which one."""
    done = invoke("show", "nope")
    assert (done.exit_code, done.stdout) == (6, "")
    assert "'nope'" in done.stderr


def test_history_prints_a_line_an_event(invoke: Invoke, service: Any) -> None:
    """Number, time, type, place, status, data."""
    service.ends("r-1")()
    service.events["r-1"] = EVENTS
    assert invoke("history", "r-1").stdout.splitlines() == [
        "    1  2026-03-01 12:00:00.500Z  run_started",
        '    2  2026-03-01 12:00:02.000Z  task_completed  build #2 attempt 3  timed out  {"a": "é"}',
    ]
    assert json.loads(invoke("history", "r-1", "-o", "json").stdout) == EVENTS


def test_history_follows_until_the_run_has_ended(
    invoke: Invoke, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes while it looks is printed once; what came between two looks at the end is not missed."""
    service.start("shop.order", {}, id="r-1", if_exists="reject")
    service.events["r-1"] = [EVENTS[0]]
    looks = iter(("running", "running", "succeeded"))

    def status(run_id: str) -> str:
        now = next(looks)
        if now == "succeeded":
            service.events["r-1"] = EVENTS
        return now

    service.status = status
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    done = invoke("history", "r-1", "--follow", "-o", "jsonl")
    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == [1, 2]


def test_history_cannot_follow_into_one_json_value(invoke: Invoke, service: Any) -> None:
    """It is refused, and jsonl is named."""
    service.ends("r-1")()
    done = invoke("history", "r-1", "--follow", "-o", "json")
    assert (done.exit_code, "jsonl" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("status", "code"), [("succeeded", 0), ("failed", 1), ("timed_out", 4), ("cancelled", 5)]
)
def test_result_ends_with_the_runs_exit_code(invoke: Invoke, service: Any, status: str, code: int) -> None:
    """The same record as `run` prints."""
    service.ends("r-1", status)()
    done = invoke("result", "r-1", "-o", "json")
    assert done.exit_code == code
    assert json.loads(done.stdout) == service.known["r-1"]


@pytest.mark.parametrize("option", [("--no-wait",), ("--timeout", "0.01")])
def test_result_of_a_run_that_goes_on_exits_4(invoke: Invoke, service: Any, option: tuple[str, ...]) -> None:
    """Waiting is over: it says so, and how to go on."""
    service.start("shop.order", {}, id="r-1", if_exists="reject")
    done = invoke("result", "r-1", *option)
    assert (done.exit_code, done.stdout) == (4, "")
    assert "still running" in done.stderr


def test_result_says_that_it_waits(invoke: Invoke, service: Any) -> None:
    """And by whom the run is served: a person may have to start that."""
    service.start("shop.order", {}, id="r-1", if_exists="reject")
    service.script = [service.ends("r-1")]
    done = invoke("result", "r-1")
    assert (done.exit_code, done.stdout) == (0, "total  7\n")
    assert "dramaturg worker" in done.stderr
    assert "waiting" not in invoke("result", "r-1").stderr


def test_logs_of_one_source_are_as_they_were_written(invoke: Invoke, service: Any) -> None:
    """Nothing is put before the lines."""
    service.ends("r-1")()
    service.chunks = [
        {"task": "a", "visit": 1, "item": -1, "attempt": 1, "stream": "stdout", "text": "x [red]\ny\n"}
    ]
    assert invoke("logs", "r-1").stdout == "x [red]\ny\n"


def test_logs_of_several_sources_name_them(invoke: Invoke, service: Any) -> None:
    """Task, visit, item and attempt, where they tell something."""
    service.ends("r-1")()
    base = {"visit": 1, "item": -1, "attempt": 1, "stream": "stderr"}
    service.chunks = [
        {**base, "task": "a", "text": "x\n"},
        {**base, "task": "b", "item": 2, "attempt": 3, "visit": 2, "text": "y\n"},
    ]
    assert invoke("logs", "r-1").stdout == "a | x\nb #2[2] attempt 3 | y\n"
    assert invoke("logs", "r-1", "--task", "a").stdout == "x\n"
    assert json.loads(invoke("logs", "r-1", "-o", "json").stdout) == service.chunks


def test_cancel_asks_once(invoke: Invoke, service: Any, access: Any) -> None:
    """It says how the run stands; workers are told, once."""
    service.start("shop.order", {}, id="r-1", if_exists="reject")
    done = invoke("cancel", "r-1", "--reason", "twice")
    assert (done.exit_code, done.stdout) == (0, "r-1 is asked to stop; it was running\n")
    assert ("cancel", "r-1", "twice") in service.asked
    assert invoke("cancel", "r-1").stdout == "r-1 was asked before; it is running\n"
    assert access.served == ["!1"]
    service.ends("r-1", "timed_out")()
    assert invoke("cancel", "r-1").stdout == "r-1 has ended already: timed out\n"
    answer = {"target": "r-1", "status": "timed_out", "asked": False}
    assert json.loads(invoke("cancel", "r-1", "-o", "json").stdout) == answer


WAITS = [
    {"kind": "signal", "name": "paid", "task": "pay", "visit": 2, "execution_id": 5, "until": None},
    {"kind": "answer", "prompt": "Deploy?", "task": "gate", "execution_id": 6, "run_id": "r-1/n"},
    {"kind": "answer", "prompt": "Sure?", "task": "vote", "execution_id": 10, "item": 1},
    {"kind": "completion", "task": "print", "execution_id": 7},
    {"kind": "person", "task": "ship", "execution_id": 8, "error": {"type": "E", "message": "gone\nfar"}},
    {"kind": "timer", "task": "doze", "execution_id": 9, "until": None},
]


def test_show_says_what_somebody_has_to_do(invoke: Invoke, service: Any) -> None:
    """What is waited for, and what to type; JSON is the run's object and nothing else."""
    service.start("shop.order", {}, id="r-1", if_exists="reject")
    service.waits = WAITS
    shown = invoke("show", "r-1").stdout
    assert shown.partition("waits for\n")[2].splitlines() == [
        "  pay #2 waits for signal 'paid'",
        "      dramaturg signal r-1 paid [JSON]",
        "  gate asks: Deploy?",
        "      dramaturg answer r-1/n gate [JSON]",
        "  vote, item 1 asks: Sure?",
        "      dramaturg complete 10 [JSON]",
        "  print waits to be completed",
        "      dramaturg complete 7 [JSON]",
        "  ship has failed and waits for a person: E: gone",
        "      dramaturg complete 8 [JSON]",
        "      dramaturg fail 8",
    ]
    assert json.loads(invoke("show", "r-1", "-o", "json").stdout) == service.known["r-1"]


def test_show_awaits_is_all_that_is_waited_for(invoke: Invoke, service: Any) -> None:
    """Times too; a list in JSON, and nothing where nothing is waited for."""
    service.start("shop.order", {}, id="r-1", if_exists="reject")
    service.waits = WAITS
    assert json.loads(invoke("show", "r-1", "--awaits", "-o", "json").stdout) == WAITS
    lines = invoke("show", "r-1", "--awaits").stdout.splitlines()
    assert (len(lines), lines[-1]) == (12, "doze waits for its time")
    service.waits = []
    done = invoke("show", "r-1", "--awaits")
    assert (done.exit_code, done.stdout, "nothing and nobody" in done.stderr) == (0, "", True)
    assert invoke("show", "nope", "--awaits").exit_code == 6


def test_result_says_once_what_somebody_has_to_do(
    invoke: Invoke, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it waits, and where waiting is over at once."""
    monkeypatch.setattr("dramaturg.cli.live.LOOK_AT_MOST", 0.0)
    service.start("shop.order", {}, id="r-1", if_exists="reject")
    told = "pay #2 waits for signal 'paid' -> dramaturg signal r-1 paid [JSON]\n"
    service.waits = WAITS[:1]
    service.script = [lambda: None, lambda: None, lambda: None]
    done = invoke("result", "r-1", "--no-wait")
    assert (done.exit_code, done.stderr.count(told)) == (4, 1)
    service.script = [lambda: None, lambda: None, service.ends("r-1")]
    done = invoke("result", "r-1")
    assert (done.exit_code, done.stderr.count(told)) == (0, 1)
