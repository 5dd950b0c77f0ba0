"""`protojobs restored` says what it has ended, and where it can do nothing."""

import asyncio
import json
from pathlib import Path

import pytest
from protojobs_client import AsyncClient, JobState
from protojobs_service.compose import start_server, upgrade_schema

from tests.unit.cli.conftest import run
from tests.unit.cli.test_upkeep import store_at


def test_it_says_what_it_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTOJOBS_SQLITE__PATH", str(tmp_path / "jobs.db"))
    assert run("migrate", "upgrade").exit_code == 0

    assert json.loads(run("restored", "--json").stdout) == {"sessions": 0, "returned": 0}
    assert run("restored").stdout == "sessions refused 0, running jobs given back 0\n"


def test_a_store_that_a_server_holds_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTOJOBS_SQLITE__PATH", str(tmp_path / "jobs.db"))
    settings = store_at(tmp_path / "jobs.db")

    async def beside() -> tuple[int, JobState]:
        await upgrade_schema(settings)
        async with start_server(settings) as server, AsyncClient(server.address) as client:
            job = await client.dispatch("kind")
            code = (await asyncio.to_thread(run, "restored")).exit_code
            return code, (await client.get(job.job_id)).state

    assert asyncio.run(beside()) == (3, JobState.PENDING)


def test_memory_and_a_missing_schema_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTOJOBS_SQLITE__PATH", str(tmp_path / "jobs.db"))

    assert run("restored", "--driver", "memory").exit_code == 2
    missing = run("restored")

    assert missing.exit_code == 3
    assert "migrate upgrade" in missing.stderr
