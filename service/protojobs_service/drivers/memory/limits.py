"""The limits of queues in memory: how many leases are free, and which new jobs there is room for."""

from datetime import UTC, datetime, timedelta

from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.domain.lifecycle import WAITING_STATES, State
from protojobs_service.domain.queue import QueueSettings
from protojobs_service.domain.queue_limits import Bucket, Hold, HoldCause, Overflow, RateLimit, bucket_at, wait_us
from protojobs_service.drivers.memory.records import StoredJob
from protojobs_service.drivers.memory.store import Store

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def free_leases(store: Store, queue: str, now: datetime) -> int | None:
    """Return how many more jobs of a queue may be leased now; None: as many as there are."""
    settings = store.queues.get(queue)
    if settings is None or not settings.limits_leases:
        return None
    free: list[int] = []
    if settings.max_in_flight:
        free.append(max(0, settings.max_in_flight - store.counts[queue, State.RUNNING]))
    if settings.rate_limit is not None:
        free.append(bucket_of(store, queue, settings.rate_limit, now).leases)
    return min(free)


def bucket_of(store: Store, queue: str, rate: RateLimit, now: datetime) -> Bucket:
    """Return the tokens of a queue as they are now."""
    return bucket_at((now - _EPOCH) // _MICROSECOND, rate, store.buckets.get(queue))


def spend(store: Store, queue: str, leases: int, now: datetime) -> None:
    """Take the tokens of leases that were made."""
    settings = store.queues.get(queue)
    if leases and settings is not None and settings.rate_limit is not None:
        store.buckets[queue] = bucket_of(store, queue, settings.rate_limit, now).lease(leases)


def rate_changed(store: Store, old: QueueSettings, new: QueueSettings, now: datetime) -> None:
    """Let what has dripped in by the old rate be; a rate that is new begins with a full bucket."""
    if new.rate_limit is None:
        store.buckets.pop(new.name, None)
    elif old.rate_limit is not None and new.name in store.buckets:
        store.buckets[new.name] = bucket_of(store, new.name, old.rate_limit, now)


def hold_of(store: Store, queue: str, now: datetime) -> Hold:
    """Return why nothing more is leased from a queue that has no free lease."""
    settings, waits = store.queues[queue], store.counts[queue, State.PENDING] > 0
    if settings.max_in_flight and store.counts[queue, State.RUNNING] >= settings.max_in_flight:
        return Hold(HoldCause.CONCURRENCY, None, waits)
    assert settings.rate_limit is not None, "only a limit takes all free leases"
    return Hold(HoldCause.RATE, wait_us(bucket_of(store, queue, settings.rate_limit, now), settings.rate_limit), waits)


def is_rate_spent(store: Store, queue: str, now: datetime) -> bool:
    """Tell whether the bucket of a queue's rate has no whole token."""
    rate = store.queues[queue].rate_limit
    return rate is not None and bucket_of(store, queue, rate, now).leases == 0


class Depth:
    """Which of the jobs that one call brings there is room for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._admitted: dict[str, int] = {}
        self._keys: dict[tuple[str, str], bool] = {}
        self._holders: dict[tuple[str, str], JobId] = {}

    def admit(self, job: NewJob) -> bool:
        """Tell whether a new job may be stored: its queue has room, or drops an older job than those of this call for it.

        One whose unique key another job has needs no room; of those of this call with one key, one place is for all.
        """
        settings = self._store.queues.get(job.queue)
        if settings is None or not settings.max_depth:
            return True
        if job.unique is None:
            return self._admit(job, settings)
        place = job.queue, job.unique.key
        if place not in self._keys:
            holder = self._store.holder(job.queue, job.unique, self._store.now())
            if holder is not None:
                self._holders[place] = holder.id
            self._keys[place] = holder is not None or self._admit(job, settings)
        return self._keys[place]

    def _admit(self, job: NewJob, settings: QueueSettings) -> bool:
        new = self._admitted.get(job.queue, 0)
        if settings.overflow is Overflow.DROP_OLDEST:
            fits = new < settings.max_depth
        else:
            fits = new + self._depth(job.queue) < settings.max_depth
        self._admitted[job.queue] = new + fits
        return fits

    def make_room(self) -> None:
        """Delete the oldest jobs of queues that drop them, before what was admitted is stored."""
        for queue, new in self._admitted.items():
            settings = self._store.queues[queue]
            if settings.overflow is Overflow.DROP_OLDEST and new:
                self._drop(queue, new, settings.max_depth)

    def _drop(self, queue: str, new: int, max_depth: int) -> None:
        """Delete until there is room; a job whose key a deleted one had is stored now, and needs room, too."""
        waiting = [job for job in self._store.jobs.values() if job.spec.queue == queue and job.state in WAITING_STATES]
        # Pending ones in the order in which they came, then the others in that of their ids.
        for job in sorted(waiting, key=_age):
            if self._depth(queue) + new <= max_depth:
                return
            self._store.delete(job)
            freed = [place for place, holder in self._holders.items() if holder == job.spec.id]
            for place in freed:
                del self._holders[place]
            new += len(freed)

    def _depth(self, queue: str) -> int:
        return sum(self._store.counts[queue, state] for state in WAITING_STATES)


def _age(job: StoredJob) -> tuple[bool, int, JobId]:
    return (False, job.position, job.spec.id) if job.state is State.PENDING else (True, 0, job.spec.id)
