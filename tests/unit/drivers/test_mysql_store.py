"""What only MariaDB does: deadlocks, connections that are cut, many claimers, and servers that are refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from protojobs_service.domain.errors import Overloaded, StoreUnavailable
from protojobs_service.drivers.sql import mysql, mysql_link
from protojobs_service.drivers.sql.mysql import MysqlStore
from protojobs_service.drivers.sql.store import Completions, Options
from sqlalchemy import Connection, insert, text
from sqlalchemy.util import await_only

from tests.mariadb import MariaServer, running_server
from tests.unit.drivers.kit import LANE, PENDING, RUNNING, Ground, completions, group, new_id, new_ids, opened, rows

pytestmark = [pytest.mark.asyncio, pytest.mark.mariadb]

CLAIMERS = 50


@pytest_asyncio.fixture
async def ground(mariadb_dsn: str) -> AsyncIterator[Ground]:
    """Open the store on fresh tables."""
    async with opened(mariadb_dsn) as ground:
        yield ground


@pytest.mark.timeout(120)
async def test_fifty_claimers_share_the_jobs_and_none_hears_of_a_deadlock(ground: Ground, mariadb_dsn: str) -> None:
    """Each is a server of its own: it claims, completes and dispatches on its own connections at the same time as the others."""
    ids, handle = new_ids(3000), await ground.add_handle()
    await ground.store.dispatch(rows(ids), 0)
    twice = new_ids(100)
    claimed: list[bytes] = []

    async def work(store: MysqlStore, slot: int) -> None:
        await store.dispatch(rows(twice, lane=2, base=slot * 1000), slot)
        while leases := await store.claim([group(*[handle] * 7)], slot):
            claimed.extend(lease.id for lease in leases)
            assert await store.complete(completions(leases), slot) is None

    async with AsyncExitStack() as stack:
        stores = [MysqlStore(Options(url=mariadb_dsn, pool_size=1)) for _ in range(CLAIMERS)]
        for store in stores:
            stack.push_async_callback(store.close)
            await store.open()
        async with asyncio.TaskGroup() as tasks:
            for slot, store in enumerate(stores, 1):
                tasks.create_task(work(store, slot))
    # Whoever finds nothing has stopped; what it skipped for the lock of another is taken by that one or by the last.
    while leases := await ground.store.claim([group(*[handle] * 500)], 60):
        claimed.extend(lease.id for lease in leases)
        await ground.store.complete(completions(leases), 60)

    assert sorted(claimed) == sorted(ids)
    assert await ground.counted() == await ground.recounted()
    assert (await ground.counted())[2, PENDING] == len(twice)


async def test_deadlock_of_cold_operations_is_run_again(ground: Ground) -> None:
    counter = ground.store.tables.counter
    keys = [{"lane": lane, "state": 1, "slot": 9, "n": 0} for lane in (1, 2)]
    await ground.store.run(lambda c: c.execute(insert(counter), keys))
    met, tries = asyncio.Barrier(2), [0, 0]

    async def both(me: int) -> None:
        first, second = (1, 2) if me == 0 else (2, 1)

        def change(c: Connection) -> None:
            tries[me] += 1
            _raise(c, first)
            if tries[me] == 1:
                await_only(met.wait())
            _raise(c, second)

        await ground.store.run(change)

    def _raise(c: Connection, lane: int) -> None:
        c.execute(
            counter.update().where(counter.c.lane == lane, counter.c.state == 1, counter.c.slot == 9).values(n=counter.c.n + 1)
        )

    await asyncio.gather(both(0), both(1))

    found = await ground.store.run(lambda c: c.execute(text("SELECT n FROM counter WHERE slot = 9")).scalars().all(), write=False)
    assert list(found) == [2, 2]
    assert sorted(tries) == [1, 2]


async def test_deadlock_of_a_hot_flush_is_run_again(ground: Ground) -> None:
    asked: list[str] = []

    async def transaction(send: mysql_link.Send) -> Any:
        asked.append("begin")
        if len(asked) < 3:
            await send("BEGIN;SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO=1213, MESSAGE_TEXT='Deadlock found'")
        return await send("SELECT 7")

    assert isinstance(ground.store, MysqlStore)
    assert await ground.store._claimer.run(transaction) == [((7,),)]
    assert len(asked) == 3


async def test_row_that_stays_locked_is_told_as_overload_and_leaves_nothing_open(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_link, "RETRIES", 1)
    monkeypatch.setattr(mysql_link, "LOCK_SECONDS", 1)
    handle, (job_id,) = await ground.add_handle(), new_ids(1)
    await ground.store.dispatch(rows([job_id], handles=[handle]), 0)
    assert isinstance(ground.store, MysqlStore)
    link = mysql_link.HotLink(ground.store._options.url)
    monkeypatch.setattr(ground.store, "_completer", link)
    link.start()

    engine = ground.store._engine
    assert engine is not None
    async with engine.connect() as other, other.begin():
        await other.execute(text("SELECT id FROM running FOR UPDATE"))
        with pytest.raises(Overloaded):
            await ground.store.complete(Completions([job_id], [1], [handle]), 2)

    assert await ground.store.complete(Completions([job_id], [1], [handle]), 2) is None
    await link.close()


async def test_connection_that_is_cut_is_told_and_made_again(ground: Ground, mariadb_server: MariaServer) -> None:
    handle = await ground.add_handle()
    await ground.store.dispatch(rows(new_ids(3)), 0)
    assert len(await ground.store.claim([group(handle)], 1)) == 1
    assert isinstance(ground.store, MysqlStore)
    ((number,),) = (await ground.store._claimer.run(lambda send: send("SELECT connection_id()")))[0]

    mariadb_server.execute(f"KILL {number}")
    with pytest.raises(StoreUnavailable):
        await ground.store.claim([group(handle)], 1)

    assert len(await ground.store.claim([group(handle)], 1)) == 1
    assert await ground.counted() == await ground.recounted() == {(LANE, PENDING): 1, (LANE, RUNNING): 2}


async def test_flush_that_is_larger_than_a_packet_goes_in_parts(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql, "_PACKET_BYTES", 1000)
    handle, known, fresh = await ground.add_handle(), new_ids(1), new_ids(5)
    await ground.store.dispatch(rows(known), 0)

    inserted = await ground.store.dispatch(rows([*fresh[:3], *known, *fresh[3:]], size=600, base=2000), 0)
    claimed = await ground.store.claim([group(*[handle] * 9)], 1)

    assert list(inserted.created or ()) == [0, 1, 2, 4, 5]
    assert [lease.id for lease in claimed] == [*known, *fresh]


async def test_sessions_are_strict_and_do_not_lock_gaps(ground: Ground) -> None:
    names = "@@tx_isolation,@@time_zone,@@innodb_lock_wait_timeout,@@sql_mode"
    assert isinstance(ground.store, MysqlStore)
    (hot,) = (await ground.store._claimer.run(lambda send: send(f"SELECT {names}")))[0]
    cold = await ground.store.run(lambda c: tuple(c.execute(text(f"SELECT {names}")).one()))

    assert hot == cold == ("READ-COMMITTED", "+00:00", 3, "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION")


async def test_a_read_sees_one_snapshot_and_writes_nothing(ground: Ground) -> None:
    await ground.store.dispatch(rows(new_ids(1)), 0)

    with pytest.raises(StoreUnavailable):
        await ground.store.run(lambda c: c.execute(ground.store.tables.job.delete()), write=False)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"read-only": "1"}, "read-only"),
        ({"max-allowed-packet": "1M"}, "max_allowed_packet"),
        ({"version": "10.5.9-MariaDB"}, "too old"),
    ],
)
async def test_server_that_cannot_serve_is_refused(options: dict[str, str], word: str) -> None:
    with running_server(options) as server:
        store = MysqlStore(Options(url=server.dsn(server.create_database())))
        with pytest.raises(StoreUnavailable, match=word):
            await store.open()


async def test_mysql_is_refused_with_the_reason() -> None:
    with pytest.raises(StoreUnavailable, match="RETURNING"):
        mysql.refuse_version("8.0.36-0ubuntu0.22.04.1")


async def test_unknown_id_is_completed_by_nobody(ground: Ground) -> None:
    assert await ground.store.complete(Completions([new_id()], [1], [1]), 2) == []
