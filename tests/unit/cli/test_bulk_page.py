"""docs/how-to/bulk.md is what works."""

from pathlib import Path
from typing import Any

from protojobs_client import Client
from protojobs_service.domain.filter_text import parse

from tests.unit.cli.conftest import Cli

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "bulk.md").read_text()


def _block(language: str) -> str:
    """Return the first block of a language."""
    return PAGE.partition(f"```{language}\n")[2].partition("```")[0]


def test_the_program_of_the_page_does_what_it_says(cli: Cli) -> None:
    program: dict[str, Any] = {}
    exec(compile(_block("python"), "bulk.md", "exec"), program)  # noqa: S102 # it is our own page

    with Client(cli.address) as client:
        job_id = client.dispatch("send", {}, queue="mail").job_id
        changed = program["send_later"](client, job_id)

        assert (changed.state.value, changed.labels) == ("scheduled", {"team": "a"})
        assert program["failed_mails"](client) == []
        assert (program["send_again"](client), program["would_go"](client)) == (0, 0)


def test_the_commands_of_the_page_work(cli: Cli) -> None:
    job_id = cli.dispatch("--queue", "mail", "--label", "team=a")

    for line in _block("sh").splitlines():
        words = line.split('"')
        cli.run(*[word for i, part in enumerate(words) for word in ([part] if i % 2 else part.split())][1:])

    job = cli.json("jobs", "get", job_id)["job"]
    assert (job["priority"], job["state"]) == (9, "cancelled")


def test_the_filters_of_the_page_are_filters() -> None:
    lines = PAGE.partition("## The filter language\n\n```\n")[2].partition("```")[0].splitlines()

    assert [len(parse(line).terms) for line in lines] == [3, 2, 2, 1]
