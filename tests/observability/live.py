"""What a real server says on its admin port after a little of everything: the metrics that dashboards and alerts may name."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from protojobs.v1 import job_pb2, schedule_service_pb2, worker_service_pb2
from protojobs_client.outbox import ddl, enqueue
from protojobs_service.compose import make_driver, start_server, upgrade_schema
from protojobs_service.port import Driver, Numbers

from tests.wire.lease_worker import Service, StreamWorker, complete, outcome
from tests.wire.peer import Peer, connected, settings_for, until

QUEUE, KIND = "default", "email"


@asynccontextmanager
async def serving_sqlite(directory: Path, **more: Any) -> AsyncGenerator[Peer]:
    """Serve a new SQLite database."""
    settings = settings_for(driver="sqlite", sqlite={"path": directory / "jobs.db"}, **more)
    await upgrade_schema(settings)
    driver = cast("Driver", _Telling(make_driver(settings)))
    async with start_server(settings, driver=driver) as server, connected(server) as peer:
        yield peer


class _Telling:
    """A driver that tells numbers, as that of Kafka does."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def numbers(self) -> Numbers:
        return Numbers({"jobs_in_topics": 7}, {"records_lost": 2})


async def read_metrics(peer: Peer) -> str:
    """Return what Prometheus reads."""
    reader, writer = await asyncio.open_connection(*peer.server.admin_address.split(":"))
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert head.startswith("HTTP/1.1 200")
    return body


async def metrics_once(peer: Peer, holds: Callable[[str], bool]) -> str:
    """Return the metrics once they say what they should."""
    text: str = await until(lambda: read_metrics(peer), holds)
    return text


async def loaded_metrics(directory: Path) -> str:
    """Run a server through a little of everything and return its metrics."""
    outbox = directory / "outbox.db"
    with sqlite3.connect(outbox) as connection:
        connection.executescript(ddl("sqlite"))
        enqueue(connection, "from_outbox", queue="orders")
    connection.close()
    async with serving_sqlite(directory, outbox_dsn=f"sqlite:///{outbox}") as peer:
        await _schedule(peer)
        service = service_of(peer)
        ended = await StreamWorker.open(service)
        await ended.close()
        worker = await StreamWorker.open(service)
        await _run_jobs(service, worker)
        text = await metrics_once(peer, _says_all)
        await worker.close()
    return text


def service_of(peer: Peer) -> Service:
    """Return the peer's server as workers see it."""
    return Service(peer.server.application, peer.channel, peer.server.address)


def families(text: str) -> dict[str, Metric]:
    """Return the metrics by the names that samples have, without what their type adds."""
    return {metric.name: metric for metric in text_string_to_metric_families(text)}


def labels_of(metric: Metric) -> frozenset[str]:
    """Return the labels of a metric's samples; `le` of buckets left out."""
    return frozenset(label for sample in metric.samples for label in sample.labels) - {"le"}


async def _schedule(peer: Peer) -> None:
    every = schedule_service_pb2.Every()
    every.interval.FromSeconds(1)
    schedule = schedule_service_pb2.Schedule(
        name="often", spec=schedule_service_pb2.ScheduleSpec(every=every), job=job_pb2.JobSpec(kind="report", queue="reports")
    )
    await peer.schedules.Schedule(schedule_service_pb2.ScheduleRequest(schedule=schedule))


async def _run_jobs(service: Service, worker: StreamWorker) -> None:
    await service.dispatch(3, queue=QUEUE, kind=KIND)
    first, second, _ = await worker.get(3)
    error = job_pb2.JobError(type="ValueError", message="no")
    await worker.settle(complete(first))
    await worker.settle(outcome(second, fail=worker_service_pb2.Fail(error=error)))


def _says_all(text: str) -> bool:
    """Tell whether what takes time has happened: a tick, the relay, and the end of a stream."""
    return (
        "protojobs_scheduler_lag_seconds_count" in text
        and 'protojobs_outbox_relayed_total{outbox="outbox-1"} 1.0' in text
        and "protojobs_rpc_streams_total" in text
    )
