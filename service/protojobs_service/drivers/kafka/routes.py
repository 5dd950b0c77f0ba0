"""Which jobs go through a topic, and which straight into the side store."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.domain.queue import QueueSettings
from protojobs_service.domain.recent import Recent
from protojobs_service.drivers.kafka.options import MAX_RECORD_BYTES
from protojobs_service.drivers.kafka.records import frame_bytes
from protojobs_service.drivers.kafka.topics import Place, Topics, partition_of, places_of

FRESH = timedelta(seconds=30)
_AHEAD_MS = 1000
"""An id from further ahead would have no place in the order of times by which jobs are found in topics."""
_RECENT = 200_000
_MOST_BYTES = MAX_RECORD_BYTES - 1024
"""Less than the largest record by what a broker may add to it."""


class Routes:
    """Chooses by job. Belongs to the event loop.

    A topic takes a job that anybody may run at once, whose queue and kind the side store knows, and whose id cannot have been
    dispatched before: ids hold their time, and this replica remembers the recent ones. All else is answered by the side store.
    """

    def __init__(self, topics: Topics, *, fresh: timedelta = FRESH) -> None:
        """Know no queue. fresh: how old an id may be that nobody can have dispatched earlier by another replica."""
        self._topics, self._fresh_ms = topics, fresh // timedelta(milliseconds=1)
        self._known: dict[tuple[str, str], None] = {}
        self._recent: Recent[JobId, None] = Recent(_RECENT)
        self._side_only: set[str] = set()
        self.read_topics: frozenset[str] = frozenset()
        """Topics that this replica's group reads."""

    def choose(self, jobs: Sequence[NewJob]) -> list[Place | None]:
        """Return the partition of each job, None for the side store, which gets all of a call that names an id twice."""
        now_ms = datetime.now(UTC).timestamp() * 1000
        oldest, newest = now_ms - self._fresh_ms, now_ms + _AHEAD_MS
        recent, lanes = self._recent, dict[tuple[str, str, int], Sequence[Place]]()
        places: list[Place | None] = []
        for job in jobs:
            lane = (job.queue, job.kind, job.priority)
            partitions = lanes.get(lane)
            if partitions is None:
                partitions = lanes[lane] = self._partitions(job)
            if (
                partitions
                and _is_plain(job)
                and job.id not in recent
                and oldest <= int.from_bytes(job.id[:6]) <= newest
                and frame_bytes(job) <= _MOST_BYTES
            ):
                places.append(partitions[partition_of(job.id, len(partitions))])
            else:
                places.append(None)
        ids = [job.id for job in jobs]
        recent.add(ids, None)
        return places if len(jobs) == 1 or len(set(ids)) == len(ids) else [None] * len(jobs)

    def have_seen(self, ids: Iterable[JobId]) -> bool:
        """Tell whether this replica has been given one of the ids lately."""
        return any(map(self._recent.__contains__, ids))

    def learn(self, jobs: Iterable[NewJob]) -> set[str]:
        """Note queues and kinds that the side store has; return the topics that are missing."""
        for job in jobs:
            self._known[job.queue, job.kind] = None
        wanted = {self._topics.name(job.queue, job.priority) for job in jobs if job.queue not in self._side_only}
        return wanted - self._topics.partitions.keys()

    def follow(self, queues: Mapping[str, QueueSettings]) -> None:
        """Take over which queues there are, and what they are set to."""
        self._known = {pair: None for pair in self._known if pair[0] in queues}
        self._side_only = {name for name, settings in queues.items() if needs_side(settings)}

    def note(self, settings: QueueSettings) -> None:
        """Take over what one queue is set to."""
        (self._side_only.add if needs_side(settings) else self._side_only.discard)(settings.name)

    def forget(self, queue: str) -> None:
        """Forget a queue that was deleted."""
        self._known = {pair: None for pair in self._known if pair[0] != queue}

    def _partitions(self, job: NewJob) -> Sequence[Place]:
        """Return the partitions of the topic that takes jobs like this one by queue, kind and priority; none where none does."""
        if (job.queue, job.kind) not in self._known or job.queue in self._side_only:
            return ()
        topic = self._topics.name(job.queue, job.priority)
        return places_of(topic, self._topics.partitions.get(topic, 0)) if topic in self.read_topics else ()


def needs_side(settings: QueueSettings) -> bool:
    """Tell whether only the side store can keep the order of a queue, or its depth."""
    return bool(settings.max_depth) or settings.fairness.enabled


def _is_plain(job: NewJob) -> bool:
    """Tell whether a job can be taken at once by anybody, and needs no answer from the side store."""
    # delay, run_at, expire_at, labels, parent and unique all at once
    return not any(job[6:12]) and not job.fairness_key and job.concurrency_key is None
