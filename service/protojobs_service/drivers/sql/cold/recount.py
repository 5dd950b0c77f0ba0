"""Recounting states, and mending counters that differ.

What counters and rows differ by in one snapshot stays true as something to add, whatever others change meanwhile: so it is read
without a lock, and added in a short transaction, unless another replica has added it in between.
"""

from collections import Counter
from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, func, literal, select, update

from protojobs_service.domain.lifecycle import FINAL_STATES, STATE_OF_CODE, State
from protojobs_service.drivers.sql.cold.base import MINUTE, Cold, insert_new, tally

_NO_LANE = 0
"""The lane of the counter rows that say when a part was recounted last."""
_PAUSE = 60 * MINUTE
_PAGE = 200_000


class Part(Enum):
    """What is recounted in one go: `done` holds nearly everything and hardly differs, so that once an hour is enough for it."""

    MOVING = 0
    FINAL = 1


class Difference(NamedTuple):
    """What to add to the counters. mark: of the last recount that mended something; at: of this one."""

    changes: Counter[tuple[int, State]]
    mark: int
    at: int


def differ(c: Connection, cold: Cold, part: Part) -> Difference | None:
    """Compare rows and counters in the snapshot of this transaction; None where a replica has done so within the hour."""
    counter = cold.tables.counter
    mark, now = c.execute(select(counter.c.n).where(*_is_mark(cold, part))).scalar() or 0, cold.clock(c)
    if part is Part.FINAL and 0 <= now - mark < _PAUSE:
        return None
    states = FINAL_STATES if part is Part.FINAL else frozenset(State) - FINAL_STATES
    kept = (
        select(counter.c.lane, counter.c.state, func.sum(counter.c.n))
        .where(counter.c.lane > _NO_LANE, counter.c.state.in_(sorted(state.value for state in states)))
        .group_by(counter.c.lane, counter.c.state)
    )
    changes: Counter[tuple[int, State]] = Counter()
    for lane, state, n in c.execute(kept):
        changes[lane, State(state)] -= int(n)
    for lane, state, n in _final(c, cold.tables.done) if part is Part.FINAL else _moving(c, cold):
        changes[lane, state] += n
    wrong = Counter({key: n for key, n in changes.items() if n})
    return Difference(wrong, mark, max(now, mark + 1))


def mend(c: Connection, cold: Cold, part: Part, found: Difference) -> int:
    """Add a difference to this writer's own counters; returns how many differed, 0 where another replica was faster."""
    counter = cold.tables.counter
    insert_new(c, counter, [{"lane": _NO_LANE, "state": part.value, "slot": 0, "n": 0}])
    mark = c.execute(select(counter.c.n).where(*_is_mark(cold, part)).with_for_update()).scalar_one()
    if mark != found.mark:
        return 0
    c.execute(update(counter).where(*_is_mark(cold, part)).values(n=found.at))
    tally(c, cold, found.changes)
    return len(found.changes)


def _is_mark(cold: Cold, part: Part) -> tuple[Any, ...]:
    counter = cold.tables.counter
    return counter.c.lane == _NO_LANE, counter.c.state == part.value, counter.c.slot == 0


def _moving(c: Connection, cold: Cold) -> Iterator[tuple[int, State, int]]:
    running, ready, held, due = cold.tables.running, cold.tables.ready, cold.tables.held, cold.tables.due
    for statement in (
        select(running.c.lane, literal(State.RUNNING.value), func.count()).group_by(running.c.lane),
        select(ready.c.lane, literal(State.PENDING.value), func.count()).group_by(ready.c.lane),
        select(held.c.lane, literal(State.PENDING.value), func.count()).group_by(held.c.lane),
        select(due.c.lane, due.c.state, func.count()).group_by(due.c.lane, due.c.state),
    ):
        for lane, state, n in c.execute(statement):
            yield lane, State(state), int(n)


def _final(c: Connection, done: Table) -> Iterator[tuple[int, State, int]]:
    """Count in ranges of ids, so that no statement takes long."""
    is_final = done.c.outcome.in_([int(code) for code in STATE_OF_CODE])
    counted = select(done.c.lane, done.c.outcome, func.count()).where(is_final).group_by(done.c.lane, done.c.outcome)
    ids = select(done.c.id).order_by(done.c.id).offset(_PAGE - 1).limit(1)
    above: list[Any] = []
    while True:
        end = c.execute(ids.where(*above)).scalar()
        up_to = [] if end is None else [done.c.id <= end]
        for lane, code, n in c.execute(counted.where(*above, *up_to)):
            yield lane, STATE_OF_CODE[code], int(n)
        if end is None:
            return
        above = [done.c.id > end]
