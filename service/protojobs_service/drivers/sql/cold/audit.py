"""The audit log as rows: written once, never changed, dropped by age."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, select

from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, insert_all, micros, moment
from protojobs_service.port.access import AuditQuery, AuditRecord, NewAuditRecord


def append_records(c: Connection, cold: Cold, records: Sequence[NewAuditRecord]) -> None:
    """Store records at the store's now."""
    now = cold.clock(c)
    rows = [
        {
            "at": now,
            "principal": each.principal,
            "via": each.via,
            "rpc": each.rpc,
            "target": each.target,
            "outcome": each.outcome,
            "peer": each.peer,
            "details": json.dumps(dict(each.details), ensure_ascii=False) if each.details else None,
        }
        for each in records
    ]
    insert_all(c, cold.tables.audit, rows)


def list_records(c: Connection, cold: Cold, query: AuditQuery) -> list[AuditRecord]:
    """Return records, newest first."""
    table = cold.tables.audit
    statement = select(table).order_by(table.c.id.desc()).limit(query.limit)
    if query.before is not None:
        statement = statement.where(table.c.id < query.before)
    if query.principal:
        statement = statement.where(table.c.principal == query.principal)
    if query.rpc:
        statement = statement.where(table.c.rpc == query.rpc)
    if query.since is not None:
        statement = statement.where(table.c.at >= micros(query.since))
    if query.until is not None:
        statement = statement.where(table.c.at < micros(query.until))
    return [_to_record(row) for row in c.execute(statement)]


def forget_records(c: Connection, cold: Cold, kept_us: int, limit: int) -> int:
    """Drop at most `limit` of the oldest records that are older than `kept_us`."""
    table = cold.tables.audit
    before = cold.clock(c) - kept_us
    old = select(table.c.id).where(table.c.at < before).order_by(table.c.at, table.c.id).limit(limit)
    ids = sorted(c.execute(old).scalars())
    return sum(c.execute(delete(table).where(among(table.c.id, some))).rowcount for some in chunks(ids))


def _to_record(row: Any) -> AuditRecord:
    record = NewAuditRecord(
        principal=row.principal,
        via=row.via,
        rpc=row.rpc,
        target=row.target,
        outcome=row.outcome,
        peer=row.peer,
        details=json.loads(row.details) if row.details else {},
    )
    return AuditRecord(id=row.id, at=moment(row.at), record=record)
