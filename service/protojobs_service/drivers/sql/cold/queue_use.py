"""The rows that the limits of queues lock, and the buckets of tokens in them.

Whoever leases from a queue with a limit, or stores jobs in one with a max_depth, locks its row first and reads its counters
afterwards: so two of them never count the same state of the queue. What is counted are the sums of `counter`, which every
statement that moves a job changes in its own transaction: whoever only takes jobs away (a settle, a rescue, a cancel) need not
know that there are limits, takes no lock and updates nothing for them, and nothing that dies can keep a place.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, select, update

from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.queue import QueueSettings
from protojobs_service.domain.queue_limits import Bucket, RateLimit, bucket_at
from protojobs_service.drivers.sql.cold.base import Cold, insert_new, write_tallies
from protojobs_service.drivers.sql.mysql_keys import BY_KEY


class Use(NamedTuple):
    """A queue as it is while its row is locked. counts: jobs by state; bucket: None where it has no rate, or never had a lease."""

    counts: Mapping[State, int]
    bucket: Bucket | None


def lock_uses(c: Connection, cold: Cold, queues: Collection[str]) -> dict[str, Use]:
    """Lock the rows of these queues, in the order of their names, until the end of the transaction; then count."""
    rows = lock_queue_uses(c, cold, queues)
    write_tallies(c, hold=True)  # what this transaction itself has moved counts, too
    counts = _counts(c, cold, sorted(queues))
    return {row.queue: Use(counts[row.queue], None if row.tokens is None else Bucket(row.tokens, row.filled_at)) for row in rows}


def lock_queue_uses(c: Connection, cold: Cold, queues: Collection[str]) -> Sequence[Any]:
    """Lock the rows of these queues, in the order of their names, until the end of the transaction, and return them."""
    table = cold.tables.queue_use
    names = sorted(queues)
    wanted = (
        select(table).with_hint(table, BY_KEY, "mysql").where(table.c.queue.in_(names)).order_by(table.c.queue).with_for_update()
    )
    rows = c.execute(wanted).all()
    if len(rows) < len(names):
        insert_new(c, table, [{"queue": name} for name in names])
        rows = c.execute(wanted).all()
    return rows


def _counts(c: Connection, cold: Cold, queues: Collection[str]) -> defaultdict[str, defaultdict[State, int]]:
    """Return the jobs of each queue by state, as they are now: behind the lock, so in a snapshot of its own."""
    counter, lane = cold.tables.counter, cold.tables.lane
    sums = (
        select(lane.c.queue, counter.c.state, func.sum(counter.c.n).label("n"))
        .join_from(lane, counter, counter.c.lane == lane.c.id)
        .where(lane.c.queue.in_(sorted(queues)))
        .group_by(lane.c.queue, counter.c.state)
    )
    found: defaultdict[str, defaultdict[State, int]] = defaultdict(lambda: defaultdict(int))
    for row in c.execute(sums):
        found[row.queue][State(row.state)] = int(row.n)
    return found


def save_buckets(c: Connection, cold: Cold, buckets: Mapping[str, Bucket]) -> None:
    """Write buckets back whose rows are locked."""
    table = cold.tables.queue_use
    for queue, bucket in buckets.items():
        c.execute(update(table).where(table.c.queue == queue).values(tokens=bucket.tokens, filled_at=bucket.at))


def read_buckets(c: Connection, cold: Cold, queues: Iterable[str]) -> dict[str, Bucket]:
    """Return the buckets of those queues that have leased by a rate."""
    table = cold.tables.queue_use
    rows = c.execute(select(table).where(table.c.queue.in_(sorted(queues)), table.c.tokens.is_not(None)))
    return {row.queue: Bucket(row.tokens, row.filled_at) for row in rows}


def change_rate(c: Connection, cold: Cold, old: QueueSettings, new: RateLimit | None, now: int) -> None:
    """Let what has dripped in by the old rate be; a rate that is new begins with a full bucket."""
    table, mine = cold.tables.queue_use, cold.tables.queue_use.c.queue == old.name
    row = c.execute(select(table).where(mine).with_for_update()).first()
    if row is None or row.tokens is None:
        return
    kept = None if new is None or old.rate_limit is None else bucket_at(now, old.rate_limit, Bucket(row.tokens, row.filled_at))
    values = {"tokens": None, "filled_at": None} if kept is None else {"tokens": kept.tokens, "filled_at": kept.at}
    c.execute(update(table).where(mine).values(**values))


def drop_use(c: Connection, cold: Cold, queue: str) -> None:
    """Forget what a queue that is being removed has used."""
    c.execute(delete(cold.tables.queue_use).where(cold.tables.queue_use.c.queue == queue))
