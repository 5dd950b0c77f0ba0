"""A server that empties outboxes by itself."""

import sqlite3
from pathlib import Path

import pytest
from protojobs.v1 import job_pb2, job_service_pb2
from protojobs_client.outbox import ddl, enqueue
from protojobs_service.settings import load

from tests.chaos.waiting import until
from tests.wire.peer import Peer, refused, serving

pytestmark = pytest.mark.asyncio


def _outbox(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        connection.executescript(ddl("sqlite"))
    connection.close()
    return f"sqlite:///{path}"


def _write(path: Path, kind: str) -> str:
    connection = sqlite3.connect(path)
    with connection:
        job_id = enqueue(connection, kind, queue="orders")
    connection.close()
    return job_id


async def _stored(peer: Peer, *ids: str) -> list[job_pb2.Job]:
    """Return jobs once all of them are there."""

    async def found() -> list[job_pb2.Job] | None:
        listed = await peer.jobs.ListJobs(job_service_pb2.ListJobsRequest())
        jobs = {job.id: job for job in listed.jobs}
        return [jobs[job_id] for job_id in ids] if jobs.keys() >= set(ids) else None

    jobs: list[job_pb2.Job] = await until("the jobs are stored", found)
    return jobs


async def test_a_server_moves_what_is_written_before_and_while_it_runs(tmp_path: Path) -> None:
    one, two = tmp_path / "one.db", tmp_path / "two.db"
    dsns = f"{_outbox(one)} {_outbox(two)}"
    before = _write(one, "before")

    async with serving(outbox_dsn=dsns) as peer:
        [first] = await _stored(peer, before)
        meanwhile = [_write(one, "one"), _write(two, "two")]
        jobs = await _stored(peer, *meanwhile)

    assert (first.spec.kind, first.spec.queue, first.state) == ("before", "orders", job_pb2.JOB_STATE_PENDING)
    assert [job.spec.kind for job in jobs] == ["one", "two"]
    for path in (one, two):
        with sqlite3.connect(path) as connection:
            assert connection.execute("select count(*) from protojobs_outbox").fetchone() == (0,)


async def test_a_database_that_is_away_stops_neither_the_server_nor_other_outboxes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = tmp_path / "there.db"
    dsns = f"sqlite:///{tmp_path}/secret/away.db {_outbox(there)}"

    async with serving(outbox_dsn=dsns) as peer:
        job_id = _write(there, "kind")
        await _stored(peer, job_id)
        await until("the other one is missed", lambda: "outbox turn failed" in caplog.text)
        error = await refused(peer.jobs.GetJob(job_service_pb2.GetJobRequest(job_id="x")))

    assert error.reason == "INVALID_FIELD"
    assert "secret" not in caplog.text


async def test_addresses_of_outboxes_come_by_one_variable_and_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTOJOBS_OUTBOX_DSN", "postgresql://ann:secret@one/x\n mysql://ann:secret@two/y")

    settings = load()

    assert [dsn.get_secret_value() for dsn in settings.outbox_dsn] == [
        "postgresql://ann:secret@one/x",
        "mysql://ann:secret@two/y",
    ]
    assert "secret" not in repr(settings)
