"""Dispatch, claim and complete, on SQLite and PostgreSQL alike."""

import asyncio
from collections.abc import Sequence
from functools import partial
from random import Random

import pytest
from protojobs_service.drivers.sql.store import ClaimGroup, Completions, Probe, Rows
from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from tests.unit.drivers.kit import BAND, COMPLETED, LANE, PENDING, RUNNING, Ground, completions, group, new_id, new_ids, rows

pytestmark = pytest.mark.asyncio


async def test_new_jobs_wait_in_ready_in_order_of_position(ground: Ground) -> None:
    ids, handle = new_ids(700), await ground.add_handle()

    inserted = await ground.store.dispatch(rows(ids, base=5000), 0)
    claimed = await ground.store.claim([group(*[handle] * 700)], 1)

    assert inserted.created is None
    assert list(inserted.unplaced) == []
    assert [c.id for c in claimed] == ids
    assert [c.position for c in claimed] == list(range(5000, 5700))
    assert {(c.handle, c.attempt, c.lane, c.band, c.failures, c.flags, c.policy) for c in claimed} == {
        (handle, 1, LANE, BAND, 0, 0, None)
    }
    assert claimed[0].envelope == ids[0].ljust(20, b".")
    assert await ground.counted() == await ground.recounted() == {(LANE, RUNNING): 700}


async def test_known_ids_are_left_alone_and_the_new_ones_named_by_place(ground: Ground) -> None:
    known, fresh = new_ids(3), new_ids(3)
    await ground.store.dispatch(rows(known), 0)

    inserted = await ground.store.dispatch(rows([known[0], fresh[0], known[1], fresh[1], fresh[2], known[2]], base=9000), 0)
    again = await ground.store.dispatch(rows(known), 0)

    assert list(inserted.created or ()) == [1, 3, 4]
    assert again.created is not None
    assert list(again.created) == []
    assert await ground.counted() == await ground.recounted() == {(LANE, PENDING): 6}


async def test_the_id_of_a_finished_job_is_still_known(ground: Ground) -> None:
    ids, handle = new_ids(1), await ground.add_handle()
    await ground.store.dispatch(rows(ids), 0)
    await ground.store.complete(completions(await ground.store.claim([group(handle)], 1)), 2)

    inserted = await ground.store.dispatch(rows(ids), 0)

    assert inserted.created is not None
    assert list(inserted.created) == []
    assert await ground.recounted() == {(LANE, COMPLETED): 1}


async def test_the_same_id_twice_in_one_flush_is_stored_once(ground: Ground) -> None:
    job_id = new_id()

    inserted = await ground.store.dispatch(rows([job_id, job_id]), 0)

    assert len(list(inserted.created or ())) == 1
    assert await ground.counted() == await ground.recounted() == {(LANE, PENDING): 1}


async def test_jobs_claimed_at_insert_are_running_at_once(ground: Ground) -> None:
    ids, handle = new_ids(4), await ground.add_handle()

    inserted = await ground.store.dispatch(rows(ids, handles=[handle, 0, handle, 0]), 0)
    applied = await ground.store.complete(Completions([ids[0], ids[2]], [1, 1], [handle, handle]), 2)

    assert inserted.created is None
    assert list(inserted.unplaced) == []
    assert applied is None
    assert await ground.counted() == await ground.recounted() == {(LANE, PENDING): 2, (LANE, COMPLETED): 2}


async def test_jobs_for_a_closed_handle_wait_and_are_reported(ground: Ground) -> None:
    ids, live, closed = new_ids(5), await ground.add_handle(), await ground.add_handle(closed=True)
    await ground.store.dispatch(rows(ids[:1]), 0)

    inserted = await ground.store.dispatch(rows(ids, handles=[closed, closed, live, 0, 999]), 0)

    assert list(inserted.created or ()) == [1, 2, 3, 4]
    assert list(inserted.unplaced) == [1, 4]
    assert await ground.counted() == await ground.recounted() == {(LANE, PENDING): 4, (LANE, RUNNING): 1}


async def test_policies_come_back_with_the_claim(ground: Ground) -> None:
    ids, handle = new_ids(3), await ground.add_handle()
    await ground.store.dispatch(rows(ids, policies=["{}", None, '{"max_retries": 3}']), 0)
    at_insert = new_ids(2)
    await ground.store.dispatch(rows(at_insert, policies=["{}", None], handles=[handle, 0], base=9000), 0)

    claimed = await ground.store.claim([group(*[handle] * 4)], 1)

    assert [c.policy for c in claimed] == ["{}", None, '{"max_retries": 3}', None]


@pytest.mark.parametrize("policies", [None, ["{}", None, None, "{}"]])
async def test_jobs_that_a_log_accepted_are_as_old_as_that_says_and_start_now(
    ground: Ground, policies: Sequence[str | None] | None
) -> None:
    known, *fresh = new_ids(4)
    handle = await ground.add_handle()
    before = await now_of(ground)
    await ground.store.dispatch(rows([known]), 0)
    flush = rows([known, *fresh], handles=[0, handle, handle, 0], policies=policies, accepted=[5, 7, None, 1 << 60])

    inserted = await ground.store.dispatch(flush._replace(base=9000), 0)

    assert list(inserted.created or ()) == [1, 2, 3]
    after = await now_of(ground)
    job, running = ground.store.tables.job, ground.store.tables.running
    created = await ground.store.run(lambda c: {row.id: row.created_at for row in c.execute(select(job.c.id, job.c.created_at))})
    started = await ground.store.run(
        lambda c: {row.id: row.started_at for row in c.execute(select(running.c.id, running.c.started_at))}
    )
    assert created[fresh[0]] == 7
    assert all(before <= created[job_id] <= after for job_id in (known, *fresh[1:]))
    assert started.keys() == set(fresh[:2])
    assert all(before <= at <= after for at in started.values())
    assert await ground.counted() == await ground.recounted() == {(LANE, PENDING): 2, (LANE, RUNNING): 2}


async def now_of(ground: Ground) -> int:
    """Return the store's clock."""
    return await ground.store.run(lambda c: c.execute(select(ground.store.now())).scalar_one())


async def test_probes_are_tried_in_order_from_their_low_mark(ground: Ground) -> None:
    handle = await ground.add_handle()
    ids = {(lane, band): new_ids(3) for lane in (1, 2) for band in (4, 5)}
    for (lane, band), some in ids.items():
        await ground.store.dispatch(rows(some, lane=lane, band=band, base=100), 0)
    probes = [Probe(2, 4, 101), Probe(1, 4, 0), Probe(2, 5, 0)]

    claimed = await ground.store.claim([ClaimGroup(probes, [handle] * 6, 0)], 1)

    assert [c.id for c in claimed] == [*ids[2, 4][1:], *ids[1, 4], ids[2, 5][0]]
    assert await ground.counted() == await ground.recounted()


async def test_a_claim_never_takes_more_than_it_has_places(ground: Ground) -> None:
    handle = await ground.add_handle()
    await ground.store.dispatch(rows(new_ids(20)), 0)

    first = await ground.store.claim([group(*[handle] * 7, lanes=(1, 2, 3))], 1)
    rest = await ground.store.claim([group(*[handle] * 50)], 1)

    assert (len(first), len(rest)) == (7, 13)
    assert await ground.store.claim([group(handle)], 1) == []


async def test_each_group_gets_only_jobs_of_its_lanes(ground: Ground) -> None:
    one, two, three = [await ground.add_handle() for _ in range(3)]
    for lane in (1, 2, 3, 4):
        await ground.store.dispatch(rows(new_ids(10), lane=lane), 0)
    groups = [group(one, two, one, lanes=(1, 2)), group(*[three] * 15, lanes=(3, 4)), group(one, lanes=(9,))]

    claimed = await ground.store.claim(groups, 1)

    assert sorted((c.handle, c.lane) for c in claimed) == sorted([(one, 1)] * 2 + [(two, 1)] + [(three, 3)] * 10 + [(three, 4)] * 5)
    assert await ground.counted() == await ground.recounted()


async def test_groups_without_an_open_handle_get_nothing(ground: Ground) -> None:
    live, closed = await ground.add_handle(), await ground.add_handle(closed=True)
    for lane in (1, 2):
        await ground.store.dispatch(rows(new_ids(5), lane=lane), 0)

    none = await ground.store.claim([group(closed, closed)], 1)
    both = await ground.store.claim([group(closed, closed, lanes=(1,)), group(closed, live, live, lanes=(2,))], 1)
    mixed = await ground.store.claim([group(closed, live, closed, live)], 1)

    assert none == []
    assert [(c.handle, c.lane) for c in both] == [(live, 2)] * 2
    assert [(c.handle, c.lane) for c in mixed] == [(live, 1)] * 2


async def test_a_handle_that_closes_gets_nothing_more(ground: Ground) -> None:
    handle = await ground.add_handle()
    await ground.store.dispatch(rows(new_ids(2)), 0)
    assert len(await ground.store.claim([group(handle)], 1)) == 1

    await ground.close_handle(handle)

    assert await ground.store.claim([group(handle)], 1) == []


@pytest.mark.parametrize(("max_bytes", "taken"), [(0, 5), (1, 1), (100, 1), (199, 1), (200, 2), (399, 3), (10_000, 5)])
async def test_a_claim_stops_at_its_byte_budget_but_takes_the_first_job(ground: Ground, max_bytes: int, taken: int) -> None:
    handle = await ground.add_handle()
    await ground.store.dispatch(rows(new_ids(3), size=100), 0)
    await ground.store.dispatch(rows(new_ids(2), size=100, lane=2), 0)

    claimed = await ground.store.claim([group(*[handle] * 9, lanes=(1, 2), max_bytes=max_bytes)], 1)

    assert len(claimed) == taken
    assert await ground.counted() == await ground.recounted()


async def test_the_budget_of_one_group_does_not_stop_another(ground: Ground) -> None:
    handle = await ground.add_handle()
    for lane in (1, 2):
        await ground.store.dispatch(rows(new_ids(5), size=100, lane=lane), 0)
    groups = [group(*[handle] * 5, lanes=(1,), max_bytes=250), group(*[handle] * 5, lanes=(2,))]

    claimed = await ground.store.claim(groups, 1)

    assert sorted(c.lane for c in claimed) == [1, 1, 2, 2, 2, 2, 2]


async def test_attempt_failures_and_flags_travel_with_the_job(ground: Ground) -> None:
    handle, ids = await ground.add_handle(), new_ids(1)
    await ground.store.dispatch(rows(ids, handles=[handle]), 0)
    ready, running = ground.store.tables.ready, ground.store.tables.running
    values = {
        "id": ids[0],
        "lane": LANE,
        "band": BAND,
        "position": 1,
        "attempt": 4,
        "failures": 2,
        "crashes": 1,
        "flags": 16,
        "size": 20,
    }
    await ground.store.run(lambda c: (c.execute(running.delete()), c.execute(insert(ready).values(**values))))

    (claimed,) = await ground.store.claim([group(handle)], 1)

    assert (claimed.attempt, claimed.failures, claimed.flags) == (5, 2, 16)
    columns = (running.c.attempt, running.c.failures, running.c.crashes, running.c.flags, running.c.position)
    assert await ground.store.run(lambda c: tuple(c.execute(select(*columns)).one()), write=False) == (5, 2, 1, 16, 1)


async def test_completions_that_do_not_fit_the_lease_change_nothing(ground: Ground) -> None:
    handle, ids = await ground.add_handle(), new_ids(5)
    await ground.store.dispatch(rows(ids, handles=[handle] * 5), 0)
    await ground.flag(ids[3])

    applied = await ground.store.complete(
        Completions(
            [ids[0], ids[1], ids[2], ids[3], new_id(), ids[4]],
            [2, 1, 1, 1, 1, 1],
            [handle, handle + 1, handle, handle, handle, handle],
        ),
        2,
    )

    assert list(applied or ()) == [2, 5]
    assert await ground.counted() == await ground.recounted() == {(LANE, RUNNING): 3, (LANE, COMPLETED): 2}


async def test_nothing_applied_is_an_empty_answer_not_all(ground: Ground) -> None:
    applied = await ground.store.complete(Completions([new_id()], [1], [1]), 2)

    assert applied is not None
    assert list(applied) == []


async def test_one_attempt_completed_twice_in_a_flush_is_applied_once(ground: Ground) -> None:
    handle, (job_id, other) = await ground.add_handle(), new_ids(2)
    await ground.store.dispatch(rows([job_id, other], handles=[handle] * 2), 0)

    applied = await ground.store.complete(Completions([job_id, new_id(), job_id, other], [1] * 4, [handle] * 4), 2)
    again = await ground.store.complete(Completions([job_id], [1], [handle]), 2)

    assert len(list(applied or ())) == 2
    assert 3 in list(applied or ())
    assert again is not None
    assert list(again) == []
    assert await ground.counted() == await ground.recounted() == {(LANE, COMPLETED): 2}


async def test_a_completion_is_written_with_its_times_and_its_minute(ground: Ground) -> None:
    handle, (job_id, quick) = await ground.add_handle(), new_ids(2)
    await ground.store.dispatch(rows([job_id, quick], handles=[handle] * 2), 0)
    running, done, minute = (getattr(ground.store.tables, name) for name in ("running", "done", "stat_minute"))
    started = running.update().where(running.c.id == job_id).values(started_at=running.c.started_at - 70_000_000)
    ahead = running.update().where(running.c.id == quick).values(started_at=running.c.started_at + 3_600_000_000)
    await ground.store.run(lambda c: (c.execute(started), c.execute(ahead)))

    await ground.store.complete(Completions([job_id, quick], [1, 1], [handle, handle]), 7)

    written = await ground.store.run(lambda c: c.execute(select(done).where(done.c.id == job_id)).one(), write=False)
    cells = await ground.store.run(lambda c: c.execute(select(minute).order_by(minute.c.bucket)).all(), write=False)
    assert (written.attempt, written.lane, written.handle, written.outcome) == (1, LANE, handle, 1)
    spent = written.finished_at - written.started_at
    assert spent >= 70_000_000
    assert [(c.minute, c.lane, c.slot, c.failed, c.bucket, c.n, c.run_us) for c in cells] == [
        (written.finished_at // 60_000_000, LANE, 7, 0, 0, 1, 0),  # the clock stepped back: no time, not a negative one
        (written.finished_at // 60_000_000, LANE, 7, 0, 27, 1, spent),
    ]


async def test_the_test_clock_moves_every_statement(ground: Ground) -> None:
    handle, ids, day = await ground.add_handle(), new_ids(1), 86_400_000_000
    before = await ground.store.run(lambda c: c.execute(select(ground.store.now())).scalar_one(), write=False)
    ground.clock[0] = day

    await ground.store.dispatch(rows(ids, handles=[handle]), 0)
    await ground.store.complete(Completions(ids, [1], [handle]), 2)

    job, done = ground.store.tables.job, ground.store.tables.done
    times = await ground.store.run(
        lambda c: c.execute(select(job.c.created_at, done.c.started_at, done.c.finished_at).join(done, done.c.id == job.c.id)).one()
    )
    now = await ground.store.run(lambda c: c.execute(select(ground.store.now())).scalar_one())
    assert all(before + day <= at <= before + day + 60_000_000 for at in (*times, now))


async def test_three_pipelines_at_once_lose_and_double_nothing(ground: Ground) -> None:
    """Every job is delivered once, and the counters agree with a recount."""
    handles = [await ground.add_handle() for _ in range(2)]
    random, ids, seen = Random(7), new_ids(600), list[bytes]()
    flushes = [ids[at : at + 50] for at in range(0, 600, 50)]
    leased: asyncio.Queue[Completions] = asyncio.Queue()

    async def dispatch() -> None:
        for number, flush in enumerate(flushes):
            lanes = [random.randint(1, 4) for _ in flush]
            columns = ([BAND] * 50, [b"x" * 30] * 50, None, [random.choice([0, handles[0]]) for _ in flush])
            placed = columns[3]
            await ground.store.dispatch(Rows(flush, lanes, columns[0], columns[1], None, placed, number * 50), 0)
            running = [job_id for job_id, handle in zip(flush, placed, strict=True) if handle]
            seen.extend(running)
            leased.put_nowait(Completions(running, [1] * len(running), [handles[0]] * len(running)))

    async def claim() -> None:
        while len(seen) < 600:
            claimed = await ground.store.claim([group(*handles * 20, lanes=(1, 2, 3)), group(handles[1], lanes=(4,))], 1)
            seen.extend(c.id for c in claimed)
            leased.put_nowait(completions(claimed))

    async def complete() -> None:
        ended = 0
        while ended < 600:
            items = await leased.get()
            assert await ground.store.complete(items, 2) in (None, [])
            ended += len(items.ids)

    async with asyncio.TaskGroup() as tasks:
        for step in (dispatch, claim, complete):
            tasks.create_task(step())

    assert sorted(seen) == sorted(ids)
    assert await ground.counted() == await ground.recounted()
    assert sum((await ground.recounted()).values()) == 600


async def test_a_flush_of_completions_logs_its_ids_once_and_attempts_only_where_one_is_above_1(ground: Ground) -> None:
    ids, handle = new_ids(3), await ground.add_handle()
    flush = ground.store.tables.done_flush
    await ground.store.dispatch(rows(ids, handles=[handle] * 3), 0)
    await ground.store.run(lambda c: c.execute(update(ground.store.tables.running).values(attempt=2).where(_is(ground, ids[2]))))

    await ground.store.complete(Completions([new_id()], [1], [handle]), 7)
    await ground.store.complete(Completions(ids[:2], [1, 1], [handle] * 2), 7)
    await ground.store.complete(Completions([*ids[:2], ids[2]], [1, 1, 2], [handle] * 3), 7)
    found = await ground.store.run(lambda c: c.execute(select(flush).order_by(flush.c.seq)).all(), write=False)

    assert [(row.slot, row.seq, row.attempts, row.changes) for row in found] == [(7, 1, None, None), (7, 2, b"\0\0\0\2", None)]
    assert sorted([found[0].ids[:16], found[0].ids[16:]]) == sorted(ids[:2])
    assert found[1].ids == ids[2]


async def test_counters_and_numbers_of_flushes_are_exact_where_somebody_else_moves_their_rows(ground: Ground) -> None:
    tables, handle = ground.store.tables, await ground.add_handle()
    moves = [
        update(tables.counter).values(n=tables.counter.c.n),
        update(tables.event_slot).values(seq=tables.event_slot.c.seq),
    ]
    for _ in range(4):
        ids = new_ids(2)
        await ground.store.dispatch(rows(ids, handles=[handle] * 2), 0)
        await ground.store.complete(Completions(ids, [1] * 2, [handle] * 2), 2)
        for move in moves:
            await ground.store.run(partial(Connection.execute, statement=move))

    numbers = select(tables.done_flush.c.seq).order_by(tables.done_flush.c.seq)
    assert await ground.counted() == await ground.recounted() == {(LANE, COMPLETED): 8}
    assert await ground.store.run(lambda c: list(c.execute(numbers).scalars()), write=False) == [1, 2, 3, 4]


async def test_counters_that_are_gone_begin_anew(ground: Ground) -> None:
    counter = ground.store.tables.counter
    await ground.store.dispatch(rows(new_ids(3)), 0)
    await ground.store.run(lambda c: c.execute(delete(counter)))

    await ground.store.dispatch(rows(new_ids(2), base=5000), 0)

    assert await ground.counted() == {(LANE, PENDING): 2}


async def test_flushes_of_one_lane_and_of_many_count_together(ground: Ground) -> None:
    many = range(1, 31)
    for turn in range(3):
        await ground.store.dispatch(rows(new_ids(2), base=turn * 1000), 0)
        ids = new_ids(len(many))
        flush = rows(ids, base=turn * 1000 + 100)
        await ground.store.dispatch(flush._replace(lanes=list(many)), 0)

    counted = await ground.counted()
    assert counted == await ground.recounted()
    assert counted == {(lane, PENDING): 9 if lane == LANE else 3 for lane in many}


async def test_a_number_of_another_writer_has_counters_of_its_own(ground: Ground) -> None:
    counter = ground.store.tables.counter
    for slot in (0, 4, 0, 4):
        await ground.store.dispatch(rows(new_ids(1), base=slot * 1000), slot)

    by_slot = select(counter.c.slot, counter.c.n).order_by(counter.c.slot)
    assert [tuple(row) for row in await ground.store.run(lambda c: c.execute(by_slot).all(), write=False)] == [(0, 2), (4, 2)]


def _is(ground: Ground, job_id: bytes) -> "ColumnElement[bool]":
    return ground.store.tables.running.c.id == job_id
