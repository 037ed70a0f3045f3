"""How an execution is made: action, input and numbers of a task, rendered once a visit (LANGUAGE 4).

Everything here can fail, and such a failure is one *of the task* (LANGUAGE 5): it is raised as :class:`NotStarted`, or
as an `EvaluationError` of the expression, and becomes the outcome of the visit or of the item.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TypeVar

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.expressions.compile import Template
from dramaturg.engine.interpreter import waits
from dramaturg.engine.interpreter.commands import Schedule
from dramaturg.engine.interpreter.numbers import number, seconds, whole
from dramaturg.engine.interpreter.scope import Scope
from dramaturg.engine.interpreter.state import NO_ITEM, ActionInfo, Lineage
from dramaturg.engine.interpreter.turn import Turn
from dramaturg.engine.interpreter.waits import NotStarted
from dramaturg.engine.language.program import RetryProgram, TaskProgram
from dramaturg.engine.secret import hidden

__all__ = ["NotStarted", "Plan", "execution", "limit_of", "make_plan", "render_input", "rendered", "timeout"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What all executions of one visit have in common; plain JSON, so that it can wait in a Continue input."""

    action: str
    kind: str
    timeout: float | None = None
    delay: float | None = None
    queue: str = "default"
    priority: int = 0
    once: bool = False
    policy: Mapping[str, JSON] = field(default_factory=dict)
    digest: str | None = None
    schedule_timeout: float | None = None
    heartbeat_timeout: float | None = None

    def to_json(self) -> dict[str, JSON]:
        """Return what :meth:`from_json` reads."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, JSON]) -> Plan:
        """Read what :meth:`to_json` wrote."""
        return cls(**data)


def make_plan(turn: Turn, task: TaskProgram, scope: Scope) -> tuple[Plan, ActionInfo]:
    """Render everything of a task but its input.

    Raises:
        NotStarted, EvaluationError: something cannot be had, or makes no sense.
    """
    info = _find_action(turn, task, scope)
    limit = limit_of(scope, task.timeout, "timeout")
    limit = info.timeout if limit is None else limit
    schedule_timeout = limit_of(scope, task.schedule_timeout, "schedule_timeout")
    delay = rendered(scope, task.delay, lambda value: seconds(value, "delay"))
    policy: dict[str, JSON] = {"kind": info.kind, "on_lost": task.on_lost, "retry": _retry(task, info, scope)}
    if delay:
        policy["delay"] = delay
    if schedule_timeout is not None:
        policy["schedule_timeout"] = schedule_timeout
    if limit is not None and info.kind in ("worker", "actor"):
        policy["limit"] = {"kind": "start_to_close", "seconds": limit}
    if task.parent_close != "cancel":
        policy["parent_close"] = task.parent_close
    plan = Plan(
        action=info.ref,
        kind=info.kind,
        timeout=limit,
        delay=delay or None,
        schedule_timeout=schedule_timeout,
        heartbeat_timeout=limit_of(scope, task.heartbeat_timeout, "heartbeat_timeout"),
        queue=rendered(scope, task.queue, _text) or info.queue,
        priority=rendered(scope, task.priority, lambda value: whole(value, "priority")) or 0,
        once=task.on_lost == "fail",
        policy=policy,
        digest=info.digest,
    )
    return plan, info


def limit_of(scope: Scope, template: Template | None, what: str) -> float | None:
    """Return the seconds of a timeout; None where it is not given.

    Raises:
        NotStarted, EvaluationError: it makes no sense, or does not render.
    """
    return rendered(scope, template, lambda value: seconds(value, what, zero=False))


def timeout(kind: str, length: float) -> Failure:
    """Return the failure of what took longer than so many seconds (`details.kind` of LANGUAGE 5)."""
    message = _TOO_LONG[kind].format(length)
    return Failure(type="Timeout", message=message, details={"kind": kind, "seconds": length})


_TOO_LONG = {
    "start_to_close": "it took longer than {:g} s",
    "schedule_to_start": "no worker took it within {:g} s",
    "schedule_to_close": "it was not over {:g} s after it began, with all its attempts",
    "wait": "nothing came within {:g} s",
}


def rendered(scope: Scope, template: Template | None, convert: Callable[[JSON], T]) -> T | None:
    """Return what a field says; None where it is not given, or is null.

    Raises:
        NotStarted: the value makes no sense; the failure names the field's place.
    """
    value = None if template is None else scope.render(template)
    if template is None or value is None:
        return None
    try:
        return convert(value)
    except ValueError as error:
        details = {"place": template.place, "expression": template.source}
        message = f"{template.place}: {error}"
        raise NotStarted(Failure(type="ExpressionError", message=message, details=details)) from None


def render_input(task: TaskProgram, info: ActionInfo, scope: Scope) -> dict[str, JSON]:
    """Return a task's input with the action's defaults; what the action declares as secret is one from now on.

    Raises:
        NotStarted: the action's parameters do not allow it; the failure names each problem.
        EvaluationError: it does not render.
    """
    if task.passes_parameters:
        values = dict(scope.name("parameters"))
    else:
        values = {name: scope.render(template) for name, template in task.input}
    problems = info.parameters.problems(values)
    if problems:
        message = f"{info.ref} refuses its input: " + "; ".join(problems)
        raise NotStarted(Failure(type="InvalidInput", message=message, details={"problems": list(problems)}))
    values = info.parameters.with_defaults(values)
    return hidden(values, info.parameters.secret) if info.parameters.secret else values


def execution(
    turn: Turn, plan: Plan, values: JSON, *, task: str, visit: int, lineage: Lineage, item: int = NO_ITEM
) -> Schedule:
    """Return the command that makes an execution.

    Raises:
        NotStarted: a wait whose input does not say what for, or how long.
    """
    status, due, policy = "requested", plan.delay, plan.policy
    if plan.kind == "wait":
        policy = {**policy, **waits.policy_of(plan.action, values, plan.timeout, turn.now)}
    if plan.kind == "wait" and not (plan.delay and "awaits" in policy):
        status, due = "waiting", waits.due_in(policy, plan.delay)
    elif plan.delay:
        status = "scheduled"
    elif plan.kind == "workflow":
        status = "running"
    return Schedule(
        task=task,
        visit=visit,
        item=item,
        action=plan.action,
        kind=plan.kind,
        status=status,
        input=values,
        due=due,
        timeout=plan.timeout,
        queue=plan.queue,
        priority=plan.priority,
        once=plan.once,
        policy=policy,
        lineage=lineage,
        digest=plan.digest,
        schedule_timeout=plan.schedule_timeout,
        heartbeat_timeout=plan.heartbeat_timeout,
    )


def _text(value: JSON) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {value!r}")
    return value


def _find_action(turn: Turn, task: TaskProgram, scope: Scope) -> ActionInfo:
    ref = rendered(scope, task.action, _text)
    if not ref:
        message = (
            "the task has no action" if task.action is None else f"{task.action.place}: it names no action"
        )
        raise NotStarted(Failure(type="UnknownAction", message=message))
    info = turn.action(ref)
    if info is None or not info.enabled:
        problem = "there is no such action" if info is None else "the action is disabled"
        raise NotStarted(Failure(type="UnknownAction", message=f"{ref}: {problem}", details={"action": ref}))
    if task.nested and info.kind != "workflow":
        message = f"{ref}: the task is of type workflow, and this is no workflow"
        raise NotStarted(Failure(type="UnknownAction", message=message, details={"action": ref}))
    return info


def _retry(task: TaskProgram, info: ActionInfo, scope: Scope) -> JSON:
    """Return the policy as plain numbers: the task's own, else the action's."""
    if task.retry is not None:
        return _rendered_retry(task.retry, scope)
    return dict(info.retry) if info.retry is not None else None


def _rendered_retry(retry: RetryProgram, scope: Scope) -> JSON:
    factor = rendered(scope, retry.factor, lambda value: number(value, "factor"))
    return {
        "count": rendered(scope, retry.count, lambda value: whole(value, "count", least=0)) or 0,
        "delay": rendered(scope, retry.delay, lambda value: seconds(value, "delay")) or 0.0,
        "backoff": retry.backoff,
        "factor": 2.0 if factor is None else factor,
        "max_delay": rendered(scope, retry.max_delay, lambda value: seconds(value, "max_delay")),
        "jitter": rendered(scope, retry.jitter, lambda value: number(value, "jitter", most=1.0)) or 0.0,
        "non_retryable": list(retry.non_retryable),
    }
