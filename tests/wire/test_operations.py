"""UpdateJob, BulkJobs and the filter language over the wire."""

from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from protojobs.v1 import job_pb2, job_service_pb2, queue_service_pb2

from tests.canaries import PAYLOAD
from tests.wire.peer import Peer, id_at, now, refused

pytestmark = pytest.mark.asyncio

CANCEL, DELETE = job_service_pb2.BULK_ACTION_CANCEL, job_service_pb2.BULK_ACTION_DELETE
MOVE, RETRY = job_service_pb2.BULK_ACTION_MOVE, job_service_pb2.BULK_ACTION_RETRY
SET_PRIORITY = job_service_pb2.BULK_ACTION_SET_PRIORITY


async def _update(peer: Peer, job_id: str, *paths: str, **fields: Any) -> job_pb2.Job:
    asked = job_pb2.JobSpec(**fields)
    request = job_service_pb2.UpdateJobRequest(job_id=job_id, spec=asked, update_mask=FieldMask(paths=paths))
    job: job_pb2.Job = (await peer.jobs.UpdateJob(request)).job
    return job


async def _bulk(peer: Peer, action: Any, **fields: Any) -> tuple[int, int, str]:
    answer = await peer.jobs.BulkJobs(job_service_pb2.BulkJobsRequest(action=action, **fields))
    return answer.changed, answer.skipped, answer.continuation_token


async def _states(peer: Peer, ids: list[str]) -> set[str]:
    return {job_pb2.JobState.Name((await peer.get(job_id)).state).removeprefix("JOB_STATE_") for job_id in ids}


async def test_an_update_changes_what_the_mask_names_in_job_and_envelope(peer: Peer) -> None:
    job_id = (await peer.dispatch(queue="a", labels={"x": "1"}, headers={"h": "1"}, payload=b"old", priority=3)).job_id
    retry = job_pb2.RetryPolicy(max_retries=7)

    answer = await _update(
        peer,
        job_id,
        "payload",
        "content_type",
        "queue",
        "labels",
        "priority",
        "retry",
        payload=b"new",
        content_type="text/plain",
        queue="b",
        labels={"y": "2"},
        retry=retry,
        kind="is not named",
    )

    job = await peer.get(job_id)
    assert (job.spec.payload, job.spec.content_type, job.spec.queue, dict(job.spec.labels)) == (
        b"new",
        "text/plain",
        "b",
        {"y": "2"},
    )
    assert (job.spec.kind, dict(job.spec.headers), job.spec.priority, job.spec.retry) == ("email", {"h": "1"}, 5, retry)
    assert (job.retry.max_retries, job.run_timeout.seconds) == (7, 300)
    job.spec.ClearField("payload")
    job.spec.ClearField("headers")
    assert answer == job


async def test_without_a_mask_an_update_changes_what_is_set(peer: Peer) -> None:
    job_id = (await peer.dispatch(labels={"x": "1"}, priority=3)).job_id

    await _update(peer, job_id, priority=9)

    job = await peer.get(job_id)
    assert (job.spec.priority, dict(job.spec.labels), job.spec.payload) == (9, {"x": "1"}, PAYLOAD)


async def test_a_retry_policy_falls_back_to_that_of_the_queue(peer: Peer) -> None:
    queue = queue_service_pb2.Queue(
        name="b", retry=job_pb2.RetryPolicy(max_retries=9, multiplier=3), run_timeout=Duration(seconds=5)
    )
    await peer.queues.UpdateQueue(queue_service_pb2.UpdateQueueRequest(queue=queue))
    own = job_pb2.RetryPolicy(max_retries=1)
    kept, cleared = [(await peer.dispatch(retry=own, run_timeout=Duration(seconds=60))).job_id for _ in range(2)]

    moved = await _update(peer, kept, "queue", queue="b")
    renewed = await _update(peer, cleared, "queue", "retry", queue="b")

    assert (moved.retry.max_retries, moved.retry.multiplier, moved.run_timeout.seconds) == (1, 2, 60)
    assert (renewed.retry.max_retries, renewed.retry.multiplier, renewed.run_timeout.seconds) == (9, 3, 60)


async def test_a_start_is_put_off_and_taken_back(peer: Peer) -> None:
    job_id = (await peer.dispatch(expire_time=Timestamp(seconds=int(now().timestamp()) + 3600))).job_id

    later = await _update(peer, job_id, delay=Duration(seconds=60))
    at = await _update(peer, job_id, run_time=Timestamp(seconds=int(now().timestamp()) + 120))
    error = await refused(_update(peer, job_id, delay=Duration(seconds=3601)))
    at_once = await _update(peer, job_id, "run_time")

    assert (later.state, later.spec.WhichOneof("start")) == (job_pb2.JOB_STATE_SCHEDULED, "delay")
    assert (at.state, at.spec.WhichOneof("start")) == (job_pb2.JOB_STATE_SCHEDULED, "run_time")
    assert (error.reason, error.fields) == ("INVALID_FIELD", ["spec.delay"])
    assert (at_once.state, at_once.spec.WhichOneof("start")) == (job_pb2.JOB_STATE_PENDING, None)


async def test_final_jobs_and_large_payloads_are_refused(peer: Peer) -> None:
    job_id = (await peer.dispatch()).job_id
    large = await refused(_update(peer, job_id, payload=b"x" * (1024 * 1024 + 1)))
    await peer.jobs.Cancel(job_service_pb2.CancelRequest(job_id=job_id))

    final = await refused(_update(peer, job_id, queue="b"))

    assert (large.code, large.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PAYLOAD_TOO_LARGE")
    assert (final.code, final.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "JOB_FINAL")


async def test_lists_read_the_filter_language_and_bind_their_pages_to_it(peer: Peer) -> None:
    ids = [(await peer.dispatch(queue="a", labels={"n": str(n % 2)})).job_id for n in range(5)]
    request = job_service_pb2.ListJobsRequest(expression='queue = a and label.n = "0"', page_size=2)

    first = await peer.jobs.ListJobs(request)
    request.page_token = first.next_page_token
    second = await peer.jobs.ListJobs(request)
    request.expression = "queue = a"
    error = await refused(peer.jobs.ListJobs(request))

    assert [job.id for job in (*first.jobs, *second.jobs)] == ids[::2][::-1]
    assert second.next_page_token == ""
    assert (error.reason, error.fields) == ("INVALID_FIELD", ["page_token"])


async def test_syntax_errors_name_the_column(peer: Peer) -> None:
    error = await refused(peer.jobs.ListJobs(job_service_pb2.ListJobsRequest(expression="queue = a or kind = b")))

    assert (error.code, error.fields, error.metadata["column"]) == (grpc.StatusCode.INVALID_ARGUMENT, ["expression"], "11")
    assert "column 11: expected 'and' or the end" in error.message


async def test_bulk_actions_take_jobs_by_filter_by_id_or_all(peer: Peer) -> None:
    ids = [(await peer.dispatch(queue="a" if n < 2 else "b")).job_id for n in range(4)]

    moved = await _bulk(peer, MOVE, filter=job_service_pb2.JobFilter(queues=["a"]), queue="c")
    raised = await _bulk(peer, SET_PRIORITY, job_ids=[*ids[:1], *ids[:1], id_at(now())], priority=9)
    cancelled = await _bulk(peer, CANCEL, expression="queue = b")
    deleted = await _bulk(peer, DELETE, all=True)

    assert (moved, raised, cancelled, deleted) == ((2, 0, ""), (1, 1, ""), (2, 0, ""), (4, 0, ""))
    assert (await refused(peer.get(ids[0]))).reason == "JOB_NOT_FOUND"


async def test_a_dry_run_counts_and_shows_some(peer: Peer) -> None:
    ids = [(await peer.dispatch()).job_id for _ in range(12)]
    request = job_service_pb2.BulkJobsRequest(action=CANCEL, all=True, validate_only=True)

    answer = await peer.jobs.BulkJobs(request)

    assert (answer.changed, answer.skipped, answer.continuation_token) == (12, 0, "")
    assert list(answer.sample_job_ids) == ids[:10]
    assert await _states(peer, ids) == {"PENDING"}


async def test_a_retry_acts_under_a_token_only_and_a_repeat_does_nothing(peer: Peer) -> None:
    ids = [(await peer.dispatch()).job_id for _ in range(3)]
    await _bulk(peer, CANCEL, all=True)
    wish = {"expression": "state = cancelled"}

    begun = await _bulk(peer, RETRY, **wish)
    untouched = await _states(peer, ids)
    retried = await _bulk(peer, RETRY, **wish, continuation_token=begun[2])
    await _bulk(peer, CANCEL, all=True)
    repeated = await _bulk(peer, RETRY, **wish, continuation_token=begun[2])

    assert (begun[:2], untouched) == ((0, 0), {"CANCELLED"})
    assert retried == (3, 0, "")
    assert repeated == (0, 3, "")
    assert await _states(peer, ids) == {"CANCELLED"}


@pytest.mark.parametrize("place", [0, 12, -1])
async def test_a_token_that_was_tampered_with_or_belongs_to_another_call_is_refused(peer: Peer, place: int) -> None:
    _, _, token = await _bulk(peer, RETRY, all=True)
    place %= len(token)
    tampered = f"{token[:place]}{'A' if token[place] != 'A' else 'Q'}{token[place + 1 :]}"

    for fields in ({"all": True, "continuation_token": tampered}, {"expression": "queue = a", "continuation_token": token}):
        error = await refused(_bulk(peer, RETRY, **fields))
        assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["continuation_token"])
