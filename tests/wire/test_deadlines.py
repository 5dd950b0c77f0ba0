"""Calls whose statement does not come to its end in time: the caller is told, and the store works for nobody."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
import pytest_asyncio
from protojobs.v1 import job_service_pb2
from protojobs_service.compose import start_server, upgrade_schema
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from tests.unit.drivers.kit import SERVERS
from tests.wire.peer import Peer, connected, refused, settings_for, spec

pytestmark = pytest.mark.asyncio

LOCK = {
    "postgresql": "lock table protojobs.job in access exclusive mode",
    "mysql": "lock tables job write",
}
WAITING = {
    "postgresql": "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
    "mysql": "select count(*) from information_schema.processlist where state like 'Waiting for table%' and db = database()",
}
LIMITS = {"call_timeout": 1}


@pytest_asyncio.fixture(params=SERVERS)
async def url(request: pytest.FixtureRequest) -> str:
    """Return the address of an empty database on each server."""
    return str(request.getfixturevalue(f"{request.param}_dsn"))


@pytest_asyncio.fixture
async def peer(url: str) -> AsyncIterator[Peer]:
    """Speak to a server on it, which gives calls without a deadline one second."""
    name = "postgres" if url.startswith("postgresql") else "mysql"
    dsn = url.replace("+asyncpg", "").replace("+asyncmy", "")
    store: dict[str, Any] = {"driver": name, name: {"dsn": dsn}}
    await upgrade_schema(settings_for(**store))
    async with start_server(settings_for(limits=LIMITS, **store)) as server, connected(server) as peer:
        yield peer


@asynccontextmanager
async def _locked(url: str) -> AsyncIterator[AsyncConnection]:
    """Hold the table of jobs, and give a connection that sees who waits for it."""
    dialect = make_url(url).get_backend_name()
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as holder, engine.connect() as watcher:
        await holder.execute(text(LOCK[dialect]))
        yield await watcher.execution_options(isolation_level="AUTOCOMMIT")
    await engine.dispose()


async def _waiting(watcher: AsyncConnection) -> int:
    found: int = (await watcher.execute(text(WAITING[watcher.dialect.name]))).scalar_one()
    return found


@pytest.mark.parametrize("patience", [None, 2.0], ids=["the server's", "the caller's"])
async def test_a_call_that_waits_for_a_lock_ends_with_its_deadline_and_so_does_its_statement(
    peer: Peer, url: str, patience: float | None
) -> None:
    job_id = (await peer.jobs.Dispatch(job_service_pb2.DispatchRequest(spec=spec()), timeout=30)).job_id
    request = job_service_pb2.GetJobRequest(job_id=job_id)
    async with _locked(url) as watcher:
        call = asyncio.ensure_future(refused(peer.jobs.GetJob(request, timeout=patience)))
        was_waiting = False
        while not call.done():
            was_waiting = bool(await _waiting(watcher)) or was_waiting
        error = await call
        async with asyncio.timeout(10):
            while await _waiting(watcher):
                pass

    assert was_waiting
    assert error.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert (await peer.get(job_id)).id == job_id
