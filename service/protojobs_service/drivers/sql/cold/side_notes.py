"""Side notes as rows: written by compare-and-set, which is the statement's own condition."""

from collections.abc import Collection

from sqlalchemy import Connection, delete, select, update

from protojobs_service.domain.side_note import MAX_READ
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, insert_new

_BEHIND = "\x7f"
"""Above every character of a name."""


def read_notes(c: Connection, cold: Cold, names: Collection[str]) -> dict[str, bytes]:
    """Return the notes of these names."""
    table = cold.tables.side_note
    found: dict[str, bytes] = {}
    for some in chunks(sorted(names)):
        found |= {row.name: bytes(row.value) for row in c.execute(select(table).where(among(table.c.name, some)))}
    return found


def list_notes(c: Connection, cold: Cold, prefix: str) -> dict[str, bytes]:
    """Return the first notes whose names begin with `prefix`, a range of the key."""
    table = cold.tables.side_note
    within = (table.c.name >= prefix, table.c.name < prefix + _BEHIND)
    rows = c.execute(select(table.c.name, table.c.value).where(*within).order_by(table.c.name).limit(MAX_READ))
    return {row.name: bytes(row.value) for row in rows}


def write_note(c: Connection, cold: Cold, name: str, value: bytes, expected: bytes | None) -> bool:
    """Store a note if `expected` stands; tell whether `value` is stored now."""
    table, now = cold.tables.side_note, cold.clock(c)
    written = {"value": value, "changed_at": now}
    if expected is None:
        if insert_new(c, table, [written | {"name": name}], returning=table.c.name):
            return True
    else:
        c.execute(update(table).where(table.c.name == name, table.c.value == expected).values(**written))
    # Asked in a second statement, which sees what the first has waited for.
    return bool(c.execute(select(table.c.value == value).where(table.c.name == name)).scalar())


def forget_notes(c: Connection, cold: Cold, names: Collection[str]) -> None:
    """Drop the notes of these names, in their order, so that two replicas do not lock each other out."""
    table = cold.tables.side_note
    for some in chunks(sorted(names)):
        c.execute(delete(table).where(among(table.c.name, some)))
