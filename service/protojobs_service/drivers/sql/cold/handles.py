"""Sessions and their handles: finding, locking and closing them."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, update

from protojobs_service.drivers.sql.cold.base import Cold, among, any_of, chunks
from protojobs_service.drivers.sql.tables import Tables


def is_open(tables: Tables) -> ColumnElement[bool]:
    """Return the condition that a handle joined to its session is the newest stream of a session that lives."""
    return tables.handle.c.closed_at.is_(None) & tables.session.c.closed_at.is_(None)


def open_handles(c: Connection, cold: Cold, handles: Collection[int]) -> dict[int, Any]:
    """Return the sessions of those handles that are open."""
    tables = cold.tables
    handle, session = tables.handle, tables.session
    columns = select(handle.c.id.label("handle"), *session.c).join_from(handle, session, session.c.id == handle.c.session)
    rows = [
        row for some in chunks(list(handles)) for row in c.execute(columns.where(any_of(c, handle.c.id, some), is_open(tables)))
    ]
    return {row.handle: row for row in rows}


def expired_handles(c: Connection, cold: Cold, handles: Collection[int]) -> set[int]:
    """Return those handles whose session has expired, closed or not."""
    handle, session = cold.tables.handle, cold.tables.session
    columns = select(handle.c.id).join_from(handle, session, session.c.id == handle.c.session)
    late = session.c.expires_at <= cold.clock(c)
    return {found for some in chunks(list(handles)) for found in c.execute(columns.where(among(handle.c.id, some), late)).scalars()}


def close_handles(c: Connection, cold: Cold, sessions: Sequence[int], now: int) -> None:
    """Close every open handle of sessions whose rows are locked: claims that hold one are waited for, later ones skip it."""
    handle = cold.tables.handle
    for some in chunks(sorted(sessions)):
        of_these = among(handle.c.session, some), handle.c.closed_at.is_(None)
        found = c.execute(select(handle.c.id).where(*of_these).order_by(handle.c.id).with_for_update()).scalars().all()
        for ids in chunks(found):
            c.execute(update(handle).where(among(handle.c.id, ids)).values(closed_at=now))


def workers(c: Connection, cold: Cold, handles: Collection[int]) -> dict[int, str]:
    """Return the worker's label for each handle; 0 is nobody's."""
    handle, session = cold.tables.handle, cold.tables.session
    columns = select(handle.c.id, session.c.worker).join_from(handle, session, session.c.id == handle.c.session)
    wanted = sorted(set(handles) - {0})
    return {row.id: row.worker for some in chunks(wanted) for row in c.execute(columns.where(among(handle.c.id, some)))}
