"""Storing, leasing and ending jobs in memory."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from heapq import heappop

from protojobs_service.domain.errors import QuotaExceeded
from protojobs_service.domain.job import AttemptRecord, JobId, JobRecord, Lease, NewJob
from protojobs_service.domain.lifecycle import FINAL_STATES, RETAKEN, WAITING_STATES, Code, State
from protojobs_service.domain.lots import fitting
from protojobs_service.domain.outcome import CHILD_SKIPPED, Complete, Outcome, may_note_skipped
from protojobs_service.domain.queue_limits import Hold
from protojobs_service.domain.retry import DEFAULT_POLICY
from protojobs_service.domain.unique import Decision, Verdict, decide
from protojobs_service.drivers.memory import retention
from protojobs_service.drivers.memory.limits import Depth, free_leases, hold_of, spend
from protojobs_service.drivers.memory.reading import attempts_of, matches, outline_of, record_of, size_of
from protojobs_service.drivers.memory.records import StoredJob
from protojobs_service.drivers.memory.store import Store
from protojobs_service.port.jobs import (
    CancelResult,
    Claim,
    Dispatched,
    DispatchVerdict,
    Edit,
    EditResult,
    JobPage,
    ListQuery,
    News,
    Outline,
    Retake,
    RetakeResult,
    Selection,
    Settled,
    Settlement,
    SettleVerdict,
)

_VERDICTS = {
    Verdict.TAKES: DispatchVerdict.CREATED,
    Verdict.REPLACES: DispatchVerdict.REPLACED,
    Verdict.EXISTING: DispatchVerdict.EXISTING,
    Verdict.DUPLICATE: DispatchVerdict.DUPLICATE,
}
_STORED = frozenset({DispatchVerdict.CREATED, DispatchVerdict.REPLACED})
_REFUSALS = frozenset({DispatchVerdict.REUSED, DispatchVerdict.FULL, DispatchVerdict.DUPLICATE})


class MemoryJobs:
    """`port.Jobs`: no method awaits, so each is one transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def dispatch(self, jobs: Sequence[NewJob], *, atomic: bool = False) -> Sequence[Dispatched]:
        store, now = self._store, self._store.now()
        judged = self._judge(jobs)
        if atomic and not _REFUSALS.isdisjoint(judged):
            return self._refuse_batch(jobs, judged, {})
        fresh = [new for new, verdict in zip(jobs, judged, strict=True) if verdict is DispatchVerdict.CREATED]
        store.use(fresh)
        depth = Depth(store)
        full = {new.id for new in fresh if not depth.admit(new)}
        fresh = [new for new in fresh if new.id not in full]
        judged = [DispatchVerdict.FULL if new.id in full else v for new, v in zip(jobs, judged, strict=True)]
        if atomic:
            if full:
                return self._refuse_batch(jobs, judged, {})
            decisions = self._decide(fresh, now)
            decided = [self._verdict(new, v, decisions) for new, v in zip(jobs, judged, strict=True)]
            if not _REFUSALS.isdisjoint(decided):
                return self._refuse_batch(jobs, decided, decisions)
        depth.make_room()
        decisions = self._decide(fresh, now)
        for new in fresh:
            decision = decisions.get(new.id)
            if decision is None or _VERDICTS[decision.verdict] in _STORED:
                store.create(new, now, decision)
        store.announce()
        judged = [self._verdict(new, v, decisions) for new, v in zip(jobs, judged, strict=True)]
        return [self._answer(new, v, decisions.get(new.id)) for new, v in zip(jobs, judged, strict=True)]

    def _refuse_batch(
        self, jobs: Sequence[NewJob], judged: Sequence[DispatchVerdict], decisions: Mapping[JobId, Decision]
    ) -> list[Dispatched]:
        """Answer an atomic batch of which nothing is stored: what stands against it, and ABORTED for the others."""
        verdicts = [verdict if verdict in _REFUSALS else DispatchVerdict.ABORTED for verdict in judged]
        return [self._answer(new, v, decisions.get(new.id)) for new, v in zip(jobs, verdicts, strict=True)]

    def _verdict(self, new: NewJob, verdict: DispatchVerdict, decisions: Mapping[JobId, Decision]) -> DispatchVerdict:
        """Return what the unique key makes of a verdict that looked at ids and room only."""
        decision = decisions.get(new.id)
        if decision is None or verdict not in (DispatchVerdict.CREATED, DispatchVerdict.EXISTING):
            return verdict
        decided = _VERDICTS[decision.verdict]
        return decided if verdict is DispatchVerdict.CREATED or decided not in _STORED else verdict

    def _decide(self, jobs: Sequence[NewJob], now: datetime) -> dict[JobId, Decision]:
        """Return who gets the unique keys that these jobs ask for."""
        groups: dict[tuple[str, str], list[NewJob]] = {}
        for new in jobs:
            if new.unique is not None:
                groups.setdefault((new.queue, new.unique.key), []).append(new)
        decisions: dict[JobId, Decision] = {}
        for (queue, _), group in groups.items():
            assert group[0].unique is not None, "it is here for its key"
            found = decide(self._store.holder(queue, group[0].unique, now), group, now)
            decisions |= {new.id: decision for new, decision in zip(group, found, strict=True)}
        return decisions

    def _answer(self, new: NewJob, verdict: DispatchVerdict, decision: Decision | None) -> Dispatched:
        holder = None if decision is None else decision.holder
        if verdict is DispatchVerdict.DUPLICATE and holder is not None:
            return Dispatched(verdict, None, holder.id)
        if verdict is DispatchVerdict.ABORTED or verdict in _REFUSALS:
            return Dispatched(verdict, None)
        known = self._store.jobs.get(new.id)
        if known is None and holder is not None:
            return Dispatched(verdict, holder.state, holder.id)
        assert known is not None, "what is not stored was answered before"
        replaced = holder.id if holder is not None and verdict is DispatchVerdict.REPLACED else None
        return Dispatched(verdict, known.state, replaced)

    def _judge(self, jobs: Sequence[NewJob]) -> list[DispatchVerdict]:
        verdicts: list[DispatchVerdict] = []
        known = {new.id: self._store.jobs[new.id].fingerprint for new in jobs if new.id in self._store.jobs}
        for new in jobs:
            fingerprint = self._store.fingerprint(new.queue, new.kind, new.envelope)
            if new.id not in known:
                verdicts.append(DispatchVerdict.CREATED)
            else:
                verdicts.append(DispatchVerdict.EXISTING if known[new.id] == fingerprint else DispatchVerdict.REUSED)
            known.setdefault(new.id, fingerprint)
        return verdicts

    async def claim(self, claims: Sequence[Claim]) -> Sequence[Lease]:
        now = self._store.now()
        holds: dict[str, Hold] = {}
        leases = [lease for claim in claims if self._store.is_open(claim.handle) for lease in self._claim(claim, now, holds)]
        if holds and self._store.room is not None:
            self._store.room.held_back(holds)
        return leases

    def _claim(self, claim: Claim, now: datetime, holds: dict[str, Hold]) -> list[Lease]:
        leases: list[Lease] = []
        size = 0
        for queue in claim.queues:
            before, free = len(leases), free_leases(self._store, queue, now)
            most = claim.limit if free is None else min(claim.limit, before + free)
            while len(leases) < most and (job := self._store.first_ready(queue, claim, now)) is not None:
                size += len(job.spec.envelope)
                if leases and claim.max_bytes and size > claim.max_bytes:
                    spend(self._store, queue, len(leases) - before, now)
                    return leases
                leases.append(self._store.lease(job, claim.handle, now))
            spend(self._store, queue, len(leases) - before, now)
            if len(leases) == most < claim.limit:
                holds[queue] = hold_of(self._store, queue, now)
        return leases

    async def settle(self, items: Sequence[Settlement]) -> Sequence[Settled]:
        now = self._store.now()
        answers = [self._settle(item, now) for item in items]
        self._store.announce()
        return answers

    def _settle(self, item: Settlement, now: datetime) -> Settled:
        store = self._store
        job, session = store.jobs.get(item.id), store.handles.get(item.handle)
        if job is None or session is None:
            return Settled(SettleVerdict.SUPERSEDED, None)
        if job.run is not None and job.attempt == item.attempt and store.handles[job.run.handle] is session:
            if job.run.handle != item.handle:
                return Settled(SettleVerdict.RETRY_LATER, job.state)
            if store.queues[job.spec.queue].strict_leases and session.expires_at <= now:
                return Settled(SettleVerdict.SUPERSEDED, job.state)
            self.end(job, item.outcome, now, settled=not item.by_server)
            return Settled(SettleVerdict.OK, job.state, job.due_at)
        said = any(e.attempt == item.attempt and e.settled and e.session == session.number for e in job.done)
        return Settled(SettleVerdict.ALREADY if said else SettleVerdict.SUPERSEDED, job.state, job.due_at if said else None)

    def end(self, job: StoredJob, outcome: Outcome, now: datetime, *, settled: bool = False) -> None:
        """End the running attempt of a job, and store what its outcome brings and what follows it."""
        store, spec = self._store, job.spec
        store.end(job, outcome, now, settled=settled)
        children = list(outcome.children) if isinstance(outcome, Complete) else []
        if spec.follow_ups and job.state in (State.COMPLETED, State.FAILED):
            children += store.follow_ups.of(spec.id, job.attempt, spec.envelope, completed=job.state is State.COMPLETED)
        stored = [self._store_child(child, now) for child in children]
        if not all(stored) and may_note_skipped(outcome):
            job.done[-1].reason = CHILD_SKIPPED

    def _store_child(self, child: NewJob, now: datetime) -> bool:
        """Store a job; what exists or has no room is left out: what ended its parent holds."""
        if child.id in self._store.jobs:
            return False
        with suppress(QuotaExceeded):
            return self.store_one(child, now) is DispatchVerdict.CREATED
        return False

    def store_one(self, job: NewJob, now: datetime) -> DispatchVerdict:
        """Store a job whose id is new, if its queue has room (FULL) and nobody has its unique key (DUPLICATE).

        Raises QuotaExceeded.
        """
        self._store.use([job])
        depth = Depth(self._store)
        if not depth.admit(job):
            return DispatchVerdict.FULL
        depth.make_room()
        decision = self._decide([job], now).get(job.id)
        if decision is not None and _VERDICTS[decision.verdict] not in _STORED:
            return DispatchVerdict.DUPLICATE
        self._store.create(job, now, decision)
        return DispatchVerdict.CREATED

    async def update(self, items: Sequence[News]) -> Sequence[bool]:
        return [self._update(item, self._store.now()) for item in items]

    def _update(self, item: News, now: datetime) -> bool:
        job = self._store.jobs.get(item.id)
        if job is None or job.run is None or (job.attempt, job.run.handle) != (item.attempt, item.handle):
            return False
        if item.progress is not None:
            job.run.progress = replace(item.progress, at=now)
        if item.checkpoint is not None:
            job.checkpoint = item.checkpoint
        return True

    async def cancel(self, ids: Sequence[JobId], deadline: timedelta) -> Sequence[CancelResult]:
        now = self._store.now()
        return [self._cancel(self._store.known(job_id), now, deadline) for job_id in ids]

    def _cancel(self, job: StoredJob | None, now: datetime, deadline: timedelta) -> CancelResult:
        if job is None:
            return CancelResult(found=False, state=None)
        if job.state in WAITING_STATES:
            self._store.end_waiting(job, Code.CANCELLED, "CANCELLED", now)
        elif job.run is not None and job.run.cancel_at is None:
            job.run.cancel_at = now + deadline
        return CancelResult(found=True, state=job.state)

    async def retake(self, items: Sequence[Retake]) -> Sequence[RetakeResult]:
        now = self._store.now()
        results = [self._retake(self._store.known(item.id), item, now) for item in items]
        self._store.announce()
        return results

    def _retake(self, job: StoredJob | None, item: Retake, now: datetime) -> RetakeResult:
        if job is None or not (item.envelope or job.spec.envelope):  # retention may have emptied it
            return RetakeResult(found=False, state=None)
        retaken = [ended.attempt for ended in job.done if ended.code > RETAKEN]
        if item.expected_attempt and (job.attempt > item.expected_attempt or item.expected_attempt in retaken):
            return RetakeResult(found=True, state=job.state, already=True)
        if job.state in (State.PENDING, State.RUNNING) or job.attempt < item.expected_attempt:
            return RetakeResult(found=True, state=job.state, refused=True)
        if item.over not in (None, job.spec.envelope):
            return RetakeResult(found=True, state=job.state, changed=True)
        if job.state in FINAL_STATES and (unique := job.spec.unique) is not None:
            holder = self._store.holder(job.spec.queue, unique, now)
            if holder is None:
                self._store.take_key(job, unique, now)
            elif holder.id != job.spec.id:
                return RetakeResult(found=True, state=job.state, duplicate=holder.id)
        if job.state in FINAL_STATES:
            job.done[-1].code = Code(job.done[-1].code + RETAKEN)
            job.failures = job.crashes = job.returns = job.losses = 0
            job.since = now
            job.result = None
        job.expire_at = item.expire_at
        if item.envelope is not None:
            job.spec = job.spec._replace(envelope=item.envelope)
        self._store.start(job, item.run_at, now)
        return RetakeResult(found=True, state=job.state)

    async def edit(self, items: Sequence[Edit]) -> Sequence[EditResult]:
        store, now = self._store, self._store.now()
        stored = [store.known(item.id) for item in items]
        store.use_lanes([(i.queue, job.spec.kind) for i, job in zip(items, stored, strict=True) if i.queue and job is not None])
        edited: dict[JobId, NewJob] = {}  # nothing changes unless every function of the call has its say
        for item, job in zip(items, stored, strict=True):
            if job is not None and job.state in WAITING_STATES:
                edited[item.id] = _edited(edited.get(item.id, job.spec), item)
        held: dict[JobId, JobId] = {}
        for item, job in zip(items, stored, strict=True):
            if job is None or item.id not in edited or item.id in held:
                continue
            holder = store.move_key(job, edited[item.id].queue, now)
            if holder is None:
                store.edit(job, edited[item.id], item.start, now)
            else:
                held[item.id] = holder
        store.announce()
        return [
            EditResult(job is not None, None if job is None or item.id in held else job.state, held.get(item.id))
            for item, job in zip(items, stored, strict=True)
        ]

    async def delete(self, ids: Sequence[JobId]) -> Sequence[CancelResult]:
        return [self._delete(self._store.jobs.get(job_id)) for job_id in ids]

    def _delete(self, job: StoredJob | None) -> CancelResult:
        if job is None:
            return CancelResult(found=False, state=None)
        if job.state not in (State.RUNNING, None):
            self._store.delete(job)
        return CancelResult(found=True, state=job.state)

    async def get(self, ids: Sequence[JobId]) -> Sequence[JobRecord | None]:
        jobs = [self._store.known(job_id) for job_id in ids]
        return [None if job is None else record_of(self._store, job) for job in jobs]

    async def list(self, query: ListQuery) -> JobPage:
        jobs = sorted(self._store.jobs.values(), key=lambda job: job.spec.id, reverse=query.newest_first)
        found = [job for job in jobs if matches(job, query)]
        count = max(1, fitting((size_of(job, query.brief) for job in found[: query.limit]), query.max_bytes))
        page = [record_of(self._store, job, query.brief) for job in found[:count]]
        return JobPage(page, page[-1].id if len(page) < len(found) else None)

    async def select(self, query: ListQuery) -> Selection:
        jobs = sorted(self._store.jobs.values(), key=lambda job: job.spec.id, reverse=query.newest_first)
        found = [job for job in jobs if matches(job, query)]
        page = [outline_of(job) for job in found[: query.limit]]
        return Selection(page, page[-1].id if len(page) < len(found) else None)

    async def outline(self, ids: Sequence[JobId]) -> Sequence[Outline | None]:
        jobs = [self._store.known(job_id) for job_id in ids]
        return [None if job is None else outline_of(job) for job in jobs]

    async def attempts(self, job_id: JobId) -> Sequence[AttemptRecord] | None:
        job = self._store.known(job_id)
        return None if job is None else attempts_of(self._store, job)

    async def promote(self, limit: int) -> int:
        store, promoted = self._store, 0
        while promoted < limit and store.due and store.due[0][0] <= store.now():
            due_at, job_id = heappop(store.due)
            job = store.known(job_id)
            if job is not None and job.due_at == due_at:
                store.move(job, State.PENDING)
                promoted += 1
        store.announce()
        return promoted

    async def unhold(self, limit: int) -> int:  # noqa: ARG002 - all at once
        keys = self._store.places.unhold()
        self._store.announce()
        return keys

    async def expire(self, limit: int) -> int:
        now = self._store.now()
        waiting = (job for job in self._store.jobs.values() if job.state in WAITING_STATES)
        overdue = [job for job in waiting if job.expire_at is not None and job.expire_at <= now][:limit]
        for job in overdue:
            self._store.end_waiting(job, Code.EXPIRED, "EXPIRED", now)
        return len(overdue)

    async def prune(self, limit: int) -> int:
        now, pruned = self._store.now(), 0
        over = [place for place, key in self._store.keys.items() if key.until is not None and key.until <= now]
        for place in over[:limit]:
            del self._store.keys[place]
        for job in list(self._store.jobs.values()):
            if pruned == limit:
                break
            pruned += retention.prune(self._store, job, now)
        return pruned


def _edited(spec: NewJob, item: Edit) -> NewJob:
    queue = spec.queue if item.queue is None else item.queue
    policy = spec.policy if item.policy is None else item.policy(queue, spec.policy or DEFAULT_POLICY)
    return spec._replace(
        queue=queue,
        priority=spec.priority if item.priority is None else item.priority,
        envelope=item.envelope(spec.envelope),
        labels=spec.labels if item.labels is None else item.labels or None,
        policy=None if policy == DEFAULT_POLICY else policy,
    )
