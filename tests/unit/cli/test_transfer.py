"""`protojobs transfer` and its page, from one SQLite file to another."""

import asyncio
import json
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from protojobs_client import AsyncClient, JobState, Unique
from protojobs_service.compose import start_server, upgrade_schema
from protojobs_service.settings import Settings, load_file

from tests.unit.cli.conftest import run

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "transfer.md").read_text()
MOVE = ("transfer", "--queue", "mail", "--from", "old.yaml", "--to", "new.yaml", "--json")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a directory with the settings of two empty stores, of which the first has jobs."""
    monkeypatch.chdir(tmp_path)
    for name in ("old", "new"):
        store = {"driver": "sqlite", "sqlite": {"path": f"{name}.db"}, "port": 0, "admin_port": 0, "shutdown": {"grace": 1}}
        Path(f"{name}.yaml").write_text(json.dumps(store))
        asyncio.run(upgrade_schema(of(name)))


def of(name: str) -> Settings:
    """Return the settings of a file."""
    return load_file(Path(f"{name}.yaml"))


async def fill(*, paused: bool = True) -> list[str]:
    """Leave two jobs that wait, one that is delayed and a schedule in the old store."""
    async with start_server(of("old")) as server, AsyncClient(server.address) as client:
        stored = [await client.dispatch("send", {"n": n}, queue="mail", unique=Unique(f"{n}")) for n in range(2)]
        stored.append(await client.dispatch_later("send", None, timedelta(hours=1), queue="mail"))
        await client.schedule_hourly("send", queue="mail", name="hourly")
        if paused:
            await client.pause("mail")
        return [str(each.job_id) for each in stored]


async def arrived() -> tuple[dict[str, JobState], list[str]]:
    """Return the jobs and schedules of the new store."""
    async with start_server(of("new")) as server, AsyncClient(server.address) as client:
        jobs = {str(job.id): job.state async for job in client.list(queues=["mail"])}
        return jobs, [each.name async for each in client.schedules()]


def test_the_commands_of_the_page_move_a_queue() -> None:
    ids = asyncio.run(fill())
    lines = PAGE.partition("```sh\n")[2].partition("```")[0].splitlines()

    moved = [run(*line.split()[1:]) for line in lines[1:]]

    assert [each.exit_code for each in moved] == [0, 0], [each.output for each in moved]
    assert "dry run" in moved[0].stdout
    jobs, schedules = asyncio.run(arrived())
    assert jobs.keys() == set(ids)
    assert Counter(jobs.values()) == {JobState.PENDING: 2, JobState.SCHEDULED: 1}
    assert schedules == ["hourly"]


def test_a_repetition_finds_nothing_to_do() -> None:
    asyncio.run(fill())
    first, second = (json.loads(run(*MOVE).stdout) for _ in range(2))

    assert first["moved"] == {"PENDING": 2, "SCHEDULED": 1}
    assert (second["moved"], second["schedules"], second["refused"]) == ({}, 0, {})


def test_a_queue_that_is_not_paused_is_refused() -> None:
    asyncio.run(fill(paused=False))

    result = run(*MOVE)

    assert result.exit_code == 1
    assert "is not paused" in result.output
    assert run(*MOVE, "--force").exit_code == 0


def test_one_side_may_be_the_settings_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = asyncio.run(fill())
    monkeypatch.setenv("PROTOJOBS_SQLITE__PATH", "old.db")

    result = run("transfer", "--queue", "mail", "--from", "env", "--to", "new.yaml")

    assert result.exit_code == 0, result.output
    monkeypatch.delenv("PROTOJOBS_SQLITE__PATH")
    assert asyncio.run(arrived())[0].keys() == set(ids)


def test_jobs_that_stay_are_an_exit_code_of_their_own() -> None:
    asyncio.run(fill())
    run(*MOVE)
    back = [word.replace("old", "x").replace("new", "old").replace("x", "new") for word in MOVE]

    result = run(*back, "--force")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["refused"] == {"the target has known and deleted it; see --new-ids": 3}
    assert run(*back, "--force", "--new-ids").exit_code == 0


@pytest.mark.parametrize(
    ("ends", "why"),
    [
        (("old.yaml", "old.yaml"), "name the same settings"),
        (("old.yaml", "none.yaml"), "no such file"),
        (("old.yaml", "memory.yaml"), "memory is one server's own"),
    ],
)
def test_settings_that_are_no_two_stores_are_refused(ends: tuple[str, str], why: str) -> None:
    Path("memory.yaml").write_text("driver: memory\n")

    result = run("transfer", "--queue", "mail", "--from", ends[0], "--to", ends[1])

    assert result.exit_code == 2
    assert why in result.output


def test_two_files_of_one_store_have_nothing_to_move() -> None:
    asyncio.run(fill())
    Path("new.yaml").write_text(Path("old.yaml").read_text())

    result = run(*MOVE)

    assert result.exit_code == 1
    assert "one store" in result.output
