"""Concurrency keys: a job with one is claimable only while it has one of the places of its key; the others wait in `held`.

The row of the key in `key_use` is locked by whatever takes or frees a place, and by whatever holds a job: so nobody frees the
last place unseen by one who begins to wait. Flag PLACE on a job's row says that it counts in `used`. Rows of jobs are locked
before rows of keys, keys in their order, and what is held only after its key; a held row that another one has locked is skipped.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, Table, bindparam, delete, exists, literal, select, tuple_, update

from protojobs_service.drivers.sql.cold.base import Cold, add, among, among_keys, chunks, delete_ids, insert_all, kept
from protojobs_service.drivers.sql.cold.rows import Arrival, Placed, Waiting, insert_ready, row_of
from protojobs_service.drivers.sql.mysql_keys import BY_KEY, by_index
from protojobs_service.drivers.sql.tables import HAS_KEY, PLACE


class Key(NamedTuple):
    """A concurrency key is one of its queue."""

    queue: str
    key: str


class Room(NamedTuple):
    """Keys for which the sweep has something to do, and the key to go on after; None: the end was reached."""

    keys: list[Key]
    after: Key | None


def admit(c: Connection, cold: Cold, jobs: Sequence[Placed]) -> list[Placed]:
    """Return the jobs that may be claimed, with PLACE where they have a key; hold the others, behind what is held already."""
    asking = [i for i, (job, _) in enumerate(jobs) if job.flags & (HAS_KEY | PLACE) == HAS_KEY]
    if not asking:
        return list(jobs)
    keys = keys_of(c, cold, [jobs[i][0].id for i in asking])
    uses, limits = _lock(c, cold, keys.values()), _limits(c, cold, {key.queue for key in keys.values()})
    busy = _with_held(c, cold, [key for key, (used, _) in uses.items() if used < limits[key.queue]])
    admitted: dict[int, Placed] = {}
    held: list[dict[str, Any]] = []
    for i in asking:
        job, position = jobs[i]
        key = keys[job.id]
        used, last_turn = uses[key]
        if used < limits[key.queue] and key not in busy:
            uses[key] = (used + 1, last_turn)
            admitted[i] = (job._replace(flags=job.flags | PLACE), position)
        else:
            uses[key] = (used, last_turn + 1)
            held.append(row_of(job) | {"queue": key.queue, "key": key.key, "turn": last_turn + 1, "position": position})
    insert_all(c, cold.tables.held, held)
    _store(c, cold, uses)
    waiting = set(asking) - admitted.keys()
    return [admitted.get(i, placed) for i, placed in enumerate(jobs) if i not in waiting]


def free(c: Connection, cold: Cold, ids: Sequence[bytes]) -> set[Arrival]:
    """Give back the places of jobs that had one, to those that are held longest; returns where they stand now."""
    if not ids:
        return set()
    freed = Counter(keys_of(c, cold, ids).values())
    return _hand_over(c, cold, _lock(c, cold, freed), freed)


def serial_lanes(c: Connection, cold: Cold, lanes: Collection[int]) -> set[int]:
    """Return those of these lanes whose queue runs one job of a key at once: there a retry keeps its place, so that order holds."""
    lane, queue = cold.tables.lane, cold.tables.queue
    found: set[int] = set()
    for some in chunks(sorted(lanes)):
        rows = select(lane.c.id, queue.c.settings).join_from(lane, queue, queue.c.name == lane.c.queue)
        found |= {row.id for row in c.execute(rows.where(among(lane.c.id, some))) if _limit(row.settings) == 1}
    return found


def take_held(c: Connection, cold: Cold, ids: Sequence[bytes]) -> list[Waiting]:
    """Take jobs out of `held`."""
    held = cold.tables.held
    taken: list[Waiting] = []
    for some in chunks(ids):
        rows = select(*_columns(cold)).with_hint(held, BY_KEY, "mysql").where(among(held.c.id, some)).order_by(held.c.id)
        found = [Waiting(*row) for row in c.execute(rows.with_for_update())]
        delete_ids(c, held, [job.id for job in found])
        taken += found
    return taken


def keys_of(c: Connection, cold: Cold, ids: Sequence[bytes]) -> dict[bytes, Key]:
    """Return the concurrency key of each job that has one."""
    job, lane, job_key = cold.tables.job, cold.tables.lane, cold.tables.job_key
    columns = select(job_key.c.id, lane.c.queue, job_key.c.concurrency_key)
    joined = columns.join_from(job_key, job, job.c.id == job_key.c.id).join(lane, lane.c.id == job.c.lane)
    keyed = joined.where(job_key.c.concurrency_key.is_not(None))
    return {
        row.id: Key(row.queue, row.concurrency_key)
        for some in chunks(ids)
        for row in c.execute(keyed.where(among(job_key.c.id, some)))
    }


def has_keys(c: Connection, cold: Cold) -> bool:
    """Tell whether any concurrency key is known, by one statement."""
    return c.execute(_any_key(cold.tables.key_use)).first() is not None


@kept
def _any_key(key_use: Table) -> Select[Any]:
    return select(key_use.c.queue).limit(1)


def find_room(c: Connection, cold: Cold, after: Key | None, limit: int) -> Room:
    """Look at `limit` keys: which have both room and jobs that are held (a limit was raised), or neither (the row can go)."""
    key_use, held = cold.tables.key_use, cold.tables.held
    waits = exists().where(held.c.queue == key_use.c.queue, held.c.key == key_use.c.key)
    rows = select(key_use.c.queue, key_use.c.key, key_use.c.used, waits.label("waits"))
    page = rows.order_by(key_use.c.queue, key_use.c.key).limit(limit)
    if after is not None:
        page = page.where(tuple_(key_use.c.queue, key_use.c.key) > tuple_(literal(after.queue), literal(after.key)))
    found = c.execute(page).all()
    limits = _limits(c, cold, {row.queue for row in found})
    keys = [Key(row.queue, row.key) for row in found if (row.used < limits[row.queue] if row.waits else row.used <= 0)]
    return Room(keys, Key(found[-1].queue, found[-1].key) if len(found) == limit else None)


def unhold(c: Connection, cold: Cold, keys: Sequence[Key]) -> set[Arrival]:
    """Give the free places of these keys to what is held; returns where it stands now."""
    return _hand_over(c, cold, _lock(c, cold, keys), Counter())


_Uses = dict[Key, tuple[int, int]]
"""used and last_turn of keys that are locked."""


def _hand_over(c: Connection, cold: Cold, uses: _Uses, freed: Counter[Key]) -> set[Arrival]:
    """Give the free places of keys that are locked, and those that were freed now, to what is held; `uses` is as it was before."""
    limits = _limits(c, cold, {key.queue for key in uses})
    room = {key: limits[key.queue] - used + freed[key] for key, (used, _) in uses.items()}
    chosen = _longest_held(c, cold, {key: places for key, places in room.items() if places > 0})
    ready = [placed for each in chosen.values() for placed in each]
    delete_ids(c, cold.tables.held, [job.id for job, _ in ready])
    insert_ready(c, cold, ready, moved=True)
    now = {key: (used - freed[key] + len(chosen.get(key, ())), last_turn) for key, (used, last_turn) in uses.items()}
    # Mostly one goes and the next one comes. What nobody uses was always written, or is new.
    _store(c, cold, {key: use for key, use in now.items() if use != uses[key] or use[0] <= 0})
    # They keep the positions of their arrival, which a claim may have passed.
    return {Arrival(job.lane, job.band, front=True) for job, _ in ready}


def _longest_held(c: Connection, cold: Cold, room: Mapping[Key, int]) -> dict[Key, list[Placed]]:
    """Return and lock as many held jobs of each key as it has room for, in their order."""
    firsts = _firsts(c, cold, [key for key, places in room.items() if places == 1])
    chosen = {key: [placed] for key, placed in _held_rows(c, cold, firsts)}
    # One that somebody else has locked, or has moved to another queue meanwhile, is passed over.
    rest = {key: places for key, places in room.items() if places > 1 or (key in firsts and key not in chosen)}
    return chosen | {key: _next(c, cold, key, places) for key, places in rest.items()}


def _firsts(c: Connection, cold: Cold, keys: Sequence[Key]) -> dict[Key, bytes]:
    """Return which job of each key is held longest, in a statement for all keys: to free one place of each is the usual case."""
    key_use, held = cold.tables.key_use, cold.tables.held
    of_key = select(held.c.id).where(held.c.queue == key_use.c.queue, held.c.key == key_use.c.key)
    first = of_key.with_hint(held, by_index(held, "held_turn"), "mysql").order_by(held.c.turn).limit(1).scalar_subquery()
    rows = select(key_use.c.queue, key_use.c.key, first.label("first"))
    found = [row for some in chunks(keys) for row in c.execute(rows.where(_is_one_of(key_use.c, some)))]
    return {Key(row.queue, row.key): row.first for row in found if row.first is not None}


def _held_rows(c: Connection, cold: Cold, firsts: Mapping[Key, bytes]) -> list[tuple[Key, Placed]]:
    """Lock and return those of these jobs that are held under their key, and that nobody else has locked."""
    held = cold.tables.held
    rows = select(held.c.queue, held.c.key, held.c.position, *_columns(cold)).with_hint(held, BY_KEY, "mysql").order_by(held.c.id)
    found: list[tuple[Key, Placed]] = []
    for some in chunks(list(firsts.values())):
        locked: Any = c.execute(rows.where(among(held.c.id, some)).with_for_update(skip_locked=True))
        for queue, key, *row in locked:
            [placed] = _placed([row])
            if firsts.get(Key(queue, key)) == placed[0].id:
                found.append((Key(queue, key), placed))
    return found


def _next(c: Connection, cold: Cold, key: Key, limit: int) -> list[Placed]:
    held = cold.tables.held
    rows = select(held.c.position, *_columns(cold)).where(held.c.queue == key.queue, held.c.key == key.key)
    rows = rows.with_hint(held, by_index(held, "held_turn"), "mysql").order_by(held.c.turn).limit(limit)
    return _placed(c.execute(rows.with_for_update(skip_locked=True)).all())


def _placed(rows: Iterable[Any]) -> list[Placed]:
    """Return held rows as they will stand in `ready`, with the place that they get."""
    found = [(Waiting(*columns), position) for position, *columns in rows]
    return [(job._replace(flags=job.flags | PLACE), position) for job, position in found]


def _columns(cold: Cold) -> list[ColumnElement[Any]]:
    return [cold.tables.held.c[name] for name in Waiting._fields[:-1]]


def _lock(c: Connection, cold: Cold, keys: Iterable[Key]) -> _Uses:
    """Lock the rows of these keys, made where there are none."""
    key_use, wanted = cold.tables.key_use, sorted(set(keys))
    add(c, key_use, [{"queue": key.queue, "key": key.key, "used": 0, "last_turn": 0} for key in wanted], columns=["used"])
    rows = [row for some in chunks(wanted) for row in c.execute(select(key_use).where(_is_one_of(key_use.c, some)))]
    return {Key(row.queue, row.key): (row.used, row.last_turn) for row in sorted(rows, key=lambda row: (row.queue, row.key))}


def _store(c: Connection, cold: Cold, uses: Mapping[Key, tuple[int, int]]) -> None:
    """Write what places are taken; a key that nobody uses any more has no row."""
    key_use, held = cold.tables.key_use, cold.tables.held
    changed = update(key_use).where(key_use.c.queue == bindparam("q"), key_use.c.key == bindparam("k"))
    values = [{"q": key.queue, "k": key.key, "n": used, "t": last_turn} for key, (used, last_turn) in uses.items()]
    if values:
        c.execute(changed.values(used=bindparam("n"), last_turn=bindparam("t")), values)
    waits = exists().where(held.c.queue == key_use.c.queue, held.c.key == key_use.c.key)
    for some in chunks([key for key, (used, _) in uses.items() if used <= 0]):
        c.execute(delete(key_use).where(_is_one_of(key_use.c, some), key_use.c.used <= 0, ~waits))


def _with_held(c: Connection, cold: Cold, keys: Sequence[Key]) -> set[Key]:
    held = cold.tables.held
    found = select(held.c.queue, held.c.key).distinct()
    return {Key(row.queue, row.key) for some in chunks(keys) for row in c.execute(found.where(_is_one_of(held.c, some)))}


def _limits(c: Connection, cold: Cold, queues: Collection[str]) -> dict[str, int]:
    """Return the per_key_limit of queues as it is stored now; what a replica remembers may be old."""
    queue = cold.tables.queue
    limits = dict.fromkeys(queues, 1)
    for some in chunks(sorted(queues)):
        rows = c.execute(select(queue.c.name, queue.c.settings).where(among(queue.c.name, some)))
        limits |= {row.name: _limit(row.settings) for row in rows}
    return limits


def _limit(settings: str) -> int:
    return int(json.loads(settings).get("per_key_limit", 1))


def _is_one_of(columns: Any, keys: Sequence[Key]) -> ColumnElement[bool]:
    return among_keys([columns.queue, columns.key], keys)
