"""Fan-outs: a task with items, each an execution of its own (LANGUAGE 8).

The parent row of the visit holds no work; counts are kept in a `FanOut`, the items never. The rows are inserted in
chunks, the first by the decision that starts the visit, the others by Continue inputs. Items up to `concurrency` may
run; the rest are held and released as others end, in item order. A failure stops the fan-out unless all items are to
run; a run that closes stops it too. A fan-out that is stopped releases nothing more: what is held is skipped, what runs
ends. The visit ends when every item has an outcome.

    total = held + running + ended + not inserted yet        (ended: succeeded, failed, timed_out, cancelled, skipped)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.expressions.compile import EvaluationError
from dramaturg.engine.interpreter import signals
from dramaturg.engine.interpreter.commands import CancelOpen, GoOn, Release, Schedule, SettleVisit, SkipItems
from dramaturg.engine.interpreter.numbers import whole
from dramaturg.engine.interpreter.plans import NotStarted, Plan, execution, make_plan, render_input, rendered
from dramaturg.engine.interpreter.scope import Scope, expression_failure
from dramaturg.engine.interpreter.state import ActionInfo, FanOut, Lineage, Outcome
from dramaturg.engine.interpreter.transitions import complete
from dramaturg.engine.interpreter.turn import Ended, Turn
from dramaturg.engine.language.program import ItemsProgram, TaskProgram, groups_of
from dramaturg.engine.secret import Secret

#: How items end that do not succeed, in a sentence.
_WORDS = {
    "failed": "failed",
    "timed_out": "timed out",
    "cancelled": "were cancelled",
    "skipped": "were never started",
}

#: What is no list, in a sentence.
_KINDS = {dict: "a map", str: "text", bool: "true or false", type(None): "null", Secret: "a secret"}

#: Rows that one decision inserts (DESIGN 3).
CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    """A fan-out, rendered: a row is {"input": ...} or, for an item that cannot be started, {"error": ...}."""

    plan: Plan
    rows: list[JSON]
    concurrency: int | None


# --- starting ------------------------------------------------------------------------------------------------


def render(turn: Turn, task: TaskProgram, visit: int, scope: Scope) -> Many:
    """Render the list, and the input of each item.

    Raises:
        NotStarted, EvaluationError: the list or a number of the task cannot be had; an item's input is its own affair.
    """
    assert task.with_items is not None
    values = _values(task.with_items, scope)
    concurrency = rendered(
        scope, task.with_items.concurrency, lambda value: whole(value, "concurrency", least=1)
    )
    plan, info = make_plan(turn, task, scope)
    rows: list[JSON] = []
    for index, value in enumerate(values):
        try:
            scope.local = _names(task.with_items, index, value)
            rows.append({"input": _checked(turn, task, visit, plan, info, scope)})
        except EvaluationError as error:
            rows.append({"error": _at(expression_failure(error), task.name, visit, index)})
        except NotStarted as error:
            rows.append({"error": _at(error.failure, task.name, visit, index)})
    return Many(plan=plan, rows=rows, concurrency=concurrency)


def _checked(turn: Turn, task: TaskProgram, visit: int, plan: Plan, info: ActionInfo, scope: Scope) -> JSON:
    values = render_input(task, info, scope)
    if plan.kind == "wait":
        execution(turn, plan, values, task=task.name, visit=visit, lineage=Lineage())
    return values


def _at(failure: Failure, task: str, visit: int, item: int) -> JSON:
    return failure.at(task=task, visit=visit, item=item).to_json()


def _values(program: ItemsProgram, scope: Scope) -> list[JSON]:
    values = scope.render(program.items)
    if not isinstance(values, list):
        what = _KINDS.get(type(values), "a number")
        message = f"{program.items.place}: with_items needs a list, and this is {what}"
        details = {"place": program.items.place, "expression": program.items.source}
        raise NotStarted(Failure(type="ExpressionError", message=message, details=details))
    size = rendered(scope, program.batch_size, lambda value: whole(value, "batch_size", least=1))
    return values if size is None else [values[at : at + size] for at in range(0, len(values), size)]


def _names(program: ItemsProgram, index: int, value: JSON) -> dict[str, JSON]:
    own = {"item": value, "index": index}
    if not program.names:
        return own
    if len(program.names) == 1:
        return {**own, program.names[0]: value}
    if not isinstance(value, list) or len(value) != len(program.names):
        wanted = f"a list of {len(program.names)}, for {', '.join(program.names)}"
        message = f"{program.items.place}: item {index} is not {wanted}"
        details = {"place": program.items.place, "expression": program.items.source}
        raise NotStarted(Failure(type="ExpressionError", message=message, details=details))
    return {**own, **dict(zip(program.names, value, strict=True))}


def open_fan_out(turn: Turn, task: TaskProgram, visit: int, lineage: Lineage, many: Many) -> None:
    """Begin a visit that has items: its parent row, the first chunk, and an input for each other chunk."""
    assert task.with_items is not None
    total = len(many.rows)
    policy = task.with_items.on_item_failure
    data: dict[str, JSON] = {"total": total, "concurrency": many.concurrency, "on_item_failure": policy}
    turn.event("items_scheduled", task=task.name, visit=visit, data=data)
    parent = Schedule(
        task=task.name, visit=visit, action=many.plan.action, kind="fanout", status="running", lineage=lineage
    )
    if total == 0:
        turn.command(replace(parent, status="succeeded", result=[]))
        turn.known["result", task.name, visit] = []
        turn.completed_alone += 1
        complete(turn, _ended(turn, task.name, visit, lineage, "succeeded", None))
        return
    turn.command(parent)
    fan = FanOut(
        task=task.name,
        visit=visit,
        total=total,
        concurrency=many.concurrency,
        on_item_failure=policy,
        lineage=lineage,
    )
    for first in range(CHUNK, total, CHUNK):
        turn.open += 1
        rows = many.rows[first : first + CHUNK]
        turn.command(GoOn(work=_work(task.name, visit, first, rows, many.plan)))
    _insert(turn, fan, many.plan, 0, many.rows[:CHUNK])


def _work(task: str, visit: int, first: int, rows: list[JSON], plan: Plan) -> JSON:
    return {
        "kind": "items",
        "task": task,
        "visit": visit,
        "first": first,
        "rows": rows,
        "plan": plan.to_json(),
    }


def insert_more(turn: Turn, work: JSON) -> None:
    """Insert a further chunk of a fan-out."""
    fan = turn.fan_out(work["task"], work["visit"])
    _insert(turn, fan, Plan.from_json(work["plan"]), work["first"], work["rows"])


def _insert(turn: Turn, fan: FanOut, plan: Plan, first: int, rows: Sequence[JSON]) -> None:
    """Insert rows: an item inside the window starts, one outside is held, and once stopped all are skipped."""
    key = (fan.task, fan.visit)
    turn.delays[key] = plan.delay
    stopped = fan.stopped
    running, following, skipped, broken = fan.running, fan.next, 0, list(fan.broken)
    failures: list[Failure] = []
    for item, row in enumerate(rows, first):
        made, failure = _row(turn, fan, plan, item, row)
        room = fan.concurrency is None or running < fan.concurrency
        if stopped:
            made, skipped = replace(made, status="skipped", error=None, due=None), skipped + 1
        elif failure is not None:
            failures.append(failure)
            stopped = fan.on_item_failure != "run_all"
            following, broken = _passed(following, item, broken)
        elif room and following == item:
            running, following = running + 1, item + 1
        else:
            made = replace(made, status="scheduled", due=None)
        turn.command(made)
    signals.look(turn, plan.action)
    turn.items[key] = fan = replace(
        fan,
        inserted=fan.inserted + len(rows),
        next=following,
        running=running,
        failed=fan.failed + len(failures),
        skipped=fan.skipped + skipped,
        broken=tuple(broken),
        error=_first_error(fan.error, *failures),
    )
    turn.batches.setdefault(key, []).extend((one.item or 0, 0, "failed", one) for one in failures)
    if stopped and not fan.stopped:
        _stop_after_failure(turn, fan)
    end_if_complete(turn, key)


def _passed(following: int, item: int, broken: list[int]) -> tuple[int, list[int]]:
    """Return how far the window has come, and the items before which it still has to come."""
    return (item + 1, broken) if following == item else (following, [*broken, item])


def _row(turn: Turn, fan: FanOut, plan: Plan, item: int, row: JSON) -> tuple[Schedule, Failure | None]:
    if "error" not in row:
        made = execution(
            turn, plan, row["input"], task=fan.task, visit=fan.visit, lineage=fan.lineage, item=item
        )
        return made, None
    failure = Failure.from_json(row["error"])
    made = Schedule(
        task=fan.task,
        visit=fan.visit,
        item=item,
        action=plan.action,
        kind=plan.kind,
        status="failed",
        error=failure,
        lineage=fan.lineage,
    )
    return made, failure


# --- going on ------------------------------------------------------------------------------------------------


def settled(
    turn: Turn, key: tuple[str, int], item: int, attempts: int, status: Outcome, error: Failure | None
) -> None:
    """Count an item that has ended for good; stop or end the fan-out where that follows."""
    fan = turn.fan_out(*key)
    counts = {"running": fan.running - 1, status: getattr(fan, status) + 1}
    fan = replace(fan, **counts)
    if error is not None and status != "succeeded":
        fan = replace(fan, error=_first_error(fan.error, error))
    turn.items[key] = fan
    turn.batches.setdefault(key, []).append((item, attempts, status, error))
    count_attempts(turn, key, attempts)
    if status not in ("succeeded", "skipped") and fan.on_item_failure != "run_all" and not fan.stopped:
        _stop_after_failure(turn, fan)
    end_if_complete(turn, key)


def count_attempts(turn: Turn, key: tuple[str, int], attempts: int) -> None:
    """Keep the highest number of attempts that one item of the latest visit took."""
    state = turn.task(key[0])
    if state is not None and state.visits == key[1] and state.attempts < attempts:
        turn.tasks[key[0]] = replace(state, attempts=attempts)


def stop_all(turn: Turn) -> None:
    """Stop the fan-outs and the parallel tasks of a run that closes, but those that are spared."""
    turn.must_stop_items = False
    if not any(task.with_items or task.members for task in turn.program.tasks.values()):
        return
    for fan in turn.open_fan_outs():
        if turn.goes_on(fan.lineage):
            continue
        if turn.program.tasks[fan.task].members:
            turn.items[fan.task, fan.visit] = replace(fan, stopped=True)
        else:
            stop(turn, fan)
            end_if_complete(turn, (fan.task, fan.visit))


def flush(turn: Turn) -> None:
    """At the end of the inputs: tell the history of the items that ended, and let others take their place."""
    for key, fan in tuple(turn.items.items()):
        if not turn.program.tasks[fan.task].members:
            _report(turn, key)
            _release(turn, fan)


def stop(turn: Turn, fan: FanOut, *, cancels: bool = False, reason: str = "") -> None:
    """Let no further item start; what is held is skipped, and with `cancels` what runs is cancelled."""
    key = (fan.task, fan.visit)
    held = fan.inserted - fan.ended - fan.running
    if held:
        turn.command(SkipItems(task=fan.task, visit=fan.visit, first=fan.next))
    turn.items[key] = replace(fan, stopped=True, skipped=fan.skipped + held, next=fan.inserted, broken=())
    if cancels and fan.running:
        turn.command(CancelOpen(running=True, spared=True, task=fan.task, visit=fan.visit, reason=reason))


def _stop_after_failure(turn: Turn, fan: FanOut) -> None:
    cancels = fan.on_item_failure == "cancel_started" and turn.goes_on(fan.lineage)
    stop(turn, fan, cancels=cancels, reason="another item did not succeed")


def _release(turn: Turn, fan: FanOut) -> None:
    """Start held items while there is room for them; the window moves over items that ended already."""
    if fan.stopped or fan.concurrency is None or fan.next >= fan.inserted or not turn.goes_on(fan.lineage):
        return
    room, last, passed = fan.concurrency - fan.running, fan.next, 0
    while room > 0 and last < fan.inserted:
        if passed < len(fan.broken) and fan.broken[passed] == last:
            passed += 1
        else:
            room -= 1
        last += 1
    if last == fan.next:
        return
    key = (fan.task, fan.visit)
    delay = turn.delays.get(key)
    turn.command(Release(task=fan.task, visit=fan.visit, first=fan.next, last=last, due=delay))
    started = last - fan.next - passed
    turn.items[key] = replace(fan, next=last, running=fan.running + started, broken=fan.broken[passed:])


def _report(turn: Turn, key: tuple[str, int]) -> None:
    """Add one event for the items of a visit that ended since the last one."""
    fan = turn.items[key]
    batch = turn.batches.get(key, [])
    told, skipped = turn.reported.get(key, (0, None))
    rows: list[JSON] = [[item, attempts, status] for item, attempts, status, _ in batch[told:]]
    if not rows and (not fan.skipped or skipped == fan.skipped):
        return
    turn.reported[key] = (len(batch), fan.skipped)
    data: dict[str, JSON] = {"items": rows}
    if fan.skipped:
        data["skipped"] = fan.skipped
    turn.event("items_completed", task=fan.task, visit=fan.visit, data=data)


# --- ending --------------------------------------------------------------------------------------------------


def end_if_complete(turn: Turn, key: tuple[str, int]) -> None:
    """End a visit whose items have all ended."""
    fan = turn.items[key]
    if fan.ended < fan.total:
        return
    _report(turn, key)
    status = outcome_of(turn, fan)
    error = None if status == "succeeded" else error_of(fan, status)
    turn.command(SettleVisit(task=fan.task, visit=fan.visit, status=status, error=error))
    complete(turn, _ended(turn, fan.task, fan.visit, fan.lineage, status, error))


def _ended(
    turn: Turn, task: str, visit: int, lineage: Lineage, status: Outcome, error: Failure | None
) -> Ended:
    program = turn.program.tasks[task]
    return Ended(task=program, visit=visit, lineage=lineage, status=status, error=error, attempts=None)


def outcome_of(turn: Turn, fan: FanOut) -> Outcome:
    """Return how a visit ends whose items have all ended (LANGUAGE 8).

    `cancelled` is not in the rule's words: it is what a closing run, or the group around it, did to items that had
    nothing wrong with them.
    """
    if fan.verdict is not None:
        return "timed_out"
    if fan.succeeded == fan.total:
        return "succeeded"
    if fan.failed:
        return "failed"
    if fan.timed_out:
        return "timed_out"
    within = groups_of(turn.program, fan.task)
    stopped = any(turn.fan_out(name, fan.visit).stopped for name in within)
    return "cancelled" if stopped or not turn.goes_on(fan.lineage) else "failed"


def error_of(fan: FanOut, status: Outcome, noun: str = "items") -> Failure:
    """Return the visit's error: the type of the first item's that did not succeed, and how many there are.

    Args:
        noun: what is counted; of `tasks` the first is named by its name.
    """
    if fan.verdict is not None:
        return fan.verdict
    counts = {name: getattr(fan, name) for name in ("succeeded", *_WORDS)}
    parts = [f"{counts[name]} {words}" for name, words in _WORDS.items() if counts[name]]
    message = f"of {fan.total} {noun} {', '.join(parts)}"
    first = fan.error
    if first is not None:
        which = f"item {first.item}" if noun == "items" else f"task {first.task}"
        message += f"; {which}: {first.type}: {first.message}"
    kind = first.type if first is not None else "Cancelled" if status == "cancelled" else "Failed"
    details: JSON = {noun: counts}
    if kind == "Timeout" and first is not None and isinstance(first.details, dict):
        details["kind"] = first.details.get("kind")
    return Failure(type=kind, message=message, details=details, task=fan.task, visit=fan.visit)


def _first_error(*errors: Failure | None) -> Failure | None:
    """Return the error of the lowest item, so that the order in which items end does not matter.

    What was cancelled, mostly because of another item, is no reason while there is a better one; a timeout is none
    while there is a failure, since that decides the outcome.
    """
    known = [error for error in errors if error is not None]
    return min(known, key=_weight) if known else None


def _weight(failure: Failure) -> tuple[int, int]:
    return weight_of(failure), failure.item or 0


def weight_of(failure: Failure) -> int:
    """Return how little a failure says of why a visit did not succeed."""
    return {"Timeout": 1, "Cancelled": 2}.get(failure.type, 0)
