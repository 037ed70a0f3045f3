"""What each workflow of packs/examples is to do: for the tests that run them on one backend or another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: The exit code that `dramaturg run` has for each outcome.
EXIT_CODES = {"succeeded": 0, "failed": 1, "timed_out": 4, "cancelled": 5}


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One run: what goes in, how it ends."""

    name: str
    ref: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    status: str = "succeeded"
    #: The whole output; of a failed run, what is named here.
    output: Mapping[str, Any]
    #: The type of the error that decided, and of all errors, handled ones too.
    error: str | None = None
    errors: tuple[str, ...] = ()
    #: task -> its visits' final statuses; tasks that are not named here were not entered.
    visits: Mapping[str, tuple[str, ...]]
    #: Tasks that run while another one's failure ends the run: how far they get is a matter of time.
    racing: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """Return the name, for pytest's ids."""
        return self.name

    @property
    def wanted(self) -> dict[str, Any]:
        """Return what `seen` is to return."""
        return {
            "ref": self.ref,
            "status": self.status,
            "output": dict(self.output),
            "error": self.error,
            "errors": self.errors,
            "visits": dict(self.visits),
        }

    def seen(self, record: Mapping[str, Any], history: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Return of a run, as it is described, and its history what a scenario says something about."""
        output, ended = record["output"], visits_of(history)
        if self.status != "succeeded":
            output = {name: output.get(name) for name in self.output}
        return {
            "ref": record["ref"],
            "status": record["status"],
            "output": output,
            "error": (record["error"] or {}).get("type"),
            "errors": tuple(error["type"] for error in record["errors"]),
            "visits": {task: ended[task] for task in ended if task not in self.racing},
        }


def visits_of(history: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Return how each visit of each task ended; that each ended once is part of it."""
    ended: dict[str, tuple[str, ...]] = {}
    for event in history:
        if event["type"] == "task_completed":
            ended[event["task"]] = (*ended.get(event["task"], ()), event["status"])
    return ended


def _once(*tasks: str, **others: str) -> dict[str, tuple[str, ...]]:
    return {
        **dict.fromkeys(tasks, ("succeeded",)),
        **{task: (status,) for task, status in others.items()},
    }


#: Tasks of timeline_demo up to the check.
_PREPARED = ("prepare", "build", "lint", "scan", "assemble", "test")
_SUITES = ["unit", "integration", "browser", "load", "upgrade"]
_BUILT = {"artefact": "app-1.0.tar.gz", "build_attempts": 2, "scan": "clean", "tested": _SUITES}
_QUICK = {"seconds": 0.01}

SCENARIOS = (
    Scenario(
        name="single_echo",
        ref="examples.single_echo",
        output={"message": "Hello from Dramaturg"},
        visits=_once("echo"),
    ),
    Scenario(
        name="single_echo with a message",
        ref="examples.single_echo",
        parameters={"message": "„Grüße“ {{ 1 + 1 }}\n日本"},
        output={"message": "„Grüße“ {{ 1 + 1 }}\n日本"},
        visits=_once("echo"),
    ),
    Scenario(
        name="nested",
        ref="examples.nested_outer",
        parameters={"text": "deep"},
        output={"text": "DEEP", "depth": 3, "path": ["outer", "middle", "inner"], "told": "outer got DEEP"},
        visits=_once("middle", "tell"),
    ),
    Scenario(
        name="recovery",
        ref="examples.recovery",
        output={"recovered": True, "reason": "the disk is full", "report": "saved after all"},
        errors=("DiskFull",),
        visits=_once("clean_up", "report", save="failed"),
    ),
    Scenario(
        name="timeout_branch",
        ref="examples.timeout_branch",
        parameters={"seconds": 600, "limit": 0.3},
        output={"answer": "an answer from the cache", "slow_way": "timed_out"},
        errors=("Timeout",),
        visits=_once("quick_way", slow_way="timed_out"),
    ),
    Scenario(
        name="timeout_branch in time",
        ref="examples.timeout_branch",
        parameters={"seconds": 0, "limit": 60},
        output={"answer": "an answer that took 0 seconds", "slow_way": "succeeded"},
        visits=_once("slow_way"),
    ),
    Scenario(
        name="counter_loop",
        ref="examples.counter_loop",
        parameters={"limit": 4},
        output={"counter": 4, "seen": [1, 2, 3, 4], "message": "counted to 4 in 4 visits"},
        visits={**_once("begin", "finish"), "count": ("succeeded",) * 4},
    ),
    Scenario(
        name="counter_loop, one turn",
        ref="examples.counter_loop",
        parameters={"limit": 1},
        output={"counter": 1, "seen": [1], "message": "counted to 1 in 1 visits"},
        visits=_once("begin", "count", "finish"),
    ),
    Scenario(
        name="approval, nobody answers",
        ref="examples.approval",
        parameters={"answer_within": 0.2},
        output={"version": "1.0", "verdict": "put off: nobody has answered", "released_by": None},
        errors=("Timeout",),
        visits=_once(ask="timed_out"),
    ),
    Scenario(
        name="parallel_join",
        ref="examples.parallel_join",
        output={"majority": "two are enough", "everybody": "north, east, south"},
        visits=_once("begin", "north", "east", "south", "majority", "everybody"),
    ),
    Scenario(
        name="timeline_demo",
        ref="examples.timeline_demo",
        parameters=_QUICK,
        output={"verdict": "released", **_BUILT},
        visits=_once(*_PREPARED, "check", "release"),
    ),
    Scenario(
        name="timeline_demo, even",
        ref="examples.timeline_demo",
        parameters={"seconds": 0, "uneven": False, "failing_builds": 0},
        output={"verdict": "released", **_BUILT, "build_attempts": 1},
        visits=_once(*_PREPARED, "check", "release"),
    ),
    Scenario(
        name="timeline_demo, rolled back",
        ref="examples.timeline_demo",
        parameters={**_QUICK, "outcome": "failure"},
        status="failed",
        output={"verdict": "rolled back: the figures are worse than those of the last release", **_BUILT},
        error="Fail",
        errors=("WorkFailed", "Fail"),
        visits=_once(*_PREPARED, "roll_back", check="failed"),
    ),
    Scenario(
        name="timeline_demo, a scan that hangs",
        ref="examples.timeline_demo",
        parameters={**_QUICK, "scan_hangs": True, "scan_timeout": 0.3},
        output={"verdict": "released", **_BUILT, "scan": "given up"},
        errors=("Timeout",),
        visits={**_once(*_PREPARED, "check", "release"), "scan": ("timed_out",)},
    ),
    Scenario(
        name="timeline_demo, never built",
        ref="examples.timeline_demo",
        parameters={**_QUICK, "failing_builds": 3},
        status="failed",
        output={"verdict": None, "artefact": None, "build_attempts": 3, "tested": []},
        error="ExitCode",
        errors=("ExitCode",),
        visits=_once("prepare", build="failed"),
        racing=frozenset({"lint", "scan"}),
    ),
)
