"""The unary twin: the same engine without a stream."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from random import Random

import pytest
from protojobs_service.application import Acquired, Application, HeldLease, Hello, Settlement, SettleVerdict, StopCause, Window
from protojobs_service.domain.errors import Draining, SessionClosed, SessionSuperseded
from protojobs_service.domain.job import Handle, Lease
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import COMPLETE
from protojobs_service.port import Claim

from tests.unit.application.stand import Stand

pytestmark = pytest.mark.asyncio

_SECRET = b"u" * 16


def _hello(seq: int, most: int = 1, held: Sequence[HeldLease] = (), secret: bytes = _SECRET, ttl: float = 30) -> Hello:
    return Hello(
        secret=secret,
        stream_no=seq,
        weights={"default": 1},
        window=Window(most),
        slots=most,
        ttl=timedelta(seconds=ttl),
        held=held,
        unary=True,
    )


def _held(leases: Sequence[Lease]) -> list[HeldLease]:
    return [HeldLease(lease.id, lease.attempt, started=True) for lease in leases]


async def _acquire(stand: Stand, hello: Hello, wait: float = 0) -> Acquired:
    call = asyncio.ensure_future(stand.application.lease_calls.acquire(hello, timedelta(seconds=wait)))
    await stand.clock.settle()
    if not call.done():
        await stand.claim()  # as the claim loop does
    return await call


async def test_a_call_gets_what_is_there_and_no_more_than_it_asked_for(stand: Stand) -> None:
    await stand.dispatch(5)

    acquired = await _acquire(stand, _hello(1, most=3))

    assert len(acquired.leases) == 3
    assert stand.application.room.free() == 0


async def test_a_call_waits_for_the_first_job(stand: Stand) -> None:
    async with asyncio.TaskGroup() as tasks:
        stop = stand.application.upkeep.start(tasks)
        call = tasks.create_task(_acquire(stand, _hello(1, most=3), wait=20))
        await stand.clock.advance(5)
        assert not call.done()

        [job_id] = await stand.dispatch(1)
        await stand.clock.advance(0.2)

        assert [lease.id for lease in (await call).leases] == [job_id]
        stop()


async def test_a_call_ends_empty_when_its_wait_is_over(stand: Stand) -> None:
    call = asyncio.ensure_future(_acquire(stand, _hello(1), wait=3))

    await stand.clock.advance(3.1)

    assert (await call).leases == []


async def test_the_same_number_again_gets_the_same_leases(stand: Stand) -> None:
    await stand.dispatch(4)
    first = await _acquire(stand, _hello(1, most=2))

    again = await _acquire(stand, _hello(1, most=2))

    assert again.leases == first.leases
    assert len(again.session.flights) == 2


async def test_a_lower_number_is_superseded(stand: Stand) -> None:
    await _acquire(stand, _hello(2))

    with pytest.raises(SessionSuperseded):
        await _acquire(stand, _hello(1))


async def test_leases_that_the_next_call_does_not_name_go_back(stand: Stand) -> None:
    ids = await stand.dispatch(2)
    first = await _acquire(stand, _hello(1, most=2))

    await _acquire(stand, _hello(2, most=0, held=_held(first.leases[:1])))
    await stand.application.lease_watch.run_errands()

    states = {job_id: (await stand.job(job_id)).state for job_id in ids}
    assert states == {first.leases[0].id: State.RUNNING, first.leases[1].id: State.PENDING}


async def test_a_cancelled_call_gives_back_what_it_had_not_answered(stand: Stand) -> None:
    call = asyncio.ensure_future(_acquire(stand, _hello(1, most=2), wait=20))
    await stand.clock.settle()
    [handle, other] = stand.application.room.reserve([("default", "email", 10)] * 2)
    [job_id] = await stand.dispatch()
    stand.application.room.deliver(await stand.driver.jobs.claim([Claim(handle, ("default",), None, frozenset(), 1, 0)]))
    await stand.clock.settle()
    assert not call.done()  # the other place may still be filled

    call.cancel()
    await stand.clock.settle()
    stand.application.room.unreserve([(other, 10)])
    await stand.application.lease_watch.run_errands()

    assert (await stand.job(job_id)).state is State.PENDING
    assert stand.application.room.free() == 0


async def test_nothing_is_leased_between_two_calls(stand: Stand) -> None:
    await _acquire(stand, _hello(1))
    [job_id] = await stand.dispatch(1)

    await stand.claim()

    assert (await stand.job(job_id)).state is State.PENDING
    assert stand.application.room.reserve([("default", "email", 10)]) == [0]


async def test_a_settle_finds_its_session_by_the_secret(stand: Stand) -> None:
    await stand.dispatch()
    acquired = await _acquire(stand, _hello(1))

    caller = await stand.application.lease_calls.find(_SECRET)
    items = [Settlement(lease.id, lease.attempt, caller.handle, COMPLETE) for lease in acquired.leases]
    [answer] = await stand.application.lease_calls.settle(caller, items)

    assert answer.verdict is SettleVerdict.OK
    with pytest.raises(SessionClosed):
        await stand.application.lease_calls.find(b"?" * 16)


async def test_extending_tells_what_was_cancelled_and_what_is_lost(stand: Stand) -> None:
    await stand.dispatch()
    acquired = await _acquire(stand, _hello(1))
    [lease] = acquired.leases
    await stand.application.cancel.one(lease.id, timedelta(seconds=9))
    stranger = HeldLease(stand.id(), 1, started=True)

    extended = await stand.application.lease_calls.extend(_SECRET, [*_held(acquired.leases), stranger])

    assert [(stop.id, stop.cause, stop.remaining) for stop in extended.stops] == [
        (lease.id, StopCause.CANCELLED, timedelta(seconds=9))
    ]
    assert list(extended.lost) == [stranger]


async def test_a_session_that_never_calls_again_expires_in_the_store(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    async with asyncio.TaskGroup() as tasks:
        stop = stand.application.upkeep.start(tasks)
        await _acquire(stand, _hello(1, ttl=4))

        await stand.clock.advance(10)

        assert (await stand.job(job_id)).state is State.PENDING
        assert not stand.application.leasing.sessions
        stop()


async def test_a_waiting_call_keeps_its_session_alive(stand: Stand) -> None:
    async with asyncio.TaskGroup() as tasks:
        stop = stand.application.upkeep.start(tasks)
        call = tasks.create_task(_acquire(stand, _hello(1, ttl=2), wait=30))
        await stand.clock.advance(20)

        [job_id] = await stand.dispatch()
        await stand.clock.advance(0.1)

        assert [lease.id for lease in (await call).leases] == [job_id]
        stop()


async def test_a_closed_session_begins_anew_with_the_next_call(stand: Stand) -> None:
    await stand.dispatch(2)
    first = await _acquire(stand, _hello(1))
    await stand.driver.sessions.close(first.session.handle, [])

    second = await _acquire(stand, _hello(2, held=_held(first.leases)))

    assert list(second.lost) == _held(first.leases)
    assert len(second.leases) == 1


async def test_a_waiting_call_ends_when_the_server_goes(stand: Stand) -> None:
    call = asyncio.ensure_future(_acquire(stand, _hello(1), wait=20))
    await stand.clock.settle()

    stand.application.leasing.drain()
    await stand.clock.settle()

    with pytest.raises(Draining):
        await call


async def test_a_lease_that_comes_after_its_call_has_ended_goes_back_and_is_never_answered(stand: Stand) -> None:
    [job_id] = await stand.dispatch()
    gate = _hold_back(stand, "claim")
    call = asyncio.ensure_future(stand.application.lease_calls.acquire(_hello(1), timedelta(seconds=3)))
    await stand.clock.settle()
    claiming = asyncio.ensure_future(stand.application.claims.claim())
    await stand.clock.advance(3.3)
    assert (await call).leases == []

    gate.set()
    await claiming
    await stand.application.lease_watch.run_errands()
    job = await stand.job(job_id)
    assert (job.state, job.attempt, job.crashes) == (State.PENDING, 1, 0)

    second = await _acquire(stand, _hello(2))
    assert [(lease.id, lease.attempt) for lease in second.leases] == [(job_id, 2)]


async def test_a_cancelled_call_takes_no_lease_of_another_session_with_it(stand: Stand) -> None:
    ids = await stand.dispatch(2)
    gate = _hold_back(stand, "claim")
    async with asyncio.TaskGroup() as tasks:
        worker = await stand.worker(window=1)
        call = asyncio.ensure_future(stand.application.lease_calls.acquire(_hello(1), timedelta(seconds=20)))
        await stand.clock.settle()
        stop = stand.application.upkeep.start(tasks)
        await stand.clock.settle()

        call.cancel()
        await stand.clock.settle()
        gate.set()
        await stand.clock.advance(0.1)

        assert len(worker.leases) == 1
        states = sorted([(await stand.job(job_id)).state.name for job_id in ids])
        assert states == ["PENDING", "RUNNING"]
        stop()


async def test_a_call_gets_no_more_than_it_asked_for_when_leases_are_settled_while_it_waits(stand: Stand) -> None:
    await stand.dispatch(3)
    first = await _acquire(stand, _hello(1, most=3))
    call = asyncio.ensure_future(stand.application.lease_calls.acquire(_hello(2, most=1, held=_held(first.leases)), _LONG))
    await stand.clock.settle()

    caller = await stand.application.lease_calls.find(_SECRET)
    items = [Settlement(lease.id, lease.attempt, caller.handle, COMPLETE) for lease in first.leases]
    await stand.application.lease_calls.settle(caller, items)
    await stand.dispatch(5)
    await stand.claim()

    assert len((await call).leases) == 1


async def test_what_comes_for_an_earlier_call_and_is_too_much_for_this_one_goes_back(stand: Stand) -> None:
    first = asyncio.ensure_future(stand.application.lease_calls.acquire(_hello(1, most=3), timedelta(seconds=1)))
    await stand.clock.settle()
    [handle, *_] = stand.application.room.reserve([("default", "email", 10)] * 3)
    await stand.clock.advance(1.5)
    assert (await first).leases == []
    second = asyncio.ensure_future(stand.application.lease_calls.acquire(_hello(2), _LONG))
    await stand.clock.settle()

    ids = await stand.dispatch(3)
    stand.application.room.deliver(await stand.driver.jobs.claim([Claim(handle, ("default",), None, frozenset(), 3, 0)]))
    got = [lease.id for lease in (await second).leases]
    await stand.application.lease_watch.run_errands()

    assert got == ids[:1]
    assert [(await stand.job(job_id)).state for job_id in ids] == [State.RUNNING, State.PENDING, State.PENDING]


async def test_a_first_call_that_is_repeated_at_another_replica_gets_the_same_leases(stand: Stand) -> None:
    ids = await stand.dispatch(3)
    first = await _acquire(stand, _hello(1, most=2))
    other = await _replica(stand)

    again = await other.lease_calls.acquire(_hello(1, most=2), timedelta())

    assert [lease[1:] for lease in again.leases] == [lease[1:] for lease in first.leases]
    assert await _settle(other, again.leases) == [SettleVerdict.OK] * 2
    assert (await stand.job(ids[2])).state is State.PENDING
    with pytest.raises(SessionSuperseded):
        await other.lease_calls.acquire(_hello(0), timedelta())


async def test_a_settle_finds_its_session_at_any_replica(stand: Stand) -> None:
    await stand.dispatch(2)
    acquired = await _acquire(stand, _hello(1, most=2))
    other = await _replica(stand)

    assert await _settle(other, acquired.leases[:1]) == [SettleVerdict.OK]
    assert await _settle(stand.application, acquired.leases[:1]) == [SettleVerdict.ALREADY]
    with pytest.raises(SessionClosed):
        await other.lease_calls.find(b"?" * 16)


async def test_a_settle_at_a_replica_that_the_session_has_left_is_taken(stand: Stand) -> None:
    await stand.dispatch(1)
    acquired = await _acquire(stand, _hello(1))
    other = await _replica(stand)
    await _acquire_at(other, stand, _hello(2, held=_held(acquired.leases)))

    assert await _settle(stand.application, acquired.leases) == [SettleVerdict.OK]
    assert not stand.application.leasing.sessions


async def test_extending_at_any_replica_keeps_the_session_and_tells_of_its_leases(stand: Stand) -> None:
    await stand.dispatch()
    acquired = await _acquire(stand, _hello(1, ttl=4))
    [lease] = acquired.leases
    await stand.application.cancel.one(lease.id, timedelta(seconds=90))
    other = await _replica(stand)

    for _ in range(8):
        stand.clock.now += 1
        await other.lease_calls.extend(_SECRET, _held(acquired.leases))
        await stand.driver.sessions.rescue(10)
    extended = await other.lease_calls.extend(_SECRET, _held(acquired.leases))

    assert [stop.id for stop in extended.stops] == [lease.id]
    assert list(extended.lost) == []
    assert extended.caller.ttl == timedelta(seconds=4)


async def test_extending_where_the_session_has_left_asks_for_its_newest_leases(stand: Stand) -> None:
    await stand.dispatch()
    acquired = await _acquire(stand, _hello(1))
    other = await _replica(stand)
    await _acquire_at(other, stand, _hello(2, held=_held(acquired.leases)))

    extended = await stand.application.lease_calls.extend(_SECRET, _held(acquired.leases))

    assert list(extended.lost) == []


async def test_extending_while_the_session_is_opened_anew_elsewhere_finds_it_under_its_new_handle(stand: Stand) -> None:
    await stand.dispatch(1)
    first = await _acquire(stand, _hello(1))
    second, third = await _replica(stand), await _replica(stand)
    sessions = stand.driver.sessions
    renew = sessions.renew

    async def opened_meanwhile(handles: Sequence[Handle]) -> object:
        setattr(sessions, "renew", renew)  # noqa: B010 # the first time only
        await _acquire_at(third, stand, _hello(2, held=_held(first.leases)))
        return await renew(handles)

    setattr(sessions, "renew", opened_meanwhile)  # noqa: B010 # a method
    extended = await second.lease_calls.extend(_SECRET, _held(first.leases))

    assert list(extended.lost) == []


_LONG = timedelta(seconds=20)


def _hold_back(stand: Stand, method: str) -> asyncio.Event:
    """Make a method of the store do its work only behind a gate, and, as a pipeline, also for a caller that has left."""
    gate = asyncio.Event()
    inner = getattr(stand.driver.jobs, method)

    async def flush(items: Sequence[object]) -> object:
        await gate.wait()
        return await inner(items)

    async def held_back(items: Sequence[object]) -> object:
        return await asyncio.shield(asyncio.ensure_future(flush(items)))

    setattr(stand.driver.jobs, method, held_back)
    return gate


async def _replica(stand: Stand) -> Application:
    """Return another replica over the same store."""
    application = Application.over(stand.driver, clock=stand.clock, rng=Random(8))
    await application.store_time.refresh()
    await application.known_queues.refresh()
    return application


async def _acquire_at(application: Application, stand: Stand, hello: Hello) -> Acquired:
    call = asyncio.ensure_future(application.lease_calls.acquire(hello, timedelta()))
    await stand.clock.settle()
    await application.claims.claim()
    return await call


async def _settle(application: Application, leases: Sequence[Lease]) -> list[SettleVerdict]:
    caller = await application.lease_calls.find(_SECRET)
    items = [Settlement(lease.id, lease.attempt, caller.handle, COMPLETE) for lease in leases]
    return [answer.verdict for answer in await application.lease_calls.settle(caller, items)]
