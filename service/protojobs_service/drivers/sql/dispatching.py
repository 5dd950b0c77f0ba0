"""The dispatch pipeline: merged calls are stored in one statement, which claims the jobs that a worker here has room for."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial
from operator import attrgetter
from typing import NamedTuple

from protojobs_service.domain.errors import Conflict, JobsError, Overloaded, QuotaExceeded, StoreUnavailable
from protojobs_service.domain.job import Handle, JobId, Lease, NewJob, make_tuple
from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.sql.cold.base import Cold, micros
from protojobs_service.drivers.sql.cold.dispatch import (
    LaneIds,
    Refused,
    band_of,
    existing,
    is_plain,
    refuse_batch,
    store_atomic,
    store_within,
    verdict,
)
from protojobs_service.drivers.sql.cold.waiting import Arrival
from protojobs_service.drivers.sql.lanes import Lanes, Pair
from protojobs_service.drivers.sql.pipelines import Weight
from protojobs_service.drivers.sql.ready import Ready
from protojobs_service.drivers.sql.store import Inserted, Rows, Store
from protojobs_service.port.driver import Room
from protojobs_service.port.jobs import Dispatched, DispatchVerdict

_CREATED_PENDING = Dispatched(DispatchVerdict.CREATED, State.PENDING)
_CREATED_RUNNING = Dispatched(DispatchVerdict.CREATED, State.RUNNING)
_FULL = Dispatched(DispatchVerdict.FULL, None)
_ACCEPTED_AT = attrgetter("accepted_at")
_TRIES = 5
_WAIT_S = 0.1
_FEW = 16
_WAIT_OF_FEW_S = 0.01
_STEP_S = 0.005
_WIDEST_S = 5.0


class DispatchCall(NamedTuple):
    """One call of Jobs.dispatch. size: bytes of the envelopes."""

    jobs: Sequence[NewJob]
    atomic: bool
    size: int

    @classmethod
    def of(cls, jobs: Sequence[NewJob], atomic: bool) -> "DispatchCall":
        """Return the call that stores these jobs."""
        return cls(jobs, atomic, sum(len(job.envelope) for job in jobs))


def weigh(call: DispatchCall) -> Weight:
    """Return what a call adds to a flush."""
    return Weight(len(call.jobs), call.size)


class Dispatching:
    """The flush of the dispatch pipeline, and its flow control."""

    def __init__(self, store: Store, cold: Cold, lanes: Lanes, ready: Ready, *, aside: bool = False) -> None:
        """Use `ready` to tell of what has become claimable. aside: see Store.dispatch."""
        self._store, self._cold, self._lanes, self._ready = store, cold, lanes, ready
        self._aside = aside
        self._positions = ready.positions
        self._widest, self._widest_since = 0, 0.0
        self._held_since: float | None = None
        """When holding began that only a few jobs were let past since."""

    @property
    def _room(self) -> Room:
        return self._ready.room

    async def hold(self, next_rows: Callable[[], int]) -> int | None:
        """Wait while workers turn over, at most 100 ms, for room or for a young backlog to be claimed; return how many may go.

        A few jobs whose turn it is wait for 10 ms only, and go alone then: whoever sends them may not be who fills the room.

        So jobs keep being claimed in the statement that stores them, for 25.6 us of CPU a job. Once everything passes through
        `ready` it is 33 us, and that does not stop by itself. None: no bound, the flush may spill into `ready`.
        """
        loop = asyncio.get_running_loop()
        before, self._held_since = self._held_since, None
        began = loop.time() if before is None or loop.time() > before + 2 * _WAIT_S else before
        while self._room.turning_over():
            free, rows, now = self._room.free(), next_rows(), loop.time()
            if now >= began + _WAIT_S or self._never_fits(rows, free, now):
                return None
            if free >= rows and not self._ready.has_young_backlog():
                return free
            if rows <= _FEW and now >= began + _WAIT_OF_FEW_S:
                self._held_since = began  # the others have waited as long as they have
                return _FEW
            await self._ready.wait_for_turn(_STEP_S)
        return None

    def _never_fits(self, rows: int, free: int, now: float) -> bool:
        """Tell whether a request is larger than any room seen in the last seconds; where none was seen, nobody knows."""
        if now - self._widest_since > _WIDEST_S:
            self._widest, self._widest_since = 0, now
        self._widest = max(self._widest, free)
        return 0 < self._widest < rows

    async def flush(self, calls: Sequence[DispatchCall]) -> list[Sequence[Dispatched] | Exception]:
        """Store the jobs of all calls; an atomic call goes alone, in its own transaction."""
        answers: list[Sequence[Dispatched] | Exception] = []
        merged: list[DispatchCall] = []
        for call in calls:
            if call.atomic:
                answers += await self._merged(merged)
                answers.append(await self._atomic(call.jobs))
                merged = []
            else:
                merged.append(call)
        answers += await self._merged(merged)
        self._ready.witness.flushed("dispatch", sum(len(call.jobs) for call in calls))
        return answers

    async def _merged(self, calls: Sequence[DispatchCall]) -> list[Sequence[Dispatched] | Exception]:
        if not calls:
            return []
        try:
            return await self._store_all(calls, await self._lane_ids(_pairs(calls)))
        except QuotaExceeded:
            refused = await self._refused(calls)
        rest = [call for i, call in enumerate(calls) if i not in refused]
        stored = iter(await self._store_all(rest, await self._lane_ids(_pairs(rest))) if rest else ())
        return [refused[i] if i in refused else next(stored) for i in range(len(calls))]

    async def _lane_ids(self, pairs: Collection[Pair]) -> LaneIds:
        """Return the lanes of these pairs, as they are now: another reload may replace what `Lanes` knows. Raises QuotaExceeded."""
        for _ in range(_TRIES):
            await self._lanes.resolve(pairs)
            ids = self._lanes.ids
            if all(pair in ids for pair in pairs):
                return ids
        raise StoreUnavailable("the queue is being deleted")

    async def _refused(self, calls: Sequence[DispatchCall]) -> dict[int, QuotaExceeded]:
        """Make the lanes of each call by itself; return which calls there is no room for."""
        refused: dict[int, QuotaExceeded] = {}
        known: dict[frozenset[Pair], QuotaExceeded] = {}
        for i, call in enumerate(calls):
            pairs = frozenset(_pairs([call]))
            try:
                if pairs not in known:
                    await self._lanes.resolve(pairs)
                    continue
            except QuotaExceeded as error:
                known[pairs] = error
            refused[i] = known[pairs]
        return refused

    async def _store_all(self, calls: Sequence[DispatchCall], lanes: LaneIds) -> list[Sequence[Dispatched] | Exception]:
        jobs = [job for call in calls for job in call.jobs]
        first = _first_places(jobs)
        places = self._storable(jobs, range(len(jobs)) if first is None else list(first.values()))
        plain = self._plain(jobs, places, lanes)
        answers: list[Dispatched | None] = [None] * len(jobs)
        failures: dict[int, Exception] = {}
        await self._store_plain(jobs, plain, lanes, answers)
        if len(plain) < len(places):
            rest = sorted(set(places) - set(plain))
            await self._store_cold(jobs, rest, lanes, answers, failures)
        if None in answers:
            await self._answer_known(jobs, first, answers, failures)
        return _by_call(calls, answers, failures)

    def _plain(self, jobs: Sequence[NewJob], places: Sequence[int], lanes: LaneIds) -> list[int]:
        """Return the places of jobs that the hot statement can store.

        None of queues that bound what waits, or that are fair: it places jobs by the clock.
        """
        plain = [i for i in places if is_plain(jobs[i])]
        deep, fair = self._lanes.deep, self._cold.replica.fair
        if deep:
            plain = [i for i in plain if jobs[i].queue not in deep]
        return [i for i in plain if lanes[jobs[i].queue, jobs[i].kind] not in fair] if fair else plain

    def _storable(self, jobs: Sequence[NewJob], places: Sequence[int]) -> Sequence[int]:
        """Leave out the ids that no partition takes: one of them would fail the statement."""
        low, high = self._store.id_range
        ids = [jobs[i].id for i in places]
        if low <= min(ids) and max(ids) < high:
            return places
        return [i for i in places if low <= jobs[i].id < high]

    async def _store_plain(
        self, jobs: Sequence[NewJob], places: Sequence[int], lanes: LaneIds, answers: list[Dispatched | None]
    ) -> None:
        if not places:
            return
        chosen = jobs if len(places) == len(jobs) else [jobs[i] for i in places]
        handles = self._reserve(chosen)
        try:
            with self._positions.flight(len(chosen)) as base:
                rows = _rows(chosen, lanes, handles, base)
                done = await self._store.dispatch(rows, self._cold.slot, aside=self._aside)
        except BaseException:
            if handles is not None:
                self._room.unreserve(_places(chosen, handles))
            raise
        self._answer_plain(chosen, places, rows, done, answers)

    def _reserve(self, jobs: Sequence[NewJob]) -> list[Handle] | None:
        if self._room.free() <= 0:
            return None
        handles = self._room.reserve([(job.queue, job.kind, len(job.envelope)) for job in jobs])
        return handles if any(handles) else None

    def _answer_plain(
        self, jobs: Sequence[NewJob], places: Sequence[int], rows: Rows, done: Inserted, answers: list[Dispatched | None]
    ) -> None:
        """Answer what was created, hand over what was leased, and tell of the rest."""
        created = range(len(jobs)) if done.created is None else done.created
        handles = rows.handles
        if handles is None:
            for i in created:
                answers[places[i]] = _CREATED_PENDING
            self._ready.add(_arrivals(rows, created), len(created), announced=True)
            return
        unplaced = set(done.unplaced)
        if done.created is None and not unplaced and all(handles):
            for i in places:
                answers[i] = _CREATED_RUNNING
            self._room.deliver(list(map(_lease, handles, jobs)))
            self._ready.leased(len(jobs), lambda place: self._wait(jobs[place]))
            return
        leased: list[int] = []
        waiting: list[int] = []
        returned = {i for i, handle in enumerate(handles) if handle}
        for i in created:
            if handles[i] and i not in unplaced:
                leased.append(i)
                answers[places[i]] = _CREATED_RUNNING
                returned.discard(i)
            else:
                waiting.append(i)
                answers[places[i]] = _CREATED_PENDING
        if returned:
            self._room.unreserve([(Handle(handles[i]), len(jobs[i].envelope)) for i in sorted(returned)])
        if leased:
            self._room.deliver([_lease(handles[i], jobs[i]) for i in leased])
            self._ready.leased(len(leased), lambda place: self._wait(jobs[leased[place]]))
        self._ready.add(_arrivals(rows, waiting), len(waiting), announced=True)

    def _wait(self, job: NewJob) -> tuple[str, float]:
        """Return the queue of a job that was claimed at insert, and how long it had waited in the log that accepted it."""
        if job.accepted_at is None:
            return job.queue, 0.0
        return job.queue, max(0, self._positions.now() - micros(job.accepted_at)) / 1e6

    async def _store_cold(
        self,
        jobs: Sequence[NewJob],
        places: Sequence[int],
        lanes: LaneIds,
        answers: list[Dispatched | None],
        failures: dict[int, Exception],
    ) -> None:
        """Store the other jobs in one transaction; where that fails, these places fail: what was plain is stored already."""
        chosen = [jobs[i] for i in places]
        try:
            with self._positions.flight(len(chosen)) as base:
                store = partial(store_within, cold=self._cold, jobs=chosen, lanes=lanes, base=base, bounded=self._lanes.deep)
                stored, full = await self._store.run(store)
        except JobsError as error:
            failures.update(dict.fromkeys(places, error))
            return
        for i in places:
            if jobs[i].id in full:
                answers[i] = _FULL
            elif (answer := stored.answers.get(jobs[i].id)) is not None:
                answers[i] = answer
            elif (state := stored.states.get(jobs[i].id)) is not None:
                answers[i] = Dispatched(DispatchVerdict.CREATED, state)
        self._ready.add(stored.arrivals, sum(state is State.PENDING for state in stored.states.values()))

    async def _answer_known(
        self,
        jobs: Sequence[NewJob],
        first: dict[JobId, int] | None,
        answers: list[Dispatched | None],
        failures: dict[int, Exception],
    ) -> None:
        """Answer EXISTING or REUSED wherever nothing is answered yet."""
        unknown: list[int] = []
        for i, answer in enumerate(answers):
            if answer is not None or i in failures:
                continue
            place = i if first is None else first[jobs[i].id]
            before = answers[place]
            if place in failures:
                failures[i] = failures[place]
            elif before is _FULL:
                answers[i] = _FULL
            elif before is None:
                unknown.append(i)
            else:
                answers[i] = _again(verdict(self._cold, jobs[i], None, jobs[place]), before)
        if not unknown:
            return
        twins = [jobs[i] for i in unknown]
        try:
            known = await self._store.run(lambda c: existing(c, self._cold, twins), write=False)
        except JobsError as error:
            failures.update(dict.fromkeys(unknown, error))
        else:
            for i, found_one in zip(unknown, known, strict=True):
                answers[i] = found_one

    async def _atomic(self, jobs: Sequence[NewJob]) -> Sequence[Dispatched] | Exception:
        try:
            lanes = await self._lane_ids({(job.queue, job.kind) for job in jobs})
            for _ in range(_TRIES):
                try:
                    with self._positions.flight(len(jobs)) as base:
                        store = partial(
                            store_atomic,
                            cold=self._cold,
                            jobs=jobs,
                            lanes=lanes,
                            base=base,
                            ids=self._store.id_range,
                            bounded=self._lanes.deep,
                        )
                        answers, arrivals = await self._store.run(store)
                except Conflict:
                    continue
                except Refused as refused:
                    return refuse_batch(jobs, refused)
                self._ready.add(arrivals, sum(answer == _CREATED_PENDING for answer in answers))
                return answers
        except JobsError as error:
            return error
        return Conflict("the ids of this batch are being stored by somebody else")


def _again(found: DispatchVerdict, before: Dispatched) -> Dispatched:
    """Return the answer to an id that comes again in a flush; before: what its first place was answered."""
    if found is DispatchVerdict.REUSED:
        return Dispatched(found, None)
    if before.verdict in (DispatchVerdict.CREATED, DispatchVerdict.REPLACED):
        return Dispatched(DispatchVerdict.EXISTING, before.state)
    return before


def _first_places(jobs: Sequence[NewJob]) -> dict[JobId, int] | None:
    """Return the first place of each id; None where no id comes twice."""
    if len({job.id for job in jobs}) == len(jobs):
        return None
    first: dict[JobId, int] = {}
    for i, job in enumerate(jobs):
        first.setdefault(job.id, i)
    return first


def _pairs(calls: Sequence[DispatchCall]) -> set[Pair]:
    return {(job.queue, job.kind) for call in calls for job in call.jobs}


def _rows(jobs: Sequence[NewJob], lanes: LaneIds, handles: list[Handle] | None, base: int) -> Rows:
    policies = [None if job.policy is None else job.policy.dump() for job in jobs] if any(job.policy for job in jobs) else None
    accepted = [None if at is None else micros(at) for at in map(_ACCEPTED_AT, jobs)] if any(map(_ACCEPTED_AT, jobs)) else None
    return Rows(
        ids=[job.id for job in jobs],
        lanes=[lanes[job.queue, job.kind] for job in jobs],
        bands=[band_of(job.priority) for job in jobs],
        envelopes=[job.envelope for job in jobs],
        policies=policies,
        handles=None if handles is None else list(handles),
        base=base,
        accepted=accepted,
    )


def _lease(handle: int, job: NewJob) -> Lease:
    lease: Lease = make_tuple(Lease, (handle, job.id, 1, job.queue, job.kind, job.envelope, 0, job.policy, None, False))
    return lease


def _arrivals(rows: Rows, places: Sequence[int]) -> set[Arrival]:
    return {Arrival(lane, band) for lane, band in {(rows.lanes[i], rows.bands[i]) for i in places}}


def _places(jobs: Sequence[NewJob], handles: Sequence[Handle]) -> list[tuple[Handle, int]]:
    return [(handle, len(job.envelope)) for job, handle in zip(jobs, handles, strict=True) if handle]


def _by_call(
    calls: Sequence[DispatchCall], answers: Sequence[Dispatched | None], failures: dict[int, Exception]
) -> list[Sequence[Dispatched] | Exception]:
    results: list[Sequence[Dispatched] | Exception] = []
    start = 0
    for call in calls:
        end = start + len(call.jobs)
        errors = [failures[i] for i in range(start, end) if i in failures] if failures else []
        if errors and isinstance(errors[0], Overloaded) and len(errors) < len(call.jobs):
            # It would say that nothing of the call is stored.
            errors = [StoreUnavailable("a part of the jobs may be stored; send all of them again, with their ids")]
        results.append(errors[0] if errors else [answer for answer in answers[start:end] if answer is not None])
        start = end
    return results
