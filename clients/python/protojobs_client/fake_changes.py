"""UpdateJob of a fake client: the same changes and refusals as a server's."""

from datetime import UTC, datetime

import grpc
from protojobs.v1 import job_pb2, job_service_pb2

from protojobs_client.errors import DuplicateJobError, JobFinalError, JobRunningError
from protojobs_client.fake_errors import check_id, check_name, refuse
from protojobs_client.fake_job import FakeJob
from protojobs_client.fake_store import FakeStore
from protojobs_client.models import JobState

_MAX_PRIORITY = 9
_STARTS = {"delay", "run_time"}


def update(store: FakeStore, request: job_service_pb2.UpdateJobRequest) -> job_service_pb2.UpdateJobResponse:
    """Change a job that waits.

    Raises InvalidArgumentError, JobNotFoundError, JobRunningError, JobFinalError, DuplicateJobError.
    """
    paths = list(request.update_mask.paths)
    check_id("job_id", request.job_id)
    if request.spec.priority > _MAX_PRIORITY:
        raise refuse("spec.priority", "must be 1 to 9, or 0 for the default")
    if "queue" in paths and request.spec.queue:
        check_name("spec.queue", request.spec.queue)
    job = store.job(request.job_id)
    start = _start(store, request.spec) if _STARTS & set(paths) else None
    if start is not None and _expires_by(job, start):
        field = request.spec.WhichOneof("start") or "run_time"
        raise refuse(f"spec.{field}", "must be before the expire_time of the job")
    if job.state is JobState.RUNNING:
        raise JobRunningError(f"job {job.id} is running", code=grpc.StatusCode.FAILED_PRECONDITION, reason="JOB_RUNNING")
    if job.state.is_final:
        raise JobFinalError(f"job {job.id} is {job.state.value}", code=grpc.StatusCode.FAILED_PRECONDITION, reason="JOB_FINAL")
    if (holder := change(store, job, request.spec, paths, start)) is not None:
        raise DuplicateJobError(
            "another job has the unique key",
            code=grpc.StatusCode.ALREADY_EXISTS,
            reason="DUPLICATE_JOB",
            metadata={"job_id": holder.id},
        )
    return job_service_pb2.UpdateJobResponse(job=job.message())


def change(
    store: FakeStore, job: FakeJob, values: job_pb2.JobSpec, paths: list[str], start: datetime | None = None
) -> FakeJob | None:
    """Set fields of a job that waits, or return the one that has its unique key where it would go."""
    spec = job_pb2.JobSpec()
    spec.CopyFrom(job.spec)
    if start is not None:
        spec.ClearField("delay")
        spec.ClearField("run_time")
    new = job_pb2.JobSpec()
    new.CopyFrom(values)
    for field, _ in values.ListFields():
        if field.name not in paths:
            new.ClearField(field.name)  # type: ignore[arg-type]  # names of fields, by construction
    for path in paths:
        spec.ClearField(path)  # type: ignore[arg-type]  # the same
    spec.MergeFrom(new)
    if spec.queue != job.spec.queue and job.guards(store.now) and (holder := store.holder(spec, but=job)) is not None:
        return holder
    job.first = job.first or job.spec
    job.spec, job.data = spec, store.read(spec)
    _wait(store, job, start)
    return None


def _start(store: FakeStore, spec: job_pb2.JobSpec) -> datetime:
    match spec.WhichOneof("start"):
        case "delay":
            return store.now + spec.delay.ToTimedelta()
        case "run_time":
            return max(store.now, spec.run_time.ToDatetime(tzinfo=UTC))
        case _:
            return store.now


def _expires_by(job: FakeJob, start: datetime) -> bool:
    """Tell whether a job that has not run yet would expire before it starts."""
    expires = job.spec.HasField("expire_time") and job.attempt == 0 and job.is_waiting
    return expires and start >= job.spec.expire_time.ToDatetime(tzinfo=UTC)


def _wait(store: FakeStore, job: FakeJob, start: datetime | None) -> None:
    """Let it wait for its new time, or where its time has come behind all others of its priority."""
    if start is not None:
        job.due_at = start
    if job.due_at > store.now:
        job.state = JobState.RETRYING if job.state is JobState.RETRYING else JobState.SCHEDULED
        job.waits_from = None
    else:
        job.state, job.waits_from, job.waits = JobState.PENDING, store.now, store.turn()
