"""Clients for tests: they keep what was dispatched in memory, need no server, and go by a clock that the test moves.

    fake = FakeClient()
    sign_up(fake, "ann@example.com")
    fake.assert_dispatched("send_email", queue="mail", data={"to": "ann@example.com"}, times=1)
    fake.advance(3600)  # delayed jobs and those of `schedule_every` become due
    run_due(fake, worker)  # protojobs_worker.testing: run what is due, through the real handlers
    assert fake.wait(job_id) == "sent"

Requests go through the same code as a real client's, up to the message that would be sent: what cannot be encoded raises here too.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Protocol, cast

import grpc
from protojobs.v1 import job_pb2, job_service_pb2, schedule_service_pb2
from typing_extensions import override

from protojobs_client.async_client import AsyncClient
from protojobs_client.client import Client
from protojobs_client.connection import Connection
from protojobs_client.errors import ProtoJobsError, UnsupportedError, WaitTimeoutError
from protojobs_client.fake_bulk import act
from protojobs_client.fake_changes import update
from protojobs_client.fake_job import FakeJob
from protojobs_client.fake_store import FakeStore
from protojobs_client.ids import JobId, JobIds
from protojobs_client.job import Job
from protojobs_client.middleware import ClientHooks, ClientMiddleware
from protojobs_client.models import JobInfo, JobState, Seconds
from protojobs_client.options import Options
from protojobs_client.outcome import DispatchResult, Refused
from protojobs_client.pages import AsyncPages
from protojobs_client.parse import job_info
from protojobs_client.payload import Codec, PlainCodec, decode_data, encode_data
from protojobs_client.request import JobRequest, span
from protojobs_client.schedule import ScheduleInfo, ScheduleRequest
from protojobs_client.schedule_convert import schedule_info, to_schedule

__all__ = ["FakeAsyncClient", "FakeClient", "FakeJob", "HasFakeStore"]

START = datetime(2030, 1, 1, tzinfo=UTC)
_ANY: Any = object()


class HasFakeStore(Protocol):
    """A fake client, as those see it who run its jobs."""

    store: FakeStore


class _Looking:
    """What a test asks a fake client."""

    store: FakeStore

    @property
    def now(self) -> datetime:
        """The time of the fake clock."""
        return self.store.now

    def advance(self, by: Seconds) -> None:
        """Move the clock; schedules of `schedule_every` make their jobs on the way."""
        self.store.advance(span(by))

    def refuse(self, job: str | type[Job], error: ProtoJobsError) -> None:
        """Let dispatches of this kind fail with this error from now on."""
        self.store.refusals[_kind(job)] = error

    def dispatched(self, job: str | type[Job] | None = None, *, queue: str | None = None) -> list[FakeJob]:
        """Return the jobs of a kind and queue, or all, in the order of their dispatch."""
        kind = None if job is None else _kind(job)
        return [each for each in self.store.jobs.values() if kind in {None, each.kind} and (queue is None or queue == each.queue)]

    def assert_dispatched(
        self,
        job: str | type[Job],
        *,
        queue: str | None = None,
        data: Any = _ANY,
        times: int | None = None,
        where: Callable[[FakeJob], bool] | None = None,
    ) -> list[FakeJob]:
        """Assert that such jobs were dispatched: at least one, or exactly `times`; return them."""
        found = self.dispatched(job, queue=queue)
        if data is not _ANY:
            wanted = data if isinstance(data, bytes) else decode_data(encode_data(data).data)
            found = [each for each in found if each.data == wanted]
        if where is not None:
            found = [each for each in found if where(each)]
        if len(found) != times if times is not None else not found:
            wanted_text = "at least once" if times is None else f"{times} times"
            raise AssertionError(f"{_kind(job)} was to be dispatched {wanted_text}, but was {len(found)} times; {self._told()}")
        return found

    def assert_not_dispatched(self, job: str | type[Job], *, queue: str | None = None) -> None:
        """Assert that no job of this kind was dispatched."""
        self.assert_dispatched(job, queue=queue, times=0)

    def assert_nothing_dispatched(self) -> None:
        """Assert that no job at all was dispatched."""
        if self.store.jobs:
            raise AssertionError(f"nothing was to be dispatched; {self._told()}")

    def assert_scheduled(self, job: str | type[Job], *, when: object = _ANY, times: int | None = None) -> list[ScheduleInfo]:
        """Assert that schedules which repeat were declared for this kind; return them."""
        kind = _kind(job)
        stored = [schedule_info(each) for each in self.store.schedules.values()]
        found = [each for each in stored if each.kind == kind and (when is _ANY or each.when == when)]
        if len(found) != times if times is not None else not found:
            raise AssertionError(f"{kind} has {len(found)} such schedules; there are {[(each.kind, each.when) for each in stored]}")
        return found

    def _told(self) -> str:
        jobs = [f"{each.kind} on {each.queue} with {each.data!r}" for each in self.store.jobs.values()]
        return "dispatched were: " + ("; ".join(jobs) or "none")


class FakeAsyncClient(_Looking, AsyncClient):
    """An `AsyncClient` without a server. What needs one (queues, workers, previews) raises UnsupportedError."""

    def __init__(self, *, now: datetime = START, codec: Codec | None = None, middleware: Sequence[ClientMiddleware] = ()) -> None:
        """`now` is where the clock starts."""
        self.store = FakeStore(now, codec or PlainCodec())
        ids = JobIds(lambda: int(self.store.now.timestamp() * 1_000_000_000))
        super(AsyncClient, self).__init__(_NoServer(Options(), self.store), codec or PlainCodec(), ids, ClientHooks(middleware))

    @override
    async def get(self, job_id: str, *, full: bool = False) -> JobInfo:
        """Return a job; with payload, headers and result if `full`."""
        return job_info(self.store.job(job_id).message(), full=full)

    @override
    async def wait(self, job_id: str, timeout: Seconds | None = None, *, raw: bool = False) -> Any:
        """Return the result of a job that has run. Raises WaitTimeoutError at once if it has not: nobody else will run it."""
        job = await self.get(job_id, full=True)
        if not job.state.is_final:
            raise WaitTimeoutError(f"job {job_id} is {job.state.value} still; run it with protojobs_worker.testing.run_due")
        return self._result(job, raw=raw)

    @override
    async def cancel(self, job_id: str, *, deadline: Seconds | None = None) -> JobState:
        """Cancel a job that waits."""
        return self.store.cancel(job_id)

    @override
    async def delete(self, job_id: str) -> None:
        """Remove a job."""
        self.store.delete(job_id)

    @override
    async def schedule(self, request: ScheduleRequest, *, dry_run: bool = False) -> ScheduleInfo:
        """Make or change a schedule by its name."""
        message = to_schedule(request, self._codec)
        return schedule_info(self.store.declare(message, dry_run=dry_run))

    @override
    def schedules(self, *, page_size: int = 100) -> AsyncPages[ScheduleInfo]:
        """Return the schedules by name."""

        async def read(_token: str) -> tuple[tuple[ScheduleInfo, ...], str]:
            return tuple(schedule_info(each) for _, each in sorted(self.store.schedules.items())), ""

        return AsyncPages(read)

    @override
    async def get_schedule(self, name: str) -> ScheduleInfo:
        """Return one schedule. Raises ScheduleNotFoundError."""
        return schedule_info(self.store.schedule(name))

    @override
    async def pause_schedule(self, name: str) -> None:
        """Stop its ticks. Raises ScheduleNotFoundError."""
        self.store.schedule(name).paused = True

    @override
    async def resume_schedule(self, name: str) -> None:
        """Let it tick again. Raises ScheduleNotFoundError."""
        self.store.schedule(name).paused = False

    @override
    async def delete_schedule(self, name: str, *, etag: str = "") -> None:
        """Remove a schedule; jobs that it made stay. Raises ScheduleNotFoundError."""
        self.store.drop(name, etag)

    @override
    async def trigger_schedule(self, name: str, *, job_id: str | None = None) -> JobId:
        """Make a job of the schedule now: the way to test those by cron, daily and weekly. Raises ScheduleNotFoundError."""
        return self.store.tick(self.store.schedule(name), job_id or self._ids.new())

    @override
    async def _submit(self, request: JobRequest) -> DispatchResult:
        self._connection.check_open()
        return self.store.put(self._item(request).spec)

    @override
    async def _send_batch(self, specs: list[job_pb2.JobSpec], *, atomic: bool = False) -> list[DispatchResult]:
        if atomic:
            refused = [result for spec in specs if isinstance(result := self.store.judge(spec), Refused)]
            if refused:
                raise refused[0].error
        return [self.store.put(spec) for spec in specs]

    @override
    async def _schedule_once(self, request: JobRequest, when: schedule_service_pb2.ScheduleSpec) -> JobId:
        spec = self._item(request).spec
        match when.WhichOneof("when"):
            case "at":
                spec.run_time.CopyFrom(when.at)
            case _:
                spec.delay.CopyFrom(getattr(when, "in"))
        result = self.store.put(spec)
        if isinstance(result, Refused):
            raise result.error
        return result.job_id


class FakeClient(_Looking, Client):
    """A `Client` without a server. What needs one (queues, workers, previews) raises UnsupportedError."""

    def __init__(self, *, now: datetime = START, codec: Codec | None = None, middleware: Sequence[ClientMiddleware] = ()) -> None:
        """`now` is where the clock starts."""
        client = FakeAsyncClient(now=now, codec=codec, middleware=middleware)
        self.store = client.store
        self._serve(client)


class _NoServer(Connection):
    """Answers what is done to stored jobs in the place of a server, and says what a fake client cannot do."""

    def __init__(self, options: Options, store: FakeStore) -> None:
        super().__init__(options)
        self._store = store

    @override
    async def call(self, method: Any, request: Any, *, deadline: timedelta | None = None) -> Any:
        self.check_open()
        match request:
            case job_service_pb2.UpdateJobRequest():
                return update(self._store, request)
            case job_service_pb2.BulkJobsRequest():
                return act(self._store, request)
            case _:
                raise _unsupported(type(request).__name__.removesuffix("Request"))

    @cached_property
    def jobs(self) -> Any:
        """Make the one stream that there is."""
        return _Jobs(self._store)

    @cached_property
    def channel(self) -> grpc.aio.Channel:
        """Make stubs that nobody calls."""
        return cast("grpc.aio.Channel", _NoChannel())

    @override
    async def close(self) -> None:
        self._closed = True


class _Jobs:
    """Stands in for the stub of JobService."""

    def __init__(self, store: FakeStore) -> None:
        self.WatchJobs = store.log.watch

    def __getattr__(self, name: str) -> Any:
        return _NoChannel()


class _NoChannel:
    """Stands in for the channel of stubs."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *_arguments: object, **_options: object) -> Any:
        return self


def _unsupported(what: str) -> UnsupportedError:
    return UnsupportedError(f"a fake client has no {what}", code=grpc.StatusCode.UNIMPLEMENTED)


def _kind(job: str | type[Job]) -> str:
    return job if isinstance(job, str) else job.kind
