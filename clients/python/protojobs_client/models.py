"""What callers read and set: frozen values, aware datetimes and timedeltas, never protobuf."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import TypeAlias

from protojobs_client.ids import JobId

# A span of time: a timedelta, or a number of seconds.
Seconds: TypeAlias = float | timedelta


class JobState(Enum):
    """Where a job stands."""

    UNKNOWN = "unknown"
    SCHEDULED = "scheduled"
    PENDING = "pending"
    RUNNING = "running"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """The job will not run again unless somebody retries it."""
        return self in {JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}


class AttemptOutcome(Enum):
    """How an attempt ended."""

    UNKNOWN = "unknown"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    RETRIED = "retried"
    SNOOZED = "snoozed"
    RELEASED = "released"
    CRASHED = "crashed"
    RUNNING = "running"


class Jitter(Enum):
    """Randomisation of a backoff."""

    FULL = "full"
    NONE = "none"


class EventLevel(Enum):
    """Which events a queue tells: FINAL what ends or retries a job, ALL starts and progress too."""

    FINAL = "final"
    ALL = "all"


class HealthStatus(Enum):
    """What the server's health service answers."""

    UNKNOWN = "unknown"
    SERVING = "serving"
    NOT_SERVING = "not_serving"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How failures of a job are retried. A field that is None takes the queue's value, then the default."""

    max_retries: int | None = None  # retries after the first run; default 3
    initial_backoff: timedelta | None = None  # default 60 s
    multiplier: float | None = None  # default 2.0
    max_backoff: timedelta | None = None  # default 1 h
    jitter: Jitter | None = None  # default FULL
    max_retry_duration: timedelta | None = None  # default unbounded


@dataclass(frozen=True, slots=True, kw_only=True)
class JobErrorInfo:
    """Why an attempt failed, as its worker told. The stack is empty unless the job was read in full."""

    type: str
    message: str
    stack: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressInfo:
    """How far a running attempt says it is; ratio is 0.0 to 1.0."""

    ratio: float
    message: str
    updated_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInfo:
    """A stored job, from one snapshot. Payload, headers and result are None unless it was read in full."""

    id: JobId
    kind: str
    queue: str
    state: JobState
    priority: int
    attempt: int
    failures: int
    crashes: int
    created_at: datetime | None
    next_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    expire_at: datetime | None
    worker: str
    reason: str
    labels: Mapping[str, str]
    fairness_key: str | None
    concurrency_key: str | None
    content_type: str
    retry: RetryPolicy
    run_timeout: timedelta | None
    cancel_requested: bool
    parent_job_id: JobId | None
    progress: ProgressInfo | None
    last_error: JobErrorInfo | None
    payload: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    result: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptInfo:
    """One lease of a job."""

    job_id: JobId
    attempt: int
    outcome: AttemptOutcome
    worker: str
    reason: str
    started_at: datetime | None
    finished_at: datetime | None
    error: JobErrorInfo | None
    retried_by_hand: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What a retry did. `already`: the job had gone on from the attempt that was read before this call."""

    job_id: JobId
    state: JobState
    already: bool


class BulkAction(Enum):
    """What `bulk_jobs` does to each job, as the method for one job would."""

    RETRY = "retry"
    CANCEL = "cancel"
    DELETE = "delete"
    MOVE = "move"
    SET_PRIORITY = "set_priority"


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkStep:
    """What one call of a bulk action did, or with `dry_run` would do.

    skipped: left alone because of their state, because they are as wanted, or because there is no such job. sample: with `dry_run`,
    up to 10 of the jobs that would change.
    """

    changed: int
    skipped: int
    sample: tuple[JobId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long finished jobs stay. None means the default (completed and cancelled 7 days, failed 30)."""

    completed: timedelta | None = None
    failed: timedelta | None = None
    cancelled: timedelta | None = None


class History(Enum):
    """What is remembered of the attempts of a job, an hour after its end."""

    ALL = "all"
    FAILURES = "failures"  # attempts that did not complete; no results
    NONE = "none"  # only how it ended; neither results nor errors


class Overflow(Enum):
    """What happens to a dispatch into a queue at its max_depth."""

    REJECT = "reject"
    RETRY = "retry"  # refused too, but worth a retry in a moment
    DROP_OLDEST = "drop_oldest"  # the oldest waiting job is deleted


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Jobs of a queue that start: `per_second` on average, and at most `burst` (default per_second) at once."""

    per_second: float
    burst: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """Whether the fairness keys of a queue share it, by weights of 1 to 1000 (1 where a key is not named).

    Raises ValueError for a weight that is no such number.
    """

    enabled: bool = True
    weights: Mapping[str, int] = field(default_factory=dict[str, int])

    def __post_init__(self) -> None:
        for key, weight in self.weights.items():
            if not (1 <= weight <= 1000 and weight == int(weight)):
                raise ValueError(f"the weight of {key!r} must be a whole number from 1 to 1000")


@dataclass(frozen=True, slots=True)
class Aging:
    """How priority grows: by each `interval` (1 s to 1 day) that a job waits it counts as one priority higher."""

    interval: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueInfo:
    """A queue and its settings; None means the default, for limits none."""

    name: str
    paused: bool
    retry: RetryPolicy
    run_timeout: timedelta | None
    retention: Retention
    strict_leases: bool
    max_in_flight: int | None
    rate_limit: RateLimit | None
    max_depth: int | None
    overflow: Overflow
    max_payload_bytes: int | None
    history: History
    events: EventLevel
    per_key_limit: int
    fairness: Fairness
    priority: Aging | None
    created_at: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoWorkerKind:
    """Pending jobs of a kind that no connected worker names."""

    kind: str
    pending: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedBy:
    """Why pending jobs wait although they could run."""

    paused: bool
    rate: bool
    concurrency: bool
    no_worker_kinds: tuple[NoWorkerKind, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """Numbers of one queue. Counts of final states are of the jobs that are still kept."""

    queue: str
    scheduled: int
    pending: int
    running: int
    retrying: int
    completed: int
    failed: int
    cancelled: int
    expired: int
    oldest_pending_age: timedelta | None
    completed_per_second_1m: float
    completed_per_second_5m: float
    failed_per_second_1m: float
    failed_per_second_5m: float
    average_run_time: timedelta | None
    p95_run_time: timedelta | None
    workers: int
    open_window: int
    limited_by: LimitedBy
    paused: bool
    approximate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Numbers of queues at one moment of the store's clock."""

    queues: tuple[QueueStats, ...]
    snapshot_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJobInfo:
    """A job that a worker runs."""

    job_id: JobId
    kind: str
    queue: str
    attempt: int
    started_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """A live worker session. `session` is its public number, for `drain_worker`; empty kinds means all."""

    session: str
    worker: str
    sdk: str
    sdk_version: str
    queues: tuple[str, ...]
    kinds: tuple[str, ...]
    slots_total: int
    slots_used: int
    heartbeat_at: datetime | None
    started_at: datetime | None
    running: tuple[RunningJobInfo, ...]
    draining: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """A feature that drivers may lack, and why it is absent here."""

    name: str
    available: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds in force on the server, in bytes and items."""

    max_payload_bytes: int
    max_receive_bytes: int
    max_batch_items: int
    max_header_bytes: int
    max_labels: int
    max_result_bytes: int
    max_page_size: int
    max_in_flight: int
    id_ahead: timedelta | None
    id_window: timedelta | None
    session_ttl: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """What the server is and can do."""

    version: str
    driver: str
    server_id: str
    min_client_version: str
    capabilities: tuple[Capability, ...]
    limits: Limits
    server_time: datetime | None
