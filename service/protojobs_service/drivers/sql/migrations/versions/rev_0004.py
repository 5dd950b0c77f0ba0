"""Unique keys."""

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from protojobs_service.drivers.sql.tables import IN_MYSQL, LABEL_VALUE, NAME, Id

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table of unique keys. MariaDB commits each statement by itself: what an interrupted run has made is left alone."""
    schema: str | None = context.config.attributes["schema"]
    prefix: str = context.config.attributes["prefix"]

    again: dict[str, Any] = {"if_not_exists": True} if op.get_context().dialect.name == "mysql" else {}

    def index(name: str, columns: list[str], *, unique: bool = False) -> None:
        op.create_index(prefix + name, prefix + "unique_key", columns, unique=unique, schema=schema, **again)

    op.create_table(
        prefix + "unique_key",
        sa.Column("id", Id, primary_key=True),
        sa.Column("queue", NAME, nullable=False),
        sa.Column("key", LABEL_VALUE, nullable=False),
        sa.Column("scope", sa.SmallInteger, nullable=False),
        sa.Column("until", sa.BigInteger),
        schema=schema,
        **(IN_MYSQL | again),
    )
    index("unique_key_place", ["queue", "key"], unique=True)
    index("unique_key_until", ["until"])
