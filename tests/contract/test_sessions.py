"""Worker sessions: streams come and go, the session keeps its leases."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from protojobs_service.domain.errors import SessionSuperseded
from protojobs_service.domain.job import Lease
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.outcome import Fail
from protojobs_service.domain.retry import DEFAULT_POLICY
from protojobs_service.port import Driver, Held, SettleVerdict

from tests.contract.acts import (
    ERROR,
    EXACT,
    MINUTE,
    SECOND,
    claim,
    connect,
    die,
    during,
    held,
    new_id,
    new_job,
    outcomes_of,
    pass_time,
    reconnect,
    record,
    run,
    settle,
    settle_well,
    skip,
    state_of,
    states_of,
    store,
    store_all,
    store_and_run,
)
from tests.contract.backends import Clock, FakeRoom

pytestmark = pytest.mark.asyncio


async def test_sessions_and_streams_have_numbers_of_their_own(driver: Driver) -> None:
    workers = [await connect(driver) for _ in range(3)]

    assert len({worker.handle for worker in workers}) == 3
    assert len({worker.session for worker in workers}) == 3
    assert all(worker.handle > 0 for worker in workers)


async def test_resume_is_the_same_session_under_a_new_handle(driver: Driver) -> None:
    worker = await connect(driver)

    resumed, opened = await reconnect(driver, worker)

    assert resumed.session == worker.session
    assert resumed.handle != worker.handle
    assert (list(opened.kept), list(opened.lost), opened.draining) == ([], [], False)


async def test_resume_keeps_exactly_the_leases_it_holds(driver: Driver, room: FakeRoom) -> None:
    worker = await connect(driver)
    await store_all(driver, [new_job() for _ in range(4)])
    kept, unstarted, dropped, _ = leases = await claim(driver, worker)
    room.arrivals.clear()

    resumed, opened = await reconnect(driver, worker, [held(kept), held(unstarted, started=False)])

    assert list(opened.kept) == [held(kept), held(unstarted, started=False)]
    assert list(opened.lost) == []
    assert await states_of(driver, [lease.id for lease in leases]) == [State.RUNNING] * 2 + [State.PENDING] * 2
    assert sorted(await driver.sessions.leases([worker.handle, resumed.handle])) == sorted(
        (resumed.handle, lease.id, 1) for lease in (kept, unstarted)
    )
    assert room.told == {"q"}
    found = await record(driver, dropped.id)
    assert (found.attempt, found.failures, found.crashes) == (1, 0, 0)
    assert await outcomes_of(driver, dropped.id) == [(1, Code.RELEASED)]
    assert (await settle(driver, resumed, kept)).verdict is SettleVerdict.OK


async def test_resume_tells_which_leases_are_lost(driver: Driver) -> None:
    worker, other = await connect(driver), await connect(driver)
    ended = await store_and_run(driver, worker)
    await settle_well(driver, worker, ended)
    foreign = await store_and_run(driver, other)
    mine = await store_and_run(driver, worker)
    wrong = [Held(mine.id, 2, started=True), Held(mine.id, 0, started=False), Held(new_id(), 1, started=True)]

    _, opened = await reconnect(driver, worker, [held(ended), held(foreign), *wrong, held(mine)])

    assert list(opened.kept) == [held(mine)]
    assert list(opened.lost) == [held(ended), held(foreign), *wrong]
    assert await state_of(driver, foreign.id) is State.RUNNING


async def test_new_session_that_holds_something_has_lost_it(driver: Driver) -> None:
    other = await connect(driver)
    lease = await store_and_run(driver, other)

    worker = await connect(driver, held=[held(lease)])

    assert await driver.sessions.leases([worker.handle]) == []
    assert await driver.sessions.leases([other.handle]) == [(other.handle, lease.id, 1)]


@pytest.mark.parametrize("stream_no", [4, 5])
async def test_stream_that_is_not_newer_is_superseded(driver: Driver, stream_no: int) -> None:
    worker = await connect(driver, stream_no=5)
    lease = await store_and_run(driver, worker)

    with pytest.raises(SessionSuperseded):
        await driver.sessions.open(replace(worker.opening, stream_no=stream_no))

    assert await driver.sessions.leases([worker.handle]) == [(worker.handle, lease.id, 1)]
    assert list(await driver.sessions.renew([worker.handle])) == []


async def test_concurrent_streams_of_one_number_open_once(driver: Driver) -> None:
    worker = await connect(driver)
    opening = replace(worker.opening, stream_no=2)

    results = await asyncio.gather(*(driver.sessions.open(opening) for _ in range(5)), return_exceptions=True)

    assert sorted(isinstance(result, SessionSuperseded) for result in results) == [False] + [True] * 4


async def test_resume_says_started_of_what_was_not_known_to_be(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    resumed, _ = await reconnect(driver, worker, [held(lease, started=True)])
    await die(driver, clock, resumed)

    await driver.sessions.rescue(100)

    assert (await record(driver, lease.id)).crashes == 1


async def test_resume_forgets_no_start(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await driver.sessions.detach(worker.handle, [lease.id], None)
    resumed, _ = await reconnect(driver, worker, [held(lease, started=False)])
    await die(driver, clock, resumed)

    await driver.sessions.rescue(100)

    assert (await record(driver, lease.id)).crashes == 1


async def test_resume_within_the_grace_keeps_the_leases(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await driver.sessions.detach(worker.handle, [lease.id], 3 * SECOND)
    await pass_time(driver, clock, 2 * SECOND)

    resumed, opened = await reconnect(driver, worker, [held(lease)])
    await pass_time(driver, clock, 10 * SECOND)

    assert list(opened.kept) == [held(lease)]
    assert await driver.sessions.rescue(100) == []
    assert (await settle(driver, resumed, lease)).verdict is SettleVerdict.OK


async def test_late_resume_keeps_what_nobody_took_back(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await die(driver, clock, worker, lease)

    resumed, opened = await reconnect(driver, worker, [held(lease)])

    assert list(opened.kept) == [held(lease)]
    assert await driver.sessions.rescue(100) == []
    assert (await settle(driver, resumed, lease)).verdict is SettleVerdict.OK


async def test_rescued_session_may_come_back_under_its_number(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await die(driver, clock, worker, lease)
    await driver.sessions.rescue(100)

    resumed, opened = await reconnect(driver, worker, [held(lease)])

    assert (resumed.session, list(opened.lost)) == (worker.session, [held(lease)])
    assert (await run(driver, resumed, lease.id)).attempt == 2


async def test_detach_without_a_grace_leaves_the_ttl(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver, ttl=6 * SECOND)
    lease = await store_and_run(driver, worker)
    await driver.sessions.detach(worker.handle, [lease.id], None)
    await pass_time(driver, clock, 5 * SECOND)

    assert await driver.sessions.rescue(100) == []


async def test_detach_never_gives_more_time(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver, ttl=6 * SECOND)
    await store_and_run(driver, worker)
    await driver.sessions.detach(worker.handle, [], MINUTE)
    await pass_time(driver, clock, 7 * SECOND)

    assert len(await driver.sessions.rescue(100)) == 1


async def test_detach_of_an_old_stream_does_not_touch_the_new_one(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    resumed, _ = await reconnect(driver, worker)
    lease = await store_and_run(driver, resumed)

    await driver.sessions.detach(worker.handle, [lease.id], SECOND)
    await pass_time(driver, clock, 5 * SECOND)

    assert await driver.sessions.rescue(100) == []


async def test_renewal_pushes_the_expiry_and_tells_what_is_closed(driver: Driver, clock: Clock) -> None:
    worker, closed = await connect(driver, ttl=6 * SECOND), await connect(driver)
    resumed, _ = await reconnect(driver, worker)
    await driver.sessions.close(closed.handle, [])
    await pass_time(driver, clock, 4 * SECOND)

    answer = await driver.sessions.renew([worker.handle, resumed.handle, closed.handle])

    assert set(answer) == {worker.handle, closed.handle}
    await pass_time(driver, clock, 4 * SECOND)
    await store_and_run(driver, resumed)
    assert await driver.sessions.rescue(100) == []


async def test_rescued_handle_is_closed_for_its_replica(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    await die(driver, clock, worker)
    await driver.sessions.rescue(100)

    assert list(await driver.sessions.renew([worker.handle])) == [worker.handle]


async def test_renewal_between_expiry_and_rescue_saves_the_session(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver, ttl=6 * SECOND)
    await store_and_run(driver, worker)
    await pass_time(driver, clock, 7 * SECOND)

    answer = await driver.sessions.renew([worker.handle])

    assert list(answer) == []
    assert await driver.sessions.rescue(100) == []


async def test_close_gives_everything_back_and_counts_nothing(driver: Driver, room: FakeRoom) -> None:
    worker = await connect(driver)
    ids = await store_all(driver, [new_job() for _ in range(3)])
    leases = await claim(driver, worker, limit=2)
    room.arrivals.clear()

    returned = await driver.sessions.close(worker.handle, [leases[0].id])

    assert returned == 2
    assert await states_of(driver, ids) == [State.PENDING] * 3
    assert [(await record(driver, job_id)).crashes for job_id in ids] == [0, 0, 0]
    assert await outcomes_of(driver, leases[0].id) == [(1, Code.RELEASED)]
    assert room.told == {"q"}
    assert list(await driver.sessions.list(None, 0, 100)) == []


async def test_close_happens_once(driver: Driver) -> None:
    worker = await connect(driver)
    await store_and_run(driver, worker)
    await driver.sessions.close(worker.handle, [])

    assert await driver.sessions.close(worker.handle, []) == 0


async def test_close_of_an_old_stream_does_not_touch_the_new_one(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    resumed, _ = await reconnect(driver, worker, [held(lease)])

    returned = await driver.sessions.close(worker.handle, [])

    assert returned == 0
    assert list(await driver.sessions.renew([resumed.handle])) == []
    assert (await settle(driver, resumed, lease)).verdict is SettleVerdict.OK
    await store_and_run(driver, resumed)


async def test_leases_are_told_of_the_named_handles_only(driver: Driver) -> None:
    worker, other = await connect(driver), await connect(driver)
    await store_all(driver, [new_job() for _ in range(3)])
    mine = await claim(driver, worker, limit=2)
    await claim(driver, other)
    await settle_well(driver, worker, mine[0])

    assert list(await driver.sessions.leases([worker.handle])) == [(worker.handle, mine[1].id, 1)]
    assert len(await driver.sessions.leases([worker.handle, other.handle])) == 2
    assert list(await driver.sessions.leases([])) == []


async def test_live_sessions_are_listed_with_what_they_run(driver: Driver) -> None:
    worker, span = await during(
        driver, connect(driver, "a", "q", kinds=["k", "l"], worker="mia", sdk="py", sdk_version="1.2", slots=4)
    )
    lease = await run(driver, worker, await store(driver))

    [found] = await driver.sessions.list(None, 0, 100)

    assert (found.session, found.worker, found.sdk, found.sdk_version) == (worker.session, "mia", "py", "1.2")
    assert (list(found.queues), list(found.kinds), found.slots) == (["a", "q"], ["k", "l"], 4)
    assert (found.in_flight, found.draining) == (1, False)
    assert span.holds(found.created_at)
    assert span.holds(found.heartbeat_at)
    [running] = found.running
    assert (running.id, running.queue, running.kind, running.attempt) == (lease.id, "q", "k", 1)
    assert running.started_at == (await record(driver, lease.id)).started_at


async def test_sessions_are_listed_oldest_first_by_page_and_queue(driver: Driver) -> None:
    workers = [await connect(driver, *queues) for queues in (["a"], ["a", "b"], ["b"], ["a"])]
    numbers = [worker.session for worker in workers]

    everything = [found.session for found in await driver.sessions.list(None, 0, 100)]
    page = [found.session for found in await driver.sessions.list(None, numbers[0], 2)]
    on_b = [found.session for found in await driver.sessions.list("b", 0, 100)]

    assert (everything, page, on_b) == (numbers, numbers[1:3], numbers[1:3])


async def test_resumed_session_is_listed_once_as_it_is_now(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver, "a", slots=1)
    [before] = await driver.sessions.list(None, 0, 100)
    await pass_time(driver, clock, 2 * SECOND)

    await reconnect(driver, worker, queues=["b"], slots=8)

    [found] = await driver.sessions.list(None, 0, 100)
    assert (list(found.queues), found.slots, found.session) == (["b"], 8, worker.session)
    assert found.created_at == before.created_at
    assert found.heartbeat_at > before.heartbeat_at


async def test_dead_sessions_are_not_listed(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    await die(driver, clock, worker)
    await driver.sessions.rescue(100)

    assert list(await driver.sessions.list(None, 0, 100)) == []


async def test_drain_is_told_to_the_sessions_stream_with_the_time_left(driver: Driver, clock: Clock) -> None:
    worker, other = await connect(driver), await connect(driver)

    found = await driver.sessions.drain(worker.session, 10 * MINUTE)
    await pass_time(driver, clock, 4 * SECOND)

    [(handle, left)] = await driver.sessions.draining([worker.handle, other.handle])
    assert (found, handle) == (True, worker.handle)
    assert 9 * MINUTE < left <= 10 * MINUTE - 4 * SECOND
    [listed, _] = await driver.sessions.list(None, 0, 100)
    assert (listed.session, listed.draining) == (worker.session, True)


async def test_drain_follows_the_session_to_its_next_stream(driver: Driver) -> None:
    worker = await connect(driver)
    await driver.sessions.drain(worker.session, MINUTE)

    resumed, opened = await reconnect(driver, worker)

    assert opened.draining
    assert [handle for handle, _ in await driver.sessions.draining([worker.handle, resumed.handle])] == [resumed.handle]


async def test_drain_needs_a_live_session(driver: Driver) -> None:
    worker = await connect(driver)
    await driver.sessions.close(worker.handle, [])

    assert [await driver.sessions.drain(session, MINUTE) for session in (worker.session, 12345)] == [False, False]


async def test_leases_end_with_their_job_and_not_with_time(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await pass_time(driver, clock, timedelta(seconds=40), alive=[worker])

    assert await driver.sessions.leases([worker.handle]) == [(worker.handle, lease.id, 1)]


async def test_live_session_is_found_by_its_secret(driver: Driver) -> None:
    worker = await connect(driver, ttl=MINUTE, stream_no=3)

    found = await driver.sessions.find(worker.opening.secret)

    assert found == (worker.handle, worker.session, 3, MINUTE, False, False)
    assert await driver.sessions.find(bytes(16)) is None


async def test_found_is_the_newest_stream_as_it_was_opened(driver: Driver) -> None:
    worker = await connect(driver)
    await driver.sessions.drain(worker.session, MINUTE)
    resumed, _ = await reconnect(driver, worker, unary=True, ttl=2 * MINUTE)

    found = await driver.sessions.find(worker.opening.secret)

    assert found == (resumed.handle, worker.session, 2, 2 * MINUTE, True, True)


async def test_ended_session_is_not_found(driver: Driver, clock: Clock) -> None:
    closed, dead = await connect(driver), await connect(driver)
    await driver.sessions.close(closed.handle, [])
    await die(driver, clock, dead)
    await driver.sessions.rescue(100)

    assert [await driver.sessions.find(worker.opening.secret) for worker in (closed, dead)] == [None, None]


async def test_leased_is_what_the_claim_gave(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, policy=EXACT)
    await settle_well(driver, worker, lease, Fail(error=ERROR, retry_after=SECOND, checkpoint=b"half"))
    await skip(driver, clock, 2 * SECOND)
    await driver.jobs.promote(100)
    await store(driver, kind="other", priority=1)

    leases = await claim(driver, worker)

    assert [(each.attempt, each.failures, each.checkpoint) for each in leases] == [(2, 1, b"half"), (1, 0, None)]
    assert _resolved(await driver.sessions.leased(worker.handle)) == _resolved(leases)


async def test_leased_is_only_what_still_runs_under_the_handle(driver: Driver) -> None:
    worker = await connect(driver)
    ids = await store_all(driver, [new_job() for _ in range(3)])
    first, second, _ = await claim(driver, worker)
    await settle_well(driver, worker, first)

    before = [lease.id for lease in await driver.sessions.leased(worker.handle)]
    resumed, _ = await reconnect(driver, worker, [held(second)])

    assert sorted(before) == sorted(ids[1:])
    assert list(await driver.sessions.leased(worker.handle)) == []
    assert _resolved(await driver.sessions.leased(resumed.handle)) == _resolved([second._replace(handle=resumed.handle)])


def _resolved(leases: Sequence[Lease]) -> list[Lease]:
    """Return leases in one order that all name their policy."""
    return sorted((lease._replace(policy=lease.policy or DEFAULT_POLICY) for lease in leases), key=lambda lease: lease.id)


async def test_unary_call_may_be_repeated_under_its_number(driver: Driver) -> None:
    worker = await connect(driver, unary=True, stream_no=5)
    lease = await store_and_run(driver, worker)

    again = await driver.sessions.open(replace(worker.opening, held=[held(lease)]))

    assert (again.session, list(again.kept)) == (worker.session, [held(lease)])
    assert await driver.sessions.leases([again.handle]) == [(again.handle, lease.id, 1)]
    with pytest.raises(SessionSuperseded):
        await driver.sessions.open(replace(worker.opening, stream_no=4))
