"""What this replica has read of its partitions and not yet moved, and what it knows of the lengths of its queues."""

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from protojobs_service.drivers.kafka.consumer import Incoming
from protojobs_service.drivers.kafka.records import count_of
from protojobs_service.drivers.kafka.topics import Place

HIGH_JOBS, LOW_JOBS = 4000, 1000
"""Reading of a partition pauses above the one and goes on below the other."""
HIGH_BYTES, LOW_BYTES = 8 * 1024 * 1024, 2 * 1024 * 1024
"""The same of the bytes of its records: payloads may have megabytes."""
HELD_S = 1.0
"""How long a partition rests of which the side store takes nothing, so that it keeps nobody else from it."""
_MEAN_JOBS = 1.0


@dataclass(slots=True)
class Partition:
    """A partition of this replica.

    done: offset before which everything is moved. read: offset that is read next. barrier: records before it are not wanted any
    more. jobs: those of `records`, as their records say. size: their bytes. noted: what the side store has as `done`. deletable:
    what that was when it was looked at last.
    """

    place: Place
    done: int
    rank: int
    read: int = 0
    barrier: int = 0
    jobs: int = 0
    size: int = 0
    noted: int = 0
    deletable: int = 0
    records: deque[Incoming] = field(default_factory=deque[Incoming])
    is_paused: bool = False
    held_until: float = 0.0
    """Monotonic; nothing of it is moved before."""
    failures: int = 0
    """How often the store failed at its first record."""

    @property
    def stem(self) -> str:
        """Return what the topics of its queue have in common."""
        return self.place.stem

    def jobs_of(self, records: int) -> int:
        """Return how many jobs the first records have."""
        return sum(count_of(record.value) for record in islice(self.records, records))

    def put(self, records: Sequence[Incoming]) -> None:
        """Take records in the order of their offsets; those that were seen before are left out."""
        for record in records:
            if record.offset >= self.read:
                self.records.append(record)
                self.jobs += count_of(record.value)
                self.size += len(record.value)
                self.read = record.offset + 1

    def drop(self, records: int) -> None:
        """Drop the first records: they are moved."""
        for _ in range(records):
            record = self.records.popleft()
            self.jobs -= count_of(record.value)
            self.size -= len(record.value)
            self.done = record.offset + 1
        self.failures = 0

    @property
    def is_full(self) -> bool:
        """Tell whether enough was read for now."""
        return self.jobs > HIGH_JOBS or self.size > HIGH_BYTES

    @property
    def is_hungry(self) -> bool:
        """Tell whether little is left of what was read."""
        return self.jobs < LOW_JOBS and self.size < LOW_BYTES

    def hold(self) -> None:
        """Move nothing of it for a while."""
        self.held_until = time.monotonic() + HELD_S


class Backlog:
    """The partitions of this replica. Belongs to the event loop."""

    def __init__(self, stem_of: Callable[[str], str]) -> None:
        """Start with none. stem_of: of a queue, what its topics have in common."""
        self.stem_of = stem_of
        self.partitions: dict[Place, Partition] = {}
        self.acked: dict[Place, int] = {}
        """By partition, the offset behind the last record that this replica has appended."""
        self.waiting: Counter[str] = Counter()
        """By stem, how many jobs of a queue wait in the side store, as far as this replica knows."""
        self.jobs_seen, self.records_seen = 0, 0

    def seat(self, place: Place, start: int, rank: int, barrier: int) -> None:
        """Take a partition over."""
        self.partitions[place] = Partition(place, start, rank, read=start, barrier=barrier)

    def put(self, records: Sequence[tuple[Place, Incoming]]) -> list[Place]:
        """Take what was read; return the partitions of which enough was read for now."""
        full: list[Place] = []
        by_place: dict[Place, list[Incoming]] = {}
        for place, record in records:
            by_place.setdefault(place, []).append(record)
        for place, found in by_place.items():
            partition = self.partitions.get(place)
            if partition is None:  # it has left meanwhile
                continue
            partition.put(found)
            self.records_seen += len(found)
            self.jobs_seen += sum(count_of(record.value) for record in found)
            if partition.is_full and not partition.is_paused:
                partition.is_paused = True
                full.append(place)
        return full

    def hungry(self) -> list[Place]:
        """Return the paused partitions of which more may be read."""
        found = [each for each in self.partitions.values() if each.is_paused and each.is_hungry]
        for partition in found:
            partition.is_paused = False
        return [partition.place for partition in found]

    def note_acked(self, ends: Mapping[Place, int]) -> None:
        """Note what this replica has appended."""
        for place, end in ends.items():
            self.acked[place] = max(end, self.acked.get(place, 0))

    def forget_acked(self, place: Place, end: int) -> None:
        """Wait for nothing of a partition that lies behind its end: it was of a topic that was deleted."""
        if place in self.acked:
            self.acked[place] = min(end, self.acked[place])

    def raise_barriers(self, ends: Mapping[Place, int]) -> None:
        """Want nothing of these partitions that lies before these offsets."""
        for place, end in ends.items():
            if (partition := self.partitions.get(place)) is not None:
                partition.barrier = max(end, partition.barrier)

    def deletable(self) -> dict[Place, int]:
        """Return the offsets before which everything was moved, and noted so, when this was asked last."""
        found = {place: each.deletable for place, each in self.partitions.items() if each.deletable}
        for partition in self.partitions.values():
            partition.deletable = partition.noted
        return found

    def behind(self, stems: Collection[str] | None = None) -> Iterator[tuple[Partition, int]]:
        """Return partitions of these queues (None: all) that this replica has appended to and not moved all of, with its end."""
        for place, end in self.acked.items():
            partition = self.partitions.get(place)
            if partition is not None and partition.done < end and (stems is None or partition.stem in stems):
                yield partition, end

    @property
    def mean_jobs(self) -> float:
        """Return how many jobs a record has, of those that were read."""
        return self.jobs_seen / self.records_seen if self.records_seen else _MEAN_JOBS
