"""A running server for wire tests: on memory, and on SQLite."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from protojobs_service.compose import RunningServer, start_server

from tests.schema import make_sqlite
from tests.wire.peer import Peer, connected, settings_for


@pytest.fixture(autouse=True)
def everything_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server log all that it can: what it must not say it must not say at any level."""
    monkeypatch.setattr(logging.getLogger("protojobs_service"), "level", logging.DEBUG)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest) -> str:
    """Return the name of the driver under test."""
    return str(request.param)


@pytest_asyncio.fixture
async def server(store: str, tmp_path: Path) -> AsyncIterator[RunningServer]:
    """Run a server over an empty store."""
    settings = settings_for(driver=store, sqlite={"path": tmp_path / "jobs.db"})
    if store != "memory":
        make_sqlite(tmp_path / "jobs.db")
    async with start_server(settings) as running:
        yield running


@pytest_asyncio.fixture
async def peer(server: RunningServer) -> AsyncIterator[Peer]:
    """Speak to the server."""
    async with connected(server) as connection:
        yield connection
