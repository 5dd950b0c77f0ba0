"""UpdateJob: jobs that wait become what they are told to be, and nothing that runs later has what was there before."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from protojobs_service.domain.errors import PayloadTooLarge
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import FINAL_STATES, WAITING_STATES, State
from protojobs_service.domain.retry import Policy
from protojobs_service.domain.unique import Unique, UniqueScope
from protojobs_service.port import DispatchVerdict, Driver, Edit, EditResult, ListQuery, Retake, RetakeResult

from tests.contract.acts import (
    DAY,
    EXACT,
    FAIL,
    MINUTE,
    SECOND,
    claim,
    connect,
    during,
    new_id,
    new_job,
    numbers_of,
    outcomes_of,
    put_in,
    record,
    run,
    settle_well,
    state_of,
    store,
    store_all,
)
from tests.contract.backends import Clock

pytestmark = pytest.mark.asyncio

WAITING = sorted(WAITING_STATES, key=lambda state: state.value)


def _as_it_is(envelope: bytes) -> bytes:
    return envelope


async def _edit(
    driver: Driver, job_id: JobId, envelope: Callable[[bytes], bytes] = _as_it_is, **fields: Any
) -> tuple[bool, State | None]:
    [result] = await driver.jobs.edit([Edit(id=job_id, envelope=envelope, **fields)])
    return result.found, result.state


async def _ids(driver: Driver, **query: Any) -> Sequence[JobId]:
    return [job.id for job in (await driver.jobs.list(ListQuery(**query))).jobs]


@pytest.mark.parametrize("state", WAITING)
async def test_waiting_job_becomes_another_one_and_waits_as_before(driver: Driver, clock: Clock, state: State) -> None:
    job_id = await put_in(driver, clock, state, labels={"a": "1"}, policy=EXACT)
    before = await record(driver, job_id)

    result = await _edit(
        driver,
        job_id,
        lambda envelope: envelope + b"!",
        queue="other",
        priority=9,
        labels={"b": "2", "c": ""},
        policy=lambda queue, old: replace(old, max_retries=len(queue)),
    )

    assert result == (True, state)
    assert await record(driver, job_id) == replace(
        before,
        envelope=before.envelope + b"!",
        queue="other",
        priority=9,
        labels={"b": "2", "c": ""},
        policy=replace(EXACT, max_retries=5),
    )
    assert (await numbers_of(driver, "q")).counts[state] == 0
    assert (await numbers_of(driver, "other")).counts[state] == 1
    assert await _ids(driver, queues=["q"]) == await _ids(driver, labels={"a": "1"}) == []
    assert await _ids(driver, queues=["other"], states=[state]) == await _ids(driver, labels={"b": "2"}) == [job_id]


@pytest.mark.parametrize("state", WAITING)
async def test_it_runs_where_it_was_moved_to_with_what_it_was_given(driver: Driver, clock: Clock, state: State) -> None:
    job_id = await put_in(driver, clock, state)
    await _edit(driver, job_id, lambda _: job_id + b"new", queue="other", policy=lambda _queue, _old: EXACT)
    await clock.advance(DAY)
    await driver.jobs.promote(100)

    nothing, [lease] = await claim(driver, await connect(driver)), await claim(driver, await connect(driver, "other"))

    assert nothing == []
    assert (lease.id, lease.envelope, lease.queue, lease.policy) == (job_id, job_id + b"new", "other", EXACT)


async def test_what_is_not_named_stays(driver: Driver) -> None:
    job_id = await store(driver, labels={"a": "1"}, policy=EXACT, priority=7)
    before = await record(driver, job_id)

    await _edit(driver, job_id)

    assert await record(driver, job_id) == before


async def test_policy_that_is_every_default_is_none_for_a_lease(driver: Driver) -> None:
    job_id = await store(driver, policy=EXACT)

    await _edit(driver, job_id, policy=lambda _queue, _old: Policy())

    assert (await run(driver, await connect(driver), job_id)).policy is None


async def test_no_labels_are_none(driver: Driver) -> None:
    job_id = await store(driver, labels={"a": "1"})

    await _edit(driver, job_id, labels={})

    assert (await record(driver, job_id)).labels is None


async def test_pending_job_waits_behind_all_others_of_its_priority(driver: Driver) -> None:
    first, second, urgent, third = await store_all(driver, [new_job(), new_job(), new_job(priority=8), new_job()])

    await _edit(driver, first)
    await _edit(driver, third, priority=8)

    assert [lease.id for lease in await claim(driver, await connect(driver))] == [urgent, third, second, first]


async def test_start_puts_off_what_is_pending(driver: Driver, clock: Clock) -> None:
    job_id = await store(driver)

    result, span = await during(driver, _edit(driver, job_id, start=MINUTE))

    assert result == (True, State.SCHEDULED)
    assert span.holds((await record(driver, job_id)).next_at, plus=MINUTE)
    assert await claim(driver, await connect(driver)) == []
    await clock.advance(2 * MINUTE)
    assert await driver.jobs.promote(100) == 1
    assert await state_of(driver, job_id) is State.PENDING


@pytest.mark.parametrize("state", [State.SCHEDULED, State.RETRYING])
async def test_start_moves_the_time_of_what_waits_for_one(driver: Driver, clock: Clock, state: State) -> None:
    job_id = await put_in(driver, clock, state)
    at = await driver.ping() + 5 * DAY

    result = await _edit(driver, job_id, start=at)

    assert result == (True, state)
    assert (await record(driver, job_id)).next_at == at
    await clock.advance(2 * DAY)
    assert await driver.jobs.promote(100) == 0
    await clock.advance(4 * DAY)
    assert await driver.jobs.promote(100) == 1


@pytest.mark.parametrize("state", WAITING)
@pytest.mark.parametrize("start", [timedelta(), "past"])
async def test_start_that_has_passed_means_at_once(driver: Driver, clock: Clock, state: State, start: Any) -> None:
    job_id = await put_in(driver, clock, state)

    result = await _edit(driver, job_id, start=await driver.ping() - SECOND if start == "past" else start)

    assert result == (True, State.PENDING)
    assert (await numbers_of(driver)).counts[State.PENDING] == 1
    assert (await run(driver, await connect(driver), job_id)).failures == (1 if state is State.RETRYING else 0)


@pytest.mark.parametrize("state", [State.RUNNING, *sorted(FINAL_STATES, key=lambda state: state.value)])
async def test_what_runs_or_is_final_is_left_alone(driver: Driver, clock: Clock, state: State) -> None:
    job_id = await put_in(driver, clock, state)
    before = await record(driver, job_id)

    result = await _edit(
        driver, job_id, lambda envelope: envelope + b"!", queue="other", priority=1, start=MINUTE, labels={"a": ""}
    )

    assert result == (True, state)
    assert await record(driver, job_id) == before


async def test_unknown_and_deleted_jobs_are_not_found(driver: Driver) -> None:
    job_id = await store(driver)
    await driver.jobs.delete([job_id])

    assert (
        await driver.jobs.edit([Edit(id=each, envelope=_as_it_is, queue="x") for each in (job_id, new_id())])
        == [EditResult(found=False, state=None)] * 2
    )
    assert await driver.jobs.edit([]) == []


async def test_the_id_stays_known_for_what_was_dispatched(driver: Driver) -> None:
    job = new_job()
    await store_all(driver, [job])
    await _edit(driver, job.id, lambda envelope: envelope + b"!", queue="other")
    edited = job._replace(queue="other", envelope=job.envelope + b"!")

    answers = [(await driver.jobs.dispatch([each]))[0].verdict for each in (job, edited)]

    assert answers == [DispatchVerdict.EXISTING, DispatchVerdict.REUSED]


async def test_an_edit_sees_the_one_before_it(driver: Driver) -> None:
    one, other = await store(driver, body=b""), await store(driver, body=b"")

    def adding(letter: bytes) -> Callable[[bytes], bytes]:
        return lambda envelope: envelope + letter

    edits = [Edit(id=job_id, envelope=adding(letter)) for job_id, letter in ((one, b"a"), (other, b"b"), (one, b"c"))]
    results = await driver.jobs.edit(edits)

    assert results == [EditResult(found=True, state=State.PENDING)] * 3
    assert [(await record(driver, each)).envelope for each in (one, other)] == [one + b"ac", other + b"b"]
    assert len(await claim(driver, await connect(driver))) == 2


async def test_nothing_changes_where_one_edit_is_refused(driver: Driver) -> None:
    one, other = await store(driver), await store(driver, delay=MINUTE)
    before = [await record(driver, each) for each in (one, other)]

    def refuse(_envelope: bytes) -> bytes:
        raise PayloadTooLarge(2, 1)

    with pytest.raises(PayloadTooLarge):
        await driver.jobs.edit([Edit(id=one, envelope=_as_it_is, priority=9), Edit(id=other, envelope=refuse)])

    assert [await record(driver, each) for each in (one, other)] == before


async def test_history_counters_and_expiry_stay(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    job_id = await store(driver, policy=EXACT)
    await settle_well(driver, worker, await run(driver, worker, job_id), FAIL)
    expiring = await store(driver, "late", expire_at=await driver.ping() + MINUTE)

    await _edit(driver, job_id, queue="other", start=timedelta())
    await _edit(driver, expiring, priority=1)

    lease = await run(driver, await connect(driver, "other"), job_id)
    assert (lease.attempt, lease.failures) == (2, 1)
    assert [attempt for attempt, _ in await outcomes_of(driver, job_id)] == [1, 2]
    await clock.advance(2 * MINUTE)
    assert await driver.jobs.expire(100) == 1
    assert await state_of(driver, expiring) is State.EXPIRED


async def test_a_claim_that_meets_an_edit_gets_what_the_edit_says_or_goes_before_it(driver: Driver) -> None:
    worker = await connect(driver)
    ids = await store_all(driver, [new_job(body=b"old") for _ in range(20)])

    edits = [driver.jobs.edit([Edit(id=job_id, envelope=lambda envelope: envelope[:16] + b"new", priority=6)]) for job_id in ids]
    claims, results = await asyncio.gather(
        asyncio.gather(*(claim(driver, worker, limit=7) for _ in range(4))), asyncio.gather(*edits)
    )
    leases = [*(lease for leased in claims for lease in leased), *await claim(driver, worker)]

    assert sorted(lease.id for lease in leases) == sorted(ids)
    edited = {job_id for job_id, [result] in zip(ids, results, strict=True) if result.state is State.PENDING}
    assert {lease.id for lease in leases if lease.envelope.endswith(b"new")} == edited
    assert await driver.queues.reconcile() == 0


async def test_edits_of_one_job_that_meet_are_all_seen(driver: Driver) -> None:
    job_id = await store(driver, body=b"")
    edits = [Edit(id=job_id, envelope=lambda envelope, n=n: envelope + bytes([n])) for n in range(6)]  # type: ignore[misc]  # n is bound

    results = await asyncio.gather(*(driver.jobs.edit([edit]) for edit in edits))

    assert {result.state for [result] in results} == {State.PENDING}
    assert sorted((await record(driver, job_id)).envelope[16:]) == list(range(6))
    assert len(await claim(driver, await connect(driver))) == 1


@pytest.mark.parametrize("state", [State.SCHEDULED, State.RETRYING, State.FAILED])
async def test_a_retry_does_not_overwrite_what_was_changed_since_it_was_read(driver: Driver, clock: Clock, state: State) -> None:
    job_id = await put_in(driver, clock, state)
    before = await record(driver, job_id)
    retry = Retake(id=job_id, envelope=job_id + b"retried", over=job_id + b"as it was")

    [refused] = await driver.jobs.retake([retry])
    unchanged = await record(driver, job_id)
    [taken] = await driver.jobs.retake([replace(retry, over=before.envelope)])

    assert (refused, unchanged) == (RetakeResult(found=True, state=state, changed=True), before)
    assert taken == RetakeResult(found=True, state=State.PENDING)
    assert (await record(driver, job_id)).envelope == job_id + b"retried"


async def test_a_unique_key_goes_along_or_the_job_stays(driver: Driver) -> None:
    key = Unique(key="k", scope=UniqueScope.UNTIL_DONE)
    [mine, plain], [theirs] = (
        await store_all(driver, [new_job(unique=key), new_job()]),
        await store_all(driver, [new_job("full", unique=key)]),
    )
    before = await record(driver, mine)

    refused = await driver.jobs.edit([Edit(id=each, envelope=_as_it_is, queue="full") for each in (plain, mine)])
    stayed = await record(driver, mine)
    moved = await _edit(driver, mine, queue="free")
    answers = await driver.jobs.dispatch([new_job(queue, unique=key) for queue in ("q", "free", "full")])

    assert refused == [EditResult(found=True, state=State.PENDING), EditResult(found=True, state=None, duplicate=theirs)]
    assert (stayed, moved) == (before, (True, State.PENDING))
    assert (await record(driver, plain)).queue == "full"
    assert [(answer.verdict, answer.holder) for answer in answers] == [
        (DispatchVerdict.CREATED, None),
        (DispatchVerdict.DUPLICATE, mine),
        (DispatchVerdict.DUPLICATE, theirs),
    ]


async def test_a_new_queue_comes_to_be(driver: Driver) -> None:
    job_id = await store(driver)

    await _edit(driver, job_id, queue="brand-new")

    book = await driver.queues.settings(-1)
    assert book is not None
    assert "brand-new" in book.queues
    assert await driver.queues.reconcile() == 0
