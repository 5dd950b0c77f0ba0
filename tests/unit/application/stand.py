"""A whole application under a test's own clock, over the memory driver, with workers that only exist in memory."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

from protojobs_service.application import (
    Application,
    DrainCause,
    HeldLease,
    Hello,
    LeaseSession,
    Settled,
    Settlement,
    Stop,
    Timings,
    Window,
)
from protojobs_service.application.lease import Opened
from protojobs_service.domain.errors import JobsError, StoreUnavailable
from protojobs_service.domain.job import Draft, JobId, JobRecord, Lease, NewJob
from protojobs_service.domain.outcome import COMPLETE, Outcome
from protojobs_service.domain.queue_limits import HoldCause
from protojobs_service.domain.retry import Policy
from protojobs_service.drivers.memory import MemoryDriver
from protojobs_service.port.deadline import seconds_left

_START = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = count(1)


class FakeClock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[tuple[float, int, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        """Return seconds."""
        return self.now

    def store_time(self) -> datetime:
        """Return the time of a store that lives by this clock."""
        return _START + timedelta(seconds=self.now)

    async def sleep(self, seconds: float) -> None:
        """Return when the test has let `seconds` pass."""
        await self._timer(seconds)

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Return True once `event` is set, or False when `seconds` have passed."""
        if event.is_set():
            return True
        waiting: set[asyncio.Future[Any]] = {asyncio.ensure_future(event.wait())}
        if seconds is not None:
            waiting.add(self._timer(seconds))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
        return event.is_set()

    async def advance(self, seconds: float) -> None:
        """Let time pass, and everything happen that is due on the way."""
        await self.settle()
        until = self.now + seconds
        while self._timers and self._timers[0][0] <= until:
            at, _, future = heappop(self._timers)
            self.now = max(self.now, at)
            if not future.done():
                future.set_result(None)
                await self.settle()
        self.now = until
        await self.settle()

    async def settle(self) -> None:
        """Let every task go as far as it can without time."""
        for _ in range(30):
            await asyncio.sleep(0)

    def _timer(self, seconds: float) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._timers, (self.now + seconds, next(_numbers), future))
        return future


@dataclass(slots=True)
class Worker:
    """A sink that behaves as a stream whose worker reads at once; `receives` and `begins` say what it tells of that."""

    application: Application
    receives: bool = True
    begins: bool = True
    sends: bool = True
    session: LeaseSession | None = None
    kept: Sequence[HeldLease] = ()
    lost: Sequence[HeldLease] = ()
    leases: list[Lease] = field(default_factory=list[Lease])
    unsent: list[Lease] = field(default_factory=list[Lease])
    stops: list[Stop] = field(default_factory=list[Stop])
    drains: list[tuple[DrainCause, timedelta]] = field(default_factory=list[tuple[DrainCause, timedelta]])
    reconnects: list[timedelta] = field(default_factory=list[timedelta])
    throttled: list[tuple[str, HoldCause, timedelta | None]] = field(default_factory=list[tuple[str, HoldCause, timedelta | None]])
    ended: list[JobsError | None] = field(default_factory=list[JobsError | None])
    frame_seq: int = 0

    @property
    def at(self) -> LeaseSession:
        """Return the session; it is there once the stream is open."""
        assert self.session is not None
        return self.session

    def deliver(self, leases: Sequence[Lease]) -> None:
        """Send leases as one frame."""
        if not self.sends:
            self.unsent.extend(leases)
            return
        self.leases.extend(leases)
        self.frame_seq += 1
        size = sum(len(lease.envelope) for lease in leases)
        self.at.sent(self.frame_seq, len(leases), size, self.application.clock.monotonic())
        if self.receives:
            self.ping()

    def withdraw(self) -> None:
        """Drop what was not sent."""
        self.unsent.clear()

    def stop(self, stops: Sequence[Stop]) -> None:
        """Note a Cancel."""
        self.stops.extend(stops)

    def drain(self, cause: DrainCause, deadline: timedelta, reconnect_after: timedelta) -> None:
        """Note a Drain."""
        self.drains.append((cause, deadline))
        self.reconnects.append(reconnect_after)

    def throttle(self, queue: str, cause: HoldCause, until: timedelta | None) -> None:
        """Note a Throttle."""
        self.throttled.append((queue, cause, until))

    def end(self, error: JobsError | None) -> None:
        """Note the end of the stream."""
        self.ended.append(error)

    def ping(self, started: int | None = None) -> None:
        """Send a frame."""
        started = (len(self.leases) if self.begins else 0) if started is None else started
        self.application.leasing.heard(self.at, self.frame_seq, self.frame_seq if self.receives else 0, started)

    async def settle(self, leases: Iterable[Lease] | None = None, outcome: Outcome = COMPLETE) -> Sequence[Settled]:
        """End leases; all by default."""
        mine = list(self.leases if leases is None else leases)
        items = [Settlement(lease.id, lease.attempt, self.at.handle, outcome) for lease in mine]
        return await self.application.settle.many(self.at, items)

    def held(self, started: bool = True) -> list[HeldLease]:
        """Return everything that was delivered, as Hello tells it."""
        return [HeldLease(lease.id, lease.attempt, started) for lease in self.leases]


@dataclass(frozen=True, slots=True)
class Stand:
    """An opened application; its loops do not run, a test calls their turns."""

    application: Application
    driver: MemoryDriver
    clock: FakeClock

    async def worker(
        self,
        weights: dict[str, int] | None = None,
        *,
        window: int = 10,
        max_bytes: int = 0,
        slots: int = 10,
        strict: bool = False,
        kinds: frozenset[str] | None = None,
        secret: bytes = b"",
        stream_no: int = 1,
        ttl: float = 30,
        held: Sequence[HeldLease] = (),
        receives: bool = True,
        begins: bool = True,
        sends: bool = True,
    ) -> Worker:
        """Open a stream."""
        worker = Worker(self.application, receives=receives, begins=begins, sends=sends)
        hello = Hello(
            secret=secret or next(_numbers).to_bytes(16, "big"),
            stream_no=stream_no,
            weights=weights or {"default": 1},
            window=Window(window, max_bytes),
            slots=slots,
            strict=strict,
            kinds=kinds,
            ttl=timedelta(seconds=ttl),
            held=held,
        )
        opened: Opened = await self.application.leasing.open(hello, worker)
        worker.session, worker.kept, worker.lost = opened.session, opened.kept, opened.lost
        self.application.leasing.begin(opened.session)
        return worker

    def drafts(
        self, jobs: int = 1, queue: str = "default", kind: str = "email", *, size: int = 10, **changes: object
    ) -> list[Draft]:
        """Return drafts of new jobs."""
        drafts: list[Draft] = []
        for _ in range(jobs):
            job_id = self.id()
            job = NewJob(job_id, queue, kind, 5, job_id + b"x" * (size - len(job_id)))
            drafts.append(Draft(job._replace(**changes), None))  # type: ignore[arg-type] # fields by name
        return drafts

    def id(self, behind: timedelta = timedelta()) -> JobId:
        """Return a fresh id, as if made that long ago."""
        stamp = int((self.clock.store_time() - behind).timestamp() * 1000)
        tail = bytearray(next(_numbers).to_bytes(10, "big"))
        tail[0], tail[2] = 0x70, 0x80
        return JobId(stamp.to_bytes(6, "big") + bytes(tail))

    async def dispatch(
        self, jobs: int = 1, queue: str = "default", kind: str = "email", *, size: int = 10, policy: Policy | None = None
    ) -> list[JobId]:
        """Store jobs; returns their ids."""
        drafts = self.drafts(jobs, queue, kind, size=size, policy=policy)
        await self.driver.jobs.dispatch([draft.job for draft in drafts])
        return [draft.job.id for draft in drafts]

    async def claim(self) -> int:
        """Let the engine claim until nothing more comes; returns how many came."""
        total = 0
        while came := await self.application.claims.claim():
            total += came
        return total

    async def job(self, job_id: JobId) -> JobRecord:
        """Return a job."""
        return await self.application.inspect.get(job_id)

    async def sweep(self, seconds: float = 0.0) -> None:
        """Let time pass without loops, then do what is due and tell the store."""
        self.clock.now += seconds
        await self.application.lease_watch.sweep_turn()
        await self.application.lease_watch.run_errands()


def fingerprint(queue: str, kind: str, envelope: bytes) -> bytes:
    """Return the fingerprint of a test's envelope, which is any bytes."""
    return blake2b(b"\0".join((queue.encode(), kind.encode(), envelope)), digest_size=16).digest()


async def open_stand(timings: Timings | None = None) -> Stand:
    """Return a stand with an opened driver and known settings."""
    clock = FakeClock()
    driver = MemoryDriver(fingerprint=fingerprint, clock=clock.store_time, rng=Random(7))
    application = Application.over(driver, clock=clock, rng=Random(7), timings=timings)
    await driver.open(application.room)
    await application.store_time.refresh()
    await application.known_queues.refresh()
    return Stand(application, driver, clock)


class Patience:
    """Notes how long a store was given at each call of a method of a port, s; None: as long as it takes."""

    def __init__(self, port: object, method: str) -> None:
        self.left: list[float | None] = []
        self._inner: Callable[..., object] = getattr(port, method)
        setattr(port, method, self)

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Do what the store does."""
        self.left.append(seconds_left())
        return self._inner(*args, **kwargs)


class Outage:
    """Makes a method of a port fail as long as `is_on`."""

    def __init__(self, port: object, method: str, error: Exception | None = None) -> None:
        self.is_on = True
        self._error = error or StoreUnavailable()
        self.calls = 0
        self._inner: Callable[..., object] = getattr(port, method)
        setattr(port, method, self)

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Fail, or do what the store does."""
        self.calls += 1
        if self.is_on:
            raise self._error
        return self._inner(*args, **kwargs)
