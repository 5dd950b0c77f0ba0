"""Worker sessions in memory: resuming, expiry, and the jobs of those that died."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import count

from protojobs_service.domain.errors import SessionSuperseded
from protojobs_service.domain.job import Handle, JobId, Lease
from protojobs_service.domain.lifecycle import FINAL_STATES, RETAKEN, Code
from protojobs_service.domain.outcome import Cancelled, Crash, Fail, JobError, Outcome, Release, ReleaseCause
from protojobs_service.drivers.memory.jobs import MemoryJobs
from protojobs_service.drivers.memory.records import Run, Session, StoredJob
from protojobs_service.drivers.memory.store import Store
from protojobs_service.port.jobs import Settlement
from protojobs_service.port.sessions import CancelRequest, Found, Held, Opened, Opening, RunningJob, SessionRecord

_LONGEST_GAP = timedelta(seconds=3)
"""Without a beat for so long (or half the smallest ttl) nobody could renew: an outage, which no session shall pay for."""

_AFTER_OUTAGE = timedelta(seconds=10)
"""What every session has at least to come back after an outage."""

_NO_STREAM = Handle(0)


class MemorySessions:
    """`port.Sessions`. Only the newest stream of a session has leases."""

    def __init__(self, store: Store, jobs: MemoryJobs) -> None:
        self._store, self._jobs = store, jobs
        self._numbers, self._handles = count(1), count(1)

    async def open(self, opening: Opening) -> Opened:
        store, now = self._store, self._store.now()
        session = self._session(opening, now)
        old, new = session.handle, Handle(next(self._handles))
        session.opening = replace(opening, secret=b"", held=())
        session.handle, session.closed = new, False
        session.heartbeat_at, session.expires_at = now, now + opening.ttl
        store.handles[new], store.running[new] = session, {}
        kept = [held for held in opening.held if self._keep(held, old, new)]
        lost = [held for held in opening.held if held not in kept]
        for held in lost:
            self._take_back_crash(session, held)
        for job, _ in store.held_by([old]):
            store.end(job, Release(cause=ReleaseCause.NOT_HELD), now)
        store.running.pop(old, None)
        store.announce()
        return Opened(new, session.number, kept, lost, session.drain_at is not None)

    def _session(self, opening: Opening, now: datetime) -> Session:
        key = sha256(opening.secret).digest()
        session = self._store.sessions.get(key)
        if session is None:
            session = Session(next(self._numbers), opening, _NO_STREAM, created_at=now, heartbeat_at=now, expires_at=now)
            self._store.sessions[key] = session
            return session
        lowest = session.opening.stream_no if opening.unary else session.opening.stream_no + 1
        if opening.stream_no < lowest:
            raise SessionSuperseded
        return session

    async def find(self, secret: bytes) -> Found | None:
        session = self._store.sessions.get(sha256(secret).digest())
        if session is None or session.closed:
            return None
        opening, is_draining = session.opening, session.drain_at is not None
        return Found(session.handle, session.number, opening.stream_no, opening.ttl, opening.unary, is_draining)

    async def leased(self, handle: Handle) -> Sequence[Lease]:
        return [self._store.lease_of(job, run) for job, run in self._store.held_by([handle])]

    def _keep(self, held: Held, old: Handle, new: Handle) -> bool:
        job = self._store.running.get(old, {}).get(held.id)
        if job is None or job.run is None or job.attempt != held.attempt:
            return False
        self._store.running[new][held.id] = self._store.running[old].pop(held.id)
        job.run.handle, job.run.started = new, job.run.started or held.started
        return True

    def _take_back_crash(self, session: Session, held: Held) -> None:
        """The worker proved that it lived; a final job keeps its numbers, and a Retry has forgiven before."""
        job = self._store.known(held.id)
        if job is None:
            return
        forgiven = job.state in FINAL_STATES or any(e.code > RETAKEN and e.attempt > held.attempt for e in job.done)
        for ended in job.done:
            if (ended.attempt, ended.session, ended.code) == (held.attempt, session.number, Code.CRASHED):
                ended.code = Code.RELEASED
                job.crashes -= 0 if forgiven else 1

    async def renew(self, handles: Sequence[Handle]) -> Sequence[Handle]:
        now = self._store.now()
        for handle in filter(self._store.is_open, handles):
            session = self._store.handles[handle]
            session.heartbeat_at, session.expires_at = now, now + session.opening.ttl
        return [handle for handle in handles if not self._store.is_open(handle)]

    async def detach(self, handle: Handle, started: Sequence[JobId], grace: timedelta | None) -> None:
        for job, run in self._store.held_by([handle]):
            run.started = run.started or job.spec.id in started
        if grace is not None and self._store.is_open(handle):
            session = self._store.handles[handle]
            session.expires_at = min(session.expires_at, self._store.now() + grace)

    async def close(self, handle: Handle, started: Sequence[JobId]) -> int:  # noqa: ARG002 - a release counts nothing
        if not self._store.is_open(handle):
            return 0
        self._store.handles[handle].closed = True
        held = self._store.held_by([handle])
        for job, _ in held:
            self._store.end(job, Release(), self._store.now())
        self._store.announce()
        return len(held)

    async def leases(self, handles: Sequence[Handle]) -> Sequence[tuple[Handle, JobId, int]]:
        return [(run.handle, job.spec.id, job.attempt) for job, run in self._store.held_by(handles)]

    async def rescue(self, limit: int) -> Sequence[Settlement]:
        store, now = self._store, self._store.now()
        if self._beat(now):
            return []
        for session in store.live():
            session.closed = session.expires_at <= now
        applied: list[Settlement] = []
        for job, run in store.held_by(store.running):
            outcome = self._overdue(job, run, store.handles[run.handle], now)
            if outcome is not None and len(applied) < limit:
                self._jobs.end(job, outcome, now)
                applied.append(Settlement(job.spec.id, job.attempt, run.handle, outcome))
        store.announce()
        return applied

    def _overdue(self, job: StoredJob, run: Run, session: Session, now: datetime) -> Outcome | None:
        if session.closed:
            return Crash(started=run.started)
        if session.opening.unary and run.cancel_at is not None and run.cancel_at <= now:
            return Cancelled()
        if session.opening.unary and run.started_at + job.policy.run_timeout <= now:
            return Fail(error=JobError(type="TIMEOUT", message="the attempt ran longer than its run timeout"), reason="TIMEOUT")
        return None

    async def beat(self) -> None:
        self._beat(self._store.now())

    def _beat(self, now: datetime) -> bool:
        """Tell whether nobody could renew for a while; no session pays for such a while."""
        gap, self._store.beat_at = now - self._store.beat_at, now
        sessions = self._store.live()
        if gap <= min([_LONGEST_GAP, *(session.opening.ttl / 2 for session in sessions)]):
            return False
        for session in sessions:
            session.expires_at = max(session.expires_at + gap, now + _AFTER_OUTAGE)
        return True

    async def cancel_requests(self, handles: Sequence[Handle]) -> Sequence[CancelRequest]:
        now = self._store.now()
        return [
            CancelRequest(run.handle, job.spec.id, job.attempt, run.cancel_at - now)
            for job, run in self._store.held_by(handles)
            if run.cancel_at is not None
        ]

    async def list(self, queue: str | None, after: int, limit: int) -> Sequence[SessionRecord]:
        live = [s for s in self._store.live() if s.number > after and (queue is None or queue in s.opening.queues)]
        return [self._record(session) for session in live[:limit]]

    def _record(self, session: Session) -> SessionRecord:
        opening, held = session.opening, self._store.held_by([session.handle])
        return SessionRecord(
            session=session.number,
            worker=opening.worker,
            sdk=opening.sdk,
            sdk_version=opening.sdk_version,
            queues=opening.queues,
            kinds=opening.kinds,
            slots=opening.slots,
            in_flight=len(held),
            heartbeat_at=session.heartbeat_at,
            created_at=session.created_at,
            draining=session.drain_at is not None,
            running=[RunningJob(job.spec.id, job.spec.queue, job.spec.kind, job.attempt, run.started_at) for job, run in held],
        )

    async def drain(self, session: int, deadline: timedelta) -> bool:
        found = [live for live in self._store.live() if live.number == session]
        for live in found:
            live.drain_at = self._store.now() + deadline
        return bool(found)

    async def draining(self, handles: Sequence[Handle]) -> Sequence[tuple[Handle, timedelta]]:
        now, opened = self._store.now(), list(filter(self._store.is_open, handles))
        drains = [(handle, self._store.handles[handle].drain_at) for handle in opened]
        return [(handle, drain_at - now) for handle, drain_at in drains if drain_at is not None]
