"""${message}."""

import sqlalchemy as sa
from alembic import context, op

revision = "${up_revision}"
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Expand only: the build before this one must still run on the new schema."""
    ${upgrades if upgrades else "pass"}
