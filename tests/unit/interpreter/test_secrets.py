"""Secrets in a run: references go through the interpreter, values never do (LANGUAGE 2 and 7)."""

from __future__ import annotations

import pytest
from driver import ACTION, play

from dramaturg.engine.interpreter.rehearsal import succeeded, workers
from dramaturg.engine.interpreter.state import ActionInfo
from dramaturg.engine.language.schema import ParameterSet
from dramaturg.engine.secret import Keystore, Plain, Sealed, Secret

LOGIN = ActionInfo(
    ref="pack.login",
    kind="worker",
    parameters=ParameterSet(
        {
            "user": {"type": "string", "maxLength": 3},
            "password": {"type": "string", "secret": True, "required": True, "minLength": 4},
            "pin": {"type": "integer", "secret": True, "default": 1234},
            "host": {"type": "string"},
        }
    ),
)


def actions(*more):
    known = {info.ref: info for info in (LOGIN, *more)}
    return lambda ref: known.get(ref) or (workers()(ref) if ref == ACTION else None)


def played(text, answers=None, *more, parameters=None):
    return play(text, answers, actions=actions(*more), parameters=parameters)


def made(memory, name):
    return next(one for one in memory.executions.values() if one.made.task == name)


def inputs(memory, name):
    return [
        one.made.input
        for one in memory.executions.values()
        if one.made.task == name and one.made.input is not None
    ]


def test_what_an_action_declares_as_secret_is_one_from_then_on():
    """Defaults too; what is a secret already stays the reference that it is; the rest is as written."""
    run = played(
        """
parameters: {pw: {secret: true}}
tasks:
  a: {action: pack.login, input: {user: kim, password: "{{ 'hun' ~ 'ter2' }}"}, next: [{do: [b]}]}
  b: {action: pack.login, input: {password: "{{ parameters.pw }}", pin: "{{ keystore.pin }}", host: "x{{ keystore.h }}"}}
""",
        parameters={"pw": Secret(Sealed("gAAA"))},
    )
    assert inputs(run, "a")[0] == {
        "user": "kim",
        "password": Secret(Plain("hunter2")),
        "pin": Secret(Plain(1234)),
    }
    assert inputs(run, "b")[0] == {
        "password": Secret(Sealed("gAAA")),
        "pin": Secret(Keystore("pin")),
        "host": Secret("x", Keystore("h")),
    }


def test_null_is_no_secret():
    """So a workflow can ask whether one was given."""
    optional = ActionInfo(ref="pack.opt", kind="worker", parameters=ParameterSet({"pw": {"secret": True}}))
    run = played("tasks: {a: {action: pack.opt, input: {pw: null}}}", None, optional)
    assert inputs(run, "a") == [{"pw": None}]


def test_what_is_known_is_checked_before_it_is_hidden():
    """The error does not repeat it."""
    run = played("tasks: {a: {action: pack.login, input: {user: kim, password: abc}}}")
    error = made(run, "a").error
    assert error is not None
    assert error.type == "InvalidInput"
    assert "'password' has a value that is not allowed" in error.message
    assert "abc" not in str(error)


def test_what_is_not_known_is_not_checked():
    """The worker does that, once it has opened it."""
    run = played(
        "tasks: {a: {action: pack.login, input: {user: 'too long {{ keystore.x }}', password: abcd}}}"
    )
    assert made(run, "a").status == "succeeded"


def test_what_a_workflow_declares_as_secret_is_one_in_its_output():
    """It is checked first; what is a secret already stays one."""
    run = played(
        """
parameters: {pw: {secret: true}}
output: {token: {type: string, secret: true}, pw: {type: string}, n: {type: integer}}
tasks: {a: {action: pack.work}}
output_map: {token: "{{ task.a.result.t }}", pw: "{{ parameters.pw }}", n: 1}
""",
        {"a": succeeded({"t": "tok"})},
        parameters={"pw": Secret(Sealed("gAAA"))},
    )
    assert run.end.output == {"token": Secret(Plain("tok")), "pw": Secret(Sealed("gAAA")), "n": 1}


@pytest.mark.parametrize(
    ("given", "action"),
    [
        ('{signal: "{{ keystore.s }}"}', "core.wait"),
        ('{seconds: "{{ keystore.s }}"}', "core.sleep"),
        ('{prompt: "the password is {{ keystore.s }}"}', "core.ask"),
        ('{prompt: x, response_schema: {const: "{{ keystore.s }}"}}', "core.ask"),
    ],
)
def test_what_a_run_waits_for_is_no_secret(given, action):
    """People are to see it."""
    wait = ActionInfo(ref=action, kind="wait", parameters=ParameterSet(None))
    run = played(f"tasks: {{a: {{action: {action}, input: {given}}}}}", None, wait)
    error = made(run, "a").error
    assert error is not None
    assert (error.type, "can't hold secrets" in error.message) == ("InvalidInput", True)


def test_items_may_be_secrets_and_a_secret_is_no_list():
    """A list of secrets is a list."""
    run = played(
        'tasks: {a: {action: pack.work, with_items: "{{ parameters.all }}", input: {x: "{{ item }}"}}}',
        parameters={"all": [Secret(Sealed("gAAA")), 2]},
    )
    assert inputs(run, "a") == [{"x": Secret(Sealed("gAAA"))}, {"x": 2}]
    run = played(
        'tasks: {a: {action: pack.work, with_items: "{{ parameters.all }}"}}',
        parameters={"all": Secret(Sealed("gAAA"))},
    )
    assert "needs a list, and this is a secret" in made(run, "a").error.message


def test_a_condition_on_a_secret_only_says_that_it_is_there():
    """Whatever it is."""
    run = played(
        """
tasks:
  a: {action: pack.work, when: "{{ parameters.pw }}", next: [{when: "{{ not parameters.pw }}", do: [b]}]}
  b: {action: pack.work}
""",
        parameters={"pw": Secret(Sealed("gAAA"))},
    )
    assert made(run, "a").status == "succeeded"
    assert run.end.status == "succeeded"
