"""Keys: who has a place of a concurrency key, who waits for one, and where each key of a fair queue stands."""

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from protojobs_service.drivers.sql.tables import IN_MYSQL, JOB_KEY, NAME, Id

revision = "0006"
down_revision = "0005"

_HOT_STORAGE = {
    "autovacuum_vacuum_scale_factor": "0",
    "autovacuum_vacuum_threshold": "10000",
    "autovacuum_vacuum_cost_delay": "0",
    "autovacuum_analyze_scale_factor": "0",
    "autovacuum_analyze_threshold": "20000",
    "autovacuum_vacuum_insert_scale_factor": "0.5",
}
"""As those of the first schema whose rows live for milliseconds."""


def upgrade() -> None:
    """Make the tables of keys. MariaDB commits each statement by itself: what an interrupted run has made is left alone."""
    schema: str | None = context.config.attributes["schema"]
    prefix: str = context.config.attributes["prefix"]

    again: dict[str, Any] = {"if_not_exists": True} if op.get_context().dialect.name == "mysql" else {}

    def table(name: str, *parts: Any, **options: Any) -> None:
        op.create_table(prefix + name, *parts, schema=schema, **(options | IN_MYSQL | again))

    def index(name: str, on: str, columns: list[str]) -> None:
        op.create_index(prefix + name, prefix + on, columns, schema=schema, **again)

    table(
        "held",
        sa.Column("id", Id, primary_key=True),
        sa.Column("queue", NAME, nullable=False),
        sa.Column("key", JOB_KEY, nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("lane", sa.Integer, nullable=False),
        sa.Column("band", sa.SmallInteger, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("failures", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("crashes", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("flags", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("size", sa.Integer, nullable=False),
        postgresql_with=_HOT_STORAGE,
    )
    index("held_turn", "held", ["queue", "key", "turn"])
    index("held_lane", "held", ["lane", "id"])
    table(
        "job_key",
        sa.Column("id", Id, primary_key=True),
        sa.Column("concurrency_key", JOB_KEY),
        sa.Column("fairness_key", JOB_KEY),
    )
    table(
        "key_use",
        sa.Column("queue", NAME, nullable=False),
        sa.Column("key", JOB_KEY, nullable=False),
        sa.Column("used", sa.Integer, nullable=False),
        sa.Column("last_turn", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("queue", "key"),
        postgresql_with=_HOT_STORAGE,
    )
    table(
        "fair_key",
        sa.Column("queue", NAME, nullable=False),
        sa.Column("band", sa.SmallInteger, nullable=False),
        sa.Column("key", JOB_KEY, nullable=False),
        sa.Column("last_tag", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("queue", "band", "key"),
    )
