"""Reading and deleting by key on MariaDB, where the optimizer would rather read, and lock, the whole of a small table."""

from collections.abc import Iterable, Sequence

from sqlalchemy import URL, Table

_DIALECT = URL.create("mysql+asyncmy").get_dialect()()

BY_KEY = "FORCE INDEX (PRIMARY)"


def quoted(table: Table) -> str:
    """Return the table's name, quoted where it must be."""
    return _DIALECT.identifier_preparer.format_table(table)


def literal(value: bytes) -> str:
    """Return bytes as SQL."""
    return f"x'{value.hex()}'"


def by_index(table: Table, suffix: str) -> str:
    """Return the hint that names an index by the end of its name."""
    name = next(str(index.name) for index in table.indexes if str(index.name).endswith(suffix))
    return f"FORCE INDEX ({_DIALECT.identifier_preparer.quote(name)})"


def joined_keys(names: Sequence[str], rows: Sequence[str]) -> str:
    """Return a derived table of keys: joined from it, a row is found by its key however small its table is."""
    first, *rest = rows
    columns = ",".join(f"{value} AS {name}" for value, name in zip(first.split(","), names, strict=True))
    more = f" UNION ALL VALUES {','.join(f'({row})' for row in rest)}" if rest else ""
    return f"(SELECT {columns}{more}) k"


def delete_of_ids(table: Table, ids: Iterable[bytes]) -> str:
    """Return the statement that deletes the rows of these ids. A DELETE of one table takes no hint."""
    keys = joined_keys(("i",), [literal(job_id) for job_id in ids])
    return f"DELETE r FROM {keys} STRAIGHT_JOIN {quoted(table)} r {BY_KEY} ON r.id=k.i"


def delete_of_places(ready: Table, places: Iterable[tuple[int, int, int, bytes]]) -> str:
    """Return the statement that deletes these rows of `ready`: (lane, band, position, id)."""
    rows = [f"{lane},{band},{position},x'{job_id.hex()}'" for lane, band, position, job_id in places]
    on = "r.lane=k.l AND r.band=k.b AND r.position=k.p AND r.id=k.i"
    return f"DELETE r FROM {joined_keys(('l', 'b', 'p', 'i'), rows)} STRAIGHT_JOIN {quoted(ready)} r {BY_KEY} ON {on}"
