"""Moving jobs from the topics to the side store: as many as workers have room for, and some more that wait there.

A job is moved by dispatching it to the side store under its own id, and its offset is committed afterwards: a crash between the two
moves it again, and the side store knows the id. So it does not matter for what is kept who owns a partition, or who believes it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple

from protojobs_service.domain.bounds import ID_AHEAD, ID_WINDOW
from protojobs_service.domain.errors import JobsError, Overloaded, Unavailable
from protojobs_service.domain.job import NewJob
from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.kafka.backlog import Backlog, Partition
from protojobs_service.drivers.kafka.census import Census
from protojobs_service.drivers.kafka.consumer import Incoming
from protojobs_service.drivers.kafka.records import InvalidRecord, unpack
from protojobs_service.drivers.kafka.topics import Place
from protojobs_service.port import Driver
from protojobs_service.port.jobs import Dispatched, DispatchVerdict

_log = logging.getLogger(__name__)

_MOST_JOBS = 2000
_MOST_BYTES = 4 * 1024 * 1024
"""What is moved at once, but for a first record that is larger: one call of the side store is one statement."""
_REST_S = 0.1
"""How long nothing is looked at unless something comes."""
_AGAIN_S = 0.25
_TRIES = 3
"""How often a record is tried that the side store fails at, before it is believed that it always will."""
_AGED = timedelta(days=3)
"""A record as old is moved whatever waits: the side store takes ids for 7 days."""
_MS = timedelta(milliseconds=1)
_NEVER = datetime.min.replace(tzinfo=UTC)
_ARRIVED = Dispatched(DispatchVerdict.CREATED, State.PENDING)
_STARTED = Dispatched(DispatchVerdict.CREATED, State.RUNNING)
_STORED = frozenset({DispatchVerdict.CREATED, DispatchVerdict.EXISTING, DispatchVerdict.REUSED, DispatchVerdict.REPLACED})


class Unusable(NamedTuple):
    """A record, or a job of one, that the side store cannot take."""

    place: Place
    record: Incoming
    why: str


Park = Callable[[Unusable], Awaitable[None]]
"""Keeps an unusable record where somebody can look at it. Raises StoreUnavailable; then it is tried again."""

Skip = Callable[[Place, int], Awaitable[None]]
"""Notes how many jobs before the barrier of a partition were dropped. Raises StoreUnavailable; then it is tried again."""

Done = Callable[[Mapping[Place, int]], None]
"""Hears before which offsets everything is moved."""


class _Portion(NamedTuple):
    """The first records of a partition, to be moved together, as the jobs of each.

    skipped: records before its barrier. size: bytes of the others.
    """

    partition: Partition
    records: list[list[NewJob]]
    skipped: int
    size: int = 0

    @property
    def jobs(self) -> int:
        """Return how many there are."""
        return sum(map(len, self.records))


class Intake:
    """Moves what the reader puts into the backlog. Belongs to the event loop."""

    def __init__(self, side: Driver, backlog: Backlog, *, lookahead: int, park: Park, skip: Skip, done: Done) -> None:
        """Move to `side`."""
        self._side, self._backlog, self._lookahead = side, backlog, lookahead
        self._park, self._skip, self._done = park, skip, done
        self._census = Census(side, backlog, lookahead=lookahead)
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()
        self._is_moving = False
        self.moved = 0
        self.twice = 0
        """Jobs that the side store knew already."""

    def wake(self) -> None:
        """Look at the backlog now."""
        self._wake.set()

    async def run(self) -> None:
        """Move until cancelled."""
        while True:
            try:
                has_moved = await self._move_some()
                has_counted = await self._count_in_time()
                if not (has_moved or has_counted):
                    await self._rest()
            except JobsError as error:
                _log.warning("jobs of the topics are not moved now", extra={"reason": error.message})
                await asyncio.sleep(_AGAIN_S)
            except Exception:  # noqa: BLE001 - without it nothing of the topics would ever run
                _log.exception("jobs of the topics are not moved now")
                await asyncio.sleep(_AGAIN_S)

    async def caught_up(self, stems: Collection[str] | None, longest_s: float) -> None:
        """Return once what this replica has appended to these queues by now is moved, or is kept back, or after `longest_s`."""
        ends = {partition.place: end for partition, end in self._backlog.behind(stems)}
        try:
            async with asyncio.timeout(longest_s):
                while any(self._is_on_its_way(place, end) for place, end in ends.items()):
                    self._moved.clear()
                    self.wake()
                    await self._moved.wait()
        except TimeoutError:
            return

    async def progress(self, longest_s: float) -> None:
        """Return once something more is moved, or after `longest_s`."""
        self._moved.clear()
        await _wait(self._moved, longest_s)

    async def settled(self) -> None:
        """Return once nothing is under way."""
        while self._is_moving:
            self._moved.clear()
            await self._moved.wait()

    def leased(self, queues: Iterable[str]) -> None:
        """Note that jobs of these queues no longer wait in the side store, one each time it is named."""
        self._census.leased(queues)
        self.wake()

    def _is_on_its_way(self, place: Place, end: int) -> bool:
        partition = self._backlog.partitions.get(place)
        return partition is not None and partition.done < end and not self._is_kept_back(partition)

    def _is_kept_back(self, partition: Partition) -> bool:
        """Tell whether what is read of a partition has to wait: for workers, or for a store that refuses it."""
        return bool(partition.records) and (self._allowance(partition) <= 0 or partition.held_until > time.monotonic())

    def _allowance(self, partition: Partition) -> int:
        """Return how many more jobs of a partition may wait in the side store; higher bands find room behind lower ones."""
        return self._lookahead * partition.rank - self._backlog.waiting[partition.stem]

    async def _rest(self) -> None:
        self._moved.set()
        self._wake.clear()
        await _wait(self._wake, _REST_S)

    async def _count_in_time(self) -> bool:
        """Count what waits in the side store if it is time again and may let something move; tell whether it was counted.

        Where that fails, it is tried again later, and what has room by what is known moves on.
        """
        if not (self._census.is_due and any(map(self._is_in_doubt, self._backlog.partitions.values()))):
            return False
        try:
            await self._census.take()
        except JobsError as error:
            _log.warning("what waits beside the topics cannot be counted now", extra={"reason": error.message})
            return False
        return True

    def _is_in_doubt(self, partition: Partition) -> bool:
        """Tell whether counting may show more room, or less: jobs that never were in the topics are leased as well."""
        waiting = self._backlog.waiting[partition.stem]
        return (bool(partition.records) and self._allowance(partition) <= 0) or waiting < -self._lookahead

    async def _move_some(self) -> bool:
        """Move a portion of each partition that has something and may; False where there was nothing to do."""
        portions = self._portions()
        self._is_moving = bool(portions)
        try:
            for portion in portions:
                await self._clear_the_head(portion)
            await self._move([portion for portion in portions if portion.records])
        finally:
            self._is_moving = False
            self._moved.set()
        if portions:
            self._tell_done(portions)
        return bool(portions)

    def _tell_done(self, portions: Sequence[_Portion]) -> None:
        """Have committed what is moved; not of what was given up or begun anew meanwhile, of which the offsets say nothing now."""
        seated = self._backlog.partitions
        partitions = [portion.partition for portion in portions]
        self._done({each.place: each.done for each in partitions if seated.get(each.place) is each})

    async def _move(self, portions: Sequence[_Portion]) -> None:
        """Store the jobs of all portions; where that fails and the store answers, see which record is to blame."""
        if not portions:
            return
        try:
            await self._store(portions)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, it must not keep the other partitions back
            _log.warning("jobs of the topics were refused together; each record is tried by itself")
            for portion in portions:
                await self._move_first(portion)

    async def _store(self, portions: Sequence[_Portion]) -> None:
        """Store jobs in the order in which they were accepted, as far as they are read."""
        records = [jobs for portion in portions for jobs in portion.records]
        order = sorted(range(len(records)), key=lambda place: records[place][0].accepted_at or _NEVER)
        stored = iter(await self._side.jobs.dispatch([job for place in order for job in records[place]]))
        by_place = {place: list(islice(stored, len(records[place]))) for place in order}
        answers = iter([by_place[place] for place in range(len(records))])
        for portion in portions:
            await self._finish(portion, list(islice(answers, len(portion.records))))

    async def _move_first(self, portion: _Portion) -> None:
        """Store the first record of a portion by itself. Parks it where that fails again and again. Raises Unavailable."""
        partition = portion.partition
        first = portion._replace(records=portion.records[:1], skipped=0)
        try:
            await self._store([first])
        except Unavailable:
            raise
        except Overloaded:
            partition.hold()
        except Exception:  # noqa: BLE001 - it must not keep the partition back for ever
            partition.failures += 1
            if partition.failures < _TRIES:
                partition.hold()
                return
            _log.exception("a record cannot be moved", extra={"topic": partition.place.topic})
            await self._park_first(partition, "the store cannot take it")

    def _portions(self) -> list[_Portion]:
        """Return what to move next: higher bands first, of each partition no more than may wait, 2000 jobs or 4 MiB in all."""
        now, portions, left, room = time.monotonic(), list[_Portion](), _MOST_JOBS, _MOST_BYTES
        ready = [each for each in self._backlog.partitions.values() if each.records and each.held_until <= now]
        for partition in sorted(ready, key=lambda each: (-each.rank, each.records[0].time_ms)):
            portion = self._portion(partition, min(left, self._allowance(partition)), room)
            if portion is not None:
                portions.append(portion)
                left -= portion.jobs
                room -= portion.size
            if left <= 0 or room <= 0:
                break
        return portions

    def _portion(self, partition: Partition, most: int, room: int) -> _Portion | None:
        """room: bytes; the first record is taken whatever it has."""
        aged_ms = (datetime.now(UTC) - _AGED).timestamp() * 1000
        skipped = sum(1 for record in partition.records if record.offset < partition.barrier)
        records, count, size = list[list[NewJob]](), 0, 0
        for record in islice(partition.records, skipped, None):
            if (count >= most and record.time_ms > aged_ms) or count >= _MOST_JOBS:
                break
            if size and size + len(record.value) > room:
                break
            try:
                jobs = unpack(record.value)
            except InvalidRecord:
                if records or skipped:  # it is the first one of the next portion
                    break
                return _Portion(partition, [], 0)
            records.append(jobs)
            count += len(jobs)
            size += len(record.value)
        return _Portion(partition, records, skipped, size) if records or skipped else None

    async def _clear_the_head(self, portion: _Portion) -> None:
        """Drop the records before the barrier, or keep the first record where it can be looked at: it is of no use here."""
        partition = portion.partition
        if portion.skipped:
            await self._skip(partition.place, partition.jobs_of(portion.skipped))
            partition.drop(portion.skipped)
        elif not portion.records:
            await self._park_first(partition, "not a record of jobs")

    async def _park_first(self, partition: Partition, why: str) -> None:
        """Keep the first record where it can be looked at, and pass it. Holds the partition where that cannot be done now."""
        try:
            await self._park(Unusable(partition.place, partition.records[0], why))
        except JobsError as error:
            _log.warning("an unusable record cannot be parked now", extra={"reason": error.message})
            partition.hold()
        else:
            partition.drop(1)

    async def _finish(self, portion: _Portion, answers: Sequence[Sequence[Dispatched]]) -> None:
        """Drop the records of which every job is stored; hold the partition where one is not."""
        partition = portion.partition
        for jobs, verdicts in zip(portion.records, answers, strict=True):
            arrived, started = verdicts.count(_ARRIVED), verdicts.count(_STARTED)
            self._backlog.waiting[partition.stem] += arrived
            if arrived + started == len(jobs):  # the price of a look at each job is paid only where one is not new
                self.moved += len(jobs)
                partition.drop(1)
                continue
            refused = [job for job, each in zip(jobs, verdicts, strict=True) if each.verdict not in _STORED]
            if refused and not any(map(_is_out_of_time, refused)):
                partition.hold()
                return
            self.moved += len(jobs) - len(refused)
            self.twice += sum(1 for each in verdicts if each.verdict is not DispatchVerdict.CREATED) - len(refused)
            if not refused:
                partition.drop(1)
                continue
            _log.error("a record has a job of a time that cannot be stored", extra={"topic": partition.place.topic})
            await self._park_first(partition, "the time of an id cannot be stored any more, or not yet")
            if partition.held_until > time.monotonic():
                return


async def _wait(event: asyncio.Event, longest_s: float) -> None:
    """Return once something has happened, or after `longest_s`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(longest_s):
            await event.wait()


def _is_out_of_time(job: NewJob) -> bool:
    """Tell whether the side store refuses an id for its time, whenever it is asked today."""
    now_ms = datetime.now(UTC).timestamp() * 1000
    return not now_ms - ID_WINDOW / _MS <= int.from_bytes(job.id[:6]) <= now_ms + ID_AHEAD / _MS
