"""Rescue: what becomes of jobs whose session died, and of unary leases that are over time."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, Table, bindparam, exists, literal_column, or_, select, update
from sqlalchemy.exc import IntegrityError

from protojobs_service.domain.job import Handle, JobId, NewJob
from protojobs_service.domain.outcome import Cancelled, Crash, Fail, JobError, Outcome
from protojobs_service.drivers.sql.cold.base import MINUTE, SECOND, Cold, among, chunks, kept, span
from protojobs_service.drivers.sql.cold.ends import savepoint
from protojobs_service.drivers.sql.cold.follow_ups import Children, following, lock_depths, note_skipped, store_children
from protojobs_service.drivers.sql.cold.handles import close_handles
from protojobs_service.drivers.sql.cold.lanes import FLEET
from protojobs_service.drivers.sql.cold.running import (
    Attempt,
    Ending,
    end_attempts,
    lock_attempts,
    lock_ids,
    read_attempts,
    run_timeout,
)
from protojobs_service.drivers.sql.cold.sessions import Front
from protojobs_service.drivers.sql.cold.waiting import Arrival
from protojobs_service.drivers.sql.tables import CANCEL_ASKED, STARTED, Tables
from protojobs_service.port.jobs import Settlement

_log = logging.getLogger(__name__)

_SESSIONS = 500
_UNARY = 2000
"""Unary handles whose leases one sweep looks at: the row of the fleet is locked meanwhile."""
_LEFT_OVER_US = 60 * MINUTE
"""How long a closed handle is looked at for what a bounded sweep has left; `everything` looks at all."""
_CLOSING_US = MINUTE
"""A handle may be closed so long before anybody sees it: nothing comes to run under it afterwards."""
_BEAT_US = SECOND * 3 // 2
_BEATS_PER_TTL = 8
"""A sweep beats where no replica has for so long, or for such a part of a session's ttl: half of the smallest is an outage."""
_TIMEOUT = Fail(error=JobError(type="TIMEOUT", message="the attempt ran longer than its run timeout"), reason="TIMEOUT")


class Rescued(NamedTuple):
    """What was decided, where `ready` has got jobs, and the unary handle to go on after; 0: from the start.

    brought, skipped: how many jobs follow those that failed, and which of these were not stored.
    """

    applied: list[Settlement]
    arrivals: Collection[Arrival]
    after: int
    brought: int = 0
    skipped: Sequence[NewJob] = ()


def may_rescue(c: Connection, cold: Cold, since: int) -> tuple[bool, int]:
    """Tell whether a sweep may find anything or a beat is due: mostly neither, and to ask is one statement without locks.

    since: before this no session has expired and no handle was closed that are not dealt with. Returns what to give the next time
    that all was in order, too.
    """
    found, now = c.execute(may_rescue_statement(cold.tables, cold.now), {"since": since}).one()
    return bool(found), int(now) - _CLOSING_US


@kept
def may_rescue_statement(tables: Tables, now: Callable[[], ColumnElement[int]]) -> Select[bool, int]:
    """Return the statement. It reads what has expired or was closed since, and of each handle that was closed, all that ran."""
    fleet, session, handle = tables.fleet, tables.session, tables.handle
    since = bindparam("since", type_=BigInteger)
    expired = exists().where(session.c.closed_at.is_(None), session.c.expires_at <= now(), session.c.expires_at >= since)
    lately = handle.c.closed_at >= now() - _LEFT_OVER_US, handle.c.closed_at >= since
    # In order and the first of it, as in `signs`.
    first = select(handle.c.id).where(*lately, _has_jobs(tables)).order_by(handle.c.closed_at).limit(1)
    left = first.scalar_subquery().is_not(None)
    silent = exists().where(fleet.c.id == FLEET, fleet.c.beat_at < now() - _BEAT_US)
    brief = exists().where(
        fleet.c.id == FLEET, session.c.closed_at.is_(None), session.c.ttl < (now() - fleet.c.beat_at) * _BEATS_PER_TTL
    )
    return select(or_(silent, brief, expired, left, exists().where(*_open_unary(handle))), now())


def rescue(
    c: Connection, cold: Cold, limit: int, front: Front, children: Children, *, after: int = 0, everything: bool = False
) -> Rescued:
    """Close expired sessions, then decide at most `limit` jobs of closed handles, and overdue ones of unary handles > `after`.

    children: how jobs are stored that follow those which fail. Raises LanesMissing.
    """
    now = cold.clock(c)
    _close_expired(c, cold, now)
    dead = _dead_handles(c, cold, 0 if everything else now - _LEFT_OVER_US, limit)
    endings: list[Ending] = []
    running = cold.tables.running
    for some in chunks(sorted(dead)):
        rows = lock_attempts(c, cold, among(running.c.handle, some), limit=limit - len(endings))
        endings += [Ending(row, Crash(started=_started(row, dead)), settled=False) for row in rows]
        if len(endings) >= limit:
            break
    if len(endings) < limit:
        overdue, after = _overdue(c, cold, now, limit - len(endings), after)
        endings += overdue
    lock_depths(c, cold, endings, children)
    ended = _end(c, cold, endings, now, front, children)
    applied = [Settlement(JobId(row.id), row.attempt, Handle(row.handle), outcome) for row, outcome, _ in ended.endings]
    return Rescued(applied, ended.arrivals, after, ended.brought, ended.skipped)


class _Ended(NamedTuple):
    endings: Sequence[Ending] = ()
    arrivals: Collection[Arrival] = ()
    brought: int = 0
    skipped: Sequence[NewJob] = ()


def _end(c: Connection, cold: Cold, endings: Sequence[Ending], now: int, front: Front, children: Children) -> _Ended:
    """End attempts; where the store refuses them together, each by itself, so that a broken row stops no other one."""
    if not endings:
        return _Ended()
    try:
        with savepoint(c):
            ended, arrivals = end_attempts(c, cold, endings, now=now, front=front.position, rng=front.rng)
            brought = following(c, cold, endings, ended, children.follow_ups)
            skipped, arrived = store_children(c, cold, brought, children)
            note_skipped(c, cold, endings, skipped)
    except IntegrityError:
        if len(endings) == 1:
            job_id, attempt = endings[0].attempt.id.hex(), endings[0].attempt.attempt
            _log.exception("attempt cannot be rescued", extra={"job_id": job_id, "attempt": attempt})
            return _Ended()
    else:
        return _Ended(endings, arrivals | arrived, len(brought), skipped)
    alone = [
        _end(c, cold, [ending], now, replace(front, position=front.position + i), children) for i, ending in enumerate(endings)
    ]
    return _Ended(
        [ending for each in alone for ending in each.endings],
        {arrival for each in alone for arrival in each.arrivals},
        sum(each.brought for each in alone),
        [job for each in alone for job in each.skipped],
    )


def _close_expired(c: Connection, cold: Cold, now: int) -> None:
    """Close expired sessions; the expiry is read from the locked row, so a renewal that came first wins."""
    session = cold.tables.session
    expired = select(session.c.id).where(session.c.closed_at.is_(None), session.c.expires_at <= now).order_by(session.c.id)
    ids = c.execute(expired.limit(_SESSIONS).with_for_update(skip_locked=True)).scalars().all()
    for some in chunks(ids):
        c.execute(update(session).where(among(session.c.id, some)).values(closed_at=now))
    close_handles(c, cold, ids, now)


def _dead_handles(c: Connection, cold: Cold, since: int, limit: int) -> dict[int, bool]:
    """Return closed handles that still have jobs, those closed first, and which of them are unary."""
    handle = cold.tables.handle
    closed = select(handle.c.id, handle.c.unary).where(handle.c.closed_at >= since, _has_jobs(cold.tables))
    closed = closed.order_by(handle.c.closed_at, handle.c.id).limit(limit)
    return {row.id: bool(row.unary) for row in c.execute(closed)}


def _has_jobs(tables: Tables) -> ColumnElement[bool]:
    """Return the condition that something runs under the handle of the statement around it."""
    # A value, not `exists`: that is planned as a join which may read all of running, and all that a held snapshot keeps of it.
    handle, running = tables.handle, tables.running
    first = select(running.c.id).where(running.c.handle == handle.c.id).limit(1)
    return first.correlate(handle).scalar_subquery().is_not(None)


def _started(row: Attempt, dead: dict[int, bool]) -> bool:
    return bool(row.flags & STARTED) or dead[row.handle]


def _overdue(c: Connection, cold: Cold, now: int, limit: int, after: int) -> tuple[list[Ending], int]:
    """Return attempts of open unary handles that are over their run timeout or the deadline of a cancel, and where to go on."""
    tables = cold.tables
    handle, running, asked = tables.handle, tables.running, tables.cancel_request
    unary = select(handle.c.id).where(*_open_unary(handle), handle.c.id > after)
    handles = c.execute(unary.order_by(handle.c.id).limit(_UNARY)).scalars().all()
    rows = [row for some in chunks(handles) for row in read_attempts(c, cold, among(running.c.handle, some))]
    flagged = [row.id for row in rows if row.flags & CANCEL_ASKED]
    deadlines: dict[bytes, Any] = {
        row.id: row
        for some in chunks(flagged)
        for row in c.execute(select(asked).where(among(asked.c.id, some), asked.c.deadline_at <= now))
    }
    found: dict[bytes, Outcome] = {}
    for row in rows:
        outcome: Outcome | None = None
        if (request := deadlines.get(row.id)) is not None and request.attempt == row.attempt:
            outcome = Cancelled()
        elif row.started_at + span(run_timeout(row)) <= now:
            outcome = _TIMEOUT
        if outcome is not None:
            found[row.id] = outcome
    chosen = {row.id: row for row in rows if row.id in found}
    locked = lock_ids(c, cold, list(chosen)[:limit])
    same = [row for row in locked.values() if (row.attempt, row.handle) == (chosen[row.id].attempt, chosen[row.id].handle)]
    endings = [Ending(row, found[row.id], settled=False) for row in same]
    if len(chosen) > limit:
        return endings, after
    return endings, handles[-1] if len(handles) == _UNARY else 0


def _open_unary(handle: Table) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    # A literal, not a parameter, as in the index that holds nothing but these.
    return handle.c.unary == literal_column("1"), handle.c.closed_at.is_(None)
