"""The outbox: a table in anybody's database, whose rows become jobs."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol


class OutboxRow(NamedTuple):
    """A row as it was written. spec: a JobSpec as bytes, or empty; id, queue, kind and a payload that is set go before its own."""

    seq: int
    id: str
    queue: str
    kind: str
    spec: bytes
    payload: bytes | None


class Fates(NamedTuple):
    """What became of rows, by `seq`. gone: their jobs are stored. aside: why they never will be. All others stay as they are."""

    gone: Sequence[int]
    aside: Sequence[tuple[int, str]]


Send = Callable[[Sequence[OutboxRow]], Awaitable[Fates]]
"""Stores the jobs of rows; called while they are locked, where the database has locks."""


class OutboxStatus(NamedTuple):
    """waiting, set_aside: rows. oldest: how long the first of those that wait has done so, None where none does."""

    waiting: int
    oldest: timedelta | None
    set_aside: int


class Outbox(Protocol):
    """One table. All raise JobsError, with nothing in it of the database's address."""

    async def move(self, limit: int, max_bytes: int, without: Collection[str], send: Send) -> int:
        """Send the first rows, in order, of queues not in `without`, at most `limit` and `max_bytes` (but one); then delete them.

        Rows that another relay has locked are passed over. Nothing is deleted or set aside where `send` raises, or the process ends
        before the commit: the rows are sent again, and their ids make that harmless. Returns how many rows were sent.
        """
        ...

    async def status(self) -> OutboxStatus:
        """Count the rows."""
        ...

    async def close(self) -> None:
        """Disconnect. Idempotent."""
        ...
