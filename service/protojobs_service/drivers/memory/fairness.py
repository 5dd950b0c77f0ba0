"""Fair queues in memory: start-time fair queueing, as drivers/sql/cold/fairness does it in rows."""

from collections import Counter
from collections.abc import Mapping

from protojobs_service.domain.job import NewJob
from protojobs_service.domain.queue import QueueSettings

STEP = 1_000_000
"""What a job of weight 1 takes of its key's own time, and what arrivals of queues that are not fair are apart."""


class Fair:
    """Knows whose turn it is. Virtual time is the tag that was claimed last, of each queue and priority."""

    def __init__(self, queues: Mapping[str, QueueSettings]) -> None:
        self._queues = queues
        self._now: dict[tuple[str, int], int] = {}
        self._last: dict[tuple[str, int, str], int] = {}
        self._waiting: Counter[tuple[str, int]] = Counter()

    def came(self, spec: NewJob, arrival: int) -> int:
        """Return the position of a job that waits from now on; arrival: what it is where nobody shares."""
        at = (spec.queue, spec.priority)
        is_idle = not self._waiting[at]
        self._waiting[at] += 1
        settings = self._queues.get(spec.queue)
        if settings is None or not settings.fairness.enabled:
            return arrival
        key = spec.fairness_key or ""
        if is_idle:  # nobody's past counts
            self._last = {share: last for share, last in self._last.items() if share[:2] != at}
        start = arrival if is_idle else max(self._now.get(at, 0), self._last.get((*at, key), 0))
        self._last[*at, key] = start + STEP // settings.fairness.weights.get(key, 1)
        return start

    def came_back(self, spec: NewJob) -> None:
        """Note that a job waits again, before all others."""
        self._waiting[spec.queue, spec.priority] += 1

    def left(self, spec: NewJob, position: int, *, claimed: bool) -> None:
        """Note that a job waits no more; what is claimed moves the time."""
        at = (spec.queue, spec.priority)
        self._waiting[at] -= 1
        if claimed and position >= 0:
            self._now[at] = position
