"""`protojobs upkeep --once` does to the store what a server's timers do, and says so."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest
from protojobs_client import AsyncClient, JobState
from protojobs_service.application import Timings
from protojobs_service.compose import start_server, upgrade_schema
from protojobs_service.settings import Settings, load

from tests.unit.cli.conftest import run

ASLEEP = Timings(promote=3600, expire=3600, tick=3600)


def store_at(path: Path) -> Settings:
    return load(driver="sqlite", sqlite={"path": path}, port=0, admin_port=0, shutdown={"grace": 1})


async def leave_due(settings: Settings, count: int) -> None:
    """Leave jobs in the store that no server has promoted, and one that should have expired."""
    await upgrade_schema(settings)
    async with start_server(settings, timings=ASLEEP) as server, AsyncClient(server.address) as client:
        for _ in range(count):
            await client.dispatch_later("kind", None, timedelta(microseconds=1))
        now = (await client.server_info()).server_time
        assert now is not None
        await client.dispatch("kind", expire_at=now - timedelta(seconds=1))


def test_what_no_server_did_is_done_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(leave_due(store_at(tmp_path / "jobs.db"), 3))
    monkeypatch.setenv("PROTOJOBS_SQLITE__PATH", str(tmp_path / "jobs.db"))

    bounded = json.loads(run("upkeep", "--once", "--most", "2", "--json").stdout)
    rest = run("upkeep", "--once").stdout
    nothing = json.loads(run("upkeep", "--once", "--json").stdout)

    assert (bounded["promoted"], bounded["expired"], bounded["unfinished"]) == (2, 1, ["promoted"])
    assert "promoted 1, ticks 0, expired 0" in rest
    assert not any(nothing.values())


def test_a_store_that_a_server_holds_alone_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTOJOBS_SQLITE__PATH", str(tmp_path / "jobs.db"))

    async def beside() -> int:
        settings = store_at(tmp_path / "jobs.db")
        await upgrade_schema(settings)
        async with start_server(settings):
            return (await asyncio.to_thread(run, "upkeep", "--once")).exit_code

    assert asyncio.run(beside()) == 3


def test_upkeep_for_ever_and_of_memory_are_refused() -> None:
    assert run("upkeep").exit_code == 2
    assert "protojobs serve" in run("upkeep").stderr
    assert run("upkeep", "--once", "--driver", "memory").exit_code == 2


def test_upkeep_beside_a_running_server_leaves_it_its_jobs(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTOJOBS_POSTGRES__DSN", postgres_dsn)
    settings = load(driver="postgres", port=0, admin_port=0, shutdown={"grace": 1})

    async def beside() -> tuple[str, list[JobState]]:
        await upgrade_schema(settings)
        async with start_server(settings, timings=ASLEEP) as server, AsyncClient(server.address) as client:
            due = await client.dispatch_later("kind", None, timedelta(microseconds=1))
            pending = await client.dispatch("kind")
            done = await asyncio.to_thread(run, "upkeep", "--once", "--driver", "postgres")
            return done.stdout, [(await client.get(job.job_id)).state for job in (due, pending)]

    said, states = asyncio.run(beside())

    assert "promoted 1, ticks 0, expired 0, rescued 0" in said
    assert states == [JobState.PENDING, JobState.PENDING]
