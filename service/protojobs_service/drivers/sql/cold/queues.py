"""Queues as a whole: deleting them, and mending their counters."""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, literal, select, union_all

from protojobs_service.domain.errors import JobRunning, QueueNotEmpty, QueueNotFound
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import STATE_OF_CODE, State
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, insert_new, micros, moment, tally
from protojobs_service.drivers.sql.cold.delete import delete_jobs
from protojobs_service.drivers.sql.cold.lanes import FLEET
from protojobs_service.drivers.sql.cold.listing import Filter, find
from protojobs_service.drivers.sql.cold.settings import bump
from protojobs_service.port.queues import Cleared, ClearQuery

_STATES = frozenset(State) - {State.RUNNING}
_NO_LANE = 0
"""The lane of the counter row that is only a lock."""
_FINAL = 100
"""Tells outcome codes from states in the recount."""


def lanes_of(c: Connection, cold: Cold, queue: str) -> list[int]:
    """Return the lanes of a queue."""
    lane = cold.tables.lane
    return list(c.execute(select(lane.c.id).where(lane.c.queue == queue)).scalars())


def delete_queue(c: Connection, cold: Cold, queue: str, *, force: bool, batch: int) -> bool:
    """Remove a queue, or a batch of its jobs; tells whether the queue is gone.

    Raises QueueNotFound, QueueNotEmpty (without force) and JobRunning. Lanes stay: their ids are never given to others.
    """
    tables = cold.tables
    c.execute(select(tables.fleet.c.id).where(tables.fleet.c.id == FLEET).with_for_update())
    row = c.execute(select(tables.queue.c.name).where(tables.queue.c.name == queue).with_for_update()).first()
    if row is None:
        raise QueueNotFound
    lanes = lanes_of(c, cold, queue)
    if _any_in(c, cold, lanes, frozenset(State)):
        if not force:
            raise QueueNotEmpty
        if _any_in(c, cold, lanes, frozenset({State.RUNNING})):
            raise JobRunning
        ids = find(c, cold, Filter(lanes=lanes, states=_STATES, limit=batch))
        delete_jobs(c, cold, ids)
        if len(ids) == batch or _any_in(c, cold, lanes, frozenset(State)):
            return False
    for some in chunks(lanes):
        c.execute(delete(tables.stat_minute).where(among(tables.stat_minute.c.lane, some)))
    c.execute(delete(tables.queue).where(tables.queue.c.name == queue))
    bump(c, cold)
    return True


def _any_in(c: Connection, cold: Cold, lanes: Sequence[int], states: frozenset[State]) -> bool:
    return bool(find(c, cold, Filter(lanes=lanes, states=states, limit=1)))


def clear(c: Connection, cold: Cold, query: ClearQuery) -> Cleared:
    """Delete (or count) one page of a queue's jobs in id order; never running ones."""
    barrier = cold.clock(c) if query.before is None else micros(query.before)
    wanted = Filter(
        lanes=lanes_of(c, cold, query.queue),
        states=query.states - {State.RUNNING},
        created_to=barrier + 1,
        after=query.after,
        limit=query.limit + 1,
    )
    ids = find(c, cold, wanted)
    page = ids[: query.limit]
    gone = len(page)
    if not query.dry_run:
        gone = sum(result.found and result.state is None for result in delete_jobs(c, cold, [JobId(job_id) for job_id in page]))
    return Cleared(gone, JobId(page[-1]) if len(ids) > query.limit else None, moment(barrier))


def reconcile(c: Connection, cold: Cold) -> int:
    """Recount states and mend what differs, by adding to this writer's own counters; returns how many differed.

    Count and counters are read in one statement, so in one snapshot: what others change meanwhile is in both or in neither.
    """
    tables = cold.tables
    counter, running, due, ready, done = tables.counter, tables.running, tables.due, tables.ready, tables.done
    lock = {"lane": _NO_LANE, "state": 0, "slot": 0}
    insert_new(c, counter, [lock | {"n": 0}])
    c.execute(select(counter.c.n).where(*(counter.c[key] == value for key, value in lock.items())).with_for_update())
    is_final = done.c.outcome.in_([int(code) for code in STATE_OF_CODE])
    counted = union_all(
        select(counter.c.lane, counter.c.state, -func.sum(counter.c.n))
        .where(counter.c.lane > 0)
        .group_by(counter.c.lane, counter.c.state),
        select(running.c.lane, literal(State.RUNNING.value), func.count()).group_by(running.c.lane),
        select(ready.c.lane, literal(State.PENDING.value), func.count()).group_by(ready.c.lane),
        select(due.c.lane, due.c.state, func.count()).group_by(due.c.lane, due.c.state),
        select(done.c.lane, done.c.outcome + _FINAL, func.count()).where(is_final).group_by(done.c.lane, done.c.outcome),
    )
    wrong: Counter[tuple[int, State]] = Counter()
    for lane, number, n in c.execute(counted):
        state = STATE_OF_CODE[number - _FINAL] if number > _FINAL else State(number)
        wrong[lane, state] += int(n)
    tally(c, cold, wrong)
    return sum(1 for n in wrong.values() if n)
