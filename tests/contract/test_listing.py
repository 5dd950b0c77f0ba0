"""Reading many jobs: filters, order and pages."""

from dataclasses import replace

import pytest
from protojobs_service.domain.job import JobRecord
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import Complete, Fail
from protojobs_service.port import Driver, ListQuery

from tests.canaries import BODY
from tests.contract.acts import (
    ERROR,
    FAIL_FOR_GOOD,
    SECOND,
    connect,
    new_id,
    new_job,
    put_in,
    record,
    settle_well,
    store,
    store_all,
    store_and_run,
)
from tests.contract.backends import Clock

pytestmark = pytest.mark.asyncio


async def _listed(driver: Driver, **filters: object) -> list[bytes]:
    query = ListQuery(**{"newest_first": False, **filters})  # type: ignore[arg-type]  # the filters of each test
    return [found.id for found in (await driver.jobs.list(query)).jobs]


async def test_jobs_are_listed_newest_first_as_get_returns_them(driver: Driver) -> None:
    ids = await store_all(driver, [new_job(labels={"n": str(n)}) for n in range(5)])

    found = (await driver.jobs.list(ListQuery())).jobs

    assert [each.id for each in found] == ids[::-1]
    assert list(found) == [await record(driver, job_id) for job_id in ids[::-1]]


@pytest.mark.parametrize("newest_first", [True, False])
async def test_pages_join_to_the_whole_list(driver: Driver, newest_first: bool) -> None:
    ids = await store_all(driver, [new_job() for _ in range(7)])
    pages: list[list[bytes]] = []

    after = None
    for _ in range(4):
        found = (await driver.jobs.list(ListQuery(limit=3, after=after, newest_first=newest_first))).jobs
        pages.append([each.id for each in found])
        after = found[-1].id if found else after

    assert [len(page) for page in pages] == [3, 3, 1, 0]
    assert [job_id for page in pages for job_id in page] == (ids[::-1] if newest_first else ids)


async def test_filters_by_queue_and_kind(driver: Driver) -> None:
    a_x, a_y, b_x, c_z = await store_all(driver, [new_job("a", "x"), new_job("a", "y"), new_job("b", "x"), new_job("c", "z")])

    assert await _listed(driver, queues=["a"]) == [a_x, a_y]
    assert await _listed(driver, queues=["a", "b"]) == [a_x, a_y, b_x]
    assert await _listed(driver, kinds=["x", "z"]) == [a_x, b_x, c_z]
    assert await _listed(driver, queues=["a", "c"], kinds=["x"]) == [a_x]
    assert await _listed(driver, queues=["never"]) == []


@pytest.mark.parametrize("state", list(State))
async def test_filters_by_state(driver: Driver, clock: Clock, state: State) -> None:
    wanted = await put_in(driver, clock, state)
    others = [other for other in State if other is not state]
    await store(driver, "other", delay=SECOND if state is not State.SCHEDULED else None)

    assert await _listed(driver, states=[state], queues=["q"]) == [wanted]
    assert await _listed(driver, states=others, queues=["q"]) == []


async def test_filters_by_several_states(driver: Driver, clock: Clock) -> None:
    cancelled = await put_in(driver, clock, State.CANCELLED)
    failed = await put_in(driver, clock, State.FAILED)
    running = await put_in(driver, clock, State.RUNNING)
    pending = await put_in(driver, clock, State.PENDING)
    scheduled = await put_in(driver, clock, State.SCHEDULED)

    assert await _listed(driver, states=[State.CANCELLED, State.FAILED, State.RUNNING]) == [cancelled, failed, running]
    assert await _listed(driver, states=[State.PENDING, State.SCHEDULED]) == [pending, scheduled]
    found = (await driver.jobs.list(ListQuery(states=[State.SCHEDULED, State.FAILED], limit=1))).jobs
    assert [each.id for each in found] == [scheduled]


async def test_all_named_labels_must_hold(driver: Driver) -> None:
    both, only_a, other = await store_all(
        driver, [new_job(labels={"a": "1", "b": "2"}), new_job(labels={"a": "1"}), new_job(labels={"a": "2", "b": "2"})]
    )
    await store(driver)

    assert await _listed(driver, labels={"a": "1"}) == [both, only_a]
    assert await _listed(driver, labels={"a": "1", "b": "2"}) == [both]
    assert await _listed(driver, labels={"b": "2"}) == [both, other]
    assert await _listed(driver, labels={"c": "1"}) == []
    assert len(await _listed(driver, labels={})) == 4


async def test_created_after_includes_and_created_before_excludes(driver: Driver, clock: Clock) -> None:
    ids: list[bytes] = []
    for _ in range(3):
        ids.append(await store(driver))
        await clock.advance(SECOND)
    [middle] = [each for each in (await driver.jobs.list(ListQuery())).jobs if each.id == ids[1]]

    assert await _listed(driver, created_after=middle.created_at) == ids[1:]
    assert await _listed(driver, created_before=middle.created_at) == ids[:1]
    assert await _listed(driver, created_after=middle.created_at, created_before=middle.created_at + SECOND / 2) == [ids[1]]


async def test_every_filter_holds_together(driver: Driver, clock: Clock) -> None:
    labels = {"a": "1"}
    await put_in(driver, clock, State.FAILED, labels={"a": "2"})
    await put_in(driver, clock, State.CANCELLED, labels=labels)
    wanted = await put_in(driver, clock, State.FAILED, labels=labels)
    newest = await put_in(driver, clock, State.FAILED, labels=labels)

    filters = {"queues": ["q"], "kinds": ["k"], "states": [State.FAILED], "labels": labels}
    assert await _listed(driver, **filters) == [wanted, newest]
    assert await _listed(driver, **filters, after=wanted) == [newest]
    assert await _listed(driver, **filters, limit=1) == [wanted]


async def test_get_answers_by_place(driver: Driver) -> None:
    first, second = await store(driver), await store(driver)

    found = await driver.jobs.get([second, new_id(), first, second])

    assert [each and each.id for each in found] == [second, None, first, second]
    assert list(await driver.jobs.get([])) == []


async def test_attempts_of_an_unknown_job_are_none(driver: Driver) -> None:
    assert await driver.jobs.attempts(new_id()) is None


@pytest.mark.parametrize("newest_first", [True, False])
async def test_a_page_ends_before_it_has_more_bytes_than_asked_for_but_never_before_its_first_job(
    driver: Driver, newest_first: bool
) -> None:
    large, small = BODY.ljust(3000), BODY.ljust(900)
    ids = await store_all(driver, [new_job(body=body) for body in (large, small, small, large, small)])
    query = ListQuery(newest_first=newest_first, max_bytes=2500)

    pages: list[list[JobRecord]] = []
    while True:
        page = await driver.jobs.list(query)
        pages.append(list(page.jobs))
        if page.after is None:
            break
        query = replace(query, after=page.after)

    assert [len(found) for found in pages] == ([1, 1, 2, 1] if newest_first else [1, 2, 1, 1])
    assert [job.id for found in pages for job in found] == (ids[::-1] if newest_first else ids)


async def test_results_and_stacks_count_among_the_bytes_of_a_page(driver: Driver) -> None:
    worker = await connect(driver, "q")
    for outcome in (Complete(result=bytes(2000)), Fail(error=replace(ERROR, stack="s" * 2000), retryable=False)):
        await settle_well(driver, worker, await store_and_run(driver, worker), outcome)

    page = await driver.jobs.list(ListQuery(max_bytes=2500))
    brief = await driver.jobs.list(ListQuery(max_bytes=2500, brief=bytes))

    assert (len(page.jobs), len(brief.jobs)) == (1, 2)


async def test_a_brief_list_has_of_each_envelope_what_is_kept_and_neither_results_nor_stacks(driver: Driver) -> None:
    worker = await connect(driver, "q")
    failed, completed = await store_and_run(driver, worker), await store_and_run(driver, worker)
    await settle_well(driver, worker, failed, FAIL_FOR_GOOD)
    await settle_well(driver, worker, completed, Complete(result=b"result"))
    whole = [await record(driver, lease.id) for lease in (failed, completed)]

    found = (await driver.jobs.list(ListQuery(newest_first=False, brief=lambda envelope: envelope[:16]))).jobs

    assert [job.envelope for job in found] == [failed.id, completed.id]
    assert list(found) == [
        replace(whole[0], envelope=failed.id, last_error=replace(ERROR, stack="")),
        replace(whole[1], envelope=completed.id, result=None),
    ]
