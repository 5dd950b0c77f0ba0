"""Leasing from queues with limits: one transaction that locks the queues, counts, and takes no more than is free.

It costs some ten short statements a claim, where queues without limits share one; and locks out only whoever leases from the same
queues. Settles, rescues and releases of these queues cost what they cost anywhere.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, literal, select, union_all

from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.queue_limits import Hold
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, insert_all, tally
from protojobs_service.drivers.sql.cold.grants import Grant, lock_queues
from protojobs_service.drivers.sql.cold.queue_use import save_buckets
from protojobs_service.drivers.sql.cold.waiting import Waiting, take_ready
from protojobs_service.drivers.sql.mysql_keys import BY_KEY
from protojobs_service.drivers.sql.store import Claimed, Probe

_PROBES = 100


class LimitedGroup(NamedTuple):
    """Claims that may take from the same lanes: the probes of each queue in the order to try, and one entry per free place."""

    queues: list[tuple[str, list[Probe]]]
    places: list[int]
    max_bytes: int


class Found(NamedTuple):
    """What the probes of one queue came to. drained: they ended because nothing was left."""

    probes: list[Probe]
    rows: list[Claimed]
    drained: bool


class Granted(NamedTuple):
    """The leases, and the limits that left places empty."""

    found: list[Found]
    holds: dict[str, Hold]


class _Row(NamedTuple):
    job: Waiting
    position: int
    handle: int


class _Taken(NamedTuple):
    """is_full: the bytes are used up; drained: nothing was left."""

    rows: list[_Row]
    is_full: bool
    drained: bool


def claim_limited(c: Connection, cold: Cold, groups: Sequence[LimitedGroup]) -> Granted:
    """Move ready rows of queues with limits to running, for the open handles among the places."""
    locked = lock_queues(c, cold, {queue for group in groups for queue, _ in group.queues})
    now = cold.clock(c)
    grants = {queue: Grant(settings, use, now) for queue, (settings, use) in locked.items()}
    alive = _open(c, cold, sorted({place for group in groups for place in group.places}))
    granted = Granted([], {})
    for group in groups:
        _serve(c, cold, group, [place for place in group.places if place in alive], grants, now, granted)
    save_buckets(c, cold, {queue: bucket for queue, grant in grants.items() if (bucket := grant.spent) is not None})
    counts: Counter[tuple[int, State]] = Counter()
    for row in (row for found in granted.found for row in found.rows):
        counts[row.lane, State.PENDING] -= 1
        counts[row.lane, State.RUNNING] += 1
    tally(c, cold, counts)
    return granted


def _serve(
    c: Connection, cold: Cold, group: LimitedGroup, places: list[int], grants: dict[str, Grant], now: int, granted: Granted
) -> None:
    taken, room = 0, group.max_bytes
    for queue, probes in group.queues:
        grant = grants[queue]
        wanted = min(len(places) - taken, grant.free)
        if wanted > 0:
            got = _take(c, cold, probes, places[taken : taken + wanted], room if group.max_bytes else 0, first=not taken)
            grant.lease(len(got.rows))
            taken += len(got.rows)
            room -= sum(row.job.size for row in got.rows)
            granted.found.append(Found(probes, _lease(c, cold, got.rows, now), drained=got.drained))
            if got.is_full or (group.max_bytes and room <= 0):
                return
        if grant.free <= 0 and taken < len(places):
            granted.holds[queue] = grant.hold()


def _open(c: Connection, cold: Cold, handles: Sequence[int]) -> set[int]:
    """Return which of these handles are open, and keep them so: whoever closes one waits for us."""
    handle = cold.tables.handle
    found: set[int] = set()
    for some in chunks(handles):
        wanted = select(handle.c.id).where(among(handle.c.id, some), handle.c.closed_at.is_(None)).order_by(handle.c.id)
        locked = wanted.with_hint(handle, BY_KEY, "mysql").with_for_update(read=True, key_share=True)
        found |= set(c.execute(locked).scalars())
    return found


def _take(c: Connection, cold: Cold, probes: Sequence[Probe], places: Sequence[int], room: int, *, first: bool) -> _Taken:
    """Take a row out of `ready` for each place. room: bytes, 0 for any number; first: the first job fits whatever its size."""
    ready = cold.tables.ready
    taken: list[_Row] = []
    left, missed = room, 0
    for probe in _with_rows(c, cold, probes):
        if len(taken) == len(places):
            break
        of_probe = (ready.c.lane == probe.lane, ready.c.band == probe.band, ready.c.position >= probe.low)
        columns = select(ready.c.id, ready.c.position, ready.c.size).with_hint(ready, BY_KEY, "mysql").where(*of_probe)
        spots: dict[bytes, int] = {}
        for row in c.execute(columns.order_by(ready.c.position, ready.c.id).limit(len(places) - len(taken))):
            if room and row.size > left and (taken or spots or not first):
                left = -1
                break
            left -= row.size
            spots[row.id] = row.position
        jobs = {job.id: job for job in take_ready(c, cold, list(spots))}  # others may have taken some of them away
        for job_id, position in spots.items():
            if job_id in jobs:
                taken.append(_Row(jobs[job_id], position, places[len(taken)]))
        missed += len(spots) - len(jobs)
        if room and left < 0:
            return _Taken(taken, is_full=True, drained=False)
    return _Taken(taken, is_full=False, drained=len(taken) < len(places) and not missed)


def _with_rows(c: Connection, cold: Cold, probes: Sequence[Probe]) -> Sequence[Probe]:
    """Leave out the probes that would find nothing."""
    ready = cold.tables.ready
    if len(probes) < 3:
        return probes
    found: set[int] = set()
    for start in range(0, len(probes), _PROBES):
        firsts: list[Any] = []
        for place, probe in enumerate(probes[start : start + _PROBES], start):
            of_probe = (ready.c.lane == probe.lane, ready.c.band == probe.band, ready.c.position >= probe.low)
            one = select(literal(place).label("place")).select_from(ready).with_hint(ready, BY_KEY, "mysql").where(*of_probe)
            firsts.append(select(one.limit(1).subquery().c.place))
        found |= set(c.execute(union_all(*firsts)).scalars())
    return [probe for place, probe in enumerate(probes) if place in found]


def _lease(c: Connection, cold: Cold, rows: Sequence[_Row], now: int) -> list[Claimed]:
    tables, job = cold.tables, cold.tables.job
    insert_all(c, tables.running, [_running(row, now) for row in rows])
    stored: dict[bytes, tuple[str | None, bytes]] = {}
    for some in chunks([row.job.id for row in rows]):
        columns = select(job.c.id, job.c.policy, job.c.envelope).where(among(job.c.id, some))
        stored |= {row.id: (row.policy, row.envelope) for row in c.execute(columns)}
    return [
        Claimed(
            row.handle,
            row.job.id,
            row.job.attempt + 1,
            row.job.lane,
            row.job.band,
            row.position,
            row.job.failures,
            row.job.flags,
            *stored[row.job.id],
        )
        for row in rows
    ]


def _running(row: _Row, now: int) -> dict[str, Any]:
    job = row.job
    return {
        "id": job.id,
        "handle": row.handle,
        "started_at": now,
        "position": row.position,
        "lane": job.lane,
        "band": job.band,
        "attempt": job.attempt + 1,
        "failures": job.failures,
        "crashes": job.crashes,
        "flags": job.flags,
    }
