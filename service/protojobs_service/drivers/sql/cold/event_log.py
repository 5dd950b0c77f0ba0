"""Reading the log of what ended, and what runs beside it, in the snapshot of the caller's transaction."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, and_, case, delete, func, null, select

from protojobs_service.domain.errors import CursorExpired, InvalidField
from protojobs_service.domain.event import LOGGED, Ending, EventType, JobEvent, as_of, of_running
from protojobs_service.domain.job import JobId, JobRecord
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, moment, moment_or_none
from protojobs_service.drivers.sql.cold.ends import End
from protojobs_service.drivers.sql.cold.handles import workers
from protojobs_service.drivers.sql.cold.lanes import FLEET
from protojobs_service.drivers.sql.cold.records import brief_records, error_of, reason_of, records
from protojobs_service.drivers.sql.cold.sizes import sizes
from protojobs_service.port.events import Flush, LogEnd, LogPage, LogQuery, Position

_BRIEF = ("id", "attempt", "reason", "error_type", "error_message")
_AT_A_TIME = 16
"""Flushes in one read of a slot: each has up to 5000 ends."""
_PASSED_AT_A_TIME = 1000
"""Flushes that are passed over in one look, where nobody asks for completions."""
_MOST_RUNNING = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A row of the log. size: how many ends it holds; ends: those that are asked for, with their places."""

    slot: int
    seq: int
    at: int
    size: int
    ends: Sequence[tuple[int, End]]


class _Known(NamedTuple):
    """What the store has about the jobs of a page that are wanted: records by id, `done` and `attempt_detail` by attempt.

    lanes: queue and kind of each; empty where retention has dropped the job.
    """

    lanes: dict[bytes, tuple[str, str]]
    records: dict[bytes, JobRecord]
    done: dict[tuple[bytes, int], Any]
    details: dict[tuple[bytes, int], Any]
    workers: dict[int, str]


def log_end(c: Connection, cold: Cold) -> LogEnd:
    """Return the name of the log, and the last flush of each slot."""
    fleet, slots = cold.tables.fleet, cold.tables.event_slot
    name = c.execute(select(fleet.c.incarnation).where(fleet.c.id == FLEET)).scalar_one()
    return LogEnd(name, {row.slot: row.seq for row in c.execute(select(slots.c.slot, slots.c.seq))})


def read_log(c: Connection, cold: Cold, query: LogQuery) -> LogPage:
    """Return a page of the log. Raises CursorExpired, InvalidField; see the port."""
    rows, position, complete = _rows(c, cold, query)
    known = _look_up(c, cold, [end for row in rows for _, end in row.ends], query)
    flushes = [Flush(row.slot, row.seq, row.size, list(_events(row.at, row.ends, known))) for row in rows]
    return LogPage(flushes, position, complete, _live(c, cold, query) if query.live else ())


def forget_flushes(c: Connection, cold: Cold, older_than: int, limit: int, gone: Position) -> tuple[int, Position]:
    """Drop flushes that are older than so many microseconds, from the front of each slot, so that what is kept has no gap.

    Returns how many, and up to where each slot is gone. `gone`: what the last call returned; what lies below is not looked at
    again, because PostgreSQL keeps index entries of deleted rows for a while.
    """
    flush, before = cold.tables.done_flush, cold.clock(c) - older_than
    left, now_gone = limit, dict(gone)
    for slot in log_end(c, cold).position:
        of_slot = (flush.c.slot == slot, flush.c.seq > gone.get(slot, 0))
        rows = c.execute(select(flush.c.seq, flush.c.at).where(*of_slot).order_by(flush.c.seq).limit(left)).all() if left else ()
        old = [row.seq for row in takewhile(lambda row: row.at < before, rows)]
        if old:
            c.execute(delete(flush).where(*of_slot, flush.c.seq <= old[-1]))
            left, now_gone[slot] = left - len(old), old[-1]
    return limit - left, now_gone


def _rows(c: Connection, cold: Cold, query: LogQuery) -> tuple[list[_Row], Position, bool]:
    ends = log_end(c, cold).position
    if any(seq > ends.get(slot, 0) for slot, seq in query.after.items()):
        raise InvalidField("cursor", "lies beyond the log of this store")
    position = dict(query.after)
    found: list[_Row] = []
    size = 0
    passes = bool(query.states) and State.COMPLETED not in query.states
    for slot, last in sorted(ends.items()):
        last = last if query.until is None else min(last, query.until.get(slot, 0))
        while (after := position.get(slot, 0)) < last:
            if size >= query.limit:
                return found, position, False
            if passes and (passed := _completions(c, cold, slot, after, last)):
                position[slot] = after + passed
                continue
            for row in _next(c, cold, slot, after, last, query.states):
                found.append(row)
                position[slot] = row.seq
                size += max(1, len(row.ends))
                if size >= query.limit:
                    break
    return found, position, True


def _completions(c: Connection, cold: Cold, slot: int, after: int, last: int) -> int:
    """Return how many flushes that come next hold plain completions alone; 0 where one of those looked at is missing."""
    flush = cold.tables.done_flush
    last = min(last, after + _PASSED_AT_A_TIME)
    first_other = func.min(case((flush.c.changes.is_not(None), flush.c.seq)))
    behind = (flush.c.slot == slot, flush.c.seq > after, flush.c.seq <= last)
    found, first = c.execute(select(func.count(), first_other).where(*behind)).one()
    if found < last - after:
        return 0
    return last - after if first is None else first - 1 - after


def _next(c: Connection, cold: Cold, slot: int, after: int, last: int, states: Collection[State]) -> Sequence[_Row]:
    flush = cold.tables.done_flush
    behind = (flush.c.slot == slot, flush.c.seq > after, flush.c.seq <= last)
    rows = c.execute(select(flush).where(*behind).order_by(flush.c.seq).limit(_AT_A_TIME)).all()
    whole = [row for number, row in enumerate(rows, after + 1) if row.seq == number]
    if not whole:
        raise CursorExpired
    return [_Row(slot=slot, seq=row.seq, at=row.at, size=len(row.ids) // 16, ends=list(_ends(row, states))) for row in whole]


def _ends(row: Any, states: Collection[State]) -> Iterator[tuple[int, End]]:
    """Return the ends that led to one of these states, all where none is named, with their places."""
    ids, attempts, changes = (None if part is None else bytes(part) for part in (row.ids, row.attempts, row.changes))
    wanted = {state.value for state in states}
    for i in range(len(ids or b"") // 16):
        code, before, after = (Code.COMPLETED.value, State.RUNNING.value, State.COMPLETED.value)
        if changes is not None:
            code, before, after = changes[3 * i : 3 * i + 3]
        if wanted and after not in wanted:
            continue
        attempt = 1 if attempts is None else int.from_bytes(attempts[4 * i : 4 * i + 4])
        yield i, End((ids or b"")[16 * i : 16 * i + 16], attempt, Code(code), State(before), State(after) if after else None)


def _look_up(c: Connection, cold: Cold, ends: Sequence[End], query: LogQuery) -> _Known:
    tables = cold.tables
    job, lane = tables.job, tables.lane
    lanes: dict[bytes, tuple[str, str]] = dict.fromkeys((end.id for end in ends), ("", ""))
    of_lane = select(job.c.id, lane.c.queue, lane.c.kind).join_from(job, lane, lane.c.id == job.c.lane)
    for some in chunks(sorted(lanes)):
        lanes |= {row.id: (row.queue, row.kind) for row in c.execute(of_lane.where(among(job.c.id, some)))}
    lanes = {job_id: names for job_id, names in lanes.items() if query.wanted(*names)}
    ids = sorted(lanes)
    done = _by_attempt(c, tables.done.c, ids)
    return _Known(
        lanes,
        _records(c, cold, ids, query),
        done,
        _by_attempt(c, _details(tables.attempt_detail, query), ids),
        workers(c, cold, {abs(row.handle) for row in done.values()}),
    )


def _records(c: Connection, cold: Cold, ids: Sequence[bytes], query: LogQuery) -> dict[bytes, JobRecord]:
    return (
        records(c, cold, ids) if query.brief is None else brief_records(c, cold, ids, sizes(c, cold, ids, brief=True), query.brief)
    )


def _details(detail: Table, query: LogQuery) -> Iterable[ColumnElement[Any]]:
    """Return what an event tells of an attempt: never its result or checkpoint, and its stack only where all is wanted."""
    stack = detail.c.error_stack if query.brief is None else null().label("error_stack")
    return [*(detail.c[name] for name in _BRIEF), stack]


def _by_attempt(c: Connection, columns: Iterable[ColumnElement[Any]], ids: Sequence[bytes]) -> dict[tuple[bytes, int], Any]:
    table = select(*columns)
    found = [row for some in chunks(ids) for row in c.execute(table.where(among(table.selected_columns["id"], some)))]
    return {(row.id, row.attempt): row for row in found}


def _events(flushed_at: int, ends: Sequence[tuple[int, End]], known: _Known) -> Iterator[tuple[int, JobEvent]]:
    for place, end in ends:
        if end.id not in known.lanes:
            continue
        queue, kind = known.lanes[end.id]
        done = known.done.get((end.id, end.attempt))
        details = known.details.get((end.id, end.attempt))
        handle = 0 if done is None else done.handle
        started_at = None if done is None else moment_or_none(done.started_at)
        worker = known.workers.get(abs(handle), "")
        record = None if end.after is None else known.records.get(end.id)
        at = moment(flushed_at if done is None or end.after is None else done.finished_at)
        ending = Ending(started_at, at, error_of(details), reason_of(details), worker)
        yield (
            place,
            JobEvent(
                type=LOGGED[end.code],
                id=JobId(end.id),
                attempt=end.attempt,
                at=at,
                before=end.before,
                after=end.after,
                queue=queue,
                kind=kind,
                worker=worker,
                by_worker=handle > 0 and end.after is not None,
                started_at=started_at,
                job=None if record is None or end.after is None else as_of(record, end.after, end.attempt, ending),
            ),
        )


def _live(c: Connection, cold: Cold, query: LogQuery) -> list[JobEvent]:
    """Return what has started, and what has told its progress, since `query.known`."""
    running, lane, detail = cold.tables.running, cold.tables.lane, cold.tables.attempt_detail
    same = and_(detail.c.id == running.c.id, detail.c.attempt == running.c.attempt)
    source = running.join(lane, lane.c.id == running.c.lane).outerjoin(detail, same)
    columns = select(running.c.id, running.c.attempt, running.c.started_at, detail.c.progress_at).select_from(source)
    rows = c.execute(columns.where(lane.c.queue.in_(sorted(query.live))).limit(_MOST_RUNNING)).all()
    fresh: list[tuple[Any, EventType, int]] = []
    for row in rows:
        key, progress_at = (JobId(row.id), row.attempt), moment_or_none(row.progress_at)
        if key not in query.known:
            fresh.append((row, EventType.PROCESSING, row.started_at))
        if progress_at is not None and progress_at != query.known.get(key):
            fresh.append((row, EventType.PROGRESS, row.progress_at))
    found = _records(c, cold, sorted({row.id for row, _, _ in fresh}), query)
    return [
        of_running(kind, job, moment(at))
        for row, kind, at in sorted(fresh, key=lambda each: each[2])
        if (job := found.get(row.id)) is not None
    ]
