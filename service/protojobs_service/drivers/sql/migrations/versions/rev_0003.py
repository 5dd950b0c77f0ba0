"""What limits of queues lock and count: their buckets of tokens."""

import sqlalchemy as sa
from alembic import context, op
from protojobs_service.drivers.sql.tables import IN_MYSQL, NAME

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table. On MariaDB one that an interrupted run has made is left alone."""
    schema: str | None = context.config.attributes["schema"]
    prefix: str = context.config.attributes["prefix"]
    options = IN_MYSQL | ({"if_not_exists": True} if op.get_context().dialect.name == "mysql" else {})
    op.create_table(
        f"{prefix}queue_use",
        sa.Column("queue", NAME, primary_key=True),
        sa.Column("tokens", sa.BigInteger),
        sa.Column("filled_at", sa.BigInteger),
        schema=schema,
        **options,
    )
