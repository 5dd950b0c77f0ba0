"""What a fake client keeps instead of a server: jobs and schedules, by a clock that stands still until it is moved."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import grpc
from protojobs.v1 import job_pb2, schedule_service_pb2

from protojobs_client.errors import (
    ConflictError,
    DuplicateJobError,
    JobFinalError,
    JobIdReusedError,
    JobNotFoundError,
    JobRunningError,
    ProtoJobsError,
    ScheduleNotFoundError,
)
from protojobs_client.ids import JobId, JobIds
from protojobs_client.models import JobState
from protojobs_client.outcome import Dispatched, DispatchOutcome, DispatchResult, Refused
from protojobs_client.payload import JSON, Codec, Payload, PayloadContext, decode_data

_MAX_RETRIES, _BACKOFF, _MULTIPLIER, _MAX_BACKOFF = 3, 60.0, 2.0, 3600.0  # the server's defaults
_MAX_TICKS = 100_000


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

    def guards(self, now: datetime) -> bool:
        """Tell whether its unique key still keeps other jobs out."""
        unique = self.spec.unique
        match unique.scope:
            case job_pb2.UNIQUE_SCOPE_UNTIL_START:
                return self.has_key and self.attempt == 0 and not self.state.is_final
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
        job.next_time.FromDatetime(self.due_at)
        if self.result is not None:
            job.result = self.result
        if self.error is not None:
            job.last_error.CopyFrom(self.error)
        return job


class FakeStore:
    """Jobs by id, schedules by name, refusals by kind."""

    def __init__(self, now: datetime, codec: Codec) -> None:
        self.now = now
        self.jobs: dict[str, FakeJob] = {}
        self.schedules: dict[str, schedule_service_pb2.Schedule] = {}
        self.refusals: dict[str, ProtoJobsError] = {}
        self._codec = codec
        self._ids = JobIds(lambda: int(self.now.timestamp() * 1_000_000_000))

    def judge(self, spec: job_pb2.JobSpec) -> DispatchResult:
        """Say what `put` would."""
        job_id, stored = JobId(spec.id), self.jobs.get(spec.id)
        if spec.kind in self.refusals:
            return Refused(job_id=job_id, error=self.refusals[spec.kind])
        if stored is None:
            return self._judge_key(spec)
        if stored.spec == spec:
            return Dispatched(job_id, DispatchOutcome.EXISTING)
        error = JobIdReusedError("the id was used for another body", code=grpc.StatusCode.ALREADY_EXISTS, reason="JOB_ID_REUSED")
        return Refused(job_id=job_id, error=error)

    def put(self, spec: job_pb2.JobSpec) -> DispatchResult:
        """Store a job, unless it is there or refused."""
        result = self.judge(spec)
        if not isinstance(result, Dispatched) or result.outcome is DispatchOutcome.EXISTING:
            return result
        holder = self._holder(spec)
        job = self._add(spec)
        if result.outcome is DispatchOutcome.REPLACED and holder is not None:
            if spec.unique.on_conflict == job_pb2.UNIQUE_CONFLICT_DEBOUNCE:
                job.due_at = max(job.due_at, holder.due_at)
            holder.state, holder.has_key = JobState.CANCELLED, False
        return result

    def job(self, job_id: str) -> FakeJob:
        """Return a job. Raises JobNotFoundError."""
        job = self.jobs.get(job_id)
        if job is None:
            raise JobNotFoundError(f"no job {job_id}", code=grpc.StatusCode.NOT_FOUND, reason="JOB_NOT_FOUND")
        if job.state is JobState.SCHEDULED and job.due_at <= self.now:
            job.state = JobState.PENDING
        return job

    def due(self) -> list[FakeJob]:
        """Return what a worker could take now: by priority, then by age."""
        ready = [job for job in self.jobs.values() if job.is_waiting and job.due_at <= self.now]
        return sorted(ready, key=lambda job: (-(job.spec.priority or 5), job.due_at))

    def advance(self, by: timedelta) -> None:
        """Move the clock. Raises ValueError backwards."""
        if by < timedelta():
            raise ValueError("the clock goes forward only")
        end = self.now + by
        ticks = sorted(
            ((at, schedule) for schedule in self.schedules.values() for at in _ticks(schedule, self.now, end)),
            key=lambda tick: tick[0],
        )
        for at, schedule in ticks:
            self.now = at
            self.tick(schedule, self._ids.new())
        self.now = end

    def cancel(self, job_id: str) -> JobState:
        """Cancel a job that waits. Raises JobFinalError, JobNotFoundError."""
        job = self.job(job_id)
        if job.state.is_final and job.state is not JobState.CANCELLED:
            raise JobFinalError(f"job {job_id} is {job.state.value}", reason="JOB_FINAL")
        job.state = JobState.CANCELLED
        return job.state

    def delete(self, job_id: str) -> None:
        """Remove a job. Raises JobRunningError, JobNotFoundError."""
        if self.job(job_id).state is JobState.RUNNING:
            raise JobRunningError(f"job {job_id} is running", reason="JOB_RUNNING")
        del self.jobs[job_id]

    def begin(self, job: FakeJob) -> None:
        """Lease a job."""
        job.state = JobState.RUNNING
        job.attempt += 1

    def end(self, job: FakeJob, state: JobState, *, wait: timedelta | None = None, children: Sequence[bytes] = ()) -> None:
        """Store how an attempt ended, and what follows; `wait` before the next one if `state` is not final."""
        job.state = state
        if wait is not None:
            job.due_at = self.now + wait
        follow: list[job_pb2.JobSpec] = [job_pb2.JobSpec.FromString(spec) for spec in children]
        if state is JobState.COMPLETED:
            follow += job.spec.on_complete
        elif state is JobState.FAILED:
            follow += job.spec.on_failed
        for each in follow:
            spec = job_pb2.JobSpec()
            spec.CopyFrom(each)
            spec.id = spec.id or self._ids.new()
            self.put(spec)  # one that is refused is left out, as a server does

    def declare(self, schedule: schedule_service_pb2.Schedule, *, dry_run: bool) -> schedule_service_pb2.Schedule:
        """Make or change a schedule."""
        digest = sha256(schedule.SerializeToString(deterministic=True)).hexdigest()
        schedule.name = schedule.name or f"{schedule.job.kind}-{digest[:12]}"
        schedule.etag = digest[:16]
        schedule.create_time.FromDatetime(self.now)
        stored = self.schedules.get(schedule.name)
        if stored is not None and stored.etag == schedule.etag:
            return stored
        if not dry_run:
            self.schedules[schedule.name] = schedule
        return schedule

    def schedule(self, name: str) -> schedule_service_pb2.Schedule:
        """Return a schedule. Raises ScheduleNotFoundError."""
        schedule = self.schedules.get(name)
        if schedule is None:
            raise ScheduleNotFoundError(f"no schedule {name}", code=grpc.StatusCode.NOT_FOUND, reason="SCHEDULE_NOT_FOUND")
        return schedule

    def drop(self, name: str, etag: str) -> None:
        """Remove a schedule. Raises ScheduleNotFoundError, ConflictError."""
        if etag and etag != self.schedule(name).etag:
            raise ConflictError("the schedule has changed", code=grpc.StatusCode.FAILED_PRECONDITION, reason="CONFLICT")
        del self.schedules[self.schedule(name).name]

    def tick(self, schedule: schedule_service_pb2.Schedule, job_id: str) -> JobId:
        """Make a job of a schedule."""
        spec = job_pb2.JobSpec()
        spec.CopyFrom(schedule.job)
        spec.id = job_id
        self.put(spec)  # a tick whose unique key is taken makes no job
        schedule.last_time.FromDatetime(self.now)
        schedule.last_job_id = job_id
        return JobId(job_id)

    def _holder(self, spec: job_pb2.JobSpec) -> FakeJob | None:
        """Return the job of the same queue that has the unique key of this one."""
        if not spec.HasField("unique"):
            return None
        same = [
            job for job in self.jobs.values() if job.queue == (spec.queue or "default") and job.spec.unique.key == spec.unique.key
        ]
        return next((job for job in reversed(same) if job.guards(self.now)), None)

    def _judge_key(self, spec: job_pb2.JobSpec) -> DispatchResult:
        job_id, holder = JobId(spec.id), self._holder(spec)
        if holder is None:
            return Dispatched(job_id)
        conflict = spec.unique.on_conflict
        if conflict == job_pb2.UNIQUE_CONFLICT_RETURN_EXISTING:
            return Dispatched(holder.id, DispatchOutcome.EXISTING)
        if conflict in {job_pb2.UNIQUE_CONFLICT_REPLACE, job_pb2.UNIQUE_CONFLICT_DEBOUNCE} and holder.is_waiting:
            return Dispatched(job_id, DispatchOutcome.REPLACED)
        error = DuplicateJobError(
            "the unique key is taken",
            code=grpc.StatusCode.ALREADY_EXISTS,
            reason="DUPLICATE_JOB",
            metadata={"job_id": holder.id},
        )
        return Refused(job_id=job_id, error=error)

    def _add(self, spec: job_pb2.JobSpec) -> FakeJob:
        due_at = self.now
        if spec.HasField("delay"):
            due_at += spec.delay.ToTimedelta()
        elif spec.HasField("run_time"):
            due_at = spec.run_time.ToDatetime(tzinfo=UTC)
        state = JobState.SCHEDULED if due_at > self.now else JobState.PENDING
        job = self.jobs[spec.id] = FakeJob(spec, self._data(spec), self.now, due_at, state)
        return job

    def _data(self, spec: job_pb2.JobSpec) -> Any:
        context = PayloadContext(kind=spec.kind, queue=spec.queue or "default", job_id=spec.id)
        plain = self._codec.decode(Payload(spec.payload, spec.content_type or JSON), context)
        return decode_data(plain.data, plain.content_type)


def _ticks(schedule: schedule_service_pb2.Schedule, after: datetime, until: datetime) -> list[datetime]:
    """Return the ticks of an interval; the calendars of cron, daily and weekly are the server's."""
    if schedule.paused or schedule.spec.WhichOneof("when") != "every":
        return []
    every = schedule.spec.every
    step = every.interval.ToTimedelta()
    anchor = (every.anchor if every.HasField("anchor") else schedule.create_time).ToDatetime(tzinfo=UTC)
    first, last = (after - anchor) // step + 1, (until - anchor) // step
    if last - first >= _MAX_TICKS:
        raise ValueError(f"more than {_MAX_TICKS} ticks; advance in smaller steps")
    return [anchor + step * count for count in range(max(1, first), last + 1)]
