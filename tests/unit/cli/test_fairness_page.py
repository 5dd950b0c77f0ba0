"""docs/how-to/fairness.md is what works."""

import shlex
from pathlib import Path
from typing import Any

from protojobs_client import Client, Fairness

from tests.unit.cli.conftest import Cli

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "fairness.md").read_text()


def _block(language: str) -> str:
    """Return the first block of a language."""
    return PAGE.partition(f"```{language}\n")[2].partition("```")[0]


def test_the_program_and_the_commands_of_the_page_work(cli: Cli) -> None:
    program: dict[str, Any] = {}
    exec(compile(_block("python"), "fairness.md", "exec"), program)  # noqa: S102 # it is our own page

    with Client(cli.address) as client:
        program["share"](client)
        shared = client.queue("reports").fairness
        program["stop"](client)
        stopped = client.queue("reports").fairness
        keys = {job.fairness_key for job in client.list(queues=["reports"])}
        for line in _block("sh").splitlines():
            cli.run(*shlex.split(line)[1:])
        shown = cli.json("queues", "sharing", "reports")
        client.delete_queue("reports", force=True)

    assert (shared, stopped) == (Fairness(weights={"acme": 3}), Fairness(enabled=False))
    assert keys == {"acme", "globex"}
    assert shown == {"queue": "reports", "per_key_limit": 1, "fair": False, "weights": {"acme": 3, "globex": 2}}
