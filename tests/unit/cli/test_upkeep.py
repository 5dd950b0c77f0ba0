"""`protojobs upkeep --once` does to the store what a server's timers do, and says so."""

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from protojobs.v1 import worker_service_pb2, worker_service_pb2_grpc
from protojobs_client import AsyncClient, JobState, RetryPolicy
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
    assert "promoted 1, ticks 0, unheld 0, expired 0" in rest
    assert not any(nothing.values())


def test_ended_tokens_and_old_audit_records_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTOJOBS_SQLITE__PATH", str(tmp_path / "jobs.db"))
    monkeypatch.setenv("PROTOJOBS_AUDIT__RETENTION_DAYS", "2")
    assert run("migrate", "upgrade").exit_code == 0
    for name in ("old", "young"):
        assert run("tokens", "create", name, "--grant", "admin", "--ttl", "1h", "--store").exit_code == 0
    day = 86_400_000_000
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as database:
        database.execute("UPDATE token SET ends_at = ends_at - 31 * ? WHERE name = 'old'", (day,))
        database.execute("UPDATE audit SET at = at - 3 * ? WHERE details LIKE '%old%'", (day,))
        database.commit()

    done = json.loads(run("upkeep", "--once", "--json").stdout)

    assert (done["tokens_forgotten"], done["audit_forgotten"]) == (1, 1)
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as database:
        assert database.execute("SELECT name FROM token").fetchall() == [("young",)]
        assert database.execute("SELECT count(*) FROM audit").fetchall() == [(1,)]


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
            due = await client.dispatch_later("kind", None, timedelta(seconds=2))
            pending = await client.dispatch("kind")
            due_at = (await client.get(due.job_id)).next_at
            # Meanwhile the server has looked after its store for the first and only time.
            assert due_at is not None
            while ((await client.stats()).snapshot_at or due_at) <= due_at:
                pass
            done = await asyncio.to_thread(run, "upkeep", "--once", "--driver", "postgres")
            return done.stdout, [(await client.get(job.job_id)).state for job in (due, pending)]

    said, states = asyncio.run(beside())

    assert "promoted 1, ticks 0, unheld 0, expired 0, rescued 0" in said
    assert states == [JobState.PENDING, JobState.PENDING]


async def leave_overdue(settings: Settings, copy: Path) -> None:
    """Copy a store in which a job that another one follows has run for longer than it may."""
    await upgrade_schema(settings)
    async with start_server(settings, timings=Timings(rescue=3600)) as server, AsyncClient(server.address) as client:
        await client.dispatch("kind", retry=RetryPolicy(max_retries=0), run_timeout=1, on_failed=["alarm"])
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub: Any = worker_service_pb2_grpc.WorkerServiceStub(channel)
            queues = [worker_service_pb2.QueueSubscription(name="default")]
            asked = worker_service_pb2.AcquireLeasesRequest(session_id=bytes(16), acquire_seq=1, queues=queues, max=1)
            assert len((await stub.AcquireLeases(asked)).leases) == 1
        with sqlite3.connect(settings.sqlite.path) as here, sqlite3.connect(copy) as there:
            here.backup(there)
    with sqlite3.connect(copy) as there:
        there.execute("update running set started_at = started_at - 10000000")


def test_what_follows_a_failure_that_upkeep_decides_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "copy.db"
    asyncio.run(leave_overdue(store_at(tmp_path / "jobs.db"), copy))
    monkeypatch.setenv("PROTOJOBS_SQLITE__PATH", str(copy))
    with sqlite3.connect(copy) as there:  # as if a server had beaten until now: a silence is an outage, in which nobody is rescued
        there.execute("update fleet set beat_at = (julianday('now') - 2440587.5) * 86400000000")

    done = json.loads(run("upkeep", "--once", "--json").stdout)

    with sqlite3.connect(copy) as there:
        kinds = [kind for (kind,) in there.execute("select lane.kind from ready join lane on lane.id = ready.lane")]
    assert (done["rescued"], kinds) == (1, ["alarm"])
