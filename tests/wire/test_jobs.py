"""JobService and ScheduleService over the wire."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from protojobs.v1 import job_pb2, job_service_pb2, schedule_service_pb2, server_service_pb2, worker_service_pb2
from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.domain.job import NewJob
from protojobs_service.drivers.memory.jobs import MemoryJobs
from protojobs_service.port import Dispatched, Jobs

from tests.wire.peer import Peer, ended, memory_driver, now, read_status, refused, serving, spec

pytestmark = pytest.mark.asyncio

CREATED, EXISTING = job_service_pb2.DISPATCH_OUTCOME_CREATED, job_service_pb2.DISPATCH_OUTCOME_EXISTING


def _time(seconds: float) -> Timestamp:
    at = Timestamp()
    at.FromDatetime(now() + timedelta(seconds=seconds))
    return at


async def _frame(call: Any, seq: int, *specs: job_pb2.JobSpec) -> None:
    await call.write(job_service_pb2.DispatchStreamRequest(seq=seq, specs=specs))


async def test_a_dispatched_job_is_read_back_as_it_was_sent(peer: Peer) -> None:
    sent = spec(
        queue="emails",
        payload=b"\x00\xff{}",
        content_type="application/x-custom",
        headers={"traceparent": "00-aa-bb-01"},
        labels={"tenant": "acme"},
        priority=9,
        retry=job_pb2.RetryPolicy(max_retries=0),
        run_timeout=Duration(seconds=7),
    )

    answer = await peer.jobs.Dispatch(job_service_pb2.DispatchRequest(spec=sent))
    job = await peer.get(answer.job_id)

    assert (answer.outcome, answer.state, answer.job_id) == (CREATED, job_pb2.JOB_STATE_PENDING, sent.id)
    assert job.spec == sent
    assert (job.state, job.attempt, job.id) == (job_pb2.JOB_STATE_PENDING, 0, sent.id)
    assert job.retry.max_retries == 0
    assert job.retry.multiplier == 2.0
    assert job.run_timeout.seconds == 7


async def test_a_basic_view_has_no_payload_and_no_headers(peer: Peer) -> None:
    answer = await peer.dispatch(payload=b"secret", headers={"a": "b"})

    job = (await peer.jobs.GetJob(job_service_pb2.GetJobRequest(job_id=answer.job_id))).job

    assert (job.spec.payload, dict(job.spec.headers)) == (b"", {})
    assert (job.spec.kind, job.spec.queue, job.spec.priority) == ("email", "default", 5)


async def test_a_repeated_dispatch_stores_nothing_and_says_so(peer: Peer) -> None:
    sent = spec()
    first = await peer.jobs.Dispatch(job_service_pb2.DispatchRequest(spec=sent))

    again = await peer.jobs.Dispatch(job_service_pb2.DispatchRequest(spec=sent))

    assert (first.outcome, again.outcome) == (CREATED, EXISTING)
    assert again.job_id == first.job_id


async def test_a_job_without_an_id_gets_one_that_its_worker_sees_too(peer: Peer) -> None:
    answer = await peer.dispatch(id="")

    acquired = await peer.workers.AcquireLeases(
        worker_service_pb2.AcquireLeasesRequest(
            session_id=b"0123456789abcdef",
            acquire_seq=1,
            queues=[worker_service_pb2.QueueSubscription(name="default")],
            wait=Duration(seconds=5),
        )
    )

    assert len(answer.job_id) == 36
    assert [lease.spec.id for lease in acquired.leases] == [answer.job_id]


async def test_fields_that_the_server_does_not_know_reach_the_worker(peer: Peer) -> None:
    unknown = b"\xba\x06\x03abc"  # field 103
    sent = spec().SerializeToString() + unknown

    await peer.send("/protojobs.v1.JobService/Dispatch", b"\x0a" + bytes([len(sent)]) + sent)
    raw = await peer.send(
        "/protojobs.v1.WorkerService/AcquireLeases",
        worker_service_pb2.AcquireLeasesRequest(
            session_id=b"0123456789abcdef",
            acquire_seq=1,
            queues=[worker_service_pb2.QueueSubscription(name="default")],
            wait=Duration(seconds=5),
        ).SerializeToString(),
    )

    assert sent in raw


@pytest.mark.parametrize(
    "start", [lambda: {"delay": Duration(seconds=3600)}, lambda: {"run_time": _time(3600)}], ids=["delay", "run_time"]
)
async def test_a_job_for_later_is_scheduled(peer: Peer, start: Callable[[], dict[str, Any]]) -> None:
    answer = await peer.dispatch(**start())

    job = await peer.get(answer.job_id)
    wait = job.next_time.ToDatetime(tzinfo=now().tzinfo) - now()

    assert answer.state == job.state == job_pb2.JOB_STATE_SCHEDULED
    assert timedelta(minutes=50) < wait <= timedelta(hours=1)


async def test_a_time_in_the_past_means_at_once(peer: Peer) -> None:
    answer = await peer.dispatch(run_time=_time(-3600))

    assert answer.state == job_pb2.JOB_STATE_PENDING


async def test_validate_only_stores_nothing(peer: Peer) -> None:
    good, bad = spec(), spec(priority=10)

    one = await peer.jobs.Dispatch(job_service_pb2.DispatchRequest(spec=good, validate_only=True))
    many = await peer.jobs.DispatchBatch(job_service_pb2.DispatchBatchRequest(specs=[good, bad], validate_only=True))

    assert (one.job_id, one.outcome) == (good.id, job_service_pb2.DISPATCH_OUTCOME_UNSPECIFIED)
    assert [result.HasField("error") for result in many.results] == [False, True]
    assert (await refused(peer.get(good.id))).reason == "JOB_NOT_FOUND"


async def test_a_batch_is_answered_in_request_order(peer: Peer) -> None:
    old = await peer.dispatch()
    specs = [spec(), spec(id=old.job_id), spec()]

    answer = await peer.jobs.DispatchBatch(job_service_pb2.DispatchBatchRequest(specs=specs))

    assert [result.job_id for result in answer.results] == [each.id for each in specs]
    assert [result.outcome for result in answer.results] == [CREATED, EXISTING, CREATED]


async def test_an_atomic_batch_with_known_jobs_is_stored(peer: Peer) -> None:
    old = await peer.dispatch()
    specs = [spec(), spec(id=old.job_id)]

    answer = await peer.jobs.DispatchBatch(job_service_pb2.DispatchBatchRequest(specs=specs, atomic=True))

    assert [result.outcome for result in answer.results] == [CREATED, EXISTING]


async def test_frames_are_acknowledged_in_order_and_only_news_is_named(peer: Peer) -> None:
    old = await peer.dispatch()
    call = peer.jobs.DispatchStream()
    greeting = await call.read()

    await _frame(call, 1, spec(), spec())
    await _frame(call, 5, spec(), spec(priority=10), spec(id=old.job_id), spec(id=""))
    await call.done_writing()
    acks = [ack async for ack in _reads(call)]

    assert (greeting.up_to_seq, greeting.window) == (0, 8000)
    assert [ack.up_to_seq for ack in acks] in ([1, 5], [5])
    results = {(each.seq, each.index): each.result for ack in acks for each in ack.results}
    assert sorted(results) == [(5, 1), (5, 2), (5, 3)]
    assert read_status(results[5, 1].error).fields == ["specs[1].priority"]
    assert results[5, 2].outcome == EXISTING
    assert results[5, 3].outcome == CREATED
    assert (await peer.get(results[5, 3].job_id)).state == job_pb2.JOB_STATE_PENDING
    assert await call.code() == grpc.StatusCode.OK


async def _reads(call: Any) -> Any:
    while (message := await call.read()) is not grpc.aio.EOF:
        yield message


async def test_a_frame_sent_again_on_a_new_stream_stores_nothing_twice(peer: Peer) -> None:
    specs = [spec(), spec()]
    for expected in (0, 2):
        call = peer.jobs.DispatchStream()
        await call.read()
        await _frame(call, 1, *specs)
        ack = await call.read()
        await call.done_writing()

        assert ack.up_to_seq == 1
        assert [each.result.outcome for each in ack.results] == [EXISTING] * expected


async def test_a_sequence_that_does_not_grow_ends_the_stream_after_what_was_committed(peer: Peer) -> None:
    call = peer.jobs.DispatchStream()
    await call.read()
    first = spec()
    await _frame(call, 3, first)
    await _frame(call, 3, spec())

    error = await ended(call)

    assert (error.code, error.reason, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", ["seq"])
    assert (await peer.get(first.id)).id == first.id


async def test_jobs_are_listed_page_by_page_newest_first(peer: Peer) -> None:
    ids = [(await peer.dispatch()).job_id for _ in range(5)]

    pages: list[list[str]] = []
    token = ""
    while True:
        answer = await peer.jobs.ListJobs(job_service_pb2.ListJobsRequest(page_size=2, page_token=token))
        pages.append([job.id for job in answer.jobs])
        token = answer.next_page_token
        if not token:
            break

    assert [len(page) for page in pages] == [2, 2, 1]
    assert [job_id for page in pages for job_id in page] == ids[::-1]


async def test_a_page_token_belongs_to_its_filter(peer: Peer) -> None:
    for _ in range(2):
        await peer.dispatch()
    first = await peer.jobs.ListJobs(job_service_pb2.ListJobsRequest(page_size=1))
    other = job_service_pb2.ListJobsRequest(
        page_size=1, page_token=first.next_page_token, filter=job_service_pb2.JobFilter(kinds=["x"])
    )

    error = await refused(peer.jobs.ListJobs(other))

    assert (error.reason, error.fields) == ("INVALID_FIELD", ["page_token"])


async def test_lists_are_filtered_by_everything_at_once(peer: Peer) -> None:
    wanted = (await peer.dispatch(queue="a", kind="x", labels={"t": "1", "u": "2"})).job_id
    for other in ({"queue": "b"}, {"kind": "y"}, {"labels": {"t": "2"}}, {"delay": Duration(seconds=60)}):
        await peer.dispatch(**{"queue": "a", "kind": "x", "labels": {"t": "1"}, **other})
    wish = job_service_pb2.JobFilter(
        queues=["a", "c"], kinds=["x"], states=[job_pb2.JOB_STATE_PENDING], labels={"t": "1"}, created_after=_time(-60)
    )

    answer = await peer.jobs.ListJobs(job_service_pb2.ListJobsRequest(filter=wish))

    assert [job.id for job in answer.jobs] == [wanted]


async def test_a_waiting_job_is_cancelled_at_once_and_again_without_harm(peer: Peer) -> None:
    job_id = (await peer.dispatch()).job_id

    answers = [await peer.jobs.Cancel(job_service_pb2.CancelRequest(job_id=job_id)) for _ in range(2)]

    assert [answer.state for answer in answers] == [job_pb2.JOB_STATE_CANCELLED] * 2
    assert (await peer.get(job_id)).reason == "CANCELLED"


async def test_a_final_job_is_retried_with_another_payload(peer: Peer) -> None:
    job_id = (await peer.dispatch(payload=b"1", headers={"h": "v"})).job_id
    await peer.jobs.Cancel(job_service_pb2.CancelRequest(job_id=job_id))
    attempt = (await peer.get(job_id)).attempt
    request = job_service_pb2.RetryRequest(job_id=job_id, expected_attempt=attempt, payload=b"2", content_type="text/plain")

    first, again = [await peer.jobs.Retry(request) for _ in range(2)]
    job = await peer.get(job_id)

    assert (first.state, first.already, again.already) == (job_pb2.JOB_STATE_PENDING, False, True)
    assert (job.spec.payload, job.spec.content_type, dict(job.spec.headers)) == (b"2", "text/plain", {"h": "v"})


async def test_a_pending_job_is_not_retried(peer: Peer) -> None:
    job_id = (await peer.dispatch()).job_id

    error = await refused(peer.jobs.Retry(job_service_pb2.RetryRequest(job_id=job_id)))

    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "JOB_NOT_FINAL")


async def test_a_retry_refuses_a_payload_over_the_limit(peer: Peer) -> None:
    job_id = (await peer.dispatch()).job_id
    await peer.jobs.Cancel(job_service_pb2.CancelRequest(job_id=job_id))

    error = await refused(peer.jobs.Retry(job_service_pb2.RetryRequest(job_id=job_id, payload=b"x" * (1024 * 1024 + 1))))

    assert error.reason == "PAYLOAD_TOO_LARGE"


async def test_a_deleted_job_is_gone_and_its_id_stays_taken(peer: Peer) -> None:
    sent = spec()
    await peer.jobs.Dispatch(job_service_pb2.DispatchRequest(spec=sent))

    for _ in range(2):  # whoever lost the first answer asks again
        await peer.jobs.DeleteJob(job_service_pb2.DeleteJobRequest(job_id=sent.id))
    again = await peer.jobs.Dispatch(job_service_pb2.DispatchRequest(spec=sent))

    assert (await refused(peer.get(sent.id))).reason == "JOB_NOT_FOUND"
    assert again.outcome == EXISTING


async def test_waiting_returns_once_the_job_is_final(peer: Peer) -> None:
    job_id = (await peer.dispatch()).job_id
    request = job_service_pb2.WaitJobRequest(job_id=job_id, wait=Duration(seconds=30))

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(_wait(peer, request))
        await peer.jobs.Cancel(job_service_pb2.CancelRequest(job_id=job_id))

    assert waiting.result().done
    assert waiting.result().job.state == job_pb2.JOB_STATE_CANCELLED


async def _wait(peer: Peer, request: job_service_pb2.WaitJobRequest) -> job_service_pb2.WaitJobResponse:
    answer: job_service_pb2.WaitJobResponse = await peer.jobs.WaitJob(request)
    return answer


async def test_waiting_for_no_time_tells_how_the_job_is(peer: Peer) -> None:
    job_id = (await peer.dispatch()).job_id

    answer = await peer.jobs.WaitJob(job_service_pb2.WaitJobRequest(job_id=job_id, wait=Duration()))

    assert (answer.done, answer.job.state) == (False, job_pb2.JOB_STATE_PENDING)


async def test_attempts_are_listed_page_by_page(peer: Peer) -> None:
    job_id = (await peer.dispatch()).job_id
    for _ in range(3):
        await peer.jobs.Cancel(job_service_pb2.CancelRequest(job_id=job_id))
        await peer.jobs.Retry(job_service_pb2.RetryRequest(job_id=job_id))

    first = await peer.jobs.ListAttempts(job_service_pb2.ListAttemptsRequest(job_id=job_id, page_size=2))
    rest = await peer.jobs.ListAttempts(
        job_service_pb2.ListAttemptsRequest(job_id=job_id, page_size=2, page_token=first.next_page_token)
    )

    attempts = [*first.attempts, *rest.attempts]
    assert [attempt.attempt for attempt in attempts] == [1, 2, 3]
    assert {attempt.outcome for attempt in attempts} == {job_pb2.ATTEMPT_OUTCOME_CANCELLED}
    assert all(attempt.retried_by_hand for attempt in attempts)
    assert rest.next_page_token == ""


WHEN: list[dict[str, Any]] = [{"at": _time(3600)}, {"in": Duration(seconds=3600)}]


@pytest.mark.parametrize("when", WHEN, ids=["at", "in"])
async def test_a_schedule_for_one_time_is_one_job(peer: Peer, when: dict[str, Any]) -> None:
    schedule = schedule_service_pb2.Schedule(spec=schedule_service_pb2.ScheduleSpec(**when), job=spec())
    request = schedule_service_pb2.ScheduleRequest(schedule=schedule)

    answers = [await peer.schedules.Schedule(request) for _ in range(2)]
    job = await peer.get(schedule.job.id)

    assert {answer.job_id for answer in answers} == {schedule.job.id}
    assert job.state == job_pb2.JOB_STATE_SCHEDULED
    listed = await peer.jobs.ListJobs(job_service_pb2.ListJobsRequest())
    assert len(listed.jobs) == 1


ONCE_ONLY: list[tuple[str, dict[str, Any]]] = [
    ("schedule.name", {"name": "nightly"}),
    ("schedule.overlap", {"overlap": schedule_service_pb2.OVERLAP_MODE_SKIP}),
    ("schedule.catchup", {"catchup": schedule_service_pb2.Catchup(max=1)}),
    ("schedule.paused", {"paused": True}),
    ("schedule.etag", {"etag": "1"}),
    ("schedule.spec.time_zone", {"spec": schedule_service_pb2.ScheduleSpec(at=_time(60), time_zone="UTC")}),
    ("schedule.spec.jitter", {"spec": schedule_service_pb2.ScheduleSpec(at=_time(60), jitter=Duration(seconds=1))}),
]


@pytest.mark.parametrize(("field", "fields"), ONCE_ONLY, ids=[field for field, _ in ONCE_ONLY])
async def test_a_job_for_one_time_has_nothing_of_what_repeats(peer: Peer, field: str, fields: dict[str, Any]) -> None:
    schedule = schedule_service_pb2.Schedule(**{"spec": schedule_service_pb2.ScheduleSpec(at=_time(60)), "job": spec(), **fields})

    error = await refused(peer.schedules.Schedule(schedule_service_pb2.ScheduleRequest(schedule=schedule)))

    assert (error.code, error.reason, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", [field])


def _in(wait: Duration) -> schedule_service_pb2.ScheduleSpec:
    fields: dict[str, Any] = {"in": wait}  # a keyword of Python
    return schedule_service_pb2.ScheduleSpec(**fields)


BAD_SCHEDULES: list[tuple[str, dict[str, Any]]] = [
    ("schedule.spec", {"spec": schedule_service_pb2.ScheduleSpec()}),
    ("schedule.spec.in", {"spec": _in(Duration(seconds=-1))}),
    ("schedule.spec.at", {"spec": schedule_service_pb2.ScheduleSpec(at=Timestamp(seconds=253_370_764_800))}),
    ("schedule.job.delay", {"job": spec(delay=Duration(seconds=1))}),
    ("schedule.job.kind", {"job": spec(kind="a/b")}),
]


@pytest.mark.parametrize(("field", "fields"), BAD_SCHEDULES, ids=[field for field, _ in BAD_SCHEDULES])
async def test_a_bad_schedule_is_named(peer: Peer, field: str, fields: dict[str, Any]) -> None:
    schedule = schedule_service_pb2.Schedule(**{"spec": schedule_service_pb2.ScheduleSpec(at=_time(60)), "job": spec(), **fields})

    error = await refused(peer.schedules.Schedule(schedule_service_pb2.ScheduleRequest(schedule=schedule)))

    assert (error.reason, error.fields) == ("INVALID_FIELD", [field])


class HaltingJobs:
    """Jobs of a store that can be held in the middle of a dispatch, and go away."""

    def __init__(self, inner: Jobs) -> None:
        self._inner = inner
        self.gone = False
        self.held = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.calls = 0

    async def dispatch(self, jobs: Sequence[NewJob], *, atomic: bool = False) -> Sequence[Dispatched]:
        self.calls += 1
        self.held.set()
        await self.go_on.wait()
        if self.gone:
            raise StoreUnavailable
        return await self._inner.dispatch(jobs, atomic=atomic)

    def __getattr__(self, name: str) -> Any:
        if self.gone:
            raise StoreUnavailable
        return getattr(self._inner, name)


def _halting() -> tuple[Any, HaltingJobs]:
    driver = memory_driver()
    assert isinstance(driver.jobs, MemoryJobs)
    jobs = HaltingJobs(driver.jobs)
    driver._jobs = jobs  # type: ignore[assignment] # stands in for them
    return driver, jobs


async def test_a_store_that_goes_away_mid_request_is_unavailable_and_a_repeat_is_safe() -> None:
    driver, jobs = _halting()
    async with serving(driver) as peer:
        sent = job_service_pb2.DispatchRequest(spec=spec())
        jobs.go_on.clear()
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(refused(peer.jobs.Dispatch(sent)))
            await jobs.held.wait()
            jobs.gone = True
            jobs.go_on.set()

        assert (call.result().code, call.result().reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        assert call.result().retry_after == timedelta(seconds=1)
        jobs.gone = False
        again = await peer.jobs.Dispatch(sent)
        assert again.outcome == CREATED


async def test_a_stream_acknowledges_what_was_committed_before_the_store_went_away() -> None:
    driver, jobs = _halting()
    async with serving(driver) as peer:
        call = peer.jobs.DispatchStream()
        await call.read()
        committed, lost = spec(), spec()
        await _frame(call, 1, committed)
        assert (await call.read()).up_to_seq == 1
        jobs.gone = True
        await _frame(call, 2, lost)

        error = await ended(call)

        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        jobs.gone = False
        assert (await peer.get(committed.id)).id == committed.id
        call = peer.jobs.DispatchStream()
        await call.read()
        await _frame(call, 1, lost)
        assert list((await call.read()).results) == []


async def test_a_producer_that_outruns_the_store_is_not_read_any_more() -> None:
    driver, jobs = _halting()
    async with serving(driver, limits={"dispatch_window": 1000}) as peer:
        jobs.go_on.clear()
        call = peer.jobs.DispatchStream()
        assert (await call.read()).window == 1000
        specs = [[spec() for _ in range(500)] for _ in range(6)]
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(_write_all(call, specs))
            while jobs.calls < 2:  # noqa: ASYNC110 # a store that is held tells nobody
                await asyncio.sleep(0)
            unrelated = await peer.info.GetServerInfo(server_service_pb2.GetServerInfoRequest())
            assert (jobs.calls, bool(unrelated.version)) == (2, True)
            jobs.go_on.set()
            await writing
        while (await call.read()).up_to_seq < 6:
            pass
        assert jobs.calls == 6


async def _write_all(call: Any, frames: list[list[job_pb2.JobSpec]]) -> None:
    for seq, specs in enumerate(frames, 1):
        await _frame(call, seq, *specs)
