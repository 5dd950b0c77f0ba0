"""The numbers of the queues, as gauges."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from protojobs_service.application import QueueStats, Recent, StatsLook
from protojobs_service.domain.errors import JobsError
from protojobs_service.domain.labels import MAX_QUEUE_LABELS, OTHER
from protojobs_service.telemetry import Reading, Telemetry


class QueueGauges:
    """Keeps the last numbers of the queues for the gauges."""

    def __init__(self, recent: Recent[StatsLook]) -> None:
        self._recent = recent
        self._stats: Sequence[QueueStats] = ()
        self._at: datetime | None = None

    def register(self, telemetry: Telemetry) -> None:
        """Have everything read when somebody looks."""
        telemetry.observe("protojobs.queue.jobs", "Jobs by queue and state.", self.depth, "{job}")
        telemetry.observe("protojobs.queue.oldest_job.age", "Age of the oldest pending job.", self.oldest, "s")
        telemetry.observe("protojobs.worker.connected", "Live worker sessions that read a queue.", self.workers, "{session}")

    async def refresh(self) -> None:
        """Take the numbers of the last second; forget them where the store does not answer in time."""
        try:
            self._stats, self._at = await self._recent.look()
        except JobsError:
            self._stats, self._at = (), None

    def depth(self) -> Reading:
        """Return the jobs by queue and state."""
        jobs: Counter[tuple[str, str]] = Counter()
        for name, stats in self._named():
            for state, count in stats.numbers.counts.items():
                jobs[name, state.name.lower()] += count
        return [(count, {"queue": queue, "state": state}) for (queue, state), count in jobs.items()]

    def oldest(self) -> Reading:
        """Return the age of the oldest pending job by queue, s."""
        ages: dict[str, float] = {}
        for name, stats in self._named():
            since = stats.numbers.oldest_pending_at
            age = timedelta() if since is None or self._at is None else max(self._at - since, timedelta())
            ages[name] = max(ages.get(name, 0.0), age.total_seconds())
        return [(age, {"queue": queue}) for queue, age in ages.items()]

    def workers(self) -> Reading:
        """Return the connected sessions by queue."""
        counts: Counter[str] = Counter()
        for name, stats in self._named():
            counts[name] += stats.numbers.workers
        return [(count, {"queue": queue}) for queue, count in counts.items()]

    def _named(self) -> Iterator[tuple[str, QueueStats]]:
        by_size = sorted(self._stats, key=lambda stats: sum(stats.numbers.counts.values()), reverse=True)
        for place, stats in enumerate(by_size):
            yield (stats.numbers.queue if place < MAX_QUEUE_LABELS else OTHER), stats
