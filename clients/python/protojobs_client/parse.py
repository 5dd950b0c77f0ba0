"""Reads protobuf answers into our values, which is where the messages end."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TypeVar

from google.protobuf.message import Message
from protojobs.v1 import job_pb2, job_service_pb2, queue_service_pb2, server_service_pb2, worker_service_pb2

from protojobs_client.ids import JobId
from protojobs_client.models import (
    Aging,
    AttemptInfo,
    AttemptOutcome,
    Capability,
    EventLevel,
    Fairness,
    History,
    Jitter,
    JobErrorInfo,
    JobInfo,
    JobState,
    LimitedBy,
    Limits,
    NoWorkerKind,
    Overflow,
    ProgressInfo,
    QueueInfo,
    QueueStats,
    RateLimit,
    Retention,
    RetryPolicy,
    RunningJobInfo,
    ServerInfo,
    WorkerInfo,
)
from protojobs_client.outcome import Dispatched, DispatchOutcome, DispatchResult, Refused
from protojobs_client.statuses import from_status

EnumT = TypeVar("EnumT", bound=Enum)

_JITTERS = {job_pb2.JITTER_FULL: Jitter.FULL, job_pb2.JITTER_NONE: Jitter.NONE}
_OUTCOMES: dict[int, DispatchOutcome] = {
    job_service_pb2.DISPATCH_OUTCOME_EXISTING: DispatchOutcome.EXISTING,
    job_service_pb2.DISPATCH_OUTCOME_REPLACED: DispatchOutcome.REPLACED,
}


def _numbers(items: Iterable[tuple[str, int]], prefix: str, kind: type[EnumT]) -> dict[int, EnumT]:
    """Map the numbers of a protobuf enum to ours by name."""
    return {number: kind[name.removeprefix(prefix)] for name, number in items if name.removeprefix(prefix) in kind.__members__}


_LEVELS = _numbers(queue_service_pb2.EventLevel.items(), "EVENT_LEVEL_", EventLevel)
_STATES = _numbers(job_pb2.JobState.items(), "JOB_STATE_", JobState)
_HISTORIES = _numbers(queue_service_pb2.History.items(), "HISTORY_", History)
_OVERFLOWS = _numbers(queue_service_pb2.Overflow.items(), "OVERFLOW_", Overflow)
_ATTEMPT_OUTCOMES = _numbers(job_pb2.AttemptOutcome.items(), "ATTEMPT_OUTCOME_", AttemptOutcome)


def job_state(number: int) -> JobState:
    """Return the state; UNKNOWN for one that a later version may know."""
    return _STATES.get(number, JobState.UNKNOWN)


def dispatched(answer: job_service_pb2.DispatchResponse) -> Dispatched:
    """Read the answer to one dispatch."""
    return Dispatched(job_id=JobId(answer.job_id), outcome=_outcome(answer.outcome))


def dispatch_result(answer: job_service_pb2.DispatchResult, job_id: JobId) -> DispatchResult:
    """Read the answer to one item of a batch or stream, sent with this id."""
    outcome = answer.outcome
    if outcome == job_service_pb2.DISPATCH_OUTCOME_CREATED:  # under the id that was sent
        return Dispatched(job_id)
    if answer.HasField("error"):
        return Refused(job_id=job_id, error=from_status(answer.error))
    return Dispatched(JobId(answer.job_id or job_id), _outcome(outcome))


def job_info(job: job_pb2.Job, *, full: bool) -> JobInfo:
    """Read a job; `full` tells whether it was asked for with payload, headers and result."""
    spec = job.spec
    return JobInfo(
        id=JobId(job.id),
        kind=spec.kind,
        queue=spec.queue,
        state=job_state(job.state),
        priority=spec.priority or 5,
        attempt=job.attempt,
        failures=job.failures,
        crashes=job.crashes,
        created_at=time_of(job, "create_time"),
        next_at=time_of(job, "next_time"),
        started_at=time_of(job, "start_time"),
        finished_at=time_of(job, "finish_time"),
        expire_at=time_of(spec, "expire_time"),
        worker=job.worker,
        reason=job.reason,
        labels=dict(spec.labels),
        fairness_key=spec.fairness_key or None,
        concurrency_key=spec.concurrency_key or None,
        content_type=spec.content_type,
        retry=retry_policy(job.retry),
        run_timeout=span_of(job, "run_timeout"),
        cancel_requested=job.cancel_requested,
        parent_job_id=JobId(job.parent_job_id) if job.parent_job_id else None,
        progress=_progress(job.progress) if job.HasField("progress") else None,
        last_error=_error(job.last_error) if job.HasField("last_error") else None,
        payload=spec.payload if full else None,
        headers=dict(spec.headers) if full else None,
        result=job.result if full else None,
    )


def attempt_info(attempt: job_pb2.Attempt) -> AttemptInfo:
    """Read an attempt."""
    return AttemptInfo(
        job_id=JobId(attempt.job_id),
        attempt=attempt.attempt,
        outcome=_ATTEMPT_OUTCOMES.get(attempt.outcome, AttemptOutcome.UNKNOWN),
        worker=attempt.worker,
        reason=attempt.reason,
        started_at=time_of(attempt, "start_time"),
        finished_at=time_of(attempt, "finish_time"),
        error=_error(attempt.error) if attempt.HasField("error") else None,
        retried_by_hand=attempt.retried_by_hand,
    )


def retry_policy(policy: job_pb2.RetryPolicy) -> RetryPolicy:
    """Read a retry policy."""
    return RetryPolicy(
        max_retries=policy.max_retries if policy.HasField("max_retries") else None,
        initial_backoff=span_of(policy, "initial_backoff"),
        multiplier=policy.multiplier if policy.HasField("multiplier") else None,
        max_backoff=span_of(policy, "max_backoff"),
        jitter=_JITTERS.get(policy.jitter),
        max_retry_duration=span_of(policy, "max_retry_duration"),
    )


def queue_info(queue: queue_service_pb2.Queue) -> QueueInfo:
    """Read a queue and its settings."""
    return QueueInfo(
        name=queue.name,
        paused=queue.paused,
        retry=retry_policy(queue.retry),
        run_timeout=span_of(queue, "run_timeout"),
        retention=Retention(
            completed=span_of(queue.retention, "completed"),
            failed=span_of(queue.retention, "failed"),
            cancelled=span_of(queue.retention, "cancelled"),
        ),
        strict_leases=queue.strict_leases,
        max_in_flight=queue.max_in_flight or None,
        rate_limit=rate_limit(queue.rate_limit) if queue.HasField("rate_limit") else None,
        max_depth=queue.max_depth or None,
        overflow=_OVERFLOWS.get(queue.overflow, Overflow.REJECT),
        max_payload_bytes=queue.max_payload_bytes or None,
        history=_HISTORIES.get(queue.history, History.ALL),
        events=_LEVELS.get(queue.events, EventLevel.FINAL),
        per_key_limit=queue.per_key_limit or 1,
        fairness=Fairness(enabled=queue.fairness.enabled, weights=dict(queue.fairness.weights)),
        priority=Aging(queue.aging_interval.ToTimedelta()) if queue.HasField("aging_interval") else None,
        created_at=time_of(queue, "create_time"),
        updated_at=time_of(queue, "update_time"),
    )


def rate_limit(limit: queue_service_pb2.RateLimit) -> RateLimit:
    """Read the rate of a queue."""
    return RateLimit(per_second=limit.per_second, burst=limit.burst)


def queue_stats(stats: queue_service_pb2.QueueStats) -> QueueStats:
    """Read the numbers of a queue."""
    counts, limits = stats.counts, stats.limited_by
    return QueueStats(
        queue=stats.queue,
        scheduled=counts.scheduled,
        pending=counts.pending,
        running=counts.running,
        retrying=counts.retrying,
        completed=counts.completed,
        failed=counts.failed,
        cancelled=counts.cancelled,
        expired=counts.expired,
        oldest_pending_age=span_of(stats, "oldest_pending_age"),
        completed_per_second_1m=stats.completed_per_second_1m,
        completed_per_second_5m=stats.completed_per_second_5m,
        failed_per_second_1m=stats.failed_per_second_1m,
        failed_per_second_5m=stats.failed_per_second_5m,
        average_run_time=span_of(stats, "average_run_time"),
        p95_run_time=span_of(stats, "p95_run_time"),
        workers=stats.workers,
        open_window=stats.open_window,
        limited_by=LimitedBy(
            paused=limits.paused,
            rate=limits.rate,
            concurrency=limits.concurrency,
            no_worker_kinds=tuple(
                NoWorkerKind(kind=kind.kind, pending=kind.pending, oldest_at=time_of(kind, "oldest_time"))
                for kind in limits.no_worker_kinds
            ),
        ),
        paused=stats.paused,
        approximate=stats.approximate,
    )


def worker_info(worker: worker_service_pb2.Worker) -> WorkerInfo:
    """Read a worker session."""
    return WorkerInfo(
        session=worker.session,
        worker=worker.worker,
        sdk=worker.sdk,
        sdk_version=worker.sdk_version,
        queues=tuple(worker.queues),
        kinds=tuple(worker.kinds),
        slots_total=worker.slots_total,
        slots_used=worker.slots_used,
        heartbeat_at=time_of(worker, "heartbeat_time"),
        started_at=time_of(worker, "start_time"),
        running=tuple(
            RunningJobInfo(
                job_id=JobId(job.job_id),
                kind=job.kind,
                queue=job.queue,
                attempt=job.attempt,
                started_at=time_of(job, "start_time"),
            )
            for job in worker.running
        ),
        draining=worker.draining,
    )


def server_info(answer: server_service_pb2.GetServerInfoResponse) -> ServerInfo:
    """Read what the server is and can do."""
    limits = answer.limits
    return ServerInfo(
        version=answer.version,
        driver=answer.driver,
        server_id=answer.server_id,
        min_client_version=answer.min_client_version,
        capabilities=tuple(
            Capability(name=capability.name, available=capability.available, reason=capability.reason)
            for capability in answer.capabilities
        ),
        limits=Limits(
            max_payload_bytes=limits.max_payload_bytes,
            max_receive_bytes=limits.max_receive_bytes,
            max_batch_items=limits.max_batch_items,
            max_header_bytes=limits.max_header_bytes,
            max_labels=limits.max_labels,
            max_result_bytes=limits.max_result_bytes,
            max_page_size=limits.max_page_size,
            max_in_flight=limits.max_in_flight,
            id_ahead=span_of(limits, "id_ahead"),
            id_window=span_of(limits, "id_window"),
            session_ttl=span_of(limits, "session_ttl"),
        ),
        server_time=time_of(answer, "server_time"),
    )


def snapshot_at(answer: queue_service_pb2.StatsResponse) -> datetime | None:
    """Read when the numbers were taken."""
    return time_of(answer, "snapshot_time")


def _outcome(number: int) -> DispatchOutcome:
    return _OUTCOMES.get(number, DispatchOutcome.CREATED)


def _progress(progress: job_pb2.Progress) -> ProgressInfo:
    return ProgressInfo(ratio=progress.ratio, message=progress.message, updated_at=time_of(progress, "update_time"))


def _error(error: job_pb2.JobError) -> JobErrorInfo:
    return JobErrorInfo(type=error.type, message=error.message, stack=error.stack)


def time_of(message: Message, field: str) -> datetime | None:
    """Read a Timestamp field; None where it is unset."""
    return getattr(message, field).ToDatetime(tzinfo=UTC) if message.HasField(field) else None


def span_of(message: Message, field: str) -> timedelta | None:
    """Read a Duration field; None where it is unset."""
    return getattr(message, field).ToTimedelta() if message.HasField(field) else None
