"""Peers that keep no rule of HTTP/2: the server stays small, serves others all the while, and sends them away where it can tell."""

import asyncio
import gzip
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import psutil
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame
from protojobs.v1 import job_pb2, job_service_pb2

from tests.wire.peer import DISPATCH, PATIENCE, spec
from tests.wire.raw import PREFACE, Victim, attacking, connection, message, server_program

pytestmark = pytest.mark.asyncio

GET_JOB = "/protojobs.v1.JobService/GetJob"
MIB = 1024 * 1024
MOST_MORE = 100 * MIB
ENHANCE_YOUR_CALM = 11
INITIAL_WINDOW_SIZE = 4
EXHAUSTED, UNAVAILABLE = "8", "14"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Run one server for all floods: it has to outlive each."""
    with server_program(tmp_path_factory.mktemp("floods"), [("LIMITS__MAX_ANSWER_BYTES", str(64 * MIB))]) as running:
        yield running


@pytest_asyncio.fixture
async def victim(program: tuple[str, int]) -> AsyncIterator[Victim]:
    """Use the server through the whole test, and see afterwards that it has not grown and serves on."""
    address, pid = program
    victim = Victim(address, psutil.Process(pid))
    async with victim.used():
        await victim.serves(within=45)  # it may still be starting
        before = victim.forget_peak()
        yield victim
        await victim.serves()
    grown = victim.peak() - before
    assert grown < MOST_MORE, f"{grown / MIB:.0f} MiB more"


def _framed(request: Message) -> bytes:
    return message(request.SerializeToString())


async def test_thousands_of_calls_that_are_opened_and_reset(victim: Victim) -> None:
    begun = _framed(job_service_pb2.DispatchRequest(spec=spec()))
    async with attacking(victim.address) as attacker:
        for stream in range(1, 10_000, 2):
            body = DataFrame(stream, data=begun, flags=["END_STREAM"] if stream % 4 == 1 else [])
            if not await attacker.send(*attacker.headers(stream, DISPATCH), body, RstStreamFrame(stream, error_code=8)):
                break
        await victim.serves()


async def test_a_flood_of_pings_is_sent_away(victim: Victim) -> None:
    async with attacking(victim.address) as attacker:
        for n in range(4):  # few enough to read the answer before the connection is cut
            await attacker.send(PingFrame(0, opaque_data=n.to_bytes(8)))
        await attacker.until(lambda: attacker.goaway is not None)
        while await attacker.send(PingFrame(0, opaque_data=b"and more")):
            pass
        await victim.serves()

    assert attacker.goaway == (ENHANCE_YOUR_CALM, b"too_many_pings")


async def test_a_flood_of_settings(victim: Victim) -> None:
    async with attacking(victim.address) as attacker:
        for n in range(200):
            frames = (SettingsFrame(0, settings={INITIAL_WINDOW_SIZE: 65_535 - n % 2}) for _ in range(100))
            if not await attacker.send(*frames):
                break
        await victim.serves()


async def test_headers_that_never_end_are_not_kept(victim: Victim) -> None:
    async with attacking(victim.address) as attacker:
        # Literals without indexing (RFC 7541, 6.2.2): a name of one byte, a value of 100.
        piece = b"\x00\x01a\x64" + b"v" * 100
        await attacker.send(HeadersFrame(1, data=piece))
        more = b"".join(ContinuationFrame(1, data=piece * 150).serialize() for _ in range(64))
        taken = 0
        while taken < 2 * MOST_MORE and await attacker.send(more):
            taken += len(more)
        await victim.serves()

    assert set(attacker.statuses.values()) <= {UNAVAILABLE, EXHAUSTED}


@pytest.mark.parametrize("acknowledges", [True, False], ids=["settings acknowledged", "settings ignored"])
async def test_metadata_of_a_megabyte_are_refused(victim: Victim, acknowledges: bool) -> None:
    async with attacking(victim.address, acknowledges=acknowledges) as attacker:
        request = _framed(job_service_pb2.GetJobRequest(job_id="x"))
        streams = range(1, 20, 2)
        for stream in streams:
            await attacker.send(*attacker.call(stream, GET_JOB, request, ("x-large", "v" * MIB)))
            await attacker.until(lambda: stream in attacker.statuses)  # noqa: B023 # it is awaited here
        await victim.serves()

    assert attacker.statuses == dict.fromkeys(streams, EXHAUSTED)


async def test_answers_that_nobody_reads_are_bounded(victim: Victim) -> None:
    large = spec(payload=b"x" * 1_000_000)
    await victim.store(large)
    request = _framed(job_service_pb2.GetJobRequest(job_id=large.id, view=job_pb2.JOB_VIEW_FULL))
    async with attacking(victim.address, {INITIAL_WINDOW_SIZE: 0}) as attacker:
        for stream in range(1, 600, 2):
            await attacker.send(*attacker.call(stream, GET_JOB, request))
        # A fourth of 64 MiB may stay unread. Statuses are no data, so that no window keeps them back.
        await attacker.until(lambda: len(attacker.statuses) >= 300 - 16)
        await victim.serves()

    assert set(attacker.statuses.values()) == {EXHAUSTED}


async def test_a_message_that_says_it_has_four_gigabytes_is_refused_before_it_comes(victim: Victim) -> None:
    async with attacking(victim.address) as attacker:
        await attacker.send(*attacker.headers(1, DISPATCH))
        await attacker.send(DataFrame(1, data=message(b"\0" * 10_000, length=0xFFFF_FFFF)))
        await attacker.until(lambda: 1 in attacker.statuses)
        await victim.serves()

    assert attacker.statuses[1] == EXHAUSTED


async def test_zeros_that_are_compressed_to_the_thousandth_part_are_refused(victim: Victim) -> None:
    bomb = message(gzip.compress(bytes(160 * MIB), 6), compressed=True)
    assert len(bomb) < 4 * MIB, "it would be refused for its own size"
    async with attacking(victim.address) as attacker:
        await attacker.send(*attacker.headers(1, DISPATCH, ("grpc-encoding", "gzip")))
        await attacker.upload(1, bomb)
        await attacker.until(lambda: 1 in attacker.statuses)
        await victim.serves()

    assert attacker.statuses[1] == EXHAUSTED


@pytest.mark.parametrize("first", [b"", PREFACE], ids=["from the start", "after the preface"])
async def test_garbage_ends_the_connection(victim: Victim, first: bytes) -> None:
    garbage = random.Random(1).randbytes(MIB)
    async with connection(victim.address) as (reader, writer):
        try:
            writer.write(first + garbage)
            await writer.drain()
            async with asyncio.timeout(PATIENCE):
                while await reader.read(65_536):
                    pass
        except ConnectionError:
            pass
        await victim.serves()


async def test_connections_that_say_nothing_are_closed(victim: Victim) -> None:
    async with AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(connection(victim.address)) for _ in range(200)]
        for _, writer in silent[::2]:
            writer.write(PREFACE[:10])
        await victim.serves()

        async with asyncio.timeout(2 * PATIENCE):
            await asyncio.gather(*(_ends(reader) for reader, _ in silent))


async def _ends(reader: asyncio.StreamReader) -> None:
    try:
        while await reader.read(65_536):
            pass
    except ConnectionError:
        pass
