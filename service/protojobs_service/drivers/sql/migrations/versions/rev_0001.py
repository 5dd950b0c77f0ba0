"""The first schema."""

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from protojobs_service.drivers.sql.tables import BYTES, IN_MYSQL, LABEL_KEY, LABEL_VALUE, NAME, REAL, TEXT, Id, digest

revision = "0001"
down_revision = None

_HOT = ("ready", "running", "due", "counter")
_HOT_STORAGE = (
    "autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=10000, autovacuum_vacuum_cost_delay=0, "
    "autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=20000, autovacuum_vacuum_insert_scale_factor=0.5"
)
"""Rows of these tables live for milliseconds, so a share of the table says nothing about when to vacuum."""


def upgrade() -> None:
    """Make every table. MariaDB commits each statement by itself, so there what an interrupted run has made is left alone."""
    schema: str | None = context.config.attributes["schema"]
    prefix: str = context.config.attributes["prefix"]

    clustered = op.get_context().dialect.name == "mysql"
    again: dict[str, Any] = {"if_not_exists": True} if clustered else {}

    def table(name: str, *parts: Any, **options: Any) -> None:
        op.create_table(prefix + name, *parts, schema=schema, **(options | IN_MYSQL | again))

    def index(name: str, on: str, columns: list[str], **options: Any) -> None:
        op.create_index(prefix + name, prefix + on, columns, schema=schema, **(options | again))

    table(
        "job",
        sa.Column("id", Id, primary_key=True),
        sa.Column("lane", sa.Integer, nullable=False),
        sa.Column("band", sa.SmallInteger, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("retaken_at", sa.BigInteger),
        sa.Column("policy", TEXT),
        sa.Column("spec_hash", digest(16)),
        sa.Column("envelope", BYTES, nullable=False),
        postgresql_partition_by="RANGE (id)",
    )
    table(
        "ready",
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("id", Id, nullable=False),
        *_hot_columns(),
        sa.Column("size", sa.Integer, nullable=False),
        *([sa.PrimaryKeyConstraint("lane", "band", "position", "id")] if clustered else []),
    )
    if not clustered:
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
    rare = ["outcome", "lane", "id"] if clustered else ["lane", "id"]
    index("done_not_completed", "done", rare, postgresql_where=not_completed, sqlite_where=not_completed)
    table(
        "attempt_detail",
        sa.Column("id", Id, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("reason", TEXT),
        sa.Column("error_type", TEXT),
        sa.Column("error_message", TEXT),
        sa.Column("error_stack", TEXT),
        sa.Column("result", BYTES),
        sa.Column("checkpoint", BYTES),
        sa.Column("progress_ratio", REAL),
        sa.Column("progress_message", TEXT),
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
        sa.Column("key", LABEL_KEY, nullable=False),
        sa.Column("value", LABEL_VALUE, nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.PrimaryKeyConstraint("key", "value", "id"),
    )
    index("label_job", "label", ["id"])
    table("parent", sa.Column("id", Id, primary_key=True), sa.Column("parent", Id, nullable=False))
    index("parent_children", "parent", ["parent"])
    table(
        "lane",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("queue", NAME, nullable=False),
        sa.Column("kind", NAME, nullable=False),
        sa.UniqueConstraint("queue", "kind"),
    )
    table(
        "queue",
        sa.Column("name", NAME, primary_key=True),
        sa.Column("paused", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("settings", TEXT, nullable=False, server_default="{}"),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger),
    )
    table(
        "session",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("secret_hash", digest(32), nullable=False, unique=True),
        sa.Column("worker", TEXT, nullable=False),
        sa.Column("sdk", TEXT, nullable=False),
        sa.Column("sdk_version", TEXT, nullable=False),
        sa.Column("queues", TEXT, nullable=False),
        sa.Column("kinds", TEXT, nullable=False),
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
    unary = ["unary", "closed_at", "id"] if clustered else ["id"]
    index("handle_unary", "handle", unary, postgresql_where=open_unary, sqlite_where=open_unary)
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
        sa.Column("replica", TEXT, nullable=False),
        sa.Column("beat_at", sa.BigInteger, nullable=False),
        sa.Column("settings_version", sa.BigInteger, nullable=False, server_default="0"),
    )
    table(
        "fleet",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("settings_version", sa.BigInteger, nullable=False),
        sa.Column("beat_at", sa.BigInteger, nullable=False),
        sa.Column("incarnation", TEXT, nullable=False),
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
