"""The cases of the language, read from the YAML files beside this one. README.md says how one is written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
RULES = FOLDER / "rules.yaml"

#: A queue that no worker serves.
NOBODY = "nobody"

#: The action that cases use where it does not matter which.
WORK = {"runtime": "python", "entry_point": "work.py"}


@dataclass(frozen=True, kw_only=True)
class Act:
    """How one attempt goes, as a case's script has it."""

    #: succeeded | failed | timed_out | lost | pending | hangs
    status: str = "succeeded"
    #: None: it gives back its input.
    result: Any = None
    echo: bool = False
    type: str = "Failed"
    message: str = "it failed"
    details: Any = None
    #: Seconds that it takes.
    takes: float = 0.0
    #: Which timeout ended it.
    kind: str = "start_to_close"

    @classmethod
    def read(cls, data: Any) -> Act:
        """Read ``fail Boom``, ``time out``, ``lost``, ``pending``, ``hang``, {result}, {fail: {...}}, with {takes}."""
        if isinstance(data, str):
            word, _, rest = data.partition(" ")
            plain = {"lost": "lost", "pending": "pending", "hang": "hangs", "time": "timed_out"}
            return cls(status="failed", type=rest or "Failed") if word == "fail" else cls(status=plain[word])
        more = {"takes": data.get("takes", 0.0)}
        if "fail" in data:
            return cls(status="failed", **data["fail"], **more)
        if "time out" in data:
            return cls(status="timed_out", kind=data["time out"], **more)
        return cls(result=data["result"], **more) if "result" in data else cls(echo=True, **more)


@dataclass(frozen=True, kw_only=True)
class Script:
    """What each attempt of a case does: ``task``, ``task#visit``, ``task[item]``, ``task#visit[item]`` to its acts."""

    acts: Mapping[str, tuple[Act, ...]]

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Script:
        """Read a script: an act, or a list of them for the attempts in turn; the last one is for all that follow."""
        listed = {key: given if isinstance(given, list) else [given] for key, given in data.items()}
        return cls(acts={key: tuple(Act.read(act) for act in acts) for key, acts in listed.items()})

    def act(self, task: str, visit: int, item: int, attempt: int) -> Act:
        """Return what one attempt does; what the script does not name gives back its input."""
        place = f"[{item}]" if item >= 0 else ""
        for key in (f"{task}#{visit}{place}", f"{task}{place}", f"{task}#{visit}", task):
            if key in self.acts:
                acts = self.acts[key]
                return acts[min(attempt, len(acts)) - 1]
        return Act(echo=True)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Something that happens to the run from outside, when a task of it is in a certain state."""

    #: The task, maybe ``task#visit`` or ``task[item]``, and the words for the state; empty: at the start.
    when: str = ""
    #: signal | answer | complete | fail | cancel | edit
    verb: str = ""
    #: What follows the verb: the signal's name, the answer, the result, the error, `run` or `task`, the edited files.
    value: Any = None
    payload: Any = None
    #: Whom it is for, where that is not the task of `when`.
    to: str = ""
    #: An error is expected: its class's name.
    refused: str | None = None

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Moment:
        """Read {when: "a waits", signal: name, payload: ...}."""
        given = dict(data)
        more = {name: given.pop(name) for name in ("when", "payload", "refused", "to") if name in given}
        ((verb, value),) = given.items()
        return cls(verb=verb, value=value, **more)

    @property
    def task(self) -> str:
        """Return the task whose state it waits for."""
        return self.when.partition(" ")[0]

    @property
    def target(self) -> str:
        """Return the task that it is for."""
        return self.to or self.task

    @property
    def state(self) -> str:
        """Return the state that it waits for."""
        return self.when.partition(" ")[2]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """How a run is to end; what is None is not looked at."""

    #: Visits in the order in which they end; a list within is in any order.
    path: list[Any]
    status: str = "succeeded"
    output: Any = field(default_factory=dict)
    #: What its error has, type at least; None: it has none.
    error: Mapping[str, Any] | None = None
    #: Types of all its errors, in order.
    errors: list[str] | None = None
    #: Variables at its end, those that are named.
    variables: Mapping[str, Any] = field(default_factory=dict)
    #: Attempts of a task, ``task#visit`` or ``task[item]``.
    attempts: Mapping[str, int] = field(default_factory=dict)
    #: Records that its history has, in this order.
    history: list[Mapping[str, Any]] = field(default_factory=list)
    #: Records that its history does not have.
    never: list[Mapping[str, Any]] = field(default_factory=list)
    #: Seconds from start to end; or between which two numbers these are.
    took: float | None = None
    lasted: tuple[float, float] | None = None
    #: Nested runs, by the task that they are (``task#visit``, ``task[item]``).
    nested: Mapping[str, Expected] = field(default_factory=dict)
    #: Runs that it started and does not wait for, by id; ``*`` is its own.
    started: Mapping[str, Expected] = field(default_factory=dict)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Expected:
        """Read what a case expects."""
        known = {one.name for one in fields(cls)}
        assert data.keys() <= known, f"unknown: {data.keys() - known}"
        inner = {
            name: {key: cls.read(value) for key, value in data.get(name, {}).items()}
            for name in ("nested", "started")
        }
        expected = cls(**{**data, **inner})
        assert expected.status == "succeeded" or expected.error, "a run that did not succeed has an error"
        return expected

    @property
    def all_errors(self) -> list[str]:
        """Return the types of all errors; those of a case that does not list them are its error alone."""
        if self.errors is not None:
            return self.errors
        return [self.error["type"]] if self.error else []


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case: a workflow, what happens, how it ends."""

    file: str
    number: int
    name: str
    rules: tuple[str, ...]
    #: File name below the pack's folder -> definition.
    files: Mapping[str, Any]
    config: Mapping[str, Any]
    parameters: Mapping[str, Any]
    script: Script
    events: tuple[Moment, ...]
    #: Running attempts end in this order (``task``, ``task[item]``); what is not named ends before. Empty: any order.
    ends: tuple[str, ...]
    servers: bool
    #: Whether an order in which siblings end is part of the case.
    ordered: bool
    #: The ref that is started: of the pack `t`.
    start: str
    expect: Expected

    @property
    def pack(self) -> str:
        """Return what the case's pack, `t` in its text, is called where many cases share a database."""
        return f"t{self.number:03}"

    @property
    def run_id(self) -> str:
        """Return a name for its run."""
        return f"{self.file}-{self.number}"

    def __str__(self) -> str:
        return f"{self.file}: {self.name}"


KEYS = {
    "name",
    "rules",
    "workflow",
    "workflows",
    "actions",
    "files",
    "config",
    "parameters",
    "script",
    "events",
}
KEYS |= {"ends", "servers", "order", "start", "expect"}


def _read(file: str, number: int, data: Mapping[str, Any]) -> Case:
    assert data.keys() <= KEYS, f"{file}: {data.get('name')}: unknown {data.keys() - KEYS}"
    workflows = dict(data.get("workflows", {}))
    if "workflow" in data:
        workflows["case"] = data["workflow"]
    actions = {"work": WORK, **data.get("actions", {})}
    files: dict[str, Any] = dict(data.get("files", {}))
    files |= {f"workflows/{name}.yaml": _map(text) for name, text in workflows.items()}
    files |= {f"actions/{name}.yaml": _action(found or {}) for name, found in actions.items()}
    ends = tuple(data.get("ends", ()))
    try:
        return Case(
            file=file,
            number=number,
            name=data["name"],
            rules=tuple(data["rules"]),
            files=files,
            config=data.get("config", {}),
            parameters=data.get("parameters", {}),
            script=Script.read(data.get("script", {})),
            events=tuple(Moment.read(event) for event in data.get("events", ())),
            ends=ends,
            servers=data.get("servers", False),
            ordered=bool(ends) or data.get("order") == "matters",
            start=data.get("start", "t.case"),
            expect=Expected.read(_of_run(data["expect"], f"{file}-{number}")),
        )
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file}.yaml: {data.get('name')}: {error!r}") from error


def _action(given: Mapping[str, Any]) -> Mapping[str, Any]:
    return given if "workflow_file" in given else {**WORK, **given}


def _of_run(expect: Mapping[str, Any], run_id: str) -> Mapping[str, Any]:
    """Name the runs that were started: ``*`` in their id is the case's own."""
    started = {id.replace("*", run_id): value for id, value in expect.get("started", {}).items()}
    return {**expect, "started": started}


def _map(given: Any) -> Any:
    return yaml.safe_load(given) if isinstance(given, str) else given


@cache
def load() -> tuple[Case, ...]:
    """Return every case."""
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        if path != RULES:
            found += [(path.stem, data) for data in yaml.safe_load(path.read_text(encoding="utf-8"))]
    return tuple(_read(file, number, data) for number, (file, data) in enumerate(found, 1))


# -- packs ---------------------------------------------------------------------------------------------------------


def write_packs(folder: Path, cases: tuple[Case, ...]) -> None:
    """Write a pack for each case; in it `t.` at the beginning of a text becomes the name of the case's pack."""
    for case in cases:
        write_files(
            folder, case, {"pack.yaml": {"ref": case.pack, "config": dict(case.config)}, **case.files}
        )
        (folder / case.pack / "actions" / "work.py").write_text("print('null')\n", encoding="utf-8")


def write_files(folder: Path, case: Case, files: Mapping[str, Any]) -> None:
    """Write definitions into the pack of a case."""
    for name, content in files.items():
        file = folder / case.pack / name
        file.parent.mkdir(parents=True, exist_ok=True)
        # JSON is YAML, and keeps every text what it is.
        file.write_text(json.dumps(renamed(content, case.pack), ensure_ascii=False), encoding="utf-8")


def renamed(value: Any, pack: str) -> Any:
    """Return a definition in which the refs of the pack `t` are those of another one."""
    match value:
        case dict():
            return {key: renamed(inner, pack) for key, inner in value.items()}
        case list():
            return [renamed(inner, pack) for inner in value]
        case str():
            return re.sub(r"^t\.", f"{pack}.", value)
    return value


def as_written(value: Any, case: Case) -> Any:
    """Return what was seen with the pack called `t` again, as a case's text has it."""
    return json.loads(json.dumps(value, ensure_ascii=False).replace(f"{case.pack}.", "t."))
