"""Tokens, and the audit log."""

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from protojobs_service.drivers.sql.tables import IN_MYSQL, NAME, PRINCIPAL, TEXT, TOKEN_ID, digest

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make both tables. MariaDB commits each statement by itself: what an interrupted run has made is left alone."""
    schema: str | None = context.config.attributes["schema"]
    prefix: str = context.config.attributes["prefix"]

    again: dict[str, Any] = {"if_not_exists": True} if op.get_context().dialect.name == "mysql" else {}

    def table(name: str, *parts: Any, **options: Any) -> None:
        op.create_table(prefix + name, *parts, schema=schema, **(options | IN_MYSQL | again))

    def index(name: str, on: str, columns: list[str]) -> None:
        op.create_index(prefix + name, prefix + on, columns, schema=schema, **again)

    table(
        "token",
        sa.Column("id", TOKEN_ID, primary_key=True),
        sa.Column("name", NAME, nullable=False),
        sa.Column("secret_hash", digest(32), nullable=False),
        sa.Column("grants", TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", PRINCIPAL, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.Column("parent", TOKEN_ID),
    )
    index("token_name", "token", ["name"])
    index("token_parent", "token", ["parent"])
    index("token_end", "token", ["ends_at"])
    table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("principal", PRINCIPAL, nullable=False),
        sa.Column("via", NAME, nullable=False),
        sa.Column("rpc", NAME, nullable=False),
        sa.Column("target", TEXT, nullable=False),
        sa.Column("outcome", NAME, nullable=False),
        sa.Column("peer", TEXT, nullable=False),
        sa.Column("details", TEXT),
        sqlite_autoincrement=True,
    )
    index("audit_age", "audit", ["at"])
    index("audit_principal", "audit", ["principal", "id"])
    index("audit_rpc", "audit", ["rpc", "id"])
