"""Day partitions of job and done, by the time that UUIDv7 ids carry in their first 48 bits."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import DBAPIError

from protojobs_service.drivers.sql.errors import sqlstate
from protojobs_service.drivers.sql.postgres_statements import quoted

DAYS_BEHIND, DAYS_AHEAD = 8, 3
DROP_AFTER_DAYS = 9
_DAY_MS = 86_400_000
_LOCK_MS = 200
_LOCK_NOT_AVAILABLE = "55P03"
EVERY_ID = (b"", b"\xff" * 17)


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: ids from `low` up to, not including, `high`."""

    name: str
    low: bytes
    high: bytes


def first_id(day: int) -> bytes:
    """Return the lowest id of a day (days since the epoch)."""
    return (day * _DAY_MS).to_bytes(6, "big") + bytes(10)


def is_partitioned(connection: Connection, table: Table) -> bool | None:
    """Tell whether the table is partitioned; None where it does not exist."""
    kind = connection.scalar(text("select relkind::text from pg_class where oid=to_regclass(:name)"), {"name": quoted(table)})
    return None if kind is None else kind == "p"


def partitions(connection: Connection, table: Table) -> list[Partition]:
    """Return the partitions by their bounds."""
    found = connection.execute(
        text(
            "select c.oid::regclass::text,"
            " substring(b from $$FROM \\('([0-9a-f-]{36})$$), substring(b from $$TO \\('([0-9a-f-]{36})$$)"
            " from pg_inherits i join pg_class c on c.oid=i.inhrelid cross join lateral pg_get_expr(c.relpartbound, c.oid) b"
            " where i.inhparent=to_regclass(:name) and not i.inhdetachpending"
        ),
        {"name": quoted(table)},
    )
    read = [Partition(name, UUID(low).bytes, UUID(high).bytes) for name, low, high in found if low and high]
    return sorted(read, key=lambda partition: partition.low)


def make(connection: Connection, table: Table, today: int) -> None:
    """Make what is missing from today - 8 to today + 3. Attaching locks out no reader or writer of the parent.

    A day that is not urgent is left for the next hour where a lock (of an ANALYZE, say) stands in the way.
    """
    known = {partition.low for partition in partitions(connection, table)}
    connection.execute(text(f"set local lock_timeout='{_LOCK_MS}ms'"))
    for day in range(today - DAYS_BEHIND, today + DAYS_AHEAD + 1):
        if first_id(day) in known:
            continue
        child = _child(table, day)
        low, high = UUID(bytes=first_id(day)), UUID(bytes=first_id(day + 1))
        try:
            with connection.begin_nested():
                connection.execute(text(f"create table {child} (like {quoted(table)} including defaults including storage)"))
                connection.execute(
                    text(f"alter table {quoted(table)} attach partition {child} for values from ('{low}') to ('{high}')")
                )
        except DBAPIError as error:
            if sqlstate(error) != _LOCK_NOT_AVAILABLE or day in (today, today + 1):
                raise
            return


def drop_empty(connection: Connection, table: Table, today: int, keep: Collection[bytes] = ()) -> list[str]:
    """Drop partitions that ended 9 days ago and hold nothing; return their names. Hardly waits for locks: it runs hourly.

    `keep`: lower bounds of days that must stay.
    """
    dropped: list[str] = []
    for partition in partitions(connection, table):
        recent = partition.high > first_id(today - DROP_AFTER_DAYS)
        if recent or partition.low in keep or _holds(connection, partition):
            continue
        try:
            with connection.begin_nested():
                connection.execute(text(f"set local lock_timeout='{_LOCK_MS}ms'"))
                # The parent first, as every statement on it does: the other way round would be a deadlock.
                connection.execute(text(f"lock table only {quoted(table)} in access exclusive mode"))
                if not _holds(connection, partition):
                    connection.execute(text(f"drop table {partition.name}"))
                    dropped.append(partition.name)
        except DBAPIError as error:
            if sqlstate(error) != _LOCK_NOT_AVAILABLE:
                raise
            break
    return dropped


def id_range(connection: Connection, table: Table, today: int) -> tuple[bytes, bytes]:
    """Return the gapless range of ids around today that have a partition: [low, high)."""
    low = high = first_id(today)
    found = partitions(connection, table)
    for partition in found:
        if partition.low <= high < partition.high:
            high = partition.high
    for partition in reversed(found):
        if partition.low < low <= partition.high:
            low = partition.low
    return low, high


def _holds(connection: Connection, partition: Partition) -> bool:
    return bool(connection.scalar(text(f"select exists (select from {partition.name})")))


def _child(table: Table, day: int) -> str:
    child = Table(f"{table.name}_{day}", table.metadata.__class__(), schema=table.schema)
    return quoted(child)
