"""The outbox in databases of others: rows leave once their jobs are stored, whatever happens in between."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from protojobs_client import JobRequest
from protojobs_client.outbox import ddl, enqueue
from protojobs_service.application import Outbox, OutboxRow, Refused, Relay
from protojobs_service.domain.errors import JobsError, StoreUnavailable
from protojobs_service.drivers.sql.outbox import open_outbox
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from tests.mariadb import MariaServer
from tests.postgres import Cluster
from tests.unit.application.stand import FakeClock

pytestmark = pytest.mark.asyncio

KINDS = ("sqlite", pytest.param("postgres", marks=pytest.mark.postgres), pytest.param("mysql", marks=pytest.mark.mariadb))


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database with an empty outbox, as an application has it."""

    dsn: str
    engine: AsyncEngine | None

    async def write(self, *jobs: JobRequest, commit: bool = True) -> list[str]:
        """Enqueue jobs in one transaction."""
        if self.engine is None:
            with sqlite3.connect(self.dsn.removeprefix("sqlite:///")) as connection:
                ids = [str(enqueue(connection, job)) for job in jobs]
                if not commit:
                    connection.rollback()
            connection.close()
            return ids
        async with self.engine.connect() as opened:
            ids = [str(await opened.run_sync(enqueue, job)) for job in jobs]
            await (opened.commit() if commit else opened.rollback())
        return ids

    async def execute(self, statement: str) -> Sequence[Any]:
        """Run one statement."""
        if self.engine is None:
            with sqlite3.connect(self.dsn.removeprefix("sqlite:///")) as connection:
                rows = connection.execute(statement).fetchall()
            connection.close()
            return rows
        async with self.engine.begin() as opened:
            result = await opened.exec_driver_sql(statement)
            return list(result) if result.returns_rows else []


class Target:
    """Where rows go: a store that remembers ids, and may refuse or fail."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.refuses: dict[str, Refused] = {}
        self.batches: list[int] = []

    async def __call__(self, rows: Sequence[OutboxRow]) -> Sequence[Refused | None]:
        """Store what is not refused by its kind."""
        self.batches.append(len(rows))
        answers = [self.refuses.get(row.kind) for row in rows]
        self.seen += [row.id for row, answer in zip(rows, answers, strict=True) if answer is None]
        return answers


@pytest_asyncio.fixture(params=KINDS)
async def database(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """Give an empty outbox on each kind of database."""
    kind: str = request.param
    dsn, engine = "", None
    if kind == "sqlite":
        path: Path = request.getfixturevalue("tmp_path") / "app.db"
        dsn = f"sqlite:///{path}"
    elif kind == "postgres":
        cluster: Cluster = request.getfixturevalue("postgres_cluster")
        dsn = cluster.dsn(cluster.create_database())
        engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://"), poolclass=NullPool)
    else:
        server: MariaServer = request.getfixturevalue("mariadb_server")
        dsn = server.dsn(server.create_database())
        engine = create_async_engine(dsn, poolclass=NullPool)
    found = Database(dsn=dsn, engine=engine)
    for statement in ddl({"postgres": "postgresql"}.get(kind, kind)).split(";\n"):
        if statement.strip():
            await found.execute(statement)
    yield found
    if engine is not None:
        await engine.dispose()


@pytest_asyncio.fixture
async def outbox(database: Database) -> AsyncIterator[Outbox]:
    """Give the relay's side of the outbox."""
    found = open_outbox(database.dsn)
    yield found
    await found.close()


def _relay(outbox: Outbox, target: Any, *, clock: FakeClock | None = None, batch: int = 500) -> Relay:
    return Relay(outbox, target, clock or FakeClock(), name="test", batch=batch)


def _jobs(*kinds: str) -> list[JobRequest]:
    return [JobRequest(kind).on_queue(f"q-{kind}") for kind in kinds]


async def test_committed_rows_move_in_order_and_leave_and_rolled_back_ones_never_were(database: Database, outbox: Outbox) -> None:
    target = Target()
    await database.write(*_jobs("never"), commit=False)
    first = await database.write(*_jobs("a", "b", "c"))
    second = await database.write(*_jobs("d"))

    before = await outbox.status()
    moved = await _relay(outbox, target, batch=3).drain()

    after = await outbox.status()
    assert (before.waiting, before.set_aside, moved) == (4, 0, 4)
    assert before.oldest is not None
    assert target.seen == [*first, *second]
    assert target.batches == [3, 1]
    assert (after.waiting, after.oldest, after.set_aside) == (0, None, 0)


async def test_a_row_is_read_as_it_was_written_by_sql_alone_too(database: Database, outbox: Outbox) -> None:
    seen: list[OutboxRow] = []

    async def deliver(rows: Sequence[OutboxRow]) -> Sequence[Refused | None]:
        seen.extend(rows)
        return [None] * len(rows)

    [written] = await database.write(JobRequest("mail", {"to": "ann"}).on_queue("emails"))
    payload = "convert_to('{}', 'UTF8')" if "postgresql" in database.dsn else "'{}'"
    made = "01990000-0000-7000-8000-000000000000"
    await database.execute(f"insert into protojobs_outbox (id, kind, payload) values ('{made}', 'tidy', {payload})")
    await _relay(outbox, deliver).drain()

    assert [(row.id, row.queue, row.kind, bytes(row.payload or b"")) for row in seen] == [
        (written, "emails", "mail", b""),
        (made, "default", "tidy", b"{}"),
    ]
    assert b'{"to":"ann"}' in seen[0].spec
    assert seen[1].spec == b""


@pytest.mark.parametrize("end", [StoreUnavailable(), asyncio.CancelledError()], ids=["lost answer", "killed"])
async def test_a_relay_that_ends_between_dispatch_and_delete_loses_nothing(
    database: Database, outbox: Outbox, end: BaseException
) -> None:
    target = Target()

    async def store_and_end(rows: Sequence[OutboxRow]) -> Sequence[Refused | None]:
        await target(rows)
        raise end

    ids = await database.write(*_jobs("a", "b"))
    with pytest.raises(type(end)):
        await _relay(outbox, store_and_end).turn()
    left = await outbox.status()
    again = open_outbox(database.dsn)
    moved = await _relay(again, target).drain()
    await again.close()

    assert (left.waiting, moved) == (2, 2)
    assert target.seen == [*ids, *ids]
    assert (await outbox.status()).waiting == 0


async def test_rows_that_no_server_takes_are_set_aside_and_block_nobody(database: Database, outbox: Outbox) -> None:
    target = Target()
    target.refuses["bad"] = Refused("INVALID_FIELD", "priority: must be 1 to 9 \0")
    ids = await database.write(*_jobs("bad", "good", "bad", "good"))

    moved = await _relay(outbox, target, batch=2).drain()

    status = await outbox.status()
    errors = await database.execute("select error from protojobs_outbox where set_aside_at is not null")
    assert (moved, target.seen) == (4, [ids[1], ids[3]])
    assert (status.waiting, status.oldest, status.set_aside) == (0, None, 2)
    assert {row[0] for row in errors} == {"INVALID_FIELD: priority: must be 1 to 9 "}


async def test_a_row_that_was_put_back_by_hand_moves(database: Database, outbox: Outbox) -> None:
    target = Target()
    target.refuses["bad"] = Refused("JOB_ID_TIME", "too old")
    [job_id] = await database.write(*_jobs("bad"))
    await _relay(outbox, target).drain()
    target.refuses.clear()

    await database.execute("update protojobs_outbox set set_aside_at = null, error = null")
    await _relay(outbox, target).drain()

    assert target.seen == [job_id]


async def test_a_full_queue_waits_and_no_other_one_waits_for_it(database: Database, outbox: Outbox) -> None:
    target, clock = Target(), FakeClock()
    target.refuses["full"] = Refused("QUEUE_FULL", "no room")
    ids = await database.write(*_jobs("full", "full", "good", "good"))
    relay = _relay(outbox, target, clock=clock, batch=2)

    moved = await relay.drain() + await relay.drain()
    while_full = list(target.seen)
    target.refuses.clear()
    clock.now += 1.5
    moved += await relay.drain()

    assert while_full == ids[2:]
    assert (moved, target.seen) == (4, [*ids[2:], *ids[:2]])


async def test_a_batch_holds_no_more_bytes_than_a_message_and_at_least_one_row(database: Database, outbox: Outbox) -> None:
    target = Target()
    await database.write(*(JobRequest("k", "x" * 1_000_000) for _ in range(4)))

    await _relay(outbox, target).drain()

    assert target.batches == [3, 1]


@pytest.mark.parametrize("database", KINDS[1:], indirect=True)  # SQLite has one lock for all
async def test_relays_share_the_rows_and_wait_for_nobody_elses_transaction(database: Database, outbox: Outbox) -> None:
    assert database.engine is not None
    one, two, holds, go_on = Target(), Target(), asyncio.Event(), asyncio.Event()
    other = open_outbox(database.dsn)

    async def hold(rows: Sequence[OutboxRow]) -> Sequence[Refused | None]:
        holds.set()
        await go_on.wait()
        return await one(rows)

    async def uncommitted(connection: AsyncConnection) -> None:
        await connection.run_sync(enqueue, JobRequest("later"))

    ids = await database.write(*_jobs("a", "b", "c", "d"))
    async with database.engine.connect() as producer, asyncio.TaskGroup() as tasks:
        await uncommitted(producer)
        first = tasks.create_task(_relay(outbox, hold, batch=2).turn())
        await holds.wait()
        moved = await _relay(other, two).drain()
        await database.write(*_jobs("e"))  # no gap is locked either
        go_on.set()
        await first
        await producer.commit()
    await _relay(other, two).drain()
    await other.close()

    assert (one.seen, two.seen[:2], moved) == (ids[:2], ids[2:], 2)
    assert len(two.seen) == 4
    assert (await outbox.status()).waiting == 0


async def test_errors_say_nothing_of_the_address(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    outbox = open_outbox(f"sqlite:///{tmp_path}/secret-place/app.db")
    with pytest.raises(JobsError) as unreachable:
        await outbox.status()
    with pytest.raises(JobsError) as unknown:
        open_outbox("oracle://ann:secret@somewhere/x")
    with pytest.raises(JobsError) as malformed:
        open_outbox("ann:secret@somewhere")

    said = "".join(str(error.value) for error in (unreachable, unknown, malformed)) + caplog.text
    assert "secret" not in said
    assert "somewhere" not in said
