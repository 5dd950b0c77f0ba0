"""docs/how-to/fairness.md is what works."""

import shlex
from datetime import timedelta
from pathlib import Path
from typing import Any

from protojobs_client import Aging, Client, Fairness

from tests.unit.cli.conftest import Cli

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "fairness.md").read_text()


def _blocks(language: str) -> str:
    """Return all blocks of a language."""
    return "".join(part.partition("```")[0] for part in PAGE.split(f"```{language}\n")[1:])


def test_the_program_and_the_commands_of_the_page_work(cli: Cli) -> None:
    program: dict[str, Any] = {}
    exec(compile(_blocks("python"), "fairness.md", "exec"), program)  # noqa: S102 # it is our own page

    with Client(cli.address) as client:
        program["share"](client)
        shared = client.queue("reports").fairness
        program["stop"](client)
        stopped = client.queue("reports").fairness
        keys = {job.fairness_key for job in client.list(queues=["reports"])}
        program["age"](client)
        aging = client.queue("reports").priority
        program["be_strict"](client)
        strict = client.queue("reports").priority
        for line in _blocks("sh").splitlines():
            cli.run(*shlex.split(line)[1:])
        shown = cli.json("queues", "sharing", "reports")
        client.delete_queue("reports", force=True)

    assert (shared, stopped) == (Fairness(weights={"acme": 3}), Fairness(enabled=False))
    assert (aging, strict) == (Aging(timedelta(minutes=10)), None)
    assert keys == {"acme", "globex"}
    assert (shown["fair"], shown["weights"], shown["aging"]) == (False, {"acme": 3, "globex": 2}, 600.0)
