"""Fair queues: each key gets its share of what is claimed, whoever came first and however much it brought."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import Release
from protojobs_service.domain.queue import Fairness
from protojobs_service.port import Driver

from tests.contract.acts import (
    EXACT,
    FAIL,
    FAIL_FOR_GOOD,
    MINUTE,
    Worker,
    claim,
    connect,
    new_job,
    retake,
    run,
    settle_well,
    skip,
    state_of,
    store,
    store_all,
)
from tests.contract.backends import Clock, FakeRoom

pytestmark = pytest.mark.asyncio


async def share(driver: Driver, weights: Mapping[str, int] | None = None, *, enabled: bool = True) -> None:
    fairness = Fairness(enabled=enabled, weights=weights or {})
    await driver.queues.change("q", lambda settings: replace(settings, fairness=fairness))


async def bring(driver: Driver, n: int, key: str | None, **fields: Any) -> list[JobId]:
    """Store n jobs of one key, as a producer of batches does."""
    jobs = [new_job(fairness_key=key, **fields) for _ in range(n)]
    batches = [jobs[at : at + 1000] for at in range(0, n, 1000)]
    return list(chain.from_iterable([await store_all(driver, batch) for batch in batches]))


async def next_keys(driver: Driver, worker: Worker, ids: Mapping[str, list[JobId]], n: int) -> list[str]:
    """Claim the next n jobs one by one; return their keys."""
    key_of = {job_id: key for key, of_key in ids.items() for job_id in of_key}
    return [key_of[lease.id] for _ in range(n) for lease in await claim(driver, worker, limit=1)]


async def test_ten_jobs_behind_twenty_thousand_of_another_tenant_are_next(driver: Driver) -> None:
    await share(driver)
    await bring(driver, 20_000, "a", body=b"")
    worker = await connect(driver)
    for _ in range(3):
        for lease in await claim(driver, worker, limit=20):
            await settle_well(driver, worker, lease)

    ours = await bring(driver, 10, "b")

    claimed = [lease.id for _ in range(11) for lease in await claim(driver, worker, limit=2)]
    assert len(claimed) == 22
    assert set(ours) <= set(claimed)


async def test_keys_take_turns_and_each_keeps_its_own_order(driver: Driver) -> None:
    await share(driver)
    ids = {key: await bring(driver, 6, key) for key in ("a", "b", "c")}
    worker = await connect(driver)

    leases = [lease.id for _ in range(18) for lease in await claim(driver, worker, limit=1)]

    for at in range(0, 18, 3):
        assert {key for key, of_key in ids.items() if set(leases[at : at + 3]) & set(of_key)} == {"a", "b", "c"}
    for of_key in ids.values():
        assert [job_id for job_id in leases if job_id in of_key] == of_key


async def test_a_weight_is_a_share(driver: Driver) -> None:
    await share(driver, {"a": 3, "b": 2})
    ids = {key: await bring(driver, 60, key) for key in ("c", "b", "a")}
    worker = await connect(driver)

    got = Counter(await next_keys(driver, worker, ids, 60))

    assert all(abs(got[key] - share) <= 2 for key, share in {"a": 30, "b": 20, "c": 10}.items()), got


async def test_jobs_without_a_key_are_one_tenant(driver: Driver) -> None:
    await share(driver)
    ids = {"": await bring(driver, 20, None), "a": await bring(driver, 5, "a")}
    worker = await connect(driver)

    assert Counter(await next_keys(driver, worker, ids, 10)) == Counter({"": 5, "a": 5})


async def test_who_was_idle_has_no_claim_to_the_past(driver: Driver) -> None:
    await share(driver)
    first = {"a": await bring(driver, 50, "a"), "b": await bring(driver, 50, "b")}
    worker = await connect(driver)
    await next_keys(driver, worker, first, 80)

    ids = {**first, "late": await bring(driver, 50, "late")}
    got = Counter(await next_keys(driver, worker, ids, 15))

    assert all(4 <= n <= 6 for n in got.values()), got


async def test_priority_goes_before_shares(driver: Driver) -> None:
    await share(driver)
    ids = {"low": await bring(driver, 3, "low", priority=2), "high": await bring(driver, 9, "high", priority=8)}
    worker = await connect(driver)

    assert await next_keys(driver, worker, ids, 12) == ["high"] * 9 + ["low"] * 3


async def test_delayed_and_retried_jobs_take_their_turn_when_they_are_due(driver: Driver, clock: Clock) -> None:
    await share(driver)
    delayed = await bring(driver, 3, "b", delay=MINUTE)
    [failing] = await bring(driver, 1, "c", policy=EXACT)
    worker = await connect(driver)
    lease = await run(driver, worker, failing)
    await settle_well(driver, worker, lease, FAIL)
    ids = {"a": await bring(driver, 30, "a"), "b": delayed, "c": [failing]}
    await next_keys(driver, worker, ids, 5)

    await skip(driver, clock, 2 * MINUTE)
    assert await driver.jobs.promote(10) == 4
    got = Counter(await next_keys(driver, worker, ids, 8))

    assert (got["b"], got["c"]) == (3, 1)


async def test_a_job_that_comes_back_is_first(driver: Driver) -> None:
    await share(driver)
    await bring(driver, 20, "a")
    worker = await connect(driver)
    [lease] = await claim(driver, worker, limit=1)
    await bring(driver, 5, "b")

    await settle_well(driver, worker, lease, Release())

    assert (await run(driver, worker, lease.id)).attempt == 2


async def test_retry_by_hand_takes_a_turn(driver: Driver) -> None:
    await share(driver)
    [failed] = await bring(driver, 1, "b")
    worker = await connect(driver)
    await settle_well(driver, worker, await run(driver, worker, failed), FAIL_FOR_GOOD)
    ids = {"a": await bring(driver, 20, "a"), "b": [failed]}
    await next_keys(driver, worker, ids, 3)

    await retake(driver, failed)

    assert "b" in await next_keys(driver, worker, ids, 2)


async def test_fair_jobs_are_never_leased_by_the_statement_that_stores_them(driver: Driver, room: FakeRoom) -> None:
    await share(driver)
    worker = await connect(driver)
    room.places = [worker.handle]

    job_id = await store(driver)

    assert await state_of(driver, job_id) is State.PENDING
    assert (room.delivered, room.places) == ([], [worker.handle])
    assert [lease.id for lease in await claim(driver, worker)] == [job_id]
    assert await driver.queues.reconcile() == 0


async def test_fairness_is_switched_on_and_off_with_jobs_waiting(driver: Driver) -> None:
    before = await bring(driver, 5, "a")
    await share(driver)
    fair = await bring(driver, 5, "b")
    await share(driver, enabled=False)
    after = await bring(driver, 5, "a")
    worker = await connect(driver)

    leased = [lease.id for _ in range(15) for lease in await claim(driver, worker, limit=1)]

    assert sorted(leased) == sorted([*before, *fair, *after])
    assert leased[10:] == after


async def test_producers_at_once_leave_no_job_behind(driver: Driver) -> None:
    await share(driver, {"k1": 5})
    jobs = [new_job(fairness_key=f"k{n % 7}", concurrency_key=f"k{n}") for n in range(120)]
    worker = await connect(driver)

    async def work() -> int:
        leases = await claim(driver, worker, limit=3)
        await asyncio.gather(*(settle_well(driver, worker, lease) for lease in leases))
        return len(leases)

    stored = [store_all(driver, jobs[at : at + 10]) for at in range(0, 120, 10)]
    worked = await asyncio.gather(*stored, *(work() for _ in range(10)))
    done = sum(each for each in worked if isinstance(each, int))
    while more := await work():
        done += more

    assert done == 120
    assert await driver.queues.reconcile() == 0
