"""The first tables.

Written out and never changed: a later table or column is a migration of its own.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BIGINT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make them."""
    for make in (
        _action,
        _execution,
        _fan_out,
        _history_event,
        _inbox,
        _join_round,
        _pack,
        _payload,
        _queue,
        _registration,
        _task_log,
        _task_state,
        _timer,
        _variable,
        _worker,
        _workflow_execution,
        _workflow_revision,
    ):
        make()


def downgrade() -> None:
    """Take them away."""
    for table in TABLES:
        op.drop_table(table)


TABLES = (
    "action",
    "execution",
    "fan_out",
    "history_event",
    "inbox",
    "join_round",
    "pack",
    "payload",
    "queue",
    "registration",
    "task_log",
    "task_state",
    "timer",
    "variable",
    "worker",
    "workflow_execution",
    "workflow_revision",
)


def _action() -> None:
    op.create_table(
        "action",
        sa.Column("ref", TEXT, nullable=False),
        sa.Column("pack", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("label", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("current_revision", TEXT, nullable=False),
        sa.Column("registered_at", BIGINT, nullable=False),
        sa.PrimaryKeyConstraint("ref"),
    )


def _execution() -> None:
    op.create_table(
        "execution",
        sa.Column("id", BIGINT, autoincrement=True, nullable=False),
        sa.Column("run", BIGINT, nullable=True),
        sa.Column("root", BIGINT, nullable=True),
        sa.Column("task", TEXT, nullable=False),
        sa.Column("visit", sa.Integer(), nullable=False),
        sa.Column("item", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=True),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("outcome", TEXT, nullable=True),
        sa.Column("input", TEXT, nullable=True),
        sa.Column("result", TEXT, nullable=True),
        sa.Column("error", TEXT, nullable=True),
        sa.Column("digest", TEXT, nullable=True),
        sa.Column("queue", TEXT, nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("policy", TEXT, nullable=True),
        sa.Column("lineage", TEXT, nullable=True),
        sa.Column("spared", sa.Boolean(), nullable=False),
        sa.Column("timeout", sa.Float(), nullable=True),
        sa.Column("once", sa.Boolean(), nullable=False),
        sa.Column("lost", sa.Integer(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("nonce", TEXT, nullable=True),
        sa.Column("worker", TEXT, nullable=True),
        sa.Column("lease_until", BIGINT, nullable=True),
        sa.Column("deadline_at", BIGINT, nullable=True),
        sa.Column("due_at", BIGINT, nullable=True),
        sa.Column("sent_at", BIGINT, nullable=True),
        sa.Column("sends", sa.Integer(), nullable=False),
        sa.Column("created_at", BIGINT, nullable=False),
        sa.Column("started_at", BIGINT, nullable=True),
        sa.Column("finished_at", BIGINT, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("run", "task", "visit", "item", name="execution_place"),
    )
    op.create_index(
        "execution_due",
        "execution",
        ["due_at"],
        postgresql_where=sa.text("status IN ('scheduled', 'waiting') AND due_at IS NOT NULL"),
        sqlite_where=sa.text("status IN ('scheduled', 'waiting') AND due_at IS NOT NULL"),
    )
    op.create_index(
        "execution_requested",
        "execution",
        ["created_at"],
        postgresql_where=sa.text("status = 'requested'"),
        sqlite_where=sa.text("status = 'requested'"),
    )
    op.create_index(
        "execution_returned",
        "execution",
        ["run", "finished_at"],
        postgresql_where=sa.text("status = 'returned'"),
        sqlite_where=sa.text("status = 'returned'"),
    )
    op.create_index(
        "execution_running",
        "execution",
        ["lease_until"],
        postgresql_where=sa.text("status = 'running' AND lease_until IS NOT NULL"),
        sqlite_where=sa.text("status = 'running' AND lease_until IS NOT NULL"),
    )


def _fan_out() -> None:
    op.create_table(
        "fan_out",
        sa.Column("run", BIGINT, nullable=False),
        sa.Column("task", TEXT, nullable=False),
        sa.Column("visit", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("inserted", sa.Integer(), nullable=False),
        sa.Column("next", sa.Integer(), nullable=False),
        sa.Column("running", sa.Integer(), nullable=False),
        sa.Column("succeeded", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("timed_out", sa.Integer(), nullable=False),
        sa.Column("cancelled", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("concurrency", sa.Integer(), nullable=True),
        sa.Column("on_item_failure", TEXT, nullable=False),
        sa.Column("lineage", TEXT, nullable=False),
        sa.Column("stopped", sa.Boolean(), nullable=False),
        sa.Column("broken", TEXT, nullable=False),
        sa.Column("error", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("run", "task", "visit"),
    )


def _history_event() -> None:
    op.create_table(
        "history_event",
        sa.Column("run", BIGINT, nullable=False),
        sa.Column("seq", BIGINT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("at", BIGINT, nullable=False),
        sa.Column("task", TEXT, nullable=True),
        sa.Column("visit", sa.Integer(), nullable=True),
        sa.Column("item", sa.Integer(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("status", TEXT, nullable=True),
        sa.Column("data", TEXT, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("run", "seq"),
    )


def _inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("id", BIGINT, autoincrement=True, nullable=False),
        sa.Column("run", BIGINT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("data", TEXT, nullable=False),
        sa.Column("created_at", BIGINT, nullable=False),
        sa.Column("applied_at", BIGINT, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("run", "key", name="inbox_key"),
    )
    op.create_index(
        "inbox_pending",
        "inbox",
        ["run", "id"],
        postgresql_where=sa.text("applied_at IS NULL"),
        sqlite_where=sa.text("applied_at IS NULL"),
    )


def _join_round() -> None:
    op.create_table(
        "join_round",
        sa.Column("run", BIGINT, nullable=False),
        sa.Column("task", TEXT, nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("arrived", TEXT, nullable=False),
        sa.Column("joins", TEXT, nullable=False),
        sa.Column("spared", sa.Boolean(), nullable=False),
        sa.Column("fired", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("run", "task", "round"),
    )


def _pack() -> None:
    op.create_table(
        "pack",
        sa.Column("ref", TEXT, nullable=False),
        sa.Column("label", TEXT, nullable=False),
        sa.Column("version", TEXT, nullable=False),
        sa.Column("config", TEXT, nullable=False),
        sa.Column("tags", TEXT, nullable=False),
        sa.Column("registered_at", BIGINT, nullable=False),
        sa.PrimaryKeyConstraint("ref"),
    )


def _payload() -> None:
    op.create_table(
        "payload",
        sa.Column("run", BIGINT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("run", "digest"),
    )


def _queue() -> None:
    op.create_table(
        "queue",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("claimed_at", BIGINT, nullable=False),
        sa.Column("claimed_sent_at", BIGINT, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _registration() -> None:
    op.create_table(
        "registration",
        sa.Column("id", BIGINT, autoincrement=True, nullable=False),
        sa.Column("ref", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("registered_at", BIGINT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("registration_ref", "registration", ["ref", "id"])


def _task_log() -> None:
    op.create_table(
        "task_log",
        sa.Column("id", BIGINT, autoincrement=True, nullable=False),
        sa.Column("run", BIGINT, nullable=False),
        sa.Column("execution_id", BIGINT, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("stream", TEXT, nullable=False),
        sa.Column("text", TEXT, nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("at", BIGINT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("task_log_execution", "task_log", ["execution_id", "attempt", "id"])


def _task_state() -> None:
    op.create_table(
        "task_state",
        sa.Column("run", BIGINT, nullable=False),
        sa.Column("task", TEXT, nullable=False),
        sa.Column("visits", sa.Integer(), nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("run", "task"),
    )


def _timer() -> None:
    op.create_table(
        "timer",
        sa.Column("run", BIGINT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("root", BIGINT, nullable=True),
        sa.Column("due_at", BIGINT, nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("run", "kind"),
    )
    op.create_index("timer_due", "timer", ["due_at"])


def _variable() -> None:
    op.create_table(
        "variable",
        sa.Column("run", BIGINT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("run", "name"),
    )


def _worker() -> None:
    op.create_table(
        "worker",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("host", TEXT, nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", TEXT, nullable=False),
        sa.Column("queues", TEXT, nullable=False),
        sa.Column("started_at", BIGINT, nullable=False),
        sa.Column("seen_at", BIGINT, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _workflow_execution() -> None:
    op.create_table(
        "workflow_execution",
        sa.Column("id", BIGINT, autoincrement=True, nullable=False),
        sa.Column("run_id", TEXT, nullable=False),
        sa.Column("execution_id", BIGINT, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("root", BIGINT, nullable=True),
        sa.Column("parent", BIGINT, nullable=True),
        sa.Column("root_run_id", TEXT, nullable=True),
        sa.Column("parent_run_id", TEXT, nullable=True),
        sa.Column("ref", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("catalog", BIGINT, nullable=False),
        sa.Column("given", TEXT, nullable=True),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("open", sa.Integer(), nullable=False),
        sa.Column("open_joins", sa.Integer(), nullable=False),
        sa.Column("next_seq", BIGINT, server_default=sa.text("1"), nullable=False),
        sa.Column("closing", TEXT, nullable=True),
        sa.Column("faults", sa.Integer(), nullable=False),
        sa.Column("fault", TEXT, nullable=True),
        sa.Column("retry_at", BIGINT, nullable=True),
        sa.Column("created_at", BIGINT, nullable=False),
        sa.Column("last_at", BIGINT, nullable=False),
        sa.Column("started_at", BIGINT, nullable=True),
        sa.Column("ended_at", BIGINT, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("execution_id", "attempt", name="workflow_execution_attempt"),
        sa.UniqueConstraint("run_id"),
    )
    op.create_index("workflow_execution_created", "workflow_execution", ["created_at"])
    op.create_index(
        "workflow_execution_open",
        "workflow_execution",
        ["last_at"],
        postgresql_where=sa.text("ended_at IS NULL"),
        sqlite_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("workflow_execution_root", "workflow_execution", ["root"])


def _workflow_revision() -> None:
    op.create_table(
        "workflow_revision",
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("ref", TEXT, nullable=False),
        sa.Column("definition", TEXT, nullable=False),
        sa.Column("created_at", BIGINT, nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
