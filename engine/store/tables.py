"""The tables: SQLModel classes, the schema's one source (migrations are made from them).

They are for reading, for migrations and for the commands of people. A step of a run goes through the fixed
statements of `statements.py` on the same tables.

Conventions
    * ids are bigint; a run is named by the id of its `workflow_execution` row (`run`), people use its `run_id`;
    * times are integers: microseconds since 1970 in UTC, taken from one clock (`Database.now`). The same on every
      database, compared without time zones;
    * JSON is text, written and read by `codec.py`; a text that begins with ``@`` names a row of `payload`;
    * no foreign keys to the run's row: they would make each completion wait for the run's lock.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Text, UniqueConstraint, false, text
from sqlmodel import Field, SQLModel

#: SQLite gives ids by itself only to INTEGER keys.
BIGINT = BigInteger().with_variant(Integer(), "sqlite")


def _id() -> Column[int]:
    return Column("id", BIGINT, primary_key=True, autoincrement=True)


def _big(*, nullable: bool = True, key: bool = False, default: int | None = None) -> Column[int]:
    server_default = None if default is None else text(str(default))
    return Column(BIGINT, nullable=nullable and not key, primary_key=key, server_default=server_default)


def _text(*, nullable: bool = True, key: bool = False) -> Column[str]:
    # "C": names compare bytewise, on every database and whatever the locale.
    return Column(
        Text().with_variant(Text(collation="C"), "postgresql"), nullable=nullable and not key, primary_key=key
    )


class PackRow(SQLModel, table=True):
    """A pack as it was last registered."""

    __tablename__ = "pack"

    ref: str = Field(sa_column=_text(key=True))
    label: str = Field(sa_column=_text(nullable=False))
    version: str = Field(sa_column=_text(nullable=False))
    config: str = Field(sa_column=_text(nullable=False))
    tags: str = Field(sa_column=_text(nullable=False))
    registered_at: int = Field(sa_column=_big(nullable=False))


class ActionRow(SQLModel, table=True):
    """What a ref means now: moved only by registration, never by a worker."""

    __tablename__ = "action"

    ref: str = Field(sa_column=_text(key=True))
    pack: str = Field(sa_column=_text(nullable=False))
    #: worker | actor | wait | workflow
    kind: str = Field(sa_column=_text(nullable=False))
    label: str = Field(sa_column=_text(nullable=False))
    description: str = Field(sa_column=_text(nullable=False))
    enabled: bool = True
    current_revision: str = Field(sa_column=_text(nullable=False))
    registered_at: int = Field(sa_column=_big(nullable=False))


class WorkflowRevision(SQLModel, table=True):
    """One definition, of a workflow or of another action: immutable, keyed by the hash of its content."""

    __tablename__ = "workflow_revision"

    digest: str = Field(sa_column=_text(key=True))
    ref: str = Field(sa_column=_text(nullable=False))
    definition: str = Field(sa_column=_text(nullable=False))
    created_at: int = Field(sa_column=_big(nullable=False))


class Registration(SQLModel, table=True):
    """When a ref began to mean a revision: the log by which a run sees the catalog as it was at its start.

    A run notes the highest id; what a ref means to it is the latest registration up to that id.
    """

    __tablename__ = "registration"
    __table_args__ = (Index("registration_ref", "ref", "id"),)

    id: int | None = Field(default=None, sa_column=_id())
    ref: str = Field(sa_column=_text(nullable=False))
    digest: str = Field(sa_column=_text(nullable=False))
    registered_at: int = Field(sa_column=_big(nullable=False))


_OPEN = text("status IN ('scheduled', 'waiting') AND due_at IS NOT NULL")


_LIMITED = text("status = 'requested' AND schedule_timeout IS NOT NULL")
_SIGNAL = text("status = 'waiting' AND awaits = 'signal'")


class Execution(SQLModel, table=True):
    """One request to run an action: of a run's task, visit and item, or of the outermost run itself.

    It is its own outbox (`requested`, `sent_at` null) and, as `returned`, the interpreter's inbox of completions.
    """

    __tablename__ = "execution"
    __table_args__ = (
        UniqueConstraint("run", "task", "visit", "item", name="execution_place"),
        Index("execution_due", "due_at", postgresql_where=_OPEN, sqlite_where=_OPEN),
        Index(
            "execution_requested",
            "created_at",
            postgresql_where=text("status = 'requested'"),
            sqlite_where=text("status = 'requested'"),
        ),
        Index(
            "execution_running",
            "lease_until",
            postgresql_where=text("status = 'running' AND lease_until IS NOT NULL"),
            sqlite_where=text("status = 'running' AND lease_until IS NOT NULL"),
        ),
        Index(
            "execution_unstarted",
            "created_at",
            postgresql_where=_LIMITED,
            sqlite_where=_LIMITED,
        ),
        Index("execution_signal", "run", "signal", "id", postgresql_where=_SIGNAL, sqlite_where=_SIGNAL),
        Index(
            "execution_returned",
            "run",
            "finished_at",
            postgresql_where=text("status = 'returned'"),
            sqlite_where=text("status = 'returned'"),
        ),
    )

    id: int | None = Field(default=None, sa_column=_id())
    #: The run whose task this is; null for the execution that an outermost run is.
    run: int | None = Field(default=None, sa_column=_big())
    #: The outermost run; null for the execution that it is.
    root: int | None = Field(default=None, sa_column=_big())
    task: str = Field(sa_column=_text(nullable=False))
    visit: int = Field(default=1)
    #: -1 where it is no item.
    item: int = Field(default=-1)
    attempt: int = Field(default=1)
    #: worker | actor | wait | engine | workflow | fanout | parallel | junction
    kind: str = Field(sa_column=_text(nullable=False))
    action: str | None = Field(default=None, sa_column=_text())
    #: scheduled | requested | waiting | running | returned, or an outcome.
    status: str = Field(sa_column=_text(nullable=False))
    #: While `returned`: how the attempt ended (an outcome, `lost`, `due` or `unstarted`).
    outcome: str | None = Field(default=None, sa_column=_text())
    input: str | None = Field(default=None, sa_column=_text())
    result: str | None = Field(default=None, sa_column=_text())
    error: str | None = Field(default=None, sa_column=_text())
    #: Revision, for a nested run.
    digest: str | None = Field(default=None, sa_column=_text())
    queue: str = Field(sa_column=_text(nullable=False))
    priority: int = Field(default=0)
    policy: str | None = Field(default=None, sa_column=_text())
    lineage: str | None = Field(default=None, sa_column=_text())
    spared: bool = False
    #: Seconds, start to close, each attempt.
    timeout: float | None = None
    #: An attempt must not be made twice: its claim waits for the disk.
    once: bool = False
    #: Attempts whose worker died.
    lost: int = 0
    cancel_requested: bool = False
    #: JSON error: what was decided of it while it runs; it ends so, whatever it reports.
    verdict: str | None = Field(default=None, sa_column=_text())
    #: It ended badly, nobody handled that, and it waits for a person.
    parked: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=false()))
    #: What it waits for while `waiting`: signal | answer | completion; null: only for its time.
    awaits: str | None = Field(default=None, sa_column=_text())
    signal: str | None = Field(default=None, sa_column=_text())
    #: Seconds from `created_at` in which a worker must take it, and between two heartbeats.
    schedule_timeout: float | None = None
    heartbeat_timeout: float | None = None
    #: What the last heartbeat said (JSON), for the next attempt.
    heartbeat: str | None = Field(default=None, sa_column=_text())
    #: How far the attempt says it is: 0 to 1, and in words.
    progress: float | None = None
    progress_message: str | None = Field(default=None, sa_column=_text())
    #: Made at each claim; renewal and completion compare it, so that a late or doubled one is refused.
    nonce: str | None = Field(default=None, sa_column=_text())
    worker: str | None = Field(default=None, sa_column=_text())
    lease_until: int | None = Field(default=None, sa_column=_big())
    #: When the worker should have ended the attempt by itself.
    deadline_at: int | None = Field(default=None, sa_column=_big())
    due_at: int | None = Field(default=None, sa_column=_big())
    sent_at: int | None = Field(default=None, sa_column=_big())
    #: How often it was sent.
    sends: int = 0
    created_at: int = Field(sa_column=_big(nullable=False))
    started_at: int | None = Field(default=None, sa_column=_big())
    finished_at: int | None = Field(default=None, sa_column=_big())


class WorkflowExecution(SQLModel, table=True):
    """A run: the small, often written part of it. What it was given and gave is in its execution."""

    __tablename__ = "workflow_execution"
    __table_args__ = (
        UniqueConstraint("execution_id", "attempt", name="workflow_execution_attempt"),
        Index(
            "workflow_execution_open",
            "last_at",
            postgresql_where=text("ended_at IS NULL"),
            sqlite_where=text("ended_at IS NULL"),
        ),
        Index("workflow_execution_created", "created_at"),
        Index("workflow_execution_root", "root"),
    )

    id: int | None = Field(default=None, sa_column=_id())
    #: The caller's id, or a UUIDv7.
    run_id: str = Field(
        sa_column=Column(Text().with_variant(Text(collation="C"), "postgresql"), nullable=False, unique=True)
    )
    execution_id: int = Field(sa_column=_big(nullable=False))
    #: Of the execution: a nested run that is retried is another run.
    attempt: int = 1
    #: The outermost run and the one around this one; null for an outermost run.
    root: int | None = Field(default=None, sa_column=_big())
    parent: int | None = Field(default=None, sa_column=_big())
    root_run_id: str | None = Field(default=None, sa_column=_text())
    parent_run_id: str | None = Field(default=None, sa_column=_text())
    ref: str = Field(sa_column=_text(nullable=False))
    digest: str = Field(sa_column=_text(nullable=False))
    #: Highest registration that the run sees.
    catalog: int = Field(sa_column=_big(nullable=False))
    #: Hash of the parameters as given: another start with the same id must have the same ones.
    given: str | None = Field(default=None, sa_column=_text())
    status: str = Field(sa_column=_text(nullable=False))
    open: int = 0
    open_joins: int = 0
    #: Failures that wait for a person.
    parked: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    next_seq: int = Field(default=1, sa_column=_big(nullable=False, default=1))
    #: JSON {status, error}: how it will end, once that is decided.
    closing: str | None = Field(default=None, sa_column=_text())
    #: Advances that raised since the last good one, what the last one raised, and when to try again.
    faults: int = 0
    fault: str | None = Field(default=None, sa_column=_text())
    retry_at: int | None = Field(default=None, sa_column=_big())
    created_at: int = Field(sa_column=_big(nullable=False))
    #: Of the latest event.
    last_at: int = Field(sa_column=_big(nullable=False))
    started_at: int | None = Field(default=None, sa_column=_big())
    ended_at: int | None = Field(default=None, sa_column=_big())


class Variable(SQLModel, table=True):
    """A variable of a run."""

    __tablename__ = "variable"

    run: int = Field(sa_column=_big(key=True))
    name: str = Field(sa_column=_text(key=True))
    value: str = Field(sa_column=_text(nullable=False))


class TaskStateRow(SQLModel, table=True):
    """One task of a run: how often it was visited and how the latest visit stands."""

    __tablename__ = "task_state"

    run: int = Field(sa_column=_big(key=True))
    task: str = Field(sa_column=_text(key=True))
    visits: int = 0
    status: str = Field(sa_column=_text(nullable=False))
    attempts: int = 0


class JoinRoundRow(SQLModel, table=True):
    """One round of one join: who has arrived."""

    __tablename__ = "join_round"

    run: int = Field(sa_column=_big(key=True))
    task: str = Field(sa_column=_text(key=True))
    round: int = Field(sa_column=Column(Integer, primary_key=True))
    arrived: str = Field(sa_column=_text(nullable=False))
    joins: str = Field(sa_column=_text(nullable=False))
    spared: bool = False
    fired: bool = False


class FanOutRow(SQLModel, table=True):
    """One visit of a task with items, or of a parallel one: counts, never the items."""

    __tablename__ = "fan_out"

    run: int = Field(sa_column=_big(key=True))
    task: str = Field(sa_column=_text(key=True))
    visit: int = Field(sa_column=Column(Integer, primary_key=True))
    total: int = 0
    inserted: int = 0
    next: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    timed_out: int = 0
    cancelled: int = 0
    skipped: int = 0
    concurrency: int | None = None
    on_item_failure: str = Field(sa_column=_text(nullable=False))
    lineage: str = Field(sa_column=_text(nullable=False))
    stopped: bool = False
    #: JSON list: items outside the window that ended when they were inserted.
    broken: str = Field(sa_column=_text(nullable=False))
    #: Of the first item that did not succeed.
    error: str | None = Field(default=None, sa_column=_text())
    #: Its time is over: the error that it will end with.
    verdict: str | None = Field(default=None, sa_column=_text())


class InboxRow(SQLModel, table=True):
    """What reaches a run from outside, and what it left for itself to go on with. Kept until the run ends."""

    __tablename__ = "inbox"
    __table_args__ = (
        UniqueConstraint("run", "key", name="inbox_key"),
        Index(
            "inbox_pending",
            "run",
            "id",
            postgresql_where=text("applied_at IS NULL"),
            sqlite_where=text("applied_at IS NULL"),
        ),
    )

    id: int | None = Field(default=None, sa_column=_id())
    run: int = Field(sa_column=_big(nullable=False))
    #: Made by the sender: sending twice does nothing.
    key: str = Field(sa_column=_text(nullable=False))
    #: cancel | terminate | abandon | deadline | signal | match | resolve | continue
    kind: str = Field(sa_column=_text(nullable=False))
    data: str = Field(sa_column=_text(nullable=False))
    created_at: int = Field(sa_column=_big(nullable=False))
    applied_at: int | None = Field(default=None, sa_column=_big())


class HistoryEvent(SQLModel, table=True):
    """One fact: append only."""

    __tablename__ = "history_event"

    run: int = Field(sa_column=_big(key=True))
    seq: int = Field(sa_column=_big(key=True))
    type: str = Field(sa_column=_text(nullable=False))
    at: int = Field(sa_column=_big(nullable=False))
    task: str | None = Field(default=None, sa_column=_text())
    visit: int | None = None
    item: int | None = None
    attempt: int | None = None
    status: str | None = Field(default=None, sa_column=_text())
    data: str | None = Field(default=None, sa_column=_text())
    version: int = 1


class TaskLog(SQLModel, table=True):
    """Output of an attempt, in chunks."""

    __tablename__ = "task_log"
    __table_args__ = (Index("task_log_execution", "execution_id", "attempt", "id"),)

    id: int | None = Field(default=None, sa_column=_id())
    run: int = Field(sa_column=_big(nullable=False))
    execution_id: int = Field(sa_column=_big(nullable=False))
    attempt: int = 1
    #: stdout | stderr | log
    stream: str = Field(sa_column=_text(nullable=False))
    text: str = Field(sa_column=_text(nullable=False))
    truncated: bool = False
    at: int = Field(sa_column=_big(nullable=False))


class Timer(SQLModel, table=True):
    """A deadline of a run, or of a visit of one of its tasks."""

    __tablename__ = "timer"
    __table_args__ = (Index("timer_due", "due_at"),)

    run: int = Field(sa_column=_big(key=True))
    #: run | start_to_close (of the task that the run is nested in, or of a parallel task) | schedule_to_close
    kind: str = Field(sa_column=_text(key=True))
    #: Empty and 0: the run's own.
    task: str = Field(default="", sa_column=_text(key=True))
    visit: int = Field(default=0, sa_column=Column(Integer, primary_key=True))
    root: int | None = Field(default=None, sa_column=_big())
    due_at: int = Field(sa_column=_big(nullable=False))
    seconds: float = 0.0


class SignalRow(SQLModel, table=True):
    """A signal that has come and that no task has waited for yet."""

    __tablename__ = "signal"
    __table_args__ = (Index("signal_name", "run", "name", "seq"),)

    run: int = Field(sa_column=_big(key=True))
    #: Of its `signal_received` in the history.
    seq: int = Field(sa_column=_big(key=True))
    name: str = Field(sa_column=_text(nullable=False))
    payload: str = Field(sa_column=_text(nullable=False))


class Payload(SQLModel, table=True):
    """A large value, stored once a run and referenced by its hash."""

    __tablename__ = "payload"

    run: int = Field(sa_column=_big(key=True))
    digest: str = Field(sa_column=_text(key=True))
    body: str = Field(sa_column=_text(nullable=False))


class QueueRow(SQLModel, table=True):
    """How far a queue has got: whether a message that was sent and not claimed is lost, or only waits its turn."""

    __tablename__ = "queue"

    name: str = Field(sa_column=_text(key=True))
    #: When something of it was last claimed, and the latest `sent_at` of what was claimed.
    claimed_at: int = Field(sa_column=_big(nullable=False))
    claimed_sent_at: int = Field(sa_column=_big(nullable=False))


class WorkerRow(SQLModel, table=True):
    """A worker process, for people and for finding out who has died."""

    __tablename__ = "worker"

    name: str = Field(sa_column=_text(key=True))
    host: str = Field(sa_column=_text(nullable=False))
    pid: int = 0
    version: str = Field(sa_column=_text(nullable=False))
    #: Comma separated; empty: all.
    queues: str = Field(sa_column=_text(nullable=False))
    started_at: int = Field(sa_column=_big(nullable=False))
    seen_at: int = Field(sa_column=_big(nullable=False))


class SecretRow(SQLModel, table=True):
    """A secret of the keystore; only workers open it."""

    __tablename__ = "secret"

    name: str = Field(sa_column=_text(key=True))
    #: By the vault.
    sealed: str = Field(sa_column=_text(nullable=False))
    created_at: int = Field(sa_column=_big(nullable=False))
    updated_at: int = Field(sa_column=_big(nullable=False))
