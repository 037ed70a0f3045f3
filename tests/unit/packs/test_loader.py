"""Packs from the search path: together, checked together, all or nothing."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from dramaturg.engine.errors import JSON, DefinitionError
from dramaturg.engine.language.parser import digest_of, workflow_from_json
from dramaturg.engine.language.program import compile_workflow
from dramaturg.engine.language.schema import ParameterSet
from dramaturg.engine.language.source import MAX_BYTES
from dramaturg.engine.packs.loader import load_packs, load_workflow_file
from dramaturg.engine.packs.manifest import Pack

Write = Callable[[dict[str, str]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return what writes files below a folder of the search path."""

    def write_files(files: dict[str, str]) -> Path:
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return tmp_path

    return write_files


def codes(raised: pytest.ExceptionInfo[DefinitionError]) -> list[str]:
    """Return the codes of all problems."""
    return [problem.code for problem in raised.value.problems]


ORDERS = {
    "orders/pack.yaml": "ref: orders\nlabel: Orders\nversion: 1.10\ntags: [demo]\nconfig: {url: x}\n"
    "conf_schema: {url: {type: string}, retries: {type: integer, default: 3}}\n",
    "orders/actions/check.yaml": "runtime: python\nentry_point: check.py\nparameters: {order: {required: true}}\n",
    "orders/actions/check.py": "print('{}')\n",
    "orders/actions/fulfil.yaml": "label: Fulfil\nworkflow_file: workflows/fulfil.workflow.yaml\n"
    "parameters: {order: {type: integer, required: true}}\n",
    "orders/actions/workflows/fulfil.workflow.yaml": "version: 2\ntasks:\n  - name: check\n"
    "    action: orders.check\n    input: {order: '{{ parameters.order }}'}\n",
    "orders/workflows/all.yaml": "tasks:\n  - name: one\n    action: orders.fulfil\n    input: {order: 1}\n"
    "  - name: two\n    action: core.echo\n    input: {message: '{{ config.url }} {{ config.retries }}'}\n",
}


def pack(packs: tuple[Pack, ...], ref: str) -> Pack:
    """Return the pack with this ref."""
    return next(found for found in packs if found.ref == ref)


def test_core_and_examples_are_always_there() -> None:
    """Without any path, first, and free of warnings."""
    packs = load_packs()
    assert [found.ref for found in packs] == ["core", "examples"]
    assert [found.warnings for found in packs] == [(), ()]
    assert "core.echo" in packs[0].actions


@pytest.mark.parametrize(
    ("ref", "given", "allowed"),
    [
        ("core.wait", {"signal": "go"}, True),
        ("core.wait", {"signal": "go", "timeout": "5m"}, True),
        ("core.wait", {"signal": "go", "timeout": 2.5}, True),
        ("core.wait", {"signal": "go", "timeout": None}, True),
        ("core.wait", {}, False),
        ("core.wait", {"signal": ""}, False),
        ("core.wait", {"signal": "go", "timeout": 0}, False),
        ("core.ask", {"prompt": "Really?", "timeout": -1}, False),
        ("core.ask", {"prompt": "Really?"}, True),
        (
            "core.ask",
            {"prompt": "Really?", "response_schema": {"type": "boolean"}, "assigned_to": "ann"},
            True,
        ),
        ("core.ask", {"prompt": "Really?", "response_schema": "boolean"}, False),
        ("core.ask", {"assigned_to": "ann"}, False),
        ("core.start", {"ref": "core.noop"}, True),
        ("core.start", {"ref": "core.noop", "parameters": {"a": 1}, "id": "x"}, True),
        ("core.start", {"ref": "core.noop", "parameters": [1]}, False),
        ("core.start", {"parameters": {}}, False),
        ("core.signal", {"run": "r", "name": "go"}, True),
        ("core.signal", {"run": "r", "name": "go", "payload": [None]}, True),
        ("core.signal", {"run": "r"}, False),
        ("core.signal", {"name": "go"}, False),
    ],
)
def test_what_waits_says_what_it_takes(ref: str, given: dict[str, JSON], allowed: bool) -> None:
    """LANGUAGE 9: checked before anything waits."""
    action = load_packs()[0].actions[ref]
    assert action.runtime == "builtin"
    assert f"core.{action.entry_point}" == ref
    assert all(schema["description"] for schema in (action.parameters or {}).values())
    assert (ParameterSet(action.parameters).problems(given) == []) is allowed


def test_a_file_over_the_limit_is_refused_without_being_read_whole(write: Write) -> None:
    """Whatever it is: a manifest, a workflow, an action."""
    large = "# " + "x" * MAX_BYTES
    base = write(
        {
            "p/pack.yaml": large,
            "p/workflows/w.yaml": large,
            "p/actions/a.yaml": large,
        }
    )
    with pytest.raises(DefinitionError) as raised:
        load_packs([base])
    assert [(p.code, Path(p.path).name) for p in raised.value.problems] == [
        ("yaml.too_large", "a.yaml"),
        ("yaml.too_large", "pack.yaml"),
        ("yaml.too_large", "w.yaml"),
    ]


def test_a_bomb_is_refused_and_costs_nothing(write: Write) -> None:
    """Aliases of aliases stand for a thousand million nodes; none of them is made."""
    levels = [f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 10)]
    bomb = "\n".join(["vars:", "  l0: &l0 x", *levels, "tasks: {a: {}}", ""])
    base = write({"p/pack.yaml": "label: P\n", "p/workflows/w.yaml": bomb})
    tracemalloc.start()
    try:
        with pytest.raises(DefinitionError) as raised:
            load_packs([base])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert codes(raised) == ["yaml.aliases"]
    assert peak < 50_000_000


def test_a_script_of_node_must_be_there_and_an_actor_need_not(write: Write) -> None:
    """An actor lives in somebody's own workers."""
    base = write(
        {
            "p/pack.yaml": "label: P\n",
            "p/actions/a.yaml": "runtime: nodejs\nentry_point: a.js\nparameter_format: dotenv\n",
            "p/actions/a.js": "\n",
            "p/actions/b.yaml": "runtime: dramatiq\nentry_point: mails.send\n",
        }
    )
    actions = pack(load_packs([base]), "p").actions
    assert [(a.runtime, a.entry_point) for a in actions.values()] == [
        ("node", "a.js"),
        ("dramatiq", "mails.send"),
    ]
    (base / "p/actions/a.js").unlink()
    with pytest.raises(DefinitionError) as raised:
        load_packs([base])
    assert codes(raised) == ["pack.no_file"]


def test_a_pack_brings_actions_and_workflows_in_both_layouts(write: Write) -> None:
    """Each under its ref, with what a revision stores."""
    orders = pack(load_packs([write(ORDERS)]), "orders")
    assert (orders.label, orders.version, orders.tags) == ("Orders", "1.10", ("demo",))
    assert orders.config == {"url": "x", "retries": 3}
    assert list(orders.actions) == ["orders.check"]
    assert list(orders.workflows) == ["orders.fulfil", "orders.all"]
    fulfil = orders.workflows["orders.fulfil"]
    assert (fulfil.label, fulfil.version, list(fulfil.tasks)) == ("Fulfil", "2", ["check"])
    assert set(orders.definitions) == {"orders.check", "orders.fulfil", "orders.all"}
    stored = orders.definitions["orders.fulfil"]
    assert workflow_from_json(stored) == fulfil
    assert compile_workflow(fulfil, digest_of(stored)).entry == ("check",)


def test_a_path_is_a_pack_or_a_folder_of_packs_and_counts_once(write: Write) -> None:
    """Named in several ways, it is still one."""
    base = write(ORDERS)
    assert [p.ref for p in load_packs([base, base / "orders", base / "orders" / ".."])] == [
        "core",
        "examples",
        "orders",
    ]


def test_packs_may_use_each_other_whatever_their_order(write: Write) -> None:
    """They are loaded together and then checked."""
    base = write(
        {
            "a/pack.yaml": "label: A\n",
            "a/workflows/w.yaml": "tasks: {x: {action: b.act}}\n",
            "b/pack.yaml": "label: B\n",
            "b/actions/act.yaml": "runtime: python\nentry_point: mod:act\n",
        }
    )
    assert [p.ref for p in load_packs([base / "a", base / "b"])][2:] == ["a", "b"]
    with pytest.raises(DefinitionError) as raised:
        load_packs([base / "a"])
    assert codes(raised) == ["workflow.unknown_action"]


def test_no_pack_replaces_one_that_is_always_there(write: Write) -> None:
    """Two packs of one ref are refused."""
    with pytest.raises(DefinitionError) as raised:
        load_packs([write({"core/pack.yaml": "label: Mine\n"})])
    assert codes(raised) == ["pack.duplicate_ref"]


def test_links_must_stay_inside_the_pack(write: Write) -> None:
    """A script elsewhere is not part of what was checked."""
    base = write(
        {
            "secret.py": "\n",
            "p/pack.yaml": "label: P\n",
            "p/actions/out.yaml": "runtime: python\nentry_point: out.py\n",
            "p/actions/in.yaml": "runtime: python\nentry_point: in.py\n",
            "p/actions/real.py": "\n",
            "p/actions/graph.yaml": "workflow_file: ../../graph.yaml\n",
            "graph.yaml": "tasks: {a: {}}\n",
        }
    )
    (base / "p/actions/out.py").symlink_to(base / "secret.py")
    (base / "p/actions/in.py").symlink_to("real.py")
    with pytest.raises(DefinitionError) as raised:
        load_packs([base / "p"])
    assert [(p.code, Path(p.path).name) for p in raised.value.problems] == [
        ("pack.outside", "graph.yaml"),
        ("pack.outside", "out.yaml"),
    ]


def test_a_link_in_a_circle_is_no_file(write: Write) -> None:
    """It is a problem, not a crash."""
    base = write({"p/pack.yaml": "label: P\n", "p/actions/a.yaml": "runtime: shell\nentry_point: loop\n"})
    (base / "p/actions/loop").symlink_to("loop")
    with pytest.raises(DefinitionError) as raised:
        load_packs([base])
    assert codes(raised)[0] in {"pack.no_file", "pack.outside"}


def test_what_is_no_file_is_not_read(write: Write) -> None:
    """A pipe would wait for ever."""
    base = write({"p/pack.yaml": "label: P\n", "p/workflows/w.yaml": "tasks: {a: {}}\n"})
    os.mkfifo(base / "p/workflows/pipe.yaml")
    assert list(pack(load_packs([base]), "p").workflows) == ["p.w"]
    (base / "p/pack.yaml").unlink()
    os.mkfifo(base / "p/pack.yaml")
    with pytest.raises(DefinitionError):
        load_packs([base])


@pytest.mark.parametrize(("path", "code"), [("missing", "pack.path"), ("file", "pack.path")])
def test_a_path_that_is_no_folder_is_refused(write: Write, path: str, code: str) -> None:
    """The search path is somebody's setting: a wrong one is said."""
    base = write({"file": ""})
    with pytest.raises(DefinitionError) as raised:
        load_packs([base / path])
    assert codes(raised) == [code]


def test_a_folder_called_dot_has_a_name(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dramaturg pack validate .`."""
    monkeypatch.chdir(write(ORDERS) / "orders")
    assert [p.ref for p in load_packs([Path(".")])][2:] == ["orders"]


def test_warnings_do_not_refuse_a_pack(write: Write) -> None:
    """They stay with the pack."""
    fork = "tasks: {x: {next: [{do: [a, b]}]}, a: {publish: {v: 1}}, b: {publish: {v: 2}}}\n"
    found = pack(load_packs([write({"p/pack.yaml": "label: P\n", "p/workflows/w.yaml": fork})]), "p")
    assert [warning.code for warning in found.warnings] == ["workflow.shared_variable"]


@pytest.mark.parametrize(
    ("name", "ref"),
    [
        ("hello.yaml", "local.hello"),
        ("My Flow-2.workflow.yaml", "local.my_flow_2"),
        ("2nd.yml", "local.workflow_2nd"),
        ("_.yaml", "local.workflow"),
    ],
)
def test_a_loose_file_is_a_pack_called_local(write: Write, name: str, ref: str) -> None:
    """Its name follows from the file's."""
    base = write({name: "tasks: {a: {action: core.noop}}\n"})
    found = load_workflow_file(base / name)
    assert (found.ref, list(found.workflows), found.path) == ("local", [ref], base)
    assert list(found.definitions) == [ref]


def test_a_loose_file_may_name_itself_but_not_into_a_pack_that_is_there(write: Write) -> None:
    """Nothing is smuggled into a pack."""
    base = write({"a.yaml": "ref: mine.flow\ntasks: {a: {}}\n", "b.yaml": "ref: core.flow\ntasks: {a: {}}\n"})
    found = load_workflow_file(base / "a.yaml")
    assert (found.ref, list(found.workflows)) == ("mine", ["mine.flow"])
    with pytest.raises(DefinitionError) as raised:
        load_workflow_file(base / "b.yaml")
    assert codes(raised) == ["pack.duplicate_ref"]


def test_a_loose_file_is_checked_against_the_packs_that_are_there(write: Write) -> None:
    """Refs, inputs, and `config`, which it does not have."""
    base = write({**ORDERS, "a.yaml": "tasks:\n  a: {action: orders.fulfil, input: {oder: 1}}\n"})
    packs = load_packs([base / "orders"])
    with pytest.raises(DefinitionError) as raised:
        load_workflow_file(base / "a.yaml", packs)
    assert codes(raised) == ["workflow.missing_input", "workflow.unknown_input"]
    with pytest.raises(DefinitionError) as raised:
        load_workflow_file(base / "a.yaml")
    assert codes(raised) == ["workflow.unknown_action"]
    (base / "a.yaml").write_text("vars: {a: '{{ config.url }}'}\ntasks: {a: {}}\n")
    with pytest.raises(DefinitionError) as raised:
        load_workflow_file(base / "a.yaml")
    assert codes(raised) == ["expression.name"]


@pytest.mark.parametrize(
    ("file", "ref"),
    [
        ("orders/workflows/all.yaml", "orders.all"),
        ("orders/actions/fulfil.yaml", "orders.fulfil"),
        ("orders/actions/workflows/fulfil.workflow.yaml", "orders.fulfil"),
    ],
)
def test_a_file_of_a_pack_brings_its_pack(write: Write, file: str, ref: str) -> None:
    """Its workflow comes first, and the actions that it uses are there."""
    base = write(ORDERS)
    for packs in (None, load_packs([base])):
        found = load_workflow_file(base / file, packs)
        assert (found.ref, next(iter(found.workflows))) == ("orders", ref)
        assert set(found.workflows) == {"orders.fulfil", "orders.all"}
        assert "orders.check" in found.actions


def test_an_action_is_no_workflow(write: Write) -> None:
    """It says so, rather than that keys are wrong."""
    with pytest.raises(DefinitionError) as raised:
        load_workflow_file(write(ORDERS) / "orders/actions/check.yaml")
    assert codes(raised) == ["workflow.not_a_workflow"]


def test_a_file_that_only_lies_in_a_packs_folder_is_a_loose_one(write: Write) -> None:
    """A draft, say."""
    base = write({**ORDERS, "orders/drafts/new.yaml": "tasks: {a: {}}\n"})
    assert list(load_workflow_file(base / "orders/drafts/new.yaml").workflows) == ["local.new"]


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    """With its path."""
    with pytest.raises(DefinitionError) as raised:
        load_workflow_file(tmp_path / "gone.yaml")
    assert [(p.code, p.path) for p in raised.value.problems] == [("pack.file", str(tmp_path / "gone.yaml"))]
