"""Leases and outcomes, the same on a stream and by calls."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from protojobs.v1 import job_pb2, job_service_pb2, worker_service_pb2
from protojobs.v1.queue_service_pb2 import Queue, UpdateQueueRequest
from uuid_utils import uuid7

from tests.wire.lease_worker import (
    ALREADY,
    INVALID,
    OK,
    SUPERSEDED,
    Service,
    StreamWorker,
    UnaryWorker,
    Worker,
    complete,
    field_of,
    outcome,
    reason,
    serving,
)

pytestmark = pytest.mark.asyncio

Complete, Fail, Snooze, Release = (
    worker_service_pb2.Complete,
    worker_service_pb2.Fail,
    worker_service_pb2.Snooze,
    worker_service_pb2.Release,
)


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    """Serve an empty memory store."""
    async with serving() as served:
        yield served


@pytest.fixture(params=[StreamWorker, UnaryWorker], ids=["stream", "unary"])
def road(request: pytest.FixtureRequest) -> type[StreamWorker] | type[UnaryWorker]:
    """Give the roads on which a worker may come."""
    chosen: type[StreamWorker | UnaryWorker] = request.param
    return chosen


@pytest_asyncio.fixture
async def worker(service: Service, road: type[StreamWorker] | type[UnaryWorker]) -> AsyncIterator[Worker]:
    """Give a worker of the queue `default`."""
    opened = await road.open(service)
    yield opened
    await opened.close()


async def test_a_job_arrives_as_it_was_dispatched_and_completes(service: Service, worker: Worker) -> None:
    [job_id] = await service.dispatch(payload=b"\x00\xff", headers={"traceparent": "00-1-2-01"}, content_type="a/b")

    [lease] = await worker.get(1)
    answers = await worker.settle(complete(lease))

    assert (lease.job_id, lease.attempt, lease.failures, lease.max_retries) == (job_id, 1, 0, 3)
    assert lease.run_timeout.ToTimedelta() == timedelta(seconds=300)
    assert (lease.spec.id, lease.spec.payload, lease.spec.content_type) == (job_id, b"\x00\xff", "a/b")
    assert dict(lease.spec.headers) == {"traceparent": "00-1-2-01"}
    [answer] = answers[job_id, 1]
    assert (answer.code, answer.next_state) == (OK, job_pb2.JOB_STATE_COMPLETED)
    assert (await service.job(job_id)).state == job_pb2.JOB_STATE_COMPLETED


async def test_a_job_that_the_server_named_tells_its_id(service: Service, worker: Worker) -> None:
    response = await service.jobs.Dispatch(job_service_pb2.DispatchRequest(spec=job_pb2.JobSpec(kind="email")))

    [lease] = await worker.get(1)

    assert lease.job_id == lease.spec.id == response.job_id


async def test_a_jobs_own_bounds_reach_the_worker(service: Service, worker: Worker) -> None:
    await service.dispatch(run_timeout=Duration(seconds=90, nanos=500_000_000), retry=job_pb2.RetryPolicy(max_retries=200))

    [lease] = await worker.get(1)

    assert lease.run_timeout.ToTimedelta() == timedelta(seconds=90.5)
    assert lease.max_retries == 200


async def test_a_result_is_kept(service: Service, worker: Worker) -> None:
    await service.dispatch()
    [lease] = await worker.get(1)

    await worker.settle(outcome(lease, complete=Complete(result=b"42")))

    assert (await service.job(lease.job_id)).result == b"42"


async def test_a_result_that_is_too_large_is_dropped_and_the_completion_holds(service: Service, worker: Worker) -> None:
    await service.dispatch()
    [lease] = await worker.get(1)

    answers = await worker.settle(outcome(lease, complete=Complete(result=b"x" * (256 * 1024 + 1))))

    [answer] = answers[lease.job_id, 1]
    assert (answer.code, answer.result_dropped) == (OK, True)
    job = await service.job(lease.job_id)
    assert (job.state, job.result) == (job_pb2.JOB_STATE_COMPLETED, b"")


async def test_a_failed_job_is_retried_and_its_checkpoint_handed_on(service: Service, worker: Worker) -> None:
    await service.dispatch()
    [lease] = await worker.get(1)

    error = job_pb2.JobError(type="Oops", message="no\0no", stack="x" * 20_000)
    fail = Fail(error=error, checkpoint=b"page 3", retry_after=Duration(nanos=1_000_000))
    answers = await worker.settle(outcome(lease, fail=fail))

    [answer] = answers[lease.job_id, 1]
    assert (answer.code, answer.next_state, answer.HasField("next_time")) == (OK, job_pb2.JOB_STATE_RETRYING, True)
    [again] = await worker.get(1)
    assert (again.job_id, again.attempt, again.failures, again.checkpoint) == (lease.job_id, 2, 1, b"page 3")
    stored = (await service.job(lease.job_id)).last_error
    assert (stored.type, stored.message, len(stored.stack)) == ("Oops", "no\N{REPLACEMENT CHARACTER}no", 16 * 1024)


async def test_a_job_that_must_not_be_retried_fails_at_once(service: Service, worker: Worker) -> None:
    await service.dispatch()
    [lease] = await worker.get(1)

    answers = await worker.settle(outcome(lease, fail=Fail(retryable=False)))

    assert answers[lease.job_id, 1][0].next_state == job_pb2.JOB_STATE_FAILED


async def test_a_snoozed_job_waits(service: Service, worker: Worker) -> None:
    await service.dispatch()
    [lease] = await worker.get(1)

    answers = await worker.settle(outcome(lease, snooze=Snooze(delay=Duration(seconds=60))))

    [answer] = answers[lease.job_id, 1]
    assert (answer.next_state, answer.HasField("next_time")) == (job_pb2.JOB_STATE_SCHEDULED, True)


async def test_a_released_job_comes_back_uncounted(service: Service, worker: Worker) -> None:
    await service.dispatch()
    [lease] = await worker.get(1)

    await worker.settle(outcome(lease, release=Release(reason=worker_service_pb2.RELEASE_REASON_OVERLOAD)))
    [again] = await worker.get(1)

    assert (again.job_id, again.attempt, again.failures) == (lease.job_id, 2, 0)


async def test_a_kind_that_the_worker_does_not_know_is_not_offered_to_it_again(service: Service, worker: Worker) -> None:
    [strange] = await service.dispatch(kind="image")
    [lease] = await worker.get(1)
    await worker.settle(outcome(lease, release=Release(reason=worker_service_pb2.RELEASE_REASON_UNKNOWN_KIND)))

    [known] = await service.dispatch()
    [other] = await worker.get(1)

    assert other.job_id == known
    assert (await service.job(strange)).state == job_pb2.JOB_STATE_PENDING


async def test_a_cancel_reaches_the_worker_and_its_word_ends_the_job(service: Service, worker: Worker) -> None:
    await service.dispatch()
    [lease] = await worker.get(1)
    response = await service.jobs.Cancel(job_service_pb2.CancelRequest(job_id=lease.job_id, deadline=Duration(seconds=20)))
    assert response.state == job_pb2.JOB_STATE_RUNNING

    [item] = await worker.cancels()
    answers = await worker.settle(outcome(lease, cancelled=worker_service_pb2.Cancelled()))

    assert (item.job_id, item.attempt, item.reason) == (lease.job_id, 1, worker_service_pb2.CANCEL_REASON_CANCELLED)
    assert timedelta(seconds=15) < item.deadline.ToTimedelta() <= timedelta(seconds=20)
    assert answers[lease.job_id, 1][0].next_state == job_pb2.JOB_STATE_CANCELLED


async def test_children_are_stored_with_the_completion(service: Service, worker: Worker) -> None:
    await service.dispatch()
    [lease] = await worker.get(1)
    named = str(uuid7())

    children = [job_pb2.JobSpec(id=named, kind="first"), job_pb2.JobSpec(kind="second")]
    await worker.settle(outcome(lease, complete=Complete(dispatch=children)))

    leases = {each.spec.kind: each for each in await worker.get(2)}
    assert leases["first"].job_id == named
    assert leases["second"].job_id == leases["second"].spec.id != ""
    assert (await service.job(leases["second"].job_id)).parent_job_id == lease.job_id


async def test_a_malformed_child_makes_its_item_invalid_and_the_lease_stands(service: Service, worker: Worker) -> None:
    await service.dispatch(2)
    [bad, good] = await worker.get(2)

    settle = outcome(bad, complete=Complete(dispatch=[job_pb2.JobSpec(kind="ok"), job_pb2.JobSpec(kind="not ok")]))
    settle.MergeFrom(complete(good))
    answers = await worker.settle(settle)

    [refused] = answers[bad.job_id, 1]
    assert (refused.code, "complete.dispatch[1].kind" in refused.message) == (INVALID, True)
    assert answers[good.job_id, 1][0].code == OK
    assert (await worker.settle(complete(bad)))[bad.job_id, 1][0].code == OK


async def test_a_child_that_its_queue_does_not_take_makes_its_item_invalid_and_the_lease_stands(
    service: Service, worker: Worker
) -> None:
    await service.queues.UpdateQueue(UpdateQueueRequest(queue=Queue(name="small", max_payload_bytes=1)))
    await service.dispatch()
    [lease] = await worker.get(1)

    child = job_pb2.JobSpec(kind="k", queue="small", payload=b"xx")
    answers = await worker.settle(outcome(lease, complete=Complete(dispatch=[child])))

    [refused] = answers[lease.job_id, 1]
    assert refused.code == INVALID
    assert (await worker.settle(complete(lease)))[lease.job_id, 1][0].code == OK


async def test_a_repeated_settle_is_already_whatever_it_says(service: Service, worker: Worker) -> None:
    await service.dispatch()
    [lease] = await worker.get(1)
    await worker.settle(complete(lease))

    answers = await worker.settle(outcome(lease, fail=Fail()))

    [answer] = answers[lease.job_id, 1]
    assert (answer.code, answer.next_state) == (ALREADY, job_pb2.JOB_STATE_COMPLETED)


async def test_the_same_item_twice_in_one_frame_is_answered_twice(service: Service, worker: Worker) -> None:
    await service.dispatch()
    [lease] = await worker.get(1)

    answers = await worker.settle(
        worker_service_pb2.Settle(completed=[worker_service_pb2.CompletedGroup(attempt=1, job_ids=[lease.job_id] * 2)])
    )

    assert sorted(item.code for item in answers[lease.job_id, 1]) == [OK, ALREADY]


async def test_settles_of_others_stale_attempts_and_unknown_jobs_are_superseded(
    service: Service, worker: Worker, road: type[StreamWorker] | type[UnaryWorker]
) -> None:
    await service.dispatch(2)
    [mine, stale] = await worker.get(2)
    await worker.settle(outcome(stale, release=Release()))
    [fresh] = await worker.get(1)
    other = await road.open(service)
    unknown = worker_service_pb2.LeasedJob(job_id=str(uuid7()), attempt=1)

    answers = await other.settle(complete(mine, unknown))
    later = await worker.settle(complete(worker_service_pb2.LeasedJob(job_id=fresh.job_id, attempt=9)))

    assert answers[mine.job_id, 1][0].code == SUPERSEDED
    assert answers[unknown.job_id, 1][0].code == SUPERSEDED
    assert later[fresh.job_id, 9][0].code == SUPERSEDED
    await other.close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "7d839637-0be4-412d-a82b-cc81339dc0b7",
        "01A20E68-7E91-75DF-A614-145D9546FAF1",
        " " * 36,
        "é" * 36,
    ],
    ids=["empty", "nonsense", "version 4", "upper case", "spaces", "not ASCII"],
)
async def test_a_malformed_id_is_invalid_for_its_item_only(service: Service, worker: Worker, text: str) -> None:
    await service.dispatch()
    [lease] = await worker.get(1)

    answers = await worker.settle(
        worker_service_pb2.Settle(completed=[worker_service_pb2.CompletedGroup(attempt=1, job_ids=[text, lease.job_id])])
    )

    assert answers[text, 1][0].code == INVALID
    assert answers[lease.job_id, 1][0].code == OK


@pytest.mark.parametrize(
    ("what", "field"),
    [
        ({}, "outcome"),
        ({"fail": Fail(retry_after=Duration(seconds=-1))}, "fail.retry_after"),
        ({"fail": Fail(retry_after=Duration(seconds=366 * 86_400))}, "fail.retry_after"),
        ({"fail": Fail(checkpoint=b"x" * (64 * 1024 + 1))}, "fail.checkpoint"),
        ({"snooze": Snooze(delay=Duration(seconds=-1))}, "delay"),
        ({"snooze": Snooze(delay=Duration(seconds=1, nanos=-5))}, "delay"),
        ({"release": Release(reason=99)}, "release.reason"),  # type: ignore[arg-type] # no such reason
        ({"complete": Complete(dispatch=[job_pb2.JobSpec(kind="k", priority=10)])}, "complete.dispatch[0].priority"),
        ({"complete": Complete(dispatch=[job_pb2.JobSpec(kind="k")] * 1001)}, "complete.dispatch"),
    ],
)
async def test_a_malformed_outcome_is_invalid_and_the_lease_stands(
    service: Service, worker: Worker, what: dict[str, Any], field: str
) -> None:
    await service.dispatch()
    [lease] = await worker.get(1)

    [answer] = (await worker.settle(outcome(lease, **what)))[lease.job_id, 1]

    assert (answer.code, answer.message.split(":")[0]) == (INVALID, field)
    assert (await worker.settle(complete(lease)))[lease.job_id, 1][0].code == OK


async def test_progress_and_checkpoints_of_running_jobs_are_stored(service: Service, worker: Worker) -> None:
    await service.dispatch()
    [lease] = await worker.get(1)

    progress = job_pb2.Progress(ratio=0.5, message="half")
    refused = await worker.update(
        worker_service_pb2.UpdateItem(job_id=lease.job_id, attempt=1, progress=progress, checkpoint=b"50")
    )

    assert list(refused) == []
    stored = (await service.job(lease.job_id)).progress
    assert (stored.ratio, stored.message, stored.HasField("update_time")) == (0.5, "half", True)


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan"), float("inf")])
async def test_updates_that_are_malformed_or_of_others_are_refused_one_by_one(
    service: Service, worker: Worker, ratio: float
) -> None:
    await service.dispatch()
    [lease] = await worker.get(1)

    refused = await worker.update(
        worker_service_pb2.UpdateItem(job_id=lease.job_id, attempt=1, progress=job_pb2.Progress(ratio=ratio)),
        worker_service_pb2.UpdateItem(job_id=lease.job_id, attempt=7),
        worker_service_pb2.UpdateItem(job_id=lease.job_id, attempt=1, progress=job_pb2.Progress(ratio=1)),
    )

    assert sorted((item.attempt, item.code) for item in refused) == [(1, INVALID), (7, SUPERSEDED)]
    assert (await service.job(lease.job_id)).progress.ratio == 1


async def test_a_paused_queue_gives_nothing(service: Service, worker: Worker) -> None:
    await service.application.queues.pause("default")
    [job_id] = await service.dispatch()
    await service.application.queues.resume("default")

    [lease] = await worker.get(1)

    assert (lease.job_id, lease.attempt) == (job_id, 1)


async def test_a_job_goes_only_to_workers_of_its_kind(service: Service, road: type[StreamWorker] | type[UnaryWorker]) -> None:
    mails, images = await road.open(service, kinds=["email"]), await road.open(service, kinds=["image"])
    await service.dispatch(kind="image")
    await service.dispatch(kind="email")

    [mail] = await mails.get(1)
    [image] = await images.get(1)

    assert (mail.spec.kind, image.spec.kind) == ("email", "image")
    await mails.close()
    await images.close()


async def test_more_items_than_a_frame_may_hold_are_refused(service: Service, worker: Worker) -> None:
    group = worker_service_pb2.CompletedGroup(attempt=1, job_ids=["x"] * 10_001)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await worker.settle(worker_service_pb2.Settle(completed=[group]))

    assert (raised.value.code(), reason(raised.value)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


_queue = worker_service_pb2.QueueSubscription


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"session_id": b"short"}, "session_id"),
        ({"session_id": b"x" * 17}, "session_id"),
        ({"queues": []}, "queues"),
        ({"queues": [_queue(name=f"q{n}") for n in range(101)]}, "queues"),
        ({"queues": [_queue(name="a"), _queue(name="a")]}, "queues[1].name"),
        ({"queues": [_queue(name="a b")]}, "queues[0].name"),
        ({"queues": [_queue(name="")]}, "queues[0].name"),
        ({"queues": [_queue(name="a", weight=1001)]}, "queues[0].weight"),
        ({"queue_order": 9}, "queue_order"),
        ({"kinds": ["not ok"]}, "kinds[0]"),
        ({"kinds": [f"k{n}" for n in range(1001)]}, "kinds"),
        ({"session_ttl": Duration(seconds=1)}, "session_ttl"),
        ({"session_ttl": Duration(seconds=601)}, "session_ttl"),
        ({"worker": "x" * 129}, "worker"),
        ({"worker": "a\0b"}, "worker"),
        ({"sdk": "x" * 65}, "sdk"),
        ({"sdk_version": "x" * 65}, "sdk_version"),
        ({"held": [worker_service_pb2.HeldLease(job_id="?")]}, "held[0].job_id"),
        ({"held": [worker_service_pb2.HeldLease(job_id=str(uuid7()), elapsed=Duration(seconds=-1))]}, "held[0].elapsed"),
    ],
)
async def test_what_a_worker_says_of_itself_is_bounded(
    service: Service, road: type[StreamWorker] | type[UnaryWorker], changes: dict[str, Any], field: str
) -> None:
    async def begin() -> None:
        await (await road.open(service, **changes)).get(1)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await begin()

    path = f"hello.{field}" if road is StreamWorker else field
    assert (raised.value.code(), field_of(raised.value)) == (grpc.StatusCode.INVALID_ARGUMENT, path)


async def test_a_worker_is_listed_and_drained(service: Service, road: type[StreamWorker] | type[UnaryWorker]) -> None:
    [job_id] = await service.dispatch()
    worker = await road.open(service, worker="me", sdk="test", sdk_version="1", kinds=["email"])
    await worker.get(1)

    [listed] = (await service.workers.ListWorkers(worker_service_pb2.ListWorkersRequest(queue="default"))).workers
    await service.workers.DrainWorker(worker_service_pb2.DrainWorkerRequest(session=listed.session, deadline=Duration(seconds=30)))

    assert (listed.worker, listed.sdk, listed.sdk_version, listed.slots_used) == ("me", "test", "1", 1)
    assert (list(listed.queues), list(listed.kinds)) == (["default"], ["email"])
    assert [(job.job_id, job.kind, job.queue, job.attempt) for job in listed.running] == [(job_id, "email", "default", 1)]
    if isinstance(worker, StreamWorker):
        assert (await worker.stream.until("drain")).reason == worker_service_pb2.DRAIN_REASON_WORKER
    else:
        assert (await worker.extend()).drain
    await worker.close()
