"""The fake clients: what a producer's tests see, without a server."""

import asyncio
from datetime import UTC, datetime, timedelta
from queue import Queue

import pytest
from protojobs.v1.job_service_pb2 import WatchJobsRequest
from protojobs_client import (
    Client,
    DispatchOutcome,
    DuplicateJobError,
    Encrypt,
    Every,
    Job,
    JobEvent,
    JobFailedError,
    JobRequest,
    JobState,
    OnConflict,
    Refused,
    RetryPolicy,
    ScheduleRequest,
    Unique,
    UniqueScope,
    WaitTimeoutError,
)
from protojobs_client.errors import CursorExpiredError, JobIdReusedError, QueueFullError, UnsupportedError
from protojobs_client.fake_log import FakeLog
from protojobs_client.testing import START, FakeAsyncClient, FakeClient
from protojobs_worker import Cancel, Discard, JobContext, Snooze, Worker
from protojobs_worker.testing import run_due, run_due_async


class SendEmail(Job):
    queue = "mail"
    max_retries = 2

    async def handle(self, ctx: object) -> str:
        return f"sent to {self.data['to']}"


def sign_up(client: Client, to: str) -> str:
    """Do what the code under test does."""
    return client.dispatch(SendEmail, {"to": to}, labels={"flow": "sign-up"}).job_id


def worker_of(*jobs: type[Job]) -> Worker:
    worker = Worker("127.0.0.1:1")
    for job in jobs:
        worker.register(job)
    return worker


def test_what_was_dispatched_can_be_asserted() -> None:
    with FakeClient() as fake:
        sign_up(fake, "ann")
        sign_up(fake, "bob")
        fake.dispatch("other", b"\x00", content_type="x/y")

    (job,) = fake.assert_dispatched(SendEmail, queue="mail", data={"to": "ann"}, times=1)
    fake.assert_dispatched("SendEmail", times=2)
    fake.assert_dispatched("other", data=b"\x00", where=lambda each: not each.labels)
    fake.assert_not_dispatched("SendEmail", queue="default")
    assert (job.labels, job.max_retries, job.state) == ({"flow": "sign-up"}, 2, JobState.PENDING)


def test_an_assertion_that_fails_tells_what_there_was() -> None:
    with FakeClient() as fake:
        fake.assert_nothing_dispatched()
        sign_up(fake, "ann")

    with pytest.raises(AssertionError, match=r"SendEmail was to be dispatched 2 times, but was 1 times; .* on mail with .*ann"):
        fake.assert_dispatched(SendEmail, times=2)
    with pytest.raises(AssertionError, match="at least once"):
        fake.assert_dispatched(SendEmail, data={"to": "bob"})
    with pytest.raises(AssertionError, match="nothing was to be"):
        fake.assert_nothing_dispatched()


def test_delayed_jobs_become_due_when_the_clock_gets_there() -> None:
    with FakeClient() as fake:
        later = fake.dispatch_later(SendEmail, {"to": "ann"}, 60).job_id
        at = fake.schedule_at(SendEmail, {"to": "bob"}, START + timedelta(hours=1))
        fake.schedule_in(SendEmail, {"to": "cyd"}, timedelta(days=1))

        fake.advance(59)
        before = run_due(fake, worker_of(SendEmail))
        fake.advance(1)
        first = run_due(fake, worker_of(SendEmail))
        state = fake.get(at).state
        fake.advance(timedelta(hours=1))
        second = run_due(fake, worker_of(SendEmail))
        result = fake.wait(later)

    assert (before, len(first), len(second)) == ([], 1, 1)
    assert (state, result) == (JobState.SCHEDULED, "sent to ann")


def test_schedules_are_asserted_and_tick() -> None:
    with FakeClient() as fake:
        every = fake.schedule_every("poll", None, 600)
        fake.schedule_daily("digest", None, ["08:00"], name="digest")
        again = fake.sync_schedules([ScheduleRequest.of("poll", None, Every(600))], dry_run=True)
        fake.advance(1800)
        fake.pause_schedule(every.name)
        fake.advance(1800)
        fake.trigger_schedule("digest")

    fake.assert_scheduled("poll", when=Every(timedelta(seconds=600)), times=1)
    ticks = [job.created_at - START for job in fake.assert_dispatched("poll", times=3)]
    assert ticks == [timedelta(minutes=10), timedelta(minutes=20), timedelta(minutes=30)]
    assert again.unchanged == (every.name,)
    fake.assert_dispatched("digest", times=1)


def test_jobs_run_with_their_retries_and_what_they_dispatch() -> None:
    fake = FakeClient()
    worker = Worker("127.0.0.1:1")

    @worker.handler("parent")
    def parent(data: dict[str, int]) -> None:
        if len(results) < 2:
            raise OSError("not yet")
        fake.dispatch("child", data)

    @worker.handler("child")
    def child(data: dict[str, int]) -> int:
        return data["n"] + 1

    results: list[object] = []
    with fake:
        job_id = fake.dispatch("parent", {"n": 1}, retry=RetryPolicy(initial_backoff=timedelta(seconds=10))).job_id
        for wait in (0, 10, 20):
            fake.advance(wait)
            results += run_due(fake, worker)
        job = fake.get(job_id)
        (made,) = fake.dispatched("child")
        assert fake.wait(made.id) == 2

    assert (job.state, job.attempt, job.failures, len(results)) == (JobState.COMPLETED, 3, 2, 4)


@pytest.mark.asyncio
async def test_ends_of_every_kind_are_seen_by_the_producer() -> None:
    worker = Worker("127.0.0.1:1")

    @worker.handler("ends")
    async def ends(data: str) -> None:
        match data:
            case "snooze":
                raise Snooze(60)
            case "cancel":
                raise Cancel
            case _:
                raise OSError("broken")

    async with FakeAsyncClient() as fake:
        snoozed, cancelled, failed = [
            (await fake.dispatch("ends", data, retry=RetryPolicy(max_retries=0))).job_id for data in ("snooze", "cancel", "fail")
        ]
        await run_due_async(fake, worker)

        assert (await fake.get(snoozed)).state is JobState.SCHEDULED
        assert (await fake.get(cancelled)).state is JobState.CANCELLED
        with pytest.raises(JobFailedError, match="broken"):
            await fake.wait(failed)
        with pytest.raises(WaitTimeoutError):
            await fake.wait(snoozed)


def test_ids_refusals_and_codecs_behave_like_a_server() -> None:
    job_id = "01990000-0000-7000-8000-000000000001"
    with FakeClient(codec=Encrypt({"k": bytes(32)})) as fake:
        first = fake.dispatch("kind", 1, job_id=job_id)
        second = fake.dispatch("kind", 1, job_id=job_id)
        with pytest.raises(JobIdReusedError):
            fake.dispatch("kind", 2, job_id=job_id)
        fake.refuse("full", QueueFullError("full"))
        results = fake.dispatch_many([JobRequest("kind", 3), JobRequest("full")])
        with pytest.raises(QueueFullError):
            fake.dispatch_many([JobRequest("kind", 4), JobRequest("full")], atomic=True)

    assert (first.outcome, second.outcome) == (DispatchOutcome.CREATED, DispatchOutcome.EXISTING)
    assert isinstance(results[1], Refused)
    assert [job.data for job in fake.dispatched("kind")] == [1, 3]
    assert fake.dispatched("kind")[0].spec.content_type == "application/vnd.protojobs.envelope"


def test_unique_keys_keep_others_out_as_a_server_does() -> None:
    worker = Worker("127.0.0.1:1")
    worker.handler("kind")(lambda: None)
    with FakeClient() as fake:
        first = fake.dispatch("kind", 1, unique=Unique("a"))
        with pytest.raises(DuplicateJobError) as refused:
            fake.dispatch("kind", 2, unique=Unique("a"))
        same = fake.dispatch("kind", 2, unique=Unique("a", on_conflict=OnConflict.RETURN_EXISTING))
        other_queue = fake.dispatch("kind", 2, unique=Unique("a"), queue="other")
        run_due(fake, worker)
        free = fake.dispatch("kind", 3, unique=Unique("a"))

        fake.dispatch("late", 1, unique=Unique("b", on_conflict=OnConflict.DEBOUNCE), delay=60)
        fake.advance(30)
        pushed = fake.dispatch("late", 2, unique=Unique("b", on_conflict=OnConflict.DEBOUNCE), delay=10)

        window = Unique("c", scope=UniqueScope.WINDOW, window=100)
        fake.dispatch("kind", 4, unique=window)
        run_due(fake, worker)
        with pytest.raises(DuplicateJobError):
            fake.dispatch("kind", 5, unique=window)
        fake.advance(100)
        fake.dispatch("kind", 5, unique=window)

    assert (refused.value.job_id, same) == (first.job_id, (first.job_id, DispatchOutcome.EXISTING))
    assert {other_queue.outcome, free.outcome} == {DispatchOutcome.CREATED}
    old, new = fake.dispatched("late")
    assert (old.state, pushed.outcome) == (JobState.CANCELLED, DispatchOutcome.REPLACED)
    assert new.due_at == START + timedelta(seconds=60)


def test_a_listener_hears_what_the_test_does_and_what_handlers_do() -> None:
    worker = Worker("127.0.0.1:1")
    worker.handler("kind")(lambda: None)
    heard: Queue[JobEvent] = Queue()
    with FakeClient() as fake, fake.watch_jobs() as events:
        listener = fake.listen("job.processed", heard.put)
        job_id = fake.dispatch("kind").job_id
        run_due(fake, worker)
        event, same = heard.get(timeout=15), next(events)
        listener.stop()

    assert (event.id, event.after, same.id) == (job_id, JobState.COMPLETED, job_id)


@pytest.mark.asyncio
async def test_a_stream_of_events_that_is_cancelled_ends_for_its_reader() -> None:
    stream = FakeLog().watch(WatchJobsRequest())
    await stream.read()
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(stream.read())
        await asyncio.sleep(0)
        stream.cancel()

    assert reading.cancelled()


def test_events_are_kept_for_a_day_of_the_fake_clock() -> None:
    with FakeClient() as fake:
        with fake.watch_jobs() as events:
            cursor = events.cursor
        fake.cancel(fake.dispatch("kind").job_id)
        fake.advance(timedelta(hours=24) - timedelta(seconds=1))
        with fake.watch_jobs(cursor=cursor) as events:
            kept = next(events)
        fake.advance(1)
        with pytest.raises(CursorExpiredError), fake.watch_jobs(cursor=cursor) as events:
            next(events)

    assert kept.name == "job.cancelled"


def test_what_only_a_server_knows_is_refused_by_name() -> None:
    with FakeClient(now=datetime(2031, 1, 1, tzinfo=UTC)) as fake, pytest.raises(UnsupportedError, match="PauseQueue"):
        fake.pause("mail")

    assert fake.now.year == 2031


def test_what_follows_a_job_runs_once_it_has_ended() -> None:
    worker = Worker()
    ran: list[str] = []

    @worker.handler("charge")
    def charge(ctx: JobContext) -> None:
        ran.append("charge")
        if ctx.data == "fail":
            raise Discard("no money")
        ctx.dispatch("receipt")

    def note(ctx: JobContext) -> None:
        ran.append(ctx.kind)

    for kind in ("ship", "alarm", "receipt"):
        worker.handler(kind)(note)

    with FakeClient() as fake:
        for data in ("pay", "fail"):
            fake.dispatch("charge", data, on_complete=[JobRequest("ship")], on_failed=[JobRequest("alarm").delay(60)])
            run_due(fake, worker)
        fake.advance(60)
        run_due(fake, worker)

    assert ran == ["charge", "receipt", "ship", "charge", "alarm"]


def test_a_job_without_a_handler_and_jobs_without_end_are_told() -> None:
    worker = Worker("127.0.0.1:1")
    fake = FakeClient()

    @worker.handler("again")
    def again() -> None:
        fake.dispatch("again")

    with fake:
        fake.dispatch("nobody")
        with pytest.raises(LookupError, match="nobody"):
            run_due(fake, worker)
        fake.store.jobs.clear()
        fake.dispatch("again")
        with pytest.raises(RuntimeError, match="still due"):
            run_due(fake, worker, most=5)
