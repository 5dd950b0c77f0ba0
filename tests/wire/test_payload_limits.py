"""max_payload_bytes of a queue: wherever a payload comes in."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from protojobs.v1 import job_pb2, job_service_pb2, queue_service_pb2, schedule_service_pb2
from protojobs.v1.queue_service_pb2 import Queue, UpdateQueueRequest

from tests.canaries import PAYLOAD
from tests.wire.peer import Peer, Refusal, read_status, refused, serving, spec

pytestmark = pytest.mark.asyncio

LIMIT = 100
FITS, TOO_LARGE = b"x" * LIMIT, b"x" * (LIMIT + 1)
CREATED = job_service_pb2.DISPATCH_OUTCOME_CREATED


@pytest_asyncio.fixture
async def peer() -> AsyncIterator[Peer]:
    """Return a server whose queue `small` takes payloads of 100 bytes."""
    async with serving() as peer:
        await _limit(peer, LIMIT)
        yield peer


async def _limit(peer: Peer, most: int) -> queue_service_pb2.Queue:
    mask = FieldMask(paths=["max_payload_bytes"])
    request = UpdateQueueRequest(queue=Queue(name="small", max_payload_bytes=most), update_mask=mask)
    updated: queue_service_pb2.Queue = (await peer.queues.UpdateQueue(request)).queue
    return updated


def _check(error: Refusal) -> None:
    assert error.reason == "PAYLOAD_TOO_LARGE"
    assert error.metadata == {"size": str(LIMIT + 1), "limit": str(LIMIT)}


async def _update(peer: Peer, job_id: str, *paths: str, **fields: Any) -> job_pb2.Job:
    request = job_service_pb2.UpdateJobRequest(job_id=job_id, spec=job_pb2.JobSpec(**fields), update_mask=FieldMask(paths=paths))
    job: job_pb2.Job = (await peer.jobs.UpdateJob(request)).job
    return job


def _batch() -> list[job_pb2.JobSpec]:
    return [spec(queue="small", payload=FITS), spec(queue="small", payload=TOO_LARGE), spec(payload=TOO_LARGE)]


async def test_a_dispatch_is_refused_beyond_the_limit_of_its_queue_until_the_limit_is_lifted(peer: Peer) -> None:
    fits, other = await peer.dispatch(queue="small", payload=FITS), await peer.dispatch(payload=TOO_LARGE)
    error = await refused(peer.dispatch(queue="small", payload=TOO_LARGE))
    lifted = await _limit(peer, 0)
    after = await peer.dispatch(queue="small", payload=TOO_LARGE)

    _check(error)
    assert error.code == grpc.StatusCode.FAILED_PRECONDITION
    assert [answer.outcome for answer in (fits, other, after)] == [CREATED] * 3
    assert lifted.max_payload_bytes == 0


async def test_items_of_a_batch_are_refused_one_by_one_however_often_their_queue_was_seen(peer: Peer) -> None:
    for _ in range(2):
        answer = await peer.jobs.DispatchBatch(job_service_pb2.DispatchBatchRequest(specs=_batch()))

        assert [result.outcome == CREATED for result in answer.results] == [True, False, True]
        _check(read_status(answer.results[1].error))
    _check(await refused(peer.jobs.DispatchBatch(job_service_pb2.DispatchBatchRequest(specs=_batch(), atomic=True))))


async def test_items_of_a_stream_are_refused_one_by_one(peer: Peer) -> None:
    call = peer.jobs.DispatchStream()
    await call.read()
    specs = [spec(queue="small", payload=FITS), spec(queue="small", payload=TOO_LARGE)]

    await call.write(job_service_pb2.DispatchStreamRequest(seq=1, specs=specs))
    [told] = (await call.read()).results  # of those that are created nothing is told
    await call.done_writing()

    assert told.index == 1
    _check(read_status(told.result.error))
    assert (await peer.get(specs[0].id)).spec.payload == FITS


async def test_templates_of_schedules_and_follow_ups_are_refused(peer: Peer) -> None:
    when = schedule_service_pb2.ScheduleSpec(cron="@hourly")
    large = job_pb2.JobSpec(kind="k", queue="small", payload=TOO_LARGE)
    schedule = schedule_service_pb2.Schedule(name="s", spec=when, job=large)

    template = await refused(peer.schedules.Schedule(schedule_service_pb2.ScheduleRequest(schedule=schedule)))
    follow_up = await refused(peer.dispatch(on_complete=[large]))

    _check(template)
    _check(follow_up)


async def test_a_retry_with_a_payload_is_refused_and_changes_nothing(peer: Peer) -> None:
    job_id = (await peer.dispatch(queue="small")).job_id
    await peer.jobs.Cancel(job_service_pb2.CancelRequest(job_id=job_id))

    error = await refused(peer.jobs.Retry(job_service_pb2.RetryRequest(job_id=job_id, payload=TOO_LARGE)))

    _check(error)
    job = await peer.get(job_id)
    assert (job.state, job.spec.payload) == (job_pb2.JOB_STATE_CANCELLED, PAYLOAD)
    await peer.jobs.Retry(job_service_pb2.RetryRequest(job_id=job_id, payload=FITS))


async def test_an_update_is_refused_that_brings_a_payload_to_a_queue_which_does_not_take_it(peer: Peer) -> None:
    inside = (await peer.dispatch(queue="small")).job_id
    outside = (await peer.dispatch(queue="other", payload=TOO_LARGE)).job_id

    errors = [
        await refused(_update(peer, inside, "payload", payload=TOO_LARGE)),
        await refused(_update(peer, outside, "queue", queue="small")),
        await refused(_update(peer, inside, "payload", "priority", payload=TOO_LARGE, priority=9)),
    ]
    both = await _update(peer, outside, "queue", "payload", queue="small", payload=FITS)

    for error in errors:
        _check(error)
    assert both.spec.queue == "small"
    job = await peer.get(inside)
    assert (job.spec.payload, job.spec.priority) == (PAYLOAD, 5)


async def test_what_was_taken_before_the_limit_stays(peer: Peer) -> None:
    await _limit(peer, 0)
    job_id = (await peer.dispatch(queue="small", payload=TOO_LARGE)).job_id
    await _limit(peer, LIMIT)

    await _update(peer, job_id, "priority", priority=9)
    error = await refused(_update(peer, job_id, "queue", queue="small"))

    _check(error)
    job = await peer.get(job_id)
    assert (job.spec.payload, job.spec.priority) == (TOO_LARGE, 9)


async def test_history_and_limit_are_told_as_they_were_set(peer: Peer) -> None:
    none = queue_service_pb2.HISTORY_NONE

    set_up = (await peer.queues.UpdateQueue(UpdateQueueRequest(queue=Queue(name="small", history=none)))).queue
    mask = FieldMask(paths=["history"])
    reset = (await peer.queues.UpdateQueue(UpdateQueueRequest(queue=Queue(name="small"), update_mask=mask))).queue

    assert (set_up.history, set_up.max_payload_bytes) == (none, LIMIT)
    assert (reset.history, reset.max_payload_bytes) == (queue_service_pb2.HISTORY_UNSPECIFIED, LIMIT)
