"""Concurrency keys in memory: which jobs have a place of their key, and which wait for one."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping

from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.domain.queue import QueueSettings

ConcurrencyKey = tuple[str, str]
"""A queue, and a key of it."""


class Places:
    """Gives out the places of keys, in the order in which they are asked for."""

    def __init__(self, queues: Mapping[str, QueueSettings], offer: Callable[[JobId], None]) -> None:
        """offer: makes a job claimable that has got a place."""
        self._queues, self._offer = queues, offer
        self._placed: dict[JobId, ConcurrencyKey] = {}
        self._used: Counter[ConcurrencyKey] = Counter()
        self._held: defaultdict[ConcurrencyKey, deque[JobId]] = defaultdict(deque)

    def ask(self, job_id: JobId, key: ConcurrencyKey) -> bool:
        """Tell whether a job may be claimed: it has a place, or gets one. Else it is offered when one is free."""
        if job_id in self._placed:
            return True
        if self._held.get(key) or not self._has_room(key):
            self._held[key].append(job_id)
            return False
        self._take(job_id, key)
        return True

    def keeps(self, key: ConcurrencyKey) -> bool:
        """Tell whether a job keeps its place while it waits for a retry: the others of a serial key wait until it has ended."""
        return self._limit(key) == 1

    def leave(self, job_id: JobId) -> None:
        """Give back the place of a job that had one, or let it wait for none any more."""
        key = self._placed.pop(job_id, None)
        if key is not None:
            self._used[key] -= 1
            self._next(key)

    def forsake(self, job_id: JobId, key: ConcurrencyKey) -> None:
        """Let a job wait for a place no more."""
        if job_id in self._held.get(key, ()):
            self._held[key].remove(job_id)

    def unhold(self) -> int:
        """Give out free places; returns for how many keys."""
        keys = [key for key, held in self._held.items() if held and self._has_room(key)]
        for key in keys:
            self._next(key)
        self._held = defaultdict(deque, {key: held for key, held in self._held.items() if held})
        return len(keys)

    def held_in(self, queue: str) -> bool:
        """Tell whether jobs of a queue wait for a place."""
        return any(held for (name, _), held in self._held.items() if name == queue)

    def holds(self, spec: NewJob) -> bool:
        """Tell whether a job that is PENDING waits for a place."""
        return key_of(spec) is not None and spec.id not in self._placed

    def _next(self, key: ConcurrencyKey) -> None:
        while self._held.get(key) and self._has_room(key):
            job_id = self._held[key].popleft()
            self._take(job_id, key)
            self._offer(job_id)

    def _take(self, job_id: JobId, key: ConcurrencyKey) -> None:
        self._placed[job_id] = key
        self._used[key] += 1

    def _has_room(self, key: ConcurrencyKey) -> bool:
        return self._used[key] < self._limit(key)

    def _limit(self, key: ConcurrencyKey) -> int:
        settings = self._queues.get(key[0])
        return 1 if settings is None else settings.per_key_limit


def key_of(spec: NewJob) -> ConcurrencyKey | None:
    """Return the concurrency key of a job, within its queue."""
    return (spec.queue, spec.concurrency_key) if spec.concurrency_key else None
