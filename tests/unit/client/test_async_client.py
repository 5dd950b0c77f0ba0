"""What the client does with answers: batches, results, pages, ids, retries."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import grpc
import pytest
from opentelemetry import context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from protojobs.v1 import job_pb2
from protojobs_client import (
    Aging,
    AsyncClient,
    AttemptOutcome,
    Dispatched,
    Encrypt,
    Fairness,
    HealthStatus,
    History,
    JobCancelledError,
    JobExpiredError,
    JobFailedError,
    JobNotFoundError,
    JobRequest,
    JobState,
    Options,
    Overflow,
    Payload,
    PayloadContext,
    PlainCodec,
    RateLimit,
    Refused,
    Retention,
    RetryPolicy,
    UndecodableError,
    Use,
    WaitTimeoutError,
)
from protojobs_client.errors import (
    BatchAbortedError,
    JobIdTimeError,
    JobNotFinalError,
    OverloadedError,
    PayloadTooLargeError,
    QuotaExceededError,
)

from tests.unit.client.fake import FakeServer, status

pytestmark = pytest.mark.asyncio

LATER = datetime(2040, 1, 1, tzinfo=UTC)


def job(state: job_pb2.JobState.ValueType, **values: object) -> job_pb2.Job:
    """Make a stored job."""
    return job_pb2.Job(id="1", spec=job_pb2.JobSpec(kind="kind", queue="q"), state=state, **values)  # type: ignore[arg-type]


async def test_many_jobs_are_split_into_batches_and_answered_in_order(server: FakeServer, client: AsyncClient) -> None:
    results = await client.dispatch_many(JobRequest("kind", number) for number in range(2500))

    assert sorted(map(len, server.jobs.batches)) == [500, 1000, 1000]
    payloads = [server.jobs.stored[result.job_id].payload for result in results]
    assert payloads == [str(number).encode() for number in range(2500)]


async def test_many_large_jobs_are_split_by_size(server: FakeServer, client: AsyncClient) -> None:
    results = await client.dispatch_many([JobRequest("kind", "x" * 1_000_000) for _ in range(10)])

    assert all(isinstance(result, Dispatched) for result in results)
    assert max(map(len, server.jobs.batches)) == 4


async def test_refused_items_are_values_among_the_others(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.verdicts["bad"] = status(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")

    good, bad = await client.dispatch_many([JobRequest("good"), JobRequest("bad")])

    assert isinstance(good, Dispatched)
    assert isinstance(bad, Refused)
    assert isinstance(bad.error, QuotaExceededError)


async def test_the_error_of_a_batch_is_that_of_each_item_with_its_id(server: FakeServer) -> None:
    error = status(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    server.jobs.call_errors = [error]
    async with AsyncClient(options=Options(address=server.address)) as client:
        results = await client.dispatch_many([JobRequest("kind"), JobRequest("kind")])

    assert all(isinstance(result, Refused) for result in results)
    assert len({result.job_id for result in results}) == 2


async def test_no_jobs_are_no_call(server: FakeServer, client: AsyncClient) -> None:
    assert await client.dispatch_many([]) == []
    assert await client.dispatch_many([], atomic=True) == []
    assert not server.jobs.batches


async def test_an_atomic_batch_raises_the_error_of_one(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.verdicts["bad"] = status(grpc.StatusCode.ABORTED, "BATCH_ABORTED")

    with pytest.raises(BatchAbortedError):
        await client.dispatch_many([JobRequest("good"), JobRequest("bad")], atomic=True)

    assert not server.jobs.stored


async def test_an_atomic_batch_that_no_message_holds_is_refused_here(server: FakeServer, client: AsyncClient) -> None:
    with pytest.raises(ValueError, match="one message"):
        await client.dispatch_many([JobRequest("kind")] * 1001, atomic=True)

    assert not server.jobs.batches


async def test_a_job_that_no_message_holds_is_refused_here(server: FakeServer, client: AsyncClient) -> None:
    with pytest.raises(PayloadTooLargeError) as caught:
        await client.dispatch("kind", "x" * 5_000_000)

    assert caught.value.size > caught.value.limit > 4_000_000
    assert not server.jobs.frames


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_wrong_clock_is_corrected_by_the_server_time(server: FakeServer, streaming: bool) -> None:
    far = datetime(2040, 1, 1, tzinfo=UTC)
    server.jobs.wrong_time = far
    async with AsyncClient(options=Options(address=server.address, streaming=streaming)) as client:
        job = await client.dispatch("kind")
        [batched] = await client.dispatch_many([JobRequest("kind")])

    assert abs((UUID(job.job_id).int >> 80) / 1000 - far.timestamp()) < 60
    assert set(server.jobs.stored) == {job.job_id, batched.job_id}
    assert server.jobs.refused_ids == 1


async def test_batches_learn_the_server_time_too(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.wrong_time = LATER

    results = await client.dispatch_many([JobRequest("kind") for _ in range(3)])
    atomic = await client.dispatch_many([JobRequest("kind")], atomic=True)

    assert {result.job_id for result in [*results, *atomic]} == set(server.jobs.stored)


async def test_an_id_of_the_caller_is_never_changed(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.wrong_time = LATER

    with pytest.raises(JobIdTimeError):
        await client.dispatch("kind", job_id="0190b6a3-0000-7000-8000-000000000000")


async def test_a_delay_may_be_given_beside_the_data(server: FakeServer, client: AsyncClient) -> None:
    job = await client.dispatch_later("kind", {"a": 1}, timedelta(minutes=5), queue="slow")

    spec = server.jobs.stored[job.job_id]
    assert (spec.delay.seconds, spec.queue) == (300, "slow")


async def test_single_times_are_schedules(server: FakeServer, client: AsyncClient) -> None:
    first = await client.schedule_at("kind", 1, LATER)
    second = await client.schedule_in("kind", 2, 90)

    at, after = server.schedules.schedules
    assert (at.spec.at.ToDatetime(tzinfo=UTC), getattr(after.spec, "in").seconds) == (LATER, 90)
    assert [first, second] == [at.job.id, after.job.id]
    with pytest.raises(ValueError, match="delay"):
        await client.schedule_at("kind", 1, LATER, delay=1)


async def test_the_trace_of_the_caller_travels_with_the_job(server: FakeServer, client: AsyncClient) -> None:
    span = NonRecordingSpan(SpanContext(trace_id=10, span_id=11, is_remote=False, trace_flags=TraceFlags(1)))
    token = context.attach(trace.set_span_in_context(span))
    job = await client.dispatch("kind", headers={"mine": "1"})
    context.detach(token)

    headers = dict(server.jobs.stored[job.job_id].headers)
    assert headers == {"mine": "1", "traceparent": "00-0000000000000000000000000000000a-000000000000000b-01"}


async def test_unavailable_calls_are_repeated_within_call_timeout(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.jobs["1"] = job(job_pb2.JOB_STATE_PENDING)
    error = status(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", retry_after=timedelta(0))
    server.jobs.call_errors = [error] * 6  # more than gRPC repeats by itself

    info = await client.get("1")

    assert info.state is JobState.PENDING


async def test_the_last_error_is_raised_when_call_timeout_is_over(server: FakeServer) -> None:
    wait = timedelta(milliseconds=20)
    error = status(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after=wait)
    server.jobs.call_errors = [error] * 1000
    short = timedelta(milliseconds=200)
    options = Options(address=server.address, call_timeout=short, read_deadline=short)

    async with AsyncClient(options=options) as client:
        with pytest.raises(OverloadedError):
            await client.get("1")

    assert 1 < len(server.jobs.metadata) <= 11


async def test_definite_errors_are_not_repeated(server: FakeServer, client: AsyncClient) -> None:
    with pytest.raises(JobNotFoundError):
        await client.get("1")

    assert len(server.jobs.metadata) == 1


async def test_a_list_reads_its_pages_as_it_goes(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.jobs = {str(number): job_pb2.Job(id=str(number)) for number in range(25)}

    ids = [info.id async for info in client.list(queues=["q"], states=[JobState.FAILED], page_size=10)]
    sizes = [len(page) async for page in client.list(page_size=10).pages()]
    first = await anext(aiter(client.failed_jobs("q")))

    assert ids == [str(number) for number in range(25)]
    assert sizes == [10, 10, 5]
    assert first.id == "0"
    assert server.jobs.lists[0].filter.states == [job_pb2.JOB_STATE_FAILED]
    assert len(server.jobs.lists) == 3 + 3 + 1


async def test_attempts_are_listed(client: AsyncClient) -> None:
    [attempt] = await client.attempts("1").all()

    assert (attempt.attempt, attempt.outcome) == (1, AttemptOutcome.CRASHED)


async def test_wait_polls_until_the_job_has_ended(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.jobs["1"] = job(job_pb2.JOB_STATE_COMPLETED, result=b'{"sent": true}')
    server.jobs.waits_until_done = 2

    result = await client.wait("1", timeout=10)

    assert result == {"sent": True}
    assert server.jobs.waits == 3
    assert await client.result("1", raw=True) == b'{"sent": true}'


async def test_a_job_without_a_result_has_none(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.jobs["1"] = job(job_pb2.JOB_STATE_COMPLETED)

    assert await client.wait("1") is None


async def test_wait_gives_up_after_its_timeout(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.jobs["1"] = job(job_pb2.JOB_STATE_RUNNING)
    server.jobs.waits_until_done = 1000

    with pytest.raises(WaitTimeoutError, match="running"):
        await client.wait("1", timeout=0)
    with pytest.raises(JobNotFinalError):
        await client.result("1")


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (job_pb2.JOB_STATE_FAILED, JobFailedError),
        (job_pb2.JOB_STATE_CANCELLED, JobCancelledError),
        (job_pb2.JOB_STATE_EXPIRED, JobExpiredError),
    ],
)
async def test_wait_raises_how_the_job_ended(
    server: FakeServer, client: AsyncClient, state: job_pb2.JobState.ValueType, error: type[JobFailedError]
) -> None:
    server.jobs.jobs["1"] = job(state, last_error=job_pb2.JobError(type="ValueError", message="no such user"))

    with pytest.raises(error, match="no such user") as caught:
        await client.wait("1")

    assert caught.value.job.last_error is not None


async def test_retry_names_the_attempt_it_has_read(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.jobs["1"] = job(job_pb2.JOB_STATE_FAILED, attempt=4)

    retried = await client.retry("1")
    await client.retry("1", data={"to": "bob"}, run_at=LATER)

    first, second = server.jobs.retries
    assert (retried.state, retried.already) == (JobState.PENDING, False)
    assert (first.expected_attempt, first.HasField("payload")) == (4, False)
    assert (second.payload, second.content_type) == (b'{"to":"bob"}', "application/json")
    assert second.run_time.ToDatetime(tzinfo=UTC) == LATER


async def test_a_job_is_cancelled_and_deleted(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.jobs["1"] = job(job_pb2.JOB_STATE_PENDING)

    assert await client.cancel("1", deadline=5) is JobState.CANCELLED
    await client.delete("1")

    assert not server.jobs.jobs


async def test_encrypted_jobs_are_read_and_retried_by_their_kind_and_queue(server: FakeServer) -> None:
    codec = Encrypt({"k": bytes(32)}, required=True)
    context = PayloadContext(kind="kind", queue="q", job_id="1")
    stored = codec.encode(Payload(b'"old"'), context)
    failed = job(job_pb2.JOB_STATE_FAILED)
    failed.spec.payload, failed.spec.content_type = stored.data, stored.content_type
    server.jobs.jobs["1"] = failed

    async with AsyncClient(options=Options(address=server.address), codec=codec) as client:
        before = await client.payload("1")
        await client.retry("1", data="new")

    retried = server.jobs.retries[-1]
    assert before == Payload(b'"old"')
    assert codec.decode(Payload(retried.payload, retried.content_type), context) == Payload(b'"new"')


async def test_a_result_of_a_codec_that_is_not_here_is_an_error(server: FakeServer, client: AsyncClient) -> None:
    sealed = Encrypt({"k": bytes(32)}).encode(Payload(b"1"), PayloadContext(kind="kind", queue="default", use=Use.RESULT))
    server.jobs.jobs["1"] = job(job_pb2.JOB_STATE_COMPLETED, result=sealed.data)

    with pytest.raises(UndecodableError) as refused:
        await client.wait("1")

    assert refused.value.reason == "NO_CODEC"


async def test_the_codec_is_used_both_ways(server: FakeServer) -> None:
    class Reversed(PlainCodec):
        def encode(self, payload: Payload, context: PayloadContext) -> Payload:
            return Payload(payload.data[::-1], payload.content_type)

        decode = encode

    server.jobs.jobs["1"] = job(job_pb2.JOB_STATE_COMPLETED, result=b"]2,1[")
    async with AsyncClient(options=Options(address=server.address), codec=Reversed()) as client:
        stored = await client.dispatch("kind", "ab")
        result = await client.wait("1")

    assert server.jobs.stored[stored.job_id].payload == b'"ba"'
    assert result == [1, 2]


async def test_clearing_follows_its_token_to_the_end(server: FakeServer, client: AsyncClient) -> None:
    server.queues.clears = [1000, 1000, 7]

    assert await client.clear("q") == 2007
    assert server.queues.tokens == ["", "more", "more"]


async def test_only_named_settings_of_a_queue_change(server: FakeServer, client: AsyncClient) -> None:
    info = await client.update_queue("q", retry=RetryPolicy(max_retries=9), retention=Retention(failed=timedelta(1)))
    await client.update_queue("q", run_timeout=None)
    await client.update_queue("q", per_key_limit=3, fairness=Fairness(weights={"a": 2}), priority=Aging(timedelta(minutes=1)))
    await client.update_queue("q", priority=None, fairness=None)

    first, second, third, fourth = server.queues.updates
    assert (info.retry.max_retries, info.retention.failed) == (9, timedelta(1))
    assert list(first.update_mask.paths) == ["retry", "retention"]
    assert list(second.update_mask.paths) == ["run_timeout"]
    assert not second.queue.HasField("run_timeout")
    assert list(third.update_mask.paths) == ["per_key_limit", "fairness", "priority_mode", "aging_interval"]
    assert (third.queue.per_key_limit, dict(third.queue.fairness.weights), third.queue.aging_interval.seconds) == (3, {"a": 2}, 60)
    assert list(fourth.update_mask.paths) == ["priority_mode", "aging_interval", "fairness"]
    assert (fourth.queue.priority_mode, fourth.queue.HasField("fairness")) == (0, False)


async def test_what_a_queue_keeps_and_takes_is_set_and_read(server: FakeServer, client: AsyncClient) -> None:
    info = await client.update_queue("q", history=History.FAILURES, max_payload_bytes=9)
    none = await client.update_queue("q", history=None, max_payload_bytes=None)
    with pytest.raises(ValueError, match="max_payload_bytes"):
        await client.update_queue("q", max_payload_bytes=0)

    assert list(server.queues.updates[0].update_mask.paths) == ["history", "max_payload_bytes"]
    assert (info.history, info.max_payload_bytes) == (History.FAILURES, 9)
    assert (none.history, none.max_payload_bytes) == (History.ALL, None)


async def test_limits_of_a_queue_are_set_and_read(server: FakeServer, client: AsyncClient) -> None:
    rate = RateLimit(per_second=2.5, burst=4)

    info = await client.update_queue("q", max_in_flight=3, rate_limit=rate, max_depth=9, overflow=Overflow.DROP_OLDEST)
    none = await client.update_queue("q", max_in_flight=None, rate_limit=None, max_depth=None, overflow=None)

    assert (info.max_in_flight, info.rate_limit, info.max_depth, info.overflow) == (3, rate, 9, Overflow.DROP_OLDEST)
    assert (none.max_in_flight, none.rate_limit, none.max_depth, none.overflow) == (None, None, None, Overflow.REJECT)
    assert list(server.queues.updates[1].update_mask.paths) == ["max_in_flight", "rate_limit", "max_depth", "overflow"]
    for bad in ({"max_in_flight": 0}, {"max_depth": -1}, {"rate_limit": RateLimit(per_second=1, burst=0)}):
        with pytest.raises(ValueError, match="at least 1"):
            await client.update_queue("q", **bad)
    assert len(server.queues.updates) == 2


async def test_stats_workers_and_health_are_read(client: AsyncClient) -> None:
    stats = await client.stats("q")
    [worker] = await client.workers().all()

    assert [(queue.queue, queue.pending) for queue in stats.queues] == [("q", 3)]
    assert (worker.session, worker.queues, worker.slots_total) == ("7", ("default",), 4)
    assert await client.health() is HealthStatus.SERVING


async def test_one_client_serves_many_tasks(server: FakeServer, client: AsyncClient) -> None:
    server.jobs.jobs["1"] = job(job_pb2.JOB_STATE_PENDING)

    infos = await asyncio.gather(*(client.get("1") for _ in range(50)))

    assert {info.id for info in infos} == {"1"}
