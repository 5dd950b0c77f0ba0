"""Clearing a queue, page by page: what waits in the order of its index, which also ends; everything else by id.

What is held for its key comes first: from there jobs go to `ready`, never back.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, exists, literal, select, tuple_

from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.sql.cold.base import Cold, micros, moment
from protojobs_service.drivers.sql.cold.delete import delete_jobs
from protojobs_service.drivers.sql.cold.listing import Wanted, find
from protojobs_service.port.queues import Cleared, ClearQuery

_IN_HELD = b"held:"
_IN_READY = b"ready:"
"""Come before the id of the last pending job that was looked at; other places are bare ids, which begin with the time."""
_FIRST = bytes(16)
_SPAN = 100_000
"""Rows of `done` that one page looks at."""


class Page(NamedTuple):
    """Jobs to delete, and the place to go on after; None: the end."""

    ids: Sequence[bytes]
    after: bytes | None


class _Spot(NamedTuple):
    lane: int
    band: int
    position: int


def lanes_of(c: Connection, cold: Cold, queue: str) -> list[int]:
    """Return the lanes of a queue."""
    lane = cold.tables.lane
    return list(c.execute(select(lane.c.id).where(lane.c.queue == queue)).scalars())


def clear(c: Connection, cold: Cold, query: ClearQuery) -> Cleared:
    """Delete (or count) one page of a queue's jobs; never running ones."""
    barrier = cold.clock(c) if query.before is None else micros(query.before)
    found = page(c, cold, query.queue, query.states, created_to=barrier + 1, after=query.after, limit=query.limit)
    gone = len(found.ids)
    if not query.dry_run:
        gone = sum(result.found and result.state is None for result in delete_jobs(c, cold, found.ids))
    return Cleared(gone, None if found.after is None else JobId(found.after), moment(barrier))


def page(
    c: Connection, cold: Cold, queue: str, states: Collection[State], *, created_to: int | None, after: bytes | None, limit: int
) -> Page:
    """Return a page of a queue's jobs: no more than `limit`, and none where it looked at others only."""
    found: list[bytes] = []
    if State.PENDING in states and (after is None or after.startswith(_IN_HELD)):
        found, last = _held(c, cold, queue, created_to, b"" if after is None else after[len(_IN_HELD) :], limit)
        if last is not None:
            return Page(found, _IN_HELD + last)
        after = None
    if State.PENDING in states and (after is None or after.startswith(_IN_READY)):
        waiting, last = _pending(c, cold, queue, created_to, None if after is None else after[len(_IN_READY) :], limit - len(found))
        found += waiting
        if last is not None:
            return Page(found, _IN_READY + last)
        after = None
    rest = frozenset(states) - {State.PENDING, State.RUNNING}
    if not rest:
        return Page(found, None)
    if len(found) == limit:
        return Page(found, _FIRST)
    more = _others(c, cold, queue, rest, created_to, after, limit - len(found))
    return Page([*found, *more.ids], more.after)


def _others(
    c: Connection, cold: Cold, queue: str, states: Collection[State], created_to: int | None, after: bytes | None, limit: int
) -> Page:
    end = _end_of_span(c, cold, after) if State.COMPLETED in states else None
    wanted = Wanted(lanes=lanes_of(c, cold, queue), states=states, created_to=created_to, after=after, up_to=end, limit=limit + 1)
    ids = find(c, cold, wanted)
    return Page(ids[:limit], ids[limit - 1] if len(ids) > limit else end)


def _end_of_span(c: Connection, cold: Cold, after: bytes | None) -> bytes | None:
    """Return where to stop for now: completed jobs have no index by lane, and those of a rare one may be far apart."""
    done = cold.tables.done
    ids = select(done.c.id).order_by(done.c.id).offset(_SPAN - 1).limit(1)
    return c.execute(ids if after is None else ids.where(done.c.id > after)).scalar()


def _held(
    c: Connection, cold: Cold, queue: str, created_to: int | None, after: bytes, limit: int
) -> tuple[list[bytes], bytes | None]:
    """Look at the next `limit` jobs that are held; as `_pending`, in id order."""
    held, job = cold.tables.held, cold.tables.job
    rows = select(held.c.id, job.c.created_at).join_from(held, job, job.c.id == held.c.id).where(held.c.queue == queue)
    looked = c.execute((rows.where(held.c.id > after) if after else rows).order_by(held.c.id).limit(limit)).all()
    found = [row.id for row in looked if created_to is None or row.created_at < created_to]
    return found, looked[-1].id if len(looked) == limit else None


def _pending(
    c: Connection, cold: Cold, queue: str, created_to: int | None, after: bytes | None, limit: int
) -> tuple[list[bytes], bytes | None]:
    """Look at the next `limit` pending jobs; returns those that are old enough, and the last looked at, None at the end."""
    spot = _spot(c, cold, after)
    found: list[bytes] = []
    for lane in _waiting_lanes(c, cold, queue):
        if spot is not None and lane < spot.lane:
            continue
        rows = _of_lane(c, cold, lane, spot, after, limit)
        found += [row.id for row in rows if created_to is None or row.created_at < created_to]
        limit -= len(rows)
        if limit <= 0:
            return found, rows[-1].id
    return found, None


def _spot(c: Connection, cold: Cold, job_id: bytes | None) -> _Spot | None:
    """Return where a job stands or stood: a deleted one has left its tombstone."""
    if job_id is None:
        return None
    job = cold.tables.job
    row = c.execute(select(job.c.lane, job.c.band, job.c.position).where(job.c.id == job_id)).first()
    return None if row is None else _Spot(*row)


def _waiting_lanes(c: Connection, cold: Cold, queue: str) -> list[int]:
    lane, ready = cold.tables.lane, cold.tables.ready
    waits = exists().where(ready.c.lane == lane.c.id)
    return list(c.execute(select(lane.c.id).where(lane.c.queue == queue, waits).order_by(lane.c.id)).scalars())


def _of_lane(c: Connection, cold: Cold, lane: int, spot: _Spot | None, after: bytes | None, limit: int) -> Sequence[Any]:
    """Return the next rows in the order of the index; `job` is joined to no more than these."""
    ready, job = cold.tables.ready, cold.tables.job
    order = (ready.c.band, ready.c.position, ready.c.id)
    rows = select(*order).where(ready.c.lane == lane).order_by(*order).limit(limit)
    if spot is not None and spot.lane == lane:
        last = zip((spot.band, spot.position, after), order, strict=True)
        rows = rows.where(tuple_(*order) > tuple_(*(literal(value, column.type) for value, column in last)))
    cut = rows.subquery()
    joined = select(cut.c.id, job.c.created_at).join_from(cut, job, job.c.id == cut.c.id)
    return c.execute(joined.order_by(cut.c.band, cut.c.position, cut.c.id)).all()
