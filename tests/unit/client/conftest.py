"""The fake server, and clients of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from threading import Thread

import pytest
import pytest_asyncio
from protojobs_client import AsyncClient, Client, Options

from tests.unit.client.fake import FakeServer


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeServer]:
    """Run the fake server on the test's event loop."""
    fake = FakeServer()
    await fake.start()
    yield fake
    await fake.stop()


@pytest_asyncio.fixture
async def client(server: FakeServer) -> AsyncIterator[AsyncClient]:
    """Give the test a client of the fake server."""
    async with AsyncClient(options=Options(address=server.address)) as connected:
        yield connected


@pytest.fixture
def far_server() -> Iterator[FakeServer]:
    """Run the fake server on an event loop of its own, for tests that block."""
    started = Future[tuple[FakeServer, asyncio.AbstractEventLoop, asyncio.Event]]()

    async def main() -> None:
        fake = FakeServer()
        await fake.start()
        stop = asyncio.Event()
        started.set_result((fake, asyncio.get_running_loop(), stop))
        await stop.wait()
        await fake.stop()

    thread = Thread(target=lambda: asyncio.run(main()))
    thread.start()
    fake, loop, stop = started.result()
    yield fake
    loop.call_soon_threadsafe(stop.set)
    thread.join()


@pytest.fixture
def blocking_client(far_server: FakeServer) -> Iterator[Client]:
    """Give the test a blocking client of the fake server."""
    with Client(options=Options(address=far_server.address)) as connected:
        yield connected
