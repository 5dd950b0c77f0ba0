"""Too much of everything: sizes, metadata, calls, streams, time."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
from protojobs.v1 import job_service_pb2, server_service_pb2

from tests.wire.peer import Peer, connected, ended, memory_driver, refused, serving, spec, to_refusal, until

pytestmark = pytest.mark.asyncio

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
INFO = server_service_pb2.GetServerInfoRequest()


async def test_a_message_over_the_receive_limit_is_refused_and_the_connection_goes_on() -> None:
    async with serving() as peer:
        error = await refused(peer.dispatch(payload=b"x" * 5 * 1024 * 1024))

        assert error.code == EXHAUSTED
        assert (await peer.dispatch()).job_id


async def test_a_compressed_message_counts_by_its_real_size() -> None:
    async with serving() as peer:
        request = job_service_pb2.DispatchRequest(spec=spec(payload=b"\0" * 64 * 1024 * 1024))
        call = peer.jobs.Dispatch(request, compression=grpc.Compression.Gzip)

        assert (await refused(call)).code == EXHAUSTED
        assert (await peer.dispatch()).job_id


async def test_metadata_over_16_kib_is_refused() -> None:
    async with serving() as peer:
        fine = peer.info.GetServerInfo(INFO, metadata=(("x-mine", "a" * 7000),))
        flood = peer.info.GetServerInfo(INFO, metadata=(("x-mine", "a" * 17_000),))

        assert (await fine).version
        assert (await refused(flood)).code == EXHAUSTED
        assert (await peer.dispatch()).job_id


async def test_the_payload_limit_is_a_setting() -> None:
    async with serving(limits={"max_payload_bytes": 2048}) as peer:
        await peer.dispatch(payload=b"x" * 2048)
        error = await refused(peer.dispatch(payload=b"x" * 2049))
        info = await peer.info.GetServerInfo(INFO)

        assert (error.reason, error.metadata["limit"]) == ("PAYLOAD_TOO_LARGE", "2048")
        assert info.limits.max_payload_bytes == 2048


async def test_calls_beyond_the_bound_are_refused_at_once_and_told_when_to_come_again() -> None:
    driver = memory_driver()
    gate, inner = asyncio.Event(), driver.jobs.dispatch

    async def held(jobs: Any, *, atomic: bool = False) -> Any:
        await gate.wait()
        return await inner(jobs, atomic=atomic)

    driver.jobs.dispatch = held  # type: ignore[method-assign] # a store that is slow
    async with serving(driver, limits={"max_calls": 2}) as peer:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(_dispatch(peer)) for _ in range(2)]
            await until(lambda: _calls(peer), lambda calls: calls == 2)
            error = await refused(peer.dispatch())
            essential = await peer.info.GetServerInfo(INFO)
            gate.set()

        assert (error.code, error.reason, error.retry_after) == (EXHAUSTED, "OVERLOADED", timedelta(seconds=1))
        assert essential.version
        assert all(task.result() for task in running)
        assert (await peer.dispatch()).job_id


async def _dispatch(peer: Peer) -> str:
    return (await peer.dispatch()).job_id


async def _calls(peer: Peer) -> int:
    return peer.server.grpc.admission.calls


async def test_streams_have_a_bound_of_their_own() -> None:
    async with serving(limits={"max_streams": 1}) as peer:
        first = peer.jobs.DispatchStream()
        await first.read()
        second = peer.jobs.DispatchStream()

        error = await ended(second)
        unary = await peer.dispatch()

        assert (error.code, error.reason) == (EXHAUSTED, "OVERLOADED")
        assert unary.job_id
        await first.done_writing()
        assert await first.code() == grpc.StatusCode.OK
        third = peer.jobs.DispatchStream()
        assert (await third.read()).window


async def test_a_caller_that_calls_too_often_is_told_when_to_come_again_and_may_then() -> None:
    async with serving(limits={"rate": 2, "burst": 1}) as peer:
        error = to_refusal(await until(lambda: _fate(peer), lambda found: isinstance(found, grpc.aio.AioRpcError)))
        essential = await peer.info.GetServerInfo(INFO)
        taken = await until(lambda: _fate(peer), lambda found: not isinstance(found, BaseException))

    assert (error.code, error.reason, error.metadata) == (EXHAUSTED, "OVERLOADED", {"limit": "rate"})
    assert error.retry_after is not None
    assert timedelta() < error.retry_after <= timedelta(milliseconds=500)
    assert essential.version
    assert taken.job_id


async def _fate(peer: Peer) -> Any:
    """Return the answer to a call, or its error."""
    [found] = await asyncio.gather(peer.dispatch(), return_exceptions=True)
    return found


async def test_a_stream_over_its_callers_bytes_is_never_refused_for_them() -> None:
    async with serving(limits={"bytes_per_second": 1024 * 1024, "burst_bytes": 1}) as peer:
        stream = peer.jobs.DispatchStream()
        await stream.read()
        specs = [spec(payload=b"x" * 1024) for _ in range(100)]

        for seq, each in enumerate(specs, 1):
            await stream.write(job_service_pb2.DispatchStreamRequest(seq=seq, specs=[each]))
        await stream.done_writing()
        up_to = 0
        while (answer := await stream.read()) is not grpc.aio.EOF:
            up_to = answer.up_to_seq or up_to

    assert up_to == 100
    assert await stream.code() == grpc.StatusCode.OK


async def test_streams_of_one_caller_have_a_bound() -> None:
    async with serving(limits={"streams_per_caller": 1}) as peer:
        first = peer.jobs.DispatchStream()
        await first.read()

        error = await ended(peer.jobs.DispatchStream())
        await first.done_writing()
        assert await first.code() == grpc.StatusCode.OK
        after = peer.jobs.DispatchStream()

        assert (error.code, error.metadata) == (EXHAUSTED, {"limit": "streams_per_caller"})
        assert (await after.read()).window


async def test_a_call_without_a_deadline_gets_the_servers() -> None:
    driver = memory_driver()

    async def never(jobs: Any, *, atomic: bool = False) -> Any:
        await asyncio.Event().wait()

    driver.jobs.dispatch = never  # type: ignore[method-assign] # a store that hangs
    async with serving(driver, limits={"call_timeout": 1}) as peer:
        error = await refused(peer.dispatch())

        assert (error.code, error.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE")
        assert (await peer.info.GetServerInfo(INFO)).version


async def test_a_client_that_hangs_up_leaves_nothing_behind() -> None:
    async with serving() as peer:
        async with connected(peer.server) as other:
            streams = [other.jobs.DispatchStream() for _ in range(20)]
            for stream in streams:
                await stream.read()
            await until(lambda: _streams(peer), lambda streams: streams == 20)

        await until(lambda: _streams(peer), lambda streams: streams == 0)
        assert (await peer.dispatch()).job_id


async def _streams(peer: Peer) -> int:
    return peer.server.grpc.admission.streams
