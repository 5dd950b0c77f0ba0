"""Upkeep: what a replica does by itself, as loops of one task group. Each turn is bounded and safe on every replica."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from protojobs_service.application.audit import Audit
from protojobs_service.application.clock import Clock
from protojobs_service.application.known_queues import KnownQueues
from protojobs_service.application.lease_claims import LeaseClaims
from protojobs_service.application.lease_watch import LeaseWatch
from protojobs_service.application.schedules import Schedules
from protojobs_service.application.store_time import StoreTime
from protojobs_service.application.tally import Tally
from protojobs_service.application.timings import Timings
from protojobs_service.application.tokens import Tokens
from protojobs_service.application.wait import Wait
from protojobs_service.application.watch import Watch
from protojobs_service.domain.errors import Overloaded, StoreUnavailable
from protojobs_service.port import Driver

_log = logging.getLogger(__name__)

_MOST_PER_TURN = 1000
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_SHORT = 1.0
"""Seconds: timers that come so often wake together. For others that saves nothing, and they would all fall on one instant."""
_TOO_SOON = 0.5
"""Of a pause, that is left after a turn: less is no rest for a store that is slow, so the next but one is taken."""
_WAITING = frozenset({"claims", "errands", "compare"})
"""Timers whose turn waits until there is something to do: that may take for ever."""


@dataclass(frozen=True, slots=True)
class Timer:
    """A turn, and how often it comes, in seconds (a turn may return its own pause); 0: the turn waits by itself.

    phase: the share of the pause by which it comes later than others. Statements of one instant keep the flushes of jobs waiting.
    """

    name: str
    pause: Callable[[], float]
    turn: Callable[[], Awaitable[float | None]]
    phase: float = 0.0


@dataclass(slots=True)
class Turns:
    """How often a timer has taken its turn, and how often that failed. good_at: end of the last good one, by the loop's clock."""

    good_at: float
    good: int = 0
    failed: int = 0


class Upkeep:
    """Runs every timer of a replica."""

    def __init__(
        self,
        driver: Driver,
        known: KnownQueues,
        wait: Wait,
        claims: LeaseClaims,
        watch: LeaseWatch,
        events: Watch,
        store_time: StoreTime,
        schedules: Schedules,
        tokens: Tokens,
        audit: Audit,
        clock: Clock,
        timings: Timings,
        tally: Tally,
    ) -> None:
        self._driver = driver
        self._known = known
        self._wait = wait
        self._claims = claims
        self._watch = watch
        self._events = events
        self._store_time = store_time
        self._schedules = schedules
        self._tokens = tokens
        self._audit = audit
        self._clock = clock
        self._timings = timings
        self._tally = tally
        self._turns: dict[str, Turns] = {}

    def start(self, tasks: asyncio.TaskGroup) -> Callable[[], None]:
        """Start the timers in `tasks`; the returned function stops them."""
        began = self._clock.monotonic()
        running = [tasks.create_task(self._run(timer, began), name=f"upkeep-{timer.name}") for timer in self.timers()]

        def stop() -> None:
            for task in running:
                task.cancel()

        return stop

    @property
    def turns(self) -> Mapping[str, Turns]:
        """Return what the timers have done since they were started."""
        return self._turns

    def ages(self) -> Mapping[str, float]:
        """Return the seconds since the last good turn of each timer that does not wait for work."""
        now = self._clock.monotonic()
        return {timer: now - turns.good_at for timer, turns in list(self._turns.items()) if timer not in _WAITING}

    def timers(self) -> list[Timer]:
        """Return every timer."""
        timings, watch = self._timings, self._watch

        def every(seconds: float) -> Callable[[], float]:
            return lambda: seconds

        return [
            Timer("claims", every(0), _silent(self._claims.take_turn)),
            Timer("errands", every(0), _silent(watch.errand_turn)),
            Timer("sweep", every(timings.sweep), _silent(watch.sweep_turn)),
            Timer("renew", lambda: watch.renewal, _silent(watch.renew_turn), phase=0.25),
            Timer("requests", every(timings.poll), _silent(watch.poll_turn)),
            Timer("compare", every(0), _silent(watch.compare_turn)),
            Timer("settings", every(timings.poll), _silent(self._known.refresh)),
            Timer("waiters", every(timings.poll), _silent(self._wait.poll)),
            Timer("events", every(timings.poll), self._events.turn),
            Timer("forget events", every(timings.prune), self._bounded(self._events.forget, timings.prune)),
            Timer("beat", every(timings.beat), self._beat),
            Timer("promote", every(timings.promote), self._bounded(self._driver.jobs.promote, timings.promote)),
            Timer("unhold", every(timings.unhold), self._bounded(self._driver.jobs.unhold, timings.unhold), phase=0.75),
            Timer("tick", every(timings.tick), self._schedules.tick_turn),
            Timer("forget ticks", every(timings.prune), self._bounded(self._schedules.forget_ticks, timings.prune)),
            Timer("expire", every(timings.expire), self._bounded(self._expire, timings.expire), phase=0.75),
            Timer("prune", every(timings.prune), self._bounded(self._driver.jobs.prune, timings.prune)),
            Timer("tokens", every(timings.tokens), _silent(self._tokens.known.refresh), phase=0.25),
            Timer("token uses", every(timings.token_uses), _silent(self._tokens.note_uses)),
            Timer("forget tokens", every(timings.prune), self._bounded(self._tokens.forget, timings.prune)),
            Timer("forget audit", every(timings.prune), self._bounded(self._audit.forget, timings.prune)),
            Timer("rescue", every(timings.rescue), self._rescue),
            Timer("reconcile", every(timings.reconcile), self._reconcile),
            Timer("maintain", every(timings.maintain), _silent(self._driver.maintain)),
        ]

    async def _run(self, timer: Timer, began: float) -> None:
        pause = _FIRST_PAUSE
        turns = self._turns.setdefault(timer.name, Turns(self._clock.monotonic()))
        while True:
            try:
                seconds = await timer.turn()
                pause = _FIRST_PAUSE
                turns.good += 1
                turns.good_at = self._clock.monotonic()
                seconds = self._until_next(timer.pause() if seconds is None else seconds, began, timer.phase)
            except Exception as error:  # noqa: BLE001 # a timer that dies stops its work on this replica for ever
                turns.failed += 1
                expected = isinstance(error, StoreUnavailable | Overloaded)
                level, trace = (logging.WARNING, None) if expected else (logging.ERROR, error)
                _log.log(level, "upkeep turn failed", exc_info=trace, extra={"timer": timer.name, "error": type(error).__name__})
                seconds, pause = pause, min(pause * 2, _LONGEST_PAUSE)
            if seconds > 0:
                await self._clock.sleep(seconds)
            else:
                await asyncio.sleep(0)  # a turn that never had to wait must let others run

    def _until_next(self, pause: float, began: float, phase: float) -> float:
        """Return the seconds to the next multiple of `pause` since `began`: timers that wake together wake the process once.

        It is later by a share of the pause, `phase`.
        """
        if not 0 < pause <= _SHORT:
            return pause
        left = pause - (self._clock.monotonic() - began - phase * pause) % pause
        return left if left > pause * _TOO_SOON else left + pause

    async def _beat(self) -> None:
        await self._store_time.refresh()
        await self._driver.sessions.beat()

    async def _rescue(self) -> float | None:
        applied = await self._driver.sessions.rescue(_MOST_PER_TURN)
        if applied and self._wait.any:
            self._wait.ended(item.id for item in applied)
        if applied:
            await self._tally.rescued(applied, self._driver.jobs)
        return 0.0 if len(applied) >= _MOST_PER_TURN else None

    async def _expire(self, limit: int) -> int:
        ended = await self._driver.jobs.expire(limit)
        self._tally.expired(ended)
        return ended

    async def _reconcile(self) -> None:
        mended = await self._driver.queues.reconcile()
        if mended:
            _log.warning("counters were mended", extra={"counters": mended})

    def _bounded(self, work: Callable[[int], Awaitable[int]], pause: float) -> Callable[[], Awaitable[float]]:
        async def turn() -> float:
            done = await work(_MOST_PER_TURN)
            return 0.0 if done >= _MOST_PER_TURN else pause

        return turn


def _silent(work: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
    async def turn() -> None:
        await work()

    return turn
