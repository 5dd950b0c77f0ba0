"""The first schema."""

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from protojobs_service.drivers.sql.tables import Id

revision = "0001"
down_revision = None

_HOT = ("ready", "running", "due", "counter")
_HOT_STORAGE = (
    "autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=10000, autovacuum_vacuum_cost_delay=0, "
    "autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=20000, autovacuum_vacuum_insert_scale_factor=0.5"
)
"""Rows of these tables live for milliseconds, so a share of the table says nothing about when to vacuum."""


def upgrade() -> None:
    """Make every table."""
    schema: str | None = context.config.attributes["schema"]
    prefix: str = context.config.attributes["prefix"]

    def table(name: str, *parts: Any, **options: Any) -> None:
        op.create_table(prefix + name, *parts, schema=schema, **options)

    def index(name: str, on: str, columns: list[str], **options: Any) -> None:
        op.create_index(prefix + name, prefix + on, columns, schema=schema, **options)

    table(
        "job",
        sa.Column("id", Id, primary_key=True),
        sa.Column("lane", sa.Integer, nullable=False),
        sa.Column("band", sa.SmallInteger, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("retaken_at", sa.BigInteger),
        sa.Column("policy", sa.Text),
        sa.Column("spec_hash", sa.LargeBinary(16)),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
        postgresql_partition_by="RANGE (id)",
    )
    table(
        "ready",
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("id", Id, nullable=False),
        *_hot_columns(),
        sa.Column("size", sa.Integer, nullable=False),
    )
    index("ready_order", "ready", ["lane", "band", "position"])
    table(
        "running",
        sa.Column("id", Id, primary_key=True),
        sa.Column("handle", sa.Integer, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        *_hot_columns(),
    )
    index("running_handle", "running", ["handle"])
    table(
        "due",
        sa.Column("id", Id, primary_key=True),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        *_hot_columns(),
        sa.Column("size", sa.Integer, nullable=False),
    )
    index("due_order", "due", ["due_at", "id"])
    table(
        "done",
        sa.Column("id", Id, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("lane", sa.Integer, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger, nullable=False),
        sa.Column("handle", sa.Integer, nullable=False, server_default="0"),
        sa.Column("outcome", sa.SmallInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", "attempt"),
        postgresql_partition_by="RANGE (id)",
    )
    not_completed = sa.text("outcome != 1")
    index("done_not_completed", "done", ["lane", "id"], postgresql_where=not_completed, sqlite_where=not_completed)
    table(
        "attempt_detail",
        sa.Column("id", Id, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("error_type", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("error_stack", sa.Text),
        sa.Column("result", sa.LargeBinary),
        sa.Column("checkpoint", sa.LargeBinary),
        sa.Column("progress_ratio", sa.Float),
        sa.Column("progress_message", sa.Text),
        sa.Column("progress_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", "attempt"),
    )
    table("deadline", sa.Column("id", Id, primary_key=True), sa.Column("expire_at", sa.BigInteger, nullable=False))
    index("deadline_order", "deadline", ["expire_at", "id"])
    table(
        "cancel_request",
        sa.Column("id", Id, primary_key=True),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("deadline_at", sa.BigInteger, nullable=False),
    )
    table(
        "label",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.PrimaryKeyConstraint("key", "value", "id"),
    )
    index("label_job", "label", ["id"])
    table("parent", sa.Column("id", Id, primary_key=True), sa.Column("parent", Id, nullable=False))
    index("parent_children", "parent", ["parent"])
    table(
        "lane",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.UniqueConstraint("queue", "kind"),
    )
    table(
        "queue",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("paused", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("settings", sa.Text, nullable=False, server_default="{}"),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger),
    )
    table(
        "session",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("secret_hash", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("sdk", sa.Text, nullable=False),
        sa.Column("sdk_version", sa.Text, nullable=False),
        sa.Column("queues", sa.Text, nullable=False),
        sa.Column("kinds", sa.Text, nullable=False),
        sa.Column("slots", sa.Integer, nullable=False),
        sa.Column("ttl", sa.BigInteger, nullable=False),
        sa.Column("stream_no", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("heartbeat_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("drain_at", sa.BigInteger),
        sa.Column("closed_at", sa.BigInteger),
    )
    index("session_expiry", "session", ["expires_at"], postgresql_where=sa.text("closed_at IS NULL"))
    table(
        "handle",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("session", sa.Integer, nullable=False),
        sa.Column("unary", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("closed_at", sa.BigInteger),
    )
    index("handle_session", "handle", ["session"])
    index("handle_closed", "handle", ["closed_at"])
    open_unary = sa.text("unary = 1 AND closed_at IS NULL")
    index("handle_unary", "handle", ["id"], postgresql_where=open_unary, sqlite_where=open_unary)
    table(
        "counter",
        sa.Column("lane", sa.Integer, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("slot", sa.SmallInteger, nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("lane", "state", "slot"),
    )
    table(
        "stat_minute",
        sa.Column("minute", sa.BigInteger, nullable=False),
        sa.Column("lane", sa.Integer, nullable=False),
        sa.Column("slot", sa.SmallInteger, nullable=False),
        sa.Column("failed", sa.SmallInteger, nullable=False),
        sa.Column("bucket", sa.SmallInteger, nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("run_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("minute", "lane", "slot", "failed", "bucket"),
    )
    table(
        "replica",
        sa.Column("slot", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("replica", sa.Text, nullable=False),
        sa.Column("beat_at", sa.BigInteger, nullable=False),
        sa.Column("settings_version", sa.BigInteger, nullable=False, server_default="0"),
    )
    table(
        "fleet",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("settings_version", sa.BigInteger, nullable=False),
        sa.Column("beat_at", sa.BigInteger, nullable=False),
        sa.Column("incarnation", sa.Text, nullable=False),
    )
    if op.get_context().dialect.name == "postgresql":
        quote = op.get_context().dialect.identifier_preparer
        for name in _HOT:
            full = quote.format_table(sa.Table(prefix + name, sa.MetaData(), schema=schema))
            # A counter row is updated by every flush: with half a page free the update stays on it and touches no index.
            fill = "fillfactor=50, " if name == "counter" else ""
            op.execute(f"ALTER TABLE {full} SET ({fill}{_HOT_STORAGE})")


def _hot_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("lane", sa.Integer, nullable=False),
        sa.Column("band", sa.SmallInteger, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("failures", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("crashes", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("flags", sa.SmallInteger, nullable=False, server_default="0"),
    ]
