"""What a store of jobs should be, as plain values: the judge of the random walk. It shares no rule with the code under test."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from protojobs_service.domain.job import Handle, JobId, NewJob
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.queue import Retention
from protojobs_service.domain.unique import UniqueScope

WAITING = (State.SCHEDULED, State.PENDING, State.RETRYING)
FINAL = (State.COMPLETED, State.FAILED, State.CANCELLED, State.EXPIRED)
MAX_CRASHES = 3
ID_WINDOW = timedelta(days=7)


class Fate(IntEnum):
    """What pruning does to a job, from the least on."""

    KEPT = 0
    EMPTIED = 1
    """What it was made of is gone, the rest answers for its id."""
    REMOVED = 2


@dataclass(slots=True)
class End:
    """How an attempt ended. session: who had it. told: by the word of that session."""

    code: Code
    session: int = 0
    told: bool = False


@dataclass(slots=True)
class Job:
    """A job as it should be; state None: deleted. rank: its order among pending ones of its kind, equal where none is promised.

    unleased: no worker has had it since it took its unique key. dispatched: what it was before the first edit. overdue_at: when it
    must end unless a handler started; from expire_at on it may have ended already. finished_at: of a final one, as first told.
    """

    spec: NewJob
    state: State | None
    max_retries: int
    envelope: bytes
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    returns: int = 0
    rank: tuple[int, int] = (0, 0)
    next_at: datetime | None = None
    expire_at: datetime | None = None
    overdue_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_asked: bool = False
    handle: Handle | None = None
    session: int = 0
    started: bool = False
    unleased: bool = True
    ended: dict[int, End] = field(default_factory=dict[int, End])
    dispatched: NewJob | None = None

    @property
    def has_payload(self) -> bool:
        """Tell whether anything is left to run."""
        return self.state is not None and self.envelope != b""

    @property
    def is_waiting(self) -> bool:
        """Tell whether no attempt runs and one may still come."""
        return self.state in WAITING

    def has_key(self, queue: str, key: str) -> bool:
        """Tell whether it keeps others from this unique key."""
        unique = self.spec.unique
        if unique is None or (self.spec.queue, unique.key) != (queue, key):
            return False
        if unique.scope is UniqueScope.UNTIL_START:
            return self.is_waiting and self.unleased
        return self.state is not None and self.state not in FINAL

    def lease(self, session: int, handle: Handle) -> None:
        """Begin the next attempt."""
        self.state, self.next_at = State.RUNNING, None
        self.attempt += 1
        self.session, self.handle, self.started, self.unleased = session, handle, False, False

    def end(self, code: Code, state: State, *, told: bool) -> None:
        """End the running attempt."""
        self.ended[self.attempt] = End(code, self.session, told)
        self.state, self.handle, self.cancel_asked = state, None, False
        if code is not Code.RELEASED:
            self.expire_at = self.overdue_at = None

    def end_unleased(self, code: Code, state: State) -> None:
        """End a waiting job under a number that nobody gets."""
        self.attempt += 1
        self.ended[self.attempt] = End(code)
        self.state, self.next_at, self.expire_at, self.overdue_at = state, None, None, None

    def complete(self) -> None:
        """A completion was accepted."""
        self.returns = 0
        self.end(Code.COMPLETED, State.COMPLETED, told=True)

    def fail(self, *, retryable: bool) -> None:
        """A failure was accepted."""
        if self._cancelled(told=True):
            return
        self.failures += 1
        self.returns = 0
        if retryable and self.failures <= self.max_retries:
            self.end(Code.RETRIED, State.RETRYING, told=True)
        else:
            self.end(Code.FAILED, State.FAILED, told=True)

    def snooze(self) -> None:
        """A snooze was accepted."""
        if not self._cancelled(told=True):
            self.returns = 0
            self.end(Code.SNOOZED, State.SCHEDULED, told=True)

    def give_back(self, *, told: bool) -> None:
        """The attempt came back without an outcome."""
        if not self._cancelled(told=told):
            self.returns = min(15, self.returns + 1)
            self.end(Code.RELEASED, State.PENDING if self.returns < 3 else State.SCHEDULED, told=told)

    def crash(self) -> None:
        """The session died."""
        if not self.started:
            self.give_back(told=False)
        elif not self._cancelled(told=False):
            self.crashes += 1
            self.returns = 0
            if self.crashes == MAX_CRASHES:
                self.end(Code.FAILED, State.FAILED, told=False)
            else:
                self.end(Code.CRASHED, State.PENDING if self.crashes == 1 else State.RETRYING, told=False)

    def _cancelled(self, *, told: bool) -> bool:
        if self.cancel_asked:
            self.end(Code.CANCELLED, State.CANCELLED, told=told)
            return True
        return False

    def take_back_crash(self, attempt: int, session: int) -> None:
        """The session of a crashed attempt proved that it lived."""
        end = self.ended.get(attempt)
        if self.state is not None and end is not None and end.code is Code.CRASHED and end.session == session:
            end.code = Code.RELEASED
            forgiven = any(number > attempt and other.code > 20 for number, other in self.ended.items())
            if self.state not in FINAL and not forgiven:
                self.crashes -= 1

    def retake(self) -> None:
        """Retry by hand: a final job lives again, a waiting one runs now."""
        if self.state in FINAL:
            self.ended[self.attempt].code = Code(self.ended[self.attempt].code + 20)
            self.failures = self.crashes = self.returns = 0
            self.unleased = True
        self.state, self.next_at, self.expire_at, self.overdue_at = State.PENDING, None, None, None

    def edit(self, queue: str, priority: int, envelope: bytes, *, at_once: bool) -> None:
        """Be another job while it waits."""
        self.dispatched = self.dispatched or self.spec
        self.spec, self.envelope = self.spec._replace(queue=queue, priority=priority), envelope
        if at_once:
            self.state, self.next_at = State.PENDING, None

    def fate(self, kept: Retention, now: datetime) -> Fate:
        """Return what a pruning at `now` makes of it, or has made of it already."""
        if self.state is not None and not self._is_over(kept, now):
            return Fate.KEPT
        made_at = datetime.fromtimestamp(int.from_bytes(self.spec.id[:6]) / 1000, UTC)
        return Fate.REMOVED if made_at <= now - ID_WINDOW else Fate.EMPTIED

    def _is_over(self, kept: Retention, now: datetime) -> bool:
        spans = {State.COMPLETED: kept.completed, State.CANCELLED: kept.cancelled}
        return self.finished_at is not None and self.finished_at + spans.get(self.state or State.FAILED, kept.failed) <= now

    def has_gone_on_from(self, attempt: int) -> bool:
        """Tell whether a Retry that expects `attempt` comes too late to do anything."""
        return self.attempt > attempt or (attempt in self.ended and self.ended[attempt].code > 20)

    def delete(self) -> None:
        """Leave nothing but the id."""
        self.state, self.next_at, self.expire_at, self.overdue_at, self.ended = None, None, None, None, {}


@dataclass(slots=True)
class Session:
    """A worker's session: its present handle and those before it."""

    number: int
    secret: bytes
    stream_no: int
    handles: list[Handle]
    alive: bool = True

    @property
    def handle(self) -> Handle:
        """Return the newest handle."""
        return self.handles[-1]


@dataclass(slots=True)
class Model:
    """Every job and session of one walk. gone: jobs that were pruned, as they were."""

    jobs: dict[JobId, Job] = field(default_factory=dict[JobId, Job])
    gone: dict[JobId, Job] = field(default_factory=dict[JobId, Job])
    sessions: list[Session] = field(default_factory=list[Session])
    arrivals: int = 0

    def pend(self, job: Job, *, front: bool = False, together: bool = False) -> None:
        """Note that a pending job came last; front: last of those that came back. together: no order with the one before it."""
        self.arrivals += 0 if together else 1
        job.rank = (0 if front else 1, self.arrivals)

    def running(self, session: Session) -> list[JobId]:
        """Return what a session has leased."""
        return [job_id for job_id, job in self.jobs.items() if job.state is State.RUNNING and job.session == session.number]

    def in_state(self, *states: State) -> list[JobId]:
        """Return the jobs in one of these states."""
        return [job_id for job_id, job in self.jobs.items() if job.state in states]

    def holder(self, spec: NewJob) -> Job | None:
        """Return the job that has the unique key that `spec` asks for."""
        if spec.unique is None:
            return None
        found = [job for job in self.jobs.values() if job.has_key(spec.queue, spec.unique.key)]
        assert len(found) <= 1, "two jobs have one key"
        return found[0] if found else None

    def due(self, now: datetime) -> list[JobId]:
        """Return what a promotion at `now` moves, in its order."""
        waiting = [(job.next_at, job_id) for job_id, job in self.jobs.items() if job.is_waiting and job.next_at is not None]
        return [job_id for next_at, job_id in sorted(waiting) if next_at <= now]

    def mortal(self) -> set[JobId]:
        """Return the waiting jobs that have a deadline."""
        return {i for i, job in self.jobs.items() if job.is_waiting and job.expire_at is not None}

    def overdue(self, now: datetime) -> set[JobId]:
        """Return the waiting jobs that an expiry at `now` must end."""
        return {i for i, job in self.jobs.items() if job.is_waiting and job.overdue_at is not None and job.overdue_at <= now}

    def expirable(self, now: datetime) -> set[JobId]:
        """Return the waiting jobs that may have ended by `now`."""
        return {i for i in self.mortal() if (at := self.jobs[i].expire_at) is not None and at <= now}

    def spare(self, now: datetime) -> None:
        """Note that an expiry met overdue jobs that run: a store may look at them again only 10 s later."""
        for job in self.jobs.values():
            if job.state is State.RUNNING and job.overdue_at is not None and job.overdue_at <= now:
                job.overdue_at = now + timedelta(seconds=11)
