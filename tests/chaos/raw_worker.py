"""A worker by hand on the Lease stream: `python -m tests.chaos.raw_worker JSON`.

It shares no code with the SDK, writes every answer of the server into the history, and is stubborn: it never drops the outcome of
a lease that it has lost, so that only the server's fence keeps it out. A lost stream is opened again at once, with every
unanswered lease in `held` and every unanswered outcome sent again. SIGUSR1 makes it lose its stream.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import grpc
import orjson
from google.protobuf.duration_pb2 import Duration
from protojobs.v1 import job_pb2, worker_service_pb2, worker_service_pb2_grpc

from tests.chaos.handlers import Act, act, instructions
from tests.checker import Recorder, digest

_RECONNECT_S: Final = 0.1
_CODES: Final = {number: name.removeprefix("SETTLE_CODE_") for name, number in worker_service_pb2.SettleCode.items()}
_STATES: Final = {number: name.removeprefix("JOB_STATE_") for name, number in job_pb2.JobState.items()}
_AGAIN: Final = {"RETRY_LATER", "INVALID"}


@dataclass(slots=True)
class Held:
    """A delivered job without an answer to its outcome."""

    job: worker_service_pb2.LeasedJob
    began_at: float | None = None
    done: Act | None = None
    sent_at: float | None = None


class RawWorker:
    """One session."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.name: str = config["name"]
        self.addresses: list[str] = config["address"].split(",")
        self.queues: list[str] = config["queues"]
        self.slots: int = config.get("concurrency", 10)
        self.window: int = config.get("window") or self.slots
        self.ttl = timedelta(seconds=config.get("ttl", 2.0))
        self.gates = Path(config["gates"])
        self.secret = os.urandom(16)
        self.recorder = Recorder(Path(config["history"]), self.name, session=f"{self.name}-{os.getpid()}")
        self.recorder.write("session", slots=self.slots)
        self.held: dict[tuple[str, int], Held] = {}
        self.waiting: list[Held] = []
        self.running = 0
        self.stream_no = 0
        self.started_seq = 0
        self.seq = 0
        self.received_seq = 0
        self.outbox: asyncio.Queue[worker_service_pb2.LeaseRequest] = asyncio.Queue()
        self.call: _Call | None = None

    async def run(self) -> None:
        """Work until killed."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._cut)
        async with asyncio.TaskGroup() as group:
            while True:
                address = self.addresses[self.stream_no % len(self.addresses)]
                async with grpc.aio.insecure_channel(address) as channel:
                    try:
                        await self._stream(worker_service_pb2_grpc.WorkerServiceStub(channel), group)
                    except grpc.aio.AioRpcError as error:
                        self.recorder.write("noted", what="stream lost", code=error.code().name, details=error.details())
                        self._begin_anew_after(error.code())
                    except asyncio.CancelledError:
                        if self.call is None or not self.call.cancelled():
                            raise
                        self.recorder.write("noted", what="stream cut")
                await asyncio.sleep(_RECONNECT_S)

    def _begin_anew_after(self, code: grpc.StatusCode) -> None:
        if code is grpc.StatusCode.FAILED_PRECONDITION:  # the session is over: what it held is the server's to refuse
            self.secret, self.stream_no = os.urandom(16), 0

    def _cut(self) -> None:
        if self.call is not None:
            self.call.cancel()

    async def _stream(self, stub: "worker_service_pb2_grpc.WorkerServiceAsyncStub", group: asyncio.TaskGroup) -> None:
        self.stream_no += 1
        self.started_seq = self.seq = self.received_seq = 0
        self.outbox = asyncio.Queue()
        call = self.call = stub.Lease()
        await call.write(self._frame(hello=self._hello()))
        frame = await call.read()
        if not isinstance(frame, worker_service_pb2.LeaseResponse):
            code = await call.code()
            self.recorder.write("noted", what="no welcome", code=code.name, details=await call.details())
            self._begin_anew_after(code)
            return
        assert frame.HasField("welcome"), frame
        self.received_seq = frame.seq
        kept = {(lease.job_id, lease.attempt) for lease in frame.welcome.kept}
        self.recorder.write("noted", what="welcome", kept=len(kept), lost=len(frame.welcome.lost))
        # Unstarted leases that are lost are dropped, as the contract asks; outcomes never are.
        self.waiting = [held for held in self.waiting if (held.job.job_id, held.job.attempt) in kept]
        for key in [key for key, held in self.held.items() if held.began_at is None and key not in kept]:
            del self.held[key]
        for held in list(self.held.values()):
            if held.done is not None:
                self._settle(held)
        self._begin(group)
        interval = frame.welcome.heartbeat_interval.ToTimedelta().total_seconds()
        writer = group.create_task(self._write(call, interval))
        try:
            await self._read(call, group)
        finally:
            writer.cancel()

    async def _write(self, call: "_Call", interval: float) -> None:
        while True:
            try:
                async with asyncio.timeout(interval):
                    frame = await self.outbox.get()
            except TimeoutError:
                frame = self._frame(ping=worker_service_pb2.Ping())
            self.seq += 1
            frame.seq, frame.received_seq, frame.started_seq = self.seq, self.received_seq, self.started_seq
            try:
                await call.write(frame)
            except (grpc.RpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
                return

    async def _read(self, call: "_Call", group: asyncio.TaskGroup) -> None:
        while True:
            frame = await call.read()
            if not isinstance(frame, worker_service_pb2.LeaseResponse):
                self.recorder.write("noted", what="stream ended", code=(await call.code()).name)
                return
            self.received_seq = frame.seq
            match frame.WhichOneof("frame"):
                case "deliver":
                    self._take(frame.deliver, group)
                case "settled":
                    self._hear(frame.settled)
                    self._begin(group)
                case "drain":
                    self.recorder.write("noted", what="drain", reason=frame.drain.reason)
                    return
                case _:
                    pass

    def _take(self, deliver: worker_service_pb2.Deliver, group: asyncio.TaskGroup) -> None:
        for job in deliver.items:
            held = self.held[job.job_id, job.attempt] = Held(job)
            self.waiting.append(held)
        self._begin(group)
        self.outbox.put_nowait(self._frame(ping=worker_service_pb2.Ping()))  # a receipt need not wait for the next heartbeat

    def _begin(self, group: asyncio.TaskGroup) -> None:
        while self.waiting and self.running < self.slots:
            held = self.waiting.pop(0)
            held.began_at = time.monotonic()
            self.running += 1
            self.started_seq += 1
            group.create_task(self._perform(held, group))

    async def _perform(self, held: Held, group: asyncio.TaskGroup) -> None:
        job, attempt, spec = held.job.job_id, held.job.attempt, held.job.spec
        mark, wall = digest(spec.payload), time.time()
        self.recorder.write("start", job=job, attempt=attempt, queue=spec.queue, kind=spec.kind, digest=mark, wall=wall)
        done = await act(instructions(spec.payload), worker=self.name, attempt=attempt, gates=self.gates)
        self.recorder.write("end", job=job, attempt=attempt, outcome=done.outcome, delay=done.delay)
        held.done = done
        self.running -= 1
        self._settle(held)
        self._begin(group)

    def _settle(self, held: Held) -> None:
        assert held.done is not None
        item = worker_service_pb2.SettleItem(job_id=held.job.job_id, attempt=held.job.attempt)
        match held.done.outcome:
            case "complete":
                item.complete.SetInParent()
            case "snooze":
                item.snooze.delay.FromTimedelta(timedelta(seconds=held.done.delay or 0.0))
            case _:
                item.fail.error.type = "Told"
                if held.done.delay is not None:
                    item.fail.retry_after.FromTimedelta(timedelta(seconds=held.done.delay))
        held.sent_at = time.monotonic()
        self.outbox.put_nowait(self._frame(settle=worker_service_pb2.Settle(items=[item])))

    def _hear(self, settled: worker_service_pb2.Settled) -> None:
        for job, attempt, code, state in _answers(settled):
            held = self.held.get((job, attempt))
            sent = None if held is None else held.sent_at
            self.recorder.write("settled", job=job, attempt=attempt, code=code, state=state, sent=sent)
            if held is not None and code not in _AGAIN:
                del self.held[job, attempt]

    def _hello(self) -> worker_service_pb2.Hello:
        now = time.monotonic()
        hello = worker_service_pb2.Hello(
            session_id=self.secret,
            worker=self.name,
            sdk="raw",
            sdk_version="1",
            queues=[worker_service_pb2.QueueSubscription(name=queue) for queue in self.queues],
            window=worker_service_pb2.Window(max_in_flight=self.window),
            slots=self.slots,
            stream_no=self.stream_no,
        )
        hello.session_ttl.FromTimedelta(self.ttl)
        for (job, attempt), held in self.held.items():
            elapsed = Duration()
            elapsed.FromTimedelta(timedelta(seconds=now - (held.began_at or now)))
            hello.held.add(job_id=job, attempt=attempt, started=held.began_at is not None, elapsed=elapsed)
        return hello

    def _frame(self, **frame: Any) -> worker_service_pb2.LeaseRequest:
        request = worker_service_pb2.LeaseRequest(**frame)
        if request.HasField("hello"):
            self.seq += 1
            request.seq = self.seq
        return request


_Call = grpc.aio.StreamStreamCall[worker_service_pb2.LeaseRequest, worker_service_pb2.LeaseResponse]


def _answers(settled: worker_service_pb2.Settled) -> Iterator[tuple[str, int, str, str]]:
    for item in settled.items:
        yield item.job_id, item.attempt, _CODES[item.code], _STATES[item.next_state]
    for answer in settled.groups:
        for job in answer.job_ids:
            yield job, answer.attempt, _CODES[answer.code], _STATES[answer.next_state]


if __name__ == "__main__":
    asyncio.run(RawWorker(orjson.loads(sys.argv[1])).run())
