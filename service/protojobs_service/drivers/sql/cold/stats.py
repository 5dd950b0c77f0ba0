"""Numbers of queues, from counters and minutes; nothing big is counted."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, SmallInteger, Table, func, literal_column, select, true, union_all

from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.queue_limits import bucket_at
from protojobs_service.drivers.sql.cold.base import MINUTE, Cold, among, chunks, kept, moment
from protojobs_service.drivers.sql.cold.queue_use import read_buckets
from protojobs_service.drivers.sql.cold.settings import load
from protojobs_service.drivers.sql.tables import Tables
from protojobs_service.port.queues import QueueNumbers

_BANDS = range(1, 10)
_MINUTES = 6
_RATE = "rate_limit"


class _Lane(NamedTuple):
    id: int
    kind: str


class _Minute(NamedTuple):
    """A row of `stat_minute`, and the share of its minute that lies within the last minute and the last five."""

    failed: int
    bucket: int
    n: int
    run_us: int
    in_1m: float
    in_5m: float


def numbers(c: Connection, cold: Cold, queue: str | None) -> tuple[list[QueueNumbers], int]:
    """Return numbers by queue name, and their time."""
    tables, now = cold.tables, cold.clock(c)
    names = select(tables.queue.c.name, tables.queue.c.settings).order_by(tables.queue.c.name)
    found_queues = c.execute(names if queue is None else names.where(tables.queue.c.name == queue)).all()
    queues = [row.name for row in found_queues]
    spent = _spent(c, cold, {row.name: row.settings for row in found_queues if _RATE in row.settings}, now)
    lanes: dict[str, list[_Lane]] = defaultdict(list)
    rows = select(tables.lane)
    for row in c.execute(rows if queue is None else rows.where(tables.lane.c.queue == queue)):
        lanes[row.queue].append(_Lane(row.id, row.kind))
    ids = [lane.id for name in queues for lane in lanes[name]]
    counts, minutes = _counts(c, cold, ids), _minutes(c, cold, ids, now)
    waiting = [lane for lane in ids if counts[lane, State.PENDING] > 0]
    oldest, held = _oldest(c, cold, waiting), _oldest_held(c, cold, waiting)
    oldest |= {lane: min(at, oldest.get(lane, at)) for lane, at in held.items()}
    served: dict[str, list[frozenset[str]]] = defaultdict(list)
    for row in c.execute(select(tables.session.c.queues, tables.session.c.kinds).where(tables.session.c.closed_at.is_(None))):
        kinds = frozenset[str](json.loads(row.kinds))
        for name in set(json.loads(row.queues)):
            served[name].append(kinds)
    found = [
        _numbers(
            name,
            lanes[name],
            counts,
            minutes,
            oldest,
            held.keys(),
            served[name],
            rate_spent=name in spent,
        )
        for name in queues
    ]
    return found, now


def _counts(c: Connection, cold: Cold, lanes: Sequence[int]) -> Counter[tuple[int, State]]:
    counter = cold.tables.counter
    total: Counter[tuple[int, State]] = Counter()
    columns = select(counter.c.lane, counter.c.state, func.sum(counter.c.n).label("n")).group_by(counter.c.lane, counter.c.state)
    for some in chunks(lanes):
        for row in c.execute(columns.where(among(counter.c.lane, some))):
            total[row.lane, State(row.state)] = int(row.n)
    return total


def _minutes(c: Connection, cold: Cold, lanes: Sequence[int], now: int) -> dict[int, list[_Minute]]:
    """Return the present minute and the five before it, by lane."""
    minute = cold.tables.stat_minute
    number, into = divmod(now, MINUTE)
    rest = 1 - into / MINUTE
    found: dict[int, list[_Minute]] = defaultdict(list)
    for some in chunks(lanes):
        recent = (among(minute.c.lane, some), minute.c.minute > number - _MINUTES, minute.c.minute <= number)
        for row in c.execute(select(minute).where(*recent)):
            age = number - row.minute
            in_1m = 1.0 if age == 0 else rest if age == 1 else 0.0
            in_5m = rest if age == _MINUTES - 1 else 1.0
            found[row.lane].append(_Minute(row.failed, row.bucket, int(row.n), int(row.run_us), in_1m, in_5m))
    return found


def _oldest(c: Connection, cold: Cold, lanes: Sequence[int]) -> dict[int, int]:
    """Return when the oldest pending job of each lane was created: of the first of each band, which the index finds."""
    return _earliest(c, cold, _first_ready(cold.tables), lanes)


def _oldest_held(c: Connection, cold: Cold, lanes: Sequence[int]) -> dict[int, int]:
    """Return when the oldest of the jobs was created that wait for a place of their key, by lane: the one with the first id."""
    return _earliest(c, cold, _first_held(cold.tables), lanes)


# A subquery for each lane instead of a part of a union for each: a union of thousands takes seconds to make and to plan.
@kept
def _first_ready(tables: Tables) -> Select[Any]:
    lane, ready = tables.lane, tables.ready
    bands = union_all(*(select(literal_column(str(band), SmallInteger()).label("band")) for band in _BANDS)).subquery("bands")
    first = select(ready.c.id).where(ready.c.lane == lane.c.id, ready.c.band == bands.c.band)
    return _firsts(lane, first.order_by(ready.c.position)).select_from(lane.join(bands, true()))


@kept
def _first_held(tables: Tables) -> Select[Any]:
    lane, held = tables.lane, tables.held
    return _firsts(lane, select(held.c.id).where(held.c.lane == lane.c.id).order_by(held.c.id))


def _firsts(lane: Table, ordered: Select[Any]) -> Select[Any]:
    columns: list[ColumnElement[Any]] = [lane.c.id.label("lane"), ordered.limit(1).scalar_subquery().label("job")]
    return select(*columns)


def _earliest(c: Connection, cold: Cold, firsts: Select[Any], lanes: Sequence[int]) -> dict[int, int]:
    job = cold.tables.job
    of_job: dict[bytes, int] = {}
    for some in chunks(lanes):
        of_job |= {row.job: row.lane for row in c.execute(firsts.where(among(cold.tables.lane.c.id, some))) if row.job is not None}
    found: dict[int, int] = {}
    for ids in chunks(list(of_job)):
        for row in c.execute(select(job.c.id, job.c.created_at).where(among(job.c.id, ids))):
            lane = of_job[row.id]
            found[lane] = min(row.created_at, found.get(lane, row.created_at))
    return found


def _numbers(
    queue: str,
    lanes: Sequence[_Lane],
    counts: Counter[tuple[int, State]],
    minutes: dict[int, list[_Minute]],
    oldest: dict[int, int],
    held: Collection[int],
    served: Sequence[frozenset[str]],
    *,
    rate_spent: bool,
) -> QueueNumbers:
    recent = [minute for lane in lanes for minute in minutes.get(lane.id, [])]
    buckets: Counter[int] = Counter()
    for minute in recent:
        buckets[minute.bucket] += minute.n
    total = sum(minute.run_us for minute in recent)
    pending = {
        lane.kind: (counts[lane.id, State.PENDING], moment(oldest[lane.id]) if lane.id in oldest else None)
        for lane in lanes
        if counts[lane.id, State.PENDING] > 0
    }
    return QueueNumbers(
        queue=queue,
        counts={state: sum(counts[lane.id, state] for lane in lanes) for state in State},
        oldest_pending_at=min((at for _, at in pending.values() if at is not None), default=None),
        completed_1m=sum(minute.n * minute.in_1m for minute in recent if not minute.failed) / 60,
        completed_5m=sum(minute.n * minute.in_5m for minute in recent if not minute.failed) / 300,
        failed_1m=sum(minute.n * minute.in_1m for minute in recent if minute.failed) / 60,
        failed_5m=sum(minute.n * minute.in_5m for minute in recent if minute.failed) / 300,
        average_run_time=timedelta(microseconds=total / buckets.total()) if buckets else None,
        p95_run_time=_percentile(buckets, 0.95),
        workers=len(served),
        pending_by_kind=pending,
        running_by_kind={lane.kind: n for lane in lanes if (n := counts[lane.id, State.RUNNING]) > 0},
        served_kinds=_kinds(served),
        rate_spent=rate_spent,
        holds=any(lane.id in held for lane in lanes),
    )


def _spent(c: Connection, cold: Cold, rated: Mapping[str, str], now: int) -> set[str]:
    """Return the queues whose bucket of tokens has no whole one, of those whose settings name a rate."""
    spent: set[str] = set()
    for name, bucket in (read_buckets(c, cold, rated) if rated else {}).items():
        rate = load(name, rated[name]).rate_limit
        if rate is not None and bucket_at(now, rate, bucket).leases == 0:
            spent.add(name)
    return spent


def _kinds(served: Iterable[frozenset[str]]) -> frozenset[str] | None:
    """Return the kinds that sessions name; None where one takes all."""
    kinds: frozenset[str] = frozenset()
    for named in served:
        if not named:
            return None
        kinds |= named
    return kinds


def _percentile(buckets: Counter[int], share: float) -> timedelta | None:
    """Return the upper bound of the power of two that holds the percentile."""
    seen = 0
    for bits in sorted(buckets):
        seen += buckets[bits]
        if seen >= share * buckets.total():
            return timedelta(microseconds=1 << bits)
    return None
