"""How much the limits of queues let go: settings, counters and buckets, read while the rows of the queues are locked."""

from collections.abc import Collection

from sqlalchemy import Connection, select

from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.queue import QueueSettings
from protojobs_service.domain.queue_limits import Bucket, Hold, HoldCause, bucket_at, wait_us
from protojobs_service.drivers.sql.cold.base import Cold
from protojobs_service.drivers.sql.cold.queue_use import Use, lock_uses
from protojobs_service.drivers.sql.cold.settings import load

_EVERYTHING = 1 << 62


def lock_queues(c: Connection, cold: Cold, queues: Collection[str]) -> dict[str, tuple[QueueSettings, Use]]:
    """Lock what the limits of these queues count, then read their settings: of one that is not there any more, the defaults."""
    uses = lock_uses(c, cold, queues)
    queue = cold.tables.queue
    rows = c.execute(select(queue.c.name, queue.c.settings).where(queue.c.name.in_(sorted(queues))))
    settings = {row.name: load(row.name, row.settings) for row in rows}
    return {name: (settings.get(name) or QueueSettings(name=name), use) for name, use in uses.items()}


class Grant:
    """What may still be leased from one queue in this transaction."""

    def __init__(self, settings: QueueSettings, use: Use, now: int) -> None:
        """Take what was read at `now` behind the lock."""
        self._rate, self._pending = settings.rate_limit, use.counts[State.PENDING]
        self._places = max(0, settings.max_in_flight - use.counts[State.RUNNING]) if settings.max_in_flight else _EVERYTHING
        self._bucket = None if self._rate is None else bucket_at(now, self._rate, use.bucket)
        self._leased = 0

    @property
    def free(self) -> int:
        """Return how many more leases there are."""
        return self._places if self._bucket is None else min(self._places, self._bucket.leases)

    def lease(self, n: int) -> None:
        """Take `n` leases, of those that are free."""
        self._places -= n
        self._leased += n
        if self._bucket is not None:
            self._bucket = self._bucket.lease(n)

    @property
    def spent(self) -> Bucket | None:
        """Return the bucket if tokens were taken."""
        return self._bucket if self._leased else None

    def hold(self) -> Hold:
        """Return why there is no free lease."""
        waits = self._pending > self._leased
        if self._places <= 0 or self._bucket is None or self._rate is None:
            return Hold(HoldCause.CONCURRENCY, None, waits)
        return Hold(HoldCause.RATE, wait_us(self._bucket, self._rate), waits)
