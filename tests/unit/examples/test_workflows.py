"""The workflows of packs/examples on the pure interpreter: real actions, a store in memory, virtual time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from scenarios import SCENARIOS, Scenario

from dramaturg.engine.errors import Failure
from dramaturg.engine.interpreter.memory import Memory
from dramaturg.engine.interpreter.rehearsal import Answer, Execution, Rehearsal
from dramaturg.engine.interpreter.state import ActionInfo
from dramaturg.engine.language.program import Program, compile_workflow
from dramaturg.engine.language.schema import ParameterSet
from dramaturg.engine.packs.loader import load_packs
from dramaturg.engine.packs.manifest import Pack
from dramaturg.engine.runtime import ActionRequest, Stop, run_action

#: Workflows that the issue names, by their layout: a file of their own, or an action with a graph beside it.
WORKFLOWS = {
    "single_echo",
    "nested_outer",
    "nested_middle",
    "nested_inner",
    "recovery",
    "timeout_branch",
    "counter_loop",
    "parallel_join",
    "timeline_demo",
    "code_census",
    "approval",
    "external_job",
}

#: What waits in the database instead of holding a worker.
WAITS = {"core.ask", "core.wait", "core.sleep"}


@cache
def packs() -> Mapping[str, Pack]:
    """Return the packs that are always there."""
    return {pack.ref: pack for pack in load_packs(())}


@cache
def programs() -> Mapping[str, Program]:
    """Return every workflow of the pack, compiled."""
    return {ref: compile_workflow(workflow, ref) for ref, workflow in packs()["examples"].workflows.items()}


def catalog(ref: str) -> ActionInfo | None:
    """Say what a ref means, as a store does."""
    if ref in programs():
        return ActionInfo(ref=ref, kind="workflow", parameters=programs()[ref].parameters, digest=ref)
    action = packs()[ref.partition(".")[0]].actions.get(ref)
    if action is None:
        return None
    return ActionInfo(
        ref=ref,
        kind="wait" if ref in WAITS else "worker",
        parameters=ParameterSet(action.parameters),
        timeout=action.timeout,
    )


def perform(one: Execution) -> Answer:
    """Do the action for real, as a worker does."""
    ref = one.made.action or ""
    pack = packs()[ref.partition(".")[0]]
    outcome = run_action(
        ActionRequest(
            action=pack.actions[ref],
            actions_dir=pack.path / "actions",
            pack=pack.ref,
            execution_id=one.id,
            run_id="rehearsal",
            task=one.made.task,
            visit=one.made.visit,
            item=one.made.item,
            attempt=one.attempt,
            input=dict(one.made.input),
            timeout=one.made.timeout,
            grace=1.0,
            token=f"token of {one.id}",
        ),
        Stop(),
    )
    return Answer(status=outcome.status, result=outcome.result, error=outcome.error)


def play(
    ref: str,
    parameters: Mapping[str, Any],
    *,
    last_first: bool = False,
    react: Callable[[Memory], bool] = lambda memory: False,
) -> Memory:
    """Play a run to its end; `last_first` ends what started last before the others."""
    choose: Callable[..., int] = (lambda running: len(running) - 1) if last_first else (lambda running: 0)
    memory = Memory(programs()[ref], actions=catalog, parameters=parameters)
    return Rehearsal(memory, perform, choose=choose, programs=programs(), checked=True, react=react).play()


def test_the_pack_has_what_it_is_to_have() -> None:
    """Each workflow, in one layout or the other, with words for people."""
    pack = packs()["examples"]
    assert {ref.partition(".")[2] for ref in pack.workflows} == WORKFLOWS
    for ref, workflow in pack.workflows.items():
        assert workflow.label, ref
        assert workflow.description, ref
    for ref, action in pack.actions.items():
        assert action.description, ref
    assert (pack.path / "actions" / "workflows" / "single_echo.workflow.yaml").is_file()
    assert (pack.path / "workflows" / "timeline_demo.yaml").is_file()


@pytest.mark.parametrize("last_first", [False, True], ids=["in order", "last first"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_each_workflow_ends_as_it_should(scenario: Scenario, last_first: bool) -> None:
    """Whoever of several branches ends first."""
    memory = play(scenario.ref, scenario.parameters, last_first=last_first)
    assert memory.end is not None
    assert memory.end.status == scenario.status
    assert isinstance(memory.end.output, dict)
    if scenario.status == "succeeded":
        assert memory.end.output == scenario.output
    assert {name: memory.end.output.get(name) for name in scenario.output} == scenario.output
    assert (memory.end.error.type if memory.end.error else None) == scenario.error
    ended: dict[str, list[str]] = {}
    for event in memory.history:
        if event.type == "task_completed" and event.task not in scenario.racing:
            ended.setdefault(str(event.task), []).append(str(event.status))
    assert {task: tuple(statuses) for task, statuses in ended.items()} == scenario.visits


def test_a_census_reports_what_cannot_be_read(tmp_path: Path) -> None:
    """Unreadable files fail their item, the run goes on and succeeds."""
    source = tmp_path / "pkg"
    source.mkdir()
    (source / "good.py").write_text("def f():\n    pass\n")
    (source / "gone.py").symlink_to("nowhere")
    (source / "wrong.py").write_text("def f(:\n")
    parameters = {"path": str(source), "out": str(tmp_path / "out")}
    memory = play("examples.code_census", parameters)
    assert memory.end is not None
    assert memory.end.status == "succeeded"
    assert isinstance(memory.end.output, dict)
    assert memory.end.output["problems"] == [
        {"file": "gone.py", "problem": "can't be read: No such file or directory"},
        {"file": "wrong.py", "problem": "line 1: invalid syntax"},
    ]
    assert [row["file"] for row in memory.end.output["largest"]] == ["good.py", "wrong.py"]
    assert memory.visits("look")[0].status == "failed"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["pkg.json", "pkg.md"]


def people(*sayings: Callable[[Memory], None]) -> Callable[[Memory], bool]:
    """Return people who say one thing after the other, each when the run waits; then they are silent."""
    left = list(sayings)

    def react(memory: Memory) -> bool:
        if not left:
            return False
        left.pop(0)(memory)
        return True

    return react


@pytest.mark.parametrize(
    ("sayings", "verdict", "released_by"),
    [
        ((), "put off: nobody has answered", None),
        ((lambda m: m.answer("ask", {"approved": False, "note": "not on a Friday"}),), "refused: not on a Friday", None),
        ((lambda m: m.answer("ask", {"approved": False}),), "refused: no reason was given", None),
        ((lambda m: m.answer("ask", {"approved": True}),), "put off: nobody said go", None),
        ((lambda m: m.answer("ask", {"approved": True}), lambda m: m.signal("go", {"by": "kim"})), "released", "kim"),
        ((lambda m: m.signal("go"), lambda m: m.answer("ask", {"approved": True})), "released", "somebody"),
    ],
    ids=["silence", "refused", "refused without a word", "no go", "released", "go before the answer"],
)  # fmt: skip
def test_an_approval_does_what_people_say(
    sayings: tuple[Callable[[Memory], None], ...], verdict: str, released_by: str | None
) -> None:
    """An answer, a signal, and what becomes of it where one is missing."""
    memory = play("examples.approval", {}, react=people(*sayings))
    assert memory.end is not None
    assert memory.end.status == "succeeded"
    assert memory.end.output == {"version": "1.0", "verdict": verdict, "released_by": released_by}


@pytest.mark.parametrize(
    ("sayings", "printed", "note"),
    [
        ((), None, "the printer has not answered"),
        ((lambda m: m.complete("print", {"printed": 3}),), 3, ""),
        ((lambda m: m.complete("print", {}),), 4, ""),
        ((lambda m: m.fail("print", Failure(type="Jam", message="paper jam")),), None, "paper jam"),
    ],
    ids=["silence", "printed", "printed without a word", "failed"],
)
def test_an_external_job_ends_as_the_printer_says(
    tmp_path: Path, sayings: tuple[Callable[[Memory], None], ...], printed: int | None, note: str
) -> None:
    """The attempt is pending; the job has the token that completes it, and nobody else can read it."""
    memory = play(
        "examples.external_job",
        {"pages": 4, "seconds": 0, "out": str(tmp_path / "queue")},
        react=people(*sayings),
    )
    assert memory.end is not None
    assert memory.end.output == {"rendered": 4, "began_with": 1, "printed": printed, "note": note}
    (job,) = (tmp_path / "queue").iterdir()
    assert (job.name, job.stat().st_mode & 0o777) == ("job.json", 0o600)
    (one,) = memory.visits("print")
    assert json.loads(job.read_text()) == {"pages": 4, "token": f"token of {one.id}"}
