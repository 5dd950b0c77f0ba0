"""docs/runbooks: every command of every page does something."""

import re
import shlex
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cli, ServerThread, run

RUNBOOKS = sorted((Path(__file__).resolve().parents[3] / "docs" / "runbooks").glob("*.md"))
_OWN = {"config", "outbox"}
"""What asks no server."""


@pytest.fixture(scope="module")
def own_cli() -> Iterator[Cli]:
    """Run commands against a server that has what the pages speak of."""
    with ServerThread() as server:
        cli = Cli(server.address)
        cli.run("schedules", "create", "report", "--name", "nightly", "--cron", "@daily")
        cli.dispatch("--queue", "mail")
        yield cli


@pytest.fixture
def outbox(tmp_path: Path) -> str:
    """Return the address of an empty outbox."""
    path = tmp_path / "app.db"
    connection = sqlite3.connect(path)
    connection.executescript(run("outbox", "ddl", "--dialect", "sqlite").stdout)
    connection.close()
    return f"sqlite:///{path}"


def commands(page: str) -> list[list[str]]:
    blocks = [part.partition("```")[0] for part in page.split("```sh\n")[1:]]
    return [shlex.split(line, comments=True)[1:] for block in blocks for line in block.splitlines()]


def test_there_are_runbooks() -> None:
    assert len(RUNBOOKS) >= 10


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_every_command_of_a_runbook_does_something(path: Path, own_cli: Cli, outbox: str) -> None:
    job_id = own_cli.dispatch("--queue", "mail", "--delay", "1d")
    given = {"JOB_ID": job_id, "sqlite:///app.db": outbox}
    found = commands(path.read_text())

    assert found
    for command in found:
        words = [given.get(word, word) for word in command]
        if words[0] in _OWN:
            assert run(*words).exit_code == 0, words
        else:
            own_cli.run(*words)


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_the_commands_within_the_text_of_a_runbook_exist(path: Path) -> None:
    inline = re.findall(r"`(?:protojobs )((?:[a-z]+ ?){1,2})[^`]*`", path.read_text())

    for words in inline:
        assert run(*words.split(), "--help").exit_code == 0, words


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_says_what_it_means_how_to_look_what_to_do_and_how_to_verify(path: Path) -> None:
    page = path.read_text()

    assert page.startswith(f"# {path.stem}\n")
    assert re.findall(r"^\*\*(\w+)\.\*\*", page, re.MULTILINE) == ["Means", "Look", "Do", "Verify"]


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_what_a_runbook_links_is_there(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", path.read_text())

    assert all((path.parent / link).exists() for link in links), links
