"""docs/how-to/schedules.md is what works."""

from pathlib import Path
from typing import Any

from protojobs_client import Client

from tests.unit.cli.conftest import Cli

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "schedules.md").read_text()


def _block(language: str) -> str:
    """Return the first block of a language."""
    return PAGE.partition(f"```{language}\n")[2].partition("```")[0]


def test_the_program_of_the_page_declares_its_schedules_once(cli: Cli) -> None:
    program: dict[str, Any] = {}
    exec(compile(_block("python"), "schedules.md", "exec"), program)  # noqa: S102 # it is our own page

    with Client(cli.address) as client:
        for _ in range(2):
            program["declare"](client)
            program["declare_all"](client)
        found = {each.kind: each for each in client.schedules()}
        count = len(client.schedules().all())
        client.sync_schedules([], prune=True)

    assert count == 7
    assert set(found) == {"poll_feeds", "refresh_rates", "send_digest", "weekly_report", "close_books"}
    assert all(each.next_at is not None for each in found.values())


def test_the_file_of_the_page_is_applied_and_the_commands_work(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "schedules.yaml").write_text(_block("yaml"))
    cli.run("schedules", "apply", "-f", str(tmp_path / "schedules.yaml"))
    for line in _block("sh").splitlines():
        command = (
            line.partition("#")[0].replace("schedules.yaml", str(tmp_path / "schedules.yaml")).replace('"30 2 * * *"', "@daily")
        )
        cli.run(*command.split()[1:])

    names = [each["name"] for each in cli.json("schedules", "list") if each["paused"]]
    for name in ("shop.digest", "shop.books"):  # the server is the other tests' too
        cli.run("schedules", "delete", name, "--yes")
    assert names == ["shop.digest"]
