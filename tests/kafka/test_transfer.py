"""`protojobs transfer` between SQLite and Kafka, killed half-way: nothing is lost and nothing comes twice."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from protojobs.v1 import job_pb2
from protojobs_service import compose, settings
from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.sql.ready import NoRoom
from protojobs_service.port import Driver, ListQuery
from protojobs_service.transport.ids import format_id

from tests.brokers.cluster import KafkaCluster
from tests.chaos.waiting import until
from tests.contract.acts import FAIL_FOR_GOOD, claim, connect, list_all, new_id, settle_well, store_all

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(240)]

_PENDING, _DELAYED, _FAILED = 3000, 1000, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Settings files of a SQLite store and of Kafka before another one."""

    sqlite: Path
    kafka: Path


def job(**fields: object) -> NewJob:
    """Return a job with an envelope as the wire has it."""
    job_id = new_id()
    spec = job_pb2.JobSpec(id=format_id(job_id), queue="q", kind="k", payload=b"payload")
    return NewJob(job_id, "q", "k", 5, spec.SerializeToString())._replace(**fields)  # type: ignore[arg-type] # of NewJob


@asynccontextmanager
async def opened(config: Path) -> AsyncGenerator[Driver]:
    """Open the store of a settings file."""
    driver = compose.make_driver(settings.load_file(config))
    await driver.open(NoRoom())
    try:
        yield driver
    finally:
        await driver.close()


async def make_ends(cluster: KafkaCluster, prefix: str, home: Path) -> Ends:
    """Write the settings and make both stores."""
    ends = Ends(sqlite=home / "sqlite.yaml", kafka=home / "kafka.yaml")
    ends.sqlite.write_text(json.dumps({"driver": "sqlite", "sqlite": {"path": str(home / "from.db")}}))
    kafka = {"brokers": cluster.servers, "prefix": prefix.rstrip("."), "replication": 1, "partitions": 2, "session_timeout": 6}
    ends.kafka.write_text(json.dumps({"driver": "kafka", "kafka": kafka, "sqlite": {"path": str(home / "side.db")}}))
    for config in (ends.sqlite, ends.kafka):
        await compose.upgrade_schema(settings.load_file(config))
    return ends


def command(source: Path, target: Path, *options: str) -> list[str]:
    """Return the command that moves queue q."""
    ends = ["--from", str(source), "--to", str(target)]
    return [sys.executable, "-m", "protojobs_service", "transfer", "--queue", "q", *ends, "--json", *options]


def run(source: Path, target: Path, *options: str) -> Mapping[str, object]:
    """Move queue q and return the report."""
    done = subprocess.run(command(source, target, *options), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report: Mapping[str, object] = json.loads(done.stdout)
    return report


def start(source: Path, target: Path) -> "subprocess.Popen[bytes]":
    """Begin to move queue q."""
    return subprocess.Popen(command(source, target), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def fill(driver: Driver) -> dict[JobId, State]:
    """Store jobs that wait, are delayed and have failed, and pause their queue; return as what each arrives."""
    failed = await store_all(driver, [job() for _ in range(_FAILED)])
    worker = await connect(driver, "q", slots=_FAILED)
    for lease in await claim(driver, worker, "q", limit=_FAILED):
        await settle_well(driver, worker, lease, FAIL_FOR_GOOD)
    delayed = await store_all(driver, [job(delay=timedelta(hours=1)) for _ in range(_DELAYED)])
    pending = await store_all(driver, [job() for _ in range(_PENDING)])
    await driver.queues.change("q", lambda old: replace(old, paused=True))
    return {
        **dict.fromkeys(failed, State.CANCELLED),
        **dict.fromkeys(delayed, State.SCHEDULED),
        **dict.fromkeys(pending, State.PENDING),
    }


async def all_of(driver: Driver) -> dict[JobId, State]:
    """Return every job of queue q that can be listed."""
    listed = await list_all(driver, ListQuery(queues=["q"], newest_first=False, limit=1000))
    found = {record.id: record.state for record in listed}
    assert len(found) == len(listed)
    return found


async def count(driver: Driver) -> int:
    """Return how many jobs queue q has by its counters."""
    numbers, _ = await driver.queues.stats("q")
    return sum(sum(each.counts.values()) for each in numbers)


async def test_a_kill_half_way_loses_and_doubles_nothing(kafka_broker: KafkaCluster, kafka_prefix: str, tmp_path: Path) -> None:
    ends = await make_ends(kafka_broker, kafka_prefix, tmp_path)
    async with opened(ends.sqlite) as driver:
        jobs = await fill(driver)
    killed = start(ends.sqlite, ends.kafka)
    try:
        left = await until("some jobs have left", lambda: _gone(tmp_path / "from.db"), within=90, every=0.005)
    finally:
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
    assert killed.returncode == -signal.SIGKILL
    assert 0 < left < len(jobs)
    async with opened(ends.sqlite) as source, opened(ends.kafka) as target:
        rest, there = await all_of(source), await all_of(target)
    assert rest.keys() | there.keys() == jobs.keys()
    assert rest

    report = run(ends.sqlite, ends.kafka)

    async with opened(ends.sqlite) as source, opened(ends.kafka) as target:
        assert await all_of(source) == {}
        assert await count(source) == 0
        assert await all_of(target) == jobs
        assert await count(target) == len(jobs)
    assert report["refused"] == {}
    assert sum(report["moved"].values()) == len(rest)  # type: ignore[attr-defined] # counts by state


async def test_jobs_that_lie_in_topics_come_back_to_a_sql_store(
    kafka_broker: KafkaCluster, kafka_prefix: str, tmp_path: Path
) -> None:
    ends = await make_ends(kafka_broker, kafka_prefix, tmp_path)
    async with opened(ends.kafka) as driver:
        await store_all(driver, [job()])
        await until("the topics of the queue are read", lambda: _has_topic(kafka_broker, kafka_prefix))
        ids = await store_all(driver, [job() for _ in range(2500)])
        await driver.queues.change("q", lambda old: replace(old, paused=True))

    report = run(ends.kafka, ends.sqlite)

    assert report["refused"] == {}
    async with opened(ends.sqlite) as target, opened(ends.kafka) as source:
        there = await all_of(target)
        assert there.keys() >= set(ids)
        assert len(there) == len(ids) + 1
        assert await all_of(source) == {}


def _has_topic(cluster: KafkaCluster, prefix: str) -> bool:
    return any(name.startswith(f"{prefix}q.") for name in cluster.admin().list_topics(timeout=30).topics)


def _gone(path: Path) -> int:
    """Return how many jobs have left: their ids stay, without payload."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        [[left]] = database.execute("select count(*) from job where length(envelope) = 0")
    return int(left)
