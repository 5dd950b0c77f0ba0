"""What the reference driver keeps of jobs, attempts, keys, sessions and minutes."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from protojobs_service.domain.job import Handle, JobId, NewJob, Progress
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.outcome import JobError
from protojobs_service.domain.retry import DEFAULT_POLICY, Policy
from protojobs_service.domain.unique import UniqueScope
from protojobs_service.port.sessions import Opening


@dataclass(slots=True)
class Run:
    """The lease of a running job. started: its handler is known to have begun, so the end of its session is a crash."""

    handle: Handle
    started_at: datetime
    started: bool
    cancel_at: datetime | None = None
    progress: Progress | None = None


@dataclass(slots=True)
class Ended:
    """An attempt that ended. session 0: no worker had it. settled: by its session's own word, which may be repeated."""

    attempt: int
    code: Code
    finished_at: datetime
    started_at: datetime | None = None
    session: int = 0
    worker: str = ""
    settled: bool = False
    error: JobError | None = None
    reason: str = ""


class Logged(NamedTuple):
    """One change that those who watch hear of. ended: the attempt as it was then; None: the job was deleted."""

    job: "StoredJob"
    code: Code
    attempt: int
    at: datetime
    before: State
    after: State | None
    ended: Ended | None


@dataclass(slots=True)
class StoredJob:
    """A job. state None: deleted, only its id and fingerprint are kept.

    since: when it was stored, or last retried by hand. expire_at: None once an attempt has ended other than by release. position:
    its place among the pending ones. returns: how often in a row it came back without an outcome. losses: see
    `domain.outcome.Running`.
    """

    spec: NewJob
    fingerprint: bytes
    created_at: datetime
    since: datetime
    expire_at: datetime | None
    state: State | None = None
    position: int = 0
    pending_at: datetime | None = None
    due_at: datetime | None = None
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    returns: int = 0
    losses: int = 0
    run: Run | None = None
    checkpoint: bytes | None = None
    result: bytes | None = None
    done: list[Ended] = field(default_factory=list[Ended])

    @property
    def policy(self) -> Policy:
        """Return the policy in force."""
        return self.spec.policy or DEFAULT_POLICY

    @property
    def retry_until(self) -> datetime | None:
        """Return when its last retry may start."""
        longest = self.policy.max_retry_duration
        return None if longest is None else self.since + longest


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Who has a unique key. until: of scope WINDOW, whose keys outlive their jobs."""

    job: JobId
    scope: UniqueScope
    until: datetime | None


@dataclass(slots=True)
class Session:
    """One run of a worker process. handle: its newest stream, the only one that has leases."""

    number: int
    opening: Opening
    handle: Handle
    created_at: datetime
    heartbeat_at: datetime
    expires_at: datetime
    closed: bool = False
    drain_at: datetime | None = None


@dataclass(slots=True)
class Minute:
    """What a queue did in one minute. run_times: attempts by the power of two of their milliseconds."""

    completed: int = 0
    failed: int = 0
    run_time: timedelta = timedelta()
    run_times: Counter[int] = field(default_factory=Counter[int])
