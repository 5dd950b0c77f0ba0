"""Two drivers on one database server: each job is stored, leased and settled once, whoever asks whom."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import NamedTuple

import pytest
import pytest_asyncio
from protojobs_service.domain.job import Handle, NewJob
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import COMPLETE, Outcome, Release
from protojobs_service.domain.queue import Fairness
from protojobs_service.drivers.sql.driver import SqlDriver
from protojobs_service.drivers.sql.store import Options
from protojobs_service.port import Claim, DispatchVerdict, Opening, Settlement, SettleVerdict

from tests.canaries import BODY
from tests.contract.backends import FakeRoom, fingerprint
from tests.unit.drivers.kit import SERVERS, new_id, ready_url, store_of

pytestmark = pytest.mark.asyncio


class Twin(NamedTuple):
    """One of the two."""

    driver: SqlDriver
    room: FakeRoom
    options: Options


@pytest_asyncio.fixture(params=SERVERS)
async def twins(request: pytest.FixtureRequest) -> AsyncGenerator[tuple[Twin, Twin]]:
    """Open two drivers on one database."""
    options = Options(url=await ready_url(request))
    twins = [
        Twin(SqlDriver(store_of(options), fingerprint=fingerprint, rng=Random(1), replica=name), FakeRoom(), options)
        for name in ("one", "two")
    ]
    for twin in twins:
        await twin.driver.open(twin.room)
    yield twins[0], twins[1]
    for twin in twins:
        await twin.driver.close()


async def _connect(twin: Twin, secret: bytes, stream_no: int = 1) -> Handle:
    opening = Opening(
        secret=secret,
        stream_no=stream_no,
        worker="w",
        sdk="s",
        sdk_version="1",
        queues=["q"],
        kinds=[],
        slots=1,
        ttl=timedelta(seconds=30),
    )
    return (await twin.driver.sessions.open(opening)).handle


def _jobs(n: int) -> list[NewJob]:
    return [NewJob(new_id(), "q", "k", 5, BODY) for _ in range(n)]  # type: ignore[arg-type]


def _all(handle: Handle) -> Claim:
    return Claim(handle, ("q",), None, frozenset(), 10_000, 0)


async def test_job_stored_here_is_leased_there_at_once(twins: tuple[Twin, Twin]) -> None:
    here, there = twins
    handle = await _connect(there, b"1" * 16)
    [job] = jobs = _jobs(1)

    await here.driver.jobs.dispatch(jobs)
    [lease] = await there.driver.jobs.claim([_all(handle)])

    assert (lease.id, lease.queue, lease.kind) == (job.id, "q", "k")


async def test_worker_there_hears_of_a_job_stored_here(twins: tuple[Twin, Twin]) -> None:
    here, there = twins

    await here.driver.jobs.dispatch(_jobs(1))

    async with asyncio.timeout(5):
        while frozenset({"q"}) not in there.room.arrivals:  # noqa: ASYNC110 - the room is told, it tells nobody
            await asyncio.sleep(0.01)


async def test_everything_twice_at_once_counts_once(twins: tuple[Twin, Twin]) -> None:
    handles = [await _connect(twin, bytes([i]) * 16) for i, twin in enumerate(twins)]
    batches = [_jobs(100) for _ in range(10)]

    answers = await asyncio.gather(*(twin.driver.jobs.dispatch(batch) for batch in batches for twin in twins))
    created = sum(answer.verdict is DispatchVerdict.CREATED for call in answers for answer in call)
    assert created == 1000
    assert all(a.verdict in (DispatchVerdict.CREATED, DispatchVerdict.EXISTING) for call in answers for a in call)

    found = await asyncio.gather(
        *(
            twin.driver.jobs.claim([_all(handle)._replace(limit=300)])
            for _ in range(4)
            for twin, handle in zip(twins, handles, strict=True)
        )
    )
    leases = [lease for call in found for lease in call]
    assert len({lease.id for lease in leases}) == len(leases) == 1000

    items = [Settlement(lease.id, lease.attempt, lease.handle, COMPLETE) for lease in leases]
    settled = await asyncio.gather(*(twin.driver.jobs.settle(items) for twin in twins))
    verdicts = [answer.verdict for call in settled for answer in call]
    assert verdicts.count(SettleVerdict.OK) == verdicts.count(SettleVerdict.ALREADY) == 1000
    [numbers], _ = await twins[0].driver.queues.stats("q")
    assert numbers.counts == {state: 1000 if state is State.COMPLETED else 0 for state in State}
    assert await twins[1].driver.queues.reconcile() == 0


async def test_job_returned_here_is_leased_there_before_the_others(twins: tuple[Twin, Twin]) -> None:
    here, there = twins
    handle, other = await _connect(here, b"1" * 16), await _connect(there, b"2" * 16)
    first, *_ = jobs = _jobs(5)
    await here.driver.jobs.dispatch(jobs)
    [lease] = await here.driver.jobs.claim([_all(handle)._replace(limit=1)])

    await here.driver.jobs.settle([Settlement(lease.id, lease.attempt, handle, Release())])
    leases = await there.driver.jobs.claim([_all(other)])

    assert leases[0].id == first.id == lease.id
    assert len(leases) == 5


async def test_session_that_moves_takes_its_leases_along(twins: tuple[Twin, Twin]) -> None:
    here, there = twins
    handle = await _connect(here, b"1" * 16)
    await here.driver.jobs.dispatch(_jobs(1))
    [lease] = await here.driver.jobs.claim([_all(handle)])

    moved = await _connect(there, b"1" * 16, stream_no=2)

    assert await here.driver.sessions.renew([handle]) == [handle]
    [late] = await here.driver.jobs.settle([Settlement(lease.id, lease.attempt, handle, COMPLETE)])
    assert late.verdict in (SettleVerdict.SUPERSEDED, SettleVerdict.RETRY_LATER)  # it was not held, so it went back
    [again] = await there.driver.jobs.claim([_all(moved)])
    assert (again.id, again.attempt) == (lease.id, 2)


async def test_paused_settings_reach_both(twins: tuple[Twin, Twin]) -> None:
    here, there = twins
    await here.driver.queues.change("q", lambda old: old)
    book = await here.driver.queues.settings(0)
    assert book is not None

    assert not await here.driver.queues.acknowledged(book.version)
    await there.driver.queues.settings(0)
    assert await here.driver.queues.acknowledged(book.version)


async def test_numbers_of_replicas_differ_and_are_used_again(twins: tuple[Twin, Twin]) -> None:
    here, there = twins
    numbers = {twin.driver._replica.number for twin in twins}

    await there.driver.close()
    third = SqlDriver(store_of(here.options), fingerprint=fingerprint, rng=Random(1), replica="three")
    await third.open(FakeRoom())

    assert len(numbers) == 2
    assert third._replica.number in numbers - {here.driver._replica.number}
    await third.close()


async def test_keys_of_a_fair_queue_keep_their_limit_across_replicas(twins: tuple[Twin, Twin]) -> None:
    fair = Fairness(enabled=True, weights={"t1": 3})
    await twins[0].driver.queues.change("q", lambda old: replace(old, per_key_limit=2, fairness=fair))
    jobs = [job._replace(concurrency_key=f"k{n % 5}", fairness_key=f"t{n % 3}") for n, job in enumerate(_jobs(100))]
    key_of, running = {job.id: job.concurrency_key for job in jobs}, Counter[str | None]()
    rng, choices = Random(5), [COMPLETE] * 9 + list[Outcome]([Release()])

    async def store(twin: Twin) -> None:
        for at in range(0, 100, 20):
            await twin.driver.jobs.dispatch(rng.sample(jobs[at : at + 20], 20))

    async def work(twin: Twin, handle: Handle) -> None:
        while True:
            leases = await twin.driver.jobs.claim([_all(handle)._replace(limit=4)])
            for lease in leases:
                running[key_of[lease.id]] += 1
                assert running[key_of[lease.id]] <= 2
            await twin.driver.jobs.cancel([job.id for job in rng.sample(jobs, 2)], timedelta(minutes=1))
            items = [Settlement(lease.id, lease.attempt, handle, rng.choice(choices)) for lease in leases]
            running.subtract(key_of[lease.id] for lease in leases)
            assert {answer.verdict for answer in await twin.driver.jobs.settle(items)} <= {SettleVerdict.OK}
            await twin.driver.jobs.promote(10)
            [numbers], _ = await twin.driver.queues.stats("q")
            if sum(n for state, n in numbers.counts.items() if state.is_final) == len(jobs):
                break

    handles = [await _connect(twin, bytes([i]) * 16) for i, twin in enumerate(twins)]
    await asyncio.gather(*map(store, twins), *map(work, twins, handles))

    keys = twins[0].driver._store.tables.key_use
    await twins[1].driver.jobs.unhold(100)
    assert await twins[0].driver._store.run(lambda c: c.execute(keys.select()).all(), write=False) == []
    assert await twins[1].driver.queues.reconcile() == 0
