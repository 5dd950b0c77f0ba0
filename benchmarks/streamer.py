"""Many Lease streams in one process, each a session of its own: `python -m benchmarks.streamer JSON`. SIGTERM ends it.

They are as light as streams can be: a job is begun when it is delivered and settled in the next frame. A stream that the server
refuses for now is opened again when the server says so, as often as `tries` allows.
"""

import asyncio
import os
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import grpc
import orjson
from protojobs.v1 import worker_service_pb2 as wire
from protojobs_client import Options, ProtoJobsError
from protojobs_client.connection import Connection
from protojobs_client.statuses import translate

from benchmarks.extras import telemetry
from benchmarks.requests import spread_names
from benchmarks.usage import own_cpu_s
from benchmarks.worker import ROWS
from tests.checker import Recorder

if TYPE_CHECKING:
    Call = grpc.aio.StreamStreamCall[wire.LeaseRequest, wire.LeaseResponse]

AGAIN_AFTER_S: Final = 0.1
OPENED_AT_ONCE: Final = 8
UNSEEN: Final = "Internal error from Core"
"""What gRPC for Python makes of a stream that has ended when it is written to: it no longer tells how it ended."""


class Tally:
    """What all streams together have seen."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, float]] = []
        self.opened = 0
        self.refusals: list[ProtoJobsError] = []
        self.unseen = 0
        self.answers = Counter[str]()


class LightStream:
    """One session with one stream."""

    def __init__(self, connection: Connection, config: dict[str, Any], queues: Sequence[str], tally: Tally) -> None:
        self._connection = connection
        self._config = config
        self._queues = queues
        self._tally = tally
        self._writing = asyncio.Lock()
        self._seq = self._received = self._started = 0
        self._interval = 1.0
        self._call: Call | None = None

    async def open(self) -> bool:
        """Open it; return False if the server refuses it as often as it is tried."""
        for _ in range(self._config.get("tries", 1)):
            try:
                await self._hello()
            except grpc.aio.AioRpcError as error:
                if error.details() == UNSEEN:
                    self._tally.unseen += 1
                    await asyncio.sleep(AGAIN_AFTER_S)
                    continue
                refusal = translate(error)
                self._tally.refusals.append(refusal)
                if refusal.retry_after is None:
                    return False
                await asyncio.sleep(refusal.retry_after.total_seconds())
            else:
                self._tally.opened += 1
                return True
        return False

    async def serve(self, over: asyncio.Event) -> None:
        """Run jobs until it is over."""
        assert self._call is not None
        async with asyncio.TaskGroup() as group:
            pinging = group.create_task(self._ping())
            leaving = group.create_task(self._leave(over, pinging))
            while isinstance(frame := await self._call.read(), wire.LeaseResponse):
                self._received = frame.seq
                match frame.WhichOneof("frame"):
                    case "deliver":
                        await self._run(frame.deliver)
                    case "settled":
                        await self._hear(frame.settled)
                    case _:
                        pass
            pinging.cancel()
            leaving.cancel()
        if (code := await self._call.code()) is not grpc.StatusCode.OK:
            raise RuntimeError(f"a stream has ended with {code.name}: {await self._call.details()}")

    async def _hello(self) -> None:
        self._seq = self._received = self._started = 0
        self._call = self._connection.workers.Lease()
        hello = wire.Hello(
            session_id=os.urandom(16),
            worker=self._config["name"],
            sdk="light",
            sdk_version="1",
            queues=[wire.QueueSubscription(name=queue) for queue in self._queues],
            window=wire.Window(max_in_flight=self._config["window"]),
            slots=self._config["window"],
            stream_no=1,
        )
        try:
            await self._write(wire.LeaseRequest(hello=hello))
            frame = await self._call.read()
        except asyncio.InvalidStateError:
            frame = grpc.aio.EOF
        if not isinstance(frame, wire.LeaseResponse):
            raise grpc.aio.AioRpcError(
                await self._call.code(),
                await self._call.initial_metadata(),
                await self._call.trailing_metadata(),
                await self._call.details(),
            )
        self._received = frame.seq
        self._interval = frame.welcome.heartbeat_interval.ToTimedelta().total_seconds()

    async def _write(self, frame: wire.LeaseRequest) -> None:
        assert self._call is not None
        async with self._writing:
            self._seq += 1
            frame.seq, frame.received_seq, frame.started_seq = self._seq, self._received, self._started
            with suppress(asyncio.InvalidStateError):  # the server has ended the stream: who reads learns how
                await self._call.write(frame)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self._write(wire.LeaseRequest(ping=wire.Ping()))

    async def _leave(self, over: asyncio.Event, pinging: asyncio.Task[None]) -> None:
        assert self._call is not None
        await over.wait()
        pinging.cancel()  # nothing may be written behind the last frame
        await self._write(wire.LeaseRequest(goodbye=wire.Goodbye(mode=wire.GOODBYE_MODE_RELEASE)))
        with suppress(asyncio.InvalidStateError):
            await self._call.done_writing()

    async def _run(self, deliver: wire.Deliver) -> None:
        now = monotonic()
        by_attempt: dict[int, list[str]] = defaultdict(list)
        for job in deliver.items:
            self._tally.rows.append((job.job_id, job.attempt, now))
            by_attempt[job.attempt].append(job.job_id)
        self._started += len(deliver.items)
        await self._settle(by_attempt)

    async def _settle(self, by_attempt: dict[int, list[str]]) -> None:
        groups = [wire.CompletedGroup(attempt=attempt, job_ids=jobs) for attempt, jobs in by_attempt.items()]
        await self._write(wire.LeaseRequest(settle=wire.Settle(completed=groups)))

    async def _hear(self, settled: wire.Settled) -> None:
        again: dict[int, list[str]] = defaultdict(list)
        for group in settled.groups:
            self._tally.answers[wire.SettleCode.Name(group.code)] += len(group.job_ids)
            if group.code == wire.SETTLE_CODE_RETRY_LATER:
                again[group.attempt] += group.job_ids
        for item in settled.items:
            self._tally.answers[wire.SettleCode.Name(item.code)] += 1
            if item.code == wire.SETTLE_CODE_RETRY_LATER:
                again[item.attempt].append(item.job_id)
        if again:
            await asyncio.sleep(AGAIN_AFTER_S)
            await self._settle(again)


def queues_of_streams(config: dict[str, Any]) -> Iterator[Sequence[str]]:
    """Yield what each stream reads: all the same queue, or 100 each of those that `spread` names."""
    if (spread := config.get("spread")) is not None:
        names, each = spread_names(*spread), -(-spread[1] // config["streams"])
        yield from (names[first : first + each] for first in range(0, len(names), each))
    else:
        yield from repeat([config["queue"]], config["streams"])


async def main(config: dict[str, Any]) -> None:
    """Open so many streams, serve until told to end, then write history and usage."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    tally, connection = Tally(), Connection(Options.from_env())
    room = asyncio.Semaphore(OPENED_AT_ONCE)

    async def live(stream: LightStream) -> None:
        async with room:
            is_open = await stream.open()
        if is_open:
            await stream.serve(over)

    with Recorder(Path(config["history"]), config["name"], session=config["name"]) as recorder, telemetry():
        recorder.write("session", t=0.0, slots=config["window"] * config["streams"])
        used = own_cpu_s()
        async with asyncio.TaskGroup() as group:
            for queues in queues_of_streams(config):
                group.create_task(live(LightStream(connection, config, queues, tally)))
        await connection.close()
        used = own_cpu_s() - used
        for first in range(0, len(tally.rows), ROWS):
            recorder.write_rows("ran", tally.rows[first : first + ROWS])
        for refusal in tally.refusals:
            recorder.write("call", "fail", code=refusal.code.name, reason=refusal.reason)
        with_hint = sum(refusal.retry_after is not None for refusal in tally.refusals)
        told: dict[str, Any] = {
            "opened": tally.opened,
            "ended_unseen": tally.unseen,
            "messages": Counter(f"{refusal.code.name}: {refusal.message}" for refusal in tally.refusals),
            "refused": len(tally.refusals),
            "with_retry_info": with_hint,
            "settles": tally.answers,
        }
        recorder.write("noted", what="streams", queue=config["queue"], **told)
        recorder.write("noted", what="usage", role=config.get("role", "workers"), queue=config["queue"], cpu_s=used)


if __name__ == "__main__":
    asyncio.run(main(orjson.loads(sys.argv[1])))
