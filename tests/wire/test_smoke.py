"""`protojobs smoke` against a server that asks who calls."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from protojobs_service.cli import app
from typer.testing import CliRunner, Result

from tests.schema import make_sqlite
from tests.wire.callers import KEY, asking_server
from tests.wire.peer import Peer

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def peer(tmp_path: Path) -> AsyncIterator[Peer]:
    """Speak to a server over SQLite that asks for tokens."""
    make_sqlite(tmp_path / "jobs.db")
    async with asking_server(tmp_path, driver="sqlite", sqlite={"path": tmp_path / "jobs.db"}) as connection:
        yield connection


async def _smoke(peer: Peer, *roles: str) -> Result:
    token = KEY.sign(sub="chart", roles=list(roles))
    arguments = ["smoke", "--json", "--queue", "a-smoke", "--address", peer.server.address]
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, env={"PROTOJOBS_TOKEN": token})


async def test_who_may_only_dispatch_and_lease_leaves_the_job_and_says_so(peer: Peer) -> None:
    passed = await _smoke(peer, "producer-a", "worker-a")

    assert passed.exit_code == 0
    assert json.loads(passed.stdout)["left"] == ["job"]


async def test_operators_leave_nothing(peer: Peer) -> None:
    passed = await _smoke(peer, "producer-a", "worker-a", "operator-a")

    assert passed.exit_code == 0
    assert json.loads(passed.stdout)["left"] == []


@pytest.mark.parametrize(("role", "said"), [("worker-a", "needs scope producer"), ("producer-a", "takes no worker")])
async def test_a_scope_that_is_missing_ends_it_at_once(peer: Peer, role: str, said: str) -> None:
    refused = await _smoke(peer, role)

    assert refused.exit_code == 1
    assert said in json.loads(refused.stderr.splitlines()[-1])["error"]["message"]
