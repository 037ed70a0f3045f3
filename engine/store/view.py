"""What the interpreter sees of a run: rows turned into its frozen values.

A :class:`RunView` is the `view` of one advance. It begins with what the inputs make likely (`reads`) and is filled with
what `advance` then asks for: each time in a fixed number of statements, however many keys there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.interpreter.state import (
    UNSET,
    CancelRequested,
    Closing,
    Continue,
    FanOut,
    Input,
    JoinRound,
    Key,
    Lineage,
    Match,
    MatchSignals,
    Resolved,
    Returned,
    RunState,
    RunTimedOutInput,
    SignalReceived,
    TaskState,
    VisitTimedOut,
)
from dramaturg.engine.store import statements as sql
from dramaturg.engine.store import waiting
from dramaturg.engine.store.catalog import Catalog
from dramaturg.engine.store.codec import decode, dumps, loads, references
from dramaturg.engine.store.database import Row, Transaction
from dramaturg.engine.store.times import iso, iso_or_none


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run's row, locked by this transaction."""

    id: int
    execution_id: int
    attempt: int
    root: int | None
    parent: int | None
    ref: str
    digest: str
    catalog: int
    last_at: int
    retry_at: int | None
    ended_at: int | None
    state: RunState

    @property
    def root_or_self(self) -> int:
        """Return the outermost run."""
        return self.root or self.id


def lock_run(transaction: Transaction, run: int) -> RunRow | None:
    """Return the run's row with its lock, or None: somebody else has it, or there is no such run."""
    rows = transaction.run(sql.LOCK, {"run": run})
    if not rows:
        return None
    row = rows[0]
    if row[21]:
        transaction.taken_at(row[21])
    closing = loads(row[15]) if row[15] else None
    return RunRow(
        id=row[0],
        execution_id=row[2],
        attempt=row[3],
        root=row[4],
        parent=row[5],
        ref=row[8],
        digest=row[9],
        catalog=row[10],
        last_at=row[17],
        retry_at=row[18],
        ended_at=row[19],
        state=RunState(
            run_id=row[1],
            root_id=row[6] or row[1],
            parent_id=row[7],
            status=row[11],
            created_at=iso(row[16]),
            open=row[12],
            open_joins=row[13],
            next_seq=row[14],
            closing=_closing(closing),
            parked=row[20],
        ),
    )


def _closing(data: JSON) -> Closing | None:
    if data is None:
        return None
    error = Failure.from_json(data["error"]) if data.get("error") else None
    return Closing(status=data["status"], error=error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What has happened to a run, oldest first, and the inbox rows that it came from."""

    inputs: tuple[Input, ...]
    #: What others sent is kept, so that sending it twice does nothing; what the run told itself is not.
    applied: tuple[int, ...]
    done: tuple[int, ...] = ()
    #: Whether there may be more than were read.
    full: bool
    #: The run around it does not wait for it any more: it is one of its own from now on.
    abandoned: bool = False
    #: Somebody asked that the run end at once: {by, reason}; nothing else counts then.
    terminated: JSON = None


#: Kinds of keys that name a visit's execution.
_OF_VISITS = ("result", "error", "execution_id", "status")

#: What a run tells itself, under keys that are used once.
_OWN = frozenset({"match", "continue"})

#: How many inputs one advance takes at most: its transaction stays short.
BATCH = 200


def load_inputs(transaction: Transaction, row: RunRow) -> Inputs:
    """Read what has returned and what is in the inbox.

    A `continue` (a chunk of a fan-out, or the rest of a decision) ends the batch: it is work enough for one transaction.
    """
    rows = transaction.run(sql.INPUTS, {"run": row.id, "limit": BATCH})
    payloads = load_payloads(transaction, row.id, (text for r in rows for text in (r[7], r[8])))
    inputs: list[Input] = []
    applied: list[int] = []
    done: list[int] = []
    abandoned = False
    for count, r in enumerate(rows, start=1):
        if r[0] == "returned":
            inputs.append(_returned(r, payloads))
            continue
        data = decode(r[7], payloads)
        if r[2] == "terminate":
            return Inputs(inputs=(), applied=(), full=False, terminated=data)
        (done if r[2] in _OWN else applied).append(r[1])
        if r[2] == "abandon":
            abandoned = True
            continue
        inputs.append(_from_inbox(r[2], data))
        if r[2] == "continue":
            full = count < len(rows) or count >= BATCH
            break
    else:
        full = len(rows) >= BATCH
    return Inputs(
        inputs=tuple(inputs), applied=tuple(applied), done=tuple(done), full=full, abandoned=abandoned
    )


def _returned(r: Row, payloads: Mapping[str, str]) -> Returned:
    error = decode(r[7], payloads)
    return Returned(
        execution_id=r[1],
        task=r[2],
        visit=r[3],
        item=r[4],
        attempt=r[5],
        status=r[6],
        error=Failure.from_json(error) if error else None,
        lineage=lineage_of(r[8]),
        policy=loads(r[9]) if r[9] else {},
        lost=r[10],
        ran=r[11] is not None,
        started_at=iso_or_none(r[11]),
        worker=r[12],
        verdict=Failure.from_json(loads(r[13])) if r[13] else None,
        stopped=bool(r[14]),
    )


def _from_inbox(kind: str, data: JSON) -> Input:
    if kind == "cancel":
        return CancelRequested(by=data.get("by", ""), reason=data.get("reason", ""))
    if kind == "deadline" and data.get("task"):
        return VisitTimedOut(**data)
    if kind == "deadline":
        return RunTimedOutInput(kind=data["kind"], seconds=data["seconds"])
    if kind == "signal":
        return SignalReceived(name=data["name"], payload=data["payload"], by=data["by"])
    if kind == "match":
        return MatchSignals()
    if kind == "resolve":
        error = Failure.from_json(data["error"]) if data["error"] else None
        return Resolved(**{**data, "error": error})
    return Continue(work=data)


def lineage_of(text: str | None) -> Lineage:
    """Read a lineage from its column; an empty one is the beginning of a run."""
    if not text:
        return Lineage()
    data = loads(text)
    return Lineage(joins=data.get("joins", {}), spared=data.get("spared", False))


def lineage_text(lineage: Lineage) -> str | None:
    """Return a lineage's column text; None for one without a past."""
    if not lineage.joins and not lineage.spared:
        return None
    return dumps({"joins": dict(lineage.joins), "spared": lineage.spared})


def load_payloads(transaction: Transaction, run: int, texts: Iterable[str | None]) -> Mapping[str, str]:
    """Return the bodies of the payloads that the column texts refer to; no statement where none does."""
    digests = references(*texts)
    if not digests:
        return {}
    keys = dumps([{"run": run, "digest": digest} for digest in sorted(digests)])
    return {row[0]: row[1] for row in transaction.run(sql.PAYLOADS, {"digests": keys})}


class RunView(Mapping[Key, object]):
    """The view of one advance; `load` adds what it has to know."""

    def __init__(self, transaction: Transaction, catalog: Catalog, row: RunRow) -> None:
        self._transaction = transaction
        self._catalog = catalog
        self._row = row
        self._values: dict[Key, object] = {}

    def __getitem__(self, key: Key) -> object:
        return self._values[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def load(self, keys: Iterable[Key]) -> None:
        """Answer every one of `keys`; what does not exist is None (a variable: UNSET)."""
        wanted: dict[str, list[Key]] = {}
        for key in keys:
            if key not in self._values:
                wanted.setdefault(str(key[0]), []).append(key)
        self._load_rows(wanted)
        for kind, group in wanted.items():
            if kind == "action":
                for key in group:
                    self._values[key] = self._catalog.action(
                        self._transaction, str(key[1]), self._row.catalog
                    )
            elif kind == "items":
                self._load_fan_outs(group)
            elif kind == "item_result":
                for key in group:
                    self._values[key] = self._item_result(*key[1:])
            elif kind == "parked":
                for key in group:
                    self._values[key] = self._parked(str(key[1]), int(key[2]))
            elif kind == "task_items":
                for key in group:
                    self._values[key] = self._items(str(key[1]), int(key[2]))
            elif kind in ("parameters", "config", "vars", "open_items", "open_joins", "matches"):
                self._values[(kind,)] = self._load_whole(kind)

    def _load_rows(self, wanted: Mapping[str, list[Key]]) -> None:
        variables = wanted.get("var", [])
        tasks = wanted.get("task", [])
        joins = wanted.get("join", [])
        visits = [key for kind in _OF_VISITS for key in wanted.get(kind, [])]
        if not (variables or tasks or joins or visits):
            return
        self._values.update(dict.fromkeys(variables, UNSET))
        self._values.update(dict.fromkeys((*tasks, *joins, *visits)))
        rows = self._transaction.run(
            sql.VIEW,
            {
                "run": self._row.id,
                "vars": dumps([{"name": key[1]} for key in variables]),
                "tasks": dumps([{"task": key[1]} for key in tasks]),
                "joins": dumps([{"task": key[1], "round": key[2]} for key in joins]),
                "visits": dumps(
                    [{"task": task, "visit": visit} for task, visit in {key[1:] for key in visits}]
                ),
            },
        )
        payloads = load_payloads(
            self._transaction, self._row.id, (text for r in rows for text in (r[4], r[5]))
        )
        asked = set(visits)
        for r in rows:
            self._take(r, payloads, asked)

    def _take(self, r: Row, payloads: Mapping[str, str], asked: set[Key]) -> None:
        kind, name, number, other, first, second, status = r
        if kind == "var":
            self._values[("var", name)] = decode(first, payloads)
        elif kind == "task":
            self._values[("task", name)] = TaskState(task=name, visits=number, attempts=other, status=first)
        elif kind == "join":
            self._values[("join", name, number)] = JoinRound(
                task=name,
                round=number,
                arrived=tuple(loads(first)),
                joins=loads(second),
                fired=bool(other & 1),
                spared=bool(other & 2),
            )
        else:
            if ("status", name, number) in asked:
                self._values[("status", name, number)] = status
            self._take_visit(
                kind, (name, number), other, decode(first, payloads), decode(second, payloads), asked
            )

    def _take_visit(
        self, kind: str, place: tuple[str, int], id: int, result: JSON, error: JSON, asked: set[Key]
    ) -> None:
        if ("result", *place) in asked:
            if kind == "fanout":
                result = [item["result"] for item in self._items(*place)]
            self._values[("result", *place)] = result
        if ("error", *place) in asked:
            self._values[("error", *place)] = error
        if ("execution_id", *place) in asked:
            self._values[("execution_id", *place)] = id

    def _items(self, task: str, visit: int) -> list[dict[str, JSON]]:
        """Return {status, result, error} of each item, in order; a fan-out's rows are read only where an expression asks."""
        rows = self._transaction.run(sql.ITEMS, {"run": self._row.id, "task": task, "visit": visit})
        payloads = load_payloads(
            self._transaction, self._row.id, (text for r in rows for text in (r[1], r[2]))
        )
        return [
            {"status": r[0], "result": decode(r[1], payloads), "error": decode(r[2], payloads)} for r in rows
        ]

    def _parked(self, task: str, visit: int) -> Lineage | None:
        rows = self._transaction.run(waiting.PARKED, {"run": self._row.id, "task": task, "visit": visit})
        return lineage_of(rows[0][0]) if rows else None

    def _item_result(self, task: str | int, visit: str | int, item: str | int) -> JSON:
        place = {"run": self._row.id, "task": task, "visit": visit, "item": item}
        rows = self._transaction.run(sql.ITEM_RESULT, place)
        text = rows[0][0] if rows else None
        return decode(text, load_payloads(self._transaction, self._row.id, [text]))

    def _load_fan_outs(self, keys: list[Key]) -> None:
        self._values.update(dict.fromkeys(keys))
        visits = dumps([{"task": key[1], "visit": key[2]} for key in keys])
        for r in self._transaction.run(sql.FAN_OUTS, {"run": self._row.id, "visits": visits}):
            fan_out = _fan_out(r)
            self._values[("items", fan_out.task, fan_out.visit)] = fan_out

    def _load_whole(self, kind: str) -> object:
        run, one = self._row.id, self._transaction
        if kind == "parameters":
            text = one.run(sql.PARAMETERS, {"execution": self._row.execution_id})[0][0]
            # The input of a nested run belongs to the run around it, and so does its payload.
            return decode(text, load_payloads(one, self._row.parent or run, [text])) or {}
        if kind == "config":
            rows = one.run(sql.CONFIG, {"pack": self._row.ref.partition(".")[0]})
            return loads(rows[0][0]) if rows else {}
        if kind == "vars":
            rows = one.run(sql.ALL_VARS, {"run": run})
            payloads = load_payloads(one, run, (r[1] for r in rows))
            return {r[0]: decode(r[1], payloads) for r in rows}
        if kind == "open_items":
            return tuple(_fan_out(r) for r in one.run(sql.OPEN_FAN_OUTS, {"run": run}))
        if kind == "matches":
            return tuple(Match(execution_id=r[0], seq=r[1]) for r in one.run(waiting.MATCHES, {"run": run}))
        return tuple(
            JoinRound(task=r[0], round=r[1], arrived=tuple(loads(r[2])), joins=loads(r[3]), spared=bool(r[4]))
            for r in one.run(sql.OPEN_JOINS, {"run": run})
        )


def _fan_out(r: Row) -> FanOut:
    names = [
        "task",
        "visit",
        "total",
        "inserted",
        "next",
        "running",
        "succeeded",
        "failed",
        "timed_out",
        "cancelled",
        "skipped",
        "concurrency",
    ]
    return FanOut(
        **dict(zip(names, r[1:13], strict=True)),
        on_item_failure=r[13],
        lineage=lineage_of(r[14]),
        stopped=bool(r[15]),
        broken=tuple(loads(r[16])),
        error=Failure.from_json(loads(r[17])) if r[17] else None,
        verdict=Failure.from_json(loads(r[18])) if r[18] else None,
    )
