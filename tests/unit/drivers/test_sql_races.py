"""Cold operations that meet: another replica's whole call runs between two statements of one, or a row is broken.

Nothing sleeps: a hook runs the other call to its end inside the first one's transaction, which waits for it.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from protojobs_service.domain.job import Lease
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.outcome import COMPLETE, Complete
from protojobs_service.domain.queue import Retention
from protojobs_service.domain.retry import Policy
from protojobs_service.domain.unique import OnConflict, Unique, UniqueScope
from protojobs_service.drivers.sql.cold import base
from protojobs_service.drivers.sql.cold import due as cold_due
from protojobs_service.drivers.sql.cold import prune as cold_prune
from protojobs_service.drivers.sql.cold import rescue as cold_rescue
from protojobs_service.drivers.sql.cold import retake as cold_retake
from protojobs_service.drivers.sql.cold import sessions as cold_sessions
from protojobs_service.drivers.sql.cold.upkeep import forget_sessions
from protojobs_service.drivers.sql.driver import SqlDriver
from protojobs_service.drivers.sql.mysql import MysqlStore
from protojobs_service.drivers.sql.postgres import PostgresStore
from protojobs_service.drivers.sql.sqlite import SqliteStore
from protojobs_service.drivers.sql.store import Options
from protojobs_service.drivers.sql.tables import Tables
from protojobs_service.port import Edit, Retake, Settlement, SettleVerdict
from sqlalchemy import Connection, Executable, event, insert, select, update
from sqlalchemy.util import await_only

from tests.contract.acts import (
    DAY,
    FAIL,
    MINUTE,
    SECOND,
    claim,
    connect,
    die,
    events_since,
    held,
    new_job,
    numbers_of,
    outcomes_of,
    reconnect,
    record,
    settle,
    settle_well,
    state_of,
    states_of,
    store,
    store_all,
    store_and_run,
)
from tests.contract.backends import FakeRoom, NamedFollowUps, SqlClock, fingerprint, unique_of
from tests.schema import make_sqlite
from tests.unit.drivers.kit import SERVERS, ready_url, store_of

pytestmark = pytest.mark.asyncio

HOUR = timedelta(hours=1)


class Pair(NamedTuple):
    """Two replicas of one store."""

    here: SqlDriver
    there: SqlDriver
    clock: SqlClock

    @property
    def tables(self) -> Tables:
        """Return the tables of the store."""
        return self.here._store.tables

    async def query(self, statement: Executable) -> Sequence[Any]:
        """Run a statement, and return its rows where it has some."""

        def run(c: Connection) -> Sequence[Any]:
            result = c.execute(statement)
            return result.all() if result.returns_rows else []

        return await self.here._store.run(run)


@pytest_asyncio.fixture(params=SERVERS)
async def pair(request: pytest.FixtureRequest) -> AsyncGenerator[Pair]:
    """Open two replicas on one database."""
    url = await ready_url(request)
    clock = SqlClock()
    here, there = (
        SqlDriver(
            store_of(Options(url=url, test_clock=clock.offset_us)),
            fingerprint=fingerprint,
            unique_of=unique_of,
            rng=Random(1),
            replica=name,
        )
        for name in ("here", "there")
    )
    await here.open(FakeRoom(), NamedFollowUps())
    await there.open(FakeRoom(), NamedFollowUps())
    yield Pair(here, there, clock)
    await here.close()
    await there.close()


Meet = Callable[[Any, str, Callable[[], Awaitable[Any]]], list[Any]]


@pytest.fixture
def meet(monkeypatch: pytest.MonkeyPatch) -> Meet:
    """Return what lets another call happen right after a step of a cold operation, once."""

    def after(module: Any, step: str, call: Callable[[], Awaitable[Any]]) -> list[Any]:
        original, answers = getattr(module, step), list[Any]()

        def hooked(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            if not answers:
                answers.append(None)
                answers[0] = await_only(call())
            return result

        monkeypatch.setattr(module, step, hooked)
        return answers

    return after


async def _keep_an_hour(pair: Pair) -> None:
    await pair.here.queues.change("q", lambda old: replace(old, retention=Retention(completed=HOUR)))
    await pair.there.queues.settings(0)


async def _completed(pair: Pair) -> Lease:
    worker = await connect(pair.here)
    lease = await store_and_run(pair.here, worker)
    await settle_well(pair.here, worker, lease)
    return lease


async def test_retention_leaves_a_job_alone_that_was_retried_meanwhile(pair: Pair, meet: Meet) -> None:
    await _keep_an_hour(pair)
    lease = await _completed(pair)
    await pair.clock.advance(2 * HOUR)

    answers = meet(cold_prune, "_candidates", lambda: pair.there.jobs.retake([Retake(id=lease.id, expected_attempt=1)]))
    assert await pair.here.jobs.prune(100) == 0

    [[answer]] = answers
    assert answer.state is State.PENDING
    assert (await record(pair.here, lease.id)).envelope == lease.envelope


async def test_retry_of_a_job_that_was_emptied_meanwhile_finds_none(pair: Pair, meet: Meet) -> None:
    await _keep_an_hour(pair)
    lease = await _completed(pair)
    await pair.clock.advance(2 * HOUR)

    pruned = meet(cold_retake, "_retaken", lambda: pair.there.jobs.prune(100))
    [answer] = await pair.here.jobs.retake([Retake(id=lease.id, expected_attempt=1)])

    assert pruned == [1]
    assert not answer.found
    assert await state_of(pair.here, lease.id) is State.COMPLETED


async def test_retry_with_a_new_payload_takes_up_a_job_that_was_emptied_meanwhile(pair: Pair, meet: Meet) -> None:
    await _keep_an_hour(pair)
    lease = await _completed(pair)
    await pair.clock.advance(2 * HOUR)

    meet(cold_retake, "_retaken", lambda: pair.there.jobs.prune(100))
    [answer] = await pair.here.jobs.retake([Retake(id=lease.id, envelope=b"new")])

    assert answer.state is State.PENDING
    assert (await record(pair.here, lease.id)).envelope == b"new"


async def test_retry_of_a_waiting_job_that_ran_meanwhile_keeps_its_attempts(pair: Pair, meet: Meet) -> None:
    worker = await connect(pair.there)
    job_id = await store(pair.there, delay=SECOND)
    await pair.clock.advance(2 * SECOND)

    async def run_once() -> None:
        await pair.there.jobs.promote(10)
        [lease] = await claim(pair.there, worker)
        await settle_well(pair.there, worker, lease, FAIL)

    meet(cold_retake, "_retaken", run_once)
    [answer] = await pair.here.jobs.retake([Retake(id=job_id)])

    assert answer.state is State.PENDING
    job = await record(pair.here, job_id)
    assert (job.state, job.attempt, job.failures) == (State.PENDING, 1, 1)
    other = await connect(pair.here)
    [lease] = await claim(pair.here, other)
    assert lease.attempt == 2
    assert (await settle(pair.here, other, lease)).verdict is SettleVerdict.OK
    assert await pair.here.queues.reconcile() == 0


async def test_retry_of_an_attempt_that_is_no_longer_the_last_changes_nothing(pair: Pair, meet: Meet) -> None:
    worker = await connect(pair.there)
    lease = await store_and_run(pair.there, worker)
    await settle_well(pair.there, worker, lease, FAIL)

    async def run_once() -> None:
        await pair.clock.advance(HOUR)
        await pair.there.jobs.promote(10)
        other = await connect(pair.there)
        [lease] = await claim(pair.there, other)
        await settle_well(pair.there, other, lease, FAIL)

    meet(cold_retake, "_retaken", run_once)
    [answer] = await pair.here.jobs.retake([Retake(id=lease.id, expected_attempt=1)])

    assert (answer.state, answer.already) == (State.RETRYING, True)
    assert (await record(pair.here, lease.id)).attempt == 2


async def test_stream_that_is_gone_does_not_shorten_the_session_that_was_resumed_meanwhile(pair: Pair, meet: Meet) -> None:
    worker = await connect(pair.here)
    lease = await store_and_run(pair.here, worker)

    resumed = meet(cold_sessions, "open_handles", lambda: reconnect(pair.there, worker, [held(lease)]))
    await pair.here.sessions.detach(worker.handle, [lease.id], SECOND)

    await pair.here.sessions.beat()
    await pair.clock.advance(2 * SECOND)
    assert await pair.here.sessions.rescue(10) == []
    [(successor, _)] = resumed
    assert await pair.there.sessions.leases([successor.handle]) == [(successor.handle, lease.id, 1)]


async def test_job_that_moves_during_a_sweep_keeps_its_expire_time(pair: Pair, meet: Meet) -> None:
    job_id = await store(pair.here, delay=SECOND, expire_at=await pair.here.ping() + 2 * SECOND)
    await pair.clock.advance(3 * SECOND)

    promoted = meet(cold_due, "take_pending", lambda: pair.there.jobs.promote(10))
    first = await pair.here.jobs.expire(10)
    second = await pair.here.jobs.expire(10)

    assert (promoted, first, second) == ([1], 0, 1)
    assert await state_of(pair.here, job_id) is State.EXPIRED


async def test_expire_time_of_a_job_that_is_gone_is_dropped(pair: Pair) -> None:
    deadline = pair.tables.deadline
    lease = await _completed(pair)
    await pair.query(insert(deadline).values(id=lease.id, expire_at=1))

    assert await pair.here.jobs.expire(10) == 0

    assert await pair.query(select(deadline)) == []


async def test_broken_row_stops_no_other_rescue(pair: Pair) -> None:
    await _break_one_and_rescue(pair.here, pair.clock)


async def test_broken_row_stops_no_other_rescue_on_sqlite(tmp_path: Path) -> None:
    url, clock = make_sqlite(tmp_path / "jobs.db"), SqlClock()
    store = SqliteStore(Options(url=url, test_clock=clock.offset_us))
    driver = SqlDriver(store, fingerprint=fingerprint, rng=Random(1), replica="alone")
    await driver.open(FakeRoom())

    await _break_one_and_rescue(driver, clock)

    await driver.close()


async def _break_one_and_rescue(driver: SqlDriver, clock: SqlClock) -> None:
    worker = await connect(driver)
    ids = await store_all(driver, [new_job() for _ in range(3)])
    leases = await claim(driver, worker)
    row = {"id": ids[1], "attempt": 1, "lane": 1, "finished_at": 1, "outcome": int(Code.RETRIED)}
    await driver._store.run(lambda c: c.execute(insert(driver._store.tables.done).values(**row)))
    await die(driver, clock, worker, *leases)

    applied = await driver.sessions.rescue(10)

    assert {item.id for item in applied} == {ids[0], ids[2]}
    assert await states_of(driver, ids) == [State.PENDING, State.RUNNING, State.PENDING]
    assert await outcomes_of(driver, ids[0]) == [(1, Code.CRASHED)]
    assert await driver.sessions.rescue(10) == []
    assert await driver.queues.reconcile() == 0


async def test_ends_that_are_undone_and_done_again_are_told_once(pair: Pair) -> None:
    worker = await connect(pair.here)
    ids = await store_all(pair.here, [new_job() for _ in range(3)])
    leases = await claim(pair.here, worker)
    due = pair.tables.due
    await pair.query(update(pair.tables.running).values(crashes=1))
    await pair.query(insert(due).values(id=ids[1], due_at=1 << 60, state=State.RETRYING.value, lane=1, band=5, attempt=1, size=1))
    await die(pair.here, pair.clock, worker, *leases)
    begin = (await pair.here.events.end()).position

    await pair.here.sessions.rescue(10)

    assert sorted(event.id for event in await events_since(pair.here, begin)) == [ids[0], ids[2]]
    assert (await numbers_of(pair.here)).counts[State.RETRYING] == 2


async def test_overdue_unary_leases_are_found_page_by_page(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold_rescue, "_UNARY", 2)
    workers = [await connect(pair.here, ttl=HOUR, unary=True) for _ in range(5)]
    ids = await store_all(pair.here, [new_job(policy=Policy(run_timeout=SECOND)) for _ in range(5)])
    for worker in workers:
        await claim(pair.here, worker, limit=1)
    await pair.here.sessions.beat()
    await pair.clock.advance(SECOND)
    await pair.here.sessions.beat()
    await pair.clock.advance(SECOND)

    turns = [{item.id for item in await pair.here.sessions.rescue(10)} for _ in range(3)]

    assert [len(turn) for turn in turns] == [2, 2, 1]
    assert set[bytes]().union(*turns) == set(ids)


async def test_old_streams_of_a_live_session_are_forgotten_but_for_those_with_jobs(pair: Pair) -> None:
    worker = await connect(pair.here, ttl=30 * HOUR)
    second, _ = await reconnect(pair.here, worker)
    lease = await store_and_run(pair.here, second)
    handle = pair.tables.handle
    await pair.query(update(handle).where(handle.c.id == second.handle).values(closed_at=1))
    third, _ = await reconnect(pair.here, second, [held(lease)])
    running = pair.tables.running
    await pair.query(update(running).values(handle=second.handle))
    await pair.clock.advance(2 * HOUR)

    await pair.here._store.run(lambda c: forget_sessions(c, pair.here._cold, HOUR // timedelta(microseconds=1), 10))

    assert [row.id for row in await pair.query(select(handle).order_by(handle.c.id))] == [second.handle, third.handle]


@pytest.mark.parametrize("call", ["cancel", "delete", "prune", "expire", "retake", "edit"])
async def test_counters_are_the_last_that_a_transaction_locks(pair: Pair, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: dict[str, Callable[[Sequence[Any]], Awaitable[Any]]] = {
        "cancel": lambda ids: pair.here.jobs.cancel(ids, MINUTE),
        "delete": pair.here.jobs.delete,
        "prune": lambda _: pair.here.jobs.prune(100),
        "expire": lambda _: pair.here.jobs.expire(100),
        "retake": lambda ids: pair.here.jobs.retake([Retake(id=job_id) for job_id in [*ids, *ids]]),
        "edit": lambda ids: pair.here.jobs.edit([Edit(id=job_id, envelope=bytes, queue="other") for job_id in [*ids, *ids]]),
    }
    worker = await connect(pair.here)
    done = await store_all(pair.here, [new_job() for _ in range(5)])
    for lease in await claim(pair.here, worker):
        await settle_well(pair.here, worker, lease)
    soon = await pair.here.ping() + SECOND
    waiting = await store_all(pair.here, [new_job(delay=MINUTE, expire_at=soon) for _ in range(5)])
    await pair.clock.advance(31 * DAY if call == "prune" else 2 * SECOND)
    monkeypatch.setattr(base, "CHUNK", 2)
    statements = _watch(pair)

    await calls[call]([*done, *waiting])

    _assert_counters_come_last(statements)


@pytest.mark.parametrize("road", ["settled", "rescued"])
async def test_counters_are_the_last_that_is_locked_where_jobs_follow(pair: Pair, road: str) -> None:
    worker = await connect(pair.here, unary=True)
    policy = Policy(max_retries=0, run_timeout=SECOND)
    lease = await store_and_run(pair.here, worker, body=b"completed>next;failed>alarm", follow_ups=True, policy=policy)
    await store_all(pair.here, [new_job("next"), new_job("alarm")])
    await pair.clock.advance(SECOND)
    statements = _watch(pair)

    if road == "settled":
        await settle_well(pair.here, worker, lease)
    else:
        assert [item.id for item in await pair.here.sessions.rescue(10)] == [lease.id]

    _assert_counters_come_last(statements)
    assert (await numbers_of(pair.here, "next" if road == "settled" else "alarm")).counts[State.PENDING] == 2


async def test_queues_are_locked_before_keys_by_those_that_end_jobs_as_by_dispatches(pair: Pair) -> None:
    await pair.here.queues.change("next", lambda old: replace(old, max_depth=9))
    await pair.here.queues.settings(-1)
    worker = await connect(pair.here)
    keys: dict[str, Any] = {"unique": Unique(key="key", scope=UniqueScope.UNTIL_DONE), "concurrency_key": "key"}
    lease = await store_and_run(pair.here, worker, body=b"completed>next", follow_ups=True, **keys)
    statements = _watch(pair)

    await settle_well(pair.here, worker, lease)
    settled, statements[:] = [*statements], []
    await pair.here.jobs.dispatch([new_job("next", **keys)])
    dispatched, statements[:] = [*statements], []
    moved = await store(pair.here, **keys)
    statements.clear()
    await pair.here.jobs.edit([Edit(id=moved, envelope=bytes, queue="other")])

    for each, tables in ((settled, 0), (dispatched, 0), (statements, 1)):
        order = ["queue_use", "unique_key", "key_use"][tables:]
        first = [next(i for i, text in enumerate(each) if re.search(rf"\b{table}\b", text)) for table in order]
        assert first == sorted(first)
    assert (await numbers_of(pair.here, "next")).counts[State.PENDING] == 2


@pytest.mark.parametrize("delay", [None, MINUTE])
async def test_job_that_is_replaced_is_locked_before_its_key_as_where_it_is_cancelled(pair: Pair, delay: timedelta | None) -> None:
    unique = Unique(key="key", scope=UniqueScope.UNTIL_DONE, on_conflict=OnConflict.REPLACE)
    old = await store(pair.here, unique=unique, delay=delay)
    statements = _watch(pair)

    await pair.here.jobs.dispatch([new_job(unique=unique)])

    table = "ready" if delay is None else "due"
    [waits, *_] = [i for i, text in enumerate(statements) if re.search(rf"FROM {table}\b.* FOR UPDATE", text, re.DOTALL)]
    [key, *_] = [i for i, text in enumerate(statements) if re.match(r"INSERT INTO unique_key\b", text)]
    assert waits < key
    assert await state_of(pair.here, old) is State.CANCELLED


@pytest.mark.parametrize("keys", [1, 30])
async def test_places_of_many_keys_are_handed_over_in_as_many_statements_as_that_of_one(pair: Pair, keys: int) -> None:
    first = await store_all(pair.here, [new_job(concurrency_key=f"k{n}") for n in range(keys)])
    second = await store_all(pair.here, [new_job(concurrency_key=f"k{n}") for n in range(keys)])
    worker = await connect(pair.here, slots=keys)
    leases = await claim(pair.here, worker, limit=keys)
    assert [lease.id for lease in leases] == first
    statements = _watch(pair)

    await pair.here.jobs.settle([Settlement(lease.id, lease.attempt, worker.handle, COMPLETE) for lease in leases])

    assert sum("FROM held" in text for text in statements) <= 3
    assert sorted(lease.id for lease in await claim(pair.here, worker, limit=keys)) == sorted(second)


async def test_held_job_that_another_transaction_has_locked_is_passed_over(pair: Pair) -> None:
    running, locked, free = await store_all(pair.here, [new_job(concurrency_key="k") for _ in range(3)])
    worker = await connect(pair.here)
    [lease] = await claim(pair.here, worker)
    assert lease.id == running
    held = pair.tables.held

    def settle_meanwhile(c: Connection) -> None:
        c.execute(select(held.c.id).where(held.c.id == locked).with_for_update()).one()
        await_only(settle_well(pair.there, worker, lease))

    await pair.here._store.run(settle_meanwhile)
    await pair.here._lanes.reload()  # hears of what the other has made claimable

    assert [each.id for each in await claim(pair.here, worker)] == [free]


async def test_held_job_that_is_moved_to_another_queue_meanwhile_gets_no_place_here(pair: Pair) -> None:
    running, moved, waiting = await store_all(pair.here, [new_job(concurrency_key="k") for _ in range(3)])
    worker, other = await connect(pair.here), await connect(pair.here, "other")
    [lease] = await claim(pair.here, worker)
    assert lease.id == running
    before = await store(pair.here, "other", concurrency_key="k")
    _once_before(pair, "FROM held", lambda: pair.there.jobs.edit([Edit(id=moved, envelope=bytes, queue="other")]))

    await settle_well(pair.here, worker, lease)

    assert [each.id for each in await claim(pair.here, worker)] == [waiting]
    [first] = await claim(pair.here, other)
    assert first.id == before
    await settle_well(pair.here, other, first)
    assert [each.id for each in await claim(pair.here, other)] == [moved]


def _once_before(pair: Pair, part: str, act: Callable[[], Awaitable[Any]]) -> None:
    """Run an act of another replica before the next statement of `here` that locks and has this part, and is no subquery's."""
    hot = pair.here._store
    assert isinstance(hot, PostgresStore | MysqlStore)
    to_do = [act]

    def look(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if to_do and part in statement and "FOR UPDATE" in statement:
            await_only(to_do.pop()())

    for engine in (hot._engine, hot._vital_engine):
        assert engine is not None
        event.listen(engine.sync_engine, "before_cursor_execute", look)


def _assert_counters_come_last(statements: Sequence[str]) -> None:
    counted = [i for i, text in enumerate(statements) if re.match(r"INSERT INTO counter\b", text)]
    assert len(counted) == 1
    # What follows is the log of what ended, whose slot is a lock of the same kind.
    rest = [re.match(r"INSERT INTO (\w+)", text) for text in statements[counted[0] + 1 :]]
    assert [found and found[1] for found in rest] in ([], ["event_slot", "done_flush"])


def _watch(pair: Pair) -> list[str]:
    """Return the statements that one replica will run, as they come."""
    statements: list[str] = []
    hot = pair.here._store
    assert isinstance(hot, PostgresStore | MysqlStore)
    engines = [hot._engine, hot._vital_engine]

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        # Reads lock nothing; the watch over the lanes runs beside, and reads.
        if not statement.startswith(("SELECT", "SET ")) or "FOR UPDATE" in statement:
            statements.append(statement)

    for engine in engines:
        assert engine is not None
        event.listen(engine.sync_engine, "before_cursor_execute", note)
    return statements


async def test_settings_are_not_acknowledged_under_a_number_that_another_replica_has(pair: Pair) -> None:
    replica = pair.tables.replica
    book = await pair.here.queues.settings(0)
    assert book is not None
    await pair.there.queues.change("q", lambda old: old)
    number = pair.here._replica.number
    await pair.query(update(replica).where(replica.c.slot == number).values(replica="other", settings_version=0))

    newest = await pair.here.queues.settings(book.version)
    assert newest is not None
    [row] = await pair.query(select(replica).where(replica.c.slot == number))
    assert row.settings_version == 0
    assert not await pair.here.queues.acknowledged(newest.version)

    await pair.here._lease_number()
    await pair.here.queues.settings(newest.version)
    await pair.there.queues.settings(0)
    [row] = await pair.query(select(replica).where(replica.c.slot == pair.here._replica.number))
    assert (row.replica, row.settings_version) == ("here", newest.version)


async def test_child_is_stored_where_its_queue_is_deleted_while_its_parent_completes(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await connect(pair.here)
    lease = await store_and_run(pair.here, worker)
    child, store = new_job("next"), pair.here._store
    run = store.run

    async def lose_the_queue_first(operation: Any, *, write: bool = True, vital: bool = False) -> Any:
        if vital:
            monkeypatch.undo()
            await pair.there.queues.delete("next", force=True)
            await pair.here._lanes.reload()
        return await run(operation, write=write, vital=vital)

    monkeypatch.setattr(store, "run", lose_the_queue_first)
    await settle_well(pair.here, worker, lease, Complete(children=(child,)))

    assert await states_of(pair.here, [child.id]) == [State.PENDING]
    await pair.here._lanes.reload()  # finds a job in a lane whose queue is gone, and makes the queue again
    assert (await numbers_of(pair.here, "next")).counts[State.PENDING] == 1


async def test_a_ping_waits_for_no_connection_behind_what_no_lease_depends_on(pair: Pair) -> None:
    store, held, over = pair.here._store, asyncio.Semaphore(0), asyncio.Event()

    def hold(c: Connection) -> None:
        c.execute(select(1))
        held.release()
        await_only(over.wait())

    size = store.pools()["rest"].size
    holding = [asyncio.ensure_future(store.run(hold)) for _ in range(size)]
    try:
        for _ in range(size):
            await held.acquire()
        assert isinstance(await pair.here.ping(), datetime)
    finally:
        over.set()
        await asyncio.gather(*holding)
