"""Which builds may serve from a schema that is newer than theirs."""

import sqlalchemy as sa
from alembic import context, op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Let the version say from which revision on builds may serve. A revision that takes something away raises it.

    On MariaDB a column that an interrupted run has made is left alone.
    """
    schema: str | None = context.config.attributes["schema"]
    name: str = context.config.attributes["version_table"]
    if "serves_from" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns(name, schema=schema)}:
        op.add_column(name, sa.Column("serves_from", sa.String(32)), schema=schema)
    version = sa.table(name, sa.column("serves_from"), schema=schema)
    op.execute(version.update().values(serves_from=down_revision))
