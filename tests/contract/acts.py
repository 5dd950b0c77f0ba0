"""What tests of a driver do again and again: make values, and take the short steps that lead to the one under test."""

import itertools
import secrets
import time
from collections.abc import Awaitable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from protojobs_service.domain.event import JobEvent
from protojobs_service.domain.job import Handle, JobId, JobRecord, Lease, NewJob
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.outcome import COMPLETE, Fail, JobError, Outcome, Snooze
from protojobs_service.domain.retry import Jitter, Policy
from protojobs_service.port import (
    Claim,
    DispatchVerdict,
    Driver,
    Held,
    ListQuery,
    LogQuery,
    Opened,
    Opening,
    Position,
    QueueNumbers,
    Retake,
    Settled,
    Settlement,
    SettleVerdict,
)

from tests.canaries import BODY
from tests.contract.backends import UNIQUE, Clock

T = TypeVar("T")

SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
TTL = timedelta(seconds=30)
ERROR = JobError(type="ValueError", message="no", stack="line 1")
FAIL = Fail(error=ERROR)
FAIL_FOR_GOOD = Fail(error=ERROR, retryable=False)
EXACT = Policy(initial_backoff=timedelta(seconds=10), multiplier=3.0, max_backoff=timedelta(seconds=60), jitter=Jitter.NONE)
"""A policy whose backoffs are 10, 30, 60, 60, ... seconds."""

_ordinals = itertools.count()


def new_id() -> JobId:
    """Return a UUIDv7 of the present time, greater than all before."""
    made_at, ordinal, chance = time.time_ns() // 1_000_000, next(_ordinals), secrets.randbits(30)
    _new_id_times.append(max(made_at, _new_id_times.pop()))
    number = (_new_id_times[0] << 80) | (7 << 76) | (2 << 62) | ((ordinal & 0xFFFFFFFF) << 30) | chance
    return JobId(number.to_bytes(16))


_new_id_times = [0]


def new_job(queue: str = "q", kind: str = "k", *, body: bytes = BODY, **fields: Any) -> NewJob:
    """Return a job to store, with an id of its own unless one is given."""
    job_id: JobId = fields.pop("id", None) or new_id()
    job = NewJob(job_id, queue, kind, fields.pop("priority", 5), job_id + body, **fields)
    if job.unique is not None:
        UNIQUE[job_id] = job.unique
    return job


async def store(driver: Driver, queue: str = "q", kind: str = "k", **fields: Any) -> JobId:
    """Dispatch one new job and return its id."""
    [job_id] = await store_all(driver, [new_job(queue, kind, **fields)])
    return job_id


async def store_all(driver: Driver, jobs: Sequence[NewJob]) -> list[JobId]:
    """Dispatch new jobs and return their ids."""
    answers = await driver.jobs.dispatch(jobs)
    assert {answer.verdict for answer in answers} <= {DispatchVerdict.CREATED}
    return [job.id for job in jobs]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker's newest stream, as a test holds it."""

    handle: Handle
    session: int
    opening: Opening


async def connect(driver: Driver, *queues: str, kinds: Sequence[str] = (), ttl: timedelta = TTL, **fields: Any) -> Worker:
    """Open a new session for these queues (`q` where none is named)."""
    opening = Opening(
        secret=secrets.token_bytes(16),
        stream_no=fields.pop("stream_no", 1),
        worker=fields.pop("worker", "worker"),
        sdk=fields.pop("sdk", "sdk"),
        sdk_version=fields.pop("sdk_version", "1.0"),
        queues=queues or ("q",),
        kinds=kinds,
        slots=fields.pop("slots", 10),
        ttl=ttl,
        **fields,
    )
    opened = await driver.sessions.open(opening)
    return Worker(handle=opened.handle, session=opened.session, opening=opening)


async def reconnect(driver: Driver, worker: Worker, held: Sequence[Held] = (), **fields: Any) -> tuple[Worker, Opened]:
    """Open the next stream of a worker's session, which says that it holds `held`."""
    opening = replace(worker.opening, stream_no=worker.opening.stream_no + 1, held=held, **fields)
    opened = await driver.sessions.open(opening)
    return Worker(handle=opened.handle, session=opened.session, opening=opening), opened


def held(lease: Lease, *, started: bool = True) -> Held:
    """Return what a worker says that has this lease."""
    return Held(lease.id, lease.attempt, started)


def wish(
    worker: Worker,
    *queues: str,
    kinds: Collection[str] | None = None,
    barred: Collection[str] = (),
    limit: int = 100,
    max_bytes: int = 0,
) -> Claim:
    """Return a worker's claim for these queues (those it was opened with where none is named)."""
    names = queues or tuple(worker.opening.queues)
    return Claim(worker.handle, names, None if kinds is None else frozenset(kinds), frozenset(barred), limit, max_bytes)


async def claim(driver: Driver, worker: Worker, *queues: str, **fields: Any) -> Sequence[Lease]:
    """Lease what a worker gets."""
    return await driver.jobs.claim([wish(worker, *queues, **fields)])


async def run(driver: Driver, worker: Worker, job_id: JobId) -> Lease:
    """Lease one job, which must be the next one that the worker gets."""
    [lease] = await claim(driver, worker, limit=1)
    assert lease.id == job_id
    return lease


async def store_and_run(driver: Driver, worker: Worker, **fields: Any) -> Lease:
    """Dispatch a new job and lease it; nothing else may wait in the worker's queues."""
    return await run(driver, worker, await store(driver, queue=worker.opening.queues[0], **fields))


async def settle(driver: Driver, worker: Worker, lease: Lease, outcome: Outcome = COMPLETE) -> Settled:
    """Settle one lease under the worker's newest handle."""
    [settled] = await driver.jobs.settle([Settlement(lease.id, lease.attempt, worker.handle, outcome)])
    return settled


async def settle_well(driver: Driver, worker: Worker, lease: Lease, outcome: Outcome = COMPLETE) -> Settled:
    """Settle one lease; it must be accepted."""
    settled = await settle(driver, worker, lease, outcome)
    assert settled.verdict is SettleVerdict.OK
    return settled


async def put_in(driver: Driver, clock: Clock, state: State, **fields: Any) -> JobId:
    """Store a job of queue `q` and bring it to a state; nothing else may wait in that queue."""
    if state is State.SCHEDULED:
        return await store(driver, delay=MINUTE, **fields)
    if state is State.EXPIRED:
        job_id = await store(driver, expire_at=await driver.ping() + MINUTE, **fields)
        await clock.advance(2 * MINUTE)
        assert await driver.jobs.expire(100) == 1
        return job_id
    job_id = await store(driver, **fields)
    if state is State.CANCELLED:
        await driver.jobs.cancel([job_id], MINUTE)
    elif state is not State.PENDING:
        worker = await connect(driver, "q")
        lease = await run(driver, worker, job_id)
        outcomes: dict[State, Outcome] = {State.COMPLETED: COMPLETE, State.FAILED: FAIL_FOR_GOOD, State.RETRYING: FAIL}
        if state in outcomes:
            await settle_well(driver, worker, lease, outcomes[state])
            await driver.sessions.close(worker.handle, [])
    assert await state_of(driver, job_id) is state
    return job_id


async def record(driver: Driver, job_id: JobId) -> JobRecord:
    """Return a job that must exist."""
    [found] = await driver.jobs.get([job_id])
    assert found is not None
    return found


async def list_all(driver: Driver, query: ListQuery) -> list[JobRecord]:
    """Return the jobs of all pages from this one on."""
    jobs: list[JobRecord] = []
    page = await driver.jobs.list(query)
    jobs += page.jobs
    while page.after is not None:
        page = await driver.jobs.list(replace(query, after=page.after))
        jobs += page.jobs
    return jobs


async def state_of(driver: Driver, job_id: JobId) -> State:
    """Return the state of a job that must exist."""
    return (await record(driver, job_id)).state


async def states_of(driver: Driver, ids: Sequence[JobId]) -> list[State | None]:
    """Return the states of jobs; None where there is none."""
    return [None if found is None else found.state for found in await driver.jobs.get(ids)]


async def outcomes_of(driver: Driver, job_id: JobId) -> list[tuple[int, Code | None]]:
    """Return number and outcome of each attempt; None: it runs."""
    attempts = await driver.jobs.attempts(job_id)
    assert attempts is not None
    return [(attempt.attempt, attempt.outcome) for attempt in attempts]


async def numbers_of(driver: Driver, queue: str = "q") -> QueueNumbers:
    """Return the numbers of one queue."""
    [numbers], _ = await driver.queues.stats(queue)
    return numbers


async def retake(driver: Driver, job_id: JobId, **fields: Any) -> tuple[State | None, bool, bool]:
    """Retry one job that must exist; return its state, whether it had gone on before, and whether it was refused."""
    [result] = await driver.jobs.retake([Retake(id=job_id, **fields)])
    assert result.found
    return result.state, result.already, result.refused


async def pass_time(driver: Driver, clock: Clock, span: timedelta, *, alive: Sequence[Worker] = ()) -> None:
    """Let time go by as it does while servers run: they beat every second, and the workers of `alive` are heard."""
    while span > timedelta():
        step = min(span, SECOND)
        await clock.advance(step)
        await driver.sessions.beat()
        await driver.sessions.renew([worker.handle for worker in alive])
        span -= step


async def skip(driver: Driver, clock: Clock, span: timedelta) -> None:
    """Let time go by at once. More than 3 s of it are an outage to the store, by which no session expires."""
    await clock.advance(span)
    await driver.sessions.beat()


async def die(driver: Driver, clock: Clock, worker: Worker, *started: Lease) -> None:
    """Let a worker die whose jobs of `started` had begun: its stream ends and its grace passes. Nothing is rescued yet."""
    await driver.sessions.beat()
    await driver.sessions.detach(worker.handle, [lease.id for lease in started], SECOND)
    await clock.advance(1.2 * SECOND)


async def events_since(driver: Driver, after: Position) -> list[JobEvent]:
    """Return all events behind a place."""
    events: list[JobEvent] = []
    complete = False
    while not complete:
        page = await driver.events.read(LogQuery(after=after, wanted=lambda _queue, _kind: True))
        after, complete = page.position, page.complete
        events += [event for flush in page.flushes for _, event in flush.events]
    return events


class Span(NamedTuple):
    """The store's time before and after a call: where an instant that it wrote must lie."""

    first: datetime
    last: datetime

    def holds(self, at: datetime | None, *, plus: timedelta = timedelta()) -> bool:
        """Tell whether `at` is `plus` after an instant within the span."""
        return at is not None and self.first + plus <= at <= self.last + plus


async def during(driver: Driver, call: Awaitable[T]) -> tuple[T, Span]:
    """Return the value of a call, and the span of store's time in which it was made."""
    first = await driver.ping()
    value = await call
    return value, Span(first, await driver.ping())


def snooze(seconds: float) -> Snooze:
    """Return the outcome of a handler that wants to run again in so many seconds."""
    return Snooze(delay=timedelta(seconds=seconds))
