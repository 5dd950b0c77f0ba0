"""Watch: follow the log of events. All watchers of a server share one reader; one that comes with an old cursor reads up to it."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import NamedTuple

from protojobs_service.application.clock import Clock
from protojobs_service.application.cursor import Cursor, Shown, decode, encode, show
from protojobs_service.application.known_queues import KnownQueues
from protojobs_service.application.timings import Timings
from protojobs_service.domain.bounds import EVENTS_KEPT
from protojobs_service.domain.errors import CursorExpired, InvalidField, JobsError, Overloaded
from protojobs_service.domain.event import RUN_TIMED, WATCHABLE, EventFilter, EventType, JobEvent
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.queue import EventLevel
from protojobs_service.port import Brief, Driver, LogPage, LogQuery, Position

_PAGE = 500
MOST_WAITING = 5000
"""Events that wait for one watcher; with more it is cut off."""
_MOST_STARTED = 20_000
"""Running attempts whose start was told."""
_AT_ONCE = 2
"""Watchers that catch up at the same time: the store has other things to do."""
_NONE: frozenset[str] = frozenset()


class News(NamedTuple):
    """Events in order, and where to go on; without events a sign of life."""

    events: Sequence[Shown]
    cursor: bytes


class Watch:
    """Knows who watches, and reads for all of them."""

    def __init__(self, driver: Driver, known: KnownQueues, clock: Clock, timings: Timings, brief: Brief) -> None:
        """`brief`: what is kept of the envelope of a job of which an event tells."""
        self._brief = brief
        self._driver, self._known, self._clock, self._timings = driver, known, clock, timings
        self._watchers: set[Watcher] = set()
        self._head: Position | None = None
        self._log = ""
        self._live = _NONE
        self._started: dict[tuple[JobId, int], datetime | None] = {}
        self._catching_up = asyncio.Semaphore(_AT_ONCE)
        self._turned = asyncio.Event()

    async def open(self, wanted: EventFilter, cursor: bytes = b"") -> "Watcher":
        """Return a watcher behind `cursor`, or from now on; to be used as a context.

        Raises InvalidField for a cursor that is not of this store, and for states that no event leads to or that the queues do not
        tell of; StoreUnavailable.
        """
        await self._check(wanted)
        end = await self._driver.events.end()
        start = decode(cursor, end.name) if cursor else Cursor(end.position, {})
        if any(seq > end.position.get(slot, 0) for slot, seq in start.position.items()):
            raise InvalidField("cursor", "lies beyond the log of this store")
        return Watcher(self, wanted, end.name, start)

    async def _check(self, wanted: EventFilter) -> None:
        for state in sorted(wanted.states - WATCHABLE, key=lambda state: state.value):
            raise InvalidField("filter.states", f"no event leads to {state.name}")
        if State.RUNNING not in wanted.states:
            return
        await self._known.refresh()
        loud = {queue for queue in self._loud() if wanted.sees is None or wanted.sees(queue)}
        silent = sorted(wanted.queues - loud)
        if silent:
            raise InvalidField("filter.states", f"RUNNING needs the setting events = ALL of queue {silent[0]}")
        if not loud:
            raise InvalidField("filter.states", "RUNNING needs a queue with the setting events = ALL")

    def _loud(self) -> frozenset[str]:
        return frozenset(name for name, queue in self._known.all.items() if queue.events is EventLevel.ALL)

    async def turn(self) -> float | None:
        """Read what is new, and hand it to all watchers; returns 0 where there is more. Raises StoreUnavailable."""
        if not self._watchers or self._head is None:
            self._head = None
            return None
        live = self._loud() if any(watcher.wanted.live for watcher in self._watchers) else _NONE
        query = LogQuery(after=self._head, limit=_PAGE, wanted=self._wants, live=live, known=self._started, brief=self._brief)
        try:
            page = await self._driver.events.read(query)
        except (CursorExpired, InvalidField) as error:
            # The store was set back, or this reader has slept for a day: all have to begin again.
            for watcher in self._watchers:
                watcher.fail(error)
            self._watchers.clear()
            return None
        shown = [*self._starts(page, encode(Cursor(self._head, {}), self._log)), *self._ends(page, self._head, live)]
        self._head, self._live = page.position, live
        cursor = encode(Cursor(page.position, {}), self._log)
        self._watchers = {watcher for watcher in self._watchers if watcher.take(shown, cursor)}
        self._turned.set()
        self._turned = asyncio.Event()
        return None if page.complete else 0.0

    def _wants(self, queue: str, kind: str) -> bool:
        return any(watcher.wanted.wants(queue, kind) for watcher in self._watchers)

    def _starts(self, page: LogPage, cursor: bytes) -> list[Shown]:
        """Return starts and progress. What ran before anybody listened to its queue is noted, and not told."""
        shown: list[Shown] = []
        for event in page.live:
            progress = None if event.job is None else event.job.progress
            self._started[event.id, event.attempt] = None if progress is None else progress.at
            if event.queue in self._live:
                shown.append(Shown(event, cursor))
        while len(self._started) > _MOST_STARTED:
            del self._started[next(iter(self._started))]
        return shown

    def _ends(self, page: LogPage, head: Position, live: frozenset[str]) -> list[Shown]:
        """Return the changes of a page; before the end of an attempt that ran between two looks comes its start."""
        before = encode(Cursor(head, {}), self._log)
        shown: list[Shown] = []
        for one in show(page, Cursor(head, {}), self._log)[0]:
            event = one.event
            told = (event.id, event.attempt) in self._started
            self._started.pop((event.id, event.attempt), None)
            if not told and event.queue in live & self._live and (start := _start_of(event)) is not None:
                shown.append(Shown(start, before))
            shown.append(one)
            before = one.cursor
        return shown

    async def read(self, query: LogQuery) -> LogPage:
        """Read for one watcher that catches up. Raises CursorExpired, InvalidField, StoreUnavailable."""
        async with self._catching_up:
            return await self._driver.events.read(replace(query, brief=self._brief))

    def join(self, watcher: "Watcher", position: Position) -> Position | None:
        """Let a watcher that has read up to `position` share the reader; returns from where on it does.

        None where the reader is not that far yet: `turned` waits for it.
        """
        if self._head is None:
            self._log, self._head, self._live, self._started = watcher.log, position, _NONE, {}
        if is_behind(self._head, position):
            return None
        self._watchers.add(watcher)
        return self._head

    async def turned(self) -> None:
        """Return after the reader's next turn, or a while."""
        await self._clock.wait(self._turned, self._timings.poll)

    def leave(self, watcher: "Watcher") -> None:
        """Forget a watcher."""
        self._watchers.discard(watcher)

    async def pause(self, event: asyncio.Event) -> bool:
        """Return True once `event` is set, or False when it is time for a sign of life."""
        return await self._clock.wait(event, self._timings.watch_heartbeat)

    async def forget(self, limit: int) -> int:
        """Drop what is not kept any more; returns how much. Raises StoreUnavailable."""
        return await self._driver.events.forget(EVENTS_KEPT, limit)


class Watcher(AbstractContextManager["Watcher"]):
    """One who watches, from a place in the log on. Made by `Watch.open`."""

    def __init__(self, watch: Watch, wanted: EventFilter, log: str, start: Cursor) -> None:
        self.wanted, self.log = wanted, log
        self._watch = watch
        self._at = start
        self._cursor = self._given = encode(start, log)
        self._waiting: list[Shown] = []
        self._wake = asyncio.Event()
        self._failure: JobsError | None = None
        self._greeted = self._joined = self._stopped = False

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._watch.leave(self)

    async def next(self) -> News | None:
        """Return what has come, or a sign of life after a while (the first time at once); None once it was stopped.

        While it catches up each page gives news, so that its cursor moves on also where nothing of it is wanted.
        Raises CursorExpired; Overloaded for a watcher that was cut off because too much waited for it, after the last of that was
        given; StoreUnavailable while it catches up.
        """
        if not self._greeted:
            self._greeted = True
            return News((), self._cursor)
        while not self._stopped:
            if self._waiting:
                return self._give()
            if self._failure is not None:
                raise self._failure
            if not self._joined:
                await self._catch_up()
                if self._cursor != self._given:
                    return self._give()
            else:
                self._wake.clear()
                if not await self._watch.pause(self._wake):
                    return self._give()
        return None

    def _give(self) -> News:
        waiting, self._waiting = self._waiting, []
        self._given = self._cursor
        return News(waiting, self._given)

    def stop(self) -> None:
        """End it."""
        self._stopped = True
        self._wake.set()

    def take(self, shown: Sequence[Shown], cursor: bytes) -> bool:
        """Take what the reader has read; False where too much waits already: then it took nothing, and is cut off."""
        mine = [one for one in shown if self.wanted.matches(one.event)]
        if mine and len(self._waiting) + len(mine) > MOST_WAITING:
            self.fail(Overloaded("the watcher is too slow; go on from its last cursor"))
            return False
        self._waiting += mine
        self._cursor = cursor
        if mine:
            self._wake.set()
        return True

    def fail(self, error: JobsError) -> None:
        """End it with an error, once what waits was given."""
        self._failure = error
        self._wake.set()

    async def _catch_up(self) -> None:
        """Read a page by itself; having found the end, share the reader from there on."""
        page = await self._read(None)
        self._waiting = self._advance(page)
        if not page.complete or self._waiting:
            self._cursor = encode(self._at, self.log)
            return
        until = self._watch.join(self, self._at.position)
        if until is None:
            await self._watch.turned()
            return
        self._joined, self._cursor = True, encode(Cursor(until, {}), self.log)
        # What the reader hands over from now on waits behind the stretch in between.
        between: list[Shown] = []
        while is_behind(self._at.position, until):
            between += self._advance(await self._read(until))
        self._waiting[:0] = between

    async def _read(self, until: Position | None) -> LogPage:
        query = LogQuery(after=self._at.position, until=until, limit=_PAGE, wanted=self.wanted.wants)
        return await self._watch.read(query)

    def _advance(self, page: LogPage) -> list[Shown]:
        shown, self._at = show(page, self._at, self.log)
        return [one for one in shown if self.wanted.matches(one.event)]


def is_behind(position: Position, other: Position) -> bool:
    """Tell whether something before `other` comes after `position`."""
    return any(seq > position.get(slot, 0) for slot, seq in other.items())


def _start_of(end: JobEvent) -> JobEvent | None:
    """Return the start of the attempt that ended so; None where none ran."""
    if end.started_at is None or end.job is None or end.type not in RUN_TIMED:
        return None
    job = replace(end.job, state=State.RUNNING, next_at=None, finished_at=None, last_error=None, reason="")
    return replace(
        end, type=EventType.PROCESSING, at=end.started_at, before=State.PENDING, after=State.RUNNING, by_worker=True, job=job
    )
