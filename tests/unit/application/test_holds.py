"""Queues with limits: who is asked when, and what workers are told."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from protojobs_service.domain.errors import JobsError, QueueFull, QueueFullForNow
from protojobs_service.domain.job import Lease
from protojobs_service.domain.queue_limits import Hold, HoldCause, Overflow, RateLimit
from protojobs_service.port import Claim

from tests.unit.application.stand import Outage, Stand

pytestmark = pytest.mark.asyncio


async def _limit(stand: Stand, queue: str = "default", **settings: Any) -> None:
    await stand.application.queues.update(queue, lambda old: replace(old, **settings))


def _count(port: object, method: str) -> Outage:
    calls = Outage(port, method)
    calls.is_on = False
    return calls


async def test_a_worker_that_a_limit_leaves_idle_is_told_once_why(stand: Stand) -> None:
    await _limit(stand, max_in_flight=2)
    worker = await stand.worker()
    await stand.dispatch(5)
    await stand.claim()

    for _ in range(3):
        stand.clock.now += 0.3
        await stand.application.claims.take_turn()

    assert len(worker.leases) == 2
    assert worker.throttled == [("default", HoldCause.CONCURRENCY, None)]
    [stats], _ = await stand.application.queues.stats("default")
    assert (stats.by_concurrency, stats.by_rate) == (True, False)


async def test_a_worker_is_told_again_after_a_while_and_when_the_reason_changes(stand: Stand) -> None:
    await _limit(stand, max_in_flight=2, rate_limit=RateLimit(per_second=0.001, burst=3))
    worker = await stand.worker()
    await stand.dispatch(9)
    await stand.claim()
    await worker.settle()
    await stand.claim()
    stand.clock.now += 6
    stand.application.room.holds.lift({"default"})
    stand.application.room.arrived({"default"})
    await stand.claim()

    assert [cause for _, cause, _ in worker.throttled] == [HoldCause.CONCURRENCY, HoldCause.RATE, HoldCause.RATE]
    assert worker.throttled[1][2] == timedelta(seconds=1000)
    [stats], _ = await stand.application.queues.stats("default")
    assert (stats.by_concurrency, stats.by_rate) == (False, True)


async def test_a_worker_is_not_told_of_a_limit_that_keeps_nothing_back(stand: Stand) -> None:
    await _limit(stand, max_in_flight=2)
    worker = await stand.worker()
    await stand.dispatch(2)

    await stand.claim()
    await stand.claim()

    assert (len(worker.leases), worker.throttled) == (2, [])


async def test_a_queue_that_is_held_back_is_not_asked_until_a_job_of_it_ends(stand: Stand) -> None:
    await _limit(stand, max_in_flight=1)
    worker = await stand.worker()
    other = await stand.worker({"other": 1})
    await stand.dispatch(3)
    await stand.dispatch(1, "other")
    await stand.claim()
    calls = _count(stand.driver.jobs, "claim")

    stand.application.room.arrived({"default"})
    await stand.application.claims.claim()
    asked_while_held = calls.calls
    await other.settle()
    await stand.application.claims.claim()
    await worker.settle(worker.leases[:1])
    came = await stand.application.claims.claim()

    assert (asked_while_held, came, len(worker.leases)) == (0, 1, 2)


async def test_a_job_that_ends_while_a_claim_is_on_its_way_is_not_forgotten(stand: Stand) -> None:
    await _limit(stand, max_in_flight=1)
    worker, other = await stand.worker(slots=3), await stand.worker(slots=3)
    await stand.dispatch(3)
    await stand.claim()
    [busy] = [each for each in (worker, other) if each.leases]
    stand.application.room.holds.lift({"default"})
    stand.application.room.arrived({"default"})
    claim, room, late = stand.driver.jobs.claim, stand.application.room, list[Mapping[str, Hold]]()
    tell, room.held_back = room.held_back, late.append  # type: ignore[method-assign, assignment]

    async def overtaken(claims: Sequence[Claim]) -> Sequence[Lease]:
        leases = await claim(claims)
        await busy.settle()
        tell(late[0])
        return leases

    stand.driver.jobs.claim = overtaken  # type: ignore[method-assign]
    await stand.application.claims.claim()
    stand.driver.jobs.claim = claim  # type: ignore[method-assign]

    assert await stand.application.claims.claim() == 1


async def test_the_claims_wake_when_the_bucket_has_a_token(stand: Stand) -> None:
    await _limit(stand, rate_limit=RateLimit(per_second=20, burst=1))
    worker = await stand.worker()
    await stand.dispatch(9)
    await stand.claim()
    assert len(worker.leases) == 1

    assert stand.application.room.holds.patience() == pytest.approx(0.05)
    stand.clock.now += 0.05
    await stand.application.claims.take_turn()

    assert len(worker.leases) == 2


async def test_a_change_of_the_limits_is_tried_at_once(stand: Stand) -> None:
    await _limit(stand, rate_limit=RateLimit(per_second=0.001, burst=1))
    worker = await stand.worker()
    await stand.dispatch(5)
    await stand.claim()

    await _limit(stand, rate_limit=None)
    await stand.claim()

    assert len(worker.leases) == 5


async def test_nothing_is_leased_at_insert_or_fetched_ahead_from_a_queue_with_limits(stand: Stand) -> None:
    await _limit(stand, max_in_flight=100)
    worker = await stand.worker({"default": 1, "open": 1}, window=20, slots=4)
    await stand.dispatch(30)
    assert stand.application.room.reserve([("default", "email", 1), ("open", "email", 1)])[0] == 0
    stand.application.room.unreserve([(worker.at.handle, 1)])

    await stand.claim()
    ahead = len(worker.leases)
    await worker.settle(worker.leases[:1])
    await stand.claim()

    assert (ahead, len(worker.leases)) == (4, 5)


async def test_a_paused_queue_says_paused_whatever_its_limits_are(stand: Stand) -> None:
    await _limit(stand, max_in_flight=1)
    worker = await stand.worker()
    await stand.dispatch(3)
    await stand.application.queues.pause("default")
    await stand.claim()
    assert (worker.leases, worker.throttled) == ([], [("default", HoldCause.PAUSED, None)])

    await stand.application.queues.resume("default")
    await stand.claim()

    assert len(worker.leases) == 1
    assert worker.throttled[1:] == [("default", HoldCause.CONCURRENCY, None)]


@pytest.mark.parametrize(
    ("overflow", "error"), [(Overflow.REJECT, QueueFull), (Overflow.RETRY, QueueFullForNow)], ids=["no", "later"]
)
async def test_a_full_queue_refuses_as_it_was_told_to(stand: Stand, overflow: Overflow, error: type[JobsError]) -> None:
    await _limit(stand, max_depth=1, overflow=overflow)

    answers = await stand.application.dispatch.many(stand.drafts(2))

    assert not isinstance(answers[0], JobsError)
    assert type(answers[1]) is error


async def test_servers_have_a_second_to_hear_of_new_limits(stand: Stand) -> None:
    acknowledged = _count(stand.driver.queues, "acknowledged")

    await _limit(stand, max_in_flight=3)
    await _limit(stand, max_depth=3)

    assert acknowledged.calls == 1
