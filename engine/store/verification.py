"""Holds a run's history against its tables: an independent checker (DESIGN 7).

Invariants, by number:

1. The history has no gap, and its times do not go back.
2. What `replay` makes of the history equals the tables: status, closing, variables, tasks, joins, items, open visits.
3. A run that has ended has nothing open: no execution without a final status, no pending message, no timer.
4. Each visit has `task_completed` exactly once, if its execution has ended, and never otherwise.
5. A run counts as many open things as there are: visits that have not ended and messages to go on from.
6. What waits to be taken is for a worker: nobody takes a wait, a nested run or a fan-out.
"""

from __future__ import annotations

import itertools
from collections import Counter

from dramaturg.engine.errors import Failure, InternalError
from dramaturg.engine.interpreter.events import Event
from dramaturg.engine.interpreter.replay import ItemCounts, Replayed, replay
from dramaturg.engine.interpreter.state import OUTCOMES, Closing, JoinRound, TaskState
from dramaturg.engine.store.codec import decode, loads
from dramaturg.engine.store.database import Transaction
from dramaturg.engine.store.queries import history_of
from dramaturg.engine.store.statements import Statement
from dramaturg.engine.store.view import load_payloads

RUN = Statement(
    "verify_run",
    "SELECT status, closing, next_seq, open, ended_at, run_id FROM workflow_execution WHERE id = :run",
)
VARIABLES = Statement("verify_variables", "SELECT name, value FROM variable WHERE run = :run")
TASK_STATES = Statement(
    "verify_tasks", "SELECT task, visits, status, attempts FROM task_state WHERE run = :run"
)
JOINS = Statement(
    "verify_joins", "SELECT task, round, arrived, joins, spared, fired FROM join_round WHERE run = :run"
)
ITEMS = Statement(
    "verify_items",
    """SELECT task, visit, total, succeeded, failed, timed_out, cancelled, skipped FROM fan_out WHERE run = :run""",
)
VISITS = Statement(
    "verify_visits",
    "SELECT task, visit, status, item, kind, parked FROM execution WHERE run = :run ORDER BY id",
)
LEFT = Statement(
    "verify_left",
    """SELECT (SELECT count(*) FROM inbox WHERE run = :run AND applied_at IS NULL),
        (SELECT count(*) FROM timer WHERE run = :run),
        (SELECT count(*) FROM inbox WHERE run = :run AND applied_at IS NULL AND kind = 'continue')""",
)
NESTED_RUNS = Statement(
    "verify_nested", "SELECT id FROM workflow_execution WHERE id = :run OR root = :run ORDER BY id"
)


def family(tx: Transaction, run: int) -> list[int]:
    """Return a run and every run that is nested in it, if it is an outermost one."""
    return [row[0] for row in tx.run(NESTED_RUNS, {"run": run})]


def verify(tx: Transaction, run: int) -> list[str]:
    """Return a sentence for each invariant that a run breaks, with its number; none: it is sound."""
    row = tx.run(RUN, {"run": run})[0]
    records = history_of(tx, run, compared=True)
    events = [Event(**{"data": {}, **record}) for record in records]
    problems = [
        f"1: event {b.seq} is earlier than event {a.seq}"
        for a, b in itertools.pairwise(events)
        if b.at < a.at
    ]
    try:
        replayed = replay(events)
    except InternalError as error:
        return [f"run {row[5]}: {text}" for text in (*problems, f"1: {error}")]
    problems += [f"2: {text}" for text in replayed.differences(_state(tx, run, row[0], row[1], row[2]))]
    problems += _ended(tx, run, row[4] is not None)
    problems += _completions(tx, run, events)
    problems += _open(tx, run, row[3], row[0])
    problems += [
        f"6: execution {r[0]}/{r[1]}/{r[3]} is to be taken by a worker, and it is a {r[4]}"
        for r in tx.run(VISITS, {"run": run})
        if r[2] == "requested" and r[4] not in ("worker", "actor")
    ]
    return [f"run {row[5]}: {text}" for text in problems]


def _state(tx: Transaction, run: int, status: str, closing: str | None, next_seq: int) -> Replayed:
    variables = tx.run(VARIABLES, {"run": run})
    payloads = load_payloads(tx, run, (r[1] for r in variables))
    visits = tx.run(VISITS, {"run": run})
    return Replayed(
        status=status,
        closing=_closing(closing),
        variables={r[0]: decode(r[1], payloads) for r in variables},
        tasks={
            r[0]: TaskState(task=r[0], visits=r[1], status=r[2], attempts=r[3])
            for r in tx.run(TASK_STATES, {"run": run})
        },
        joins={
            (r[0], r[1]): JoinRound(
                task=r[0],
                round=r[1],
                arrived=tuple(loads(r[2])),
                joins=loads(r[3]),
                spared=bool(r[4]),
                fired=bool(r[5]),
            )
            for r in tx.run(JOINS, {"run": run})
        },
        items={
            (r[0], r[1]): ItemCounts(
                total=r[2], succeeded=r[3], failed=r[4], timed_out=r[5], cancelled=r[6], skipped=r[7]
            )
            for r in tx.run(ITEMS, {"run": run})
        },
        open=frozenset((r[0], r[1]) for r in visits if r[3] == -1 and r[2] not in OUTCOMES),
        parked=frozenset((r[0], r[1]) for r in visits if r[5]),
        next_seq=next_seq,
    )


def _closing(text: str | None) -> Closing | None:
    if text is None:
        return None
    data = loads(text)
    error = Failure.from_json(data["error"]) if data["error"] else None
    return Closing(status=data["status"], error=error)


def _ended(tx: Transaction, run: int, ended: bool) -> list[str]:
    if not ended:
        return []
    problems = [
        f"3: the run has ended, and its execution {r[0]}/{r[1]}/{r[3]} is {r[2]}"
        for r in tx.run(VISITS, {"run": run})
        if r[2] not in OUTCOMES
    ]
    messages, timers, _ = tx.run(LEFT, {"run": run})[0]
    if messages:
        problems.append(f"3: the run has ended, and {messages} messages wait for it")
    if timers:
        problems.append(f"3: the run has ended, and {timers} timers wait for it")
    return problems


def _completions(tx: Transaction, run: int, events: list[Event]) -> list[str]:
    told = Counter((e.task, e.visit) for e in events if e.type == "task_completed")
    ended = Counter((r[0], r[1]) for r in tx.run(VISITS, {"run": run}) if r[3] == -1 and r[2] in OUTCOMES)
    return [
        f"4: visit {visit} of task {task} has task_completed {told[task, visit]} times, and should have it "
        f"{ended[task, visit]} times"
        for task, visit in sorted({*told, *ended}, key=str)
        if told[task, visit] != ended[task, visit]
    ]


def _open(tx: Transaction, run: int, counted: int, status: str) -> list[str]:
    if status == "requested":
        return []
    visits = sum(1 for r in tx.run(VISITS, {"run": run}) if r[3] == -1 and r[2] not in OUTCOMES)
    found = visits + int(tx.run(LEFT, {"run": run})[0][2])
    return [] if found == counted else [f"5: the run counts {counted} open, and {found} are"]
