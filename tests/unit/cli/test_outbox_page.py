"""docs/how-to/outbox.md is what works, and so are its commands."""

import json
import sqlite3
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from protojobs_client import Client
from protojobs_client.outbox import ddl, enqueue, row
from sqlalchemy import create_engine
from uuid_utils import uuid7

from tests.unit.cli.conftest import Cli, run

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "outbox.md").read_text()


def _block(language: str) -> str:
    return PAGE.partition(f"```{language}\n")[2].partition("```")[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give a database with an empty outbox."""
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(run("outbox", "ddl", "--dialect", "sqlite").stdout)
    return path


def test_the_programs_of_the_page_enqueue_jobs_that_a_relay_moves(cli: Cli, file: Path) -> None:
    page: dict[str, Any] = {}
    exec(compile(_block("python"), "outbox.md", "exec"), page)  # noqa: S102 # it is our own page
    page["make_table"](str(file))
    first = page["order_by_sqlalchemy"](create_engine(f"sqlite:///{file}"), "o1")
    connection = sqlite3.connect(file)
    second = page["order_by_dbapi"](connection, "o2")
    third = str(uuid7())  # the page's own is too old some day
    with connection:
        connection.execute(_block("sql").replace("01a21f5c-70c6-7657-8919-36ad02d2414b", third))
    connection.close()

    moved = cli.json("outbox", "relay", "--once", "--dsn", f"sqlite:///{file}")
    with Client(cli.address) as client:
        jobs = {job.id: (job.queue, job.kind, job.state.value) for job in client.list(kinds=["ship"])}
        payload = client.get(third, full=True).payload

    assert moved == {"moved": 3}
    assert jobs == {
        first: ("orders", "ship", "pending"),
        second: ("orders", "ship", "scheduled"),
        third: ("orders", "ship", "pending"),
    }
    assert payload == b'{"order": "o1"}'


def test_status_counts_and_warns_of_what_was_set_aside(cli: Cli, file: Path) -> None:
    dsn = f"sqlite:///{file}"
    with sqlite3.connect(file) as connection:
        enqueue(connection, "fine")
        connection.execute("insert into protojobs_outbox (id, kind) values ('no id', 'bad')")
        connection.execute("insert into protojobs_outbox (id, kind, spec) values (?, 'bad', x'ff')", (str(uuid7()),))

    before = json.loads(run("outbox", "status", "--dsn", dsn, "--json").stdout)
    moved = cli.json("outbox", "relay", "--once", "--dsn", dsn)
    after = run("outbox", "status", "--dsn", dsn, "--json")
    with sqlite3.connect(file) as connection:
        errors = [error for (error,) in connection.execute("select error from protojobs_outbox order by seq")]

    assert (before["waiting"], before["set_aside"]) == (3, 0)
    assert 0 <= before["oldest_seconds"] < 3600
    assert moved == {"moved": 3}
    assert (after.exit_code, json.loads(after.stdout)) == (1, {"waiting": 0, "oldest_seconds": None, "set_aside": 2})
    assert [error.partition(":")[0] for error in errors] == ["INVALID_FIELD", "MALFORMED_MESSAGE"]


def test_a_database_without_the_table_is_told_without_its_address(tmp_path: Path) -> None:
    (tmp_path / "secret.db").touch()
    missing = run("outbox", "status", "--dsn", f"sqlite:///{tmp_path}/secret.db")
    strange = run("outbox", "status", "--dsn", "oracle://ann:secret@host/x")

    assert (missing.exit_code, strange.exit_code) == (3, 2)
    assert "protojobs outbox ddl" in missing.stderr
    assert "secret" not in missing.stderr + strange.stderr


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    status, relay = (run("outbox", verb, "--dsn", f"sqlite:///{tmp_path}/no%20such.db") for verb in ("status", "relay"))

    assert (status.exit_code, relay.exit_code) == (3, 3)
    assert list(tmp_path.iterdir()) == []


class _Cursor:
    """A cursor of a module that marks parameters in some way."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, Any]] = []

    def execute(self, statement: str, values: Any) -> None:
        self.ran.append((statement, values))

    def fetchone(self) -> None: ...


@pytest.mark.parametrize(
    ("style", "places"),
    [
        ("qmark", "?, ?, ?, ?"),
        ("format", "%s, %s, %s, %s"),
        ("pyformat", "%s, %s, %s, %s"),
        ("numeric", ":1, :2, :3, :4"),
        ("named", ":id, :queue, :kind, :spec"),
    ],
)
def test_a_cursor_of_any_dbapi_module_gets_its_own_kind_of_parameters(
    monkeypatch: pytest.MonkeyPatch, style: str, places: str
) -> None:
    monkeypatch.setitem(globals(), "paramstyle", style)
    cursor = _Cursor()

    job_id = enqueue(cursor, "kind", {"a": 1}, queue="q")

    [(statement, values)] = cursor.ran
    found = [values[name] for name in ("id", "queue", "kind")] if style == "named" else list(values[:3])
    assert statement == f"insert into protojobs_outbox (id, queue, kind, spec) values ({places})"
    assert found == [job_id, "q", "kind"]


@pytest.mark.parametrize("target", [_Cursor, object])
def test_what_is_no_cursor_of_a_dbapi_module_is_refused(target: Callable[[], object]) -> None:
    with pytest.raises(TypeError):
        enqueue(target(), "kind")


def test_a_row_takes_every_option_and_an_id_of_ones_own() -> None:
    job_id = str(uuid7())

    made = row("kind", 1, job_id=job_id, queue="q", run_at=datetime.fromisoformat("2030-01-01T00:00:00Z"), labels={"a": "b"})

    assert made[:3] == (job_id, "q", "kind")


def test_a_dialect_that_has_no_outbox_is_refused() -> None:
    with pytest.raises(ValueError, match="postgresql, mysql, sqlite"):
        ddl("oracle")
