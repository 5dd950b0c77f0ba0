"""A fake server, and workers that are stopped when the test is over."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from protojobs_worker import ExitReason, Worker

from tests.unit.worker.fake_server import FakeServer, fake_server

Running = Callable[..., Any]


class Raises:
    """Stands for an application's tracer, span or instrument of which nothing works."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeServer]:
    """Serve on loopback for one test."""
    async with fake_server() as server:
        yield server


@asynccontextmanager
async def serving(worker: Worker) -> AsyncIterator["asyncio.Task[ExitReason]"]:
    """Run a worker; whatever it still does at the end is dropped."""
    task = asyncio.get_running_loop().create_task(worker.serve())
    try:
        yield task
    finally:
        if not task.done():
            worker.stop(now=True)
        async with asyncio.timeout(20):
            await task


@pytest.fixture
def noop_worker(server: FakeServer) -> Worker:
    """Make a worker with one handler that does nothing."""
    worker = Worker(server.address, concurrency=4, name="tester", session_ttl=30)

    @worker.handler("noop", inline=True)
    def noop() -> None:
        return None

    return worker
