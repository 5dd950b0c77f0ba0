"""The proof of fair queues at full size: a tenant brings a million jobs, another one ten, and the ten are next.

    python -m benchmarks.fairness memory
    python -m benchmarks.fairness sqlite [--jobs 1000000] [--weight 1]
    python -m tests.postgres -- python -m benchmarks.fairness postgres
    python -m tests.mariadb -- python -m benchmarks.fairness mariadb

One process drives the driver. It ends with 1 where one of the ten comes later than behind as many jobs of the other as its
weight allows, and two more.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from protojobs_service.domain.job import Handle, JobId, NewJob
from protojobs_service.domain.queue import Fairness
from protojobs_service.drivers.memory import MemoryDriver
from protojobs_service.drivers.sql.driver import SqlDriver
from protojobs_service.drivers.sql.migrate import upgrade
from protojobs_service.drivers.sql.mysql import MysqlStore
from protojobs_service.drivers.sql.postgres import PostgresStore
from protojobs_service.drivers.sql.ready import NoRoom
from protojobs_service.drivers.sql.sqlite import SqliteStore
from protojobs_service.drivers.sql.store import Options
from protojobs_service.port import Claim, Driver, Opening
from protojobs_service.transport.specs import fingerprint

from benchmarks.store import new_id

QUEUE = "fair"
BATCH = 1000
SMALL = 10


async def measure(driver: Driver, jobs: int, weight: int) -> int:
    """Print how long each step takes, and where the small tenant's jobs came; returns the exit code."""
    await driver.queues.change(QUEUE, lambda old: replace(old, fairness=Fairness(enabled=True, weights={"large": weight})))
    began = time.perf_counter()
    for start in range(0, jobs, BATCH):
        await driver.jobs.dispatch([_job("large") for _ in range(min(BATCH, jobs - start))])
    stored = time.perf_counter() - began
    ours = [_job("small") for _ in range(SMALL)]
    began = time.perf_counter()
    await driver.jobs.dispatch(ours)
    joined = time.perf_counter() - began
    handle = await _worker(driver)
    began = time.perf_counter()
    places = await _places(driver, handle, {job.id for job in ours}, SMALL * (weight + 1) + 2)
    claimed = time.perf_counter() - began
    print(f"{driver.name}: {jobs} jobs of one tenant, then {SMALL} of another; weight {weight} to 1")
    print(f"  dispatch       {stored / jobs * 1e6:.1f} us a job, {jobs / stored:,.0f} jobs/s in batches of {BATCH}")
    print(f"  the small one  {joined * 1e3:.1f} ms for its {SMALL}")
    print(f"  claim          {claimed / (SMALL * (weight + 1) + 2) * 1e3:.2f} ms a job, one by one")
    print(f"  came as        {places}")
    return 0 if len(places) == SMALL else 1


async def _places(driver: Driver, handle: Handle, ours: set[JobId], most: int) -> list[int]:
    """Claim `most` jobs one by one; return which of them were ours, from 1."""
    claim = Claim(handle, (QUEUE,), None, frozenset(), 1, 0)
    claimed = [lease.id for _ in range(most) for lease in await driver.jobs.claim([claim])]
    return [place for place, job_id in enumerate(claimed, 1) if job_id in ours]


async def _worker(driver: Driver) -> Handle:
    opening = Opening(
        secret=os.urandom(16), stream_no=1, worker="bench", sdk="bench", sdk_version="1", queues=(QUEUE,), kinds=(), slots=1,
        ttl=timedelta(minutes=10),
    )  # fmt: skip
    return (await driver.sessions.open(opening)).handle


def _job(key: str) -> NewJob:
    job_id = JobId(new_id())
    return NewJob(job_id, QUEUE, "noop", 5, b"", fairness_key=key)


async def main(arguments: argparse.Namespace, directory: str) -> int:
    """Open one driver and measure it."""
    if arguments.driver == "memory":
        driver: Driver = MemoryDriver(fingerprint=fingerprint, clock=lambda: datetime.now(UTC), rng=Random(1))
    else:
        url = f"sqlite:///{directory}/bench.db" if arguments.driver == "sqlite" else os.environ["PROTOJOBS_TEST_DSN"]
        await upgrade(url)
        stores: dict[str, type[SqliteStore | PostgresStore | MysqlStore]] = {
            "sqlite": SqliteStore,
            "postgres": PostgresStore,
            "mariadb": MysqlStore,
        }
        driver = SqlDriver(stores[arguments.driver](Options(url=url)), fingerprint=fingerprint, rng=Random(1), replica="bench")
    await driver.open(NoRoom())
    try:
        await driver.maintain()
        return await measure(driver, arguments.jobs, arguments.weight)
    finally:
        await driver.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness", description="Prove fair queues at full size.")
    parser.add_argument("driver", choices=["memory", "sqlite", "postgres", "mariadb"])
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--weight", type=int, default=1, help="of the large tenant")
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(asyncio.run(main(parser.parse_args(), scratch)))
