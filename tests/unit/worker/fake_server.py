"""A WorkerService on loopback that does only what the test tells it, frame by frame."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from protojobs.v1 import job_pb2, queue_service_pb2
from protojobs.v1 import worker_service_pb2 as wire

PATIENCE = 10.0


def job_id(number: int) -> str:
    """Make a job id that a person can tell from another."""
    return f"01990000-0000-7000-8000-{number:012d}"


def leased(
    number: int, kind: str = "noop", *, attempt: int = 1, payload: bytes = b"", run_timeout: float = 300.0
) -> wire.LeasedJob:
    """Make a leased job."""
    job = wire.LeasedJob(job_id=job_id(number), attempt=attempt, max_retries=3)
    job.spec.queue, job.spec.kind, job.spec.payload = "default", kind, payload
    job.run_timeout.FromMilliseconds(round(run_timeout * 1000))
    return job


class FakeStream:
    """One Lease stream, as the server sees it."""

    def __init__(self, hello: wire.LeaseRequest) -> None:
        self.hello = hello.hello
        self.frames: asyncio.Queue[wire.LeaseRequest | None] = asyncio.Queue()
        self.outbox: asyncio.Queue[wire.LeaseResponse | status_pb2.Status | None] = asyncio.Queue()
        self.all_frames: list[wire.LeaseRequest] = [hello]
        self._outcomes: defaultdict[tuple[str, int], list[tuple[str, wire.SettleItem | None]]] = defaultdict(list)
        self._seq = 0

    @property
    def last(self) -> wire.LeaseRequest:
        """The newest frame that was read."""
        return self.all_frames[-1]

    def send(self, frame: wire.LeaseResponse) -> None:
        """Send a frame, numbered."""
        self._seq += 1
        frame.seq = self._seq
        frame.received_seq = self.last.seq
        self.outbox.put_nowait(frame)

    def welcome(self, *, kept: Iterable[tuple[int, int]] = (), ttl: float = 30.0, heartbeat: float = 5.0) -> "FakeStream":
        """Accept the session."""
        frame = wire.LeaseResponse()
        frame.welcome.server_id = "fake"
        frame.welcome.session_ttl.CopyFrom(_span(ttl))
        frame.welcome.heartbeat_interval.CopyFrom(_span(heartbeat))
        for number, attempt in kept:
            frame.welcome.kept.add(job_id=job_id(number), attempt=attempt)
        self.send(frame)
        return self

    def deliver(self, *jobs: wire.LeasedJob) -> None:
        """Send jobs."""
        frame = wire.LeaseResponse()
        frame.deliver.items.extend(jobs)
        self.send(frame)

    def answer(
        self,
        number: int,
        *,
        attempt: int = 1,
        code: "wire.SettleCode.ValueType" = wire.SETTLE_CODE_OK,
        state: "job_pb2.JobState.ValueType" = job_pb2.JOB_STATE_COMPLETED,
        message: str = "",
    ) -> None:
        """Answer one settle."""
        frame = wire.LeaseResponse()
        item = frame.settled.items.add(job_id=job_id(number), attempt=attempt, code=code, next_state=state, message=message)
        if state == job_pb2.JOB_STATE_RETRYING:
            item.next_time.CopyFrom(Timestamp(seconds=1_800_000_000))
        self.send(frame)

    def refuse_update(self, number: int, code: "wire.SettleCode.ValueType", *, attempt: int = 1) -> None:
        """Answer an update that was not accepted."""
        frame = wire.LeaseResponse()
        frame.settled.updates.add(job_id=job_id(number), attempt=attempt, code=code)
        self.send(frame)

    def cancel(self, number: int, reason: "wire.CancelReason.ValueType", *, attempt: int = 1) -> None:
        """Ask for a handler to stop."""
        frame = wire.LeaseResponse()
        frame.cancel.items.add(job_id=job_id(number), attempt=attempt, reason=reason)
        self.send(frame)

    def drain(self, reason: "wire.DrainReason.ValueType", *, reconnect_after: float = 0.0) -> None:
        """Ask the worker to go to another stream."""
        frame = wire.LeaseResponse()
        frame.drain.reason = reason
        frame.drain.deadline.CopyFrom(_span(30))
        frame.drain.reconnect_after.CopyFrom(_span(reconnect_after))
        self.send(frame)

    def pong(self) -> None:
        """Send a heartbeat."""
        frame = wire.LeaseResponse()
        frame.pong.store_ok = True
        self.send(frame)

    def end(self) -> None:
        """End the stream with OK."""
        self.outbox.put_nowait(None)

    def fail(self, code: grpc.StatusCode, reason: str) -> None:
        """End the stream with an error."""
        status = status_pb2.Status(code=code.value[0], message=reason)
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="protojobs.dev"))
        self.outbox.put_nowait(status)

    async def next(self) -> wire.LeaseRequest | None:
        """Wait for the next frame; None: the worker has said its last."""
        async with asyncio.timeout(PATIENCE):
            frame = await self.frames.get()
        if frame is not None:
            for group in frame.settle.completed:
                for name in group.job_ids:
                    self._outcomes[name, group.attempt].append(("complete", None))
            for item in frame.settle.items:
                self._outcomes[item.job_id, item.attempt].append((str(item.WhichOneof("outcome")), item))
        return frame

    async def expect(self, kind: str) -> wire.LeaseRequest:
        """Wait for the next frame of a kind, passing over others."""
        while (frame := await self.next()) is not None:
            if frame.WhichOneof("frame") == kind:
                return frame
        raise AssertionError(f"the stream ended without {kind}")

    async def outcome(self, number: int, attempt: int = 1) -> tuple[str, wire.SettleItem | None]:
        """Wait for the (next) outcome of a job: its name and, unless it took the short form, its item."""
        told = self._outcomes[job_id(number), attempt]
        while not told:
            await self.expect("settle")
        return told.pop(0)

    async def checkpoint(self, checkpoint: bytes) -> wire.UpdateItem:
        """Wait for the next update that carries this checkpoint."""
        while True:
            for item in (await self.expect("update")).update.items:
                if item.checkpoint == checkpoint:
                    return item

    async def closed(self) -> None:
        """Wait until the worker has left."""
        while await self.next() is not None:
            pass


class FakeServer:
    """Collects streams; the test plays the server on each."""

    def __init__(self) -> None:
        self.address = ""
        self.pending = 0
        self.opened = 0
        self._streams: asyncio.Queue[FakeStream] = asyncio.Queue()

    async def stream(self) -> FakeStream:
        """Wait for the next stream, whose Hello has been read."""
        async with asyncio.timeout(PATIENCE):
            return await self._streams.get()

    async def lease(
        self,
        request_iterator: AsyncIterator[wire.LeaseRequest],
        context: grpc.aio.ServicerContext[wire.LeaseRequest, wire.LeaseResponse],
    ) -> None:
        stream = FakeStream(await anext(request_iterator))
        self.opened += 1
        self._streams.put_nowait(stream)

        async def read() -> None:
            try:
                async for frame in request_iterator:
                    stream.all_frames.append(frame)
                    stream.frames.put_nowait(frame)
            finally:
                stream.frames.put_nowait(None)
                stream.end()

        reader = asyncio.get_running_loop().create_task(read())
        try:
            while (out := await stream.outbox.get()) is not None:
                if isinstance(out, status_pb2.Status):
                    await context.abort_with_status(rpc_status.to_status(out))
                else:
                    await context.write(out)
        finally:
            reader.cancel()

    async def stats(self, request: queue_service_pb2.StatsRequest, context: object) -> queue_service_pb2.StatsResponse:
        answer = queue_service_pb2.StatsResponse()
        answer.queues.add(queue="default").counts.pending = self.pending
        return answer


@asynccontextmanager
async def fake_server() -> AsyncIterator[FakeServer]:
    """Serve on a free port of loopback."""
    fake = FakeServer()
    server = grpc.aio.server()
    lease = grpc.stream_stream_rpc_method_handler(
        fake.lease,
        request_deserializer=wire.LeaseRequest.FromString,
        response_serializer=wire.LeaseResponse.SerializeToString,
    )
    stats = grpc.unary_unary_rpc_method_handler(
        fake.stats,
        request_deserializer=queue_service_pb2.StatsRequest.FromString,
        response_serializer=queue_service_pb2.StatsResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler("protojobs.v1.WorkerService", {"Lease": lease}),
            grpc.method_handlers_generic_handler("protojobs.v1.QueueService", {"Stats": stats}),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    fake.address = f"127.0.0.1:{port}"
    await server.start()
    try:
        yield fake
    finally:
        await server.stop(0)


def _span(seconds: float) -> Duration:
    span = Duration()
    span.FromMilliseconds(round(seconds * 1000))
    return span
