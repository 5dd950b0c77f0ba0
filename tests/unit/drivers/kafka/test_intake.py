"""Moving: nothing is lost, nothing that cannot be moved keeps back anything else, and no more waits than may."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
import pytest_asyncio
from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.kafka.topics import Place

from tests.chaos.waiting import until
from tests.contract.acts import claim, connect, new_job, numbers_of, settle_well
from tests.unit.drivers.kafka.kit import Bench, place, record, records, running_intake

pytestmark = pytest.mark.asyncio

Q, R = place("q"), place("r")


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Bench]:
    """Run an intake that lets 1000 jobs of a queue wait."""
    async with running_intake() as bench:
        yield bench


@pytest_asyncio.fixture
async def narrow() -> AsyncIterator[Bench]:
    """Run an intake that lets 10 jobs of a queue wait."""
    async with running_intake(lookahead=10) as bench:
        yield bench


async def pending(bench: Bench, queue: str = "q") -> int:
    """Return how many jobs wait in the side store."""
    return (await numbers_of(bench.side.driver, queue)).counts.get(State.PENDING, 0)


async def test_jobs_are_moved_in_their_order_and_their_offsets_are_told(bench: Bench) -> None:
    found, ids = records("q", 5, first=7)

    bench.put(Q, found, start=7)
    await until("all is moved", lambda: bench.done.get(Q) == 12)

    assert bench.moved() == ids
    assert bench.intake.moved == 5
    assert bench.intake.twice == 0


async def test_jobs_of_several_partitions_come_in_the_order_in_which_they_were_accepted(bench: Bench) -> None:
    now = datetime.now(UTC)
    jobs = [new_job() for _ in range(4)]
    times = [now + timedelta(milliseconds=n) for n in range(4)]
    bench.backlog.seat(place(partition=0), 0, 1, 0)
    bench.backlog.seat(place(partition=1), 0, 1, 0)

    bench.put(place(partition=1), [record(0, jobs[1], at=times[1]), record(1, jobs[3], at=times[3])])
    bench.put(place(partition=0), [record(0, jobs[0], at=times[0]), record(1, jobs[2], at=times[2])])
    await until("all is moved", lambda: len(bench.moved()) == 4)

    assert bench.moved() == [job.id for job in jobs]


async def test_no_more_wait_in_the_side_store_than_are_looked_ahead(narrow: Bench) -> None:
    found, ids = records("q", 50)
    narrow.put(Q, found)
    await until("some are moved", lambda: narrow.done.get(Q) == 10)
    await narrow.intake.progress(0.3)

    assert narrow.moved() == ids[:10]
    assert await pending(narrow) == 10


async def test_what_is_leased_makes_room_for_more(narrow: Bench) -> None:
    driver = narrow.side.driver
    found, ids = records("q", 25)
    narrow.put(Q, found)
    await until("some are moved", lambda: narrow.done.get(Q) == 10)
    worker = await connect(driver)

    leases = await claim(driver, worker, limit=8)
    narrow.intake.leased(lease.queue for lease in leases)
    await until("more are moved", lambda: narrow.done.get(Q) == 18)

    assert narrow.moved() == ids[:18]
    assert await pending(narrow) == 10


async def test_what_others_lease_makes_room_for_more_as_soon_as_it_is_counted(narrow: Bench) -> None:
    driver = narrow.side.driver
    found, ids = records("q", 25)
    narrow.put(Q, found)
    await until("some are moved", lambda: narrow.done.get(Q) == 10)

    await claim(driver, await connect(driver), limit=8)

    await until("more are moved", lambda: narrow.done.get(Q) == 18)
    assert narrow.moved() == ids[:18]


@pytest.mark.parametrize("where", [Q, R], ids=["the same queue", "another queue"])
async def test_what_others_lease_makes_room_while_more_records_keep_coming(narrow: Bench, where: Place) -> None:
    driver = narrow.side.driver
    found, ids = records("q", 25)
    narrow.put(Q, found)
    await until("some are moved", lambda: narrow.done.get(Q) == 10)
    offsets = count(25)

    def one_more_came() -> bool:
        more, _ = records("q" if where == Q else "r", 1, first=next(offsets))
        narrow.put(where, more)
        return narrow.done[Q] == 18

    await claim(driver, await connect(driver), limit=8)

    await until("more are moved", one_more_came)
    assert [job_id for job_id in narrow.moved() if job_id in ids] == ids[:18]


async def test_a_count_that_fails_keeps_no_queue_back_that_has_room(narrow: Bench) -> None:
    def break_counting(call: str) -> None:
        if call == "stats":
            counted.append(call)
            raise StoreUnavailable

    counted: list[str] = []
    narrow.side.before = break_counting
    full, _ = records("q", 25)
    narrow.put(Q, full)
    await until("counting has failed", lambda: counted)
    moved = 0

    for n in range(100):
        more, _ = records("r", 1, first=n)
        narrow.put(R, more)
        narrow.intake.leased(["r"])
        await narrow.intake.progress(60)
        moved = narrow.done[R]

    assert moved == 100
    assert len(counted) < 50


async def test_jobs_that_never_were_in_the_topics_make_no_room_for_those_that_are(narrow: Bench) -> None:
    narrow.backlog.seat(Q, 0, 1, 0)
    narrow.intake.leased(["q"] * 1000)
    await until("it is counted again", lambda: narrow.backlog.waiting[narrow.backlog.partitions[Q].stem] >= 0)
    found, ids = records("q", 30)

    narrow.put(Q, found)
    await until("no more is moved", lambda: narrow.done.get(Q) == 10)

    assert narrow.moved() == ids[:10]


async def test_a_higher_band_finds_room_behind_a_lower_one(narrow: Bench) -> None:
    low, high = place(band=3), place(band=6)
    found, _ = records("q", 30)
    narrow.put(low, found, rank=1)
    await until("the lower band is full", lambda: narrow.done.get(low) == 10)
    urgent, ids = records("q", 30)

    narrow.put(high, urgent, rank=2)
    await until("some of the higher band are moved", lambda: narrow.done.get(high) == 10)

    assert narrow.moved()[10:] == ids[:10]
    assert narrow.done[low] == 10


async def test_of_two_bands_the_higher_one_is_moved_first(narrow: Bench) -> None:
    low, high = place(band=3), place(band=6)
    lazy, _ = records("q", 5)
    urgent, ids = records("q", 5)
    narrow.side.is_down = True
    narrow.put(low, lazy, rank=1)
    narrow.put(high, urgent, rank=2)

    narrow.side.is_down = False
    await until("something is moved", narrow.moved)

    assert set(ids) <= set(narrow.moved())


async def test_one_queue_that_is_full_keeps_no_other_back(narrow: Bench) -> None:
    many, _ = records("q", 30)
    narrow.put(Q, many)
    await until("one queue has what it may", lambda: narrow.done.get(Q) == 10)
    few, ids = records("r", 3)

    narrow.put(R, few)
    await until("the other is moved", lambda: narrow.done.get(R) == 3)

    assert narrow.moved()[10:] == ids


async def test_jobs_of_kinds_that_nobody_takes_do_not_keep_back_those_behind_them(narrow: Bench) -> None:
    driver = narrow.side.driver
    worker = await connect(driver, kinds=["wanted"])
    unwanted, _ = records("q", 20, kind="unwanted")
    wanted, ids = records("q", 5, first=20, kind="wanted")
    narrow.put(Q, [*unwanted, *wanted])

    await until("what is wanted is moved", lambda: narrow.done.get(Q) == 25)

    assert [lease.id for lease in await claim(driver, worker, kinds=["wanted"])] == ids


async def test_jobs_that_wait_for_their_key_do_not_keep_back_those_behind_them(narrow: Bench) -> None:
    driver = narrow.side.driver
    await driver.jobs.dispatch([new_job(concurrency_key="acme") for _ in range(50)])
    worker = await connect(driver)
    await claim(driver, worker)
    found, ids = records("q", 40)
    narrow.put(Q, found)

    leased: list[JobId] = []
    while len(leased) < len(ids):
        await until("something can be leased", lambda: len(narrow.moved()) > len(leased))
        leased.extend([lease.id for lease in await claim(driver, worker)])

    assert leased == ids


async def test_what_no_key_keeps_back_still_waits_for_room(narrow: Bench) -> None:
    driver = narrow.side.driver
    await driver.jobs.dispatch([new_job(concurrency_key="acme") for _ in range(50)])
    found, ids = records("q", 40)
    narrow.put(Q, found)
    await until("some are moved", lambda: narrow.done.get(Q) == 10)

    await narrow.intake.progress(0.3)
    await narrow.intake.progress(0.3)

    assert narrow.moved() == ids[:10]


async def test_a_record_that_is_not_of_jobs_is_parked_and_passed(bench: Bench) -> None:
    before, first = records("q", 2)
    after, last = records("q", 2, first=4)
    bad = [record(2, value=b"not ours"), record(3, value=b"")]

    bench.put(Q, [*before, *bad, *after])
    await until("all is moved or parked", lambda: bench.done.get(Q) == 6)

    assert bench.moved() == [*first, *last]
    assert [(each.place, each.record) for each in bench.parked] == [(Q, bad[0]), (Q, bad[1])]


async def test_while_nothing_can_be_parked_only_its_partition_is_held(bench: Bench) -> None:
    bench.parking_is_down = True
    found, ids = records("q", 1, first=1)
    bench.put(Q, [record(0, value=b"not ours"), *found])
    others, moved = records("r", 2)

    bench.put(R, others)
    await until("the other partition is moved", lambda: bench.done.get(R) == 2)

    assert bench.moved() == moved
    assert bench.parked == []
    bench.parking_is_down = False
    await until("it is parked and passed", lambda: bench.done.get(Q) == 2)
    assert bench.moved() == [*moved, *ids]


async def test_a_queue_at_its_depth_is_held_and_others_go_on(bench: Bench) -> None:
    driver = bench.side.driver
    await driver.queues.change("q", lambda settings: replace(settings, max_depth=2))
    full, ids = records("q", 4)
    bench.put(Q, full)
    await until("the queue is full", lambda: bench.backlog.partitions[Q].done == 2)
    others, moved = records("r", 2)

    bench.put(R, others)
    await until("the other queue is moved", lambda: bench.done.get(R) == 2)

    assert await pending(bench) == 2
    worker = await connect(driver)
    for lease in await claim(driver, worker):
        await settle_well(driver, worker, lease)
    await until("the rest is moved", lambda: bench.done.get(Q) == 4)
    assert [lease.id for lease in await claim(driver, worker)] == ids[2:]
    assert set(moved) <= set(bench.moved())


async def test_a_job_that_cannot_be_stored_now_is_held_with_all_behind_it(bench: Bench) -> None:
    found, ids = records("q", 3)
    bench.side.unavailable = {ids[1]}
    bench.put(Q, found)
    await until("what comes before it is moved", lambda: bench.done.get(Q) == 1)
    others, _ = records("r", 1)
    bench.put(R, others)
    await until("others are moved", lambda: bench.done.get(R) == 1)

    bench.side.unavailable = ()

    await until("the rest is moved", lambda: bench.done.get(Q) == 3)
    assert set(ids) <= set(bench.moved())


@pytest.mark.parametrize("age", [timedelta(days=8), timedelta(hours=-2), timedelta(days=-365_000)])
async def test_a_job_whose_id_has_a_time_that_is_never_stored_is_parked_and_passed(bench: Bench, age: timedelta) -> None:
    ms = round((datetime.now(UTC).timestamp() - age.total_seconds()) * 1000)
    stray = new_job(id=JobId(ms.to_bytes(6) + bytes(10)))
    bench.side.unavailable = {stray.id}
    found, ids = records("q", 1, first=1)

    bench.put(Q, [record(0, stray), *found])
    await until("it is passed", lambda: bench.done.get(Q) == 2)

    assert [each.record.offset for each in bench.parked] == [0]
    assert set(ids) <= set(bench.moved())


async def test_a_record_at_which_the_store_breaks_is_parked_in_the_end_and_keeps_no_other_back(bench: Bench) -> None:
    found, ids = records("q", 3)
    bench.side.poison = {ids[1]}
    others, moved = records("r", 3)

    bench.put(Q, found)
    bench.put(R, others)
    await until("the other partition is moved", lambda: bench.done.get(R) == 3)
    await until("it is passed", lambda: bench.done.get(Q) == 3)

    assert [each.record.offset for each in bench.parked] == [1]
    assert sorted(bench.moved()) == sorted([ids[0], ids[2], *moved])


async def test_a_store_that_breaks_once_costs_nothing(bench: Bench) -> None:
    found, ids = records("q", 2)
    bench.side.poison = {ids[0]}
    bench.put(Q, found)
    await until("it has failed", lambda: bench.backlog.partitions[Q].failures)

    bench.side.poison = ()

    await until("all is moved", lambda: bench.done.get(Q) == 2)
    assert bench.parked == []
    assert bench.moved() == ids


async def test_a_store_that_is_down_loses_nothing_and_is_given_all_later(bench: Bench) -> None:
    bench.side.is_down = True
    found, ids = records("q", 5)
    others, _ = records("r", 5)
    bench.put(Q, found)
    bench.put(R, others)
    await bench.intake.progress(0.3)

    assert bench.done == {}
    bench.side.is_down = False
    await until("all is moved", lambda: bench.done == {Q: 5, R: 5})
    assert set(ids) <= set(bench.moved())
    assert bench.parked == []


async def test_what_was_stored_when_the_answer_was_lost_is_moved_once(bench: Bench) -> None:
    bench.side.dies_after = True
    found, ids = records("q", 5)
    bench.put(Q, found)
    await until("the answer is lost", lambda: bench.side.is_down)
    assert bench.done == {}

    bench.side.is_down = False
    await until("it is moved again", lambda: bench.done.get(Q) == 5)

    assert bench.moved() == ids
    assert bench.intake.twice == 5
    assert await pending(bench) == 5


async def test_records_that_come_again_are_known_by_their_ids(bench: Bench) -> None:
    found, _ = records("q", 3)
    bench.put(Q, found)
    await until("all is moved", lambda: bench.done.get(Q) == 3)

    bench.backlog.seat(Q, 0, 1, 0)
    bench.put(Q, found)
    await until("all is moved again", lambda: bench.intake.moved == 6)

    assert bench.intake.twice == 3
    assert await pending(bench) == 3


async def test_an_id_in_two_records_is_stored_once(bench: Bench) -> None:
    job = new_job()

    bench.put(Q, [record(0, job), record(1, job)])
    await until("both are moved", lambda: bench.done.get(Q) == 2)

    assert await pending(bench) == 1
    assert bench.intake.twice == 1


async def test_what_lies_before_the_barrier_is_dropped_and_counted_by_jobs(bench: Bench) -> None:
    cleared = [record(0, new_job(), new_job()), record(1, new_job())]
    kept, ids = records("q", 2, first=2)

    bench.put(Q, [*cleared, *kept], barrier=2)
    await until("all is moved", lambda: bench.done.get(Q) == 4)

    assert bench.moved() == ids
    assert await bench.ledger.read("cleared", [Q]) == {Q: 3}


async def test_offsets_of_a_partition_that_was_given_up_while_its_jobs_were_moved_are_not_told(bench: Bench) -> None:
    found, ids = records("q", 2)
    others, _ = records("r", 1)
    with bench.side.held():
        bench.put(Q, found)
        await until("its jobs are under way", lambda: bench.side.waiting)
        del bench.backlog.partitions[Q]
    bench.put(R, others)
    await until("the next is moved", lambda: bench.done.get(R) == 1)

    assert set(ids) <= set(bench.moved())
    assert Q not in bench.done


async def test_who_gives_a_partition_up_waits_for_what_is_under_way(bench: Bench) -> None:
    found, _ = records("q", 2)
    with bench.side.held():
        bench.put(Q, found)
        await until("its jobs are under way", lambda: bench.side.waiting)
        leaving = bench.backlog.partitions.pop(Q)
        settled = asyncio.ensure_future(bench.intake.settled())
        done, _ = await asyncio.wait([settled], timeout=0.05)
        assert not done

    await settled
    assert leaving.done == 2


async def test_a_record_that_has_waited_for_days_is_moved_whatever_waits(narrow: Bench) -> None:
    found, _ = records("q", 10)
    narrow.put(Q, found)
    await until("the queue has what it may", lambda: narrow.done.get(Q) == 10)
    old = new_job()

    narrow.put(Q, [record(10, old, at=datetime.now(UTC) - timedelta(days=4))])
    await until("it is moved", lambda: narrow.done.get(Q) == 11)

    assert narrow.moved()[-1] == old.id


async def test_who_waits_for_what_was_appended_sees_it_moved(bench: Bench) -> None:
    found, ids = records("q", 3)
    bench.backlog.note_acked({Q: 3})
    bench.put(Q, found)

    await bench.intake.caught_up(None, 10)

    assert bench.moved() == ids


async def test_nobody_waits_for_what_is_kept_back(narrow: Bench) -> None:
    found, _ = records("q", 30)
    narrow.backlog.note_acked({Q: 30})
    narrow.put(Q, found)

    await narrow.intake.caught_up(None, 30)

    assert narrow.backlog.partitions[Q].done == 10


async def test_no_more_bytes_are_moved_at_once_than_a_statement_should_have(bench: Bench) -> None:
    jobs = [new_job(body=bytes(1024 * 1024)) for _ in range(7)]

    bench.put(Q, [record(n, job) for n, job in enumerate(jobs)])
    await until("all is moved", lambda: bench.done.get(Q) == len(jobs))

    assert bench.moved() == [job.id for job in jobs]
    assert max(len(call) for call in bench.side.dispatched) == 3
