"""Limits of queues over the wire: set, read, felt by producers and told to workers."""

import asyncio
import logging
import threading
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from protojobs.v1 import job_service_pb2, queue_service_pb2, worker_service_pb2
from protojobs_worker import Worker

from tests.wire.lease_worker import StreamWorker, complete
from tests.wire.lease_worker import serving as serving_workers
from tests.wire.peer import Peer, read_status, refused, spec, until

pytestmark = pytest.mark.asyncio

Queue, RateLimit = queue_service_pb2.Queue, queue_service_pb2.RateLimit


async def _update(queues: Any, *paths: str, **fields: Any) -> queue_service_pb2.Queue:
    request = queue_service_pb2.UpdateQueueRequest(queue=Queue(name="q", **fields), update_mask=FieldMask(paths=paths))
    updated: queue_service_pb2.Queue = (await queues.UpdateQueue(request)).queue
    return updated


async def test_limits_are_kept_until_they_are_taken_away(peer: Peer) -> None:
    await _update(peer.queues, rate_limit=RateLimit(per_second=2.5), max_in_flight=3, max_depth=4)
    await _update(peer.queues, overflow=queue_service_pb2.OVERFLOW_RETRY)

    kept = (await peer.queues.GetQueue(queue_service_pb2.GetQueueRequest(queue="q"))).queue
    gone = await _update(peer.queues, "rate_limit", "max_in_flight", "max_depth", "overflow")

    assert (kept.rate_limit.per_second, kept.rate_limit.burst) == (2.5, 3)
    assert (kept.max_in_flight, kept.max_depth, kept.overflow) == (3, 4, queue_service_pb2.OVERFLOW_RETRY)
    assert (gone.HasField("rate_limit"), gone.max_in_flight, gone.max_depth, gone.overflow) == (False, 0, 0, 0)


async def test_a_full_queue_refuses_each_job_by_itself(peer: Peer) -> None:
    await _update(peer.queues, max_depth=2)
    specs = [spec(queue="q"), spec(queue="q"), spec(queue="q"), spec(queue="other")]

    batch = await peer.jobs.DispatchBatch(job_service_pb2.DispatchBatchRequest(specs=specs))
    alone = await refused(peer.dispatch(queue="q"))
    await _update(peer.queues, overflow=queue_service_pb2.OVERFLOW_RETRY)
    later = await refused(peer.dispatch(queue="q"))

    errors = [read_status(result.error) if result.HasField("error") else None for result in batch.results]
    assert [error and error.reason for error in errors] == [None, None, "QUEUE_FULL", None]
    assert (alone.code, alone.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "QUEUE_FULL")
    assert (later.code, later.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")


async def test_a_worker_logs_the_limit_that_leaves_it_idle_and_runs_everything_in_the_end(
    peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "protojobs_worker")
    await _update(peer.queues, max_in_flight=1)
    for _ in range(4):
        await peer.dispatch(queue="q", kind="wait")
    worker, may_end = Worker(peer.server.address, queues=["q"], concurrency=3), threading.Event()
    running = most = 0

    @worker.handler("wait")
    def wait() -> None:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        may_end.wait(30)
        running -= 1

    task = asyncio.create_task(worker.serve())

    async def throttles() -> list[tuple[Any, ...]]:
        fields = [vars(record) for record in caplog.records if record.message == "throttled"]
        return [(each["queue"], each["why"], each["seconds"]) for each in fields]

    async def completed() -> int:
        stats = (await peer.queues.Stats(queue_service_pb2.StatsRequest(queue="q"))).queues[0]
        return int(stats.counts.completed)

    told = await until(throttles, bool)
    may_end.set()
    await until(completed, lambda n: n == 4)
    worker.stop(now=True)
    await task

    assert told[0] == ("q", "concurrency", None)
    assert most == 1


async def test_a_worker_that_a_limit_leaves_idle_hears_of_it() -> None:
    async with serving_workers() as service:
        await _update(service.queues, max_in_flight=2, rate_limit=RateLimit(per_second=0.01, burst=3))
        await service.dispatch(5, queue="q")
        worker = await StreamWorker.open(service, queues=[worker_service_pb2.QueueSubscription(name="q")])
        leases = await worker.get(2)

        by_number = await worker.stream.until("throttle")
        await worker.settle(complete(*leases))
        by_rate = await worker.stream.until("throttle")
        stats = (await service.queues.Stats(queue_service_pb2.StatsRequest(queue="q"))).queues[0]

        assert (by_number.queue, by_number.why) == ("q", worker_service_pb2.THROTTLE_REASON_CONCURRENCY)
        assert not by_number.HasField("until")
        assert (by_rate.queue, by_rate.why) == ("q", worker_service_pb2.THROTTLE_REASON_RATE)
        assert 50 < by_rate.until.ToTimedelta().total_seconds() <= 100
        assert (stats.counts.running, stats.limited_by.rate, stats.limited_by.concurrency) == (1, True, False)
        await worker.close()
