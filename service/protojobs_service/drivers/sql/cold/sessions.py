"""Worker sessions: opening and resuming, renewing, and what is told about them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from random import Random
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, select, update

from protojobs_service.domain.errors import SessionSuperseded
from protojobs_service.domain.job import Handle, JobId, Lease
from protojobs_service.domain.lifecycle import RETAKEN, Code
from protojobs_service.domain.outcome import Outcome, Release, ReleaseCause
from protojobs_service.drivers.sql.cold.base import Cold, among, any_of, chunks, insert_new, kept, moment, padded, span, upsert
from protojobs_service.drivers.sql.cold.claim import checkpoints
from protojobs_service.drivers.sql.cold.handles import close_handles, is_open, open_handles
from protojobs_service.drivers.sql.cold.records import COUNTED_ANYWAY, records
from protojobs_service.drivers.sql.cold.running import Attempt, Ending, end_attempts, lock_attempts
from protojobs_service.drivers.sql.cold.waiting import Arrival
from protojobs_service.drivers.sql.tables import STARTED, Tables
from protojobs_service.port.sessions import CancelRequest, Found, Held, Opened, Opening, RunningJob, SessionRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """How returned jobs are placed: the first of a run of positions, and the chance for backoffs."""

    position: int
    rng: Random


def open_session(c: Connection, cold: Cold, opening: Opening, front: Front) -> tuple[Opened, set[Arrival]]:
    """Register or resume a session: a new handle with exactly the held leases; everything else it had goes back.

    Raises SessionSuperseded for a stream_no that is not above the last one (unary: that is below it).
    """
    tables = cold.tables
    row, now = _lock_session(c, cold, opening)
    close_handles(c, cold, [row.id], now)
    held_before = _leases_of(c, cold, row.id)
    made = tables.handle.insert().values(session=row.id, unary=int(opening.unary)).returning(tables.handle.c.id)
    handle = Handle(c.execute(made).scalar_one())
    kept = [held for held in opening.held if (lease := held_before.get(held.id)) and lease.attempt == held.attempt]
    _move(c, cold, kept, handle)
    lost = [held for held in opening.held if held not in kept]
    _take_back_crashes(c, cold, lost, row.id)
    names = {held.id for held in kept}
    rest = [lease for job_id, lease in held_before.items() if job_id not in names]
    _, arrivals = give_back(c, cold, rest, Release(cause=ReleaseCause.NOT_HELD), now, front)
    return Opened(handle, row.id, kept, lost, row.drain_at is not None), arrivals


def _lock_session(c: Connection, cold: Cold, opening: Opening) -> tuple[Any, int]:
    """Return the session's row, written anew and locked, and the time."""
    session = cold.tables.session
    key, now = sha256(opening.secret).digest(), cold.clock(c)
    values: dict[str, Any] = {
        "worker": opening.worker,
        "sdk": opening.sdk,
        "sdk_version": opening.sdk_version,
        "queues": json.dumps(list(opening.queues)),
        "kinds": json.dumps(list(opening.kinds)),
        "slots": opening.slots,
        "ttl": span(opening.ttl),
        "stream_no": opening.stream_no,
        "heartbeat_at": now,
        "expires_at": now + span(opening.ttl),
        "closed_at": None,
    }
    made = insert_new(c, session, [values | {"secret_hash": key, "created_at": now}], returning=session.c.id)
    row = c.execute(select(session).where(session.c.secret_hash == key).with_for_update()).one()
    if not made:
        lowest = row.stream_no if opening.unary else row.stream_no + 1
        if opening.stream_no < lowest:
            raise SessionSuperseded
        c.execute(update(session).where(session.c.id == row.id).values(**values))
    return row, now


def _leases_of(c: Connection, cold: Cold, session: int) -> dict[bytes, Attempt]:
    running, handle = cold.tables.running, cold.tables.handle
    handles = select(handle.c.id).where(handle.c.session == session)
    return {row.id: row for row in lock_attempts(c, cold, running.c.handle.in_(handles))}


def _move(c: Connection, cold: Cold, kept: Sequence[Held], handle: Handle) -> None:
    running = cold.tables.running
    for started in (True, False):
        flags = running.c.flags.bitwise_or(STARTED) if started else running.c.flags
        for some in chunks(sorted({held.id for held in kept if held.started is started})):
            c.execute(update(running).where(among(running.c.id, some)).values(handle=handle, flags=flags))


def _take_back_crashes(c: Connection, cold: Cold, lost: Sequence[Held], session: int) -> None:
    """Take back the crashes of attempts that the worker names: it has proved that it lived. Final jobs keep their numbers."""
    tables = cold.tables
    done, handle, job = tables.done, tables.handle, tables.job
    attempts = {held.id: held.attempt for held in lost}
    of_session = select(-handle.c.id).where(handle.c.session == session)
    for some in chunks(sorted(attempts)):
        crashed = select(done.c.id, done.c.attempt).where(
            among(done.c.id, some), done.c.outcome == Code.CRASHED.value, done.c.handle.in_(of_session)
        )
        rows = [row for row in c.execute(crashed.order_by(done.c.id).with_for_update()) if attempts[row.id] == row.attempt]
        for row in rows:
            place = select(job.c.lane, job.c.band, job.c.position).where(job.c.id == row.id).subquery()
            lives = int(_forgiven(c, cold, row.id, row.attempt))
            for table in () if lives else (tables.running, tables.due, tables.held, tables.ready):
                where = [table.c.id == row.id, table.c.crashes > 0]
                if table is tables.ready:  # it has no key: the way is along (lane, band, position)
                    where += [table.c[name] == select(place.c[name]).scalar_subquery() for name in ("lane", "band", "position")]
                lives += c.execute(update(table).where(*where).values(crashes=table.c.crashes - 1)).rowcount
            same = (done.c.id == row.id, done.c.attempt == row.attempt)
            c.execute(update(done).where(*same).values(outcome=Code.RELEASED.value))
            if not lives:
                noted = {"id": row.id, "attempt": row.attempt, "reason": COUNTED_ANYWAY}
                upsert(c, tables.attempt_detail, [noted], replaces=["reason"])


def _forgiven(c: Connection, cold: Cold, job_id: bytes, attempt: int) -> bool:
    """Tell whether a Retry by hand has set the counters to 0 since this attempt."""
    done = cold.tables.done
    later = (done.c.id == job_id, done.c.attempt > attempt, done.c.outcome > RETAKEN)
    return c.execute(select(done.c.id).where(*later).limit(1)).first() is not None


def give_back(
    c: Connection, cold: Cold, leases: Sequence[Attempt], outcome: Outcome, now: int, front: Front
) -> tuple[int, set[Arrival]]:
    """End leases by the server's word, all with one outcome."""
    endings = [Ending(lease, outcome, settled=False) for lease in leases]
    _, arrivals = end_attempts(c, cold, endings, now=now, front=front.position, rng=front.rng)
    return len(endings), arrivals


def find(c: Connection, cold: Cold, secret: bytes) -> Found | None:
    """Return the live session of a secret, by its newest stream."""
    handle, session = cold.tables.handle, cold.tables.session
    columns = select(handle.c.id.label("handle"), handle.c.unary, *session.c)
    newest = columns.join_from(session, handle, handle.c.session == session.c.id).order_by(handle.c.id.desc()).limit(1)
    row = c.execute(newest.where(session.c.secret_hash == sha256(secret).digest(), is_open(cold.tables))).one_or_none()
    if row is None:
        return None
    ttl = timedelta(microseconds=row.ttl)
    return Found(Handle(row.handle), row.id, row.stream_no, ttl, bool(row.unary), row.drain_at is not None)


def leased(c: Connection, cold: Cold, handle: Handle) -> list[Lease]:
    """Return what runs under a handle as a claim would have given it."""
    held = {job_id: attempt for _, job_id, attempt in leases(c, cold, [handle])}
    found, saved = records(c, cold, list(held)), checkpoints(c, cold, list(held))
    return [
        Lease(handle, job.id, job.attempt, job.queue, job.kind, job.envelope, job.failures, job.policy, saved.get(job.id))
        for job in found.values()
        if job.attempt == held[job.id]
    ]


def renew(c: Connection, cold: Cold, handles: Sequence[Handle]) -> list[Handle]:
    """Push the expiry of open handles' sessions to now + ttl; returns those handles that are closed."""
    session = cold.tables.session
    now = cold.clock(c)
    found = open_handles(c, cold, set(handles))
    renewed: set[int] = set()
    for some in chunks(sorted({row.id for row in found.values()})):
        lives = (any_of(c, session.c.id, some), session.c.closed_at.is_(None))
        locked = c.execute(select(session.c.id).where(*lives).order_by(session.c.id).with_for_update()).scalars().all()
        if locked:
            pushed = update(session).where(any_of(c, session.c.id, locked))
            c.execute(pushed.values(heartbeat_at=now, expires_at=now + session.c.ttl))
            renewed |= set(locked)
    return [handle for handle in handles if (row := found.get(handle)) is None or row.id not in renewed]


def detach(c: Connection, cold: Cold, handle: Handle, started: Sequence[JobId], grace: timedelta | None) -> None:
    """Note which jobs had started; the session expires after `grace` if that is sooner."""
    running, session = cold.tables.running, cold.tables.session
    row = _lock_open(c, cold, handle)
    for some in chunks(sorted(started)):
        flags = running.c.flags.bitwise_or(STARTED)
        c.execute(update(running).where(among(running.c.id, some), running.c.handle == handle).values(flags=flags))
    if grace is not None and row is not None:
        at = cold.clock(c) + span(grace)
        c.execute(update(session).where(session.c.id == row.id).values(expires_at=min(at, row.expires_at)))


def close_session(c: Connection, cold: Cold, handle: Handle, front: Front) -> tuple[int, set[Arrival]]:
    """End the session of an open handle; what it has goes back."""
    session, running = cold.tables.session, cold.tables.running
    row = _lock_open(c, cold, handle)
    if row is None:
        return 0, set()
    now = cold.clock(c)
    c.execute(update(session).where(session.c.id == row.id).values(closed_at=now))
    close_handles(c, cold, [row.id], now)
    return give_back(c, cold, lock_attempts(c, cold, running.c.handle == handle), Release(), now, front)


def _lock_open(c: Connection, cold: Cold, handle: Handle) -> Any | None:
    """Return the session of an open handle, locked; None where there is none, or where it was resumed or rescued meanwhile."""
    session = cold.tables.session
    row = open_handles(c, cold, [handle]).get(handle)
    if row is None:
        return None
    c.execute(select(session.c.id).where(session.c.id == row.id).with_for_update())
    return open_handles(c, cold, [handle]).get(handle)


def leases(c: Connection, cold: Cold, handles: Sequence[Handle]) -> list[tuple[Handle, JobId, int]]:
    """Return what runs under these handles."""
    running = cold.tables.running
    columns = select(running.c.handle, running.c.id, running.c.attempt)
    rows = [row for some in chunks(handles) for row in c.execute(columns.where(among(running.c.handle, some)))]
    return [(Handle(row.handle), JobId(row.id), row.attempt) for row in rows]


def cancel_requests(c: Connection, cold: Cold, handles: Sequence[Handle]) -> list[CancelRequest]:
    """Return the cancel requests of what runs under these handles."""
    statement = _cancel_requests(cold.tables, cold.now)
    rows = [row for some in chunks(handles) for row in c.execute(statement, {"handles": padded(some)})]
    return [CancelRequest(Handle(row.handle), JobId(row.id), row.attempt, timedelta(microseconds=row.left)) for row in rows]


@kept
def _cancel_requests(tables: Tables, now: Callable[[], ColumnElement[int]]) -> Select[Any]:
    running, asked = tables.running, tables.cancel_request
    same = (running.c.id == asked.c.id) & (running.c.attempt == asked.c.attempt)
    left = (asked.c.deadline_at - now()).label("left")
    columns: list[ColumnElement[Any]] = [running.c.handle, running.c.id, running.c.attempt, left]
    return select(*columns).join_from(asked, running, same).where(running.c.handle.in_(bindparam("handles", expanding=True)))


def list_sessions(c: Connection, cold: Cold, queue: str | None, after: int, limit: int) -> list[SessionRecord]:
    """Return live sessions with a number above `after`, oldest first."""
    session, handle, running, lane = cold.tables.session, cold.tables.handle, cold.tables.running, cold.tables.lane
    live = select(session).where(session.c.closed_at.is_(None)).order_by(session.c.id)
    found: list[Any] = []
    while len(found) < limit:
        page = c.execute(live.where(session.c.id > after).limit(limit)).all()
        found += [row for row in page if queue is None or queue in json.loads(row.queues)]
        if len(page) < limit:
            break
        after = page[-1].id
    jobs: dict[int, list[RunningJob]] = {}
    columns = (
        select(handle.c.session, running.c.id, lane.c.queue, lane.c.kind, running.c.attempt, running.c.started_at)
        .join_from(running, handle, handle.c.id == running.c.handle)
        .join(lane, lane.c.id == running.c.lane)
        .order_by(running.c.id)
    )
    for some in chunks([row.id for row in found[:limit]]):
        for row in c.execute(columns.where(among(handle.c.session, some))):
            job = RunningJob(JobId(row.id), row.queue, row.kind, row.attempt, moment(row.started_at))
            jobs.setdefault(row.session, []).append(job)
    return [_record(row, jobs.get(row.id, [])) for row in found[:limit]]


def _record(row: Any, jobs: list[RunningJob]) -> SessionRecord:
    return SessionRecord(
        session=row.id,
        worker=row.worker,
        sdk=row.sdk,
        sdk_version=row.sdk_version,
        queues=json.loads(row.queues),
        kinds=json.loads(row.kinds),
        slots=row.slots,
        in_flight=len(jobs),
        heartbeat_at=moment(row.heartbeat_at),
        created_at=moment(row.created_at),
        draining=row.drain_at is not None,
        running=jobs,
    )


def drain(c: Connection, cold: Cold, number: int, deadline: timedelta) -> bool:
    """Mark a live session as draining."""
    session = cold.tables.session
    live = (session.c.id == number, session.c.closed_at.is_(None))
    return c.execute(update(session).where(*live).values(drain_at=cold.clock(c) + span(deadline))).rowcount > 0


def draining(c: Connection, cold: Cold, handles: Sequence[Handle]) -> list[tuple[Handle, timedelta]]:
    """Return the open handles whose session is draining, with the time left."""
    statement = _draining(cold.tables, cold.now)
    found = {row.id: row.left for some in chunks(handles) for row in c.execute(statement, {"handles": padded(some)})}
    return [(handle, timedelta(microseconds=found[handle])) for handle in handles if handle in found]


@kept
def _draining(tables: Tables, now: Callable[[], ColumnElement[int]]) -> Select[Any]:
    handle, session = tables.handle, tables.session
    columns: list[ColumnElement[Any]] = [handle.c.id, (session.c.drain_at - now()).label("left")]
    told = select(*columns).join_from(handle, session, session.c.id == handle.c.session).where(session.c.drain_at.is_not(None))
    return told.where(is_open(tables), handle.c.id.in_(bindparam("handles", expanding=True)))
