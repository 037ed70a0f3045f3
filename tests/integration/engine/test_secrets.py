"""Secrets through a whole run: in use where they are given, and nowhere else in clear (LANGUAGE 2 and 7)."""

from __future__ import annotations

import json
import logging
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from world import World

from dramaturg.engine.errors import Failure
from dramaturg.engine.runtime import ActionOutcome, ActionRequest, Stop, run_action
from dramaturg.engine.runtime.request import Beat
from dramaturg.engine.service import Service
from dramaturg.engine.store.codec import loads
from dramaturg.engine.store.statements import Statement
from dramaturg.engine.store.vault import new_key

KEY = new_key()

#: What must be nowhere: a parameter with what JSON, shells and URLs write otherwise, stored secrets, a secret output, a number.
PASSWORD = 'p4ss"w0rd\\ & ünïcode'
TOKEN = "t0ken-Of-Great-Value"
LINES = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA0123\nQ2FwdGFpbiBOZW1v4567\n-----END KEY-----\n"
MADE = "made-by-an-action-8901"
PIN = 90_210_731
PLAIN = [PASSWORD, TOKEN, *LINES.splitlines()[1:3], MADE, str(PIN)]

#: What is passed on to an action in this test, to be seen there in clear.
WITNESS = "SEEN_INPUTS"

ACTIONS = {
    "tell.yaml": "ref: t.tell\nruntime: python\nentry_point: tell.py\noutput_format: text\n",
    "tell.py": """
        import json, os, sys
        given = json.load(sys.stdin)
        with open(os.environ["SEEN_INPUTS"], "a") as file:
            file.write(json.dumps(given) + "\\n")
        with open(os.environ["DRAMATURG_CONTROL_FILE"], "a") as control:
            control.write(json.dumps({"heartbeat": {"at": given}}) + "\\n")
            control.write(json.dumps({"progress": 0.5, "message": f"with {given}"}) + "\\n")
        for value in given.values():
            print("out", value, repr(value), json.dumps(value), json.dumps(json.dumps(value)))
            print("err", value, file=sys.stderr)
        print(json.dumps(given), file=sys.stderr)
        if given.get("fail"):
            sys.exit("it broke with " + json.dumps(given))
    """,
    "login.yaml": """
        ref: t.login
        runtime: python
        entry_point: login.py
        parameters: {password: {type: string, secret: true, required: true}, host: {type: string, maxLength: 30}}
        output: {session: {type: string, secret: true}, size: {type: integer}, given: {}}
    """,
    "login.py": f"""
        import json, sys
        given = json.load(sys.stdin)
        print("session is {MADE}", file=sys.stderr)
        print(json.dumps({{"session": "{MADE}", "size": len(given["password"]), "given": given, "too": "{MADE}!"}}))
    """,
    "raising.yaml": "ref: t.raising\\nruntime: python\\nentry_point: raising:go\\n".replace("\\n", "\n"),
    "raising.py": """
        def go(password, **more):
            raise KeyError(password, more)
    """,
}

FLOW = """
ref: t.flow
parameters: {password: {type: string, secret: true}, pin: {type: integer, secret: true}}
vars: {saved: "{{ parameters.password }}", url: "db://me:{{ parameters.password }}@host"}
tasks:
  echo: {action: core.echo, input: {message: ["{{ parameters.password }}", "{{ keystore.token }}", "{{ parameters.pin }}"]}, next: [{publish: [echoed], do: shell}]}
  shell: {action: core.shell, input: {command: "printf '%s\\n' \\"$P\\" >&2; set -x; echo token={{ keystore.token }}", env: {P: "<{{ parameters.password }}>"}}, next: [{publish: [{said: "{{ result().stdout }}"}], do: login}]}
  login: {action: t.login, input: {password: "{{ parameters.password }}", host: "h-{{ keystore.token }}"}, next: [{publish: [{session: "{{ result().session }}"}], do: [many, tell]}]}
  many: {action: t.tell, with_items: ["{{ parameters.password }}", "{{ workflow.session }}", plain], concurrency: 1, input: {x: "{{ item }}", y: "{{ index }}"}}
  tell:
    action: t.tell
    input: {a: "{{ workflow.saved }}", b: "{{ workflow.url }}", c: "{{ keystore.lines }}", d: "{{ keystore.token }} {{ workflow.session }}", e: "{{ parameters.pin }}", fail: true}
    retry: {count: 1}
    next: [{when: failed, publish: [{problem: "{{ error() }}"}], do: [nested, raising]}]
  raising: {action: t.raising, input: {password: "{{ parameters.password }}", z: "{{ keystore.lines }}"}, next: [{when: failed, do: noop}]}
  nested: {action: t.inner, input: {pw: "{{ parameters.password }}", more: {list: ["{{ keystore.token }}"], n: 1}}, next: [{publish: [{inner: "{{ result() }}"}]}]}
output_map:
  password: "{{ parameters.password }}"
  text: "pw={{ parameters.password }} tok={{ workflow.session }}"
  all: "{{ workflow }}"
  inner: "{{ task.nested.result }}"
  login: "{{ task.login.result }}"
  problem: "{{ workflow.problem.message }}"
"""
INNER = """
ref: t.inner
parameters: {pw: {type: string, secret: true}, more: {}}
output: {gives: {type: string, secret: true}, text: {}}
tasks: {a: {action: t.tell, input: {pw: "{{ parameters.pw }}", more: "{{ parameters.more }}"}}}
output_map: {gives: "{{ task.a.result.exit_code }}: made here", text: "x {{ parameters.pw }}", more: "{{ parameters.more }}"}
"""


def real(request: ActionRequest) -> ActionOutcome:
    """Do the action."""
    return run_action(request, Stop())


@pytest.fixture
def secretive(make_world: Callable[..., World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world with the pack above, real actions, and a keystore."""
    monkeypatch.setenv(WITNESS, str(tmp_path / "seen"))
    world = make_world(secret_key=KEY, pass_env=(WITNESS,), script=real, soft_payload=300)
    write(world, flow=FLOW, inner=INNER)
    world.service.keystore.set("token", TOKEN)
    world.service.keystore.set("lines", LINES)
    return world


def write(world: World, **workflows: str) -> None:
    folder = world.folder / "t" / "actions"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ACTIONS.items():
        (folder / name).write_text(textwrap.dedent(text))
    world.write(**workflows)


def database_text(world: World) -> str:
    """Return all that is in the database, as text, and on SQLite the files' own bytes."""
    database = world.service.database
    with database.engine.connect() as connection:
        names = sqlalchemy.inspect(connection).get_table_names()
        text = "\n".join(str(list(connection.exec_driver_sql(f"SELECT * FROM {name}"))) for name in names)
    if database.file is not None:
        for file in sorted(database.file.parent.glob(database.file.name + "*")):
            if file.is_file() and not file.name.endswith(".key"):
                text += file.read_bytes().decode("utf-8", "replace")
    return text


def shown_text(service: Service) -> str:
    """Return all that people can be shown, as JSON."""
    shown: list[Any] = [
        service.runs(nested=True),
        service.keystore.list(),
        [f.__dict__ if hasattr(f, "__dict__") else str(f) for f in service.doctor()],
    ]
    for run in service.runs(nested=True):
        id = str(run["id"])
        shown += [
            service.describe(id),
            service.tasks(id, items=True),
            service.history(id),
            service.logs(id),
            service.awaits(id),
        ]
    return json.dumps(shown, ensure_ascii=False)


def leaks(text: str) -> list[str]:
    """Return which secrets stand in a text, as they are or as JSON writes them."""
    forms = {
        secret: {
            secret,
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            repr(secret)[1:-1],
        }
        for secret in PLAIN
    }
    return [secret for secret, written in forms.items() if any(form in text for form in written)]


def test_secrets_are_in_use_and_nowhere_else(
    secretive: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Parameters, the keystore and an action's secret output: to actions, texts, nested runs, variables, outputs, failures."""
    world = secretive
    caplog.set_level(logging.DEBUG)
    given = {"password": PASSWORD, "pin": PIN}
    run = world.start("t.flow", given, id="r")
    world.settle(world.host())
    described = world.service.describe(run)
    assert (described["status"], described["error"]) == ("succeeded", None)
    # They came to where they were sent: with their types, and inside texts.
    seen = [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]
    assert [one["x"] for one in seen if "x" in one] == [PASSWORD, MADE, "plain"]
    told = [one for one in seen if "a" in one]
    assert (
        told
        == [
            {
                "a": PASSWORD,
                "b": f"db://me:{PASSWORD}@host",
                "c": LINES,
                "d": f"{TOKEN} {MADE}",
                "e": PIN,
                "fail": True,
            }
        ]
        * 2
    )
    assert [one for one in seen if "pw" in one] == [{"pw": PASSWORD, "more": {"list": [TOKEN], "n": 1}}]
    # And are nowhere else.
    assert leaks((tmp_path / "seen").read_text()) == PLAIN
    assert leaks(database_text(world)) == []
    assert leaks(shown_text(world.service)) == []
    assert leaks(caplog.text) == []
    # What is shown has *** in their place.
    output = described["output"]
    assert output["password"] == "***"
    assert output["text"] == "pw=*** tok=***"
    assert output["login"] == {
        "session": "***",
        "size": len(PASSWORD),
        "given": {"password": "***", "host": "h-***"},
        "too": "***!",
    }
    assert output["all"]["echoed"] == {"message": ["***", "***", "***"]}
    assert output["all"]["said"] == "token=***\n"
    assert output["inner"] == {"gives": "***", "text": "x ***", "more": {"list": ["***"], "n": 1}}
    logs = {(c["task"], c["stream"]): c["text"] for c in world.service.logs(run)}
    assert "<***>" in logs["shell", "stderr"]
    assert "it broke with" in described["errors"][0]["message"]
    assert "***" in described["errors"][0]["message"]
    with pytest.raises(Exception, match="other parameters"):
        world.service.start("t.flow", {**given, "pin": 1}, id="r")
    assert not world.service.start("t.flow", given, id="r").created


REFUSED = """
ref: t.refused
tasks:
  none: {action: core.echo, input: {message: "{{ keystore.nope }}"}, next: [{when: failed, publish: [{e1: "{{ error() }}"}], do: long}], retry: {count: 3}}
  long: {action: t.login, input: {password: x, host: "a host name of some length {{ keystore.token }}"}, next: [{when: failed, publish: [{e2: "{{ error() }}"}], do: noop}]}
output_map: {e1: "{{ workflow.e1 }}", e2: "{{ workflow.e2 }}"}
"""


def test_a_secret_that_can_t_be_had_fails_its_task(secretive: World) -> None:
    """InvalidInput: it names the secret, is not retried, and can be handled; so does what the opened input does not fit."""
    world = secretive
    write(world, refused=REFUSED)
    run = world.start("t.refused")
    world.settle(world.host())
    output = world.service.describe(run)["output"]
    assert output["e1"]["type"] == output["e2"]["type"] == "InvalidInput"
    assert "the keystore has no secret 'nope'" in output["e1"]["message"]
    assert "'host' must have at most 30 characters" in output["e2"]["message"]
    assert world.attempts == []
    assert leaks(database_text(world)) == []


def test_a_worker_with_another_key_fails_the_task_and_not_itself(
    secretive: World, make_world: Callable[..., World]
) -> None:
    """It says which secret it can't open, never what is in it."""
    world = secretive
    write(
        world,
        refused='ref: t.refused\ntasks: {a: {action: core.echo, input: {message: "{{ keystore.token }}"}}}',
    )
    run = world.start("t.refused")
    other = make_world(secret_key=new_key(), script=real)
    other.messages = world.messages
    other.settle(other.host())
    error = world.service.describe(run)["error"]
    assert error["type"] == "InvalidInput"
    assert (
        "secret 'token' of the keystore can't be opened with the secret key of this worker"
        in error["message"]
    )


HEARD = """
ref: t.heard
tasks: {a: {action: t.do, input: {x: "{{ keystore.token }}"}, retry: {count: 1}}}
output_map: {r: "{{ task.a.result }}"}
"""


def test_heartbeats_and_progress_are_scrubbed_while_the_action_runs(secretive: World) -> None:
    """What the next attempt is told, too."""
    world = secretive
    write(world, heard=HEARD)
    seen: list[Any] = []
    host = world.host()

    def script(request: ActionRequest) -> ActionOutcome:
        seen.append((request.input, request.last_heartbeat))
        assert request.on_beat is not None
        request.on_beat(Beat(details={"token": request.input["x"]}, heartbeat=True))
        request.on_beat(Beat(progress=0.5, message=f"half of {request.input['x']}"))
        host.renew()
        assert leaks(database_text(world)) == []
        assert "half of ***" in database_text(world)
        if request.attempt == 1:
            raise RuntimeError(request.input["x"])
        return ActionOutcome(status="succeeded", result=request.input)

    world.script = lambda request: run_action(request, Stop(), lambda request, stop: script(request))
    run = world.start("t.heard")
    world.settle(host)
    assert world.service.describe(run)["output"] == {"r": {"x": "***"}}
    assert seen == [({"x": TOKEN}, None), ({"x": TOKEN}, {"token": "***"})]
    assert leaks(database_text(world)) == []
    assert leaks(shown_text(world.service)) == []


FORGED = {"$secret": [{"keystore": "token"}]}


@pytest.mark.parametrize("where", ["parameter", "result", "error", "signal", "answer", "nested", "vars"])
def test_data_can_t_pass_for_a_secret(secretive: World, where: str) -> None:
    """Whoever writes what a stored secret looks like has data, wherever it comes in."""
    world = secretive
    source = {
        "parameter": "a: {action: core.noop, next: [{do: z}]}",
        "result": "a: {action: t.do, next: [{publish: [{v: '{{ result().x }}'}], do: z}]}",
        "error": "a: {action: core.fail, input: {message: m, details: {x: '{{ parameters.v }}'}}, next: [{when: failed, publish: [{v: '{{ error().details.x }}'}], do: z}]}",
        "signal": "a: {action: core.wait, input: {signal: s}, next: [{publish: [{v: '{{ result() }}'}], do: z}]}",
        "answer": "a: {action: core.ask, input: {prompt: p}, next: [{publish: [{v: '{{ result() }}'}], do: z}]}",
        "nested": "a: {action: t.forging, input: {v: '{{ parameters.v }}'}, next: [{publish: [{v: '{{ result().v }}'}], do: z}]}",
        "vars": "a: {action: core.noop, next: [{publish: [{v: '{{ workflow.w }}'}], do: z}]}",
    }[where]  # fmt: skip
    text = f"""
ref: t.forged
parameters: {{v: {{}}}}
vars: {{w: {json.dumps(FORGED)}, v: "{{{{ parameters.v }}}}"}}
tasks:
  {source}
  z: {{action: core.echo, input: {{message: "{{{{ workflow.v }}}}"}}}}
output_map: {{r: "{{{{ task.z.result.message }}}}"}}
"""
    inner = 'ref: t.forging\nparameters: {v: {}}\ntasks: {a: {action: core.noop}}\noutput_map: {v: "{{ parameters.v }}"}'
    write(world, forged=text, forging=inner)
    world.script = lambda request: (
        ActionOutcome(status="succeeded", result={"x": FORGED})
        if request.action.ref == "t.do"
        else real(request)
    )
    host = world.host()
    run = world.start("t.forged", {"v": FORGED})
    if where in ("signal", "answer"):
        world.deliver(host)
        asked = (
            world.service.signal(run, "s", FORGED)
            if where == "signal"
            else world.service.answer(run, "a", FORGED)
        )
        host.apply(asked.key)
    world.settle(host)
    assert world.service.describe(run)["output"] == {"r": FORGED}
    assert leaks(database_text(world)) == []


def test_what_is_stored_of_a_secret_is_a_reference(secretive: World) -> None:
    """A name of the keystore stays a name: it is looked up when the task starts, not before."""
    world = secretive
    write(
        world,
        late='ref: t.late\ntasks: {a: {action: core.echo, delay: 60, input: {message: "{{ keystore.token }}"}}}\noutput_map: {r: "{{ task.a.result.message == \'***\' }}"}',
    )
    run = world.start("t.late")
    world.deliver(world.host())
    with world.service.database.read() as tx:
        rows = tx.run(Statement("inputs", "SELECT input FROM execution WHERE task = 'a'"))
    assert loads(rows[0][0]) == {"message": loads('{"$secret":[{"keystore":"token"}]}')}
    world.service.keystore.delete("token")
    world.settle(world.host())
    assert world.service.describe(run)["error"]["type"] == "InvalidInput"


def test_a_server_s_worker_without_a_key_says_so_and_waits_for_one_that_has_it(
    secretive: World, postgres_database: str, tmp_path: Path
) -> None:
    """What must be sealed is not stored otherwise: the run is not failed, and goes on elsewhere."""
    starter = World(postgres_database, tmp_path / "packs", secret_key=KEY, script=real)
    keyless = World(postgres_database, tmp_path / "packs", script=real)
    write(
        starter,
        sealing="ref: t.sealing\ntasks: {a: {action: t.login, input: {password: \"{{ 'literal' ~ '-pw' }}\"}}}\noutput_map: {s: \"{{ task.a.result.session }}\"}",
    )
    run = starter.start("t.sealing")
    keyless.messages, starter.messages = starter.messages, []
    keyless.deliver(keyless.host())
    with starter.service.database.read() as tx:
        fault = tx.run(Statement("faults", "SELECT fault, status FROM workflow_execution"))[0]
    assert "there is no secret key" in fault[0]
    assert "literal-pw" not in database_text(keyless)
    starter.move(120)
    starter.settle(starter.host())
    assert starter.service.describe(run)["output"] == {"s": "***"}
    starter.close()
    keyless.close()


def test_a_person_s_result_has_its_secrets_hidden(secretive: World) -> None:
    """What the action declares as secret is sealed whoever says it: by token, and for a failure that waits."""
    world = secretive
    write(
        world,
        job="""
ref: t.job
unhandled_failure: wait
tasks:
  a: {action: t.login, input: {password: x-x-x}, next: [{publish: [{s: "{{ result() }}"}], do: b}]}
  b: {action: t.login, input: {password: x-x-x}}
output_map: {a: "{{ workflow.s }}", b: "{{ task.b.result }}"}
""",
    )
    world.script = lambda request: (
        ActionOutcome(status="pending")
        if request.task == "a"
        else ActionOutcome(status="failed", error=Failure(type="Boom", message=request.input["password"]))
    )
    host = world.host()
    run = world.start("t.job")
    world.deliver(host)
    (waits,) = world.service.awaits(run)
    asked = world.service.complete(waits["token"], {"session": MADE, "size": 1})
    host.apply(asked.key)
    world.deliver(host)
    (waits,) = world.service.awaits(run)
    assert (waits["kind"], waits["error"]["message"]) == ("person", "***")
    asked = world.service.complete(str(waits["execution_id"]), {"session": MADE, "size": 2})
    host.apply(asked.key)
    world.settle(host)
    assert world.service.describe(run)["output"] == {
        "a": {"session": "***", "size": 1},
        "b": {"session": "***", "size": 2},
    }
    assert leaks(database_text(world)) == []
    assert leaks(shown_text(world.service)) == []


def test_doctor_says_which_secrets_can_t_be_opened(
    secretive: World, make_world: Callable[..., World]
) -> None:
    """And where the key comes from; on a server, that there is none."""

    def said(world: World) -> list[tuple[str, str]]:
        return [(f.level, f.text) for f in world.service.doctor() if "key" in f.text]

    assert said(secretive) == [("ok", "the keystore has 2 secrets; the key is set (secret_key)")]
    assert said(make_world(secret_key=new_key())) == [
        ("problem", "the secret key here does not open lines, token of the keystore")
    ]
    keyless = make_world()
    embedded = keyless.service.database.file
    if embedded is None:
        assert said(keyless) == [
            ("problem", "the keystore has 2 secrets, and there is no key here to open them")
        ]
        return
    assert [level for level, _ in said(keyless)] == ["problem"]
    key = embedded.with_name(embedded.name + ".key")
    assert not key.exists()
    key.write_text(KEY)
    key.chmod(0o640)
    assert said(make_world()) == [
        ("ok", f"the keystore has 2 secrets; the key is in {key}"),
        ("warning", f"others can read the key file {key}"),
    ]


STARTING = """
ref: t.starting
parameters: {password: {type: string, secret: true}}
tasks:
  start: {action: core.start, input: {ref: t.inner, id: other, parameters: {pw: "{{ parameters.password }}", more: ["{{ keystore.token }}"]}}, next: [{do: again}]}
  again: {action: core.start, input: {ref: t.inner, id: other, parameters: {pw: "{{ parameters.password }}", more: ["{{ keystore.token }}"]}}, next: [{do: differs}]}
  differs: {action: core.start, input: {ref: t.inner, id: other, parameters: {pw: other, more: ["{{ keystore.token }}"]}}, next: [{when: failed, do: [signal, wait]}]}
  signal: {action: core.signal, input: {run: "{{ system.run_id }}", name: s, payload: {p: "{{ parameters.password }}", k: "{{ keystore.token }}"}}}
  wait: {action: core.wait, input: {signal: s}, next: [{publish: [{heard: "{{ result() }}"}], do: use}]}
  use: {action: t.tell, input: {heard: "{{ workflow.heard.p }} {{ workflow.heard.k }}"}, next: [{do: [ref, whole]}]}
  ref: {action: core.start, input: {ref: "{{ keystore.token }}"}, next: [{when: failed, publish: [{e1: "{{ error() }}"}], do: noop}]}
  whole: {action: core.signal, input: {run: "x {{ keystore.token }}", name: n}, next: [{when: failed, publish: [{e2: "{{ error() }}"}], do: noop}]}
output_map: {e1: "{{ workflow.e1.message }}", e2: "{{ workflow.e2.message }}", differs: "{{ task.differs.error.type }}"}
"""


def test_secrets_go_to_runs_that_tasks_start_and_with_signals(secretive: World, tmp_path: Path) -> None:
    """As references; the same start twice is one run. What must be known to do it can't be a secret."""
    world = secretive
    write(world, starting=STARTING, inner=INNER)
    run = world.start("t.starting", {"password": PASSWORD})
    world.settle(world.host())
    described = world.service.describe(run)
    assert described["output"] == {
        "e1": "core.start: ref can't be a secret",
        "e2": "core.signal: run can't be a secret",
        "differs": "Conflict",
    }
    seen = [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]
    assert {"heard": f"{PASSWORD} {TOKEN}"} in seen
    assert {"pw": PASSWORD, "more": [TOKEN]} in seen
    assert world.service.describe("other")["status"] == "succeeded"
    assert leaks(database_text(world)) == []
    assert leaks(shown_text(world.service)) == []
