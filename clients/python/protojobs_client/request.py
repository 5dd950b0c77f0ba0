"""What to dispatch: a kind, its data and options, as one value with fluent options."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypedDict, Unpack

from protojobs_client.models import RetryPolicy, Seconds
from protojobs_client.unique import OnConflict, Unique, UniqueScope

UNSET_RETRY: Final = RetryPolicy()
"""The policy that says nothing, one for all requests: most are told apart from others by identity."""


class HasRequest(Protocol):
    """A job class instance, or anything else that says what its dispatch asks for."""

    def request(self) -> "JobRequest":
        """Return what a dispatch asks for."""
        ...


class DispatchOptions(TypedDict, total=False):
    """Keyword options of every dispatch; one that is left out takes the job class's, then the queue's value."""

    queue: str  # default "default"
    delay: Seconds  # from the moment of storing; exclusive with run_at
    run_at: datetime  # aware; one in the past means at once
    priority: int  # 1 to 9, higher first; default 5
    job_id: str  # UUIDv7; chosen by the client when left out
    headers: Mapping[str, str]
    labels: Mapping[str, str]
    retry: RetryPolicy
    run_timeout: Seconds  # longest run of one attempt; default 300 s
    expire_at: datetime  # aware; the job ends as EXPIRED if it waits then
    unique: Unique  # at most one job of this key in its queue
    fairness_key: str  # whose share of a fair queue it takes; at most 128 bytes
    concurrency_key: str  # of one key no more jobs of the queue run at once than its per_key_limit; at most 128 bytes
    result_retention: Seconds  # how long its result is kept, at most as long as the queue keeps the job
    content_type: str
    payload: bytes  # raw, instead of data; needs content_type unless it is JSON
    on_complete: "Sequence[JobRequest | HasRequest | str]"  # jobs to store in the transaction that completes it; at most 16
    on_failed: "Sequence[JobRequest | HasRequest | str]"  # jobs to store in the transaction in which it fails for good


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """The same options, normalised. None means not set. Raises ValueError for what no server could take."""

    queue: str | None = None
    delay: timedelta | None = None
    run_at: datetime | None = None
    priority: int | None = None
    job_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    retry: RetryPolicy = UNSET_RETRY
    run_timeout: timedelta | None = None
    expire_at: datetime | None = None
    unique: Unique | None = None
    fairness_key: str | None = None
    concurrency_key: str | None = None
    result_retention: timedelta | None = None
    content_type: str | None = None
    payload: bytes | None = field(default=None, repr=False)
    on_complete: "tuple[JobRequest, ...]" = ()
    on_failed: "tuple[JobRequest, ...]" = ()

    def __post_init__(self) -> None:
        if self.delay is not None and self.run_at is not None:
            raise ValueError("delay and run_at exclude each other")
        for moment in (self.run_at, self.expire_at):
            if moment is not None and moment.tzinfo is None:
                raise ValueError("times must be aware: give the datetime a tzinfo")

    @staticmethod
    def of(options: DispatchOptions) -> "JobOptions":
        """Normalise keyword options."""
        values: dict[str, Any] = {**options}
        for name in ("delay", "run_timeout", "result_retention"):
            if name in values:
                values[name] = span(values[name])
        for name in ("on_complete", "on_failed"):
            if name in values:
                values[name] = tuple(map(_follow_up, values[name]))
        return JobOptions(**values)

    def over(self, base: "JobOptions") -> "JobOptions":
        """Return these options, with those of `base` where they say nothing; mappings, retry and follow-ups merge."""
        mine = {option.name: value for option in fields(self) if (value := getattr(self, option.name)) is not None}
        if self.delay is not None or self.run_at is not None:
            mine.setdefault("delay", None)
            mine.setdefault("run_at", None)
        mine["headers"] = {**base.headers, **self.headers}
        mine["labels"] = {**base.labels, **self.labels}
        mine["retry"] = merged_retry(self.retry, base.retry)
        mine["on_complete"] = base.on_complete + self.on_complete
        mine["on_failed"] = base.on_failed + self.on_failed
        return replace(base, **mine)


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job to dispatch. Each fluent option returns a changed copy.

    `data` becomes JSON unless it is bytes; see `encode_data`.
    """

    kind: str
    data: object = field(default=None, repr=False)
    options: JobOptions = field(default_factory=JobOptions)

    def on_queue(self, queue: str) -> "JobRequest":
        """Send it to this queue."""
        return self.with_options(queue=queue)

    def retries(self, count: int) -> "JobRequest":
        """Retry it up to `count` times after its first run."""
        return self.with_options(retry=RetryPolicy(max_retries=count))

    def retry_after(self, backoff: Seconds) -> "JobRequest":
        """Wait this long before the first retry; later waits grow."""
        return self.with_options(retry=RetryPolicy(initial_backoff=span(backoff)))

    def timeout(self, run_timeout: Seconds) -> "JobRequest":
        """Bound the run of one attempt."""
        return self.with_options(run_timeout=run_timeout)

    def delay(self, delay: Seconds) -> "JobRequest":
        """Start it this long after it was stored."""
        return self.with_options(delay=delay)

    def at(self, run_at: datetime) -> "JobRequest":
        """Start it at this time."""
        return self.with_options(run_at=run_at)

    def priority(self, priority: int) -> "JobRequest":
        """Put it before jobs of a lower priority; 1 to 9."""
        return self.with_options(priority=priority)

    def expires_at(self, expire_at: datetime) -> "JobRequest":
        """End it as EXPIRED if it still waits then."""
        return self.with_options(expire_at=expire_at)

    def keep_result(self, result_retention: Seconds) -> "JobRequest":
        """Keep its result this long, at most as long as the queue keeps the job."""
        return self.with_options(result_retention=result_retention)

    def unique(
        self,
        key: str,
        *,
        scope: UniqueScope = UniqueScope.UNTIL_DONE,
        window: Seconds | None = None,
        on_conflict: OnConflict = OnConflict.REJECT,
    ) -> "JobRequest":
        """Let at most one job of this key be in its queue; see `Unique`."""
        return self.with_options(unique=Unique(key, scope=scope, window=window, on_conflict=on_conflict))

    def label(self, key: str, value: str) -> "JobRequest":
        """Add a label, to find it by."""
        return self.with_options(labels={key: value})

    def header(self, key: str, value: str) -> "JobRequest":
        """Add a header, to tell its handler."""
        return self.with_options(headers={key: value})

    def on_complete(self, *jobs: "JobRequest | HasRequest | str") -> "JobRequest":
        """Store these jobs as well, in the transaction that completes it."""
        return self.with_options(on_complete=jobs)

    def on_failed(self, *jobs: "JobRequest | HasRequest | str") -> "JobRequest":
        """Store these jobs as well, in the transaction in which it fails for good."""
        return self.with_options(on_failed=jobs)

    def fairness_key(self, key: str) -> "JobRequest":
        """Let it take from this key's share of a fair queue."""
        return self.with_options(fairness_key=key)

    def concurrency_key(self, key: str) -> "JobRequest":
        """Run no more jobs of this key at once than the queue's `per_key_limit`: one, unless it says otherwise."""
        return self.with_options(concurrency_key=key)

    def with_id(self, job_id: str) -> "JobRequest":
        """Choose its id, a UUIDv7; dispatching the same id again never runs it twice."""
        return self.with_options(job_id=job_id)

    def with_options(self, **options: Unpack[DispatchOptions]) -> "JobRequest":
        """Set several options at once."""
        return replace(self, options=JobOptions.of(options).over(self.options))


def _follow_up(job: JobRequest | HasRequest | str) -> JobRequest:
    if isinstance(job, str):
        return JobRequest(job)
    request = job if isinstance(job, JobRequest) else job.request()
    if request.options.job_id is not None:
        raise ValueError("a job that follows another takes no job_id: the server makes it")
    return request


def merged_retry(policy: RetryPolicy, base: RetryPolicy) -> RetryPolicy:
    """Return `policy`, with the fields of `base` where it says nothing."""
    if policy is UNSET_RETRY:
        return base
    mine = {part.name: value for part in fields(policy) if (value := getattr(policy, part.name)) is not None}
    return replace(base, **mine)


def span(value: Seconds) -> timedelta:
    """Return seconds as a timedelta; a timedelta passes."""
    return value if isinstance(value, timedelta) else timedelta(seconds=value)
