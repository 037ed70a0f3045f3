"""signal, answer, complete, fail: what reaches the service, what is said, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from dramaturg.engine.errors import Conflict, InvalidParameters, NotFound

Invoke = Callable[..., Result]

SCHEMA = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean", "description": "May it go?"},
        "size": {"enum": ["small", "large"], "default": "small"},
        "copies": {"type": "integer", "minimum": 1},
        "note": {"type": "string"},
    },
    "required": ["approved", "copies"],
}


@pytest.fixture(autouse=True)
def running(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on, and a person called kim."""
    monkeypatch.setenv("LOGNAME", "kim")
    service.start("shop.order", {}, id="r-1", if_exists="reject")
    service.asked.clear()


def question(task: str = "gate", **more: Any) -> dict[str, Any]:
    """Return a question as `Service.awaits` gives it."""
    known = {
        "kind": "answer",
        "task": task,
        "visit": 1,
        "execution_id": 7,
        "prompt": "Deploy?",
        "schema": None,
    }
    return {**known, **more}


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits there to be asked."""
    monkeypatch.setattr("dramaturg.cli.asking.possible", lambda: True)


def test_a_signal_is_sent_and_a_worker_told(invoke: Invoke, service: Any, access: Any) -> None:
    """With its payload, in the name of whoever is logged in."""
    done = invoke("signal", "r-1", "approve", '{"by": "kim"}')
    assert (done.exit_code, done.stdout, done.stderr) == (0, "signal approve is sent to r-1\n", "")
    assert service.asked == [("signal", "r-1", "approve", {"by": "kim"}, "kim", None)]
    assert access.served == ["!1"]


def test_a_signal_under_one_key_is_said_to_have_been_sent(invoke: Invoke, service: Any, access: Any) -> None:
    """The second one changes nothing, and is no error."""
    invoke("signal", "r-1", "approve", "--key", "k", "--by", "ada")
    assert service.asked == [("signal", "r-1", "approve", None, "ada", "k")]
    done = invoke("signal", "r-1", "approve", "--key", "k", "-o", "json")
    assert json.loads(done.stdout) == {"target": "r-1", "status": "running", "asked": False}
    assert "was sent to r-1 before" in invoke("signal", "r-1", "approve", "--key", "k").stdout
    assert access.served == ["!1"]


def test_json_comes_from_stdin_too(invoke: Invoke, service: Any) -> None:
    """`-`, for every argument that is JSON."""
    invoke("signal", "r-1", "n", "-", input="[1]")
    invoke("answer", "r-1", "-", input="[2]")
    invoke("complete", "17", "-", input="[3]")
    invoke("fail", "17", "--details", "-", input="[4]")
    assert [said[3] if said[0] in ("signal", "answer") else said[-2] for said in service.asked] == [
        [1],
        [2],
        [3],
        [4],
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("signal", "r-1", "n", "hello"),
        ("answer", "r-1", "hello"),
        ("answer", "r-1", "gate", "hello"),
        ("complete", "17", "hello"),
        ("complete", "17", "NaN"),
        ("fail", "17", "m", "--details", "hello"),
    ],
    ids=" ".join,
)
def test_what_is_no_json_is_told_with_how_to_quote(
    invoke: Invoke, service: Any, words: tuple[str, ...]
) -> None:
    """Exit 2, nothing is recorded."""
    done = invoke(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "is no JSON" in done.stderr
    assert "'\"text\"'" in done.stderr
    assert service.asked == []


def test_one_word_is_the_task_if_it_asks_and_else_the_answer(
    invoke: Invoke, service: Any, terminal: None
) -> None:
    """A task may be called as a JSON value is: then it takes two words to say the value."""
    service.waits = [question("true")]
    assert invoke("answer", "r-1", "true", input="4\n").exit_code == 0
    assert invoke("answer", "r-1", "false").exit_code == 0
    assert invoke("answer", "r-1", "true", "true").exit_code == 0
    assert [said[2:4] for said in service.asked] == [("true", 4), ("true", False), ("true", True)]


def test_a_misspelt_task_is_told_with_those_that_ask(invoke: Invoke, service: Any) -> None:
    """It is read as JSON, and is none."""
    service.waits = [question(), question("other")]
    done = invoke("answer", "r-1", "gaet")
    assert done.exit_code == 2
    assert "tasks that ask: gate, other" in done.stderr


def test_a_question_of_a_nested_run_is_answered_there(invoke: Invoke, service: Any) -> None:
    """Whoever answers need not know which run asks."""
    service.waits = [question(run_id="r-1/inner")]
    done = invoke("answer", "r-1", "gate", "1")
    assert done.stdout == "r-1/inner: gate is answered\n"
    assert service.asked == [("answer", "r-1/inner", "gate", 1, "kim")]


def test_without_a_terminal_an_answer_must_be_given(invoke: Invoke, service: Any) -> None:
    """The question is shown, and what to type."""
    service.waits = [question()]
    done = invoke("answer", "r-1")
    assert (done.exit_code, service.asked) == (2, [])
    assert "Deploy?" in done.stderr
    assert "dramaturg answer r-1 gate JSON" in done.stderr


def test_who_asks_nothing_or_too_much_cannot_be_answered_blindly(
    invoke: Invoke, service: Any, terminal: None
) -> None:
    """Exit 6 without a question, 8 with several; they are named."""
    assert invoke("answer", "r-1").exit_code == 6
    assert invoke("answer", "nope").exit_code == 6
    service.waits = [question(), question("other")]
    done = invoke("answer", "r-1")
    assert (done.exit_code, "gate, other" in done.stderr) == (8, True)
    assert invoke("answer", "r-1", "a", "b", "c").exit_code == 2
    assert service.asked == []


def test_a_person_is_asked_field_by_field(invoke: Invoke, service: Any, terminal: None) -> None:
    """By the type of each; a slip is told at once; what may be left out may; all of it on stderr."""
    service.waits = [question(schema=SCHEMA, prompt="Deploy?\nThink twice.", assigned_to="ops")]
    done = invoke("answer", "r-1", input="maybe\nyes\n\n0\ntwo\n3\n\n")
    assert done.exit_code == 0, done.stderr
    assert service.asked == [
        ("answer", "r-1", "gate", {"approved": True, "size": "small", "copies": 3}, "kim")
    ]
    assert done.stdout == "r-1: gate is answered\n"
    assert done.stderr.splitlines()[:3] == ["Deploy?", "Think twice.", "for ops"]
    assert "approved, May it go? (yes or no): " in done.stderr
    assert 'size (small, large; default "small"): ' in done.stderr
    assert "copies (integer): " in done.stderr
    assert "note (may be left out): " in done.stderr
    assert "'approved' must be true or false, not 'maybe'" in done.stderr
    assert "'copies' must be at least 1, not 0" in done.stderr
    assert "'copies' must be a whole number, not 'two'" in done.stderr


@pytest.mark.parametrize(
    ("schema", "typed", "answer"),
    [
        (None, "hello\n", "hello"),
        (None, "\n[1, 2]\n", [1, 2]),
        ({"type": "string"}, "12\n", "12"),
        ({"type": "integer"}, "x\n12\n", 12),
        ({"type": "array"}, "[1\n[1]\n", [1]),
        ({"enum": [1, "two", None]}, "3\nnull\n", None),
        ({"enum": [1, "two", None]}, "two\n", "two"),
        ({"type": "boolean", "default": True}, "\n", True),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "integer"}}}, "7\n", 7),
    ],
)
def test_an_answer_as_a_whole(
    invoke: Invoke, service: Any, terminal: None, schema: Any, typed: str, answer: Any
) -> None:
    """As its schema says; without one, JSON if it is some, else text."""
    service.waits = [question(schema=schema)]
    assert invoke("answer", "r-1", input=typed).exit_code == 0
    assert service.asked[-1][3] == answer


def test_a_refused_answer_is_asked_for_again(invoke: Invoke, service: Any, terminal: None) -> None:
    """The service sees the whole; what it says is shown."""
    service.waits = [question()]
    service.refusals = [InvalidParameters("gate", ["'a' and 'b' exclude each other"])]
    done = invoke("answer", "r-1", input="1\n2\n")
    assert (done.exit_code, [said[3] for said in service.asked]) == (0, [1, 2])
    assert "exclude each other" in done.stderr


def test_who_has_had_enough_answers_nothing(invoke: Invoke, service: Any, terminal: None) -> None:
    """The end of the input: as Ctrl-C."""
    service.waits = [question(schema=SCHEMA)]
    done = invoke("answer", "r-1", input="yes\n")
    assert (done.exit_code, done.stdout, service.asked) == (130, "", [])


def test_complete_and_fail_pass_everything_on(invoke: Invoke, service: Any) -> None:
    """By token or number; a token is not shown."""
    assert invoke("complete", "17", '{"n": 1}').stdout == "execution 17 is completed\n"
    assert invoke("complete", "tok-en").stdout == "what the token stands for is completed\n"
    done = invoke("fail", "17", "no room", "--type", "Full", "--details", "[1]", "--by", "ada")
    assert done.stdout == "execution 17 is failed\n"
    invoke("fail", "tok-en")
    assert service.asked == [
        ("complete", "17", {"n": 1}, "kim"),
        ("complete", "tok-en", None, "kim"),
        ("fail", "17", "no room", "Full", [1], "ada"),
        ("fail", "tok-en", "", "Failed", None, "kim"),
    ]


@pytest.mark.parametrize(
    "words",
    [("signal", "r-1", "n"), ("answer", "r-1", "1"), ("complete", "17"), ("fail", "17")],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("error", "code"),
    [(NotFound("there is none"), 6), (Conflict("too late"), 8), (InvalidParameters("gate", ["no"]), 2)],
    ids=lambda value: type(value).__name__,
)
def test_a_refusal_is_told(
    invoke: Invoke, service: Any, access: Any, words: tuple[str, ...], error: Exception, code: int
) -> None:
    """With its exit code; no worker is told."""
    service.refusals = [error]
    done = invoke(*words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert access.served == []


@pytest.mark.parametrize(("embedded", "run"), [(True, True), (False, False)])
def test_where_nothing_serves_it_says_what_will(
    invoke: Invoke, service: Any, access: Any, embedded: bool, run: bool
) -> None:
    """A worker, or without a broker the command that started the run."""
    service.alive = []
    access.is_embedded = embedded
    done = invoke("complete", "17")
    assert done.exit_code == 0
    assert "`dramaturg worker` will" in done.stderr
    assert ("with its --id" in done.stderr) is run
