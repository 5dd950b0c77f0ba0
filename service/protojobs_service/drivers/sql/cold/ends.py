"""Counting and logging what a transaction ends, as its last statements.

docs/adr/0002 says why no reader of the log misses anything.
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection, insert, select

from protojobs_service.domain.event import LOGGED
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.drivers.sql.cold.base import Cold, add, held_tallies, hold_tallies, restore_tallies, write_tallies

T = TypeVar("T")

_NOTED = "protojobs.ends"
MOST = 5000
"""Ends in one row of the log, as in a flush of completions."""


class End(NamedTuple):
    """An attempt that ended, and what that did to its job. after None: deleted."""

    id: bytes
    attempt: int
    code: Code
    before: State
    after: State | None


def note(c: Connection, cold: Cold, ends: Sequence[End]) -> None:
    """Remember what this transaction ends, for `logging_ends` to write; snoozes and releases are no events."""
    logged = [end for end in ends if end.code in LOGGED]
    if logged:
        c.info.setdefault(_NOTED, []).append((cold, logged))


@contextmanager
def savepoint(c: Connection) -> Generator[None]:
    """Roll back what is done inside where it raises, with what it has noted and tallied."""
    noted, tallies = list(c.info.get(_NOTED, ())), held_tallies(c)
    try:
        with c.begin_nested():
            yield
    except BaseException:
        c.info[_NOTED] = noted
        restore_tallies(c, tallies)
        raise


def logging_ends(operation: Callable[[Connection], T]) -> Callable[[Connection], T]:
    """Return an operation that writes to the counters what it has tallied, and then to the log what it has noted.

    Last, because the counters, and the row that numbers the flushes of a slot, are locks that other transactions of the writer
    need: taken here, they are held for a few statements and the commit, and whoever holds them waits for nobody else.
    """

    def whole(c: Connection) -> T:
        c.info.pop(_NOTED, None)  # of a try that was rolled back
        hold_tallies(c)
        value = operation(c)
        write_tallies(c, hold=False)
        noted: list[tuple[Cold, list[End]]] = c.info.pop(_NOTED, [])
        by_slot: dict[int, list[End]] = defaultdict(list)
        for cold, ends in noted:
            by_slot[cold.slot] += ends
        for slot, ends in sorted(by_slot.items()):
            for start in range(0, len(ends), MOST):
                _write(c, noted[0][0], slot, ends[start : start + MOST])
        return value

    return whole


def _write(c: Connection, cold: Cold, slot: int, ends: Sequence[End]) -> None:
    numbers, flush = cold.tables.event_slot, cold.tables.done_flush
    add(c, numbers, [{"slot": slot, "seq": 1}], columns=["seq"])
    c.execute(
        insert(flush).values(
            slot=slot,
            seq=select(numbers.c.seq).where(numbers.c.slot == slot).scalar_subquery(),
            at=cold.now(),
            ids=b"".join(end.id for end in ends),
            attempts=b"".join(end.attempt.to_bytes(4) for end in ends),
            changes=b"".join(bytes((end.code, end.before.value, end.after.value if end.after else 0)) for end in ends),
        )
    )
