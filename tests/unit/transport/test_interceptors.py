"""What is around every RPC, without a network."""

import asyncio
from datetime import timedelta
from typing import Any, cast

import grpc
import pytest
from protojobs.v1 import job_service_pb2
from protojobs_service.domain.errors import Draining, Overloaded
from protojobs_service.port.deadline import seconds_left
from protojobs_service.transport.call import Call, Rpc
from protojobs_service.transport.interceptors import Admission, CutAtDrain, Deadline, Drain
from protojobs_service.transport.procedures import generic_handler, procedures
from protojobs_service.transport.status import DeadlinePassed

pytestmark = pytest.mark.asyncio

SERVICE = job_service_pb2.DESCRIPTOR.services_by_name["JobService"]


class FakeContext:
    """A call's context without a call."""

    def __init__(self, remaining: float | None = None, address: str = "ipv4:192.0.2.1:4711") -> None:
        self.remaining = remaining
        self.address = address

    def time_remaining(self) -> float | None:
        return self.remaining

    def peer(self) -> str:
        return self.address


def _call(request: bytes = b"", *, remaining: float | None = None, address: str = "ipv4:192.0.2.1:4711", **rpc: Any) -> Call:
    described = Rpc(
        **{
            "path": "/x/Y",
            "request": job_service_pb2.GetJobRequest,
            "streams_in": False,
            "streams_out": False,
            "takes_bytes": False,
            "waits": 0.0,
            "essential": False,
            "ends_work": False,
            "cut_at_drain": False,
            **rpc,
        }
    )
    return Call(described, request, cast(Any, FakeContext(remaining, address)))


async def _never(call: Call) -> Any:
    await asyncio.Event().wait()


async def _at_once(call: Call) -> Any:
    return b"done"


async def test_a_call_without_a_deadline_is_ended() -> None:
    with pytest.raises(DeadlinePassed):
        await Deadline(timedelta(milliseconds=1))(_call(), _never)


@pytest.mark.parametrize("call", [_call(remaining=60.0), _call(streams_in=True), _call(streams_out=True)])
async def test_a_call_with_a_deadline_and_a_stream_are_left_alone(call: Call) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await Deadline(timedelta(milliseconds=1))(call, _never)


@pytest.mark.parametrize(
    ("call", "most"),
    [(_call(remaining=4.0), 4.0), (_call(), 60.0), (_call(waits=20.0), 80.0), (_call(streams_out=True), None)],
    ids=["its own", "the server's", "a long poll", "a stream"],
)
async def test_the_store_is_told_how_long_the_caller_waits(call: Call, most: float | None) -> None:
    async def look(call: Call) -> Any:
        return seconds_left()

    left = await Deadline(timedelta(seconds=60))(call, look)

    assert left is None if most is None else most - 1 < left <= most
    assert seconds_left() is None


async def test_a_timeout_of_the_handlers_own_is_not_a_deadline() -> None:
    async def fail(call: Call) -> Any:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await Deadline(timedelta(seconds=60))(_call(), fail)


async def test_a_call_that_only_waits_is_cut_when_the_server_goes() -> None:
    drain = Drain()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(_swallow(CutAtDrain(drain)(_call(cut_at_drain=True), _never)))
        await asyncio.sleep(0)
        drain.begin()

    assert isinstance(waiting.result(), Draining)
    assert isinstance(await _swallow(CutAtDrain(drain)(_call(cut_at_drain=True), _never)), Draining)


async def _swallow(call: Any) -> BaseException | None:
    try:
        await call
    except Exception as error:  # noqa: BLE001 # it is what is asked for
        return error
    return None


async def test_calls_and_bytes_and_streams_are_counted_apart_and_given_back() -> None:
    admission = Admission(max_calls=2, max_bytes=10, max_streams=1)
    inside: list[tuple[int, int, int]] = []

    async def look(call: Call) -> Any:
        inside.append((admission.calls, admission.call_bytes, admission.streams))

    await admission(_call(b"12345"), look)
    await admission(_call(streams_in=True), look)

    assert inside == [(1, 5, 0), (0, 0, 1)]
    assert (admission.calls, admission.call_bytes, admission.streams) == (0, 0, 0)


@pytest.mark.parametrize(
    ("admission", "call"),
    [
        (Admission(0, 10, 1), _call()),
        (Admission(5, 10, 1, calls=1, call_bytes=8), _call(b"123")),
        (Admission(5, 10, 1, streams=1), _call(streams_out=True)),
        (Admission(5, 10, 1, waiting=1), _call(waits=60.0)),
        (Admission(4, 10, 1, calls=5), _call(ends_work=True)),
        (Admission(9, 8, 1, calls=1, call_bytes=8), _call(b"123", ends_work=True)),
    ],
    ids=["calls", "bytes", "streams", "calls that wait", "calls that end work", "bytes that end work"],
)
async def test_what_is_too_much_is_refused_and_counted(admission: Admission, call: Call) -> None:
    with pytest.raises(Overloaded):
        await admission(call, _at_once)

    assert admission.refused == 1


async def test_calls_that_wait_take_nothing_from_those_that_do_something() -> None:
    admission = Admission(max_calls=1, max_bytes=10, max_streams=3)
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(admission(_call(b"12345", waits=60.0), _never)) for _ in range(3)]
        await asyncio.sleep(0)

        assert await admission(_call(b"1234567890"), _at_once) == b"done"

        for each in waiting:
            each.cancel()
    assert admission.waiting == 0


async def test_work_ends_while_new_work_is_refused() -> None:
    admission = Admission(max_calls=4, max_bytes=8, max_streams=1, calls=4, call_bytes=8)

    assert await admission(_call(b"12", ends_work=True), _at_once) == b"done"
    with pytest.raises(Overloaded):
        await admission(_call(), _at_once)


async def test_no_caller_has_all_calls_that_there_may_be() -> None:
    admission = Admission(max_calls=8, max_bytes=100, max_streams=1)
    async with asyncio.TaskGroup() as tasks:
        flood = [tasks.create_task(admission(_call(b"1"), _never)) for _ in range(6)]
        await asyncio.sleep(0)

        with pytest.raises(Overloaded) as refused:
            await admission(_call(b"1"), _at_once)
        answer = await admission(_call(b"1", address="ipv4:192.0.2.2:4711"), _at_once)
        ending = await admission(_call(b"1", ends_work=True), _at_once)

        for each in flood:
            each.cancel()
    assert refused.value.metadata == {"limit": "calls_at_once"}
    assert answer == ending == b"done"
    assert not admission.by_caller


async def test_one_large_call_alone_is_taken_and_an_essential_one_always() -> None:
    assert await Admission(1, 2, 0)(_call(b"12345"), _at_once) == b"done"
    assert await Admission(0, 0, 0)(_call(essential=True), _at_once) == b"done"


async def test_a_service_has_a_handler_for_every_rpc_of_its_descriptor() -> None:
    handler = generic_handler(SERVICE, procedures(SERVICE, object(), ()))

    for method in SERVICE.methods:
        found = handler.service(cast(grpc.HandlerCallDetails, _Details(f"/{SERVICE.full_name}/{method.name}")))
        assert found is not None
        assert (found.request_streaming, found.response_streaming) == (method.client_streaming, method.server_streaming)


class _Details:
    invocation_metadata = ()

    def __init__(self, method: str) -> None:
        self.method = method
