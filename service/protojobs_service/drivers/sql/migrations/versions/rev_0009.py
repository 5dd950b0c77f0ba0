"""Side notes."""

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from protojobs_service.drivers.sql.tables import BYTES, IN_MYSQL, SIDE_NAME

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the table of side notes. MariaDB commits each statement by itself: what an interrupted run has made is left alone."""
    schema: str | None = context.config.attributes["schema"]
    prefix: str = context.config.attributes["prefix"]

    again: dict[str, Any] = {"if_not_exists": True} if op.get_context().dialect.name == "mysql" else {}
    op.create_table(
        prefix + "side_note",
        sa.Column("name", SIDE_NAME, primary_key=True),
        sa.Column("value", BYTES, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        schema=schema,
        **(IN_MYSQL | again),
    )
