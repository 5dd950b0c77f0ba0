"""docs/how-to/chains.md is what works."""

import asyncio
from pathlib import Path
from typing import Any

from protojobs_client import Client, JobState, Options
from protojobs_worker import Worker

from tests.unit.cli.conftest import Cli

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "chains.md").read_text()


def _blocks(language: str) -> list[str]:
    return [part.partition("```")[0] for part in PAGE.split(f"```{language}\n")[1:]]


def test_the_programs_of_the_page_run_their_chain(cli: Cli) -> None:
    page: dict[str, Any] = {}
    for block in _blocks("python"):
        exec(compile(block, "chains.md", "exec"), page)  # noqa: S102 # it is our own page
    worker = Worker(Options(address=cli.address), queues=["default"], max_jobs=5)
    page["add_handlers"](worker)
    for kind in ("receipt", "audit", "notify"):
        worker.handler(kind)(lambda: None)

    with Client(cli.address) as client:
        head = page["start"](client, "o1")
        asyncio.run(worker.serve())
        charged, shipped = page["followers"](client, head), client.list(kinds=["ship"]).all()
        notified = [job.state for job in client.list(parent=shipped[0].id)]
        result = client.result(head)

    assert charged == ["audit", "receipt", "ship"]
    assert notified == [JobState.COMPLETED]
    assert result == {"paid": True}


def test_the_commands_of_the_page_work(cli: Cli) -> None:
    dispatch, listing = _blocks("sh")[0].strip().splitlines()
    job_id = cli.json(*dispatch.split()[1:])["job_id"]

    none = cli.json(*listing.split()[1:-1], job_id)

    assert none == []
