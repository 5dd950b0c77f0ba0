"""What the reference driver stores, and the moves that a job can make: the specification in its shortest form.

A job waits in `ready` (PENDING; for a place of its concurrency key in `places`) or `due` (SCHEDULED, RETRYING), runs in `running`,
and each attempt that ended is in its `done`.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from random import Random

from protojobs_service.domain.bounds import MAX_PRIORITY
from protojobs_service.domain.errors import QuotaExceeded
from protojobs_service.domain.event import LOGGED
from protojobs_service.domain.job import Handle, JobId, Lease, NewJob
from protojobs_service.domain.lifecycle import FINAL_STATES, TRANSITIONS, Code, State
from protojobs_service.domain.outcome import Outcome, Running, decide
from protojobs_service.domain.queue import QueueSettings
from protojobs_service.domain.queue_limits import Bucket
from protojobs_service.domain.retry import FREE_LOSSES
from protojobs_service.domain.schedule import Schedule
from protojobs_service.domain.unique import REPLACED, Decision, Holder, Unique, UniqueScope, Verdict
from protojobs_service.drivers.memory.fairness import STEP, Fair
from protojobs_service.drivers.memory.places import Places, key_of
from protojobs_service.drivers.memory.records import Ended, Key, Logged, Minute, Run, Session, StoredJob
from protojobs_service.port.driver import NO_FOLLOW_UPS, Fingerprint, FollowUps, Room
from protojobs_service.port.jobs import Claim

_MOVES = {(before, after) for (before, _), after in TRANSITIONS.items()}
"""Where a job may go from a state."""

_HANDLER_FAILED = (Code.RETRIED, Code.FAILED)


class Store:
    """Everything that is stored, and the moves that a job can make."""

    def __init__(self, fingerprint: Fingerprint, clock: Callable[[], datetime], rng: Random, max_queues: int, max_lanes: int):
        self.fingerprint, self.now, self._rng = fingerprint, clock, rng
        self._max_queues, self._max_lanes = max_queues, max_lanes
        self.room: Room | None = None
        self.follow_ups: FollowUps = NO_FOLLOW_UPS
        self.jobs: dict[JobId, StoredJob] = {}
        self.ready: dict[str, dict[str, list[tuple[int, int, JobId]]]] = {}  # by queue and kind: (-priority, position, id)
        self.due: list[tuple[datetime, JobId]] = []
        self.running: dict[Handle, dict[JobId, StoredJob]] = {}
        self.sessions: dict[bytes, Session] = {}  # by hash of the secret
        self.handles: dict[Handle, Session] = {}
        self.queues: dict[str, QueueSettings] = {}
        self.buckets: dict[str, Bucket] = {}
        self.fair = Fair(self.queues)
        self.places = Places(self.queues, self._offer)
        self.version = 0
        self.schedules: dict[str, Schedule] = {}
        self.ticks: dict[tuple[str, datetime], JobId] = {}
        self.keys: dict[tuple[str, str], Key] = {}  # by queue and unique key
        self.log: deque[Logged] = deque()
        self.forgotten = 0  # how many of the log were dropped from its front
        self.counts: Counter[tuple[str, State]] = Counter()
        self.minutes: defaultdict[str, dict[int, Minute]] = defaultdict(dict)
        self.beat_at = clock()
        self._arrivals: set[str] = set()
        self._back, self._front = count(0, STEP), count(-(1 << 62))  # what comes back goes before all arrivals, in its own order

    def use(self, jobs: Sequence[NewJob]) -> None:
        """Make the queues and lanes of jobs that are to be stored. Raises QuotaExceeded."""
        self.use_lanes([(job.queue, job.kind) for job in jobs])

    def use_lanes(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Make the queues and lanes of (queue, kind). Raises QuotaExceeded."""
        queues = {queue for queue, _ in pairs} - self.queues.keys()
        lanes = {(queue, kind) for queue, kind in pairs if kind not in self.ready.get(queue, ())}
        if len(self.queues) + len(queues) > self._max_queues:
            raise QuotaExceeded("the store has too many queues")
        if sum(map(len, self.ready.values())) + len(lanes) > self._max_lanes:
            raise QuotaExceeded("the store has too many kinds")
        for queue in queues:
            self.queues[queue] = QueueSettings(name=queue, created_at=self.now())
            self.version += 1
        for queue, kind in lanes:
            self.ready.setdefault(queue, {})[kind] = []

    def create(self, spec: NewJob, now: datetime, decision: Decision | None = None) -> None:
        """Store a job: SCHEDULED where it names a time to come, else PENDING. decision: of its unique key, which it takes."""
        created_at = min(now, spec.accepted_at or now)
        job = StoredJob(
            spec=spec,
            fingerprint=self.fingerprint(spec.queue, spec.kind, spec.envelope),
            created_at=created_at,
            since=created_at,
            expire_at=spec.expire_at,
        )
        self.jobs[spec.id] = job
        run_at = spec.run_at if spec.delay is None else now + spec.delay
        if decision is not None and spec.unique is not None:
            if decision.verdict is Verdict.REPLACES and decision.holder is not None:
                self.end_waiting(self.jobs[decision.holder.id], Code.CANCELLED, REPLACED, now)
            self.take_key(job, spec.unique, now)
            run_at = decision.due_at
        self.start(job, run_at, now)

    def holder(self, queue: str, unique: Unique, now: datetime) -> Holder | None:
        """Return the job that has a key, None where it is free."""
        key = self.keys.get((queue, unique.key))
        if key is None or (key.until is not None and key.until <= now):
            return None
        job = self.jobs.get(key.job)
        return Holder(key.job, None if job is None else job.state, None if job is None else job.due_at)

    def take_key(self, job: StoredJob, unique: Unique, now: datetime) -> None:
        """Give a key that is free to a job."""
        self.keys[job.spec.queue, unique.key] = Key(job=job.spec.id, scope=unique.scope, until=unique.until(now))

    def move_key(self, job: StoredJob, queue: str, now: datetime) -> JobId | None:
        """Let the key of a job, if it has one, follow it to another queue; returns who has it there, and then nothing is moved."""
        unique, old = job.spec.unique, job.spec.queue
        mine = None if unique is None or old == queue else self.holder(old, unique, now)
        if unique is None or mine is None or mine.id != job.spec.id:
            return None
        other = self.holder(queue, unique, now)
        if other is not None:
            return other.id
        self.keys[queue, unique.key] = self.keys.pop((old, unique.key))
        return None

    def free_key(self, job: StoredJob, *scopes: UniqueScope) -> None:
        """Free the key of a job, if it has one of one of these scopes."""
        unique, queue = job.spec.unique, job.spec.queue
        key = None if unique is None else self.keys.get((queue, unique.key))
        if unique is not None and key is not None and key.job == job.spec.id and key.scope in scopes:
            del self.keys[queue, unique.key]

    def start(self, job: StoredJob, run_at: datetime | None, now: datetime) -> None:
        """Make a job wait for its time, or for a worker where that is over."""
        if run_at is not None and run_at > now:
            self.move(job, State.SCHEDULED, due_at=run_at)
        else:
            self.move(job, State.PENDING)

    def move(
        self, job: StoredJob, state: State | None, *, due_at: datetime | None = None, front: bool = False, keeps: bool = False
    ) -> None:
        """Put a job where `state` says: the only place that changes it. None deletes.

        keeps: it waits for its time with the place of its concurrency key, where the others of the key wait for its end.
        """
        spec, before = job.spec, job.state
        if job.state is not None:
            assert state is None or (job.state, state) in _MOVES, (job.state, state)
            self.counts[spec.queue, job.state] -= 1
            if job.state is State.PENDING:
                self.fair.left(spec, job.position, claimed=state is State.RUNNING)
        job.state, job.due_at = state, due_at
        if state is not None:
            self.counts[spec.queue, state] += 1
        if state is State.RUNNING:
            self.free_key(job, UniqueScope.UNTIL_START)
        elif state is not None and state.is_final:
            self.free_key(job, UniqueScope.UNTIL_START, UniqueScope.UNTIL_DONE)
        if state is State.PENDING:
            job.position, job.pending_at = self._position(spec, front=front), self.now()
            key = key_of(spec)
            if key is None or self.places.ask(spec.id, key):
                self._offer(spec.id)
        elif due_at is not None:
            heappush(self.due, (due_at, spec.id))
        self._leave_key(job, before, keeps=keeps)

    def _position(self, spec: NewJob, *, front: bool) -> int:
        if front:
            self.fair.came_back(spec)
            return next(self._front)
        return self.fair.came(spec, next(self._back))

    def _leave_key(self, job: StoredJob, before: State | None, *, keeps: bool) -> None:
        key = key_of(job.spec)
        if key is None or job.state in (State.PENDING, State.RUNNING):
            return
        if before is State.PENDING:
            self.places.forsake(job.spec.id, key)
        if job.due_at is None or not (keeps and self.places.keeps(key)):
            self.places.leave(job.spec.id)

    def _offer(self, job_id: JobId) -> None:
        job = self.jobs[job_id]
        heappush(self.ready[job.spec.queue][job.spec.kind], (-job.spec.priority, job.position, job_id))
        self._arrivals.add(job.spec.queue)

    def first_ready(self, queue: str, claim: Claim, now: datetime) -> StoredJob | None:
        """Return what a claim gets next from a queue: the highest priority first (waiting may raise it), then the longest there."""
        heads: list[tuple[int, int, JobId]] = []
        aging = self.queues[queue].aging if queue in self.queues else None
        for kind, lane in self.ready.get(queue, {}).items():
            if (claim.kinds is None or kind in claim.kinds) and kind not in claim.barred:
                while lane and not self._stands(lane[0], now):
                    heappop(lane)
                heads += lane[:1] if aging is None else [self._aged(entry, aging, now) for entry in self._standing(lane, now)]
        return self.jobs[min(heads)[2]] if heads else None

    def _standing(self, lane: list[tuple[int, int, JobId]], now: datetime) -> list[tuple[int, int, JobId]]:
        return [entry for entry in list(lane) if self._stands(entry, now)]

    def _aged(self, entry: tuple[int, int, JobId], aging: timedelta, now: datetime) -> tuple[int, int, JobId]:
        priority, position, job_id = entry
        waited = now - (self.jobs[job_id].pending_at or now)
        return max(-MAX_PRIORITY, priority - waited // aging), position, job_id

    def _stands(self, entry: tuple[int, int, JobId], now: datetime) -> bool:
        job = self.jobs.get(entry[2])
        if job is None or job.state is not State.PENDING or job.position != entry[1]:
            return False  # it has moved on; entries are not searched for when that happens
        if job.expire_at is not None and job.expire_at <= now:
            self.end_waiting(job, Code.EXPIRED, "EXPIRED", now)
            return False
        return True

    def lease(self, job: StoredJob, handle: Handle, now: datetime) -> Lease:
        """Give a pending job to a handle under its next attempt."""
        spec = job.spec
        self.move(job, State.RUNNING)
        job.attempt += 1
        job.run = Run(handle, now, started=self.handles[handle].opening.unary)
        self.running[handle][spec.id] = job
        return self.lease_of(job, job.run)

    @staticmethod
    def lease_of(job: StoredJob, run: Run) -> Lease:
        """Return the lease of a running job."""
        spec, suspect = job.spec, job.losses >= FREE_LOSSES
        of_job = (spec.id, job.attempt, spec.queue, spec.kind, spec.envelope, job.failures, spec.policy, job.checkpoint, suspect)
        return Lease(run.handle, *of_job)

    def end(self, job: StoredJob, outcome: Outcome, now: datetime, *, settled: bool = False) -> None:
        """End the running attempt of a job; `domain.outcome.decide` says how and what comes next."""
        run, spec = job.run, job.spec
        assert run is not None, "only a running attempt can end"
        asked = run.cancel_at is not None
        before = Running(job.failures, job.crashes, job.returns, asked, job.policy, job.retry_until, job.losses)
        after = decide(outcome, before, now, self._rng)
        session = self.handles[run.handle]
        del self.running[run.handle][spec.id]
        job.run, job.result = None, after.result
        job.failures, job.crashes, job.returns, job.losses = after.failures, after.crashes, after.returns, after.losses
        job.checkpoint = job.checkpoint if after.checkpoint is None else after.checkpoint
        if after.code is not Code.RELEASED:
            job.expire_at = None
        ended = Ended(job.attempt, after.code, now, run.started_at, session.number, session.opening.worker, settled)
        ended.error, ended.reason = after.error, after.reason or ""
        job.done.append(ended)
        self.note(job, after.code, State.RUNNING, after.state, now)
        self._count(spec.queue, after.code, now, now - run.started_at)
        due_at = None if after.delay is None else now + after.delay
        self.move(job, after.state, due_at=due_at, front=after.front, keeps=after.code is not Code.SNOOZED)

    def end_waiting(self, job: StoredJob, code: Code, reason: str, now: datetime) -> None:
        """End a waiting job under the next attempt number, which no worker gets."""
        job.attempt += 1
        job.expire_at = None
        job.done.append(Ended(job.attempt, code, now, reason=reason))
        before, after = job.state, State.CANCELLED if code is Code.CANCELLED else State.EXPIRED
        assert before is not None, "a tombstone has ended"
        self.move(job, after)
        self.note(job, code, before, after, now)

    def note(self, job: StoredJob, code: Code, before: State, after: State | None, now: datetime) -> None:
        """Log a change, if it is one that those who watch hear of."""
        if code in LOGGED:
            ended = replace(job.done[-1]) if after is not None else None
            self.log.append(Logged(job, code, job.attempt, now, before, after, ended))

    def edit(self, job: StoredJob, spec: NewJob, start: datetime | timedelta | None, now: datetime) -> None:
        """Let a waiting job be another one from now on: at the end of its lane if it is PENDING, else at its time or at `start`."""
        state, due_at = job.state, job.due_at
        assert state is not None, "a tombstone does not wait"
        self.counts[job.spec.queue, state] -= 1
        key, moves = key_of(job.spec), spec.queue != job.spec.queue
        if key is not None and state is State.PENDING:
            self.places.forsake(spec.id, key)
        if moves:
            self.places.leave(spec.id)
        if state is State.PENDING:  # `move` lets it leave where it is by then
            self.fair.left(job.spec, job.position, claimed=False)
            self.fair.came_back(spec)
        job.spec = spec
        self.counts[spec.queue, state] += 1
        at = now + start if isinstance(start, timedelta) else start
        if at is not None:
            due_at = at if at > now else None
        if due_at is None:
            self.move(job, State.PENDING)
        else:
            waits = State.RETRYING if state is State.RETRYING else State.SCHEDULED
            self.move(job, waits, due_at=due_at, keeps=at is None and not moves)

    def delete(self, job: StoredJob) -> None:
        """Leave a tombstone: nothing can be read any more, but the id stays taken."""
        self.free_key(job, *UniqueScope)
        before = job.state
        assert before is not None, "nothing is deleted twice"
        self.move(job, None)
        job.attempt += 0 if before in FINAL_STATES else 1  # as with every other end of a waiting job
        self.note(job, Code.DELETED, before, None, self.now())
        job.spec = NewJob(job.spec.id, job.spec.queue, job.spec.kind, job.spec.priority, b"")
        job.expire_at, job.checkpoint, job.result, job.done = None, None, None, []

    def _count(self, queue: str, code: Code, now: datetime, run_time: timedelta) -> None:
        if code is Code.COMPLETED or code in _HANDLER_FAILED:
            number = int(now.timestamp() // 60)
            minutes = self.minutes[queue]
            if number not in minutes:
                self.minutes[queue] = minutes = {n: minute for n, minute in minutes.items() if n >= number - 5}
            minute = minutes.setdefault(number, Minute())
            minute.completed += code is Code.COMPLETED
            minute.failed += code in _HANDLER_FAILED
            minute.run_time += run_time
            minute.run_times[max(0, run_time // timedelta(milliseconds=1)).bit_length()] += 1

    def known(self, job_id: JobId) -> StoredJob | None:
        """Return a job that readers may see."""
        job = self.jobs.get(job_id)
        return None if job is None or job.state is None else job

    def is_open(self, handle: Handle) -> bool:
        """Tell whether this is the newest stream of a session that lives."""
        session = self.handles.get(handle)
        return session is not None and not session.closed and session.handle == handle

    def live(self) -> list[Session]:
        """Return the sessions that have not ended, oldest first."""
        return [session for session in self.sessions.values() if not session.closed]

    def held_by(self, handles: Iterable[Handle]) -> list[tuple[StoredJob, Run]]:
        """Return what runs under these handles."""
        jobs = [job for handle in handles for job in self.running.get(handle, {}).values()]
        return [(job, job.run) for job in jobs if job.run is not None]

    def announce(self) -> None:
        """Tell of the jobs that this call made claimable; its last step, as a commit would be."""
        arrivals, self._arrivals = self._arrivals, set()
        if arrivals and self.room is not None:
            self.room.arrived(arrivals)
