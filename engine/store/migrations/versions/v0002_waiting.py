"""What waits for signals, answers, completions and people; deadlines of visits; heartbeats and progress."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BIGINT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

#: Columns of `execution` that may be empty.
EXECUTION: dict[str, sa.types.TypeEngine[Any]] = {
    "verdict": TEXT,
    "awaits": TEXT,
    "signal": TEXT,
    "schedule_timeout": sa.Float(),
    "heartbeat_timeout": sa.Float(),
    "heartbeat": TEXT,
    "progress": sa.Float(),
    "progress_message": TEXT,
}


def upgrade() -> None:
    """Add them."""
    for name, kind in EXECUTION.items():
        op.add_column("execution", sa.Column(name, kind, nullable=True))
    op.add_column("execution", sa.Column("parked", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column(
        "workflow_execution", sa.Column("parked", sa.Integer(), nullable=False, server_default=sa.text("0"))
    )
    op.add_column("fan_out", sa.Column("verdict", TEXT, nullable=True))
    _index("execution_unstarted", ["created_at"], "status = 'requested' AND schedule_timeout IS NOT NULL")
    _index("execution_signal", ["run", "signal", "id"], "status = 'waiting' AND awaits = 'signal'")
    op.create_table(
        "signal",
        sa.Column("run", BIGINT, nullable=False),
        sa.Column("seq", BIGINT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("payload", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("run", "seq"),
    )
    op.create_index("signal_name", "signal", ["run", "name", "seq"])
    _replace_timer(
        [
            sa.Column("task", TEXT, nullable=False),
            sa.Column("visit", sa.Integer(), nullable=False),
        ],
        key=("run", "kind", "task", "visit"),
        copied="SELECT run, kind, root, due_at, seconds, '', 0 FROM timer_before",
    )


def downgrade() -> None:
    """Take them away."""
    _replace_timer(
        [],
        key=("run", "kind"),
        copied="SELECT run, kind, root, due_at, seconds FROM timer_before WHERE task = ''",
    )
    op.drop_table("signal")
    op.drop_index("execution_signal", "execution")
    op.drop_index("execution_unstarted", "execution")
    op.drop_column("fan_out", "verdict")
    op.drop_column("workflow_execution", "parked")
    for name in ("parked", *EXECUTION):
        op.drop_column("execution", name)


def _index(name: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "execution", columns, postgresql_where=where, sqlite_where=where)


def _replace_timer(more: list[sa.Column[object]], *, key: tuple[str, ...], copied: str) -> None:
    """Make the table anew: SQLite cannot change a primary key."""
    op.drop_index("timer_due", "timer")
    op.rename_table("timer", "timer_before")
    op.create_table(
        "timer",
        sa.Column("run", BIGINT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("root", BIGINT, nullable=True),
        sa.Column("due_at", BIGINT, nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        *more,
        sa.PrimaryKeyConstraint(*key, name="timer_key"),
    )
    names = ", ".join(["run", "kind", "root", "due_at", "seconds", *(column.name for column in more)])
    op.execute(f"INSERT INTO timer ({names}) {copied}")
    op.drop_table("timer_before")
    op.create_index("timer_due", "timer", ["due_at"])
