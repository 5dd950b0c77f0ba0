"""Which jobs go to which stream."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from protojobs_service.application import Window
from protojobs_service.domain.errors import Draining, StoreUnavailable
from protojobs_service.domain.job import Handle, Lease
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import Fail, JobError, Release, ReleaseCause
from protojobs_service.domain.queue_limits import HoldCause
from protojobs_service.port import Claim, Opened, Opening

from tests.unit.application.stand import Outage, Stand

pytestmark = pytest.mark.asyncio


async def test_jobs_reach_a_session_up_to_its_window_and_no_further(stand: Stand) -> None:
    await stand.dispatch(30)
    worker = await stand.worker(window=10, slots=4)

    await stand.claim()

    assert len(worker.leases) == 10
    assert stand.application.room.free() == 0


async def test_room_that_a_settle_frees_is_filled_again(stand: Stand) -> None:
    await stand.dispatch(15)
    worker = await stand.worker(window=10)
    await stand.claim()

    await worker.settle(worker.leases[:3])
    await stand.claim()

    assert len(worker.leases) == 13
    assert len(worker.at.flights) == 10


async def test_a_smaller_window_takes_effect_without_taking_jobs_away(stand: Stand) -> None:
    await stand.dispatch(20)
    worker = await stand.worker(window=10)
    await stand.claim()

    stand.application.leasing.set_window(worker.at, Window(4))
    await worker.settle(worker.leases[:6])
    await stand.claim()
    assert len(worker.at.flights) == 4

    await worker.settle(worker.leases[6:8])
    await stand.claim()
    assert len(worker.at.flights) == 4
    assert len(worker.leases) == 12


async def test_a_window_of_zero_pauses_the_worker(stand: Stand) -> None:
    await stand.dispatch(5)
    worker = await stand.worker(window=0)

    assert await stand.claim() == 0
    assert stand.application.room.reserve([("default", "email", 10)]) == [0]

    stand.application.leasing.set_window(worker.at, Window(2))
    assert await stand.claim() == 2


async def test_a_window_of_bytes_holds_but_one_large_job_still_comes(stand: Stand) -> None:
    await stand.dispatch(3, size=900)
    worker = await stand.worker(window=10, max_bytes=500)

    await stand.claim()
    assert len(worker.leases) == 1

    await worker.settle()
    await stand.claim()
    assert len(worker.leases) == 2


async def test_few_jobs_go_to_idle_handlers_before_anyone_prefetches(stand: Stand) -> None:
    first = await stand.worker(window=100, slots=4)
    second = await stand.worker(window=100, slots=4)
    await stand.dispatch(8)

    await stand.claim()

    assert (len(first.leases), len(second.leases)) == (4, 4)


@pytest.mark.parametrize("jobs", [1, 8, 100])
async def test_reserved_places_are_spread_over_idle_handlers(stand: Stand, jobs: int) -> None:
    first = await stand.worker(window=100, slots=4)
    second = await stand.worker(window=100, slots=4)
    counts: Counter[Handle] = Counter()

    for _ in range(8 if jobs == 1 else 1):
        counts.update(stand.application.room.reserve([("default", "email", 10)] * jobs))

    assert abs(counts[first.at.handle] - counts[second.at.handle]) <= jobs / 8


async def test_a_few_jobs_go_to_one_stream_with_many_idle_slots_and_the_next_ones_to_another(stand: Stand) -> None:
    workers = [await stand.worker(window=2000, slots=640) for _ in range(2)]

    lots = [stand.application.room.reserve([("default", "email", 10)] * 20) for _ in range(4)]

    assert all(len(set(lot)) == 1 for lot in lots)
    assert Counter(lot[0] for lot in lots) == {worker.at.handle: 2 for worker in workers}


async def test_nobody_always_gets_the_larger_lots(stand: Stand) -> None:
    workers = [await stand.worker(window=2000, slots=640) for _ in range(2)]
    counts: Counter[Handle] = Counter()

    for number in range(40):
        counts.update(stand.application.room.reserve([("default", "email", 10)] * (20 if number % 2 else 1)))

    assert abs(counts[workers[0].at.handle] - counts[workers[1].at.handle]) <= 20


async def test_a_kind_goes_only_to_sessions_that_named_it(stand: Stand) -> None:
    mails = await stand.worker(kinds=frozenset({"email"}))
    images = await stand.worker(kinds=frozenset({"image"}))

    handles = stand.application.room.reserve(
        [("default", "email", 1), ("default", "image", 1), ("default", "other", 1), ("nobody", "email", 1)]
    )

    assert handles == [mails.at.handle, images.at.handle, 0, 0]


async def test_weighted_queues_get_their_shares(stand: Stand) -> None:
    await stand.dispatch(400, "big")
    await stand.dispatch(400, "small")
    worker = await stand.worker({"big": 3, "small": 1}, window=1)

    for _ in range(200):
        await stand.claim()
        await worker.settle(worker.leases[-1:])

    shares = Counter(lease.queue for lease in worker.leases)
    assert shares == {"big": 150, "small": 50}


async def test_weighted_queues_get_their_shares_in_large_claims_too(stand: Stand) -> None:
    await stand.dispatch(3000, "big")
    await stand.dispatch(3000, "small")
    worker = await stand.worker({"big": 3, "small": 1}, window=400, slots=400)

    for _ in range(8):
        await stand.claim()
        await worker.settle(worker.leases[-400:])

    shares = Counter(lease.queue for lease in worker.leases)
    assert 2.5 < shares["big"] / shares["small"] < 3.5


async def test_a_queue_that_was_empty_does_not_shut_the_others_out_when_it_fills(stand: Stand) -> None:
    await stand.dispatch(300, "busy")
    worker = await stand.worker({"busy": 1, "quiet": 1}, window=1)
    for _ in range(100):
        await stand.claim()
        await worker.settle(worker.leases[-1:])

    await stand.dispatch(100, "quiet")
    stand.clock.now += 1
    for session in stand.application.leasing.sessions.values():
        session.dry = False
    for _ in range(20):
        await stand.claim()
        await worker.settle(worker.leases[-1:])

    assert 8 <= Counter(lease.queue for lease in worker.leases[100:])["quiet"] <= 12


async def test_strict_order_serves_a_queue_only_while_those_before_it_have_nothing(stand: Stand) -> None:
    await stand.dispatch(5, "second")
    await stand.dispatch(5, "first")
    worker = await stand.worker({"first": 1, "second": 100}, window=1, strict=True)

    for _ in range(10):
        await stand.claim()
        await worker.settle(worker.leases[-1:])

    assert [lease.queue for lease in worker.leases] == ["first"] * 5 + ["second"] * 5


async def test_paused_queues_are_left_out_and_their_workers_told_why(stand: Stand) -> None:
    await stand.dispatch(2, "open")
    await stand.dispatch(2, "shut")
    worker = await stand.worker({"open": 1, "shut": 1})
    await stand.application.queues.pause("shut")

    await stand.claim()

    assert [lease.queue for lease in worker.leases] == ["open", "open"]
    assert worker.throttled == [("shut", HoldCause.PAUSED, None)]
    assert stand.application.room.reserve([("shut", "email", 1)]) == [0]
    assert stand.application.room.open_windows().get("shut", 0) == 0


async def test_a_worker_that_connects_to_a_paused_queue_is_told_why(stand: Stand) -> None:
    await stand.application.queues.pause("shut")

    worker = await stand.worker({"shut": 1})

    assert worker.throttled == [("shut", HoldCause.PAUSED, None)]


async def test_a_resumed_queue_is_claimed_from_again(stand: Stand) -> None:
    await stand.application.queues.pause("shut")
    await stand.dispatch(2, "shut")
    worker = await stand.worker({"shut": 1})
    await stand.claim()
    assert worker.leases == []

    await stand.application.queues.resume("shut")
    await stand.claim()

    assert len(worker.leases) == 2


async def test_an_unknown_kind_is_not_offered_to_the_session_again(stand: Stand) -> None:
    [job_id] = await stand.dispatch(1, kind="image")
    await stand.dispatch(1, kind="email")
    worker = await stand.worker()
    await stand.claim()

    image = [lease for lease in worker.leases if lease.id == job_id]
    await worker.settle(image, Release(cause=ReleaseCause.UNKNOWN_KIND))
    await stand.claim()

    assert len(worker.leases) == 2
    assert (await stand.job(job_id)).state is State.PENDING
    assert stand.application.room.reserve([("default", "image", 1)]) == [0]


async def test_leases_for_a_stream_that_is_gone_go_back_at_once(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    worker = await stand.worker()
    leasing = stand.application.leasing
    [handle] = stand.application.room.reserve([("default", "email", 10)])
    leases = await stand.driver.jobs.claim([Claim(handle, ("default",), None, frozenset(), 1, 0)])
    leasing.lost(worker.at)

    stand.application.room.deliver(leases)
    await stand.application.lease_watch.run_errands()

    job = await stand.job(job_id)
    assert (job.state, job.attempt, job.failures, job.crashes) == (State.PENDING, 1, 0, 0)


async def test_leases_that_no_frame_carried_go_back_when_the_stream_ends(stand: Stand) -> None:
    ids = await stand.dispatch(3)
    worker = await stand.worker(sends=False)
    await stand.claim()

    stand.application.leasing.lost(worker.at)
    await stand.application.lease_watch.run_errands()

    assert [(await stand.job(job_id)).state for job_id in ids] == [State.PENDING] * 3


async def test_a_dry_session_does_not_claim_until_something_arrives(stand: Stand) -> None:
    await stand.worker()
    assert await stand.claim() == 0
    calls = Outage(stand.driver.jobs, "claim")
    calls.is_on = False

    await stand.claim()
    assert calls.calls == 0

    await stand.dispatch(1)
    await stand.claim()
    assert calls.calls == 1


async def test_an_arrival_during_a_claim_is_not_missed(stand: Stand) -> None:
    worker = await stand.worker()
    inner = stand.driver.jobs.claim

    async def claim_slowly(claims: Sequence[Claim]) -> Sequence[Lease]:
        leases = await inner(claims)
        stand.driver.jobs.claim = inner  # type: ignore[method-assign] # only the first is slow
        await stand.dispatch(1)
        return leases

    stand.driver.jobs.claim = claim_slowly  # type: ignore[method-assign] # a slow store
    await stand.application.claims.claim()
    await stand.application.claims.claim()

    assert len(worker.leases) == 1


async def test_places_of_a_claim_that_failed_are_free_again(stand: Stand) -> None:
    worker = await stand.worker(window=10)
    await stand.dispatch(3)
    outage = Outage(stand.driver.jobs, "claim")

    with pytest.raises(StoreUnavailable):
        await stand.application.claims.claim()
    assert stand.application.room.free() == 10

    outage.is_on = False
    await stand.claim()
    assert len(worker.leases) == 3


async def test_turning_over_holds_for_a_moment_after_a_settle(stand: Stand) -> None:
    await stand.dispatch()
    worker = await stand.worker()
    await stand.claim()
    assert not stand.application.room.turning_over()

    await worker.settle()
    assert stand.application.room.turning_over()

    stand.clock.now += 0.06
    assert not stand.application.room.turning_over()


@pytest.mark.parametrize("seed", range(20))
async def test_no_window_is_ever_exceeded_and_free_is_the_sum_of_rooms(stand: Stand, seed: int) -> None:
    rng = Random(seed)
    leasing = stand.application.leasing
    workers = [await stand.worker(window=rng.randint(0, 30), slots=rng.randint(1, 8)) for _ in range(3)]
    reserved: list[tuple[Handle, int]] = []

    def check() -> None:
        for worker in workers:
            session = worker.at
            assert session.reserved >= 0
            assert session.free == max(0, session.window.max_in_flight - len(session.flights) - session.reserved)
        assert stand.application.room.free() == sum(worker.at.free for worker in workers)

    for _ in range(120):
        worker = rng.choice(workers)
        match rng.randrange(6):
            case 0:
                await stand.dispatch(rng.randint(1, 10))
                await stand.application.claims.claim()
            case 1:
                free = {each.at.handle: each.at.free for each in workers}
                handles = [
                    handle for handle in stand.application.room.reserve([("default", "email", 10)] * rng.randint(1, 20)) if handle
                ]
                assert all(count <= free[handle] for handle, count in Counter(handles).items())
                reserved += [(handle, 10) for handle in handles]
            case 2:
                stand.application.room.unreserve(reserved)
                reserved = []
            case 3 if reserved:
                handle, _ = reserved.pop()
                job_id = stand.id()
                stand.application.room.deliver([Lease(handle, job_id, 1, "default", "email", b"x" * 10)])
            case 4:
                await worker.settle([lease for lease in worker.leases if lease.id in worker.at.flights][: rng.randint(1, 5)])
                for lease in worker.leases:
                    worker.at.drop(lease.id, lease.attempt) if rng.random() < 0.1 else None
                stand.application.room.recount(worker.at)
            case _:
                leasing.set_window(worker.at, Window(rng.randint(0, 30)))
        check()


async def test_the_claim_loop_wakes_for_arrivals_and_polls_when_it_hears_nothing(stand: Stand) -> None:
    async with asyncio.TaskGroup() as tasks:
        stop = stand.application.upkeep.start(tasks)
        worker = await stand.worker()

        await stand.dispatch(1)
        await stand.clock.settle()
        assert len(worker.leases) == 1

        room, stand.application.room.arrived = stand.application.room.arrived, lambda queues: None  # type: ignore[method-assign]
        await stand.dispatch(1)
        await stand.clock.settle()
        assert len(worker.leases) == 1
        await stand.clock.advance(0.3)
        assert len(worker.leases) == 2

        stand.application.room.arrived = room  # type: ignore[method-assign] # as it was
        stop()


async def test_a_failed_job_comes_back_to_a_worker_after_its_backoff(stand: Stand) -> None:
    async with asyncio.TaskGroup() as tasks:
        stop = stand.application.upkeep.start(tasks)
        worker = await stand.worker()
        [job_id] = await stand.dispatch(1)
        await stand.clock.settle()

        [answer] = await worker.settle(outcome=Fail(error=JobError(message="no")))
        assert answer.state is State.RETRYING
        worker.ping()
        for _ in range(12):
            await stand.clock.advance(5)
            worker.ping()

        assert [(lease.id, lease.attempt, lease.failures) for lease in worker.leases] == [(job_id, 1, 0), (job_id, 2, 1)]
        stop()


async def test_places_of_a_batch_of_several_kinds_stay_within_every_window(stand: Stand) -> None:
    workers = [await stand.worker(window=10, slots=4), await stand.worker(window=10, slots=4)]

    handles = stand.application.room.reserve([("default", f"kind{n % 10}", 10) for n in range(110)])

    counts = Counter(handle for handle in handles if handle)
    assert counts == {worker.at.handle: 10 for worker in workers}


async def test_places_of_a_batch_of_several_kinds_stay_within_the_bytes_of_a_window(stand: Stand) -> None:
    await stand.worker(window=100, max_bytes=50)

    handles = stand.application.room.reserve([("default", f"kind{n % 10}", 10) for n in range(30)])

    assert sum(map(bool, handles)) == 5


async def test_a_claim_that_is_broken_off_makes_the_memory_doubtful(stand: Stand) -> None:
    await stand.worker(window=10)

    async def never(claims: Sequence[Claim]) -> Sequence[Lease]:
        await asyncio.Event().wait()
        return []

    stand.driver.jobs.claim = never  # type: ignore[method-assign] # a store that does not answer
    claiming = asyncio.ensure_future(stand.application.claims.claim())
    await stand.clock.settle()
    assert stand.application.room.free() == 0

    claiming.cancel()
    await stand.clock.settle()

    assert stand.application.errands.doubt.is_set()
    assert stand.application.room.free() == 10


async def test_a_dispatch_without_an_answer_makes_the_memory_doubtful(stand: Stand) -> None:
    Outage(stand.driver.jobs, "dispatch")

    with pytest.raises(StoreUnavailable):
        await stand.application.dispatch.many(stand.drafts())

    assert stand.application.errands.doubt.is_set()


async def test_a_stream_that_leaves_while_it_is_opened_leaves_no_session_behind(stand: Stand) -> None:
    gate, inner = asyncio.Event(), stand.driver.sessions.open

    async def slowly(opening: Opening) -> Opened:
        await gate.wait()
        return await inner(opening)

    stand.driver.sessions.open = slowly  # type: ignore[method-assign] # a slow store
    coming = asyncio.ensure_future(stand.worker())
    await stand.clock.settle()

    coming.cancel()
    await stand.clock.settle()
    gate.set()
    await stand.application.leasing.finish()
    await stand.clock.settle()
    await stand.application.lease_watch.run_errands()

    assert len(await stand.driver.sessions.list(None, 0, 10)) == 1
    for _ in range(4):
        stand.clock.now += 1
        await stand.driver.sessions.rescue(10)
    assert await stand.driver.sessions.list(None, 0, 10) == []


async def test_sessions_that_begin_together_take_turns_at_the_store(stand: Stand) -> None:
    inner, gate = stand.driver.sessions.open, asyncio.Event()
    at_once: list[int] = []
    running = 0

    async def open_when_allowed(opening: Opening) -> Opened:
        nonlocal running
        running += 1
        at_once.append(running)
        await gate.wait()
        running -= 1
        return await inner(opening)

    stand.driver.sessions.open = open_when_allowed  # type: ignore[method-assign] # a slow store
    beginning = [asyncio.ensure_future(stand.worker()) for _ in range(50)]
    await stand.clock.settle()
    beginning[-1].cancel()  # it has gone before its turn
    gate.set()
    workers = await asyncio.gather(*beginning[:-1])

    assert max(at_once) == 2
    assert len(at_once) == len(workers) == len(stand.application.leasing.sessions) == 49


async def test_a_session_whose_turn_comes_when_the_server_goes_is_refused(stand: Stand) -> None:
    inner, gate = stand.driver.sessions.open, asyncio.Event()

    async def open_when_allowed(opening: Opening) -> Opened:
        await gate.wait()
        return await inner(opening)

    stand.driver.sessions.open = open_when_allowed  # type: ignore[method-assign] # a slow store
    beginning = [asyncio.ensure_future(stand.worker()) for _ in range(3)]
    await stand.clock.settle()
    stand.application.leasing.drain()
    gate.set()
    _, _, last = await asyncio.gather(*beginning, return_exceptions=True)

    assert isinstance(last, Draining)
