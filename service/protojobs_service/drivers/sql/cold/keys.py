"""The rows of unique keys: locking and freeing them. What they mean is decided in `unique`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import mysql

from protojobs_service.drivers.sql.cold.base import Cold, among, among_keys, chunks, delete_ids, insert_new
from protojobs_service.drivers.sql.mysql_keys import BY_KEY, by_index

Place = tuple[str, str]
"""(queue, key)."""


class KeyRow(NamedTuple):
    """Who has a key; until: of scope WINDOW."""

    id: bytes
    queue: str
    key: str
    scope: int
    until: int | None

    @property
    def place(self) -> Place:
        """Return which key it is."""
        return self.queue, self.key


def read_keys(c: Connection, cold: Cold, places: Iterable[Place], *, lock: bool = False) -> dict[Place, KeyRow]:
    """Return the rows of these keys; locked until the end of the transaction where asked, in the order of their index."""
    table = cold.tables.unique_key
    order = [table.c.queue, table.c.key]
    columns = select(*(table.c[name] for name in KeyRow._fields)).order_by(*order)
    columns = columns.with_hint(table, by_index(table, "unique_key_place"), "mysql")
    statement = columns.with_for_update() if lock else columns
    wanted = sorted(places)
    found: dict[Place, KeyRow] = {}
    for some in chunks(wanted):
        rows = [KeyRow(*row) for row in c.execute(statement.where(among_keys(order, some)))]
        found |= {row.place: row for row in rows}
    return found


def lock_keys(c: Connection, cold: Cold, wanted: Mapping[Place, KeyRow]) -> dict[Place, KeyRow]:
    """Take the keys that have no row, and return the rows of all, locked: whoever asks for one of them next waits.

    In the order of their index, so that two that want the same keys cannot deadlock. A key whose row was removed just now may be
    missing: ask again.
    """
    rows = [wanted[place]._asdict() for place in sorted(wanted)]
    _insert(c, cold, rows)
    return read_keys(c, cold, wanted, lock=True)


def own_keys(c: Connection, cold: Cold, ids: Sequence[bytes]) -> dict[bytes, KeyRow]:
    """Return the keys of jobs, locked, by id."""
    table = cold.tables.unique_key
    found: dict[bytes, KeyRow] = {}
    for some in chunks(ids):
        mine = select(*(table.c[name] for name in KeyRow._fields)).where(among(table.c.id, some))
        mine = mine.order_by(table.c.queue, table.c.key).with_hint(table, BY_KEY, "mysql").with_for_update()
        found |= {row.id: KeyRow(*row) for row in c.execute(mine)}
    return found


def give_keys(c: Connection, cold: Cold, old: Sequence[KeyRow], new: Sequence[KeyRow]) -> None:
    """Replace locked rows by those of other jobs, or of other times."""
    delete_ids(c, cold.tables.unique_key, sorted(row.id for row in old))
    if new:
        c.execute(cold.tables.unique_key.insert(), [row._asdict() for row in sorted(new, key=lambda row: row.place)])


def free_keys(c: Connection, cold: Cold, ids: Sequence[bytes]) -> None:
    """Free the keys of jobs; one that another job has taken since is left alone."""
    table = cold.tables.unique_key
    for some in chunks(ids):
        mine = select(table.c.id).where(among(table.c.id, some)).order_by(table.c.queue, table.c.key)
        mine = mine.with_hint(table, BY_KEY, "mysql")
        delete_ids(c, table, list(c.execute(mine.with_for_update()).scalars()))  # locked in the order of `lock_keys`


def forget_windows(c: Connection, cold: Cold, limit: int) -> int:
    """Drop at most `limit` keys whose window is over; returns how many."""
    table = cold.tables.unique_key
    over = select(table.c.id).where(table.c.until <= cold.clock(c)).order_by(table.c.until).limit(limit)
    over = over.with_hint(table, by_index(table, "unique_key_until"), "mysql")
    ids = list(c.execute(over.with_for_update(skip_locked=True)).scalars())
    delete_ids(c, table, ids)
    return len(ids)


def forget_queue(c: Connection, cold: Cold, queue: str, limit: int) -> int:
    """Drop at most `limit` keys of a queue, whoever has them; returns how many."""
    table = cold.tables.unique_key
    rows = select(table.c.id).where(table.c.queue == queue).limit(limit)
    ids = list(c.execute(rows.with_hint(table, by_index(table, "unique_key_place"), "mysql")).scalars())
    for some in chunks(ids):
        c.execute(delete(table).where(among(table.c.id, some)))
    return len(ids)


def _insert(c: Connection, cold: Cold, rows: Sequence[dict[str, Any]]) -> None:
    table = cold.tables.unique_key
    if c.dialect.name == "mysql":
        # IGNORE would lock a row that is there for reading, and two that then lock it for writing are a deadlock.
        statement = mysql.insert(table)
        c.execute(statement.on_duplicate_key_update(scope=table.c.scope), rows)
    else:
        insert_new(c, table, rows)
