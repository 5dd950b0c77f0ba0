"""docs/troubleshooting.md and docs/best-practices.md are what works: their commands and programs run."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from protojobs_client import Client, JobState
from protojobs_worker.testing import run_inline

from tests.unit.cli.conftest import Cli, ServerThread, run

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
PRACTICES = (ROOT / "docs" / "best-practices.md").read_text()


@pytest.fixture
def own_cli() -> Iterator[Cli]:
    with ServerThread() as server:
        yield Cli(server.address)


def blocks(page: str, language: str) -> list[str]:
    return [part.partition("```")[0] for part in page.split(f"```{language}\n")[1:]]


def commands(block: str) -> list[list[str]]:
    return [shlex.split(line, comments=True)[1:] for line in block.splitlines()]


def test_every_command_of_the_page_does_something(own_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTOJOBS_SQLITE__PATH", str(tmp_path / "jobs.db"))
    run("migrate", "upgrade")
    own_cli.run("queues", "pause", "mail")
    job_id = own_cli.dispatch("--queue", "mail", "--delay", "1d")
    ran = 0

    for command in [each for block in blocks(PAGE, "sh") for each in commands(block)]:
        words = [job_id if word == "JOB_ID" else word for word in command]
        if words[0] in {"migrate", "upkeep", "config"}:
            assert run(*words).exit_code == 0, words
        else:
            # Retried once, it is no longer final, nor scheduled: that it is refused so is right.
            with Client(own_cli.address) as client:
                again = words[:2] == ["jobs", "retry"] and client.get(job_id).state is JobState.PENDING
            own_cli.run(*words, code=1 if again else 0)
        ran += 1

    assert ran >= 18
    assert not own_cli.json("queues", "list")[0]["paused"]


def test_the_commands_within_its_tables_exist(own_cli: Cli) -> None:
    inline = re.findall(r"`protojobs ([a-z]+(?: [a-z]+)?)[^`]*`", PAGE + PRACTICES)

    assert inline
    for words in inline:
        assert run(*words.split()[:2], "--help").exit_code == 0, words


def test_stats_name_what_the_page_says_they_name(own_cli: Cli) -> None:
    own_cli.dispatch("--queue", "mail")
    own_cli.run("queues", "pause", "mail")

    said = own_cli.run("stats", "--queue", "mail").stdout

    assert "mail is paused" in said
    assert "no worker for email" in said


def test_a_second_run_of_the_handler_of_the_page_does_nothing(
    own_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    handler, retention = blocks(PRACTICES, "python")
    program: dict[str, Any] = {}
    exec(compile(handler + retention, "best-practices.md", "exec"), program)  # noqa: S102 # our own page

    runs = [run_inline(program["charge"], {"amount": 5}, attempt=attempt).value for attempt in (1, 2)]
    own_cli.dispatch("--queue", "bulk")
    with Client(own_cli.address) as client:
        program["keep_less"](client)
        kept = client.queue("bulk").retention

    assert runs == [True, False]
    assert (kept.completed, kept.failed) == (program["timedelta"](hours=6), program["timedelta"](days=7))


def test_every_metric_of_the_page_is_measured() -> None:
    source = "".join(path.read_text() for path in (ROOT / "service" / "protojobs_service").rglob("*.py"))
    named = set(re.findall(r"`(protojobs\.[a-z_.]+)`", PRACTICES))

    assert len(named) >= 5
    assert all(f'"{name}"' in source for name in named)
