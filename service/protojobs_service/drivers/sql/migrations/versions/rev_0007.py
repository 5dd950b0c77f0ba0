"""How long results are kept."""

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from protojobs_service.drivers.sql.tables import IN_MYSQL, Id

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table of result retentions. MariaDB commits each statement by itself: what an interrupted run has made is left."""
    schema: str | None = context.config.attributes["schema"]
    prefix: str = context.config.attributes["prefix"]

    again: dict[str, Any] = {"if_not_exists": True} if op.get_context().dialect.name == "mysql" else {}
    op.create_table(
        prefix + "result_limit",
        sa.Column("id", Id, primary_key=True),
        sa.Column("kept", sa.BigInteger, nullable=False),
        schema=schema,
        **(IN_MYSQL | again),
    )
