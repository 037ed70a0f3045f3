"""`dramaturg run`: what is started, what is printed where, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from dramaturg.engine.errors import Conflict, InvalidParameters, NotFound, Unreachable

Invoke = Callable[..., Result]


def started(service: Any) -> tuple[Any, ...]:
    """Return what `start` was called with."""
    (call,) = (call for call in service.asked if call[0] == "start")
    return call


@pytest.mark.parametrize(
    ("status", "code"), [("succeeded", 0), ("failed", 1), ("timed_out", 4), ("cancelled", 5)]
)
def test_run_ends_with_the_runs_exit_code(invoke: Invoke, service: Any, status: str, code: int) -> None:
    """Each end of a run has its exit code, and stdout is the record of the run."""
    service.script = [service.ends("r-1", status, error={"type": "Boom", "message": "it broke", "task": "t"})]
    done = invoke("run", "shop.order", "-o", "json")
    assert done.exit_code == code
    assert json.loads(done.stdout) == service.known["r-1"]
    assert "Boom: it broke (task t)" in done.stderr


def test_json_has_exactly_the_fields_of_the_contract(invoke: Invoke, service: Any) -> None:
    """The object of DESIGN 9, in its order."""
    service.script = [service.ends("r-1")]
    names = ["id", "ref", "status", "output", "error", "errors", "created_at", "started_at", "finished_at"]
    assert list(json.loads(invoke("run", "shop.order", "-o", "json").stdout)) == names


def test_text_prints_the_output_alone_on_stdout(invoke: Invoke, service: Any) -> None:
    """Progress, outcome and hints are stderr's."""
    service.script = [service.ends("r-1", output={"total": 7, "note": "two\nlines"})]
    done = invoke("run", "shop.order")
    assert done.stdout == "total  7\nnote\n  two\n  lines\n"
    assert "✓ succeeded in 3.50s" in done.stderr
    assert "dramaturg show r-1" in done.stderr


def test_embedded_serves_the_run_while_it_waits(invoke: Invoke, service: Any, access: Any) -> None:
    """The worker in this process lives exactly as long as the waiting."""
    service.script = [lambda: access.served.append("wait"), service.ends("r-1")]
    invoke("run", "shop.order")
    assert access.served == ["+r-1", "wait", "-r-1"]


def test_a_dead_broker_is_told_before_anything_is_started(invoke: Invoke, service: Any, access: Any) -> None:
    """Exit 7, and nothing is stored."""
    access.broker_error = Unreachable("broker redis://h: connection refused")
    done = invoke("run", "shop.order")
    assert (done.exit_code, done.stderr) == (7, "error: broker redis://h: connection refused\n")
    assert service.asked == []


def test_parameters_are_read_by_declared_type(invoke: Invoke, service: Any) -> None:
    """Text where text is declared, numbers where numbers are; := is JSON whatever is declared."""
    service.declared = {"n": {"type": "integer"}, "on": {"type": "boolean"}, "s": {"type": "string"}}
    service.script = [service.ends("r-1")]
    invoke("run", "shop.order", "-p", "n=3", "-p", "on=true", "-p", "s=3", "-p", "free=3", "-p", "j:=[1]")
    assert started(service)[2] == {"n": 3, "on": True, "s": "3", "free": "3", "j": [1]}


def test_wrong_parameters_are_named_and_exit_2(invoke: Invoke, service: Any) -> None:
    """Each wrong parameter is on a line of its own."""
    service.error = None
    service.start = lambda *_, **__: (_ for _ in ()).throw(
        InvalidParameters("shop.order", ["order: is required", "colour: unknown; did you mean 'color'?"])
    )
    done = invoke("run", "shop.order")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "  - order: is required\n  - colour: unknown; did you mean 'color'?\n" in done.stderr


def test_bad_json_is_told_before_anything_is_started(invoke: Invoke, service: Any) -> None:
    """Several mistakes are told at once."""
    done = invoke("run", "shop.order", "-p", "a:={", "-p", "b:=NaN", "-p", "c=1", "-p", "c=2")
    assert done.exit_code == 2
    assert [f"- {name}: " in done.stderr for name in "abc"] == [True] * 3
    assert not any(call[0] == "start" for call in service.asked)


def test_unknown_ref_exits_6(invoke: Invoke, service: Any) -> None:
    """What the service knows of near names reaches the person."""
    service.error = NotFound("there is no action 'shop.oder' in sqlite:///x", hint="did you mean shop.order?")
    done = invoke("run", "shop.oder")
    assert done.exit_code == 6
    assert (
        done.stderr
        == "error: there is no action 'shop.oder' in sqlite:///x\nhint: did you mean shop.order?\n"
    )


def test_taken_id_exits_8(invoke: Invoke, service: Any) -> None:
    """An id that belongs to something else is a conflict."""
    service.error = Conflict("run 'r-1' has other parameters")
    assert invoke("run", "shop.order", "--id", "r-1").exit_code == 8


def test_a_run_that_has_ended_is_told_and_not_served(invoke: Invoke, service: Any, access: Any) -> None:
    """`run --id` of a run that has ended ends with its outcome at once."""
    service.ends("r-9", "failed")()
    done = invoke("run", "shop.order", "--id", "r-9", "-o", "json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["id"] == "r-9"
    assert access.served == []
    assert "has ended before" in done.stderr


def test_detach_prints_the_run_as_it_stands(invoke: Invoke, service: Any, access: Any) -> None:
    """The id alone in text, the record in JSON; exit 0, nothing is served."""
    assert invoke("run", "shop.order", "--detach", "--id", "a").stdout == "a\n"
    done = invoke("run", "shop.order", "--detach", "--id", "a", "-o", "json")
    assert (done.exit_code, json.loads(done.stdout)["status"]) == (0, "running")
    assert access.served == ["!1", "!1"]


def test_waiting_over_exits_4_and_says_so(invoke: Invoke, service: Any, access: Any) -> None:
    """The run stands as it is; stdout has it as it is."""
    done = invoke("run", "shop.order", "--timeout", "0.01", "-o", "json")
    assert done.exit_code == 4
    assert json.loads(done.stdout)["status"] == "running"
    assert "waiting is over after 0.01 seconds" in done.stderr
    assert "--id r-1" in done.stderr
    assert access.served == ["+r-1", "-r-1"]


def test_interrupt_leaves_the_run_and_says_how_to_go_on(invoke: Invoke, service: Any, access: Any) -> None:
    """Ctrl-C: exit 130, the worker ends in order, and the person knows what to type."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    service.script = [interrupt]
    done = invoke("run", "shop.order", "-p", "note=two words")
    assert done.exit_code == 130
    assert "dramaturg run shop.order -p 'note=two words' --id r-1\n" in done.stderr
    assert "dramaturg cancel r-1" in done.stderr
    assert access.served == ["+r-1", "-r-1"]
    assert not any(call[0] == "cancel" for call in service.asked)


def test_a_database_that_goes_away_is_told_with_how_to_go_on(
    invoke: Invoke, service: Any, access: Any
) -> None:
    """Exit 7; the worker ends in order."""

    def gone() -> None:
        raise Unreachable("database sqlite:///x: disk I/O error")

    service.script = [gone]
    done = invoke("run", "shop.order")
    assert done.exit_code == 7
    assert "--id r-1" in done.stderr
    assert done.stderr.endswith("error: database sqlite:///x: disk I/O error\n")
    assert access.served == ["+r-1", "-r-1"]


def test_jsonl_streams_the_history_and_ends_with_the_run(invoke: Invoke, service: Any) -> None:
    """Records as they come, none twice, then the run."""
    events = [{"seq": n, "type": "task_scheduled", "at": "2026-03-01T12:00:00Z"} for n in (1, 2, 3)]
    service.events["r-1"] = events
    service.script = [lambda: None, service.ends("r-1")]
    lines = [json.loads(line) for line in invoke("run", "shop.order", "-o", "jsonl").stdout.splitlines()]
    assert lines == [*events, service.known["r-1"]]


def test_a_file_is_registered_and_run_by_its_ref(
    invoke: Invoke, service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FILE: what is in it is registered, and its ref started."""
    monkeypatch.setattr("dramaturg.cli.catalog.from_file", lambda _access, _path: (None, "shop.order"))
    path = tmp_path / "order.yaml"
    path.write_text("ref: shop.order\n")
    service.script = [service.ends("r-1")]
    assert invoke("run", str(path)).exit_code == 0
    assert ("register", None, path) in service.asked
    assert started(service)[1] == "shop.order"


def test_on_a_server_starting_registers_nothing(invoke: Invoke, service: Any, access: Any) -> None:
    """What a ref means there is moved by a deployment; what is only on the pack path is told as such."""
    access.is_embedded = False
    service.start = lambda *_, **__: (_ for _ in ()).throw(NotFound("there is no action", hint="near"))
    done = invoke("run", "shop.order")
    assert done.exit_code == 6
    assert "dramaturg pack register" in done.stderr
    assert "hint: near" in invoke("run", "shop.other").stderr
    assert not any(call[0] == "register" for call in service.asked)


def test_a_file_that_is_not_there_is_a_usage_error(invoke: Invoke) -> None:
    """A path that leads nowhere is told as such."""
    done = invoke("run", "nowhere/order.yaml")
    assert done.exit_code == 2
    assert "nowhere/order.yaml: there is no such file" in done.stderr


def test_terminate_is_refused(invoke: Invoke) -> None:
    """What is not built is refused, not ignored."""
    done = invoke("run", "shop.order", "--if-exists", "terminate")
    assert done.exit_code == 2
    assert "no part of this release" in done.stderr


@pytest.mark.parametrize("run_id", ["", " ", "a\nb", "\x1b[2J", "x" * 256])
def test_an_id_can_be_read_and_typed(invoke: Invoke, service: Any, run_id: str) -> None:
    """Others are refused before anything is stored."""
    assert invoke("run", "shop.order", "--id", run_id).exit_code == 2
    assert service.asked == []


def test_if_exists_reaches_the_service(invoke: Invoke, service: Any) -> None:
    """`return` is the default, `reject` is passed on."""
    invoke("run", "shop.order", "--detach")
    assert started(service)[4] == "return_existing"
    service.asked.clear()
    invoke("run", "shop.order", "--detach", "--if-exists", "reject")
    assert started(service)[4] == "reject"


@pytest.mark.parametrize(("name", "text"), [("p.json", '{"a": 1, "b": 2}'), ("p.yaml", "a: 1\nb: 2\n")])
def test_parameters_from_a_file(invoke: Invoke, service: Any, tmp_path: Path, name: str, text: str) -> None:
    """-p wins over the file."""
    (tmp_path / name).write_text(text)
    invoke("run", "shop.order", "--detach", "--params", str(tmp_path / name), "-p", "b:=3")
    assert started(service)[2] == {"a": 1, "b": 3}


def test_parameters_from_stdin(invoke: Invoke, service: Any) -> None:
    """`--params -` reads JSON."""
    invoke("run", "shop.order", "--detach", "--params", "-", input='{"a": [1, null]}')
    assert started(service)[2] == {"a": [1, None]}


@pytest.mark.parametrize("text", ["[1]", "{", "3"])
def test_a_parameter_file_without_a_map_is_a_usage_error(invoke: Invoke, text: str) -> None:
    """It is told which file."""
    done = invoke("run", "shop.order", "--params", "-", input=text)
    assert (done.exit_code, "--params stdin" in done.stderr) == (2, True)
