"""The compiled form of a workflow: what the interpreter runs.

A program is immutable and depends on nothing but the definition, so it is cached by the definition's digest.
`compile_workflow` makes one from a :class:`~dramaturg.engine.language.model.WorkflowDef`; everything that
can be known before a run (predecessors, what an expression reads, entry points) is worked out here, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.compile import Reads, Template, compile_condition, compile_value
from dramaturg.engine.expressions.scope import Names
from dramaturg.engine.language.graph import entry_points, predecessors
from dramaturg.engine.language.model import (
    COMMANDS,
    ActionDef,
    ItemsDef,
    OnItemFailure,
    RetryDef,
    TaskDef,
    TransitionDef,
    WorkflowDef,
)
from dramaturg.engine.language.schema import ParameterSet
from dramaturg.engine.language.scopes import Scopes
from dramaturg.engine.language.stored import workflow_to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryProgram:
    """A compiled retry policy; numbers may be templates, rendered when the task is entered."""

    count: Template
    delay: Template
    backoff: str
    factor: Template
    max_delay: Template
    jitter: Template
    when: Template | None
    non_retryable: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionProgram:
    """One entry of `next`; `index` counts from 0 and is part of its place: ``tasks.t1.next[0]``."""

    index: int
    #: None: always.
    when: Template | None
    publish: tuple[tuple[str, Template], ...]
    #: Task names, in order, without the commands.
    targets: tuple[str, ...]
    #: The commands among `do`: noop, continue, fail, succeed.
    commands: frozenset[str]

    @property
    def handles(self) -> bool:
        """Say whether firing handles a failure: it leads to anything but `continue` (LANGUAGE 5)."""
        return bool(self.targets) or bool(self.commands - {"continue"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemsProgram:
    """A compiled `with_items`."""

    items: Template
    names: tuple[str, ...]
    batch_size: Template | None
    concurrency: Template | None
    on_item_failure: OnItemFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskProgram:
    """One compiled task."""

    name: str
    #: None: a junction, which succeeds at once.
    action: Template | None
    input: tuple[tuple[str, Template], ...]
    when: Template | None
    with_items: ItemsProgram | None
    delay: Template | None
    timeout: Template | None
    schedule_timeout: Template | None
    total_timeout: Template | None
    heartbeat_timeout: Template | None
    retry: RetryProgram | None
    on_lost: str
    #: How many distinct predecessors a round of the join needs; None without a join.
    join: int | None
    queue: Template | None
    priority: Template | None
    next: tuple[TransitionProgram, ...]
    parent_close: str
    #: Distinct tasks with a transition to this one, in the order of the definition.
    predecessors: tuple[str, ...]
    #: What entering the task reads (when, with_items, action, input, numbers).
    entry_reads: Reads
    #: What its completion reads (conditions and publishes), without what the targets' entries read.
    exit_reads: Reads
    #: The action must be a workflow (`type: workflow`).
    nested: bool = False
    #: The tasks that run side by side inside this one (`type: parallel`), in the order of the definition.
    members: tuple[str, ...] = ()
    #: The parallel task that this one runs inside of; it then has no transitions of its own.
    group: str | None = None
    #: Of a parallel task; one with items has it in `with_items`.
    on_item_failure: OnItemFailure = "finish_started"
    #: Its input is the run's parameters as a whole: the one task of a run of an action that is no workflow.
    passes_parameters: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A compiled workflow."""

    ref: str
    label: str
    version: str
    #: Hex SHA-256 of the stored definition: the revision.
    digest: str
    parameters: ParameterSet
    output: ParameterSet | None
    vars: tuple[tuple[str, Template], ...]
    #: In the order of the definition, those inside parallel ones too.
    tasks: Mapping[str, TaskProgram]
    #: Tasks that a run starts with, in the order of the definition.
    entry: tuple[str, ...]
    output_map: tuple[tuple[str, Template], ...]
    timeout: Template | None
    cancellation_policy: str
    unhandled_failure: str
    max_visits: int
    #: What rendering `output_map` reads.
    output_reads: Reads
    #: The definition itself, as stored (JSON).
    definition: Mapping[str, JSON]
    #: The task whose result is the run's output, in place of `output_map`: that of a run of a plain action.
    output_task: str | None = None


def groups_of(program: Program, task: str) -> Iterator[str]:
    """Yield the parallel tasks that a task runs inside of, the innermost first."""
    group = program.tasks[task].group
    while group is not None:
        yield group
        group = program.tasks[group].group


def compile_workflow(workflow: WorkflowDef, digest: str) -> Program:
    """Compile a workflow that the parser has accepted.

    Args:
        digest: the revision; becomes `Program.digest`, is not checked.
    Raises:
        ExpressionSyntaxError: an expression that the parser would have refused.
    """
    scopes = Scopes(workflow)
    before = predecessors(workflow)
    output_map = tuple(
        (name, compile_value(value, f"output_map.{name}", scopes.output()))
        for name, value in workflow.output_map
    )
    return Program(
        ref=workflow.ref,
        label=workflow.label,
        version=workflow.version,
        digest=digest,
        parameters=ParameterSet(workflow.parameters),
        output=None if workflow.output is None else ParameterSet(workflow.output, closed=False),
        vars=tuple(
            (name, compile_value(value, f"vars.{name}", scopes.initial(index)))
            for index, (name, value) in enumerate(workflow.vars)
        ),
        tasks={
            one.name: one
            for name, task in workflow.tasks.items()
            for one in _tasks(task, scopes, before[name], None)
        },
        entry=entry_points(workflow),
        output_map=output_map,
        timeout=_optional(workflow.timeout, "timeout", scopes.run()),
        cancellation_policy=workflow.cancellation_policy,
        unhandled_failure=workflow.unhandled_failure,
        max_visits=workflow.max_visits,
        output_reads=_united(template for _, template in output_map),
        definition=workflow_to_json(workflow),
    )


def compile_action(action: ActionDef, digest: str) -> Program:
    """Compile the workflow of one task that a run of a plain action is (LANGUAGE 10).

    The task has the action's name and the run's parameters as its input; its result is the run's output, its failure
    the run's.
    """
    name = action.ref.partition(".")[2]
    workflow = WorkflowDef(
        ref=action.ref,
        label=action.label,
        parameters=action.parameters,
        tasks={name: TaskDef(name=name, action=action.ref)},
        enabled=action.enabled,
    )
    program = compile_workflow(workflow, digest)
    task = program.tasks[name]
    reads = Reads(parameters=True)
    only = replace(task, passes_parameters=True, entry_reads=task.entry_reads | reads)
    return replace(
        program, tasks={name: only}, output_task=name, output_reads=Reads(tasks=frozenset({(name, "result")}))
    )


def _tasks(
    task: TaskDef, scopes: Scopes, before: tuple[str, ...], group: str | None
) -> Iterator[TaskProgram]:
    """Yield a task, then those inside it."""
    compiled = _task(task, scopes, before)
    inner = [one for member in task.tasks for one in _tasks(member, scopes, (), task.name)]
    # The members are entered together with the task: what they read is loaded with it.
    reads = _of_members(inner) | compiled.entry_reads
    yield replace(
        compiled,
        group=group,
        nested=task.type == "workflow",
        members=tuple(member.name for member in task.tasks),
        on_item_failure=task.on_item_failure,
        entry_reads=reads,
    )
    yield from inner


def _of_members(tasks: Iterable[TaskProgram]) -> Reads:
    reads = Reads()
    for task in tasks:
        reads = reads | task.entry_reads
    return reads


def _task(task: TaskDef, scopes: Scopes, before: tuple[str, ...]) -> TaskProgram:
    place = f"tasks.{task.name}"
    own = scopes.task()

    def field(name: str) -> Template | None:
        return _optional(getattr(task, name), f"{place}.{name}", own)

    compiled: dict[str, Any] = {
        name: field(name)
        for name in ("action", "delay", "timeout", "schedule_timeout", "total_timeout", "heartbeat_timeout")
    }
    compiled |= {name: field(name) for name in ("queue", "priority")}
    names = scopes.input(task.name)
    given = tuple((n, compile_value(v, f"{place}.input.{n}", names)) for n, v in task.input.items())
    when = compile_condition(task.when, f"{place}.when", own)
    items = _items(task.with_items, place, own) if task.with_items else None
    retry = _retry(task.retry, f"{place}.retry", scopes) if task.retry else None
    transitions = tuple(_transition(t, index, place, scopes) for index, t in enumerate(task.next))
    entry = [
        *compiled.values(),
        when,
        *(template for _, template in given),
        *_of_items(items),
        *_of_retry(retry),
    ]
    leaving = [template for t in transitions for template in (t.when, *(value for _, value in t.publish))]
    return TaskProgram(
        name=task.name,
        input=given,
        when=when,
        with_items=items,
        retry=retry,
        on_lost=task.on_lost,
        join=len(before) if task.join == "all" else task.join,
        next=transitions,
        parent_close=task.parent_close,
        predecessors=before,
        entry_reads=_united(entry),
        exit_reads=_united([*leaving, retry.when if retry else None]),
        **compiled,
    )


def _items(items: ItemsDef, place: str, names: Names) -> ItemsProgram:
    return ItemsProgram(
        items=compile_value(items.items, f"{place}.with_items", names),
        names=items.names,
        batch_size=_optional(items.batch_size, f"{place}.batch_size", names),
        concurrency=_optional(items.concurrency, f"{place}.concurrency", names),
        on_item_failure=items.on_item_failure,
    )


def _retry(retry: RetryDef, place: str, scopes: Scopes) -> RetryProgram:
    names = scopes.task()
    return RetryProgram(
        count=compile_value(retry.count, f"{place}.count", names),
        delay=compile_value(retry.delay, f"{place}.delay", names),
        backoff=retry.backoff,
        factor=compile_value(retry.factor, f"{place}.factor", names),
        max_delay=compile_value(retry.max_delay, f"{place}.max_delay", names),
        jitter=compile_value(retry.jitter, f"{place}.jitter", names),
        when=compile_condition(retry.when, f"{place}.when", scopes.outcome()),
        non_retryable=retry.non_retryable,
    )


def _transition(transition: TransitionDef, index: int, place: str, scopes: Scopes) -> TransitionProgram:
    here = f"{place}.next[{index}]"
    names = scopes.outcome()
    return TransitionProgram(
        index=index,
        when=compile_condition(transition.when, f"{here}.when", names),
        publish=tuple(
            (name, compile_value(value, f"{here}.publish.{name}", names))
            for name, value in transition.publish
        ),
        targets=tuple(target for target in transition.do if target not in COMMANDS),
        commands=frozenset(transition.do) & COMMANDS,
    )


def _of_items(items: ItemsProgram | None) -> tuple[Template | None, ...]:
    return (items.items, items.batch_size, items.concurrency) if items else ()


def _of_retry(retry: RetryProgram | None) -> tuple[Template | None, ...]:
    """Return what is rendered when the task is entered: `when` is asked after an attempt."""
    return (retry.count, retry.delay, retry.factor, retry.max_delay, retry.jitter) if retry else ()


def _optional(value: JSON, place: str, names: Names) -> Template | None:
    return None if value is None else compile_value(value, place, names)


def _united(templates: Iterable[Template | None]) -> Reads:
    reads = Reads()
    for template in templates:
        if template is not None and not template.constant:
            reads = reads | template.reads
    return reads
