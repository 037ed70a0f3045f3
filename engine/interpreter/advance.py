"""The interpreter's only entry: what has happened goes in, what is to be done comes out.

`advance` is a pure function. It has no clock, no I/O and no randomness of its own: equal arguments give equal results.
It reads a run through a **view**, a mapping of frozen data, and answers with a **Decision** (events, changed state,
commands) that the store applies as a whole or not at all; or with **Need**, the keys that it must see first. The caller
then loads these and calls again with the same inputs; nothing has happened in between.

Inside, one :class:`~dramaturg.engine.interpreter.turn.Turn` is made for each call. The inputs are handled in order. For
each of them:

1. It is handled: an attempt that ended is retried or settled (`attempts`), items are counted (`items`), a visit that
   ended has its transitions evaluated (`transitions`), a cancel or a timeout closes the run (`ending`).
2. Tokens wait in a queue, first in, first out. Each is put on its task (`joins`), which begins a visit (`visits`), which
   may end at once and put further tokens at the end of the queue.
3. When no token is left and no visit is open, the run ends (`ending`).

So applying two inputs at once is the same as applying one after the other, save for the history's batches of items.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from dramaturg.engine.errors import JSON, Failure, InternalError
from dramaturg.engine.expressions.compile import EvaluationError, Reads
from dramaturg.engine.interpreter import deadlines, groups, items, signals
from dramaturg.engine.interpreter.attempts import result_key, returned
from dramaturg.engine.interpreter.commands import Decision, GoOn, SetDeadline
from dramaturg.engine.interpreter.ending import close, settle
from dramaturg.engine.interpreter.joins import arrive, join_key
from dramaturg.engine.interpreter.numbers import seconds
from dramaturg.engine.interpreter.plans import NotStarted, rendered
from dramaturg.engine.interpreter.scope import Scope, expression_failure, first_keys
from dramaturg.engine.interpreter.state import (
    NO_ITEM,
    CancelRequested,
    Continue,
    Input,
    Key,
    Lineage,
    MatchSignals,
    Need,
    Resolved,
    Returned,
    RunState,
    RunTimedOutInput,
    SignalReceived,
    Started,
    View,
    VisitTimedOut,
)
from dramaturg.engine.interpreter.turn import Missing, Token, Turn
from dramaturg.engine.interpreter.visits import action_keys, resolve
from dramaturg.engine.language.program import Program, groups_of

#: Visits that one decision may end by itself (junctions, skips, empty lists); then it leaves the rest to another one, so
#: that a loop of junctions does not hold the run's lock (DESIGN 4).
ALONE = 200


def advance(
    program: Program, run: RunState, view: View, inputs: Sequence[Input], now: str, entropy: bytes
) -> Decision | Need:
    """Return what follows from `inputs`, or what must be known before that can be said.

    Args:
        run: the run's hot state as it is stored.
        view: values by key (see `state.Key`); may hold more than is needed.
        inputs: what has happened, in order. Inputs of a run that has ended change nothing.
        now: ISO 8601 UTC with microseconds and a Z; never before the run's last event.
        entropy: seed of uuid(), random() and jitter; the same one when called again after a Need.

    Source: DESIGN 4; the meaning of each rule is LANGUAGE's.
    """
    turn = Turn(program, run, view, now, entropy)
    turn.ended = run.open == 0 and run.status in ("succeeded", "failed", "timed_out", "cancelled")
    try:
        for one in inputs:
            if turn.ended:
                break
            _handle(turn, one)
            _drain(turn)
            settle(turn)
        items.flush(turn)
        _postpone(turn)
    except Missing as missing:
        return Need(missing.keys | _ahead(turn, missing.keys))
    return turn.decision()


def _handle(turn: Turn, one: Input) -> None:
    match one:
        case Started():
            _start(turn)
        case Returned():
            returned(turn, one)
        case CancelRequested():
            _cancel(turn, one)
        case RunTimedOutInput():
            _time_out(turn, one)
        case VisitTimedOut():
            deadlines.time_out(turn, one)
        case SignalReceived():
            signals.receive(turn, one)
        case MatchSignals():
            signals.match(turn)
        case Resolved():
            resolve(turn, one)
        case Continue():
            _go_on(turn, one.work)


# --- the inputs ----------------------------------------------------------------------------------------------


def _start(turn: Turn) -> None:
    """Begin the run: its deadline, its variables, a token on each entry point (LANGUAGE 3 and 6)."""
    program = turn.program
    turn.event("run_started", data={"ref": program.ref, "revision": program.digest})
    turn.status = "running"
    turn.require(_started_keys(program))
    scope = Scope(turn)
    try:
        deadline = rendered(scope, program.timeout, lambda value: seconds(value, "timeout", zero=False))
        _set_variables(turn, scope)
    except EvaluationError as error:
        close(turn, "failed", expression_failure(error))
        return
    except NotStarted as error:
        close(turn, "failed", error.failure)
        return
    if deadline is not None:
        turn.command(SetDeadline(seconds=deadline))
    turn.queue.extend(Token(task=name, origin=None, lineage=Lineage()) for name in program.entry)


def _set_variables(turn: Turn, scope: Scope) -> None:
    """Render `vars` in order; each sees the ones before.

    Raises:
        EvaluationError: one does not render; those before it are set.
    """
    try:
        for name, template in turn.program.vars:
            turn.variables[name] = scope.render(template)
    finally:
        if turn.variables:
            turn.event("variables_published", data={"values": dict(turn.variables)})


def _cancel(turn: Turn, request: CancelRequested) -> None:
    """Somebody asked that the run be cancelled (LANGUAGE 10)."""
    data: dict[str, JSON] = {"by": request.by, "reason": request.reason}
    turn.event("cancel_requested", data={name: value for name, value in data.items() if value})
    message = "the run was cancelled" + (f" by {request.by}" if request.by else "")
    message += f": {request.reason}" if request.reason else ""
    close(turn, "cancelled", Failure(type="Cancelled", message=message), everything=True)


def _time_out(turn: Turn, timeout: RunTimedOutInput) -> None:
    """The run's time is over: what runs is cancelled (LANGUAGE 3)."""
    details: dict[str, JSON] = {"kind": timeout.kind, "seconds": timeout.seconds}
    turn.event("timer_fired", data=details)
    message = f"the run took longer than {timeout.seconds:g} s"
    close(turn, "timed_out", Failure(type="Timeout", message=message, details=details), everything=True)


def _go_on(turn: Turn, work: JSON) -> None:
    """Take up what an earlier decision left."""
    turn.open -= 1
    if work["kind"] == "items":
        items.insert_more(turn, work)
    elif work["kind"] == "tokens":
        turn.queue.extend(_token_from_json(token) for token in work["tokens"])
    else:
        raise InternalError(f"an input to go on from is of an unknown kind: {work['kind']!r}")


# --- tokens --------------------------------------------------------------------------------------------------


def _drain(turn: Turn) -> None:
    """Put each token on its task, until none is left or the decision has grown long enough."""
    while True:
        if turn.must_stop_items:
            items.stop_all(turn)
        elif turn.members:
            groups.member_ended(turn, turn.members.popleft())
        elif turn.queue and turn.completed_alone < ALONE:
            token = turn.queue.popleft()
            if _goes_anywhere(turn, token):
                arrive(turn, token)
        else:
            return


def _goes_anywhere(turn: Turn, token: Token) -> bool:
    """Say whether a token is put on its task: one for a member of a parallel task always is, its group waits for it."""
    return token.visit is not None or turn.goes_on(token.lineage)


def _postpone(turn: Turn) -> None:
    """Leave the tokens that are left to another decision."""
    tokens = [_token_to_json(token) for token in turn.queue if _goes_anywhere(turn, token)]
    turn.queue.clear()
    if tokens:
        turn.open += 1
        turn.command(GoOn(work={"kind": "tokens", "tokens": tokens}))
    settle(turn)


def _token_to_json(token: Token) -> JSON:
    lineage = token.lineage
    return {
        "task": token.task,
        "origin": token.origin,
        "joins": dict(lineage.joins),
        "spared": lineage.spared,
        **({} if token.visit is None else {"visit": token.visit}),
    }


def _token_from_json(data: Mapping[str, JSON]) -> Token:
    lineage = Lineage(joins=data["joins"], spared=data["spared"])
    return Token(task=data["task"], origin=data["origin"], lineage=lineage, visit=data.get("visit"))


# --- what to load first --------------------------------------------------------------------------------------


def reads(program: Program, inputs: Sequence[Input]) -> frozenset[Key]:
    """Return the keys to load at first, so that advance seldom asks for more.

    A guess from what is known without the run's state; `advance` asks for what it leaves out.
    """
    keys: set[Key] = set()
    for one in inputs:
        match one:
            case Started():
                keys.update(_started_keys(program))
            case Returned():
                keys.update(_returned_keys(program, one))
            case Continue():
                keys.update(_continue_keys(program, one.work))
            case MatchSignals():
                keys.add(("matches",))
            case SignalReceived():
                pass
            case VisitTimedOut():
                keys.add(("status", one.task, one.visit))
            case Resolved():
                keys.update((("parked", one.task, one.visit), ("task", one.task)))
            case _:
                keys.update(_closing_keys(program))
    return frozenset(keys)


#: How many tasks ahead of a task that must be read are read with it.
AHEAD = 50


def _ahead(turn: Turn, missing: frozenset[Key]) -> frozenset[Key]:
    """Return what is likely to be asked for next, so that a hundred junctions in a row are not a hundred questions.

    What the tasks need that have a token, or that come after one which must be read; nothing that is in the view.
    """
    first = [str(key[1]) for key in missing if key[0] == "task"] + [token.task for token in turn.queue]
    seen = dict.fromkeys(name for name in first if name in turn.program.tasks)
    todo = deque(seen)
    while todo and len(seen) < AHEAD + len(first):
        task = turn.program.tasks[todo.popleft()]
        followers = [name for transition in task.next for name in transition.targets]
        new = [name for name in (*task.members, *followers) if name not in seen]
        seen.update(dict.fromkeys(new))
        todo.extend(new)
    keys: set[Key] = set()
    for name in seen:
        task = turn.program.tasks[name]
        keys.update(
            (("task", name), *action_keys(task), *first_keys(task.entry_reads), *first_keys(task.exit_reads))
        )
    return frozenset(key for key in keys if key not in turn.view)


def _started_keys(program: Program) -> Iterator[Key]:
    for _, template in program.vars:
        yield from _lasting(template.reads)
    if program.timeout is not None:
        yield from _lasting(program.timeout.reads)
    for name in program.entry:
        yield from _lasting(program.tasks[name].entry_reads)
        yield from action_keys(program.tasks[name])


def _lasting(of: Reads) -> Iterator[Key]:
    """Yield what can be read before anything of the run is stored: its parameters and its pack's configuration."""
    if of.parameters:
        yield ("parameters",)
    if of.config:
        yield ("config",)


def _returned_keys(program: Program, attempt: Returned) -> Iterator[Key]:
    task = program.tasks[attempt.task]
    yield ("task", task.name)
    for group in groups_of(program, task.name):
        yield ("items", group, attempt.visit)
    if task.retry is not None and task.retry.when is not None:
        yield from first_keys(task.retry.when.reads)
        if task.retry.when.reads.result:
            yield result_key(attempt)
    if attempt.item != NO_ITEM:
        yield ("items", task.name, attempt.visit)
        return
    yield from first_keys(task.exit_reads)
    if task.exit_reads.result or (task.name, "result") in task.exit_reads.tasks:
        yield ("result", task.name, attempt.visit)
    targets = dict.fromkeys(name for transition in task.next for name in transition.targets)
    for name in targets:
        yield from _entry_keys(program, name, attempt)
    if not targets:
        yield from first_keys(program.output_reads)


def _entry_keys(program: Program, name: str, attempt: Returned) -> Iterator[Key]:
    task = program.tasks[name]
    yield ("task", name)
    yield from first_keys(task.entry_reads)
    yield from action_keys(task)
    if (attempt.task, "result") in task.entry_reads.tasks:
        yield ("result", attempt.task, attempt.visit)
    if task.join is not None:
        yield join_key(name, attempt.lineage)


def _continue_keys(program: Program, work: JSON) -> Iterator[Key]:
    if work["kind"] == "items":
        yield ("items", work["task"], work["visit"])
        return
    for token in work.get("tokens", ()):
        task = program.tasks[token["task"]]
        yield ("task", task.name)
        yield from first_keys(task.entry_reads)
        yield from action_keys(task)
        if task.join is not None:
            yield join_key(task.name, Lineage(joins=token["joins"]))
        if task.group is not None:
            yield ("items", task.group, token["visit"])


def _closing_keys(program: Program) -> Iterator[Key]:
    yield from first_keys(program.output_reads)
    if any(task.with_items or task.members for task in program.tasks.values()):
        yield ("open_items",)
