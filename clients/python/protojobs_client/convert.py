"""Makes protobuf messages of our values. What comes back is read in `parse`; messages go no further."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from protojobs.v1 import job_pb2, queue_service_pb2

from protojobs_client.models import Fairness, History, Jitter, JobState, Overflow, RateLimit, Retention, RetryPolicy
from protojobs_client.payload import JSON, Codec, Payload, PayloadContext, PlainCodec, encode_data
from protojobs_client.request import UNSET_RETRY, JobRequest, span
from protojobs_client.trace import with_trace
from protojobs_client.unique import Unique

DEFAULT_QUEUE = "default"  # the server's, for jobs that name none

_TRACE = ("traceparent", "tracestate", "baggage")
_JITTERS = {Jitter.FULL: job_pb2.JITTER_FULL, Jitter.NONE: job_pb2.JITTER_NONE}


def to_spec(request: JobRequest, *, job_id: str, headers: Mapping[str, str], codec: Codec) -> job_pb2.JobSpec:
    """Build the spec of a request.

    Raises TypeError or ValueError for data that cannot be encoded, and for text that is not Unicode.
    """
    options = request.options
    payload = _payload(request)
    if type(codec) is not PlainCodec:
        context = PayloadContext(kind=request.kind, queue=options.queue or DEFAULT_QUEUE, job_id=job_id)
        payload = codec.encode(payload, context)
    # Field by field: a third of the price of keyword arguments, most of which are not set.
    spec = job_pb2.JobSpec()
    spec.id = job_id
    spec.kind = request.kind
    spec.payload = payload.data
    spec.content_type = payload.content_type
    if options.queue:
        spec.queue = options.queue
    if options.priority:
        spec.priority = options.priority
    if headers:
        spec.headers.update(headers)
    if options.labels:
        spec.labels.update(options.labels)
    if options.delay is not None:
        spec.delay.FromTimedelta(options.delay)
    if options.run_at is not None:
        spec.run_time.CopyFrom(_timestamp(options.run_at))
    if options.run_timeout is not None:
        spec.run_timeout.FromTimedelta(options.run_timeout)
    if (retry := to_retry_policy(options.retry)) is not None:
        spec.retry.CopyFrom(retry)
    if options.expire_at is not None:
        spec.expire_time.CopyFrom(_timestamp(options.expire_at))
    if options.result_retention is not None:
        spec.result_retention.FromTimedelta(options.result_retention)
    if options.unique is not None:
        spec.unique.CopyFrom(_unique(options.unique))
    if options.fairness_key:
        spec.fairness_key = options.fairness_key
    if options.concurrency_key:
        spec.concurrency_key = options.concurrency_key
    if options.on_complete or options.on_failed:
        _add_follow_ups(spec, request, headers, codec)
    return spec


def _add_follow_ups(spec: job_pb2.JobSpec, request: JobRequest, headers: Mapping[str, str], codec: Codec) -> None:
    """Add the jobs that follow; they belong to the trace of the job that they follow."""
    trace = {name: headers[name] for name in _TRACE if name in headers}
    options = request.options
    for followers, found in ((options.on_complete, spec.on_complete), (options.on_failed, spec.on_failed)):
        found.extend(to_spec(each, job_id="", headers=with_trace(each.options.headers, trace), codec=codec) for each in followers)


def to_retry_policy(policy: RetryPolicy) -> job_pb2.RetryPolicy | None:
    """Return None for a policy that says nothing."""
    if policy is UNSET_RETRY or policy == UNSET_RETRY:
        return None
    return job_pb2.RetryPolicy(
        max_retries=policy.max_retries,
        initial_backoff=to_duration(policy.initial_backoff),
        multiplier=policy.multiplier,
        max_backoff=to_duration(policy.max_backoff),
        jitter=_JITTERS[policy.jitter] if policy.jitter else job_pb2.JITTER_UNSPECIFIED,
        max_retry_duration=to_duration(policy.max_retry_duration),
    )


def to_retention(retention: Retention) -> queue_service_pb2.Retention:
    """Return the message; a field that is None goes back to its default."""
    return queue_service_pb2.Retention(
        completed=to_duration(retention.completed),
        failed=to_duration(retention.failed),
        cancelled=to_duration(retention.cancelled),
    )


def to_rate_limit(limit: RateLimit) -> queue_service_pb2.RateLimit:
    """Return the message. Raises ValueError for a burst below 1, which the wire cannot say."""
    if limit.burst is not None and limit.burst < 1:
        raise ValueError("burst must be at least 1")
    return queue_service_pb2.RateLimit(per_second=limit.per_second, burst=limit.burst or 0)


def to_overflow(overflow: Overflow | None) -> "queue_service_pb2.Overflow.ValueType":
    """Return the number of a choice; None is the default."""
    name = "UNSPECIFIED" if overflow is None else overflow.name
    return queue_service_pb2.Overflow.Value(f"OVERFLOW_{name}")


def to_fairness(fairness: Fairness) -> queue_service_pb2.Fairness:
    """Return the message."""
    return queue_service_pb2.Fairness(enabled=fairness.enabled, weights=fairness.weights)


def to_history(history: History | None) -> "queue_service_pb2.History.ValueType":
    """Return the number of a choice; None is the default."""
    name = "UNSPECIFIED" if history is None else history.name
    return queue_service_pb2.History.Value(f"HISTORY_{name}")


def to_state(state: JobState) -> "job_pb2.JobState.ValueType":
    """Return the number of a state. Raises ValueError for UNKNOWN, which no job is in."""
    return job_pb2.JobState.Value(f"JOB_STATE_{state.name}")


def to_timestamp(moment: datetime | None) -> Timestamp | None:
    """Return the message, to the microsecond. Raises ValueError for a naive datetime."""
    return None if moment is None else _timestamp(moment)


def to_duration(span: timedelta | None) -> Duration | None:
    """Return the message, to the microsecond."""
    if span is None:
        return None
    duration = Duration()
    duration.FromTimedelta(span)
    return duration


def _unique(unique: Unique) -> job_pb2.Unique:
    window = None if unique.window is None else to_duration(span(unique.window))
    scope = job_pb2.UniqueScope.Value(f"UNIQUE_SCOPE_{unique.scope.name}")
    on_conflict = job_pb2.UniqueConflict.Value(f"UNIQUE_CONFLICT_{unique.on_conflict.name}")
    return job_pb2.Unique(key=unique.key, scope=scope, window=window, on_conflict=on_conflict)


def _timestamp(moment: datetime) -> Timestamp:
    if moment.tzinfo is None:
        raise ValueError("times must be aware: give the datetime a tzinfo")
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def _payload(request: JobRequest) -> Payload:
    raw, content_type = request.options.payload, request.options.content_type
    if raw is None:
        return encode_data(request.data, content_type)
    if request.data is not None:
        raise TypeError("data and payload exclude each other")
    return Payload(raw, content_type or JSON)
