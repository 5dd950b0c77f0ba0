"""docs/how-to/retention.md is what works, and so are the commands of what is kept."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from protojobs_client import Client, History, JobRequest, Retention

from tests.unit.cli.conftest import Cli

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "retention.md").read_text()
WEEK, MONTH = timedelta(days=7), timedelta(days=30)


def _block(language: str) -> str:
    """Return the first block of a language."""
    return PAGE.partition(f"```{language}\n")[2].partition("```")[0]


def test_the_program_of_the_page_keeps_less_and_all_again(cli: Cli) -> None:
    program: dict[str, Any] = {}
    exec(compile(_block("python"), "retention.md", "exec"), program)  # noqa: S102 # it is our own page

    with Client(cli.address) as client:
        program["keep_less"](client)
        less = {each.name: each for each in client.queues()}
        program["keep_all_again"](client)
        again = client.queue("bulk")

    assert less["bulk"].retention == Retention(completed=timedelta(hours=6), failed=MONTH, cancelled=WEEK)
    assert {name: queue.history for name, queue in less.items()} == {
        "bulk": History.NONE,
        "imports": History.FAILURES,
        "reports": History.ALL,
    }
    assert (again.retention, again.history) == (Retention(completed=WEEK, failed=MONTH, cancelled=WEEK), History.ALL)


def test_the_commands_of_the_page_work(cli: Cli) -> None:
    shown = [cli.run(*line.partition("#")[0].split()[1:]).stdout for line in _block("sh").splitlines()]

    assert "none" in shown[3]
    kept = cli.json("queues", "keep", "bulk", "--failed", "1d")
    assert (kept["completed"], kept["failed"], kept["history"]) == (21_600.0, 86_400.0, "none")
    assert "result_retention" in cli.run("dispatch", "export", "--keep-result", "0s", code=1).output
    cli.run("queues", "keep", "nobody", code=4)


def test_the_fluent_option_says_the_same() -> None:
    assert JobRequest("k").keep_result(600).options.result_retention == timedelta(minutes=10)
