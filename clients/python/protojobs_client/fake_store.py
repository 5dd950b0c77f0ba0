"""What a fake client keeps instead of a server: jobs and schedules, by a clock that stands still until it is moved."""

from collections.abc import Sequence
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
from protojobs_client.fake_job import FakeJob
from protojobs_client.fake_log import FakeLog
from protojobs_client.ids import JobId, JobIds
from protojobs_client.models import JobState
from protojobs_client.outcome import Dispatched, DispatchOutcome, DispatchResult, Refused
from protojobs_client.payload import JSON, Codec, Payload, PayloadContext, decode_data

_MAX_TICKS = 100_000


class FakeStore:
    """Jobs by id, schedules by name, refusals by kind."""

    def __init__(self, now: datetime, codec: Codec) -> None:
        self.now = now
        self.jobs: dict[str, FakeJob] = {}
        self.schedules: dict[str, schedule_service_pb2.Schedule] = {}
        self.refusals: dict[str, ProtoJobsError] = {}
        self.log = FakeLog()
        self._codec = codec
        self._turn = 0
        self._ids = JobIds(lambda: int(self.now.timestamp() * 1_000_000_000))

    def judge(self, spec: job_pb2.JobSpec) -> DispatchResult:
        """Say what `put` would."""
        job_id, stored = JobId(spec.id), self.jobs.get(spec.id)
        if spec.kind in self.refusals:
            return Refused(job_id=job_id, error=self.refusals[spec.kind])
        if stored is None:
            return self._judge_key(spec)
        if (stored.first or stored.spec) == spec:
            return Dispatched(job_id, DispatchOutcome.EXISTING)
        error = JobIdReusedError("the id was used for another body", code=grpc.StatusCode.ALREADY_EXISTS, reason="JOB_ID_REUSED")
        return Refused(job_id=job_id, error=error)

    def put(self, spec: job_pb2.JobSpec) -> DispatchResult:
        """Store a job, unless it is there or refused."""
        result = self.judge(spec)
        if not isinstance(result, Dispatched) or result.outcome is DispatchOutcome.EXISTING:
            return result
        holder = self.holder(spec)
        job = self._add(spec)
        if result.outcome is DispatchOutcome.REPLACED and holder is not None:
            if spec.unique.on_conflict == job_pb2.UNIQUE_CONFLICT_DEBOUNCE:
                job.due_at = max(job.due_at, holder.due_at)
            holder.has_key = False
            self._end_waiting(holder)
        return result

    def job(self, job_id: str) -> FakeJob:
        """Return a job. Raises JobNotFoundError."""
        job = self.jobs.get(job_id)
        if job is None:
            raise JobNotFoundError(f"no job {job_id}", code=grpc.StatusCode.NOT_FOUND, reason="JOB_NOT_FOUND")
        return self.as_of_now(job)

    def as_of_now(self, job: FakeJob) -> FakeJob:
        """Return the job, PENDING where its time has come."""
        if job.state in {JobState.SCHEDULED, JobState.RETRYING} and job.due_at <= self.now:
            job.state = JobState.PENDING
        return job

    def turn(self) -> int:
        """Return a number above all that were returned before: the clock stands still, and something comes after all."""
        self._turn += 1
        return self._turn

    def due(self) -> list[FakeJob]:
        """Return what a worker could take now: by priority, then by age."""
        ready = [job for job in self.jobs.values() if job.is_waiting and job.due_at <= self.now]
        return sorted(ready, key=lambda job: job.place)

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
        self.log.forget(self.now)

    def cancel(self, job_id: str) -> JobState:
        """Cancel a job that waits. Raises JobFinalError, JobNotFoundError."""
        job = self.job(job_id)
        if job.state.is_final and job.state is not JobState.CANCELLED:
            raise JobFinalError(f"job {job_id} is {job.state.value}", reason="JOB_FINAL")
        if job.is_waiting:
            self._end_waiting(job)
        job.state = JobState.CANCELLED
        return job.state

    def delete(self, job_id: str) -> None:
        """Remove a job. Raises JobRunningError, JobNotFoundError."""
        job = self.job(job_id)
        if job.state is JobState.RUNNING:
            raise JobRunningError(f"job {job_id} is running", reason="JOB_RUNNING")
        job.attempt += job.is_waiting  # as every end of a job that waits
        self.log.note(job, job.state, self.now, deleted=True)
        del self.jobs[job_id]

    def retry(self, job: FakeJob) -> bool:
        """Take a final job up again, or run one now that waits; returns False where another one has its unique key."""
        if job.state.is_final:
            if self.holder(job.spec, but=job) is not None:
                return False
            job.failures, job.has_key, job.has_begun, job.result = 0, True, False, None
        job.state, job.due_at = JobState.PENDING, self.now
        job.waits_from, job.waits = self.now, self.turn()
        return True

    def begin(self, job: FakeJob) -> None:
        """Lease a job."""
        job.state, job.has_begun, job.waits_from = JobState.RUNNING, True, None
        job.attempt += 1

    def end(self, job: FakeJob, state: JobState, *, wait: timedelta | None = None, children: Sequence[bytes] = ()) -> None:
        """Store how an attempt ended, and what follows; `wait` before the next one if `state` is not final."""
        job.state, job.changed = state, self.turn()
        if wait is not None:
            job.due_at = self.now + wait
        self.log.note(job, JobState.RUNNING, self.now, by_worker=True)
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
            if spec.id in self.jobs:
                self.jobs[spec.id].parent = job.id

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

    def holder(self, spec: job_pb2.JobSpec, but: FakeJob | None = None) -> FakeJob | None:
        """Return the job of the same queue that has the unique key of this one."""
        if not spec.HasField("unique"):
            return None
        same = [
            job for job in self.jobs.values() if job.queue == (spec.queue or "default") and job.spec.unique.key == spec.unique.key
        ]
        return next((job for job in reversed(same) if job is not but and job.guards(self.now)), None)

    def _judge_key(self, spec: job_pb2.JobSpec) -> DispatchResult:
        job_id, holder = JobId(spec.id), self.holder(spec)
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
        job = self.jobs[spec.id] = FakeJob(spec, self.read(spec), self.now, due_at, state)
        job.made = job.waits = self.turn()
        return job

    def _end_waiting(self, job: FakeJob) -> None:
        before, job.state = job.state, JobState.CANCELLED
        job.attempt += 1  # its end has a number, too
        job.changed = self.turn()
        self.log.note(job, before, self.now)

    def read(self, spec: job_pb2.JobSpec) -> Any:
        """Return the data of a payload."""
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
