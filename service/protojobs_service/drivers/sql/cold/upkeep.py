"""Cleaning up: numbers and sessions that nothing asks for any more."""

from sqlalchemy import Connection, delete, exists, select

from protojobs_service.drivers.sql.cold.base import MINUTE, Cold, among, chunks

_KEEP_MINUTES = 60


def forget_minutes(c: Connection, cold: Cold) -> None:
    """Drop the minutes of more than an hour ago."""
    minute = cold.tables.stat_minute
    c.execute(delete(minute).where(minute.c.minute < cold.clock(c) // MINUTE - _KEEP_MINUTES))


def forget_sessions(c: Connection, cold: Cold, kept_us: int, limit: int) -> None:
    """Drop sessions and streams that ended longer ago than any history is kept: no attempt names them."""
    session, handle, running = cold.tables.session, cold.tables.handle, cold.tables.running
    before = cold.clock(c) - kept_us
    old = select(session.c.id).where(session.c.closed_at < before).order_by(session.c.id).limit(limit)
    for some in chunks(list(c.execute(old.with_for_update(skip_locked=True)).scalars())):
        c.execute(delete(handle).where(among(handle.c.session, some)))
        c.execute(delete(session).where(among(session.c.id, some)))
    # A session that lives for months reconnects often; what a stream has left unended is rescued first.
    has_jobs = exists().where(running.c.handle == handle.c.id)
    closed = select(handle.c.id).where(handle.c.closed_at < before, ~has_jobs).order_by(handle.c.closed_at).limit(limit)
    for some in chunks(sorted(c.execute(closed).scalars())):
        c.execute(delete(handle).where(among(handle.c.id, some)))
