"""QueueService over the wire."""

from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from protojobs.v1 import job_pb2, job_service_pb2, queue_service_pb2

from tests.wire.peer import Peer, refused

pytestmark = pytest.mark.asyncio

Fairness, AGING = queue_service_pb2.Fairness, queue_service_pb2.PRIORITY_MODE_AGING
Queue, UpdateQueueRequest = queue_service_pb2.Queue, queue_service_pb2.UpdateQueueRequest


async def _update(peer: Peer, queue: queue_service_pb2.Queue, *paths: str) -> queue_service_pb2.Queue:
    request = UpdateQueueRequest(queue=queue, update_mask=FieldMask(paths=paths))
    updated: queue_service_pb2.Queue = (await peer.queues.UpdateQueue(request)).queue
    return updated


async def test_a_queue_exists_when_it_is_first_used(peer: Peer) -> None:
    before = await refused(peer.queues.GetQueue(queue_service_pb2.GetQueueRequest(queue="emails")))
    await peer.dispatch(queue="emails")

    queue = (await peer.queues.GetQueue(queue_service_pb2.GetQueueRequest(queue="emails"))).queue

    assert (before.code, before.reason) == (grpc.StatusCode.NOT_FOUND, "QUEUE_NOT_FOUND")
    assert (queue.name, queue.paused, queue.retention.completed.seconds) == ("emails", False, 7 * 86_400)
    assert not queue.HasField("retry")


async def test_settings_are_the_defaults_of_later_jobs(peer: Peer) -> None:
    retry = job_pb2.RetryPolicy(max_retries=7, initial_backoff=Duration(seconds=5), jitter=job_pb2.JITTER_NONE)

    await _update(peer, Queue(name="emails", retry=retry, run_timeout=Duration(seconds=9)))
    plain = await peer.get((await peer.dispatch(queue="emails")).job_id)
    own = await peer.get((await peer.dispatch(queue="emails", retry=job_pb2.RetryPolicy(max_retries=1))).job_id)

    assert (plain.retry.max_retries, plain.retry.initial_backoff.seconds, plain.run_timeout.seconds) == (7, 5, 9)
    assert (own.retry.max_retries, own.retry.initial_backoff.seconds) == (1, 5)


async def test_without_a_mask_only_what_is_set_changes(peer: Peer) -> None:
    await _update(peer, Queue(name="q", retry=job_pb2.RetryPolicy(max_retries=7), strict_leases=True))

    queue = await _update(peer, Queue(name="q", retry=job_pb2.RetryPolicy(multiplier=3.0)))

    assert (queue.retry.max_retries, queue.retry.multiplier, queue.strict_leases) == (7, 3.0, True)


async def test_a_masked_field_that_is_unset_goes_back_to_its_default(peer: Peer) -> None:
    kept = queue_service_pb2.Retention(completed=Duration(seconds=60), failed=Duration(seconds=60))
    await _update(peer, Queue(name="q", retry=job_pb2.RetryPolicy(max_retries=7), retention=kept, run_timeout=Duration(seconds=9)))

    queue = await _update(peer, Queue(name="q"), "retry", "retention.completed", "run_timeout")

    assert not queue.HasField("retry")
    assert not queue.HasField("run_timeout")
    assert (queue.retention.completed.seconds, queue.retention.failed.seconds) == (7 * 86_400, 60)


BAD: list[tuple[str, dict[str, Any], list[str]]] = [
    ("queue.name", {"name": "a/b"}, []),
    ("queue.name", {"name": ""}, []),
    ("queue.run_timeout", {"run_timeout": Duration(nanos=1)}, []),
    ("queue.retry.max_retries", {"retry": job_pb2.RetryPolicy(max_retries=1001)}, []),
    ("queue.retention.failed", {"retention": queue_service_pb2.Retention(failed=Duration(seconds=-1))}, []),
    ("queue.retention.completed", {"retention": queue_service_pb2.Retention(completed=Duration(seconds=10**9))}, []),
    *[
        ("queue.rate_limit.per_second", {"rate_limit": queue_service_pb2.RateLimit(per_second=rate)}, [])
        for rate in (0.0, -1.0, float("nan"), float("inf"), 1e7)
    ],
    ("queue.rate_limit.burst", {"rate_limit": queue_service_pb2.RateLimit(per_second=1, burst=1_000_001)}, []),
    ("queue.max_in_flight", {"max_in_flight": 1_000_001}, []),
    ("queue.max_depth", {"max_depth": 10**12 + 1}, []),
    ("queue.overflow", {"overflow": 9}, []),
    ("queue.per_key_limit", {"per_key_limit": 100_001}, []),
    ("queue.fairness.weights[a]", {"fairness": Fairness(enabled=True, weights={"a": 0})}, []),
    ("queue.fairness.weights[a]", {"fairness": Fairness(enabled=True, weights={"a": 1001})}, ["fairness"]),
    ("queue.fairness.weights", {"fairness": Fairness(enabled=True, weights={"a" * 129: 1})}, []),
    ("queue.fairness.weights", {"fairness": Fairness(weights={f"k{n}": 1 for n in range(1001)})}, []),
    ("update_mask.paths[0]", {}, ["fairness.colour"]),
    ("queue.priority_mode", {"priority_mode": 9}, []),
    ("queue.aging_interval", {"priority_mode": AGING}, ["priority_mode"]),
    ("queue.aging_interval", {"priority_mode": AGING, "aging_interval": Duration(nanos=999_999_999)}, []),
    ("queue.aging_interval", {"priority_mode": AGING, "aging_interval": Duration(seconds=86_401)}, []),
    ("queue.aging_interval", {"aging_interval": Duration(seconds=60)}, []),
    ("queue.history", {"history": 4}, []),
    ("queue.max_payload_bytes", {"max_payload_bytes": 1024 * 1024 + 1}, []),
    ("update_mask.paths[0]", {}, ["paused"]),
    ("update_mask.paths[1]", {}, ["retry", "colour"]),
    ("update_mask.paths[0]", {}, ["retry.colour"]),
    ("update_mask.paths[0]", {}, ["rate_limit.burst"]),
]


@pytest.mark.parametrize(("path", "fields", "mask"), BAD, ids=range(len(BAD)))
async def test_a_bad_setting_is_named(peer: Peer, path: str, fields: dict[str, Any], mask: list[str]) -> None:
    request = UpdateQueueRequest(queue=Queue(**{"name": "q", **fields}), update_mask=FieldMask(paths=mask))

    error = await refused(peer.queues.UpdateQueue(request))

    assert (error.reason, error.fields) == ("INVALID_FIELD", [path])


async def test_a_paused_queue_says_so_until_it_is_resumed(peer: Peer) -> None:
    seen: list[bool] = []
    await peer.queues.PauseQueue(queue_service_pb2.PauseQueueRequest(queue="q"))
    for _ in range(2):
        stats = (await peer.queues.Stats(queue_service_pb2.StatsRequest(queue="q"))).queues[0]
        queue = (await peer.queues.GetQueue(queue_service_pb2.GetQueueRequest(queue="q"))).queue
        assert queue.paused == stats.paused == stats.limited_by.paused
        seen.append(queue.paused)
        await peer.queues.ResumeQueue(queue_service_pb2.ResumeQueueRequest(queue="q"))

    assert seen == [True, False]


async def test_queues_are_listed_page_by_page_by_name(peer: Peer) -> None:
    for name in ("c", "a", "b"):
        await peer.queues.ResumeQueue(queue_service_pb2.ResumeQueueRequest(queue=name))

    first = await peer.queues.ListQueues(queue_service_pb2.ListQueuesRequest(page_size=2))
    rest = await peer.queues.ListQueues(queue_service_pb2.ListQueuesRequest(page_size=2, page_token=first.next_page_token))

    assert [queue.name for queue in (*first.queues, *rest.queues)] == ["a", "b", "c"]
    assert rest.next_page_token == ""


async def test_clearing_deletes_what_waits_and_counts_it_before(peer: Peer) -> None:
    for _ in range(3):
        await peer.dispatch(queue="q")
    other = await peer.dispatch(queue="other")
    request = queue_service_pb2.ClearQueueRequest(queue="q")

    counted = await peer.queues.ClearQueue(queue_service_pb2.ClearQueueRequest(queue="q", validate_only=True))
    cleared = await peer.queues.ClearQueue(request)

    assert (counted.deleted, cleared.deleted, cleared.continuation_token) == (3, 3, "")
    left = await peer.jobs.ListJobs(job_service_pb2.ListJobsRequest())
    assert [job.id for job in left.jobs] == [other.job_id]


async def test_clearing_never_takes_running_jobs(peer: Peer) -> None:
    await peer.dispatch(queue="q")
    request = queue_service_pb2.ClearQueueRequest(queue="q", states=[job_pb2.JOB_STATE_RUNNING])

    error = await refused(peer.queues.ClearQueue(request))

    assert (error.reason, error.fields) == ("INVALID_FIELD", ["states[0]"])


BAD_CLEAR: list[tuple[str, dict[str, Any]]] = [
    ("queue", {"queue": ""}),
    ("before", {"before": Timestamp(nanos=-1)}),
    ("continuation_token", {"continuation_token": "A" * 32}),
]


@pytest.mark.parametrize(("path", "fields"), BAD_CLEAR, ids=[path for path, _ in BAD_CLEAR])
async def test_a_bad_clearing_is_named(peer: Peer, path: str, fields: dict[str, Any]) -> None:
    error = await refused(peer.queues.ClearQueue(queue_service_pb2.ClearQueueRequest(**{"queue": "q", **fields})))

    assert (error.reason, error.fields) == ("INVALID_FIELD", [path])


async def test_a_queue_with_jobs_is_removed_by_force_only(peer: Peer) -> None:
    await peer.dispatch(queue="q")

    error = await refused(peer.queues.DeleteQueue(queue_service_pb2.DeleteQueueRequest(queue="q")))
    await peer.queues.DeleteQueue(queue_service_pb2.DeleteQueueRequest(queue="q", force=True))

    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "QUEUE_NOT_EMPTY")
    assert (await refused(peer.queues.GetQueue(queue_service_pb2.GetQueueRequest(queue="q")))).reason == "QUEUE_NOT_FOUND"


async def test_stats_count_by_state_and_name_kinds_without_a_worker(peer: Peer) -> None:
    await peer.dispatch(queue="q", kind="lonely")
    await peer.dispatch(queue="q", delay=Duration(seconds=60))
    cancelled = await peer.dispatch(queue="q")
    await peer.jobs.Cancel(job_service_pb2.CancelRequest(job_id=cancelled.job_id))

    answer = await peer.queues.Stats(queue_service_pb2.StatsRequest())

    [stats] = answer.queues
    assert (stats.queue, stats.counts.pending, stats.counts.scheduled, stats.counts.cancelled) == ("q", 1, 1, 1)
    assert [(each.kind, each.pending) for each in stats.limited_by.no_worker_kinds] == [("lonely", 1)]
    assert stats.HasField("oldest_pending_age")
    assert answer.HasField("snapshot_time")


async def test_jobs_of_a_key_wait_for_each_other_and_the_queue_says_why(peer: Peer) -> None:
    first = await peer.dispatch(queue="q", kind="k", concurrency_key="acme")
    second = await peer.dispatch(queue="q", kind="k", concurrency_key="acme")

    answer = await peer.queues.Stats(queue_service_pb2.StatsRequest(queue="q"))
    job = (await peer.jobs.GetJob(job_service_pb2.GetJobRequest(job_id=second.job_id))).job
    listed = await peer.jobs.ListJobs(
        job_service_pb2.ListJobsRequest(filter=job_service_pb2.JobFilter(states=[job_pb2.JOB_STATE_PENDING]))
    )

    assert (answer.queues[0].counts.pending, answer.queues[0].limited_by.concurrency) == (2, True)
    assert (job.state, job.spec.concurrency_key) == (job_pb2.JOB_STATE_PENDING, "acme")
    assert {each.id for each in listed.jobs} == {first.job_id, second.job_id}


async def test_the_limit_per_key_is_kept_and_goes_back_to_one(peer: Peer) -> None:
    changed = await peer.queues.UpdateQueue(UpdateQueueRequest(queue=Queue(name="q", per_key_limit=3)))
    kept = await peer.queues.UpdateQueue(UpdateQueueRequest(queue=Queue(name="q", strict_leases=True)))
    back = await peer.queues.UpdateQueue(UpdateQueueRequest(queue=Queue(name="q"), update_mask=FieldMask(paths=["per_key_limit"])))

    assert [answer.queue.per_key_limit for answer in (changed, kept, back)] == [3, 3, 1]


async def test_a_queue_ages_until_it_is_strict_again(peer: Peer) -> None:
    aging = Queue(name="q", priority_mode=AGING, aging_interval=Duration(seconds=60))

    changed = (await peer.queues.UpdateQueue(UpdateQueueRequest(queue=aging))).queue
    kept = (await peer.queues.UpdateQueue(UpdateQueueRequest(queue=Queue(name="q", per_key_limit=2)))).queue
    strict = Queue(name="q", priority_mode=queue_service_pb2.PRIORITY_MODE_STRICT)
    back = (await peer.queues.UpdateQueue(UpdateQueueRequest(queue=strict))).queue

    assert [(each.priority_mode, each.aging_interval.seconds) for each in (changed, kept)] == [(AGING, 60)] * 2
    assert not back.HasField("aging_interval")


async def test_a_queue_is_fair_by_weights_until_it_is_not(peer: Peer) -> None:
    await peer.queues.UpdateQueue(UpdateQueueRequest(queue=Queue(name="q", fairness=Fairness(enabled=True, weights={"a": 3}))))
    for key in "aaaabbbb":
        await peer.dispatch(queue="q", kind="k", fairness_key=key)
    job = await peer.dispatch(queue="q", kind="k", fairness_key="c")

    read = (await peer.queues.GetQueue(queue_service_pb2.GetQueueRequest(queue="q"))).queue
    spec = (await peer.jobs.GetJob(job_service_pb2.GetJobRequest(job_id=job.job_id))).job.spec
    masked = await peer.queues.UpdateQueue(
        UpdateQueueRequest(queue=Queue(name="q"), update_mask=FieldMask(paths=["fairness.enabled"]))
    )
    off = await peer.queues.UpdateQueue(UpdateQueueRequest(queue=Queue(name="q", fairness=Fairness())))

    assert (read.fairness, spec.fairness_key) == (Fairness(enabled=True, weights={"a": 3}), "c")
    assert masked.queue.fairness == Fairness(weights={"a": 3})
    assert not off.queue.HasField("fairness")


async def test_stats_of_an_unknown_queue_are_not_found(peer: Peer) -> None:
    error = await refused(peer.queues.Stats(queue_service_pb2.StatsRequest(queue="nobody")))

    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "QUEUE_NOT_FOUND")
