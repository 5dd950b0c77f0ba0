"""Deleting queues."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Table, delete, exists, func, select

from protojobs_service.domain.errors import JobRunning, QueueNotEmpty, QueueNotFound
from protojobs_service.domain.lifecycle import FINAL_STATES, State
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks
from protojobs_service.drivers.sql.cold.clear import lanes_of, page
from protojobs_service.drivers.sql.cold.delete import delete_jobs
from protojobs_service.drivers.sql.cold.lanes import FLEET
from protojobs_service.drivers.sql.cold.queue_use import drop_use
from protojobs_service.drivers.sql.cold.settings import bump

_STATES = frozenset(State) - {State.RUNNING}


def refuse(c: Connection, cold: Cold, queue: str, *, force: bool) -> None:
    """Raise what stands against deleting a queue: QueueNotFound, JobRunning, or without force QueueNotEmpty."""
    tables = cold.tables
    if c.execute(select(tables.queue.c.name).where(tables.queue.c.name == queue)).first() is None:
        raise QueueNotFound
    runs = _any_in(c, cold, queue, tables.running)
    if not force and (runs or _any_waits(c, cold, queue) or _any_counted(c, cold, queue, FINAL_STATES)):
        raise QueueNotEmpty
    if runs:
        raise JobRunning


def empty_queue(c: Connection, cold: Cold, queue: str, after: bytes | None, limit: int) -> bytes | None:
    """Delete a batch of a queue's jobs; returns the place to go on after, None at the end. Raises JobRunning."""
    if _any_in(c, cold, queue, cold.tables.running):
        raise JobRunning
    found = page(c, cold, queue, _STATES, created_to=None, after=after, limit=limit)
    delete_jobs(c, cold, found.ids)
    return found.after


def drop_queue(c: Connection, cold: Cold, queue: str, *, force: bool, trust: bool) -> bool:
    """Remove an empty queue; False where it has got jobs again. Raises as `refuse`.

    Holds the row of the fleet, which whoever makes lanes waits for: so nothing large is read here, and final jobs are what the
    counters say. trust False: not even that, as they may be wrong; a final job that stays behind goes with retention.
    Lanes stay: their ids are never given to others.
    """
    tables = cold.tables
    c.execute(select(tables.fleet.c.id).where(tables.fleet.c.id == FLEET).with_for_update())
    c.execute(select(tables.queue.c.name).where(tables.queue.c.name == queue).with_for_update())
    refuse(c, cold, queue, force=force)
    if _any_waits(c, cold, queue) or (trust and _any_counted(c, cold, queue, FINAL_STATES)):
        return False
    for some in chunks(lanes_of(c, cold, queue)):
        c.execute(delete(tables.stat_minute).where(among(tables.stat_minute.c.lane, some)))
    c.execute(delete(tables.key_use).where(tables.key_use.c.queue == queue))
    c.execute(delete(tables.fair_key).where(tables.fair_key.c.queue == queue))
    c.execute(delete(tables.queue).where(tables.queue.c.name == queue))
    drop_use(c, cold, queue)
    bump(c, cold)
    return True


def _any_waits(c: Connection, cold: Cold, queue: str) -> bool:
    lane, ready = cold.tables.lane, cold.tables.ready
    waits = select(lane.c.id).where(lane.c.queue == queue, exists().where(ready.c.lane == lane.c.id))  # by the index of `ready`
    return c.execute(waits.limit(1)).first() is not None or any(
        _any_in(c, cold, queue, table) for table in (cold.tables.due, cold.tables.held)
    )


def _any_in(c: Connection, cold: Cold, queue: str, table: Table) -> bool:
    lane = cold.tables.lane
    rows: Any = select(table.c.lane).join_from(table, lane, lane.c.id == table.c.lane).where(lane.c.queue == queue)
    return c.execute(rows.limit(1)).first() is not None


def _any_counted(c: Connection, cold: Cold, queue: str, states: Collection[State]) -> bool:
    lane, counter = cold.tables.lane, cold.tables.counter
    total = select(func.sum(counter.c.n)).join_from(counter, lane, lane.c.id == counter.c.lane)
    of_queue = (lane.c.queue == queue, counter.c.state.in_(sorted(state.value for state in states)))
    return int(c.execute(total.where(*of_queue)).scalar() or 0) > 0
