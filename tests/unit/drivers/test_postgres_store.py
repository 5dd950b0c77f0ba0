"""PostgreSQL: connections that break, locks that cross, snapshots, day partitions and hints."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from protojobs_service.domain.errors import JobNotFound, StoreUnavailable
from protojobs_service.drivers.sql import postgres_partitions
from protojobs_service.drivers.sql.postgres import PostgresStore
from protojobs_service.drivers.sql.postgres_link import connect_arguments
from protojobs_service.drivers.sql.store import Completions, Options
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.util import await_only

from tests.postgres import Cluster, running_cluster
from tests.unit.drivers.kit import COMPLETED, LANE, PENDING, RUNNING, Ground, completions, group, new_id, new_ids, opened, rows

pytestmark = [pytest.mark.asyncio, pytest.mark.postgres]

DAY = 86_400_000_000


@pytest_asyncio.fixture
async def ground(postgres_dsn: str) -> AsyncIterator[Ground]:
    """Open the store."""
    async with opened(postgres_dsn, prefix="pj_") as ground:
        yield ground


@pytest_asyncio.fixture
async def twin(ground: Ground, postgres_dsn: str) -> AsyncIterator[Ground]:
    """Open the store of a second replica on the same tables."""
    async with opened(postgres_dsn, prefix="pj_") as twin:
        yield twin


@pytest_asyncio.fixture
async def other(postgres_dsn: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Connect as somebody else."""
    connection = await asyncpg.connect(**connect_arguments(postgres_dsn))
    yield connection
    await connection.close()


async def test_names_that_need_quotes_and_a_schema_work(postgres_dsn: str, other: "asyncpg.Connection[Any]") -> None:
    await other.execute('create schema "Select Me"')

    async with opened(postgres_dsn, schema="Select Me", prefix="Up-") as ground:
        handle = await ground.add_handle()
        await ground.store.dispatch(rows(new_ids(3), handles=[handle, 0, 0], policies=["{}", None, None]), 0)
        claimed = await ground.store.claim([group(handle), group(handle, lanes=(2,))], 1)
        assert await ground.store.complete(completions(claimed), 2) is None
        await ground.store.maintain()

        assert await ground.counted() == await ground.recounted() == {(LANE, PENDING): 1, (LANE, RUNNING): 1, (LANE, COMPLETED): 1}


async def test_two_replicas_that_store_the_same_ids_in_other_order_create_each_once(ground: Ground, twin: Ground) -> None:
    created = 0
    for _ in range(15):
        ids = new_ids(200)
        one, two = await asyncio.gather(ground.store.dispatch(rows(ids), 0), twin.store.dispatch(rows(ids[::-1]), 4))
        created += sum(200 if answer.created is None else len(answer.created) for answer in (one, two))

    assert created == 15 * 200
    assert await ground.counted() == await ground.recounted() == {(LANE, PENDING): 3000}


async def test_a_deadlock_with_somebody_else_is_survived(ground: Ground, other: "asyncpg.Connection[Any]") -> None:
    """The other one holds the second id and then wants the first: PostgreSQL ends our statement, which runs again."""
    first, second = sorted(new_ids(2))
    insert_job = "insert into pj_job (id,lane,band,position,created_at,envelope) values ($1,1,5,1,1,'x') on conflict do nothing"
    theirs = other.transaction()
    await theirs.start()
    await other.execute("set local deadlock_timeout='10s'")
    await other.execute(insert_job, _text(second))

    ours = asyncio.ensure_future(ground.store.dispatch(rows([first, second]), 0))
    await _until_waiting(ground)
    await other.execute(insert_job, _text(first))
    await theirs.commit()

    assert list((await ours).created or ()) == []
    assert await ground.recounted() == {}


async def test_a_cold_operation_that_deadlocks_is_run_again(ground: Ground, twin: Ground) -> None:
    lane, runs, both = ground.store.tables.lane, list[str](), asyncio.Barrier(2)
    await ground.store.run(lambda c: c.execute(insert(lane), [{"queue": "q", "kind": "a"}, {"queue": "q", "kind": "b"}]))

    def cross(first: str, second: str) -> Any:
        def operation(c: Connection) -> None:
            runs.append(first)
            for kind in (first, second):
                c.execute(lane.update().where(lane.c.kind == kind).values(queue=lane.c.queue + first))
                if runs.count(first) == 1 and kind == first:
                    await_only(both.wait())

        return operation

    await asyncio.gather(ground.store.run(cross("a", "b")), twin.store.run(cross("b", "a")))

    assert len(runs) > 2
    queues = await ground.store.run(lambda c: c.scalars(select(lane.c.queue)).all(), write=False)
    assert {"".join(sorted(queue)) for queue in queues} == {"abq"}


async def test_a_domain_error_rolls_back_and_comes_out_as_it_is(ground: Ground) -> None:
    lane = ground.store.tables.lane

    def refuse(c: Connection) -> None:
        c.execute(insert(lane).values(queue="q", kind="k"))
        raise JobNotFound

    with pytest.raises(JobNotFound):
        await ground.store.run(refuse)
    assert await ground.store.run(lambda c: c.execute(select(lane)).all(), write=False) == []


async def test_a_read_is_one_snapshot_and_cannot_write(ground: Ground, other: "asyncpg.Connection[Any]") -> None:
    lane = ground.store.tables.lane

    def read(c: Connection) -> tuple[int, int]:
        first = len(c.execute(select(lane)).all())
        await_only(other.execute("insert into pj_lane (queue,kind) values ('q','k')"))
        return first, len(c.execute(select(lane)).all())

    assert await ground.store.run(read, write=False) == (0, 0)
    with pytest.raises(StoreUnavailable):
        await ground.store.run(lambda c: c.execute(insert(lane).values(queue="q", kind="x")), write=False)
    assert await ground.store.run(lambda c: len(c.execute(select(lane)).all())) == 1


async def test_a_handle_that_closes_while_a_claim_waits_gets_nothing(ground: Ground, other: "asyncpg.Connection[Any]") -> None:
    handle = await ground.add_handle()
    await ground.store.dispatch(rows(new_ids(4)), 0)
    closing = other.transaction()
    await closing.start()
    await other.execute("select from pj_handle where id=$1 for update", handle)

    claim = asyncio.ensure_future(ground.store.claim([group(handle, handle)], 1))
    insert_running = asyncio.ensure_future(ground.store.dispatch(rows(new_ids(2), handles=[handle, handle]), 0))
    await _until_waiting(ground, 2)
    await other.execute("update pj_handle set closed_at=1 where id=$1", handle)
    await closing.commit()

    assert await claim == []
    assert list((await insert_running).unplaced) == [0, 1]
    assert await ground.counted() == await ground.recounted() == {(LANE, PENDING): 6}


async def test_a_close_that_comes_second_sees_what_the_claim_took(ground: Ground, other: "asyncpg.Connection[Any]") -> None:
    """The claim holds its handle until it commits; heartbeats and claims of others go on meanwhile."""
    handle = await ground.add_handle()
    theirs = other.transaction()
    await theirs.start()
    await other.execute("select from pj_handle where id=$1 for key share", handle)
    await ground.store.dispatch(rows(new_ids(1)), 0)

    assert len(await ground.store.claim([group(handle)], 1)) == 1
    # An update of closed_at alone takes no key lock, and waits for nobody: who closes must lock FOR UPDATE first.
    await asyncio.wait_for(ground.close_handle(handle), 5)
    await theirs.commit()


async def test_rows_that_another_claim_holds_are_skipped(ground: Ground, other: "asyncpg.Connection[Any]") -> None:
    handle, ids = await ground.add_handle(), new_ids(5)
    await ground.store.dispatch(rows(ids), 0)
    theirs = other.transaction()
    await theirs.start()
    await other.execute("select from pj_ready where id=any($1::uuid[]) for update", [_text(job_id) for job_id in ids[:2]])

    claimed = await ground.store.claim([group(handle, handle)], 1)
    await theirs.rollback()

    assert [c.id for c in claimed] == ids[2:4]


async def test_two_replicas_claiming_at_once_share_without_doubles(ground: Ground, twin: Ground) -> None:
    handle, ids = await ground.add_handle(), new_ids(1000)
    await ground.store.dispatch(rows(ids), 0)

    async def drain(store: Ground, slot: int) -> list[bytes]:
        found: list[bytes] = []
        while claimed := await store.store.claim([group(*[handle] * 30)], slot):
            found += [c.id for c in claimed]
            assert await store.store.complete(completions(claimed), slot + 1) is None
        return found

    one, two = await asyncio.gather(drain(ground, 1), drain(twin, 5))

    assert sorted(one + two) == sorted(ids)
    assert await ground.counted() == await ground.recounted() == {(LANE, COMPLETED): 1000}


async def test_a_hot_connection_that_was_cut_is_made_again(ground: Ground, other: "asyncpg.Connection[Any]") -> None:
    handle = await ground.add_handle()
    await ground.store.dispatch(rows(new_ids(1)), 0)
    cut = _cut(ground)
    await other.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname=current_database() and application_name like 'protojobs%'"
    )
    await cut.wait()

    await ground.store.dispatch(rows(new_ids(2), handles=[handle, 0]), 0)

    assert len(await ground.store.claim([group(handle, handle, handle)], 1)) == 2
    assert await ground.counted() == await ground.recounted() == {(LANE, RUNNING): 3}


async def test_a_flush_whose_connection_breaks_is_unavailable_and_its_repeat_is_safe(
    ground: Ground, other: "asyncpg.Connection[Any]"
) -> None:
    handle, ids = await ground.add_handle(), new_ids(1)
    theirs = other.transaction()
    await theirs.start()
    await other.execute("select from pj_handle for update")
    flush = asyncio.ensure_future(ground.store.dispatch(rows(ids, handles=[handle]), 0))
    await _until_waiting(ground)

    await other.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname=current_database() and application_name='protojobs dispatch'"
    )
    with pytest.raises(StoreUnavailable):
        await flush
    await theirs.commit()
    await ground.store.dispatch(rows(ids, handles=[handle]), 0)

    assert await ground.counted() == await ground.recounted() == {(LANE, RUNNING): 1}


async def test_a_cancelled_flush_leaves_a_usable_store(ground: Ground, other: "asyncpg.Connection[Any]") -> None:
    handle = await ground.add_handle()
    theirs = other.transaction()
    await theirs.start()
    await other.execute("select from pj_handle for update")
    flush = asyncio.ensure_future(ground.store.dispatch(rows(new_ids(1), handles=[handle]), 0))
    await _until_waiting(ground)

    flush.cancel()
    await asyncio.wait([flush])
    await theirs.commit()

    await ground.store.dispatch(rows(new_ids(1), handles=[handle]), 0)
    assert await ground.counted() == await ground.recounted()


async def test_a_changed_table_does_not_stop_the_prepared_statements(ground: Ground, other: "asyncpg.Connection[Any]") -> None:
    handle = await ground.add_handle()
    await ground.store.dispatch(rows(new_ids(2)), 0)
    await ground.store.claim([group(handle)], 1)
    await other.execute("alter table pj_job add column colour text; alter table pj_ready add column colour text")

    await ground.store.dispatch(rows(new_ids(1)), 0)
    claimed = await ground.store.claim([group(handle, handle)], 1)

    assert await ground.store.complete(completions(claimed), 2) is None


async def test_every_connection_in_use_is_overload_not_a_hang(postgres_dsn: str) -> None:
    store = PostgresStore(Options(url=postgres_dsn, pool_size=1))
    await store.open()
    held, refused = asyncio.Event(), asyncio.Event()

    def hold(_: Connection) -> None:
        held.set()
        await_only(refused.wait())

    holding = asyncio.ensure_future(store.run(hold))
    await held.wait()

    with pytest.raises(Exception, match="in use"):
        await store.run(lambda c: c.execute(select(1)))

    refused.set()
    await holding
    await store.close()


async def test_a_server_that_is_away_is_unavailable(ground: Ground) -> None:
    store = PostgresStore(Options(url="postgresql+asyncpg://nobody:x@127.0.0.1:1/none"))

    with pytest.raises(StoreUnavailable):
        await store.open()
    with pytest.raises(StoreUnavailable):
        await store.dispatch(rows(new_ids(1)), 0)
    with pytest.raises(StoreUnavailable):
        await store.run(lambda _: None)
    await store.close()


async def test_days_are_made_ahead_and_ids_outside_are_known(ground: Ground) -> None:
    low, high = ground.store.id_range
    now_ms = time.time_ns() // 1_000_000

    assert low <= new_id(-8 * 86_400_000) < new_id() < new_id(3 * 86_400_000) < high
    assert int.from_bytes(high[:6], "big") - now_ms <= 4 * 86_400_000
    with pytest.raises(StoreUnavailable):
        await ground.store.dispatch(rows([new_id(5 * 86_400_000)]), 0)
    assert await ground.recounted() == {}


async def test_days_move_on_with_the_clock_and_empty_old_ones_go(ground: Ground) -> None:
    job, done, handle, old = ground.store.tables.job, ground.store.tables.done, await ground.add_handle(), new_id(-2 * 86_400_000)
    await ground.store.dispatch(rows([old]), 0)
    await ground.store.dispatch(rows(new_ids(1), handles=[handle]), 0)
    before = await ground.store.run(lambda c: (days(c, job), days(c, done)))
    ground.clock[0] = 20 * DAY

    await ground.store.maintain()
    await ground.store.maintain()

    after = await ground.store.run(lambda c: (days(c, job), days(c, done)))
    today = time.time_ns() // 1000 // DAY
    expected = list(range(today + 20 - 8, today + 20 + 4))
    assert before == (list(range(today - 8, today + 4)),) * 2
    assert after == ([today - 2, today, *expected],) * 2  # what still stands in job keeps its day in done
    assert ground.store.id_range[0] == postgres_partitions.first_id(today + 12)
    await ground.store.dispatch(rows([new_id(20 * 86_400_000)]), 0)
    assert (await ground.store.dispatch(rows([new_id()], base=5), 0)).created is None  # its day still stands


async def test_maintaining_does_not_wait_behind_long_transactions(ground: Ground, other: "asyncpg.Connection[Any]") -> None:
    job = ground.store.tables.job
    theirs = other.transaction()
    await theirs.start()
    await other.execute("select count(*) from pj_job")
    ground.clock[0] = 20 * DAY
    started = time.monotonic()

    await ground.store.maintain()
    made = await ground.store.run(lambda c: days(c, job), write=False)
    await theirs.commit()

    assert time.monotonic() - started < 2
    assert len(made) == 24  # new days are there, old ones wait for the next time


async def test_two_replicas_maintain_at_once(ground: Ground, twin: Ground) -> None:
    ground.clock[0] = twin.clock[0] = 3 * DAY

    await asyncio.gather(*(store.store.maintain() for store in (ground, twin) for _ in range(3)))

    assert ground.store.id_range == twin.store.id_range


async def test_one_replica_hears_what_the_other_has_stored(ground: Ground, twin: Ground) -> None:
    heard: asyncio.Queue[list[int]] = asyncio.Queue()
    own: list[Collection[int]] = []
    listening = [
        asyncio.ensure_future(twin.store.listen(lambda lanes: heard.put_nowait(sorted(lanes)))),
        asyncio.ensure_future(ground.store.listen(own.append)),
    ]
    await _until(lambda: _sessions(ground, "hints", 2))

    await ground.store.dispatch(rows(new_ids(2), lane=7), 0)
    assert await asyncio.wait_for(heard.get(), 5) == [7]
    for lane in range(100, 1300):
        ground.store.announce([lane])
    many = [
        *await asyncio.wait_for(heard.get(), 5),
        *await asyncio.wait_for(heard.get(), 5),
        *await asyncio.wait_for(heard.get(), 5),
    ]
    assert many == list(range(100, 1300))

    handle = await ground.add_handle()
    await ground.store.dispatch(rows(new_ids(2), handles=[handle, handle]), 0)
    await ground.store.dispatch(rows(new_ids(1), lane=8), 0)
    assert await asyncio.wait_for(heard.get(), 5) == [8]  # jobs claimed at insert are nobody's news
    assert own == []
    for task in listening:
        task.cancel()
    await asyncio.wait(listening)


async def test_replicas_hear_of_each_other_under_the_longest_names(postgres_dsn: str) -> None:
    here, there = (PostgresStore(Options(url=postgres_dsn, schema="s" * 32, prefix="p" * 32)) for _ in range(2))
    heard: asyncio.Queue[Collection[int]] = asyncio.Queue()
    running = [
        asyncio.ensure_future(there.listen(heard.put_nowait)),
        asyncio.ensure_future(here.listen(lambda _: None)),
    ]

    async def is_heard() -> bool:
        here.announce([3])
        return not heard.empty()

    await _until(is_heard)
    assert list(await heard.get()) == [3]
    for task in running:
        task.cancel()
    await asyncio.wait(running)


async def test_hints_come_back_after_their_connection_was_cut(
    ground: Ground, twin: Ground, other: "asyncpg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("protojobs_service.drivers.sql.postgres_hints._RETRY_SECONDS", 0.05)
    heard: asyncio.Queue[Collection[int]] = asyncio.Queue()
    listening = asyncio.ensure_future(twin.store.listen(heard.put_nowait))
    speaking = asyncio.ensure_future(ground.store.listen(lambda _: None))
    await _until(lambda: _sessions(ground, "hints", 2))
    old = await other.fetchval("select array_agg(pid) from pg_stat_activity where application_name='protojobs hints'")
    await other.execute("select pg_terminate_backend(pid) from unnest($1::int[]) pid", old)

    await _until(lambda: _sessions(ground, "hints", 2, without=old))

    async def is_heard() -> bool:
        ground.store.announce([3])
        return not heard.empty()

    await _until(is_heard)  # connected is not yet listening
    assert list(await heard.get()) == [3]
    for task in (listening, speaking):
        task.cancel()
    await asyncio.wait([listening, speaking])


async def test_a_server_that_may_lose_commits_is_refused_or_told_of(caplog: pytest.LogCaptureFixture) -> None:
    with running_cluster({"fsync": "off"}, in_memory=True) as cluster, pytest.raises(StoreUnavailable, match="fsync=off"):
        await PostgresStore(Options(url=cluster.dsn())).open()
    with running_cluster({"synchronous_commit": "off"}, in_memory=True) as cluster:
        store = PostgresStore(Options(url=cluster.dsn()))
        await store.open()
        await store.close()
        assert "synchronous_commit is off" in caplog.text


@pytest.mark.parametrize(("pool_size", "told"), [(188, False), (189, True)])
async def test_a_server_with_too_few_connections_is_told_of(
    postgres_cluster: Cluster, caplog: pytest.LogCaptureFixture, pool_size: int, told: bool
) -> None:
    """The server has 200, 3 of them for superusers; beside its pool a store opens 4 vital ones, 4 hot ones and one for hints."""
    store = PostgresStore(Options(url=postgres_cluster.dsn(), pool_size=pool_size))
    await store.open()
    await store.close()

    assert ("too few connections" in caplog.text) is told


async def test_hot_connections_pin_their_plans(ground: Ground, postgres_cluster: Cluster) -> None:
    await ground.store.dispatch(rows(new_ids(1)), 0)
    await ground.store.complete(Completions([new_id()], [1], [1]), 2)
    store = ground.store
    assert isinstance(store, PostgresStore)

    for link, hash_join in ((store._dispatcher, "on"), (store._completer, "off")):
        names = ("enable_seqscan", "enable_hashjoin", "plan_cache_mode", "lock_timeout")
        settings = [(await link.fetch("select current_setting($1)", name))[0][0] for name in names]
        assert settings == ["off", hash_join, "force_generic_plan", "3s"]


def days(connection: Connection, table: Any) -> list[int]:
    """Return the days of a table's partitions, since the epoch."""
    return [int.from_bytes(p.low[:6], "big") // 86_400_000 for p in postgres_partitions.partitions(connection, table)]


def _cut(ground: Ground) -> asyncio.Event:
    """Return what is set when the connection of dispatches is seen to be closed."""
    cut = asyncio.Event()
    assert isinstance(ground.store, PostgresStore)
    assert ground.store._dispatcher._raw is not None
    ground.store._dispatcher._raw.add_termination_listener(lambda _: cut.set())
    return cut


def _text(job_id: bytes) -> str:
    return job_id.hex()


async def _until_waiting(ground: Ground, n: int = 1) -> None:
    """Wait until n sessions wait for a lock."""
    query = text("select count(*) from pg_stat_activity where wait_event_type='Lock' and datname=current_database()")
    await _until(lambda: ground.store.run(lambda c: c.scalar(query) >= n, write=False))


async def _sessions(ground: Ground, name: str, n: int, without: Collection[int] = ()) -> bool:
    query = text("select pid from pg_stat_activity where application_name=:name and wait_event='ClientRead'")
    found = await ground.store.run(lambda c: c.scalars(query, {"name": f"protojobs {name}"}).all(), write=False)
    return len(set(found) - set(without)) >= n


async def _until(condition: Any) -> None:
    for _ in range(400):
        if await condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")
