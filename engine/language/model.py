"""Definitions as they are written: frozen, checked for shape, not yet compiled.

`parser.py` makes these from YAML (or from the JSON that a revision stores); `program.py` compiles them.
Expressions are still text here. A field that takes "a number or a template" is `JSON`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from dramaturg.engine.errors import JSON

Runtime = Literal["python", "shell", "node", "dramatiq", "builtin"]
OnItemFailure = Literal["finish_started", "run_all", "cancel_started"]

#: Targets of a transition that are commands, not tasks (LANGUAGE 4).
COMMANDS = frozenset({"fail", "noop", "continue", "succeed"})
#: Names that no task may have.
RESERVED = COMMANDS | {"retry", "always"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where something stands in its file; lines and columns count from 1, 0 is unknown."""

    path: str = ""
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryDef:
    """How attempts are repeated (LANGUAGE 4, `retry`)."""

    count: JSON = 0
    delay: JSON = 0
    backoff: Literal["constant", "linear", "exponential"] = "constant"
    factor: JSON = 2
    max_delay: JSON = None
    jitter: JSON = 0
    when: str | bool | None = None
    non_retryable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionDef:
    """One action of a pack: what a task can name (LANGUAGE 2)."""

    ref: str
    label: str = ""
    description: str = ""
    #: None for a workflow.
    runtime: Runtime | None = None
    entry_point: str | None = None
    #: name -> JSON Schema with required, secret, default, position; None: takes anything.
    parameters: Mapping[str, JSON] | None = None
    output: Mapping[str, JSON] | None = None
    parameter_delivery: Literal["stdin", "file"] = "stdin"
    parameter_format: Literal["json", "dotenv", "yaml"] = "json"
    output_format: Literal["json", "yaml", "jsonl", "text"] = "json"
    #: Seconds, or None for no limit.
    timeout: float | None = None
    retry: RetryDef | None = None
    queue: str = "default"
    enabled: bool = True
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionDef:
    """One entry of a task's `next`."""

    #: An expression with or without braces, a word such as ``failed``, a bool, or None for always.
    when: str | bool | None = None
    #: (name, template) in order; a bare name is stored as (name, "{{ result() }}").
    publish: tuple[tuple[str, JSON], ...] = ()
    #: Task names and commands, in order; empty means `continue`.
    do: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemsDef:
    """`with_items` and what belongs to it."""

    #: A list, or a template that gives one.
    items: JSON
    #: Names in ``x, y in <expr>``; empty: `item`.
    names: tuple[str, ...] = ()
    batch_size: JSON = None
    concurrency: JSON = None
    on_item_failure: OnItemFailure = "finish_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDef:
    """One task of a workflow (LANGUAGE 4)."""

    name: str
    action: str | None = None
    input: Mapping[str, JSON] = field(default_factory=dict)
    when: str | bool | None = None
    with_items: ItemsDef | None = None
    delay: JSON = None
    timeout: JSON = None
    schedule_timeout: JSON = None
    total_timeout: JSON = None
    heartbeat_timeout: JSON = None
    retry: RetryDef | None = None
    on_lost: Literal["rerun", "fail"] = "rerun"
    join: Literal["all"] | int | None = None
    queue: JSON = None
    priority: JSON = None
    next: tuple[TransitionDef, ...] = ()
    #: None: what the action is says what the task is.
    type: Literal["parallel", "workflow"] | None = None
    #: Of `type: parallel`: what runs side by side; these have neither `next` nor `join`.
    tasks: tuple[TaskDef, ...] = ()
    #: Of `type: parallel`; a task with items has it in `with_items`.
    on_item_failure: OnItemFailure = "finish_started"
    parent_close: Literal["cancel", "terminate", "abandon"] = "cancel"
    chart_meta: JSON = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowDef:
    """A workflow: metadata and graph together, whichever layout it came from (LANGUAGE 3)."""

    ref: str
    label: str = ""
    description: str = ""
    version: str = "1"
    parameters: Mapping[str, JSON] | None = None
    output: Mapping[str, JSON] | None = None
    vars: tuple[tuple[str, JSON], ...] = ()
    tasks: Mapping[str, TaskDef] = field(default_factory=dict)
    output_map: tuple[tuple[str, JSON], ...] = ()
    start: tuple[str, ...] = ()
    timeout: JSON = None
    cancellation_policy: Literal["allow_finish", "cancel_running"] = "allow_finish"
    unhandled_failure: Literal["end", "wait"] = "end"
    max_visits: int = 10_000
    tags: tuple[str, ...] = ()
    enabled: bool = True

    def every_task(self) -> Iterator[TaskDef]:
        """Yield all tasks, those inside parallel ones too, each after the one that it is in."""
        return _with_inner(self.tasks.values())


def _with_inner(tasks: Iterable[TaskDef]) -> Iterator[TaskDef]:
    for task in tasks:
        yield task
        yield from _with_inner(task.tasks)
