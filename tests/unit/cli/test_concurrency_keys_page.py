"""docs/how-to/concurrency-keys.md is what works."""

import shlex
from pathlib import Path
from typing import Any

from protojobs_client import Client, JobState

from tests.unit.cli.conftest import Cli

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "concurrency-keys.md").read_text()


def _block(language: str) -> str:
    """Return the first block of a language."""
    return PAGE.partition(f"```{language}\n")[2].partition("```")[0]


def test_the_program_and_the_commands_of_the_page_work(cli: Cli) -> None:
    program: dict[str, Any] = {}
    exec(compile(_block("python"), "concurrency-keys.md", "exec"), program)  # noqa: S102 # it is our own page

    with Client(cli.address) as client:
        program["dispatch_all"](client)
        jobs = client.list(queues=["imports"], states=[JobState.PENDING]).all()
        [stats] = client.stats("imports").queues
        program["allow_more"](client)
        allowed = client.queue("imports").per_key_limit
        for line in _block("sh").splitlines():
            cli.run(*shlex.split(line)[1:])
        shown = cli.json("queues", "sharing", "imports")
        client.delete_queue("imports", force=True)

    assert sorted(job.concurrency_key or "" for job in jobs) == ["acme", "acme", "acme", "globex"]
    assert (stats.pending, stats.limited_by.concurrency) == (4, True)
    assert (allowed, shown["per_key_limit"]) == (4, 2)
