"""The channel, its stubs, and the one way to make a call: with a deadline, retries and translated errors."""

import asyncio
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import grpc
from protojobs.v1.admin_service_pb2_grpc import AdminServiceStub
from protojobs.v1.job_service_pb2_grpc import JobServiceStub
from protojobs.v1.queue_service_pb2_grpc import QueueServiceStub
from protojobs.v1.schedule_service_pb2_grpc import ScheduleServiceStub
from protojobs.v1.server_service_pb2_grpc import ServerServiceStub
from protojobs.v1.worker_service_pb2_grpc import WorkerServiceStub

from protojobs_client.channel import open_channel
from protojobs_client.errors import ClientClosedError, DeadlineExceededError, ProtoJobsError
from protojobs_client.options import Options
from protojobs_client.retrying import retrying
from protojobs_client.rpc_telemetry import rpc_interceptors
from protojobs_client.statuses import translate

if TYPE_CHECKING:  # these exist in the stub files only
    from protojobs.v1.admin_service_pb2_grpc import AdminServiceAsyncStub
    from protojobs.v1.job_service_pb2_grpc import JobServiceAsyncStub
    from protojobs.v1.queue_service_pb2_grpc import QueueServiceAsyncStub
    from protojobs.v1.schedule_service_pb2_grpc import ScheduleServiceAsyncStub
    from protojobs.v1.server_service_pb2_grpc import ServerServiceAsyncStub
    from protojobs.v1.worker_service_pb2_grpc import WorkerServiceAsyncStub

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")

_SHORTEST_TRY = 0.05  # seconds


class Connection:
    """One channel, opened on the event loop that makes the first call."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._closed = False

    @cached_property
    def channel(self) -> grpc.aio.Channel:
        """The channel. Raises ClientClosedError after `close`."""
        self.check_open()
        return open_channel(self.options, rpc_interceptors(self.options))

    @cached_property
    def jobs(self) -> "JobServiceAsyncStub":
        """Stub of JobService."""
        return JobServiceStub(self.channel)

    @cached_property
    def queues(self) -> "QueueServiceAsyncStub":
        """Stub of QueueService."""
        return QueueServiceStub(self.channel)

    @cached_property
    def schedules(self) -> "ScheduleServiceAsyncStub":
        """Stub of ScheduleService."""
        return ScheduleServiceStub(self.channel)

    @cached_property
    def workers(self) -> "WorkerServiceAsyncStub":
        """Stub of WorkerService."""
        return WorkerServiceStub(self.channel)

    @cached_property
    def server(self) -> "ServerServiceAsyncStub":
        """Stub of ServerService."""
        return ServerServiceStub(self.channel)

    @cached_property
    def admin(self) -> "AdminServiceAsyncStub":
        """Stub of AdminService."""
        return AdminServiceStub(self.channel)

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        *,
        deadline: timedelta | None = None,
    ) -> ResponseT:
        """Make an idempotent call; repeat it while its error is retryable, until `call_timeout` is over.

        `deadline` is that of one try, `read_deadline` by default. gRPC repeats UNAVAILABLE up to 3 times by
        itself; a rolling restart of servers takes longer than that.
        """
        self.check_open()
        one_try = (deadline or self.options.read_deadline).total_seconds()
        whole = max(self.options.call_timeout.total_seconds(), one_try)
        clock = asyncio.get_running_loop().time
        end = clock() + whole
        failure: ProtoJobsError | None = None

        async def once() -> ResponseT:
            nonlocal failure
            try:
                return await method(request, timeout=max(_SHORTEST_TRY, min(one_try, end - clock())))
            except grpc.RpcError as error:
                told = translate(error)
                # The last tries are cut short: why the earlier ones failed tells more.
                failure = failure if failure and isinstance(told, DeadlineExceededError) else told
                raise failure from error

        return await retrying(once, patience=timedelta(seconds=whole))

    def check_open(self) -> None:
        """Raise ClientClosedError after `close`."""
        if self._closed:
            raise ClientClosedError("the client is closed")

    async def close(self) -> None:
        """Close the channel. Calls that are under way fail."""
        self._closed = True
        channel = self.__dict__.get("channel")
        if channel is not None:
            await channel.close()
