"""Domain in, protobuf out: records as the contract shows them."""

from collections.abc import Mapping

from protojobs.v1 import job_pb2, queue_service_pb2

from protojobs_service.application.queues import QueueStats
from protojobs_service.domain.job import AttemptRecord, JobRecord, Progress
from protojobs_service.domain.lifecycle import RETAKEN, Code, State
from protojobs_service.domain.outcome import JobError
from protojobs_service.domain.queue import Fairness, QueueSettings
from protojobs_service.domain.retry import Policy, PolicyChanges
from protojobs_service.transport.chains import strip
from protojobs_service.transport.convert import parse_spec, to_duration, to_timestamp
from protojobs_service.transport.ids import format_id
from protojobs_service.transport.queue_history import set_kept
from protojobs_service.transport.queue_limits import set_limits

OUTCOMES: Mapping[Code, job_pb2.AttemptOutcome.ValueType] = {
    Code.COMPLETED: job_pb2.ATTEMPT_OUTCOME_COMPLETED,
    Code.FAILED: job_pb2.ATTEMPT_OUTCOME_FAILED,
    Code.CANCELLED: job_pb2.ATTEMPT_OUTCOME_CANCELLED,
    Code.EXPIRED: job_pb2.ATTEMPT_OUTCOME_EXPIRED,
    Code.DELETED: job_pb2.ATTEMPT_OUTCOME_UNSPECIFIED,
    Code.RETRIED: job_pb2.ATTEMPT_OUTCOME_RETRIED,
    Code.SNOOZED: job_pb2.ATTEMPT_OUTCOME_SNOOZED,
    Code.RELEASED: job_pb2.ATTEMPT_OUTCOME_RELEASED,
    Code.CRASHED: job_pb2.ATTEMPT_OUTCOME_CRASHED,
    Code.COMPLETED_RETRIED: job_pb2.ATTEMPT_OUTCOME_COMPLETED,
    Code.FAILED_RETRIED: job_pb2.ATTEMPT_OUTCOME_FAILED,
    Code.CANCELLED_RETRIED: job_pb2.ATTEMPT_OUTCOME_CANCELLED,
    Code.EXPIRED_RETRIED: job_pb2.ATTEMPT_OUTCOME_EXPIRED,
}

STATES: Mapping[State, job_pb2.JobState.ValueType] = {
    State.SCHEDULED: job_pb2.JOB_STATE_SCHEDULED,
    State.PENDING: job_pb2.JOB_STATE_PENDING,
    State.RUNNING: job_pb2.JOB_STATE_RUNNING,
    State.RETRYING: job_pb2.JOB_STATE_RETRYING,
    State.COMPLETED: job_pb2.JOB_STATE_COMPLETED,
    State.FAILED: job_pb2.JOB_STATE_FAILED,
    State.CANCELLED: job_pb2.JOB_STATE_CANCELLED,
    State.EXPIRED: job_pb2.JOB_STATE_EXPIRED,
}


def state_of(state: State | None) -> job_pb2.JobState.ValueType:
    """Return a state as the wire has it; unspecified where there is none."""
    return job_pb2.JOB_STATE_UNSPECIFIED if state is None else STATES[state]


def to_job(record: JobRecord, *, full: bool, texts: bool = True) -> job_pb2.Job:
    """Return a job; without payload, headers, result and stack unless `full`, and of its error only the type unless `texts`."""
    job = job_pb2.Job(
        id=format_id(record.id),
        spec=_to_spec(record, full=full),
        state=STATES[record.state],
        attempt=record.attempt,
        failures=record.failures,
        crashes=record.crashes,
        create_time=to_timestamp(record.created_at),
        worker=record.worker,
        reason=record.reason,
        retry=to_retry(record.policy),
        run_timeout=to_duration(record.policy.run_timeout),
        cancel_requested=record.cancel_requested,
    )
    if record.next_at is not None:
        job.next_time.CopyFrom(to_timestamp(record.next_at))
    if record.started_at is not None:
        job.start_time.CopyFrom(to_timestamp(record.started_at))
    if record.finished_at is not None:
        job.finish_time.CopyFrom(to_timestamp(record.finished_at))
    if record.progress is not None:
        job.progress.CopyFrom(_to_progress(record.progress))
    if record.last_error is not None:
        job.last_error.CopyFrom(_to_error(record.last_error, full=full, texts=texts))
    if full and record.result is not None:
        job.result = record.result
    if record.parent is not None:
        job.parent_job_id = format_id(record.parent)
    return job


def _to_spec(record: JobRecord, *, full: bool) -> job_pb2.JobSpec:
    spec = parse_spec(record.envelope)
    if not full:
        strip(spec)
    # The record speaks where retention has emptied the envelope, and where the spec left a default unsaid.
    spec.id = format_id(record.id)
    spec.queue = record.queue
    spec.kind = record.kind
    spec.priority = record.priority
    if record.labels and not spec.labels:
        spec.labels.update(record.labels)
    return spec


def to_attempt(record: AttemptRecord, *, texts: bool = True) -> job_pb2.Attempt:
    """Return an attempt with its whole error; only its type unless `texts`."""
    attempt = job_pb2.Attempt(
        job_id=format_id(record.job_id),
        attempt=record.attempt,
        outcome=job_pb2.ATTEMPT_OUTCOME_RUNNING if record.outcome is None else OUTCOMES[record.outcome],
        worker=record.worker,
        retried_by_hand=record.outcome is not None and record.outcome > RETAKEN,
        reason=record.reason,
    )
    if record.started_at is not None:
        attempt.start_time.CopyFrom(to_timestamp(record.started_at))
    if record.finished_at is not None:
        attempt.finish_time.CopyFrom(to_timestamp(record.finished_at))
    if record.error is not None:
        attempt.error.CopyFrom(_to_error(record.error, full=True, texts=texts))
    return attempt


def _to_error(error: JobError, *, full: bool, texts: bool) -> job_pb2.JobError:
    if not texts:
        return job_pb2.JobError(type=error.type)
    return job_pb2.JobError(type=error.type, message=error.message, stack=error.stack if full else "")


def _to_progress(progress: Progress) -> job_pb2.Progress:
    return job_pb2.Progress(ratio=progress.ratio, message=progress.message, update_time=to_timestamp(progress.at))


def to_retry(policy: Policy) -> job_pb2.RetryPolicy:
    """Return a policy in force, all fields set but an unbounded max_retry_duration."""
    retry = job_pb2.RetryPolicy(
        max_retries=policy.max_retries,
        initial_backoff=to_duration(policy.initial_backoff),
        multiplier=policy.multiplier,
        max_backoff=to_duration(policy.max_backoff),
        jitter=job_pb2.Jitter.ValueType(policy.jitter.value),
    )
    if policy.max_retry_duration is not None:
        retry.max_retry_duration.CopyFrom(to_duration(policy.max_retry_duration))
    return retry


def to_queue(settings: QueueSettings) -> queue_service_pb2.Queue:
    """Return a queue; what nobody has set stays unset."""
    queue = queue_service_pb2.Queue(name=settings.name, paused=settings.paused, strict_leases=settings.strict_leases)
    queue.events = queue_service_pb2.EventLevel.ValueType(settings.events.value)
    queue.per_key_limit = settings.per_key_limit
    if settings.aging is not None:
        queue.priority_mode = queue_service_pb2.PRIORITY_MODE_AGING
        queue.aging_interval.CopyFrom(to_duration(settings.aging))
    if settings.fairness != Fairness():
        queue.fairness.enabled = settings.fairness.enabled
        queue.fairness.weights.update(settings.fairness.weights)
    _set_policy(queue, settings.retry)
    set_limits(queue, settings)
    set_kept(queue, settings)
    kept = settings.retention
    queue.retention.completed.CopyFrom(to_duration(kept.completed))
    queue.retention.failed.CopyFrom(to_duration(kept.failed))
    queue.retention.cancelled.CopyFrom(to_duration(kept.cancelled))
    if settings.created_at is not None:
        queue.create_time.CopyFrom(to_timestamp(settings.created_at))
    if settings.updated_at is not None:
        queue.update_time.CopyFrom(to_timestamp(settings.updated_at))
    return queue


def _set_policy(queue: queue_service_pb2.Queue, changes: PolicyChanges) -> None:
    if changes.run_timeout is not None:
        queue.run_timeout.CopyFrom(to_duration(changes.run_timeout))
    if changes.max_retries is not None:
        queue.retry.max_retries = changes.max_retries
    if changes.initial_backoff is not None:
        queue.retry.initial_backoff.CopyFrom(to_duration(changes.initial_backoff))
    if changes.multiplier is not None:
        queue.retry.multiplier = changes.multiplier
    if changes.max_backoff is not None:
        queue.retry.max_backoff.CopyFrom(to_duration(changes.max_backoff))
    if changes.jitter is not None:
        queue.retry.jitter = job_pb2.Jitter.ValueType(changes.jitter.value)
    if changes.max_retry_duration is not None:
        queue.retry.max_retry_duration.CopyFrom(to_duration(changes.max_retry_duration))


def to_stats(stats: QueueStats) -> queue_service_pb2.QueueStats:
    """Return the numbers of one queue; the age of the oldest job is set by the caller, who knows the snapshot's time."""
    numbers = stats.numbers
    counts = {state.name.lower(): count for state, count in numbers.counts.items()}
    result = queue_service_pb2.QueueStats(
        queue=numbers.queue,
        counts=queue_service_pb2.StateCounts(**counts),
        completed_per_second_1m=numbers.completed_1m,
        completed_per_second_5m=numbers.completed_5m,
        failed_per_second_1m=numbers.failed_1m,
        failed_per_second_5m=numbers.failed_5m,
        workers=numbers.workers,
        open_window=stats.open_window,
        paused=stats.paused,
        approximate=numbers.approximate,
    )
    result.limited_by.paused = stats.paused
    result.limited_by.rate, result.limited_by.concurrency = stats.by_rate, stats.by_concurrency or numbers.holds
    for kind, (pending, oldest_at) in sorted(stats.unserved.items()):
        entry = result.limited_by.no_worker_kinds.add(kind=kind, pending=pending)
        if oldest_at is not None:
            entry.oldest_time.CopyFrom(to_timestamp(oldest_at))
    if numbers.average_run_time is not None:
        result.average_run_time.CopyFrom(to_duration(numbers.average_run_time))
    if numbers.p95_run_time is not None:
        result.p95_run_time.CopyFrom(to_duration(numbers.p95_run_time))
    return result
