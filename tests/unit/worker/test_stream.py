"""One stream: what it owes the server after frames that crossed."""

import asyncio
from typing import Any

import grpc
import pytest
from protojobs.v1 import worker_service_pb2 as wire
from protojobs_worker.stream import Stream, StreamEnded

pytestmark = pytest.mark.asyncio


class SlowCall:
    """A call whose writes take until they are let through."""

    def __init__(self) -> None:
        self.through = asyncio.Event()
        self.answers: asyncio.Queue[wire.LeaseResponse] = asyncio.Queue()

    async def write(self, frame: wire.LeaseRequest) -> None:
        await self.through.wait()

    def cancel(self) -> None:
        """Leave the writes alone, as gRPC does before there is a connection."""

    async def read(self) -> wire.LeaseResponse:
        return await self.answers.get()


class EndedCall(SlowCall):
    """A call that somebody on this side has cancelled."""

    async def write(self, frame: wire.LeaseRequest) -> None:
        raise asyncio.InvalidStateError

    async def read(self) -> Any:
        return grpc.aio.EOF

    async def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.CANCELLED

    async def details(self) -> str:
        return "Locally cancelled by application!"

    async def initial_metadata(self) -> None:
        """Have none."""

    async def trailing_metadata(self) -> None:
        """Have none."""


async def test_a_delivery_that_is_read_during_a_write_is_still_to_be_acknowledged() -> None:
    call: Any = SlowCall()
    stream = Stream(call, lambda: 100.0)

    async with asyncio.TaskGroup() as group:
        group.create_task(stream.write(wire.LeaseRequest(), 0))
        await asyncio.sleep(0)
        call.answers.put_nowait(wire.LeaseResponse(seq=1, deliver=wire.Deliver()))
        await stream.read()
        stream.delivered(200.0)
        call.through.set()
    crossed = stream.receipt_at
    await stream.write(wire.LeaseRequest(), 0)

    assert crossed == 100.0
    assert stream.receipt_at is None


async def test_a_stream_that_is_dropped_while_it_waits_for_a_connection_ends() -> None:
    call: Any = SlowCall()
    stream = Stream(call)

    async def greet() -> str:
        with pytest.raises(StreamEnded):
            await stream.hello(wire.LeaseRequest())
        return "goes on"

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        greeting = group.create_task(greet())
        await asyncio.sleep(0)
        stream.cancel()

    assert greeting.result() == "goes on"


@pytest.mark.parametrize("leaves", [Stream.cancel, Stream.leave])
async def test_a_stream_that_the_worker_has_left_ends_without_an_error_whatever_its_call_says(leaves: Any) -> None:
    call: Any = EndedCall()
    stream = Stream(call)
    leaves(stream)

    with pytest.raises(StreamEnded) as of_write:
        await stream.write(wire.LeaseRequest(), 0)
    with pytest.raises(StreamEnded) as of_read:
        await stream.read()

    assert (of_write.value.error, of_read.value.error) == (None, None)


async def test_a_stream_that_the_worker_has_not_left_ends_with_what_its_call_says() -> None:
    call: Any = EndedCall()

    with pytest.raises(StreamEnded) as end:
        await Stream(call).read()

    assert end.value.error is not None
    assert end.value.error.message.startswith("Locally cancelled")
