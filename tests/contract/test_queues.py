"""Queues: settings under versions, deleting and clearing."""

from dataclasses import replace
from datetime import timedelta

import pytest
from protojobs_service.domain.errors import JobRunning, QueueNotEmpty, QueueNotFound
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.queue import History, QueueSettings, Retention
from protojobs_service.domain.queue_limits import Overflow, RateLimit
from protojobs_service.domain.retry import Jitter, PolicyChanges
from protojobs_service.port import ClearQuery, Dispatched, DispatchVerdict, Driver, SettingsBook

from tests.contract.acts import (
    MINUTE,
    SECOND,
    claim,
    connect,
    during,
    new_job,
    numbers_of,
    put_in,
    state_of,
    states_of,
    store,
    store_all,
    store_and_run,
)
from tests.contract.backends import Clock

pytestmark = pytest.mark.asyncio

UNKNOWN = -1
WAITING = frozenset({State.SCHEDULED, State.PENDING, State.RETRYING})


async def _book(driver: Driver) -> SettingsBook:
    book = await driver.queues.settings(UNKNOWN)
    assert book is not None
    return book


async def test_store_without_queues_has_an_empty_book(driver: Driver) -> None:
    assert (await _book(driver)).queues == {}


async def test_queue_exists_with_the_defaults_once_it_is_used(driver: Driver) -> None:
    before = await _book(driver)
    _, span = await during(driver, store(driver, "mail"))

    book = await _book(driver)

    settings = book.queues["mail"]
    assert settings == QueueSettings(name="mail", created_at=settings.created_at)
    assert span.holds(settings.created_at)
    assert book.version > before.version


async def test_every_setting_is_kept(driver: Driver) -> None:
    wanted = QueueSettings(
        name="mail",
        paused=True,
        retry=PolicyChanges(
            max_retries=7,
            initial_backoff=timedelta(seconds=1.5),
            multiplier=1.25,
            max_backoff=timedelta(days=1),
            jitter=Jitter.NONE,
            max_retry_duration=timedelta(hours=2),
            run_timeout=timedelta(seconds=30),
        ),
        retention=Retention(completed=timedelta(hours=1), failed=timedelta(days=90), cancelled=timedelta()),
        strict_leases=True,
        rate_limit=RateLimit(per_second=0.1, burst=7),
        max_in_flight=5,
        max_depth=9,
        overflow=Overflow.DROP_OLDEST,
        history=History.NONE,
        max_payload_bytes=12,
    )

    changed, span = await during(driver, driver.queues.change("mail", lambda _: wanted))

    assert changed == replace(wanted, created_at=changed.created_at, updated_at=changed.updated_at)
    assert span.holds(changed.created_at)
    assert span.holds(changed.updated_at)
    assert (await _book(driver)).queues == {"mail": changed}


async def test_change_sees_what_the_last_one_left(driver: Driver) -> None:
    await store(driver, "mail")
    await driver.queues.change("mail", lambda old: replace(old, paused=True))
    first = (await _book(driver)).queues["mail"]

    await driver.queues.change("mail", lambda old: replace(old, strict_leases=True))

    settings = (await _book(driver)).queues["mail"]
    assert (settings.paused, settings.strict_leases) == (True, True)
    assert settings.created_at == first.created_at


async def test_settings_are_told_only_when_they_are_news(driver: Driver) -> None:
    await driver.queues.change("a", lambda old: replace(old, paused=True))
    book = await _book(driver)

    unchanged = await driver.queues.settings(book.version)
    await driver.queues.change("a", lambda old: replace(old, paused=False))
    changed = await driver.queues.settings(book.version)

    assert unchanged is None
    assert changed is not None
    assert changed.version > book.version
    assert not changed.queues["a"].paused


async def test_change_that_raises_changes_nothing(driver: Driver) -> None:
    before = await _book(driver)

    def refuse(_: QueueSettings) -> QueueSettings:
        raise QueueNotFound

    with pytest.raises(QueueNotFound):
        await driver.queues.change("mail", refuse)

    assert await _book(driver) == before


async def test_version_is_acknowledged_once_its_settings_were_read(driver: Driver) -> None:
    await driver.queues.settings(UNKNOWN)
    await driver.queues.change("a", lambda old: replace(old, paused=True))
    version = (await _book(driver)).version
    await driver.queues.change("a", lambda old: replace(old, paused=False))
    await driver.queues.settings(version)

    assert await driver.queues.acknowledged(version)
    newest = (await _book(driver)).version
    await driver.queues.settings(newest)
    assert await driver.queues.acknowledged(newest)
    assert not await driver.queues.acknowledged(newest + 1)


async def test_pause_is_the_callers_matter(driver: Driver) -> None:
    worker = await connect(driver)
    await driver.queues.change("q", lambda old: replace(old, paused=True))
    job_id = await store(driver)

    assert [lease.id for lease in await claim(driver, worker)] == [job_id]


async def test_empty_queue_is_deleted_with_its_settings(driver: Driver) -> None:
    await driver.queues.change("mail", lambda old: replace(old, paused=True))
    version = (await _book(driver)).version

    await driver.queues.delete("mail", force=False)

    book = await _book(driver)
    assert (book.queues, book.version > version) == ({}, True)
    assert list((await driver.queues.stats(None))[0]) == []


async def test_unknown_queue_cannot_be_deleted(driver: Driver) -> None:
    for force in (False, True):
        with pytest.raises(QueueNotFound):
            await driver.queues.delete("never", force=force)


@pytest.mark.parametrize("state", [state for state in State if state is not State.RUNNING])
async def test_queue_with_jobs_is_deleted_only_by_force(driver: Driver, clock: Clock, state: State) -> None:
    job_id = await put_in(driver, clock, state)
    other = await store(driver, "other")

    with pytest.raises(QueueNotEmpty):
        await driver.queues.delete("q", force=False)
    before = await state_of(driver, job_id)
    await driver.queues.delete("q", force=True)

    assert before is state
    assert await states_of(driver, [job_id, other]) == [None, State.PENDING]
    assert "q" not in (await _book(driver)).queues
    [answer] = await driver.jobs.dispatch([new_job(id=job_id)])
    assert answer == Dispatched(DispatchVerdict.EXISTING, None)


async def test_queue_with_a_running_job_is_not_deleted_even_by_force(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    waiting = await store(driver)

    with pytest.raises(JobRunning):
        await driver.queues.delete("q", force=True)

    assert await states_of(driver, [lease.id, waiting]) == [State.RUNNING, State.PENDING]
    assert "q" in (await _book(driver)).queues


async def test_queue_whose_jobs_were_all_deleted_is_empty(driver: Driver) -> None:
    job_id = await store(driver)
    await driver.jobs.delete([job_id])

    await driver.queues.delete("q", force=False)

    assert (await _book(driver)).queues == {}


async def test_deleted_queue_may_be_used_again(driver: Driver) -> None:
    await driver.queues.change("q", lambda old: replace(old, strict_leases=True))
    await store(driver)
    await driver.queues.delete("q", force=True)

    job_id = await store(driver)

    assert not (await _book(driver)).queues["q"].strict_leases
    assert [lease.id for lease in await claim(driver, await connect(driver))] == [job_id]
    assert (await numbers_of(driver)).counts[State.RUNNING] == 1


async def test_clear_deletes_the_named_states_of_the_queue(driver: Driver, clock: Clock) -> None:
    ids = {state: await put_in(driver, clock, state) for state in (State.FAILED, State.CANCELLED, State.COMPLETED)}
    ids[State.SCHEDULED] = await put_in(driver, clock, State.SCHEDULED)
    ids[State.PENDING] = await put_in(driver, clock, State.PENDING)
    other = await store(driver, "other")
    await clock.advance(SECOND)

    cleared = await driver.queues.clear(ClearQuery(queue="q", states=WAITING | {State.FAILED}))

    assert (cleared.deleted, cleared.after) == (3, None)
    assert await states_of(driver, list(ids.values())) == [None, State.CANCELLED, State.COMPLETED, None, None]
    assert await state_of(driver, other) is State.PENDING
    assert (await numbers_of(driver)).counts[State.PENDING] == 0
    [answer] = await driver.jobs.dispatch([new_job(id=ids[State.PENDING])])
    assert answer == Dispatched(DispatchVerdict.EXISTING, None)


async def test_clear_leaves_running_jobs(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await clock.advance(SECOND)

    cleared = await driver.queues.clear(ClearQuery(queue="q", states=frozenset(State)))

    assert cleared.deleted == 0
    assert await state_of(driver, lease.id) is State.RUNNING


async def test_clear_leaves_what_came_later(driver: Driver, clock: Clock) -> None:
    old = await store(driver)
    await clock.advance(SECOND)
    before = await driver.ping()
    await clock.advance(SECOND)
    young = await store(driver)

    cleared = await driver.queues.clear(ClearQuery(queue="q", states=WAITING, before=before))

    assert (cleared.deleted, cleared.barrier) == (1, before)
    assert await states_of(driver, [old, young]) == [None, State.PENDING]


async def test_clear_goes_on_where_it_stopped_and_keeps_its_barrier(driver: Driver, clock: Clock) -> None:
    ids = await store_all(driver, [new_job() for _ in range(5)])
    await clock.advance(SECOND)
    query = ClearQuery(queue="q", states=WAITING, limit=2)
    first = await driver.queues.clear(query)
    await clock.advance(SECOND)
    young = await store(driver)
    turns = [first.deleted]

    after = first.after
    while after is not None:
        cleared = await driver.queues.clear(replace(query, after=after, before=first.barrier))
        turns.append(cleared.deleted)
        after = cleared.after

    assert sum(turns) == 5
    assert max(turns) <= 2
    assert await states_of(driver, [*ids, young]) == [None] * 5 + [State.PENDING]


async def test_clear_may_only_count(driver: Driver, clock: Clock) -> None:
    ids = await store_all(driver, [new_job(), new_job(delay=MINUTE), new_job()])
    await clock.advance(SECOND)

    cleared = await driver.queues.clear(ClearQuery(queue="q", states=WAITING, dry_run=True))

    assert cleared.deleted == 3
    assert await states_of(driver, ids) == [State.PENDING, State.SCHEDULED, State.PENDING]


async def test_clear_of_an_unknown_queue_deletes_nothing(driver: Driver) -> None:
    cleared = await driver.queues.clear(ClearQuery(queue="never", states=WAITING))

    assert (cleared.deleted, cleared.after) == (0, None)
