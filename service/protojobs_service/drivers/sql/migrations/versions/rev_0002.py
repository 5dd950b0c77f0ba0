"""Schedules and their ticks."""

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from protojobs_service.drivers.sql.tables import BYTES, IN_MYSQL, NAME, TEXT, Id

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables of schedules. MariaDB commits each statement by itself: what an interrupted run has made is left alone."""
    schema: str | None = context.config.attributes["schema"]
    prefix: str = context.config.attributes["prefix"]

    again: dict[str, Any] = {"if_not_exists": True} if op.get_context().dialect.name == "mysql" else {}

    def table(name: str, *parts: Any) -> None:
        op.create_table(prefix + name, *parts, schema=schema, **(IN_MYSQL | again))

    def index(name: str, on: str, columns: list[str]) -> None:
        op.create_index(prefix + name, prefix + on, columns, schema=schema, **again)

    table(
        "schedule",
        sa.Column("name", NAME, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("queue", NAME, nullable=False),
        sa.Column("kind", NAME, nullable=False),
        sa.Column("spec", TEXT, nullable=False),
        sa.Column("template", BYTES, nullable=False),
        sa.Column("catchup_mode", sa.SmallInteger, nullable=False),
        sa.Column("catchup_most", sa.Integer, nullable=False),
        sa.Column("catchup_window", sa.BigInteger, nullable=False),
        sa.Column("overlap", sa.SmallInteger, nullable=False),
        sa.Column("paused", sa.SmallInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("next_at", sa.BigInteger),
        sa.Column("buffered_at", sa.BigInteger),
        sa.Column("wake_at", sa.BigInteger),
        sa.Column("last_at", sa.BigInteger),
        sa.Column("last_job", Id),
    )
    index("schedule_wake", "schedule", ["wake_at", "name"])
    table(
        "tick",
        sa.Column("schedule", NAME, nullable=False),
        sa.Column("tick_at", sa.BigInteger, nullable=False),
        sa.Column("job", Id, nullable=False),
        sa.PrimaryKeyConstraint("schedule", "tick_at"),
    )
    index("tick_age", "tick", ["tick_at"])
