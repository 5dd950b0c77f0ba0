"""docs/how-to/limits.md is what works, and so are the commands of limits."""

from pathlib import Path
from typing import Any

from protojobs_client import Client, Overflow, RateLimit

from tests.unit.cli.conftest import Cli

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "limits.md").read_text()


def _block(language: str) -> str:
    """Return the first block of a language."""
    return PAGE.partition(f"```{language}\n")[2].partition("```")[0]


def test_the_program_of_the_page_sets_and_lifts_limits(cli: Cli) -> None:
    program: dict[str, Any] = {}
    exec(compile(_block("python"), "limits.md", "exec"), program)  # noqa: S102 # it is our own page

    with Client(cli.address) as client:
        program["protect"](client)
        found = {each.name: each for each in client.queues()}
        program["lift"](client)
        lifted = client.queue("reports")

    assert found["reports"].max_in_flight == 4
    assert found["partner-api"].rate_limit == RateLimit(per_second=5, burst=10)
    assert (found["mail"].max_depth, found["mail"].overflow) == (100_000, Overflow.RETRY)
    assert found["webhooks"].max_payload_bytes == 16_384
    assert lifted.max_in_flight is None


def test_the_commands_of_the_page_work(cli: Cli) -> None:
    shown = [cli.run(*line.partition("#")[0].split()[1:]).stdout for line in _block("sh").splitlines()]

    assert "max in flight" in shown[4]
    assert "5 per second, 10 at once" in shown[1]
    assert cli.json("queues", "limits", "reports") == {
        "queue": "reports",
        "max_in_flight": None,
        "rate_limit": None,
        "max_depth": None,
        "overflow": "reject",
        "max_payload_bytes": None,
    }
    assert cli.json("queues", "limits", "partner-api", "--rate", "none")["rate_limit"] is None


def test_a_limit_that_is_none_is_named(cli: Cli) -> None:
    for option, value in (
        ("--max-in-flight", "0"),
        ("--max-depth", "-1"),
        ("--rate", "fast"),
        ("--burst", "0"),
        ("--max-payload", "0"),
        ("--overflow", "x"),
    ):
        result = cli.run("queues", "limits", "q", option, value, code=2)
        assert option in result.output

    assert "--burst" in cli.run("queues", "limits", "q", "--burst", "3", code=2).output
    assert "queue.rate_limit.per_second" in cli.run("queues", "limits", "q", "--rate", "0", code=1).output
    cli.run("queues", "limits", "nobody", code=4)
