"""An intake over a driver in memory, fed by the test instead of a reader."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.drivers.kafka.backlog import Backlog
from protojobs_service.drivers.kafka.consumer import Incoming
from protojobs_service.drivers.kafka.intake import Intake, Unusable
from protojobs_service.drivers.kafka.ledger import Ledger
from protojobs_service.drivers.kafka.records import pack
from protojobs_service.drivers.kafka.topics import Place, stem_of

from tests.contract.acts import new_job
from tests.kafka.sides import Side

PREFIX = "pj"
AT = datetime(2026, 2, 3, tzinfo=UTC)


def place(queue: str = "q", partition: int = 0, *, band: int = 6) -> Place:
    """Return a partition of a queue's topic."""
    return Place(f"{stem_of(PREFIX, queue)}.{band}", partition)


def record(offset: int, *jobs: NewJob, value: bytes | None = None, at: datetime | None = None) -> Incoming:
    """Return a record of these jobs, which are of one queue; value: of something else."""
    now = at or datetime.now(UTC)
    if value is None:
        [packed] = pack(jobs[0].queue, jobs, now)
        value = packed.value
    return Incoming(offset, value, round(now.timestamp() * 1000))


def records(queue: str, count: int, *, first: int = 0, kind: str = "k") -> tuple[list[Incoming], list[JobId]]:
    """Return records of a new job each, and the ids."""
    jobs = [new_job(queue, kind) for _ in range(count)]
    return [record(first + n, job) for n, job in enumerate(jobs)], [job.id for job in jobs]


@dataclass(slots=True)
class Bench:
    """What a test of the intake holds of it."""

    side: Side
    backlog: Backlog
    intake: Intake
    ledger: Ledger
    parked: list[Unusable] = field(default_factory=list[Unusable])
    done: dict[Place, int] = field(default_factory=dict[Place, int])
    parking_is_down: bool = False

    def put(self, where: Place, found: list[Incoming], *, start: int = 0, rank: int = 1, barrier: int = 0) -> None:
        """Give records of a partition, which is taken over if it is not ours yet."""
        if where not in self.backlog.partitions:
            self.backlog.seat(where, start, rank, barrier)
        self.backlog.put([(where, each) for each in found])
        self.intake.wake()

    def moved(self) -> list[JobId]:
        """Return the ids that the side store was given, in order."""
        return [job_id for call in self.side.dispatched for job_id in call]


@asynccontextmanager
async def running_intake(*, lookahead: int = 1000) -> AsyncGenerator[Bench]:
    """Run an intake."""
    side = Side()
    await side.prepare()
    backlog, ledger = Backlog(lambda queue: stem_of(PREFIX, queue)), Ledger(side.as_driver().side_store)

    async def park(unusable: Unusable) -> None:
        if bench.parking_is_down:
            raise StoreUnavailable
        bench.parked.append(unusable)

    async def skip(where: Place, jobs: int) -> None:
        await ledger.add("cleared", where, jobs)

    def done(ends: Mapping[Place, int]) -> None:
        bench.done.update(ends)

    intake = Intake(side.as_driver(), backlog, lookahead=lookahead, park=park, skip=skip, done=done)
    bench = Bench(side, backlog, intake, ledger)
    task = asyncio.create_task(intake.run())
    try:
        yield bench
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
