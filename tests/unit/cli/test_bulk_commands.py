"""Editing jobs, and acting on many."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cli


def test_a_waiting_job_is_edited(cli: Cli, tmp_path: Path) -> None:
    job_id, data = cli.dispatch("--queue", "old"), tmp_path / "data.json"
    data.write_text("[1]")

    told = cli.json(
        "jobs", "edit", job_id, "--data", f"@{data}", "--queue", "new", "--priority", "9", "--label", "a=1", "--delay", "1h",
        "--retries", "7",
    )  # fmt: skip

    job = cli.json("jobs", "get", job_id, "--full")["job"]
    assert told == [{"job_id": job_id, "state": "scheduled"}]
    assert (job["queue"], job["priority"], job["labels"], job["payload"]) == ("new", 9, {"a": "1"}, "[1]")
    assert (job["state"], job["retry"]["max_retries"]) == ("scheduled", 7)


def test_edits_that_say_nothing_or_too_much_are_refused(cli: Cli) -> None:
    job_id = cli.dispatch()
    cli.run("jobs", "cancel", job_id)

    assert "say what to change" in cli.run("jobs", "edit", job_id, code=2).stderr
    assert "excludes --delay" in cli.run("jobs", "edit", job_id, "--delay", "1h", "--at", "2030-01-01T00:00:00Z", code=2).stderr
    assert "the job is final" in cli.run("jobs", "edit", job_id, "--priority", "1", code=1).stderr


def test_jobs_are_listed_in_the_filter_language(cli: Cli) -> None:
    wanted = cli.dispatch("--queue", "said", "--label", "a=b c")
    cli.dispatch("--queue", "said")

    found = cli.json("jobs", "list", "--filter", 'queue = said and label.a in ("b c")')
    error = cli.run("jobs", "list", "--filter", "queue = said or kind = x", code=1).stderr

    assert [job["id"] for job in found] == [wanted]
    assert "column 14: expected 'and' or the end" in error


def test_many_jobs_are_counted_then_changed(cli: Cli) -> None:
    ids = [cli.dispatch("--queue", "many") for _ in range(3)]

    shown = cli.json("jobs", "bulk", "move", "--filter", "queue = many", "--to", "elsewhere", "--dry-run")
    moved = cli.json("jobs", "bulk", "move", "--filter", "queue = many", "--to", "elsewhere", "--yes")
    raised = cli.run("jobs", "bulk", "set_priority", ids[0], "--priority", "9", "--yes").stdout

    assert shown == {"action": "move", "changed": 3, "skipped": 0, "dry_run": True, "sample": ids}
    assert moved == {"action": "move", "changed": 3, "skipped": 0, "dry_run": False}
    assert raised.strip() == "set_priority: 1 changed, 0 left alone"
    assert cli.json("jobs", "get", ids[0])["job"]["queue"] == "elsewhere"


def test_a_bulk_action_asks_first_and_retries(cli: Cli) -> None:
    job_id = cli.dispatch("--queue", "asked")
    cli.run("jobs", "cancel", job_id)
    command = ("jobs", "bulk", "retry", "--filter", "queue = asked and state = cancelled")

    refused = cli.run(*command, given="n\n", code=1)
    state = cli.json("jobs", "get", job_id)["job"]["state"]
    agreed = cli.run(*command, given="y\n")

    assert ("retry: 1 jobs?" in refused.stderr, state) == (True, "cancelled")
    assert "retry: 1 changed, 0 left alone" in agreed.stdout
    assert cli.json("jobs", "get", job_id)["job"]["state"] == "pending"


@pytest.mark.parametrize("arguments", [(), ("--all", "--filter", "queue = a"), ("--filter", " ")])
def test_nobody_means_everything_by_saying_nothing(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert "give either ids, --filter or --all" in cli.run("jobs", "bulk", "delete", "--yes", *arguments, code=2).stderr
