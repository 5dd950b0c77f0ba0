"""Servers of one installation as tests of faults see them: their drivers on real brokers, and who runs the jobs."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

from protojobs_service.domain.errors import JobsError
from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.domain.outcome import COMPLETE
from protojobs_service.drivers.kafka.driver import KafkaDriver
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.port import Driver, Settlement, SettleVerdict

from tests.brokers.cluster import KafkaCluster
from tests.chaos.waiting import until
from tests.contract.acts import Worker, connect, new_job, wish
from tests.contract.backends import FakeRoom, NamedFollowUps

PATIENCE: Final = timedelta(seconds=15)
_LEASES: Final = 500


def options_of(cluster: KafkaCluster, prefix: str, **fields: Any) -> Options:
    """Return the options of a small installation that notices quickly who is away."""
    defaults: dict[str, Any] = {
        "brokers": cluster.servers,
        "prefix": prefix.rstrip("."),
        "replication": len(cluster.brokers),
        "partitions": 2,
        "bands": 1,
        "session_timeout_s": 1.5,
        "delivery_timeout_s": 2.0,
    }
    return Options(**{**defaults, **fields})


@asynccontextmanager
async def opened(side: Driver, options: Options, **fields: Any) -> AsyncGenerator[KafkaDriver]:
    """Open a driver over a side store."""
    driver = KafkaDriver(side, options, patience=PATIENCE, **fields)
    await driver.open(FakeRoom(), NamedFollowUps())
    try:
        yield driver
    finally:
        await driver.close()


async def ready(driver: KafkaDriver, queue: str = "q") -> JobId:
    """Have a queue whose jobs go through topics from now on; return the id of its first job, which did not."""
    job = new_job(queue)
    await driver.jobs.dispatch([job])
    return job.id


class Crew:
    """Leases and completes what there is, and counts how often each job ran."""

    def __init__(self, *queues: str) -> None:
        """Take jobs of these queues; `q` where none is named."""
        self._queues = queues or ("q",)
        self._workers: dict[int, Worker] = {}
        self.runs: Counter[JobId] = Counter()

    async def work(self, driver: Driver) -> int:
        """Run what waits now; return how many jobs have run so far, each counted once. Raises what the store raises."""
        if id(driver) not in self._workers:
            self._workers[id(driver)] = await connect(driver, *self._queues, slots=_LEASES)
        worker = self._workers[id(driver)]
        leases = await driver.jobs.claim([wish(worker, limit=_LEASES)])
        settled = await driver.jobs.settle([Settlement(each.id, each.attempt, worker.handle, COMPLETE) for each in leases])
        for lease, answer in zip(leases, settled, strict=True):
            self.runs[lease.id] += answer.verdict is SettleVerdict.OK
        return len(self.runs)

    async def run_all(self, driver: Driver, ids: Sequence[JobId], within: float = 30) -> None:
        """Run jobs until each of these has; whatever else there is may have run as well, but nothing twice."""

        async def have_run() -> bool:
            await self.work(driver)
            return self.runs.keys() >= set(ids)

        await until(f"{len(ids)} jobs have run", have_run, within)
        assert {job_id: count for job_id, count in self.runs.items() if count != 1} == {}


class Producer:
    """Dispatches as an SDK does: again and again with the same ids, until it is answered."""

    def __init__(self, driver: Driver, queue: str = "q") -> None:
        """Dispatch by this driver."""
        self.driver, self._queue = driver, queue
        self.acknowledged: list[JobId] = []
        self.refused = 0
        """Calls that were answered by an error."""

    async def dispatch(self, count: int = 20) -> None:
        """Dispatch new jobs, however often it takes."""
        jobs = [new_job(self._queue) for _ in range(count)]
        await until("a dispatch is answered", lambda: self._try(jobs), within=40)

    async def dispatch_until(self, is_enough: Callable[[], bool]) -> None:
        """Dispatch one call after the other."""
        while not is_enough():
            await self.dispatch()

    async def _try(self, jobs: Sequence[NewJob]) -> bool:
        try:
            await self.driver.jobs.dispatch(jobs)
        except JobsError:
            self.refused += 1
            return False
        self.acknowledged += [job.id for job in jobs]
        return True


async def partitions_of_members(cluster: KafkaCluster, options: Options) -> list[int]:
    """Return how many partitions each member of the group has, fewest first, as the broker sees it."""
    admin = cluster.admin()
    [future] = admin.describe_consumer_groups([options.group_id], request_timeout=10).values()
    group = await asyncio.wrap_future(future)
    return sorted(len(member.assignment.topic_partitions) for member in group.members)


async def until_shared(cluster: KafkaCluster, options: Options, *counts: int, within: float = 20) -> None:
    """Wait until the members of the group have so many partitions."""

    async def are_shared() -> bool:
        return await partitions_of_members(cluster, options) == sorted(counts)

    await until(f"members have {counts} partitions", are_shared, within)
