"""A job of a fake client."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from protojobs.v1 import job_pb2

from protojobs_client.ids import JobId
from protojobs_client.models import JobState

_MAX_RETRIES, _BACKOFF, _MULTIPLIER, _MAX_BACKOFF = 3, 60.0, 2.0, 3600.0  # the server's defaults
_PRIORITY = 5


@dataclass(slots=True, eq=False)
class FakeJob:
    """A job as it would have been stored, and what became of it."""

    spec: job_pb2.JobSpec
    data: Any
    created_at: datetime
    due_at: datetime
    state: JobState = JobState.PENDING
    attempt: int = 0
    failures: int = 0
    checkpoint: bytes = b""
    result: bytes | None = None
    error: job_pb2.JobError | None = None
    has_key: bool = True  # its unique key, if it has one, until another job takes that over
    has_begun: bool = False  # a worker has had it since it took its key
    parent: str = ""
    first: job_pb2.JobSpec | None = None  # as it was dispatched, once it was changed
    made: int = 0  # turns of the store's counter: when it was made, when its last attempt ended, since when it waits
    changed: int = 0
    waits: int = 0
    waits_from: datetime | None = None  # since a change; otherwise since it was due

    def __repr__(self) -> str:
        return f"FakeJob({self.kind}, queue={self.queue}, state={self.state.value})"

    @property
    def id(self) -> JobId:
        """Its id."""
        return JobId(self.spec.id)

    @property
    def kind(self) -> str:
        """Which handler runs it."""
        return self.spec.kind

    @property
    def queue(self) -> str:
        """Its queue."""
        return self.spec.queue or "default"

    @property
    def priority(self) -> int:
        """Its priority, 1 to 9."""
        return self.spec.priority or _PRIORITY

    @property
    def headers(self) -> dict[str, str]:
        """Its headers, with the trace context."""
        return dict(self.spec.headers)

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return dict(self.spec.labels)

    @property
    def delay(self) -> timedelta:
        """How long it waits from its dispatch."""
        return max(self.due_at - self.created_at, timedelta())

    @property
    def max_retries(self) -> int:
        """Failures that are retried."""
        return self.spec.retry.max_retries if self.spec.retry.HasField("max_retries") else _MAX_RETRIES

    @property
    def is_waiting(self) -> bool:
        """No attempt runs, and one will."""
        return not self.state.is_final and self.state is not JobState.RUNNING

    @property
    def place(self) -> tuple[int, datetime, int]:
        """Its place among jobs that are due: by priority, then by age."""
        return -self.priority, self.waits_from or self.due_at, self.waits

    def guards(self, now: datetime) -> bool:
        """Tell whether its unique key still keeps other jobs out."""
        unique = self.spec.unique
        match unique.scope:
            case job_pb2.UNIQUE_SCOPE_UNTIL_START:
                return self.has_key and not self.has_begun and not self.state.is_final
            case job_pb2.UNIQUE_SCOPE_UNTIL_DONE:
                return self.has_key and not self.state.is_final
            case _:
                return self.has_key and now < self.created_at + unique.window.ToTimedelta()

    def backoff(self) -> timedelta:
        """Return the wait before the next retry by the job's policy, without jitter."""
        policy = self.spec.retry
        first = policy.initial_backoff.ToTimedelta().total_seconds() if policy.HasField("initial_backoff") else _BACKOFF
        most = policy.max_backoff.ToTimedelta().total_seconds() if policy.HasField("max_backoff") else _MAX_BACKOFF
        multiplier = policy.multiplier if policy.HasField("multiplier") else _MULTIPLIER
        return timedelta(seconds=min(first * multiplier ** max(0, self.failures - 1), most))

    def message(self) -> job_pb2.Job:
        """Return it as the server would."""
        job = job_pb2.Job(id=self.id, spec=self.spec, attempt=self.attempt, failures=self.failures)
        job.spec.queue = self.queue
        job.state = job_pb2.JobState.Value(f"JOB_STATE_{self.state.name}")
        job.create_time.FromDatetime(self.created_at)
        if self.state in {JobState.SCHEDULED, JobState.RETRYING}:
            job.next_time.FromDatetime(self.due_at)
        job.parent_job_id = self.parent
        if self.result is not None:
            job.result = self.result
        if self.error is not None:
            job.last_error.CopyFrom(self.error)
        return job
