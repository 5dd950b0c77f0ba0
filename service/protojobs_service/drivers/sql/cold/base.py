"""What every cold operation works with: the tables, the store's clock, the writer's counter slot, and batched writes."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Insert, Table, and_, any_, delete, literal, or_, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.sql.mysql_keys import delete_of_ids
from protojobs_service.drivers.sql.tables import Tables
from protojobs_service.port.driver import Fingerprint, UniqueOf, no_unique

T = TypeVar("T")

CHUNK = 512
"""Bound values in one list: far below every dialect's limit."""
_SIZES = (1, 8, 64, CHUNK)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
SECOND = 1_000_000
MINUTE = 60 * SECOND


WRITERS = 4
"""Writers of a replica: the pipelines dispatch, claim and settle, and everything else, dispatches of large jobs among it."""


@dataclass(slots=True)
class Replica:
    """This replica's number in `replica`, and whether it is still its own. name: no other process has it.

    fair: lanes of fair queues, as this replica has read them last.
    """

    name: str
    number: int = 0
    lost: bool = False
    fair: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cold:
    """The ground that cold operations stand on. writer: 0 to WRITERS - 1."""

    tables: Tables
    now: Callable[[], ColumnElement[int]]
    replica: Replica
    writer: int
    fingerprint: Fingerprint
    unique_of: UniqueOf = no_unique

    @property
    def slot(self) -> int:
        """Return the writer's number: rows of `counter` and `stat_minute` under it are written by no other pipeline or replica."""
        return self.replica.number * WRITERS + self.writer

    def clock(self, connection: Connection) -> int:
        """Return the store's clock in microseconds."""
        return int(connection.execute(select(self.now())).scalar_one())


Tallies = dict[int, tuple[Cold, Counter[tuple[int, State]]]]
"""What a transaction adds to the counters, by slot."""
_TALLIES = "protojobs.tallies"


def micros(at: datetime) -> int:
    """Return an aware time as stored."""
    return (at - _EPOCH) // _MICROSECOND


def span(length: timedelta) -> int:
    """Return a length in microseconds."""
    return length // _MICROSECOND


def first_id(at: int) -> bytes:
    """Return the smallest UUIDv7 of a time."""
    return max(0, at // 1000).to_bytes(6, "big") + bytes(10)


def moment(at: int) -> datetime:
    """Return a stored time."""
    return _EPOCH + timedelta(microseconds=at)


def moment_or_none(at: int | None) -> datetime | None:
    """Return a stored time that may be missing."""
    return None if at is None else moment(at)


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield `values` in pieces that fit into one statement."""
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


def among(column: "Column[Any] | ColumnElement[Any]", values: Sequence[Any]) -> ColumnElement[bool]:
    """Return `column IN values` (at most CHUNK of them), padded to one of four lengths so that few statements are prepared."""
    return column.in_(padded(values))


def any_of(c: Connection, column: "Column[int]", numbers: Sequence[int]) -> ColumnElement[bool]:
    """Return `column IN numbers` (at most CHUNK of them), for what is asked of all streams every second.

    On PostgreSQL they are one array: to renew 1000 sessions takes 8 ms of CPU and 18 in all so, by single values 19 and 47.
    """
    if c.dialect.name == "postgresql":
        return column == any_(literal(list(numbers), postgresql.ARRAY(column.type)))
    return among(column, numbers)


def padded(values: Sequence[T]) -> list[T]:
    """Return `values` (at most CHUNK of them), the last one repeated up to one of four lengths."""
    size = next(size for size in _SIZES if size >= len(values))
    return [*values, *[values[-1]] * (size - len(values))]


def among_keys(columns: Sequence["Column[Any]"], keys: Sequence[tuple[Any, ...]]) -> ColumnElement[bool]:
    """Return `columns IN keys` (at most CHUNK of them): for each beginning that they share, a list of their last parts.

    A list of whole keys is planned as so many conditions, which took longer than what they found.
    """
    *first, last = columns
    ends: dict[tuple[Any, ...], list[Any]] = {}
    for *beginning, end in keys:
        ends.setdefault(tuple(beginning), []).append(end)
    return or_(
        *(
            and_(*(column == value for column, value in zip(first, beginning, strict=True)), among(last, some))
            for beginning, some in ends.items()
        )
    )


def delete_ids(c: Connection, table: Table, ids: Sequence[bytes]) -> None:
    """Delete the rows of these ids; no other row is waited for."""
    for some in chunks(ids):
        if c.dialect.name == "mysql":
            c.exec_driver_sql(delete_of_ids(table, some))
        else:
            c.execute(delete(table).where(among(table.c.id, some)))


def insert_all(c: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows that are known to be new."""
    if rows:
        c.execute(_insert(table), rows)


def insert_new(c: Connection, table: Table, rows: Sequence[dict[str, Any]], *, returning: Column[Any] | None = None) -> list[Any]:
    """Insert rows and leave those alone whose key exists; returns the column of the inserted ones where asked."""
    if not rows:
        return []
    statement = _insert_unless_known(c.dialect.name, table)
    if returning is None:
        c.execute(statement, rows)
        return []
    return list(c.execute(statement.returning(returning), rows).scalars())


def upsert(c: Connection, table: Table, rows: Sequence[dict[str, Any]], *, replaces: Iterable[str]) -> None:
    """Insert rows; where the primary key exists, replace the named columns."""
    if rows:
        c.execute(_insert_or_replace(c.dialect.name, table, tuple(replaces)), rows)


def add(c: Connection, table: Table, rows: Sequence[dict[str, Any]], *, columns: Iterable[str]) -> None:
    """Insert rows; where the primary key exists, add the named columns to what is there."""
    if rows:
        c.execute(_insert_or_add(c.dialect.name, table, tuple(columns)), rows)


def tally(c: Connection, cold: Cold, changes: Counter[tuple[int, State]]) -> None:
    """Add to the counters of (lane, state): inside of `hold_tallies` by `write_tallies`, else at once."""
    held: Tallies | None = c.info.get(_TALLIES)
    if held is None:
        _write_tally(c, cold, cold.slot, changes)
    else:
        held.setdefault(cold.slot, (cold, Counter()))[1].update(changes)


def hold_tallies(c: Connection) -> None:
    """Keep what is tallied from now on until `write_tallies`: a counter is a lock that everybody needs, hence the last to take."""
    c.info[_TALLIES] = {}


def held_tallies(c: Connection) -> Tallies:
    """Return a copy of what is kept."""
    held: Tallies = c.info.get(_TALLIES) or {}
    return {slot: (cold, Counter(changes)) for slot, (cold, changes) in held.items()}


def restore_tallies(c: Connection, held: Tallies) -> None:
    """Keep what was kept when `held` was copied: what came since was rolled back."""
    if _TALLIES in c.info:
        c.info[_TALLIES] = held


def write_tallies(c: Connection, *, hold: bool) -> None:
    """Add to the counters what is kept. hold: go on keeping what comes."""
    held: Tallies = c.info.pop(_TALLIES, None) or {}
    for slot, (cold, changes) in sorted(held.items(), key=lambda item: item[0]):
        _write_tally(c, cold, slot, changes)
    if hold:
        hold_tallies(c)


def _write_tally(c: Connection, cold: Cold, slot: int, changes: Counter[tuple[int, State]]) -> None:
    """Write in key order, so that two writers of a slot cannot deadlock."""
    rows = [
        {"lane": lane, "state": state.value, "slot": slot, "n": n}
        for (lane, state), n in sorted(changes.items(), key=lambda item: (item[0][0], item[0][1].value))
        if n
    ]
    add(c, cold.tables.counter, rows, columns=["n"])


kept = lru_cache(maxsize=1024)
"""Keeps what makes a statement: to make one and the key of its compiled form costs as much as to send it."""


@kept
def _insert(table: Table) -> Insert:
    return table.insert()


@kept
def _insert_unless_known(dialect: str, table: Table) -> Insert:
    match dialect:
        case "postgresql":
            return postgresql.insert(table).on_conflict_do_nothing()
        case "mysql":
            return table.insert().prefix_with("IGNORE")
        case _:
            return sqlite.insert(table).on_conflict_do_nothing()


@kept
def _insert_or_replace(dialect: str, table: Table, columns: tuple[str, ...]) -> Insert:
    return _insert_or_change(dialect, table, lambda given: {name: given[name] for name in columns})


@kept
def _insert_or_add(dialect: str, table: Table, columns: tuple[str, ...]) -> Insert:
    return _insert_or_change(dialect, table, lambda given: {name: table.c[name] + given[name] for name in columns})


def _insert_or_change(dialect: str, table: Table, changes: Callable[[Any], dict[str, Any]]) -> Insert:
    """changes: makes the new values of a row that exists out of the columns of the row that was given."""
    if dialect == "mysql":
        changed = mysql.insert(table)
        return changed.on_duplicate_key_update(changes(changed.inserted))
    statement = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    keys = list(table.primary_key.columns)
    return statement.on_conflict_do_update(index_elements=keys, set_=changes(statement.excluded))
