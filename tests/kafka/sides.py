"""A side store that tests can take away, or that refuses what they name: a real driver behind a switch."""

import asyncio
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any, cast

from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.drivers.memory import MemoryDriver
from protojobs_service.port import Dispatched, DispatchVerdict, Driver, FollowUps, Room

from tests.contract.backends import FakeRoom, NamedFollowUps, fingerprint


class Side:
    """Lends a driver to one or more others, which open and close it: to them it stays as it is.

    is_down: everything fails as it does where the store does not answer. dies_after: the next dispatch is stored, and its answer is
    lost. unavailable: ids that cannot be stored now. poison: ids at which the store breaks.
    """

    def __init__(self, driver: Driver | None = None) -> None:
        """Lend a driver that is open, by default one in memory."""
        self.driver: Driver = driver or cast(
            "Driver", MemoryDriver(fingerprint=fingerprint, clock=lambda: datetime.now(UTC), rng=Random(1))
        )
        self.is_down = self.dies_after = False
        self.unavailable: Collection[JobId] = ()
        self.poison: Collection[JobId] = ()
        self.asked_in_vain: list[str] = []
        """Calls other than of jobs that failed because it was down, with their arguments."""
        self.before: Callable[[str], None] = _nothing
        """Hears of each call other than of jobs before it is made, and may raise what it fails with."""
        self.waiting = 0
        self._free = asyncio.Event()
        self._free.set()
        self.dispatched: list[list[JobId]] = []
        """The ids of each dispatch that was answered."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.driver, name)
        return _Jobs(self) if name == "jobs" else _Gate(self, found) if name in _PARTS else found

    def as_driver(self) -> Driver:
        """Return it as what it stands for."""
        return cast("Driver", self)

    async def prepare(self) -> None:
        """Open the driver in memory: those that borrow it open nothing."""
        await self.driver.open(FakeRoom(), NamedFollowUps())

    async def open(self, _room: Room, _follow_ups: FollowUps | None = None, _witness: object = None) -> None:
        """Fail where it is down."""
        self.check()

    async def close(self) -> None:
        """Do nothing."""

    async def ping(self) -> datetime:
        """Return its clock."""
        self.check()
        return await self.driver.ping()

    @contextmanager
    def held(self) -> Generator[None]:
        """Let every dispatch wait until the end of this; `waiting` says how many do."""
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()

    async def until_free(self) -> None:
        """Wait where it is held."""
        self.waiting += 1
        await self._free.wait()
        self.waiting -= 1

    def check(self) -> None:
        """Raise StoreUnavailable while it is down."""
        if self.is_down:
            raise StoreUnavailable


def _nothing(_call: str) -> None:
    """Let it be made."""


_PARTS = ("queues", "sessions", "side_store", "schedules", "events")


class _Gate:
    """A part of the driver, which may be away."""

    def __init__(self, side: Side, part: Any) -> None:
        self._side, self._part = side, part

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._part, name)

        async def guarded(*arguments: Any, **named: Any) -> Any:
            if self._side.is_down:
                self._side.asked_in_vain.append(f"{name} {arguments}")
            self._side.check()
            self._side.before(name)
            return await call(*arguments, **named)

        return guarded


class _Jobs(_Gate):
    """The jobs of the driver, of which some may be refused."""

    def __init__(self, side: Side) -> None:
        super().__init__(side, side.driver.jobs)

    async def dispatch(self, jobs: Sequence[NewJob], *, atomic: bool = False) -> Sequence[Dispatched]:
        side = self._side
        await side.until_free()
        side.check()
        if any(job.id in side.poison for job in jobs):
            raise RuntimeError("broken")
        able = [job for job in jobs if job.id not in side.unavailable]
        answers = iter(await side.driver.jobs.dispatch(able, atomic=atomic))
        if side.dies_after:
            side.dies_after, side.is_down = False, True
            raise StoreUnavailable
        side.dispatched.append([job.id for job in jobs])
        refused = Dispatched(DispatchVerdict.UNAVAILABLE, None)
        return [refused if job.id in side.unavailable else next(answers) for job in jobs]
