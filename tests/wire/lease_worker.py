"""Workers that speak the wire themselves, frame by frame: one on a stream, one by calls, with the same face."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any, Protocol, Self

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from protojobs.v1 import (
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    queue_service_pb2_grpc,
    worker_service_pb2,
    worker_service_pb2_grpc,
)
from protojobs_service.application import Application, Timings
from protojobs_service.drivers.memory import MemoryDriver
from protojobs_service.port import Driver
from protojobs_service.settings import Settings
from protojobs_service.telemetry import Telemetry
from protojobs_service.transport.schedule_convert import Templates
from protojobs_service.transport.server import GrpcServer
from protojobs_service.transport.specs import fingerprint
from uuid_utils import uuid7

from tests.canaries import HEADER, PAYLOAD

_PATIENCE = 15.0
OK = worker_service_pb2.SETTLE_CODE_OK
ALREADY = worker_service_pb2.SETTLE_CODE_ALREADY
SUPERSEDED = worker_service_pb2.SETTLE_CODE_LEASE_SUPERSEDED
INVALID = worker_service_pb2.SETTLE_CODE_INVALID


@dataclass(slots=True)
class Service:
    """A served application and a channel to it."""

    application: Application
    channel: grpc.aio.Channel
    address: str

    @property
    def jobs(self) -> "job_service_pb2_grpc.JobServiceAsyncStub":
        """Return the stub of JobService."""
        return job_service_pb2_grpc.JobServiceStub(self.channel)

    @property
    def queues(self) -> "queue_service_pb2_grpc.QueueServiceAsyncStub":
        """Return the stub of QueueService."""
        return queue_service_pb2_grpc.QueueServiceStub(self.channel)

    @property
    def workers(self) -> "worker_service_pb2_grpc.WorkerServiceAsyncStub":
        """Return the stub of WorkerService."""
        return worker_service_pb2_grpc.WorkerServiceStub(self.channel)

    async def dispatch(self, jobs: int = 1, **spec: Any) -> list[str]:
        """Store jobs; returns their ids."""
        specs = [
            job_pb2.JobSpec(**{"id": str(uuid7()), "kind": "email", "payload": PAYLOAD, "headers": {"x-secret": HEADER}, **spec})
            for _ in range(jobs)
        ]
        for start in range(0, jobs, 500):
            response = await self.jobs.DispatchBatch(job_service_pb2.DispatchBatchRequest(specs=specs[start : start + 500]))
            assert not [result for result in response.results if result.HasField("error")]
        return [each.id for each in specs]

    async def job(self, job_id: str) -> job_pb2.Job:
        """Return a job in full."""
        request = job_service_pb2.GetJobRequest(job_id=job_id, view=job_pb2.JOB_VIEW_FULL)
        return (await self.jobs.GetJob(request)).job

    async def becomes(self, job_id: str, state: job_pb2.JobState.ValueType) -> job_pb2.Job:
        """Return the job once it is in `state`."""
        found: job_pb2.Job = await eventually(lambda: self.job(job_id), lambda job: job.state == state)
        return found


async def eventually(look: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    """Return what `look` finds once it `holds`; fails after a while."""
    async with asyncio.timeout(_PATIENCE):
        while not holds(found := await look()):  # noqa: ASYNC110 # the server has no event to wait for
            await asyncio.sleep(0.01)
        return found


@asynccontextmanager
async def serving(timings: Timings | None = None, driver: Driver | None = None, **settings: Any) -> AsyncIterator[Service]:
    """Serve gRPC over loopback, without the admin port; over an empty memory store where no driver is given."""
    chosen = Settings(**{"driver": "memory", "port": 0, "shutdown": {"grace": 1, "delay": 0}, **settings})
    telemetry = Telemetry(driver="memory")
    application = Application.over(
        driver or memory_driver(),
        limits=chosen.bounds,
        timings=timings,
        draft=Templates(chosen.bounds).draft,
        read_follow_ups=Templates(chosen.bounds).follow_ups,
    )
    try:
        async with application.running(), GrpcServer(application, chosen, telemetry).running() as port:
            options = [("grpc.max_receive_message_length", 32 * 1024 * 1024), ("grpc.use_local_subchannel_pool", 1)]
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
                yield Service(application, channel, f"127.0.0.1:{port}")
    finally:
        telemetry.close()


def memory_driver() -> MemoryDriver:
    """Return an empty store."""
    return MemoryDriver(fingerprint=fingerprint, clock=lambda: datetime.now(UTC), rng=Random(1))


def reason(error: grpc.aio.AioRpcError) -> str:
    """Return the reason of an error."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            info = error_details_pb2.ErrorInfo()
            for detail in status_pb2.Status.FromString(bytes(value) if not isinstance(value, str) else b"").details:
                if detail.Unpack(info):
                    return info.reason
    return ""


def field_of(error: grpc.aio.AioRpcError) -> str:
    """Return the field that an error names."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            bad = error_details_pb2.BadRequest()
            for detail in status_pb2.Status.FromString(bytes(value) if not isinstance(value, str) else b"").details:
                if detail.Unpack(bad):
                    return bad.field_violations[0].field
    return ""


def hello(**changes: Any) -> worker_service_pb2.Hello:
    """Return a Hello of the queue `default`."""
    fields: dict[str, Any] = {
        "session_id": os.urandom(16),
        "queues": [worker_service_pb2.QueueSubscription(name="default")],
        "window": worker_service_pb2.Window(max_in_flight=100),
        "slots": 100,
        "stream_no": 1,
    }
    return worker_service_pb2.Hello(**{**fields, **changes})


def held(*leases: worker_service_pb2.LeasedJob) -> list[worker_service_pb2.HeldLease]:
    """Return leases as a worker tells them."""
    return [worker_service_pb2.HeldLease(job_id=each.job_id, attempt=each.attempt, started=True) for each in leases]


def flat(settled: worker_service_pb2.Settled) -> dict[tuple[str, int], list[worker_service_pb2.SettledItem]]:
    """Return every answer of a Settled by job and attempt, groups unfolded."""
    answers: dict[tuple[str, int], list[worker_service_pb2.SettledItem]] = {}
    for item in settled.items:
        answers.setdefault((item.job_id, item.attempt), []).append(item)
    for group in settled.groups:
        for job_id in group.job_ids:
            item = worker_service_pb2.SettledItem(
                job_id=job_id, attempt=group.attempt, code=group.code, next_state=group.next_state
            )
            answers.setdefault((job_id, group.attempt), []).append(item)
    return answers


class Stream:
    """A Lease stream; keeps what it has read by kind of frame."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.call: Any = channel.stream_stream("/protojobs.v1.WorkerService/Lease")()
        self.seq = 0
        self.read_seq = 0
        self.started = 0
        self.frames: list[worker_service_pb2.LeaseResponse] = []

    async def send(self, **frame: Any) -> None:
        """Send a frame."""
        self.seq += 1
        numbers = {"seq": self.seq, "received_seq": self.read_seq, "started_seq": self.started, **frame}
        await self.call.write(worker_service_pb2.LeaseRequest(**numbers).SerializeToString())

    async def read(self) -> worker_service_pb2.LeaseResponse | None:
        """Return the next frame, None at the end of the stream; raises its error."""
        async with asyncio.timeout(_PATIENCE):
            data = await self.call.read()
        if data is grpc.aio.EOF:
            code = await self.call.code()
            if code is not grpc.StatusCode.OK:
                details = await self.call.details()
                trailing = await self.call.trailing_metadata()
                raise grpc.aio.AioRpcError(code, await self.call.initial_metadata(), trailing, details)
            return None
        assert isinstance(data, bytes)
        frame = worker_service_pb2.LeaseResponse.FromString(data)
        assert frame.seq == self.read_seq + 1
        self.read_seq = frame.seq
        self.frames.append(frame)
        return frame

    async def until(self, kind: str) -> Any:
        """Return the next frame of that kind."""
        while (frame := await self.read()) is not None:
            if frame.WhichOneof("frame") == kind:
                return getattr(frame, kind)
        raise AssertionError(f"the stream ended before a {kind}")

    async def error(self) -> grpc.aio.AioRpcError:
        """Return the error that ends the stream."""
        try:
            while await self.read() is not None:
                pass
        except grpc.aio.AioRpcError as error:
            return error
        raise AssertionError("the stream ended with OK")

    async def rest(self) -> list[worker_service_pb2.LeaseResponse]:
        """Return all frames up to the stream's end, which must be OK."""
        before = len(self.frames)
        while await self.read() is not None:
            pass
        return self.frames[before:]


class Worker(Protocol):
    """A worker on either road."""

    session_id: bytes

    async def get(self, jobs: int) -> Sequence[worker_service_pb2.LeasedJob]:
        """Return that many leased jobs."""
        ...

    async def settle(self, settle: worker_service_pb2.Settle) -> dict[tuple[str, int], list[worker_service_pb2.SettledItem]]:
        """Send outcomes; returns the answers."""
        ...

    async def update(self, *items: worker_service_pb2.UpdateItem) -> Sequence[worker_service_pb2.SettledItem]:
        """Send news; returns what was refused."""
        ...

    async def cancels(self) -> Sequence[worker_service_pb2.CancelItem]:
        """Return the first handlers to stop."""
        ...

    async def close(self) -> None:
        """Let go."""
        ...


@dataclass(slots=True)
class StreamWorker:
    """A worker on a stream."""

    stream: Stream
    session_id: bytes
    leases: list[worker_service_pb2.LeasedJob] = field(default_factory=list[worker_service_pb2.LeasedJob])

    @classmethod
    async def open(cls, service: Service, **changes: Any) -> Self:
        """Say Hello."""
        worker, _ = await cls.welcomed(service, **changes)
        return worker

    @classmethod
    async def welcomed(cls, service: Service, **changes: Any) -> tuple[Self, worker_service_pb2.Welcome]:
        """Say Hello; returns the Welcome too."""
        stream, said = Stream(service.channel), hello(**changes)
        await stream.send(hello=said)
        welcome: worker_service_pb2.Welcome = await stream.until("welcome")
        return cls(stream, said.session_id), welcome

    async def get(self, jobs: int) -> Sequence[worker_service_pb2.LeasedJob]:
        """Read Deliver frames until there are so many jobs."""
        got: list[worker_service_pb2.LeasedJob] = []
        while len(got) < jobs:
            deliver: worker_service_pb2.Deliver = await self.stream.until("deliver")
            got += deliver.items
        self.leases += got
        self.stream.started = len(self.leases)
        return got

    async def settle(self, settle: worker_service_pb2.Settle) -> dict[tuple[str, int], list[worker_service_pb2.SettledItem]]:
        """Send a Settle, read its Settled."""
        await self.stream.send(settle=settle)
        return flat(await self.stream.until("settled"))

    async def update(self, *items: worker_service_pb2.UpdateItem) -> Sequence[worker_service_pb2.SettledItem]:
        """Send an Update; a Settle for nobody's job behind it shows that it was answered."""
        await self.stream.send(update=worker_service_pb2.Update(items=items))
        await self.stream.send(ping=worker_service_pb2.Ping())
        refused: list[worker_service_pb2.SettledItem] = []
        while (frame := await self.stream.read()) is not None and not frame.HasField("pong"):
            refused += frame.settled.updates
        return refused

    async def cancels(self) -> Sequence[worker_service_pb2.CancelItem]:
        """Read a Cancel."""
        cancel: worker_service_pb2.Cancel = await self.stream.until("cancel")
        return cancel.items

    async def close(self) -> None:
        """End the stream."""
        self.stream.call.cancel()


@dataclass(slots=True)
class UnaryWorker:
    """A worker by calls."""

    service: Service
    session_id: bytes
    changes: dict[str, Any]
    seq: int = 0
    leases: list[worker_service_pb2.LeasedJob] = field(default_factory=list[worker_service_pb2.LeasedJob])

    @classmethod
    async def open(cls, service: Service, **changes: Any) -> Self:
        """Begin; nothing is sent before the first call."""
        said = {key: value for key, value in changes.items() if key not in ("window", "slots", "stream_no", "max_frame_bytes")}
        return cls(service, said.pop("session_id", os.urandom(16)), said)

    async def get(self, jobs: int) -> Sequence[worker_service_pb2.LeasedJob]:
        """Acquire until there are so many jobs."""
        got: list[worker_service_pb2.LeasedJob] = []
        async with asyncio.timeout(_PATIENCE):
            while len(got) < jobs:
                response = await self.acquire(jobs - len(got))
                got += response.leases
        return got

    async def acquire(self, jobs: int, wait: float | Duration = 5, **changes: Any) -> worker_service_pb2.AcquireLeasesResponse:
        """Call AcquireLeases once."""
        self.seq += 1
        fields = {
            "session_id": self.session_id,
            "acquire_seq": self.seq,
            "queues": [worker_service_pb2.QueueSubscription(name="default")],
            "max": jobs,
            "wait": wait if isinstance(wait, Duration) else Duration(seconds=int(wait)),
            "held": held(*self.leases),
            **self.changes,
            **changes,
        }
        response: worker_service_pb2.AcquireLeasesResponse = await self.service.workers.AcquireLeases(
            worker_service_pb2.AcquireLeasesRequest(**fields)
        )
        self.leases += response.leases
        return response

    async def settle(self, settle: worker_service_pb2.Settle) -> dict[tuple[str, int], list[worker_service_pb2.SettledItem]]:
        """Call SettleLeases."""
        if not self.seq:
            await self.acquire(1, wait=0)
        request = worker_service_pb2.SettleLeasesRequest(session_id=self.session_id, settle=settle)
        answers = flat((await self.service.workers.SettleLeases(request)).settled)
        done = {key for key, items in answers.items() if any(item.code in (OK, ALREADY, SUPERSEDED) for item in items)}
        self.leases = [lease for lease in self.leases if (lease.job_id, lease.attempt) not in done]
        return answers

    async def update(self, *items: worker_service_pb2.UpdateItem) -> Sequence[worker_service_pb2.SettledItem]:
        """Call ExtendLeases with news."""
        return (await self.extend(update=worker_service_pb2.Update(items=items))).updates

    async def extend(self, **fields: Any) -> worker_service_pb2.ExtendLeasesResponse:
        """Call ExtendLeases."""
        if not self.seq:
            await self.acquire(1, wait=0)
        request = worker_service_pb2.ExtendLeasesRequest(**{"session_id": self.session_id, "held": held(*self.leases), **fields})
        response: worker_service_pb2.ExtendLeasesResponse = await self.service.workers.ExtendLeases(request)
        return response

    async def cancels(self) -> Sequence[worker_service_pb2.CancelItem]:
        """Extend until something is to stop."""
        found: worker_service_pb2.ExtendLeasesResponse = await eventually(self.extend, lambda response: bool(response.cancelled))
        return found.cancelled

    async def close(self) -> None:
        """Nothing holds a unary worker."""


def complete(*leases: worker_service_pb2.LeasedJob) -> worker_service_pb2.Settle:
    """Return the short form of completions."""
    attempts = {lease.attempt for lease in leases}
    return worker_service_pb2.Settle(
        completed=[
            worker_service_pb2.CompletedGroup(attempt=n, job_ids=[lease.job_id for lease in leases if lease.attempt == n])
            for n in attempts
        ]
    )


def outcome(lease: worker_service_pb2.LeasedJob, **what: Any) -> worker_service_pb2.Settle:
    """Return one outcome in the long form."""
    return worker_service_pb2.Settle(items=[worker_service_pb2.SettleItem(job_id=lease.job_id, attempt=lease.attempt, **what)])
