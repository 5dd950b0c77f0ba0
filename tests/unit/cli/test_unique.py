"""Unique keys from the command line, and docs/how-to/unique.md is what works."""

from pathlib import Path
from typing import Any

from protojobs_client import Client

from tests.unit.cli.conftest import Cli

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "unique.md").read_text()


def _block(language: str) -> str:
    """Return the first block of a language."""
    return PAGE.partition(f"```{language}\n")[2].partition("```")[0]


def test_the_program_of_the_page_has_one_job_of_each_key(cli: Cli) -> None:
    program: dict[str, Any] = {}
    exec(compile(_block("python"), "unique.md", "exec"), program)  # noqa: S102 # it is our own page

    with Client(cli.address) as client:
        imports = {program["import_feed"](client, "news") for _ in range(2)}
        charged = [program["charge"](client, "7") for _ in range(2)]
        for version in (1, 2):
            program["reindex"](client, "9", version)
        waiting = cli.json("jobs", "list", "--queue", "default", "--kind", "reindex", "--state", "scheduled")
        ended = cli.json("jobs", "list", "--queue", "default", "--kind", "reindex", "--state", "cancelled")

    assert len(imports) == 1
    assert charged == [True, False]
    assert (len(waiting), [job["reason"] for job in ended]) == (1, ["REPLACED"])


def test_the_commands_of_the_page_work_and_say_what_they_did(cli: Cli) -> None:
    returning, rejecting, pushing = ([*line.split()[1:], "--queue", "page"] for line in _block("sh").splitlines())

    first, again = cli.json(*returning), cli.json(*returning)
    charged, refused = cli.json(*rejecting), cli.run(*rejecting, "--json", code=1)
    pushed = [cli.json(*pushing)["outcome"] for _ in range(2)]

    assert (first["outcome"], again) == ("created", {"job_id": first["job_id"], "outcome": "existing"})
    assert charged["job_id"] in refused.output
    assert "DUPLICATE_JOB" in refused.output
    assert pushed == ["created", "replaced"]


def test_options_that_make_no_sense_together_are_refused(cli: Cli) -> None:
    for options in (
        ["--unique-scope", "window"],
        ["--unique-key", "k", "--unique-scope", "window"],
        ["--unique-key", "k", "--unique-scope", "until_done", "--unique-window", "1m"],
        ["--unique-key", ""],
        ["--on-conflict", "replace"],
    ):
        assert "--unique" in cli.run("dispatch", "email", *options, code=2).output


def test_a_schedule_of_a_file_may_have_a_key(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "schedules.yaml"
    file.write_text("schedules: [{name: keyed, kind: k, cron: '@daily', unique: {key: nightly, scope: window, window: 1d}}]")
    cli.run("schedules", "apply", "-f", str(file))

    cli.run("schedules", "trigger", "keyed")
    refused = cli.run("schedules", "trigger", "keyed", code=1)

    cli.run("schedules", "delete", "keyed", "--yes")
    file.write_text("schedules: [{name: keyed, kind: k, cron: '@daily', unique: {scope: window}}]")
    assert "unique key" in cli.run("schedules", "apply", "-f", str(file), code=2).output
    assert "unique key" in refused.output
