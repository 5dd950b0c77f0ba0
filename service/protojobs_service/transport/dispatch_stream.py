"""The fast road for producers: frames in, acknowledgements out, several frames on their way to the store at once."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from protojobs.v1 import job_service_pb2

from protojobs_service.application import Answer, Dispatch, Dispatched, DispatchVerdict
from protojobs_service.domain import bounds
from protojobs_service.domain.errors import Draining, InvalidField, JobsError
from protojobs_service.domain.job import Draft
from protojobs_service.transport import wire
from protojobs_service.transport.call import Context
from protojobs_service.transport.ids import format_id
from protojobs_service.transport.interceptors import Drain
from protojobs_service.transport.job_access import judge_items
from protojobs_service.transport.permissions import access
from protojobs_service.transport.results import place_errors, read_specs, to_result
from protojobs_service.transport.specs import Specs
from protojobs_service.transport.status import MalformedMessage

_MAX_BYTES = 64 * 1024 * 1024
"""Bytes of specs of one stream on their way to the store; the first frame is taken whatever its size."""


@dataclass(slots=True)
class _Frame:
    """A frame on its way: what its specs became, and the answers once they are stored."""

    seq: int
    specs: Sequence[bytes]
    items: list[Draft | JobsError]
    stored: asyncio.Task[Sequence[Answer] | JobsError]
    size: int


class DispatchStream:
    """One stream of one producer.

    Frames are stored concurrently and acknowledged in order, after their commit. With too much unacknowledged nothing is read, so
    the producer feels it. A stream that ends early acknowledges first what it has committed; everything else may be sent again.
    """

    def __init__(self, dispatch: Dispatch, specs: Specs, drain: Drain, window: int) -> None:
        self._dispatch = dispatch
        self._specs = specs
        self._drain = drain
        self._window = window
        self._judge = access()
        self._frames: deque[_Frame] = deque()
        self._jobs = 0
        self._bytes = 0
        self._last_seq = 0
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._end: JobsError | None = None

    async def run(self, frames: AsyncIterator[bytes], context: Context) -> None:
        """Serve the stream to its end. Raises what the stream must end with."""
        await context.write(job_service_pb2.DispatchStreamResponse(window=self._window))
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read(frames, tasks))
            tasks.create_task(self._acknowledge(context, reading))
            with self._drain.calling(reading.cancel):
                await asyncio.wait([reading])
            if reading.cancelled() and self._end is None:
                self._end = Draining()
            self._arrived.set()
        if self._end is not None:
            raise self._end

    async def _read(self, frames: AsyncIterator[bytes], tasks: asyncio.TaskGroup) -> None:
        try:
            async for data in frames:
                self._take(data, tasks)
                while self._jobs >= self._window or self._bytes >= _MAX_BYTES:
                    self._room.clear()
                    await self._room.wait()
        except JobsError as error:
            self._end = error

    def _take(self, data: bytes, tasks: asyncio.TaskGroup) -> None:
        try:
            frame = wire.DispatchStreamRequest.FromString(data)
        except DecodeError:
            raise MalformedMessage from None
        if frame.seq <= self._last_seq:
            raise InvalidField("seq", "must grow from frame to frame, from 1")
        # A list, because each look into a repeated field makes new bytes.
        specs = list(frame.specs)
        if not 1 <= len(specs) <= bounds.MAX_BATCH_ITEMS:
            raise InvalidField("specs", f"must be 1 to {bounds.MAX_BATCH_ITEMS} items")
        self._last_seq = frame.seq
        items = judge_items(read_specs(self._specs, specs), self._judge)
        drafts = [item for item in items if not isinstance(item, JobsError)]
        stored = tasks.create_task(self._store(drafts))
        self._frames.append(_Frame(frame.seq, specs, items, stored, len(data)))
        self._jobs += len(specs)
        self._bytes += len(data)
        self._arrived.set()

    async def _store(self, drafts: Sequence[Draft]) -> Sequence[Answer] | JobsError:
        # An error is a value here: raised it would cancel the frames before this one, which may be committed.
        try:
            return await self._dispatch.many(drafts) if drafts else ()
        except JobsError as error:
            return error

    async def _acknowledge(self, context: Context, reading: asyncio.Task[None]) -> None:
        while True:
            while not self._frames:
                if reading.done():
                    return
                self._arrived.clear()
                await self._arrived.wait()
            response = job_service_pb2.DispatchStreamResponse(window=self._window)
            lost = False
            await asyncio.wait([self._frames[0].stored])
            while self._frames and self._frames[0].stored.done():
                frame = self._frames.popleft()
                answers = frame.stored.result()
                if isinstance(answers, JobsError):
                    # Its outcome is unknown, so the stream ends here and the producer sends again what is not acknowledged.
                    self._end, lost = answers, True
                    break
                _add_results(response, frame, answers)
                self._jobs -= len(frame.specs)
                self._bytes -= frame.size
            self._room.set()
            if response.up_to_seq:
                await context.write(response)
            if lost:
                reading.cancel()
                return


def _add_results(response: job_service_pb2.DispatchStreamResponse, frame: _Frame, answers: Sequence[Answer]) -> None:
    response.up_to_seq = frame.seq
    for index, (item, answer) in enumerate(zip(frame.items, place_errors(frame.items, answers), strict=True)):
        if (
            isinstance(answer, Dispatched)
            and answer.verdict is DispatchVerdict.CREATED
            and isinstance(item, Draft)
            and item.job.envelope is frame.specs[index]
        ):
            continue
        job_id = "" if isinstance(item, JobsError) else format_id(item.job.id)
        response.results.add(seq=frame.seq, index=index, result=to_result(job_id, answer, f"specs[{index}]"))
