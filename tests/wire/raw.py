"""A peer that speaks HTTP/2 frame by frame and keeps no rule of it, and the program that it is let loose on."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import psutil
from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from protojobs.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

from tests.canaries import PAYLOAD
from tests.private_server import free_port
from tests.wire.peer import PATIENCE, spec

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER_BYTES = 9
_PIECE = 16_000
_WINDOW = 65_535


def message(data: bytes, *, compressed: bool = False, length: int | None = None) -> bytes:
    """Return a message as gRPC frames it; length: what it says of itself instead of the truth."""
    return bytes([compressed]) + (len(data) if length is None else length).to_bytes(4) + data


@dataclass(slots=True)
class Attacker:
    """One connection. statuses: of streams that have ended; goaway: code and text, once the server sends it away.

    acknowledged: whether the server's settings are, without which it can hold nobody to them. room: bytes that may be sent
    beyond the first window, by stream; of the connection under 0.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    statuses: dict[int, str] = field(default_factory=dict[int, str])
    resets: set[int] = field(default_factory=set[int])
    goaway: tuple[int, bytes] | None = None
    acknowledges: bool = True
    acknowledged: bool = False
    room: Counter[int] = field(default_factory=Counter[int])
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _encoder: Encoder = field(default_factory=Encoder)
    _decoder: Decoder = field(default_factory=Decoder)

    async def send(self, *frames: Frame | bytes) -> bool:
        """Write frames; tells whether the server still takes them."""
        data = b"".join(frame if isinstance(frame, bytes) else frame.serialize() for frame in frames)
        try:
            self.writer.write(data)
            await self.writer.drain()
        except ConnectionError:
            self._end()
        return not self.closed.is_set()

    def headers(self, stream: int, path: str, *more: tuple[str, str]) -> list[Frame]:
        """Return what a call begins with, in as many frames as it takes."""
        told = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"), ("te", "trailers")]
        block = self._encoder.encode([*told, ("content-type", "application/grpc"), *more], huffman=False)
        pieces = [block[at : at + _PIECE] for at in range(0, len(block), _PIECE)]
        frames: list[Frame] = [HeadersFrame(stream, data=pieces[0])]
        frames += [ContinuationFrame(stream, data=piece) for piece in pieces[1:]]
        frames[-1].flags.add("END_HEADERS")
        return frames

    def call(self, stream: int, path: str, data: bytes, *more: tuple[str, str]) -> list[Frame]:
        """Return a whole unary call; `data` is a message of at most one frame."""
        return [*self.headers(stream, path, *more), DataFrame(stream, data=data, flags=["END_STREAM"])]

    async def upload(self, stream: int, data: bytes) -> None:
        """Send the message of a call as fast as the server takes it, until that ends the call."""
        sent = 0
        while sent < len(data):
            await self.until(lambda: self._is_over(stream) or self._left(stream) > 0)
            if self._is_over(stream):
                return
            piece = data[sent : sent + min(_PIECE, self._left(stream))]
            sent += len(piece)
            self.room[0] -= len(piece)
            self.room[stream] -= len(piece)
            await self.send(DataFrame(stream, data=piece, flags=["END_STREAM"] if sent == len(data) else []))

    def _left(self, stream: int) -> int:
        return _WINDOW + min(self.room[0], self.room[stream])

    def _is_over(self, stream: int) -> bool:
        return stream in self.statuses or stream in self.resets or self.closed.is_set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once the server has done something; fails after a while."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    async def listen(self) -> None:
        """Read what the server says, and answer its pings, until it closes the connection."""
        try:
            while True:
                frame, length = Frame.parse_frame_header(memoryview(await self.reader.readexactly(_HEADER_BYTES)))
                frame.parse_body(memoryview(await self.reader.readexactly(length)))
                self._hear(frame)
                self.changed.set()
        except (ConnectionError, asyncio.IncompleteReadError):
            self._end()

    def _hear(self, frame: Frame) -> None:
        match frame:
            case HeadersFrame():
                for name, value in self._decoder.decode(frame.data):
                    if name in ("grpc-status", b"grpc-status"):
                        self.statuses[frame.stream_id] = str(value)
            case RstStreamFrame():
                self.resets.add(frame.stream_id)
            case GoAwayFrame():
                self.goaway = frame.error_code, frame.additional_data
            case PingFrame() if "ACK" not in frame.flags:
                self.writer.write(PingFrame(0, opaque_data=frame.opaque_data, flags=["ACK"]).serialize())
            case SettingsFrame() if "ACK" not in frame.flags and self.acknowledges:
                self.writer.write(SettingsFrame(0, flags=["ACK"]).serialize())
                self.acknowledged = True
            case WindowUpdateFrame():
                self.room[frame.stream_id] += frame.window_increment
            case _:
                pass

    def _end(self) -> None:
        self.closed.set()
        self.changed.set()


@asynccontextmanager
async def attacking(address: str, settings: dict[int, int] | None = None, *, acknowledges: bool = True) -> AsyncIterator[Attacker]:
    """Open a connection with a preface and these settings, and hear what comes back."""
    async with connection(address) as (reader, writer):
        attacker = Attacker(reader, writer, acknowledges=acknowledges)
        await attacker.send(PREFACE, SettingsFrame(0, settings=settings or {}))
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(attacker.listen())
            await attacker.until(lambda: attacker.acknowledged or not acknowledges)
            yield attacker
            listening.cancel()


@asynccontextmanager
async def connection(address: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a bare connection."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


@dataclass(slots=True)
class Victim:
    """A server program, and one well-behaved client of it that never stops asking."""

    address: str
    process: psutil.Process
    rounds: int = 0
    _round: asyncio.Event = field(default_factory=asyncio.Event)
    _using: "asyncio.Task[None] | None" = None

    @asynccontextmanager
    async def used(self) -> AsyncIterator[None]:
        """Use it as long as the context lasts."""
        self._using = asyncio.create_task(self.use())
        self._using.add_done_callback(lambda _: self._round.set())
        try:
            yield
        finally:
            self._using.cancel()
            await asyncio.wait([self._using])

    async def use(self) -> None:
        """Store a job and read it again, for ever; raises where an answer is wrong."""
        # By default gRPC tries again ever less often.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 200)]
        async with grpc.aio.insecure_channel(self.address, options=options) as channel:
            stub: Any = job_service_pb2_grpc.JobServiceStub(channel)
            while True:
                wanted = spec(labels={"round": str(self.rounds)})
                await stub.Dispatch(job_service_pb2.DispatchRequest(spec=wanted), wait_for_ready=True)
                query = job_service_pb2.GetJobRequest(job_id=wanted.id, view=job_pb2.JOB_VIEW_FULL)
                job = (await stub.GetJob(query)).job
                assert (job.id, job.spec.payload, job.spec.labels["round"]) == (wanted.id, PAYLOAD, str(self.rounds))
                self.rounds += 1
                self._round.set()

    async def store(self, job: job_pb2.JobSpec) -> None:
        """Store one job more."""
        async with grpc.aio.insecure_channel(self.address) as channel:
            stub: Any = job_service_pb2_grpc.JobServiceStub(channel)
            await stub.Dispatch(job_service_pb2.DispatchRequest(spec=job))

    async def serves(self, rounds: int = 3, *, within: float = PATIENCE) -> None:
        """Return once the other client was served so often from now on."""
        assert self._using is not None
        wanted = self.rounds + rounds
        async with asyncio.timeout(within):
            while self.rounds < wanted and not self._using.done():
                self._round.clear()
                await self._round.wait()
        if self._using.done():
            self._using.result()

    def forget_peak(self) -> int:
        """Return how much memory it takes, bytes; its peak is measured from now on (proc(5), clear_refs)."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        return int(self.process.memory_info().rss)

    def peak(self) -> int:
        """Return the most memory that it took, bytes."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        [most] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
        return int(most) * 1024


@contextmanager
def server_program(directory: Path, settings: Sequence[tuple[str, str]]) -> Iterator[tuple[str, int]]:
    """Run `protojobs serve` on an empty memory store; gives its address and process id."""
    port = free_port()
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PROTOJOBS_")}
    told = {"DRIVER": "memory", "PORT": str(port), "ADMIN_PORT": "0", **dict(settings)}
    env = {**ours, **{f"PROTOJOBS_{name}": value for name, value in told.items()}}
    with (directory / "server.log").open("wb") as log:
        command = [str(Path(sys.executable).parent / "protojobs"), "serve"]
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield f"127.0.0.1:{port}", process.pid
        assert process.poll() is None, (directory / "server.log").read_text()
    finally:
        process.kill()
        process.wait()
