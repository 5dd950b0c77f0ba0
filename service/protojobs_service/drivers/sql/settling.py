"""The settle pipeline: plain completions in one statement, everything else in one transaction that reads its rows first."""

from collections.abc import Sequence
from random import Random

from protojobs_service.domain.errors import JobsError
from protojobs_service.domain.job import Handle
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import COMPLETE, Complete, Outcome
from protojobs_service.drivers.sql.children import Bringing, log_skipped
from protojobs_service.drivers.sql.cold.base import Cold
from protojobs_service.drivers.sql.cold.follow_ups import Children
from protojobs_service.drivers.sql.cold.handles import expired_handles
from protojobs_service.drivers.sql.cold.settle import SettledAll, settle
from protojobs_service.drivers.sql.lanes import Lanes
from protojobs_service.drivers.sql.pipelines import Weight
from protojobs_service.drivers.sql.ready import Ready
from protojobs_service.drivers.sql.store import Completions, Store
from protojobs_service.port.jobs import Settled, Settlement, SettleVerdict

_COMPLETED = Settled(SettleVerdict.OK, State.COMPLETED)

SettleCall = Sequence[Settlement]


def weigh(call: SettleCall) -> Weight:
    """Return what a call adds to a flush."""
    return Weight(len(call), 0)


class Settling:
    """The flush of the settle pipeline."""

    def __init__(self, store: Store, cold: Cold, lanes: Lanes, ready: Ready, rng: Random) -> None:
        """Use `ready` to tell of jobs that come back. `cold.writer` is the pipeline's own."""
        self._store, self._cold, self._lanes, self._ready, self._rng = store, cold, lanes, ready, rng
        self._bringing = Bringing(store, lanes, ready)

    async def flush(self, calls: Sequence[SettleCall]) -> list[Sequence[Settled] | Exception]:
        """Apply the outcomes of all calls. Where the second transaction fails, only calls with items in it fail."""
        items = [item for call in calls for item in call]
        answers: list[Settled | None] = [None] * len(items)
        await self._complete(items, answers)
        failure: Exception | None = None
        if None in answers:
            rest = [i for i, answer in enumerate(answers) if answer is None]
            try:
                settled = await self.apply([items[i] for i in rest])
            except JobsError as error:
                failure = error
            else:
                for i, answer in zip(rest, settled, strict=True):
                    answers[i] = answer
        self._ready.witness.flushed("settle", len(items))
        return _by_call(calls, answers, failure)

    async def _complete(self, items: Sequence[Settlement], answers: list[Settled | None]) -> None:
        places = await self._plain(items)
        if not places:
            return
        chosen = [items[i] for i in places]
        columns = Completions([item.id for item in chosen], [item.attempt for item in chosen], [item.handle for item in chosen])
        applied = await self._store.complete(columns, self._cold.slot)
        for i in places if applied is None else [places[i] for i in applied]:
            answers[i] = _COMPLETED

    async def _plain(self, items: Sequence[Settlement]) -> Sequence[int]:
        """Return the places of plain completions, the first for each id."""
        if not self._lanes.strict and all(item[3] is COMPLETE for item in items) and len({item[0] for item in items}) == len(items):
            return range(len(items))
        places = {item.id: i for i, item in reversed(list(enumerate(items))) if _is_plain(item.outcome)}
        if places and self._lanes.strict:
            late = await self._late({items[i].handle for i in places.values()})
            return sorted(i for i in places.values() if items[i].handle not in late)
        return sorted(places.values())

    async def _late(self, handles: set[Handle]) -> set[int]:
        return await self._store.run(lambda c: expired_handles(c, self._cold, handles), write=False, vital=True)

    async def apply(self, items: Sequence[Settlement]) -> list[Settled]:
        """Apply outcomes of any kind in a transaction of their own."""
        children = [child for item in items if isinstance(item.outcome, Complete) for child in item.outcome.children]
        # Taken once: the transaction may wait or run again.
        strict = self._lanes.strict
        front = self._ready.positions.front(len(items))

        async def once(how: Children) -> SettledAll:
            return await self._store.run(
                lambda c: settle(c, self._cold, items, strict=strict, children=how, front=front, rng=self._rng),
                vital=True,
            )

        lanes = {(child.queue, child.kind) for child in children}
        done = await self._bringing.run(once, len(children) + len(items), lanes)
        log_skipped(done.skipped)
        self._ready.add(done.arrivals, len(items) + done.brought)
        return done.answers


def _is_plain(outcome: Outcome) -> bool:
    return outcome is COMPLETE or outcome == COMPLETE


def _by_call(
    calls: Sequence[SettleCall], answers: Sequence[Settled | None], failure: Exception | None
) -> list[Sequence[Settled] | Exception]:
    results: list[Sequence[Settled] | Exception] = []
    start = 0
    for call in calls:
        mine = [answer for answer in answers[start : start + len(call)] if answer is not None]
        results.append(mine if len(mine) == len(call) or failure is None else failure)
        start += len(call)
    return results
