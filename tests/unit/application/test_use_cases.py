"""Dispatch, settle, wait, cancel, retry, inspect, queues, workers, upkeep."""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from protojobs_service.application import Application, Dispatched, DispatchVerdict, Retake, SettleVerdict
from protojobs_service.domain.bounds import ID_AHEAD, ID_WINDOW
from protojobs_service.domain.errors import (
    BatchAborted,
    Conflict,
    JobFinal,
    JobIdReused,
    JobIdTime,
    JobNotFinal,
    JobNotFound,
    JobRunning,
    JobsError,
    Overloaded,
    QueueNotFound,
    SessionNotFound,
    StoreUnavailable,
)
from protojobs_service.domain.job import Draft
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import Complete, Fail, JobError
from protojobs_service.domain.retry import PolicyChanges
from protojobs_service.drivers.memory import MemoryDriver

from tests.unit.application.stand import FakeClock, Outage, Stand, fingerprint

pytestmark = pytest.mark.asyncio


async def test_jobs_of_an_unconfigured_queue_carry_no_policy(stand: Stand) -> None:
    [draft] = stand.drafts()

    [answer] = await stand.application.dispatch.many([draft])

    assert isinstance(answer, Dispatched)
    assert answer.verdict is DispatchVerdict.CREATED
    assert (await stand.job(draft.job.id)).policy.max_retries == 3


async def test_a_job_takes_its_own_policy_then_the_queues_then_the_default(stand: Stand) -> None:
    await stand.application.queues.update("slow", lambda old: replace(old, retry=PolicyChanges(max_retries=9, multiplier=5.0)))
    [draft] = stand.drafts(queue="slow")

    await stand.application.dispatch.many([Draft(draft.job, PolicyChanges(max_retries=1))])

    policy = (await stand.job(draft.job.id)).policy
    assert (policy.max_retries, policy.multiplier, policy.run_timeout) == (1, 5.0, timedelta(seconds=300))


@pytest.mark.parametrize("behind", [ID_WINDOW + timedelta(minutes=1), -ID_AHEAD - timedelta(minutes=1)])
async def test_an_id_too_far_off_in_time_is_refused_with_the_servers_time(stand: Stand, behind: timedelta) -> None:
    [good, bad] = stand.drafts(2)
    bad = Draft(bad.job._replace(id=stand.id(behind)), None)

    [first, second] = await stand.application.dispatch.many([good, bad])

    assert isinstance(first, Dispatched)
    assert isinstance(second, JobIdTime)
    assert second.metadata["server_time"] == stand.clock.store_time().isoformat()


async def test_an_old_id_whose_job_exists_still_answers_existing(stand: Stand) -> None:
    [draft] = stand.drafts()
    await stand.application.dispatch.many([draft])
    stand.clock.now += (ID_WINDOW + timedelta(hours=1)).total_seconds()

    [answer] = await stand.application.dispatch.many([draft])

    assert isinstance(answer, Dispatched)
    assert answer.verdict is DispatchVerdict.EXISTING


async def test_an_atomic_batch_with_an_id_out_of_time_stores_nothing(stand: Stand) -> None:
    [good, bad] = stand.drafts(2)
    bad = Draft(bad.job._replace(id=stand.id(ID_WINDOW * 2)), None)

    [first, second] = await stand.application.dispatch.many([good, bad], atomic=True)

    assert isinstance(first, BatchAborted)
    assert isinstance(second, JobIdTime)
    with pytest.raises(JobNotFound):
        await stand.job(good.job.id)


async def test_a_reused_id_is_an_error_of_its_item(stand: Stand) -> None:
    [draft] = stand.drafts()
    await stand.application.dispatch.many([draft])

    [answer] = await stand.application.dispatch.many([Draft(draft.job._replace(envelope=b"other"), None)])

    assert isinstance(answer, JobIdReused)


@pytest.mark.parametrize("error", [StoreUnavailable(), Overloaded("every connection is in use")])
async def test_a_store_that_takes_nothing_now_makes_settles_wait(stand: Stand, error: Exception) -> None:
    await stand.dispatch()
    worker = await stand.worker()
    await stand.claim()
    outage = Outage(stand.driver.jobs, "settle", error)

    [answer] = await worker.settle()
    assert answer.verdict is SettleVerdict.RETRY_LATER
    assert len(worker.at.flights) == 1

    outage.is_on = False
    [answer] = await worker.settle()
    assert answer.verdict is SettleVerdict.OK


async def test_a_repeated_settle_is_already_and_a_foreign_one_superseded(stand: Stand) -> None:
    await stand.dispatch()
    worker, other = await stand.worker(), await stand.worker()
    await stand.claim()
    [owner, stranger] = [worker, other] if worker.leases else [other, worker]

    [foreign] = await stranger.settle(owner.leases)
    [first] = await owner.settle()
    [again] = await owner.settle()

    assert (foreign.verdict, first.verdict, again.verdict) == (
        SettleVerdict.SUPERSEDED,
        SettleVerdict.OK,
        SettleVerdict.ALREADY,
    )


async def test_children_get_the_queues_policy_their_parent_and_an_id_that_a_repeat_gets_again(stand: Stand) -> None:
    [parent] = await stand.dispatch()
    worker = await stand.worker()
    await stand.claim()
    settle = stand.application.settle
    [draft] = stand.drafts()
    child_id = settle.child_id(parent, 1, 0)
    assert child_id == settle.child_id(parent, 1, 0) != settle.child_id(parent, 1, 1)

    children = settle.children(parent, [Draft(draft.job._replace(id=child_id), PolicyChanges(max_retries=7))])
    await worker.settle(outcome=Complete(children=children))

    child = await stand.job(child_id)
    assert (child.parent, child.policy.max_retries, child.state) == (parent, 7, State.PENDING)


async def test_a_child_with_an_id_out_of_time_is_refused(stand: Stand) -> None:
    [draft] = stand.drafts()

    with pytest.raises(JobIdTime):
        stand.application.settle.children(stand.id(), [Draft(draft.job._replace(id=stand.id(ID_WINDOW * 2)), None)])


async def test_a_waiter_is_woken_by_this_replicas_settle_at_once(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    worker = await stand.worker()
    await stand.claim()
    waiting = asyncio.ensure_future(stand.application.wait.final(job_id, timedelta(seconds=20)))
    await stand.clock.settle()
    assert not waiting.done()

    await worker.settle(outcome=Complete(result=b"42"))
    await stand.clock.settle()

    record = await waiting
    assert (record.state, record.result) == (State.COMPLETED, b"42")


async def test_a_waiter_finds_what_another_replica_settled_by_the_poll(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    waiting = asyncio.ensure_future(stand.application.wait.final(job_id, timedelta(seconds=20)))
    await stand.clock.settle()
    await stand.driver.jobs.cancel([job_id], timedelta())

    await stand.application.wait.poll()
    await stand.clock.settle()

    assert (await waiting).state is State.CANCELLED


async def test_a_waiter_gets_the_job_as_it_is_when_its_time_is_over(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    waiting = asyncio.ensure_future(stand.application.wait.final(job_id, timedelta(seconds=3)))

    await stand.clock.advance(3.1)

    assert (await waiting).state is State.PENDING
    assert not stand.application.wait.any


async def test_waiting_for_an_unknown_job_fails_at_once(stand: Stand) -> None:
    with pytest.raises(JobNotFound):
        await stand.application.wait.final(stand.id(), timedelta(seconds=3))


async def test_cancel_ends_a_waiting_job_and_refuses_a_final_one(stand: Stand) -> None:
    [first, second] = await stand.dispatch(2)
    cancel = stand.application.cancel
    assert await cancel.one(first) is State.CANCELLED
    assert await cancel.one(first) is State.CANCELLED
    worker = await stand.worker()
    await stand.claim()
    await worker.settle()

    with pytest.raises(JobFinal):
        await cancel.one(second)
    with pytest.raises(JobNotFound):
        await cancel.one(stand.id())


async def test_retry_takes_a_failed_job_up_again_with_an_edited_payload(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    worker = await stand.worker()
    await stand.claim()
    with pytest.raises(JobNotFinal):
        await stand.application.retry.one(Retake(id=job_id))
    await worker.settle(outcome=Fail(error=JobError(), retryable=False))

    retried = await stand.application.retry.one(Retake(id=job_id), lambda envelope: envelope + b" edited")

    assert (retried.state, retried.already) == (State.PENDING, False)
    job = await stand.job(job_id)
    assert job.envelope.endswith(b" edited")
    assert (job.failures, job.attempt) == (0, 1)


async def test_a_repeated_retry_changes_nothing(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    await stand.application.cancel.one(job_id)
    retake = Retake(id=job_id, expected_attempt=1)

    first = await stand.application.retry.one(retake, lambda envelope: envelope)
    again = await stand.application.retry.one(retake, lambda envelope: envelope)

    assert (first.already, again.already) == (False, True)


async def test_an_edit_of_a_job_that_went_on_meanwhile_is_a_conflict(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    await stand.application.cancel.one(job_id)
    inner = stand.driver.jobs.retake

    async def retake_late(items: list[Retake]) -> object:
        await inner([Retake(id=job_id)])
        return await inner(items)

    stand.driver.jobs.retake = retake_late  # type: ignore[method-assign, assignment] # somebody else was faster
    with pytest.raises(Conflict):
        await stand.application.retry.one(Retake(id=job_id), lambda envelope: envelope)


async def test_a_running_job_is_not_deleted_and_a_deleted_one_is_not_found(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    worker = await stand.worker()
    await stand.claim()
    with pytest.raises(JobRunning):
        await stand.application.inspect.delete(job_id)

    await worker.settle()
    await stand.application.inspect.delete(job_id)

    with pytest.raises(JobNotFound):
        await stand.application.inspect.get(job_id)
    with pytest.raises(JobNotFound):
        await stand.application.inspect.attempts(job_id)


async def test_pause_returns_when_every_replica_knows_or_after_a_second(stand: Stand) -> None:
    await stand.application.queues.pause("default")
    assert stand.application.known_queues.paused == {"default"}

    async def never(version: int) -> bool:
        return False

    stand.driver.queues.acknowledged = never  # type: ignore[method-assign] # a replica that has died
    pausing = asyncio.ensure_future(stand.application.queues.pause("other"))
    await stand.clock.advance(0.9)
    assert not pausing.done()
    await stand.clock.advance(0.2)
    assert pausing.done()


async def test_stats_name_pending_kinds_that_nobody_serves(stand: Stand) -> None:
    await stand.dispatch(2, kind="email")
    await stand.dispatch(3, kind="image")
    await stand.worker(kinds=frozenset({"email"}), window=7)

    [stats], _ = await stand.application.queues.stats("default")

    assert {kind: pending for kind, (pending, _) in stats.unserved.items()} == {"image": 3}
    assert stats.open_window == 7
    with pytest.raises(QueueNotFound):
        await stand.application.queues.stats("nothing")


async def test_draining_an_unknown_worker_fails(stand: Stand) -> None:
    with pytest.raises(SessionNotFound):
        await stand.application.workers.drain(99)


@pytest.mark.parametrize("error", [StoreUnavailable(), Overloaded("every connection to the store is in use")])
async def test_an_upkeep_turn_that_fails_is_logged_and_tried_again(
    stand: Stand, caplog: pytest.LogCaptureFixture, error: JobsError
) -> None:
    outage = Outage(stand.driver.jobs, "promote", error)
    async with asyncio.TaskGroup() as tasks:
        stop = stand.application.upkeep.start(tasks)
        with caplog.at_level(logging.WARNING):
            await stand.clock.advance(3)
        assert 3 <= outage.calls <= 8
        calls, outage.is_on = outage.calls, False
        await stand.clock.advance(3)
        assert outage.calls > calls + 10
        stop()

    said = {(record.message, record.levelname, record.exc_info) for record in caplog.records}
    assert said == {("upkeep turn failed", "WARNING", None)}


async def test_running_opens_and_closes_the_driver_and_leaves_no_task() -> None:
    clock = FakeClock()
    driver = MemoryDriver(fingerprint=fingerprint, clock=clock.store_time, rng=Random(1))
    application = Application.over(driver, clock=clock)

    async with application.running():
        assert application.store_time.ok
        assert application.store_time.now() == clock.store_time()

    assert [task for task in asyncio.all_tasks() if "upkeep" in task.get_name()] == []


async def test_running_fails_where_the_store_does_not_answer() -> None:
    clock = FakeClock()
    driver = MemoryDriver(fingerprint=fingerprint, clock=clock.store_time, rng=Random(1))
    Outage(driver, "ping")
    application = Application.over(driver, clock=clock)

    with pytest.raises(StoreUnavailable):
        async with application.running():
            pass


async def test_an_error_while_running_comes_out_as_it_is() -> None:
    clock = FakeClock()
    driver = MemoryDriver(fingerprint=fingerprint, clock=clock.store_time, rng=Random(1))
    application = Application.over(driver, clock=clock)

    with pytest.raises(OSError, match="taken"):
        async with application.running():
            raise OSError("the port is taken")


async def test_a_store_that_is_gone_does_not_keep_the_server_from_stopping(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    driver = MemoryDriver(fingerprint=fingerprint, clock=clock.store_time, rng=Random(1))
    stand = Stand(Application.over(driver, clock=clock), driver, clock)

    with caplog.at_level(logging.WARNING):
        async with stand.application.running():
            await stand.worker()
            Outage(driver.sessions, "detach")

    assert "the store does not answer" in caplog.text
