"""The programs and commands of the pages for people who come from elsewhere work."""

import json
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from protojobs_client import JobState
from protojobs_client.testing import FakeClient
from protojobs_worker.testing import run_due

from tests.unit.cli.conftest import Cli, ServerThread

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.fixture
def own_cli() -> Iterator[Cli]:
    with ServerThread() as server:
        yield Cli(server.address)


def block(page: str, language: str) -> str:
    return (DOCS / page).read_text().partition(f"```{language}\n")[2].partition("```")[0]


def test_the_task_of_the_celery_page_runs_and_is_retried() -> None:
    program: dict[str, Any] = {}
    exec(compile(block("migrate-from-celery.md", "python"), "celery.md", "exec"), program)  # noqa: S102 # our own page
    busy = [program["ServerBusy"], None]

    def deliver(_to: str, _subject: str) -> None:
        error = busy.pop(0)
        if error is not None:
            raise error

    program["deliver"] = deliver
    with FakeClient() as fake:
        program["produce"](fake)
        runs = []
        for wait in (9, 1, 59, 1):
            fake.advance(wait)
            runs.append(len(run_due(fake, program["worker"])))
        (job,) = fake.assert_dispatched("send_email", queue="mail", times=1)

    assert runs == [0, 1, 0, 1]
    assert (job.state, job.max_retries, job.failures) == (JobState.COMPLETED, 5, 1)


def test_the_import_of_the_php_page_moves_every_row(own_cli: Cli, tmp_path: Path) -> None:
    payload = json.dumps({"displayName": "App\\Jobs\\SendEmail", "data": {"to": "ann"}})
    with closing(sqlite3.connect(tmp_path / "php.db")) as connection, connection:
        connection.execute("create table jobs (id integer primary key, queue text, payload text)")
        connection.execute("create table failed_jobs (id integer primary key, queue text, payload text, exception text)")
        connection.execute("insert into jobs values (1, 'mail', ?)", (payload,))
        connection.execute("insert into failed_jobs values (1, 'mail', ?, 'broken')", (payload,))

    for line in block("migrate-from-php.md", "sh").splitlines():
        own_cli.run(*shlex.split(line.replace("mysql://app@db/shop", f"sqlite:///{tmp_path / 'php.db'}"))[1:])

    jobs = own_cli.json("jobs", "list")
    with closing(sqlite3.connect(tmp_path / "php.db")) as connection:
        left = connection.execute("select (select count(*) from jobs) + (select count(*) from failed_jobs)").fetchone()[0]
    assert sorted((job["kind"], job["queue"], job["state"]) for job in jobs) == [
        ("send_email", "mail", "pending"),
        ("send_email", "mail.failed", "failed"),
    ]
    assert left == 0
