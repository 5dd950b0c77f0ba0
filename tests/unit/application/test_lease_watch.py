"""What time does to streams: receipts, begun handlers, resume, cancels, timeouts, watchdogs, drains."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from protojobs_service.application import DrainCause, HeldLease, StopCause, Timings
from protojobs_service.domain.errors import (
    Draining,
    Overloaded,
    ProtocolViolation,
    SessionClosed,
    SessionSuperseded,
    StoreUnavailable,
)
from protojobs_service.domain.job import Handle, JobId, Lease
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import COMPLETE
from protojobs_service.domain.retry import Policy
from protojobs_service.port import Claim, Settlement, SettleVerdict

from tests.unit.application.stand import Outage, Stand, open_stand

pytestmark = pytest.mark.asyncio


async def test_a_delivery_without_a_receipt_goes_back_uncounted_and_the_worker_is_told(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    worker = await stand.worker(receives=False)
    await stand.claim()

    await stand.sweep(4.9)
    assert (await stand.job(job_id)).state is State.RUNNING
    await stand.sweep(0.2)

    job = await stand.job(job_id)
    assert (job.state, job.attempt, job.failures, job.crashes) == (State.PENDING, 1, 0, 0)
    assert [(stop.id, stop.attempt, stop.cause) for stop in worker.stops] == [(job_id, 1, StopCause.LEASE_LOST)]


async def test_large_deliveries_have_more_time_for_their_receipt(stand: Stand) -> None:
    [job_id] = await stand.dispatch(size=1024 * 1024)
    await stand.worker(receives=False)
    await stand.claim()

    await stand.sweep(8.9)
    assert (await stand.job(job_id)).state is State.RUNNING
    await stand.sweep(0.2)

    assert (await stand.job(job_id)).state is State.PENDING


async def test_a_receipt_in_time_keeps_the_lease(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    worker = await stand.worker()
    await stand.claim()

    worker.ping()
    await stand.sweep(10)

    assert (await stand.job(job_id)).state is State.RUNNING


async def test_a_stream_without_receipts_gets_nothing_until_it_has_caught_up(stand: Stand) -> None:
    await stand.dispatch(1)
    worker = await stand.worker(receives=False, begins=False)
    await stand.claim()
    await stand.sweep(6)
    assert await stand.claim() == 0

    worker.receives = True
    worker.ping()
    await stand.claim()

    assert len(worker.leases) == 2


async def test_begun_jobs_are_those_the_worker_named_and_the_first_of_its_slots(stand: Stand) -> None:
    await stand.dispatch(6)
    worker = await stand.worker(slots=2, window=6, begins=False)
    await stand.claim()
    ids = [lease.id for lease in worker.leases]
    assert worker.at.started() == ids[:2]

    worker.ping(started=4)
    assert worker.at.started() == ids[:4]

    await worker.settle(worker.leases[:1])
    assert worker.at.started() == ids[1:4]


async def test_jobs_that_were_not_received_have_not_begun(stand: Stand) -> None:
    await stand.dispatch(3)
    worker = await stand.worker(slots=3, receives=False, begins=False)

    await stand.claim()

    assert worker.at.started() == []


async def test_prefetched_jobs_of_a_dead_worker_count_no_crash(stand: Stand) -> None:
    ids = await stand.dispatch(5)
    worker = await stand.worker(slots=1, window=5, begins=False)
    await stand.claim()
    worker.ping(started=1)

    stand.application.leasing.lost(worker.at)
    await stand.application.lease_watch.run_errands()
    for _ in range(8):  # within the beats of a living fleet
        stand.clock.now += 0.5
        await stand.driver.sessions.rescue(100)

    assert [(await stand.job(job_id)).crashes for job_id in ids] == [1, 0, 0, 0, 0]
    assert {(await stand.job(job_id)).state for job_id in ids} == {State.PENDING}


async def test_numbers_ahead_of_the_stream_are_refused(stand: Stand) -> None:
    await stand.dispatch()
    worker = await stand.worker()
    await stand.claim()

    with pytest.raises(ProtocolViolation):
        worker.at.heard(stand.clock.now, 1, 2, 0)
    with pytest.raises(ProtocolViolation):
        worker.at.heard(stand.clock.now, 1, 1, 2)


async def test_a_session_that_resumes_keeps_what_it_holds_and_returns_the_rest(stand: Stand) -> None:
    ids = await stand.dispatch(3)
    old = await stand.worker(secret=b"s" * 16)
    await stand.claim()

    new = await stand.worker(secret=b"s" * 16, stream_no=2, held=old.held()[:2], window=2)

    assert [held.id for held in new.kept] == [lease.id for lease in old.leases[:2]]
    assert isinstance(old.ended[0], SessionSuperseded)
    assert (await stand.job(ids[2])).state is State.PENDING
    assert stand.application.room.free() == 0
    [first, _] = await new.settle(old.leases[:2])
    assert first.verdict is SettleVerdict.OK


async def test_a_session_is_told_which_leases_it_has_lost(stand: Stand) -> None:
    worker = await stand.worker(secret=b"s" * 16, held=[HeldLease(stand.id(), 3, True)])

    assert worker.kept == []
    assert [held.attempt for held in worker.lost] == [3]


async def test_a_lower_stream_number_is_superseded(stand: Stand) -> None:
    await stand.worker(secret=b"s" * 16, stream_no=5)

    with pytest.raises(SessionSuperseded):
        await stand.worker(secret=b"s" * 16, stream_no=4)


async def test_a_resumed_job_still_has_its_run_timeout_from_when_it_began(stand: Stand) -> None:
    [job_id] = await stand.dispatch(policy=Policy(run_timeout=timedelta(seconds=60)))
    old = await stand.worker(secret=b"s" * 16)
    await stand.claim()
    held = [HeldLease(job_id, 1, True, timedelta(seconds=50))]
    new = await stand.worker(secret=b"s" * 16, stream_no=2, held=held)

    await stand.application.lease_watch.poll_turn()
    new.ping(started=0)
    await stand.sweep(19)
    assert (await stand.job(job_id)).state is State.RUNNING
    await stand.sweep(2)

    job = await stand.job(job_id)
    assert job.state is State.RETRYING
    assert [stop.cause for stop in new.stops] == [StopCause.TIMEOUT]
    assert old.ended


async def test_a_job_past_its_run_timeout_fails_with_reason_timeout(stand: Stand) -> None:
    policy = Policy(run_timeout=timedelta(seconds=20), max_retries=0)
    [job_id] = await stand.dispatch(policy=policy)
    worker = await stand.worker()
    await stand.claim()
    for _ in range(29):
        worker.ping()
        await stand.sweep(1)
    assert (await stand.job(job_id)).state is State.RUNNING

    worker.ping()
    await stand.sweep(2)

    job = await stand.job(job_id)
    assert (job.state, job.reason, job.failures) == (State.FAILED, "TIMEOUT", 1)
    assert [stop.cause for stop in worker.stops] == [StopCause.TIMEOUT]
    assert worker.at.flights == {}


async def test_a_prefetched_job_does_not_run_out_of_time_before_it_begins(stand: Stand) -> None:
    policy = Policy(run_timeout=timedelta(seconds=5))
    ids = await stand.dispatch(2, policy=policy)
    worker = await stand.worker(slots=1, window=2, begins=False)
    await stand.claim()

    for _ in range(8):
        worker.ping(started=1)
        await stand.sweep(5)

    assert (await stand.job(ids[0])).failures == 1
    assert (await stand.job(ids[1])).failures == 0


async def test_a_cancel_reaches_the_worker_once_and_its_deadline_revokes_the_lease(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    worker = await stand.worker()
    await stand.claim()
    assert await stand.application.cancel.one(job_id, timedelta(seconds=6)) is State.RUNNING

    await stand.application.lease_watch.poll_turn()
    await stand.application.lease_watch.poll_turn()
    assert [(stop.cause, stop.remaining) for stop in worker.stops] == [(StopCause.CANCELLED, timedelta(seconds=6))]

    worker.ping()
    await stand.sweep(5.5)
    assert (await stand.job(job_id)).state is State.RUNNING
    worker.ping()
    await stand.sweep(0.6)

    assert (await stand.job(job_id)).state is State.CANCELLED
    assert worker.stops[-1].cause is StopCause.LEASE_LOST
    assert stand.application.room.free() == 10


async def test_a_completion_before_the_cancel_deadline_holds(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    worker = await stand.worker()
    await stand.claim()
    await stand.application.cancel.one(job_id)
    await stand.application.lease_watch.poll_turn()

    await worker.settle()
    worker.ping()
    await stand.sweep(20)

    assert (await stand.job(job_id)).state is State.COMPLETED


async def test_a_cancel_does_not_overtake_the_delivery_of_its_job(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    worker = await stand.worker(sends=False)
    await stand.claim()
    await stand.application.cancel.one(job_id)

    await stand.application.lease_watch.poll_turn()
    assert worker.stops == []

    worker.at.sent(1, 1, 10, stand.clock.now)
    await stand.application.lease_watch.poll_turn()
    assert [stop.cause for stop in worker.stops] == [StopCause.CANCELLED]


async def test_a_silent_stream_is_dropped_after_three_heartbeats_and_its_session_lives_to_its_ttl(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    worker = await stand.worker(ttl=20)
    await stand.claim()

    await stand.sweep(14)
    assert worker.ended == []
    await stand.sweep(1.1)

    assert isinstance(worker.ended[0], Draining)
    assert (await stand.job(job_id)).state is State.RUNNING
    assert not stand.application.leasing.sessions


@pytest.mark.parametrize("error", [StoreUnavailable(), Overloaded("every connection is in use")])
async def test_a_heartbeat_that_the_store_did_not_take_is_told_at_the_next_turn(stand: Stand, error: Exception) -> None:
    worker = await stand.worker(ttl=10)
    await stand.application.lease_watch.renew_turn()
    worker.ping()
    renewed = Outage(stand.driver.sessions, "renew", error)

    with pytest.raises(type(error)):
        await stand.application.lease_watch.renew_turn()
    renewed.is_on = False
    await stand.application.lease_watch.renew_turn()

    assert renewed.calls == 2


async def test_a_lease_that_went_back_before_its_claim_was_answered_is_not_delivered(stand: Stand) -> None:
    worker = await stand.worker(window=1)
    [job_id] = await stand.dispatch()
    claim, leased, answered = stand.driver.jobs.claim, asyncio.Event(), asyncio.Event()

    async def answer_late(claims: Sequence[Claim]) -> Sequence[Lease]:
        leases = await claim(claims)
        leased.set()
        await answered.wait()
        return leases

    stand.driver.jobs.claim = answer_late  # type: ignore[method-assign] # it waits for a lock after its commit
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stand.application.claims.claim())
        await leased.wait()
        for _ in range(2):
            await stand.application.lease_watch.compare()
        await stand.application.lease_watch.run_errands()
        answered.set()

    assert (await stand.job(job_id)).state is State.PENDING
    assert worker.leases == []
    assert worker.at.flights == {}
    assert worker.at.room() == 1


async def test_sessions_that_were_heard_are_renewed_and_others_are_not(stand: Stand) -> None:
    worker = await stand.worker(ttl=10)
    renewed = Outage(stand.driver.sessions, "renew")
    renewed.is_on = False

    await stand.application.lease_watch.renew_turn()
    await stand.application.lease_watch.renew_turn()
    assert renewed.calls == 1

    worker.ping()
    await stand.application.lease_watch.renew_turn()
    assert renewed.calls == 2


@pytest.mark.parametrize(("ttl", "pause"), [(2, 0.25), (4, 0.5), (30, 1.0)])
async def test_renewals_are_an_eighth_of_the_smallest_ttl_apart_but_at_most_a_second(
    stand: Stand, ttl: float, pause: float
) -> None:
    await stand.worker(ttl=60)
    await stand.worker(ttl=ttl)

    assert stand.application.lease_watch.renewal == pause


async def test_a_stream_whose_session_is_closed_ends(stand: Stand) -> None:
    worker = await stand.worker()
    await stand.driver.sessions.close(worker.at.handle, [])

    await stand.application.lease_watch.renew_turn()

    assert isinstance(worker.ended[0], SessionClosed)
    assert not stand.application.leasing.sessions


async def test_a_stream_that_grows_old_is_drained_and_ends_with_ok(stand: Stand) -> None:
    young = await open_stand(Timings(stream_age=100, stream_age_spread=0.2, drain=timedelta(seconds=5)))
    await young.dispatch()
    worker = await young.worker()
    await young.claim()

    while not worker.drains:
        worker.ping()
        await young.sweep(1)
    assert 1080 <= young.clock.now <= 1120
    assert worker.drains == [(DrainCause.AGE, timedelta(seconds=5))]
    await young.dispatch()
    assert await young.claim() == 0
    [answer] = await worker.settle()
    assert answer.verdict is SettleVerdict.OK

    worker.ping()
    await young.sweep(5.1)
    assert worker.ended == [None]


async def test_a_shutdown_drains_every_stream_and_takes_no_new_one(stand: Stand) -> None:
    worker = await stand.worker()

    stand.application.leasing.drain()

    assert [cause for cause, _ in worker.drains] == [DrainCause.SHUTDOWN]
    assert stand.application.room.free() == 0
    with pytest.raises(Draining):
        await stand.worker()
    stand.application.leasing.lost(worker.at)
    assert await stand.application.leasing.emptied(0)


@pytest.mark.parametrize(("workers", "seconds"), [(2, 0.004), (100, 0.2), (700, 1.0)])
async def test_a_shutdown_lets_few_workers_move_at_once_and_spreads_many(stand: Stand, workers: int, seconds: float) -> None:
    moving = [await stand.worker() for _ in range(workers)]

    stand.application.leasing.drain()

    waits = [wait.total_seconds() for worker in moving for wait in worker.reconnects]
    assert len(waits) == workers
    assert seconds / 8 < max(waits) <= seconds


async def test_an_operator_drains_a_worker_and_what_it_leaves_goes_back_uncounted(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    worker = await stand.worker()
    await stand.claim()
    await stand.application.workers.drain(worker.at.number, timedelta(seconds=8))

    await stand.application.lease_watch.poll_turn()
    await stand.application.lease_watch.poll_turn()
    assert worker.drains == [(DrainCause.WORKER, timedelta(seconds=8))]

    worker.ping()
    await stand.sweep(8.1)
    job = await stand.job(job_id)
    assert (job.state, job.crashes) == (State.PENDING, 0)
    assert worker.ended == [None]


async def test_a_drained_session_stays_drained_on_its_next_stream(stand: Stand) -> None:
    worker = await stand.worker(secret=b"s" * 16)
    await stand.application.workers.drain(worker.at.number)

    again = await stand.worker(secret=b"s" * 16, stream_no=2)

    assert [cause for cause, _ in again.drains] == [DrainCause.WORKER]


async def test_goodbye_with_finish_returns_what_has_not_begun_and_ends_when_the_rest_is_settled(stand: Stand) -> None:
    ids = await stand.dispatch(3)
    worker = await stand.worker(begins=False)
    await stand.claim()
    worker.ping(started=1)

    stand.application.leasing.goodbye(worker.at, finish=True, deadline=timedelta(seconds=60))
    await stand.application.lease_watch.run_errands()
    states = [(await stand.job(job_id)).state for job_id in ids]
    assert states == [State.RUNNING, State.PENDING, State.PENDING]
    assert {stop.cause for stop in worker.stops} == {StopCause.LEASE_LOST}
    assert worker.ended == []

    await worker.settle(worker.leases[:1])
    await stand.application.lease_watch.run_errands()
    assert worker.ended == [None]
    assert (await stand.job(ids[0])).state is State.COMPLETED


async def test_goodbye_with_finish_gives_the_rest_back_after_its_deadline(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    worker = await stand.worker()
    await stand.claim()

    stand.application.leasing.goodbye(worker.at, finish=True, deadline=timedelta(seconds=10))
    worker.ping()
    await stand.sweep(9)
    assert (await stand.job(job_id)).state is State.RUNNING
    worker.ping()
    await stand.sweep(2)

    assert (await stand.job(job_id)).state is State.PENDING
    assert worker.ended == [None]


async def test_goodbye_with_release_gives_everything_back_at_once(stand: Stand) -> None:
    ids = await stand.dispatch(3)
    worker = await stand.worker()
    await stand.claim()

    stand.application.leasing.goodbye(worker.at, finish=False, deadline=timedelta())
    await stand.application.lease_watch.run_errands()

    assert {(await stand.job(job_id)).state for job_id in ids} == {State.PENDING}
    assert {(await stand.job(job_id)).crashes for job_id in ids} == {0}
    assert worker.ended == [None]


async def test_a_lease_whose_answer_was_lost_goes_back_after_the_second_look(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    worker = await stand.worker()
    await stand.driver.jobs.claim([Claim(worker.at.handle, ("default",), None, frozenset(), 1, 0)])

    await stand.application.lease_watch.compare()
    await stand.application.lease_watch.run_errands()
    assert (await stand.job(job_id)).state is State.RUNNING
    await stand.application.lease_watch.compare()
    await stand.application.lease_watch.run_errands()

    job = await stand.job(job_id)
    assert (job.state, job.failures, job.crashes) == (State.PENDING, 0, 0)


async def test_the_longer_a_comparison_takes_the_later_is_the_next_one(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    await stand.worker()
    begun: list[float] = []

    async def slowly(_handles: Sequence[Handle]) -> Sequence[tuple[Handle, JobId, int]]:
        begun.append(stand.clock.now)
        await stand.clock.sleep(0.5)
        return []

    monkeypatch.setattr(stand.driver.sessions, "leases", slowly)

    async def compare() -> None:
        for _ in range(2):
            await stand.application.lease_watch.compare_turn()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(compare())
        await stand.clock.advance(100)

    first, second = begun
    assert second - first == 0.5 + 50


async def test_a_job_that_the_store_no_longer_counts_to_the_session_is_stopped(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    worker = await stand.worker()
    await stand.claim()
    await stand.driver.jobs.settle([Settlement(job_id, 1, worker.at.handle, COMPLETE)])

    await stand.application.lease_watch.compare()
    assert worker.stops == []
    await stand.application.lease_watch.compare()

    assert [stop.cause for stop in worker.stops] == [StopCause.LEASE_LOST]
    assert stand.application.room.free() == 10


async def test_a_claim_without_an_answer_makes_the_comparison_come_soon(stand: Stand) -> None:
    async with asyncio.TaskGroup() as tasks:
        worker = await stand.worker(ttl=600)
        [job_id] = await stand.dispatch()
        await stand.driver.jobs.claim([Claim(worker.at.handle, ("default",), None, frozenset(), 1, 0)])
        outage = Outage(stand.driver.jobs, "claim")
        stop = stand.application.upkeep.start(tasks)

        await stand.clock.advance(1)
        outage.is_on = False
        await stand.clock.advance(4.5)

        assert [(lease.id, lease.attempt) for lease in worker.leases] == [(job_id, 2)]
        stop()


async def test_what_goes_back_is_kept_until_the_store_answers(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    worker = await stand.worker(sends=False)
    await stand.claim()
    outage = Outage(stand.driver.jobs, "settle")
    async with asyncio.TaskGroup() as tasks:
        stop = stand.application.upkeep.start(tasks)
        stand.application.leasing.lost(worker.at)
        await stand.clock.advance(1)
        assert (await stand.job(job_id)).state is State.RUNNING

        outage.is_on = False
        await stand.clock.advance(2)

        assert (await stand.job(job_id)).state is State.PENDING
        stop()


async def test_closing_lets_go_of_every_stream(stand: Stand) -> None:
    ids = await stand.dispatch(2)
    worker = await stand.worker(secret=b"s" * 16)
    await stand.claim()

    await stand.application.lease_watch.close()

    assert isinstance(worker.ended[0], Draining)
    again = await stand.worker(secret=b"s" * 16, stream_no=2, held=worker.held())
    assert sorted(held.id for held in again.kept) == sorted(ids)


async def test_a_stalled_stream_has_no_room_even_where_its_jobs_are_settled(stand: Stand) -> None:
    await stand.dispatch()
    worker = await stand.worker(receives=False)
    await stand.claim()
    await worker.settle()
    assert stand.application.room.free() == 10

    await stand.sweep(6)

    assert stand.application.room.free() == 0


async def test_an_outcome_that_comes_after_the_server_has_ended_the_attempt_is_superseded(stand: Stand) -> None:
    await stand.dispatch()
    worker = await stand.worker(receives=False)
    await stand.claim()
    await stand.sweep(6)

    [answer] = await worker.settle()

    assert (answer.verdict, answer.state) == (SettleVerdict.SUPERSEDED, State.PENDING)


async def test_an_outcome_after_the_run_timeout_is_superseded(stand: Stand) -> None:
    await stand.dispatch(policy=Policy(run_timeout=timedelta(seconds=5), max_retries=0))
    worker = await stand.worker()
    await stand.claim()
    worker.ping()
    await stand.sweep(16)

    [answer] = await worker.settle()

    assert (answer.verdict, answer.state) == (SettleVerdict.SUPERSEDED, State.FAILED)
