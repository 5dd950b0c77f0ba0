"""What a server counts of its leases: ends of attempts by queue, kind and outcome, and why leases were ended by a server."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from protojobs_service.application import Timings
from protojobs_service.application.tally import Lost
from protojobs_service.domain.outcome import COMPLETE, Fail, JobError, Outcome, Release, ReleaseCause, Snooze
from protojobs_service.domain.retry import Policy
from protojobs_service.port import Settlement

from tests.unit.application.stand import Outage, Stand, open_stand

pytestmark = pytest.mark.asyncio

FAIL = Fail(error=JobError(type="E", message="no"))
ONCE = Policy(max_retries=0)


def _ended(stand: Stand) -> dict[tuple[str, str, str], int]:
    return dict(stand.application.tally.ended)


def _lost(stand: Stand) -> dict[Lost, int]:
    return {cause: count for cause, count in stand.application.tally.lost.items() if count}


async def test_completions_of_several_lanes_are_counted_each_in_its_own(stand: Stand) -> None:
    await stand.dispatch(3, "a", "x")
    await stand.dispatch(2, "a", "y")
    await stand.dispatch(1, "b", "x")
    worker = await stand.worker({"a": 1, "b": 1})
    await stand.claim()

    await worker.settle()

    assert _ended(stand) == {("a", "x", "completed"): 3, ("a", "y", "completed"): 2, ("b", "x", "completed"): 1}


async def test_every_outcome_of_a_mixed_batch_is_counted_as_what_it_became(stand: Stand) -> None:
    await stand.dispatch(4, policy=Policy(max_retries=3))
    await stand.dispatch(1, kind="once", policy=ONCE)
    worker = await stand.worker()
    await stand.claim()
    outcomes: dict[str, Iterator[Outcome]] = {
        "email": iter([COMPLETE, FAIL, Snooze(delay=timedelta(minutes=1)), Release(cause=ReleaseCause.SHUTDOWN)]),
        "once": iter([FAIL]),
    }
    items = [Settlement(each.id, each.attempt, worker.at.handle, next(outcomes[each.kind])) for each in worker.leases]

    await stand.application.settle.many(worker.at, items)

    assert _ended(stand) == {
        ("default", "email", "completed"): 1,
        ("default", "email", "retried"): 1,
        ("default", "email", "snoozed"): 1,
        ("default", "email", "released"): 1,
        ("default", "once", "failed"): 1,
    }


async def test_an_outcome_that_changes_nothing_is_not_counted_again(stand: Stand) -> None:
    await stand.dispatch(2)
    worker = await stand.worker()
    await stand.claim()
    await worker.settle()

    await worker.settle()

    assert _ended(stand) == {("default", "email", "completed"): 2}


async def test_an_outcome_that_the_store_has_not_taken_is_not_counted(stand: Stand) -> None:
    await stand.dispatch()
    worker = await stand.worker()
    await stand.claim()

    Outage(stand.driver.jobs, "settle")
    await worker.settle()

    assert _ended(stand) == {}


async def test_nothing_settled_is_nothing_counted(stand: Stand) -> None:
    worker = await stand.worker()

    await stand.application.settle.many(worker.at, [])

    assert _ended(stand) == {}


async def test_a_delivery_without_a_receipt_is_a_lost_lease_that_was_released(stand: Stand) -> None:
    await stand.dispatch()
    await stand.worker(receives=False)
    await stand.claim()

    await stand.sweep(6)

    assert _lost(stand) == {Lost.RECEIPT: 1}
    assert _ended(stand) == {("default", "email", "released"): 1}


async def test_a_handler_that_runs_too_long_is_a_lost_lease_of_its_kind() -> None:
    stand = await open_stand(Timings(timeout_grace=1))
    await stand.dispatch(kind="slow", policy=Policy(run_timeout=timedelta(seconds=2), max_retries=0))
    worker = await stand.worker()
    await stand.claim()
    worker.ping()

    await stand.sweep(2)
    await stand.sweep(2)

    assert _lost(stand) == {Lost.RUN_TIMEOUT: 1}
    assert _ended(stand) == {("default", "slow", "failed"): 1}


async def test_outcomes_for_another_replica_are_counted_without_queue_and_kind(stand: Stand) -> None:
    await stand.dispatch()
    worker = await stand.worker()
    await stand.claim()
    [lease] = worker.leases

    await stand.application.settle.of_other_replica([Settlement(lease.id, lease.attempt, worker.at.handle, COMPLETE)])

    assert _ended(stand) == {("_OTHER", "_OTHER", "completed"): 1}


async def test_a_resumed_job_is_counted_in_its_lane_once_that_is_known(stand: Stand) -> None:
    await stand.dispatch(kind="late")
    worker = await stand.worker(secret=b"s" * 16)
    await stand.claim()
    resumed = await stand.worker(secret=b"s" * 16, stream_no=2, held=worker.held())
    await stand.application.lease_watch.poll_turn()

    await resumed.settle(worker.leases)

    assert _ended(stand) == {("default", "late", "completed"): 1}


async def test_timers_tell_how_often_they_turned_and_how_long_ago_that_went_well() -> None:
    stand = await open_stand()
    outage = Outage(stand.driver.jobs, "promote")
    outage.is_on = False
    async with stand.application.running():
        await stand.clock.advance(5)
        outage.is_on = True
        await stand.clock.advance(30)
        turns, ages = stand.application.upkeep.turns["promote"], stand.application.upkeep.ages()

    assert turns.good > 10
    assert turns.failed > 3
    assert ages["promote"] >= 29
    assert ages["expire"] < 5
    assert "claims" not in ages
