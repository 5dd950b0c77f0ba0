"""The log of events."""

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from protojobs_service.drivers.sql.tables import BYTES, IN_MYSQL

revision = "0005"
down_revision = "0004"

_HOT_STORAGE = (
    "autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=10000, autovacuum_vacuum_cost_delay=0, "
    "autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=20000, autovacuum_vacuum_insert_scale_factor=0.5"
)


def upgrade() -> None:
    """Make the tables of the log. MariaDB commits each statement by itself: what an interrupted run has made is left alone."""
    schema: str | None = context.config.attributes["schema"]
    prefix: str = context.config.attributes["prefix"]

    dialect = op.get_context().dialect
    again: dict[str, Any] = {"if_not_exists": True} if dialect.name == "mysql" else {}

    def table(name: str, *parts: Any) -> None:
        op.create_table(prefix + name, *parts, schema=schema, **(IN_MYSQL | again))

    table(
        "event_slot",
        sa.Column("slot", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )
    table(
        "done_flush",
        sa.Column("slot", sa.SmallInteger, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("ids", BYTES, nullable=False),
        sa.Column("attempts", BYTES),
        sa.Column("changes", BYTES),
        sa.PrimaryKeyConstraint("slot", "seq"),
    )
    if dialect.name == "postgresql":
        quote = dialect.identifier_preparer
        names = (sa.Table(prefix + name, sa.MetaData(), schema=schema) for name in ("event_slot", "done_flush"))
        slots, flushes = map(quote.format_table, names)
        op.execute(f"alter table {slots} set (fillfactor=50, {_HOT_STORAGE})")
        # Ids do not compress: trying it costs more than the rest of the row.
        op.execute(f"alter table {flushes} alter column ids set storage external")
