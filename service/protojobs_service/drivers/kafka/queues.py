"""Queues of the Kafka driver: the side store's numbers and what lies in the topics; clearing both."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from protojobs_service.domain.errors import QueueNotEmpty, StoreUnavailable
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.queue import QueueSettings
from protojobs_service.drivers.kafka.backlog import Backlog
from protojobs_service.drivers.kafka.intake import Intake
from protojobs_service.drivers.kafka.lag import Lag, Span
from protojobs_service.drivers.kafka.ledger import Ledger
from protojobs_service.drivers.kafka.routes import Routes
from protojobs_service.drivers.kafka.topics import Place, Topics
from protojobs_service.port import Driver
from protojobs_service.port.queues import Cleared, ClearQuery, QueueNumbers, Queues, SettingsBook

_SETTLE_S = 2.0
_CLEAR_S = 20.0
_LOOK_S = 0.1


class KafkaQueues(Queues):
    """See the port."""

    def __init__(
        self,
        side: Driver,
        routes: Routes,
        topics: Topics,
        backlog: Backlog,
        intake: Intake,
        lag: Lag,
        ledger: Ledger,
        fresh: timedelta,
    ) -> None:
        """Keep settings and counters in `side`. fresh: how old an id may be for which there is a record."""
        self._fresh = fresh
        self._side, self._routes, self._topics = side, routes, topics
        self._backlog, self._intake, self._lag, self._ledger = backlog, intake, lag, ledger

    async def settings(self, known_version: int) -> SettingsBook | None:
        book = await self._side.queues.settings(known_version)
        if book is not None:
            self._routes.follow(book.queues)
        return book

    async def change(self, queue: str, change: Callable[[QueueSettings], QueueSettings]) -> QueueSettings:
        settings = await self._side.queues.change(queue, change)
        self._routes.note(settings)
        return settings

    async def acknowledged(self, version: int) -> bool:
        return await self._side.queues.acknowledged(version)

    async def delete(self, queue: str, *, force: bool) -> None:
        await self._intake.caught_up({self._backlog.stem_of(queue)}, _SETTLE_S)
        if spans := await self._spans(queue):
            if not force:
                raise QueueNotEmpty(queue)
            await self._skip({place: span.end for place, span in spans.items()})
        await self._side.queues.delete(queue, force=force)
        self._routes.forget(queue)

    async def clear(self, query: ClearQuery) -> Cleared:
        if query.after is not None or State.PENDING not in query.states:
            return await self._side.queues.clear(query)
        await self._intake.caught_up({self._backlog.stem_of(query.queue)}, _SETTLE_S)
        spans = await self._spans(query.queue)
        ends = await self._before(query.before, spans)
        if query.dry_run:
            lying = sum(span.jobs for place, span in spans.items() if ends[place] > span.done)
        else:
            lying = await self._skip(ends) if ends else 0
        cleared = await self._side.queues.clear(query)
        return cleared._replace(deleted=cleared.deleted + lying)

    async def stats(self, queue: str | None) -> tuple[Sequence[QueueNumbers], datetime]:
        await self._intake.caught_up(None if queue is None else {self._backlog.stem_of(queue)}, _SETTLE_S)
        try:
            spans = await self._spans(queue)
        except StoreUnavailable:  # what the side store knows is worth telling while Kafka is away
            numbers, at = await self._side.queues.stats(queue)
            return [replace(each, approximate=True) for each in numbers], at
        numbers, at = await self._side.queues.stats(queue)
        by_stem: dict[str, list[Span]] = {}
        for place, span in spans.items():
            by_stem.setdefault(place.stem, []).append(span)
        return [_with(each, by_stem.get(self._backlog.stem_of(each.queue), ())) for each in numbers], at

    async def due_soon(self, within: timedelta, limit: int) -> Mapping[str, Mapping[str, int]]:
        return await self._side.queues.due_soon(within, limit)

    async def claimable(self, queues: Collection[str], most: int) -> Mapping[str, Mapping[str, int]]:
        await self._intake.caught_up({self._backlog.stem_of(queue) for queue in queues}, _SETTLE_S)
        return await self._side.queues.claimable(queues, most)

    async def reconcile(self) -> int:
        return await self._side.queues.reconcile()

    async def _spans(self, queue: str | None) -> dict[Place, Span]:
        stem = None if queue is None else self._backlog.stem_of(queue)
        if not self._has_topics(stem):
            return {}
        spans = await self._lag.spans()
        return {place: span for place, span in spans.items() if stem is None or place.stem == stem}

    def _has_topics(self, stem: str | None) -> bool:
        return any(stem is None or topic.rpartition(".")[0] == stem for topic in self._topics.partitions)

    async def _before(self, before: datetime | None, spans: Mapping[Place, Span]) -> dict[Place, int]:
        """Return an offset of each partition before which every job was accepted before `before`.

        A record has the time of its ids, which are of the clocks of clients, and up to so much older than the jobs.
        """
        if before is None or not spans:
            return {place: span.end for place, span in spans.items()}
        found = await self._lag.offsets_at(before - self._fresh, list(spans))
        return {place: min(span.end, found[place]) for place, span in spans.items()}

    async def _skip(self, ends: Mapping[Place, int]) -> int:
        """Have every owner drop what lies before these offsets; return how many jobs that were. Raises StoreUnavailable."""
        before = await self._ledger.read("cleared", list(ends))
        await self._ledger.raise_to("barrier", ends)
        self._backlog.raise_barriers(ends)
        self._intake.wake()
        try:
            async with asyncio.timeout(_CLEAR_S):
                while not await self._are_past(ends):
                    await self._intake.progress(_LOOK_S)
        except TimeoutError:
            raise StoreUnavailable("the topics are not cleared yet; ask again") from None
        after = await self._ledger.read("cleared", list(ends))
        await self._topics.trim(ends)
        return sum(after.values()) - sum(before.values())

    async def _are_past(self, ends: Mapping[Place, int]) -> bool:
        partitions = self._backlog.partitions
        if any(partitions[place].done < end for place, end in ends.items() if place in partitions):
            return False
        foreign = [place for place in ends if place not in partitions]
        done = await self._lag.done(foreign) if foreign else {}
        return all(done[place] >= ends[place] for place in foreign)


def _with(numbers: QueueNumbers, spans: Iterable[Span]) -> QueueNumbers:
    spans = list(spans)
    if not spans:
        return numbers
    counts = {**numbers.counts, State.PENDING: numbers.counts.get(State.PENDING, 0) + sum(span.jobs for span in spans)}
    return replace(numbers, counts=counts, approximate=not all(span.is_exact for span in spans))
