"""`protojobs import php` moves rows once, however often it is stopped and repeated."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protojobs_client import Client, JobState
from protojobs_service.cli.php_rows import Reading, Unreadable, anchor_of, job_id_of, read_row

from tests.unit.cli.conftest import Cli, ServerThread

NOW = datetime(2030, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
READING = Reading(source="shop", anchor=NOW)
MAIL = {"displayName": "App\\Jobs\\SendEmail", "maxTries": 5, "timeout": 30, "data": {"to": "ann"}}


@pytest.fixture
def own_cli() -> Iterator[Cli]:
    with ServerThread() as server:
        yield Cli(server.address)


def tables(path: Path, jobs: list[tuple[Any, ...]], failed: list[tuple[Any, ...]]) -> str:
    """Make the tables in a SQLite file; return its DSN."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "create table jobs (id integer primary key, queue, payload, attempts, reserved_at, available_at, created_at)"
        )
        connection.execute("create table failed_jobs (id integer primary key, uuid, queue, payload, exception, failed_at)")
        connection.executemany("insert into jobs values (?, ?, ?, ?, ?, ?, 0)", jobs)
        connection.executemany("insert into failed_jobs values (?, 'u', ?, ?, ?, '2030-01-01 00:00:00')", failed)
    return f"sqlite:///{path}"


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"select count(*) from {table}").fetchone()[0])


def test_rows_are_moved_once_and_what_stays_behind_is_told(own_cli: Cli, tmp_path: Path) -> None:
    later = int((datetime.now(UTC) + timedelta(days=1)).timestamp())
    dsn = tables(
        tmp_path / "php.db",
        [
            (1, "mail", json.dumps(MAIL), 1, None, 0),
            (2, "mail", json.dumps(MAIL), 0, None, later),
            (3, "mail", json.dumps(MAIL), 1, 5, 0),  # a PHP worker has it
            (4, "mail", "O:8:secret", 0, None, 0),
        ],
        [(1, "mail", json.dumps(MAIL), "Exception: no such mailbox in /app/Mail.php:7")],
    )
    arguments = ("import", "php", "--dsn", dsn, "--source", "shop", "--kind", "App\\Jobs\\SendEmail=send_email")

    dry = own_cli.json(*arguments, "--dry-run", code=1)
    untouched = own_cli.json("jobs", "list")
    first = own_cli.json(*arguments, code=1)
    again = own_cli.json(*arguments, "--delete", code=1)
    with Client(own_cli.address) as client:
        jobs = {(job.queue, job.state): job for job in client.list(full=True)}

    assert (dry["created"], dry["kinds"], untouched) == (0, {"send_email": 3}, [])
    assert (first["created"], first["failed"], first["reserved_skipped"]) == (3, 1, 1)
    assert first["unreadable"] == {"the payload is not JSON": 1}
    assert first["rows"] == ["jobs 4: the payload is not JSON"]
    assert (again["created"], again["existing"], again["failed"], again["deleted"]) == (0, 3, 0, 3)
    assert (count(tmp_path / "php.db", "jobs"), count(tmp_path / "php.db", "failed_jobs")) == (2, 0)
    assert set(jobs) == {("mail", JobState.PENDING), ("mail", JobState.SCHEDULED), ("mail.failed", JobState.FAILED)}
    pending, failed = jobs["mail", JobState.PENDING], jobs["mail.failed", JobState.FAILED]
    assert (pending.kind, pending.payload, pending.retry.max_retries) == ("send_email", b'{"to":"ann"}', 3)
    assert failed.last_error is not None
    assert failed.last_error.message.startswith("Exception: no such mailbox")
    assert failed.retry.max_retries == 4


def test_a_failed_job_that_somebody_retries_is_not_failed_again(own_cli: Cli, tmp_path: Path) -> None:
    dsn = tables(tmp_path / "php.db", [], [(1, "mail", json.dumps(MAIL), "broken")])
    arguments = ("import", "php", "--dsn", dsn)
    own_cli.run(*arguments)
    with Client(own_cli.address) as client:
        [job] = client.list(states=[JobState.FAILED])
        client.retry(job.id)
        own_cli.run(*arguments)
        state = client.get(job.id).state

    assert state is not JobState.FAILED


def test_a_key_that_is_no_column_is_told(cli: Cli, tmp_path: Path) -> None:
    dsn = tables(tmp_path / "php.db", [(1, "mail", "{}", 0, None, 0)], [])

    unknown = cli.run("import", "php", "--dsn", dsn, "--column", "id=job_no", code=2)
    quoted = cli.run("import", "php", "--dsn", dsn, "--column", "id=job no", code=2)

    assert "names of tables and columns" in unknown.stderr
    assert "table jobs has no column job no" in quoted.stderr


def test_tables_of_other_names_and_columns_are_read(own_cli: Cli, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection, connection:
        connection.execute('create table "queue jobs" (job_no integer primary key, body text)')
        connection.executemany(
            'insert into "queue jobs" values (?, ?)', [(n, '{"handler":"Poll","args":[1]}') for n in range(1200)]
        )
    options = ["--jobs-table", "queue jobs", "--column", "id=job_no", "--column", "payload=body", "--no-failed"]

    report = own_cli.json(
        "import", "php", "--dsn", f"sqlite:///{tmp_path / 'old.db'}", *options, "--kind-field", "handler", "--data-field", "args"
    )

    assert (report["created"], report["kinds"]) == (1200, {"Poll": 1200})


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--dsn", "nonsense"], 2),
        (["--dsn", "oracle://me:hunter2@db/x"], 2),
        (["--dsn", "sqlite://", "--column", "colour=x"], 2),
        (["--dsn", "sqlite://"], 2),  # no such table
    ],
)
def test_what_cannot_be_read_is_an_error_without_the_dsn(cli: Cli, arguments: list[str], code: int) -> None:
    result = cli.run("import", "php", *arguments, code=code)

    assert "hunter2" not in result.stderr


def test_a_file_that_is_not_there_is_not_made(cli: Cli, tmp_path: Path) -> None:
    assert "no such SQLite file" in cli.run("import", "php", "--dsn", f"sqlite:///{tmp_path}/typo.db", code=2).stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"id": None, "payload": "{}"}, "no id"),
        ({"id": 1, "payload": None}, "neither text"),
        ({"id": 1, "payload": "[1]"}, "no object"),
        ({"id": 1, "payload": "{}"}, "names no class"),
        ({"id": 1, "payload": '{"job":"a b"}'}, "--kind"),
        ({"id": 1, "payload": '{"job":"A"}', "queue": "a b"}, "--queue"),
        ({"id": 1, "payload": '{"job":"A"}', "available_at": "soon"}, "time"),
    ],
)
def test_rows_that_are_no_jobs_say_why(row: dict[str, Any], why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        read_row(row, "jobs", READING)


@given(source=st.text(max_size=20), key=st.one_of(st.integers(), st.text(max_size=40)))
def test_the_same_row_is_always_the_same_uuid7_of_the_imports_time(source: str, key: object) -> None:
    reading = Reading(source=source, anchor=NOW)

    first, again, other = job_id_of(reading, "jobs", key), job_id_of(reading, "jobs", key), job_id_of(reading, "failed_jobs", key)

    assert first == again != other
    assert UUID(first).version == 7
    assert UUID(first).variant == "specified in RFC 4122"
    assert anchor_of(first) == NOW
