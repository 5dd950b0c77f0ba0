"""Queues in memory: settings, numbers, clearing."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from protojobs_service.domain.errors import JobRunning, QueueNotEmpty, QueueNotFound
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.queue import QueueSettings
from protojobs_service.drivers.memory.limits import is_rate_spent, rate_changed
from protojobs_service.drivers.memory.records import Minute
from protojobs_service.drivers.memory.store import Store
from protojobs_service.port.queues import Cleared, ClearQuery, QueueNumbers, SettingsBook


class MemoryQueues:
    """`port.Queues`. This process is the only replica."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._acknowledged = 0

    async def settings(self, known_version: int) -> SettingsBook | None:
        self._acknowledged = self._store.version
        return None if known_version == self._store.version else SettingsBook(self._store.version, dict(self._store.queues))

    async def change(self, queue: str, change: Callable[[QueueSettings], QueueSettings]) -> QueueSettings:
        now = self._store.now()
        old = self._store.queues.get(queue) or QueueSettings(name=queue, created_at=now)
        new = replace(change(old), name=queue, created_at=old.created_at, updated_at=now)
        self._store.queues[queue] = new
        rate_changed(self._store, old, new, now)
        self._store.version += 1
        return new

    async def acknowledged(self, version: int) -> bool:
        return self._acknowledged >= version

    async def delete(self, queue: str, *, force: bool) -> None:
        store = self._store
        if queue not in store.queues:
            raise QueueNotFound
        jobs = [job for job in store.jobs.values() if job.spec.queue == queue and job.state is not None]
        if jobs and not force:
            raise QueueNotEmpty
        if any(job.state is State.RUNNING for job in jobs):
            raise JobRunning
        for job in jobs:
            store.delete(job)
        del store.queues[queue]
        store.buckets.pop(queue, None)
        store.ready.pop(queue, None)
        store.minutes.pop(queue, None)
        store.keys = {place: key for place, key in store.keys.items() if place[0] != queue}
        store.version += 1

    async def clear(self, query: ClearQuery) -> Cleared:
        barrier, states = query.before or self._store.now(), query.states - {State.RUNNING}
        jobs = [job for job in self._store.jobs.values() if job.spec.queue == query.queue and job.state in states]
        ours = [job for job in jobs if job.created_at <= barrier and (query.after is None or job.spec.id > query.after)]
        page = sorted(ours, key=lambda job: job.spec.id)[: query.limit]
        for job in () if query.dry_run else page:
            self._store.delete(job)
        return Cleared(len(page), page[-1].spec.id if len(page) < len(ours) else None, barrier)

    async def stats(self, queue: str | None) -> tuple[Sequence[QueueNumbers], datetime]:
        now = self._store.now()
        names = sorted(self._store.queues) if queue is None else [queue] if queue in self._store.queues else []
        return [self._numbers(name, now) for name in names], now

    async def claimable(self, queues: Collection[str], most: int) -> Mapping[str, Mapping[str, int]]:
        found: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for job in self._store.jobs.values():
            if job.spec.queue in queues and job.state is State.PENDING and not self._store.places.holds(job.spec):
                found[job.spec.queue][job.spec.kind] += 1
        return {queue: {kind: min(count, most) for kind, count in kinds.items()} for queue, kinds in found.items()}

    def _numbers(self, queue: str, now: datetime) -> QueueNumbers:
        pending: dict[str, list[datetime]] = defaultdict(list)
        running: Counter[str] = Counter()
        for job in self._store.jobs.values():
            if job.spec.queue == queue and job.state is State.PENDING:
                pending[job.spec.kind].append(job.created_at)
            running[job.spec.kind] += job.spec.queue == queue and job.state is State.RUNNING
        served = [session.opening.kinds for session in self._store.live() if queue in session.opening.queues]
        minutes, into = self._recent(queue, now)
        run_times = sum((minute.run_times for minute in minutes), Counter[int]())
        total = sum((minute.run_time for minute in minutes), timedelta())
        return QueueNumbers(
            queue=queue,
            counts={state: self._store.counts[queue, state] for state in State},
            oldest_pending_at=min((min(times) for times in pending.values()), default=None),
            completed_1m=_rate([minute.completed for minute in minutes[:2]], into),
            completed_5m=_rate([minute.completed for minute in minutes], into),
            failed_1m=_rate([minute.failed for minute in minutes[:2]], into),
            failed_5m=_rate([minute.failed for minute in minutes], into),
            average_run_time=total / run_times.total() if run_times else None,
            p95_run_time=_percentile(run_times, 0.95),
            workers=len(served),
            pending_by_kind={kind: (len(times), min(times)) for kind, times in pending.items()},
            running_by_kind=+running,
            served_kinds=frozenset(kind for kinds in served for kind in kinds) if all(served) else None,
            rate_spent=is_rate_spent(self._store, queue, now),
            holds=self._store.places.held_in(queue),
        )

    def _recent(self, queue: str, now: datetime) -> tuple[list[Minute], float]:
        """Return the present minute and the five before it, newest first, and how much of the present one is over."""
        number, seconds = divmod(now.timestamp(), 60)
        minutes = self._store.minutes.get(queue, {})
        return [minutes.get(int(number) - age, Minute()) for age in range(6)], seconds / 60

    async def due_soon(self, within: timedelta, limit: int) -> Mapping[str, Mapping[str, int]]:
        until = self._store.now() + within
        waiting = [job for job in self._store.jobs.values() if job.state in (State.SCHEDULED, State.RETRYING)]
        soon = sorted((job.due_at, job.spec.id, job) for job in waiting if job.due_at is not None and job.due_at <= until)
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for _, _, job in soon[:limit]:
            found[job.spec.queue][job.spec.kind] += 1
        return found

    async def reconcile(self) -> int:
        recount = Counter((job.spec.queue, job.state) for job in self._store.jobs.values() if job.state is not None)
        wrong = [key for key in recount | self._store.counts if recount[key] != self._store.counts[key]]
        self._store.counts = recount
        return len(wrong)


def _rate(counts: Sequence[int], into: float) -> float:
    """Return the rate per second over one minute less than `counts` has: its oldest minute is over to the share `into`."""
    return (sum(counts) - counts[-1] * into) / (60 * (len(counts) - 1))


def _percentile(run_times: Counter[int], share: float) -> timedelta | None:
    """Return the upper bound of the power of two that holds the percentile."""
    seen = 0
    for bits in sorted(run_times):
        seen += run_times[bits]
        if seen >= share * run_times.total():
            return timedelta(milliseconds=1 << bits)
    return None
