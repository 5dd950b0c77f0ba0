"""A server for the client's tests: real gRPC on loopback, with a store that is a dictionary."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2
from protojobs.v1 import admin_service_pb2, job_pb2, job_service_pb2, queue_service_pb2, schedule_service_pb2, worker_service_pb2
from protojobs.v1.admin_service_pb2_grpc import AdminServiceServicer, add_AdminServiceServicer_to_server
from protojobs.v1.job_service_pb2_grpc import JobServiceServicer, add_JobServiceServicer_to_server
from protojobs.v1.queue_service_pb2_grpc import QueueServiceServicer, add_QueueServiceServicer_to_server
from protojobs.v1.schedule_service_pb2_grpc import ScheduleServiceServicer, add_ScheduleServiceServicer_to_server
from protojobs.v1.worker_service_pb2_grpc import WorkerServiceServicer, add_WorkerServiceServicer_to_server
from typing_extensions import override

Context = grpc.aio.ServicerContext[Any, Any]

DETAILS = "grpc-status-details-bin"


def status(
    code: grpc.StatusCode,
    reason: str,
    *,
    message: str = "refused",
    metadata: dict[str, str] | None = None,
    retry_after: timedelta | None = None,
    violations: dict[str, str] | None = None,
) -> Status:
    """Build an error as the service sends it."""
    details = [AnyMessage()]
    details[0].Pack(ErrorInfo(reason=reason, domain="protojobs.dev", metadata=metadata or {}))
    if violations:
        field_violations = [BadRequest.FieldViolation(field=name, description=text) for name, text in violations.items()]
        details.append(AnyMessage())
        details[-1].Pack(BadRequest(field_violations=field_violations))
    if retry_after is not None:
        delay = Duration()
        delay.FromTimedelta(retry_after)
        details.append(AnyMessage())
        details[-1].Pack(RetryInfo(retry_delay=delay))
    return Status(code=code.value[0], message=message, details=details)


async def refuse(context: Context, error: Status) -> None:
    """End a call with an error and its details."""
    code = next(code for code in grpc.StatusCode if code.value[0] == error.code)
    await context.abort(code, error.message, trailing_metadata=((DETAILS, error.SerializeToString()),))


@dataclass
class FakeJobs(JobServiceServicer):
    """Remembers what came, and answers as told."""

    stored: dict[str, job_pb2.JobSpec] = field(default_factory=dict)
    frames: list[list[str]] = field(default_factory=list)  # ids of each frame of each stream, in order
    batches: list[list[str]] = field(default_factory=list)
    streams: int = 0
    window: int = 10_000
    metadata: list[dict[str, str | bytes]] = field(default_factory=list)

    streaming: bool = True
    verdicts: dict[str, Status] = field(default_factory=dict)  # by kind: refused with this
    call_errors: list[Status] = field(default_factory=list)  # of the next unary calls
    stream_ends: list[Status | None] = field(default_factory=list)  # of the next streams, after their first frame
    says_window: bool = False  # a stream begins with a frame that tells only the window
    open: asyncio.Event = field(default_factory=asyncio.Event)  # acknowledgements wait for it
    frame_came: asyncio.Event = field(default_factory=asyncio.Event)
    jobs: dict[str, job_pb2.Job] = field(default_factory=dict)
    retries: list[job_service_pb2.RetryRequest] = field(default_factory=list)
    lists: list[job_service_pb2.ListJobsRequest] = field(default_factory=list)
    waits: int = 0
    waits_until_done: int = 0
    on_wait: Callable[[], None] | None = None
    wrong_time: datetime | None = None  # the server's time, where ids of other times are refused
    refused_ids: int = 0

    def __post_init__(self) -> None:
        self.open.set()

    def store(self, spec: job_pb2.JobSpec) -> job_service_pb2.DispatchResult:
        """Store a spec, or say why not."""
        result = job_service_pb2.DispatchResult(job_id=spec.id)
        if error := self.time_error(spec):
            result.error.CopyFrom(error)
        elif spec.kind in self.verdicts:
            result.error.CopyFrom(self.verdicts[spec.kind])
        elif spec.id in self.stored:
            result.outcome = job_service_pb2.DISPATCH_OUTCOME_EXISTING
        else:
            self.stored[spec.id] = job_pb2.JobSpec.FromString(spec.SerializeToString())
            result.outcome = job_service_pb2.DISPATCH_OUTCOME_CREATED
        return result

    def time_error(self, spec: job_pb2.JobSpec) -> Status | None:
        """Refuse an id whose time is far from the server's."""
        if self.wrong_time is None:
            return None
        if abs((UUID(spec.id).int >> 80) / 1000 - self.wrong_time.timestamp()) < 3600:
            return None
        self.refused_ids += 1
        told = {"server_time": self.wrong_time.isoformat().replace("+00:00", "Z")}
        return status(grpc.StatusCode.INVALID_ARGUMENT, "JOB_ID_TIME", metadata=told)

    async def begin(self, context: Context) -> None:
        """Note the metadata of a unary call and end it if so told."""
        self.metadata.append(dict(context.invocation_metadata() or ()))
        if self.call_errors:
            await refuse(context, self.call_errors.pop(0))

    @override
    async def Dispatch(self, request: job_service_pb2.DispatchRequest, context: Context) -> job_service_pb2.DispatchResponse:
        await self.begin(context)
        self.batches.append([request.spec.id])
        result = self.store(request.spec)
        if result.HasField("error"):
            await refuse(context, result.error)
        return job_service_pb2.DispatchResponse(job_id=result.job_id, outcome=result.outcome)

    @override
    async def DispatchBatch(
        self, request: job_service_pb2.DispatchBatchRequest, context: Context
    ) -> job_service_pb2.DispatchBatchResponse:
        await self.begin(context)
        self.batches.append([spec.id for spec in request.specs])
        if request.atomic:
            for spec in request.specs:
                if error := self.time_error(spec) or self.verdicts.get(spec.kind):
                    await refuse(context, error)
        return job_service_pb2.DispatchBatchResponse(results=[self.store(spec) for spec in request.specs])

    @override
    async def DispatchStream(
        self, request_iterator: AsyncIterator[job_service_pb2.DispatchStreamRequest], context: Context
    ) -> AsyncIterator[job_service_pb2.DispatchStreamResponse]:
        if not self.streaming:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")
        self.streams += 1
        self.metadata.append(dict(context.invocation_metadata() or ()))
        if self.says_window:
            yield job_service_pb2.DispatchStreamResponse(window=self.window)
        async for frame in request_iterator:
            self.frames.append([spec.id for spec in frame.specs])
            self.frame_came.set()
            if self.stream_ends:
                end = self.stream_ends.pop(0)
                if end is not None:
                    await refuse(context, end)
                return
            await self.open.wait()
            results = [
                job_service_pb2.DispatchStreamResult(seq=frame.seq, index=index, result=result)
                for index, spec in enumerate(frame.specs)
                if (result := self.store(spec)).outcome != job_service_pb2.DISPATCH_OUTCOME_CREATED
            ]
            yield job_service_pb2.DispatchStreamResponse(up_to_seq=frame.seq, results=results, window=self.window)

    @override
    async def GetJob(self, request: job_service_pb2.GetJobRequest, context: Context) -> job_service_pb2.GetJobResponse:
        await self.begin(context)
        job = self.jobs.get(request.job_id)
        if job is None:
            await refuse(context, status(grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND"))
        return job_service_pb2.GetJobResponse(job=job)

    @override
    async def ListJobs(self, request: job_service_pb2.ListJobsRequest, context: Context) -> job_service_pb2.ListJobsResponse:
        self.lists.append(request)
        start = int(request.page_token or 0)
        end = start + request.page_size
        jobs = list(self.jobs.values())
        token = str(end) if end < len(jobs) else ""
        return job_service_pb2.ListJobsResponse(jobs=jobs[start:end], next_page_token=token)

    @override
    async def ListAttempts(
        self, request: job_service_pb2.ListAttemptsRequest, context: Context
    ) -> job_service_pb2.ListAttemptsResponse:
        attempt = job_pb2.Attempt(job_id=request.job_id, attempt=1, outcome=job_pb2.ATTEMPT_OUTCOME_CRASHED)
        return job_service_pb2.ListAttemptsResponse(attempts=[attempt])

    @override
    async def WaitJob(self, request: job_service_pb2.WaitJobRequest, context: Context) -> job_service_pb2.WaitJobResponse:
        self.waits += 1
        if self.on_wait is not None:
            self.on_wait()
            await asyncio.Event().wait()
        job = self.jobs[request.job_id]
        return job_service_pb2.WaitJobResponse(job=job, done=self.waits > self.waits_until_done)

    @override
    async def Cancel(self, request: job_service_pb2.CancelRequest, context: Context) -> job_service_pb2.CancelResponse:
        return job_service_pb2.CancelResponse(state=job_pb2.JOB_STATE_CANCELLED)

    @override
    async def Retry(self, request: job_service_pb2.RetryRequest, context: Context) -> job_service_pb2.RetryResponse:
        self.retries.append(request)
        return job_service_pb2.RetryResponse(state=job_pb2.JOB_STATE_PENDING)

    @override
    async def DeleteJob(self, request: job_service_pb2.DeleteJobRequest, context: Context) -> job_service_pb2.DeleteJobResponse:
        self.jobs.pop(request.job_id)
        return job_service_pb2.DeleteJobResponse()


@dataclass
class FakeQueues(QueueServiceServicer):
    """Queues with as many jobs as told."""

    updates: list[queue_service_pb2.UpdateQueueRequest] = field(default_factory=list)
    clears: list[int] = field(default_factory=list)  # deleted by each call of one clearing
    tokens: list[str] = field(default_factory=list)

    @override
    async def UpdateQueue(
        self, request: queue_service_pb2.UpdateQueueRequest, context: Context
    ) -> queue_service_pb2.UpdateQueueResponse:
        self.updates.append(request)
        return queue_service_pb2.UpdateQueueResponse(queue=request.queue)

    @override
    async def ClearQueue(
        self, request: queue_service_pb2.ClearQueueRequest, context: Context
    ) -> queue_service_pb2.ClearQueueResponse:
        self.tokens.append(request.continuation_token)
        deleted = self.clears.pop(0)
        return queue_service_pb2.ClearQueueResponse(deleted=deleted, continuation_token="more" if self.clears else "")

    @override
    async def Stats(self, request: queue_service_pb2.StatsRequest, context: Context) -> queue_service_pb2.StatsResponse:
        stats = queue_service_pb2.QueueStats(queue=request.queue or "default")
        stats.counts.pending = 3
        return queue_service_pb2.StatsResponse(queues=[stats])


@dataclass
class FakeSchedules(ScheduleServiceServicer):
    """Remembers schedules."""

    schedules: list[schedule_service_pb2.Schedule] = field(default_factory=list)

    @override
    async def Schedule(
        self, request: schedule_service_pb2.ScheduleRequest, context: Context
    ) -> schedule_service_pb2.ScheduleResponse:
        self.schedules.append(request.schedule)
        return schedule_service_pb2.ScheduleResponse(schedule=request.schedule, job_id=request.schedule.job.id)


class FakeWorkers(WorkerServiceServicer):
    """One worker."""

    @override
    async def ListWorkers(
        self, request: worker_service_pb2.ListWorkersRequest, context: Context
    ) -> worker_service_pb2.ListWorkersResponse:
        worker = worker_service_pb2.Worker(session="7", worker="w", queues=["default"], slots_total=4)
        return worker_service_pb2.ListWorkersResponse(workers=[worker])


def _health() -> grpc.GenericRpcHandler:
    """Serve grpc.health.v1: always SERVING."""
    answer = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    async def check(request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        return answer

    async def watch(request: health_pb2.HealthCheckRequest, context: Context) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        yield answer
        await asyncio.Event().wait()

    read, write = health_pb2.HealthCheckRequest.FromString, health_pb2.HealthCheckResponse.SerializeToString
    return grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health",
        {
            "Check": grpc.unary_unary_rpc_method_handler(check, read, write),
            "Watch": grpc.unary_stream_rpc_method_handler(watch, read, write),
        },
    )


@dataclass
class FakeAdmin(AdminServiceServicer):
    """Makes tokens, and loses as many answers as told."""

    made: list[admin_service_pb2.CreateTokenRequest] = field(default_factory=list[admin_service_pb2.CreateTokenRequest])
    revoked: list[str] = field(default_factory=list[str])
    lost: int = 0

    @override
    async def CreateToken(
        self, request: admin_service_pb2.CreateTokenRequest, context: Context
    ) -> admin_service_pb2.CreateTokenResponse:
        if request.token_id in {each.token_id for each in self.made}:
            await refuse(context, status(grpc.StatusCode.ALREADY_EXISTS, "TOKEN_EXISTS"))
        self.made.append(request)
        if self.lost:
            self.lost -= 1
            await refuse(context, status(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"))
        token = admin_service_pb2.Token(token_id=request.token_id, name=request.name, grants=request.grants)
        return admin_service_pb2.CreateTokenResponse(token=token, secret=f"pj_{request.token_id}_secret")

    @override
    async def RevokeToken(
        self, request: admin_service_pb2.RevokeTokenRequest, context: Context
    ) -> admin_service_pb2.RevokeTokenResponse:
        self.revoked.append(request.token_id)
        return admin_service_pb2.RevokeTokenResponse(token=admin_service_pb2.Token(token_id=request.token_id))


@dataclass
class FakeServer:
    """The services on one port, which outlives a restart."""

    jobs: FakeJobs = field(default_factory=FakeJobs)
    queues: FakeQueues = field(default_factory=FakeQueues)
    schedules: FakeSchedules = field(default_factory=FakeSchedules)
    workers: FakeWorkers = field(default_factory=FakeWorkers)
    admin: FakeAdmin = field(default_factory=FakeAdmin)
    credentials: grpc.ServerCredentials | None = None
    port: int = 0

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = grpc.aio.server()
        add_JobServiceServicer_to_server(self.jobs, self._server)
        add_QueueServiceServicer_to_server(self.queues, self._server)
        add_ScheduleServiceServicer_to_server(self.schedules, self._server)
        add_WorkerServiceServicer_to_server(self.workers, self._server)
        add_AdminServiceServicer_to_server(self.admin, self._server)
        self._server.add_generic_rpc_handlers((_health(),))
        if self.credentials is None:
            self.port = self._server.add_insecure_port(self.address)
        else:
            self.port = self._server.add_secure_port(self.address, self.credentials)
        await self._server.start()

    async def stop(self) -> None:
        """End every call at once."""
        await self._server.stop(None)
