"""Dispatching: one job, many jobs, later, at a time."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any, NamedTuple, Unpack

import grpc
from google.protobuf.message import DecodeError
from protojobs.v1 import job_pb2, job_service_pb2, schedule_service_pb2

from protojobs_client.batch import MAX_ITEMS, Sized, batches, room, size_of
from protojobs_client.calls import Calls
from protojobs_client.convert import to_spec, to_timestamp
from protojobs_client.errors import JobIdTimeError, PayloadTooLargeError, ProtoJobsError
from protojobs_client.ids import JobId
from protojobs_client.job import Job
from protojobs_client.middleware import ClientEvent
from protojobs_client.models import Seconds
from protojobs_client.outcome import Dispatched, DispatchResult, Refused
from protojobs_client.parse import dispatch_result, dispatched
from protojobs_client.pipe import DispatchPipe
from protojobs_client.redial import on_change
from protojobs_client.request import DispatchOptions, JobRequest, span
from protojobs_client.telemetry import Sending
from protojobs_client.trace import trace_fields, with_trace

_BATCHES_AT_ONCE = 4
_CLOSE_GRACE = timedelta(seconds=5)


class _Made(NamedTuple):
    """A job to send, and what its headers say of its trace."""

    item: Sized
    trace: Mapping[str, str]


class DispatchCalls(Calls):
    """The part of the client that stores jobs.

    Every id is chosen here, so each call may be repeated without storing a job twice: retries after
    UNAVAILABLE, and by callers who give `job_id` themselves.
    """

    def on(self, event: ClientEvent, hook: Callable[..., object] | None = None) -> Any:
        """Call `hook` at every such event; without a hook, a decorator. See `protojobs_client.middleware`."""

        def register(function: Callable[..., object]) -> Callable[..., object]:
            self._hooks.add(event, function)
            return function

        return register if hook is None else register(hook)

    async def dispatch(
        self,
        job: str | type[Job] | Job | JobRequest,
        data: object = None,
        /,
        **options: Unpack[DispatchOptions],
    ) -> Dispatched:
        """Store one job and return its id. OK only after the server has committed.

        `job` is a kind, a job class, or an instance or request that has its data. Concurrent calls share one
        stream. Raises ProtoJobsError (DuplicateJobError, QueueFullError, UnavailableError, ...).
        """
        request = to_request(job, data, options)
        if self._hooks:
            request = self._hooks.before(request)
            result = await self._submit(request)
            self._hooks.after([request], [result])
        else:
            result = await self._submit(request)
        if isinstance(result, Refused):
            raise result.error
        return result

    async def dispatch_later(
        self,
        job: str | type[Job] | Job | JobRequest,
        data: object,
        delay: Seconds,
        /,
        **options: Unpack[DispatchOptions],
    ) -> Dispatched:
        """Store one job that starts `delay` after it was stored."""
        return await self.dispatch(to_request(job, data, options).delay(delay))

    async def dispatch_many(self, jobs: Iterable[Job | JobRequest], *, atomic: bool = False) -> list[DispatchResult]:
        """Store many jobs; return what became of each, in order.

        A refused job is a `Refused` with its error and id, not an exception. Data that cannot be encoded, and a hook that
        refuses a job, raise before anything is sent. Jobs are sent in batches of up to
        1000. With `atomic` all are stored or none: one refused job raises its error, and they must fit into
        one batch (ValueError).
        """
        requests = [to_request(job, None, {}) for job in jobs]
        if not self._hooks:
            return await self._send_many(requests, atomic=atomic)
        requests = [self._hooks.before(request) for request in requests]
        results = await self._send_many(requests, atomic=atomic)
        self._hooks.after(requests, results)
        return results

    async def dispatch_encoded(self, specs: Sequence[bytes]) -> list[DispatchResult]:
        """Store jobs of which one has the JobSpecs as bytes, ids inside, as `dispatch_many` does. For relays.

        Raises ValueError for bytes that are no JobSpec with an id.
        """
        limit = room(self._connection.options.max_message_bytes)
        items: list[Sized] = []
        refused: dict[int, DispatchResult] = {}
        for place, data in enumerate(specs):
            try:
                spec = job_pb2.JobSpec.FromString(data)
            except DecodeError:
                raise ValueError(f"specs[{place}] is no JobSpec") from None
            if not spec.id:
                raise ValueError(f"specs[{place}] has no id")
            size = size_of(spec)
            if size > limit:
                refused[place] = Refused(job_id=JobId(spec.id), error=_too_large(size, limit))
            else:
                items.append(Sized(spec, size))
        stored = iter(await self._send_batches(items))
        return [refused[place] if place in refused else next(stored) for place in range(len(specs))]

    async def schedule_at(
        self,
        job: str | type[Job] | Job | JobRequest,
        data: object,
        at: datetime,
        /,
        **options: Unpack[DispatchOptions],
    ) -> JobId:
        """Schedule one job for a time and return its id. A time in the past means at once."""
        when = schedule_service_pb2.ScheduleSpec(at=to_timestamp(at))
        return await self._schedule(to_request(job, data, options), when)

    async def schedule_in(
        self,
        job: str | type[Job] | Job | JobRequest,
        data: object,
        wait: Seconds,
        /,
        **options: Unpack[DispatchOptions],
    ) -> JobId:
        """Schedule one job for `wait` after the server has stored it, and return its id."""
        when = schedule_service_pb2.ScheduleSpec()
        getattr(when, "in").FromTimedelta(span(wait))  # the field's name is a keyword of Python
        return await self._schedule(to_request(job, data, options), when)

    async def close(self) -> None:
        """Finish dispatches that are under way, for at most 5 s, and close the channel."""
        if "_pipe" in self.__dict__:
            await self._pipe.close(grace=_CLOSE_GRACE)
        await self._connection.close()

    @cached_property
    def _pipe(self) -> DispatchPipe:
        options = self._connection.options
        pipe = DispatchPipe(
            self._connection.jobs.DispatchStream,
            self._send,
            streaming=options.streaming,
            max_message_bytes=options.max_message_bytes,
            ack_timeout=options.dispatch_deadline,
        )
        on_change(self._connection.channel, pipe.move)
        return pipe

    def _item(self, request: JobRequest, trace: Mapping[str, str] | None = None) -> Sized:
        """Build the spec with an id and the trace context. Raises PayloadTooLargeError if no message can hold it."""
        options = self._connection.options
        if trace is None:
            trace = trace_fields(options.baggage)
        spec = to_spec(
            request,
            job_id=request.options.job_id or self._ids.new(),
            headers=with_trace(request.options.headers, trace),
            codec=self._codec,
        )
        size, limit = size_of(spec), room(options.max_message_bytes)
        if size > limit:
            raise _too_large(size, limit)
        return Sized(spec, size)

    def _learned(self, request: JobRequest, error: ProtoJobsError) -> bool:
        """Take the server's time from a refused id of ours; return whether another id may do better."""
        if not isinstance(error, JobIdTimeError) or request.options.job_id or error.server_time is None:
            return False
        self._ids.learn(error.server_time)
        return True

    async def _submit(self, request: JobRequest) -> DispatchResult:
        self._connection.check_open()
        with self._telemetry.sending("dispatch", request) as sending:
            result = await self._submit_learning(request)
            if sending is not None:
                sending.ended([result])
            return result

    async def _submit_learning(self, request: JobRequest) -> DispatchResult:
        patience = self._connection.options.call_timeout
        result = await self._pipe.submit(self._item(request), patience=patience)
        if isinstance(result, Refused) and self._learned(request, result.error):
            result = await self._pipe.submit(self._item(request), patience=patience)
        return result

    async def _schedule(self, request: JobRequest, when: schedule_service_pb2.ScheduleSpec) -> JobId:
        if request.options.delay is not None or request.options.run_at is not None:
            raise ValueError("a scheduled job takes no delay or run_at")
        if not self._hooks:
            return await self._schedule_told(request, when)
        request = self._hooks.before(request)
        job_id = await self._schedule_told(request, when)
        self._hooks.after([request], [Dispatched(job_id)])
        return job_id

    async def _schedule_told(self, request: JobRequest, when: schedule_service_pb2.ScheduleSpec) -> JobId:
        with self._telemetry.sending("schedule", request) as sending:
            job_id = await self._schedule_learning(request, when)
            if sending is not None:
                sending.ended([Dispatched(job_id)])
            return job_id

    async def _schedule_learning(self, request: JobRequest, when: schedule_service_pb2.ScheduleSpec) -> JobId:
        try:
            return await self._schedule_once(request, when)
        except JobIdTimeError as error:
            if not self._learned(request, error):
                raise
            return await self._schedule_once(request, when)

    async def _schedule_once(self, request: JobRequest, when: schedule_service_pb2.ScheduleSpec) -> JobId:
        schedule = schedule_service_pb2.Schedule(spec=when, job=self._item(request).spec)
        answer = await self._connection.call(
            self._connection.schedules.Schedule,
            schedule_service_pb2.ScheduleRequest(schedule=schedule),
            deadline=self._connection.options.dispatch_deadline,
        )
        return JobId(answer.job_id)

    async def _send_many(self, requests: Sequence[JobRequest], *, atomic: bool) -> list[DispatchResult]:
        with self._telemetry.sending_many(requests) as sending:
            made = await self._make_many(requests, sending)
            results = await (self._send_atomic(requests, made) if atomic else self._send_learning(requests, made))
            if sending is not None:
                sending.ended(results)
            return results

    async def _make_many(self, requests: Sequence[JobRequest], sending: Sending | None) -> list[_Made]:
        """Build every job; where it gets a span, that one is in its headers, else the current one."""
        baggage = self._connection.options.baggage
        shared = trace_fields(baggage)
        made: list[_Made] = []
        for request in requests:
            if len(made) % MAX_ITEMS == 0:
                await asyncio.sleep(0)  # the loop has other work
            if sending is None or not sending.creates:
                made.append(_Made(self._item(request, shared), shared))
            else:
                made.append(sending.create(request, baggage, partial(self._make, request)))
        return made

    def _make(self, request: JobRequest, trace: Mapping[str, str]) -> tuple[str, _Made]:
        item = self._item(request, trace)
        return item.spec.id, _Made(item, trace)

    async def _send_learning(self, requests: Sequence[JobRequest], made: list[_Made]) -> list[DispatchResult]:
        results = await self._send_batches([item for item, _ in made])
        again = [
            index
            for index, result in enumerate(results)
            if isinstance(result, Refused) and self._learned(requests[index], result.error)
        ]
        if not again:
            return results
        repeated = await self._send_batches([self._item(requests[index], made[index].trace) for index in again])
        for index, result in zip(again, repeated, strict=True):
            results[index] = result
        return results

    async def _send_atomic(self, requests: Sequence[JobRequest], made: list[_Made]) -> list[DispatchResult]:
        if not made:
            return []
        if len(made) > MAX_ITEMS or sum(item.size for item, _ in made) > room(self._connection.options.max_message_bytes):
            raise ValueError(f"an atomic batch must fit into one message of at most {MAX_ITEMS} jobs")
        try:
            return await self._send_batch([item.spec for item, _ in made], atomic=True)
        except JobIdTimeError as error:
            if not any(self._learned(request, error) for request in requests):
                raise
            again = [self._item(request, trace) for request, (_, trace) in zip(requests, made, strict=True)]
            return await self._send_batch([item.spec for item in again], atomic=True)

    async def _send_batches(self, items: list[Sized]) -> list[DispatchResult]:
        """Send specs in batches, a few at once. The error of a whole batch becomes that of each of its items."""
        free = asyncio.Semaphore(_BATCHES_AT_ONCE)

        async def send(batch: list[job_pb2.JobSpec]) -> list[DispatchResult]:
            async with free:
                try:
                    return await self._send_batch(batch)
                except ProtoJobsError as error:
                    return [Refused(job_id=JobId(spec.id), error=error) for spec in batch]

        async with asyncio.TaskGroup() as group:
            sent = [
                group.create_task(send(batch))
                for batch in batches(items, max_bytes=room(self._connection.options.max_message_bytes))
            ]
        return [result for batch in sent for result in batch.result()]

    async def _send_batch(self, specs: list[job_pb2.JobSpec], *, atomic: bool = False) -> list[DispatchResult]:
        sent = [JobId(spec.id) for spec in specs]
        answer = await self._connection.call(
            self._connection.jobs.DispatchBatch,
            job_service_pb2.DispatchBatchRequest(specs=specs, atomic=atomic),
            deadline=self._connection.options.dispatch_deadline,
        )
        return [dispatch_result(result, job_id) for result, job_id in zip(answer.results, sent, strict=True)]

    async def _send(self, specs: list[job_pb2.JobSpec]) -> list[DispatchResult]:
        """Send specs without a stream."""
        if len(specs) > 1:
            return await self._send_batch(specs)
        answer = await self._connection.call(
            self._connection.jobs.Dispatch,
            job_service_pb2.DispatchRequest(spec=specs[0]),
            deadline=self._connection.options.dispatch_deadline,
        )
        return [dispatched(answer)]


def _too_large(size: int, limit: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(
        "the job does not fit into a message",
        code=grpc.StatusCode.FAILED_PRECONDITION,
        reason="PAYLOAD_TOO_LARGE",
        metadata={"limit": str(limit), "size": str(size)},
    )


def to_request(job: str | type[Job] | Job | JobRequest, data: object, options: DispatchOptions) -> JobRequest:
    """Return what is asked for, with these options over its own. Raises TypeError if it has data twice."""
    match job:
        case str():
            request = JobRequest(job, data)
        case type():
            request = job(data).request()
        case _:
            if data is not None:
                raise TypeError("this job has its data already")
            request = job.request() if isinstance(job, Job) else job
    return request.with_options(**options) if options else request
