"""The outbox while relays and the server are killed: each committed row becomes one job, and no other row does."""

import asyncio
from collections import Counter
from functools import partial
from itertools import cycle

import pytest
from protojobs_client import AsyncClient, JobRequest, Options
from protojobs_client.outbox import ddl, enqueue
from protojobs_service.drivers.sql.outbox import open_outbox
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from tests.chaos.conftest import MakeStand
from tests.chaos.killing import after, kill_in_turn
from tests.chaos.processes import Program
from tests.chaos.stand import BIN
from tests.chaos.stores import PostgresStore
from tests.chaos.waiting import until

pytestmark = [pytest.mark.kill]

ROWS, PER_TRANSACTION, PER_KILL = 600, 10, 200


def _reached(killed: list[str], kills: int) -> bool:
    return len(killed) >= kills


async def _write(engine: AsyncEngine, done: list[str], killed: list[str]) -> None:
    """Write rows in transactions, of which every third is rolled back; `done` gets the ids of those that committed.

    After some of them it waits until one more was killed, so that the kills fall into the work however fast that is.
    """
    for number in range(ROWS // PER_TRANSACTION):
        async with engine.connect() as connection:
            ids = [await connection.run_sync(enqueue, JobRequest("work", number)) for _ in range(PER_TRANSACTION)]
            if number % 3 == 2:
                await connection.rollback()
            else:
                await connection.commit()
                done += ids
        written = (number + 1) * PER_TRANSACTION
        if written % PER_KILL == 0:
            await until("one more is killed", partial(_reached, killed, written // PER_KILL), within=30)


@pytest.mark.asyncio
@pytest.mark.timeout(240)
async def test_each_committed_row_becomes_one_job_whoever_is_killed(postgres_store: PostgresStore, make_stand: MakeStand) -> None:
    stand = make_stand(postgres_store)
    await stand.add_server()
    dsn = postgres_store.cluster.dsn(postgres_store.cluster.create_database())
    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://"), poolclass=NullPool)
    async with engine.begin() as connection:
        for statement in filter(str.strip, ddl("postgresql").split(";\n")):
            await connection.exec_driver_sql(statement)
    env = {"PROTOJOBS_OUTBOX_DSN": dsn, "PROTOJOBS_ADDRESS": stand.address}
    command = [str(BIN / "protojobs"), "outbox", "relay"]
    relays = [
        Program(f"relay-{n}", command, env=env, log=stand.directory / f"relay-{n}.log", nemesis=stand.nemesis) for n in range(2)
    ]
    outbox, written, killed, over = open_outbox(dsn), list[str](), list[str](), asyncio.Event()
    try:
        for relay in relays:
            relay.start()

        async def is_empty() -> bool:
            return (await outbox.status()).waiting == 0

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(kill_in_turn(cycle([*relays, *stand.servers]), after(1.0), over, killed))
            try:
                await _write(engine, written, killed)
                await until("the outbox is empty", is_empty, within=120, every=0.2)
            finally:
                over.set()
        async with AsyncClient(options=Options(address=stand.address)) as client:
            seen = Counter([job.id async for job in client.list(page_size=500)])
        status = await outbox.status()
    finally:
        for relay in relays:
            relay.put_away()
        await outbox.close()
        await engine.dispose()

    print(f"{len(written)} rows of {ROWS} committed, {len(killed)} kills")
    assert status.set_aside == 0
    assert seen == Counter(written)
    assert len(killed) >= 3
