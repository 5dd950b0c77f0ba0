"""A caller that speaks raw gRPC to a running server, and what it is told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from protojobs.v1 import (
    admin_service_pb2_grpc,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    queue_service_pb2_grpc,
    schedule_service_pb2_grpc,
    server_service_pb2_grpc,
    worker_service_pb2_grpc,
)
from protojobs_service.application import Timings
from protojobs_service.compose import RunningServer, start_server
from protojobs_service.drivers.memory import MemoryDriver
from protojobs_service.port import Driver
from protojobs_service.settings import Settings, load
from protojobs_service.transport.specs import fingerprint
from uuid_utils import uuid7

from tests.canaries import HEADER, PAYLOAD, TOKEN

DISPATCH = "/protojobs.v1.JobService/Dispatch"
PATIENCE = 15.0


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """How a call was refused."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    fields: Sequence[str] = ()
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A running server and a channel to it."""

    server: RunningServer
    channel: grpc.aio.Channel

    @property
    def jobs(self) -> Any:
        """Return the stub of JobService."""
        return job_service_pb2_grpc.JobServiceStub(self.channel)

    @property
    def queues(self) -> Any:
        """Return the stub of QueueService."""
        return queue_service_pb2_grpc.QueueServiceStub(self.channel)

    @property
    def schedules(self) -> Any:
        """Return the stub of ScheduleService."""
        return schedule_service_pb2_grpc.ScheduleServiceStub(self.channel)

    @property
    def workers(self) -> Any:
        """Return the stub of WorkerService."""
        return worker_service_pb2_grpc.WorkerServiceStub(self.channel)

    @property
    def admin(self) -> Any:
        """Return the stub of AdminService."""
        return admin_service_pb2_grpc.AdminServiceStub(self.channel)

    @property
    def info(self) -> Any:
        """Return the stub of ServerService."""
        return server_service_pb2_grpc.ServerServiceStub(self.channel)

    async def dispatch(self, **fields: Any) -> job_service_pb2.DispatchResponse:
        """Store one job."""
        answer: job_service_pb2.DispatchResponse
        answer = await self.jobs.Dispatch(job_service_pb2.DispatchRequest(spec=spec(**fields)))
        return answer

    async def get(self, job_id: str) -> job_pb2.Job:
        """Return a job in full."""
        request = job_service_pb2.GetJobRequest(job_id=job_id, view=job_pb2.JOB_VIEW_FULL)
        job: job_pb2.Job = (await self.jobs.GetJob(request)).job
        return job

    async def send(self, path: str, data: bytes) -> bytes:
        """Call a unary RPC with these very bytes."""
        call: Any = self.channel.unary_unary(path)
        answer: bytes = await call(data)
        return answer


def spec(**fields: Any) -> job_pb2.JobSpec:
    """Return a spec that is good but for `fields`."""
    return job_pb2.JobSpec(**{"id": str(uuid7()), "kind": "email", "payload": PAYLOAD, "headers": {"x-secret": HEADER}, **fields})


def id_at(at: datetime) -> str:
    """Return a UUIDv7 of that time."""
    rest = uuid7().hex[12:]
    text = f"{int(at.timestamp() * 1000):012x}{rest}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def now() -> datetime:
    """Return this machine's time, which is the store's here."""
    return datetime.now(UTC)


async def refused(call: Awaitable[Any]) -> Refusal:
    """Return how a call is refused; fails where it is not."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return to_refusal(error)
    raise AssertionError(f"was not refused: {answer}")


async def ended(call: Any) -> Refusal:
    """Return how a stream ends, after whatever it still sends; fails where it ends well."""
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return to_refusal(error)
    raise AssertionError("ended well")


def to_refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """Return what an error says."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    if not isinstance(details, bytes):
        return Refusal(code=error.code(), message=error.details() or "")
    return read_status(Status.FromString(details), error.code())


def read_status(status: Status, code: grpc.StatusCode | None = None) -> Refusal:
    """Return what a status says; it must agree with the code of its call."""
    by_number = {each.value[0]: each for each in grpc.StatusCode}
    assert code in (None, by_number[status.code])
    info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
    found = [each for message in (info, bad, retry) for each in status.details if each.Unpack(message)]
    assert info.domain == "protojobs.dev"
    return Refusal(
        code=by_number[status.code],
        message=status.message,
        reason=info.reason,
        metadata=dict(info.metadata),
        fields=[violation.field for violation in bad.field_violations],
        retry_after=retry.retry_delay.ToTimedelta() if len(found) > 1 and retry.HasField("retry_delay") else None,
    )


async def until(look: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> Any:
    """Return what `look` finds once it `holds`; fails after a while."""
    async with asyncio.timeout(PATIENCE):
        while not holds(found := await look()):  # noqa: ASYNC110 # what is looked at tells nobody
            await asyncio.sleep(0.01)
        return found


@asynccontextmanager
async def serving(driver: Driver | None = None, *, timings: Timings | None = None, **settings: Any) -> AsyncIterator[Peer]:
    """Run a server on free ports, over an empty memory store unless told otherwise, and a channel to it."""
    chosen = settings_for(**settings)
    async with start_server(chosen, driver=driver, timings=timings) as server, connected(server) as peer:
        yield peer


@asynccontextmanager
async def connected(server: RunningServer, **options: int) -> AsyncIterator[Peer]:
    """Open a channel of its own connection, which takes answers of any size."""
    # The user agent is a header that every call brings.
    arguments = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.primary_user_agent", TOKEN),
        *options.items(),
    ]
    async with grpc.aio.insecure_channel(server.address, options=arguments) as channel:
        yield Peer(server=server, channel=channel)


def settings_for(**settings: Any) -> Settings:
    """Return settings of a server on free ports that stops quickly."""
    return load(**{"driver": "memory", "port": 0, "admin_port": 0, "shutdown": {"grace": 1}, **settings})


def memory_driver() -> MemoryDriver:
    """Return an empty store."""
    return MemoryDriver(fingerprint=fingerprint, clock=now, rng=Random(1))


def serialized(message: Message) -> bytes:
    """Return a message's bytes."""
    return message.SerializeToString()
