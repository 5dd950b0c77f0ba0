"""A JobSpec as people write it, proto3 JSON, into what the client dispatches."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import Parse
from google.protobuf.timestamp_pb2 import Timestamp
from protojobs.v1 import job_pb2
from protojobs_client import DispatchOptions, Jitter, JobRequest, OnConflict, RetryPolicy, Unique, UniqueScope


def read_spec(place: str | None) -> job_pb2.JobSpec:
    """Read a file, or standard input for "-"; without either, a job of kind `echo`. Raises ValueError for what is no JobSpec."""
    if place is None:
        return job_pb2.JobSpec(kind="echo")
    text = sys.stdin.read() if place == "-" else Path(place).read_text()
    return Parse(text, job_pb2.JobSpec())


def to_request(spec: job_pb2.JobSpec, queue: str) -> JobRequest:
    """Return the dispatch that asks for such a job on a queue."""
    options: DispatchOptions = {
        "queue": queue,
        "payload": spec.payload,
        "headers": dict(spec.headers),
        "labels": dict(spec.labels),
        "on_complete": [to_request(each, each.queue or queue) for each in spec.on_complete],
        "on_failed": [to_request(each, each.queue or queue) for each in spec.on_failed],
    }
    if spec.id:
        options["job_id"] = spec.id
    if spec.content_type:
        options["content_type"] = spec.content_type
    if spec.priority:
        options["priority"] = spec.priority
    if spec.HasField("delay"):
        options["delay"] = spec.delay.ToTimedelta()
    if spec.HasField("run_time"):
        options["run_at"] = _moment(spec.run_time)
    if spec.HasField("run_timeout"):
        options["run_timeout"] = spec.run_timeout.ToTimedelta()
    if spec.HasField("retry"):
        options["retry"] = _retry(spec.retry)
    if spec.HasField("expire_time"):
        options["expire_at"] = _moment(spec.expire_time)
    if spec.HasField("unique"):
        options["unique"] = _unique(spec.unique)
    if spec.fairness_key:
        options["fairness_key"] = spec.fairness_key
    if spec.concurrency_key:
        options["concurrency_key"] = spec.concurrency_key
    if spec.HasField("result_retention"):
        options["result_retention"] = spec.result_retention.ToTimedelta()
    return JobRequest(spec.kind).with_options(**options)


def _retry(policy: job_pb2.RetryPolicy) -> RetryPolicy:
    return RetryPolicy(
        max_retries=policy.max_retries if policy.HasField("max_retries") else None,
        initial_backoff=_span(policy.initial_backoff) if policy.HasField("initial_backoff") else None,
        multiplier=policy.multiplier if policy.HasField("multiplier") else None,
        max_backoff=_span(policy.max_backoff) if policy.HasField("max_backoff") else None,
        jitter=Jitter[_word(job_pb2.Jitter.Name(policy.jitter), "JITTER_")] if policy.jitter else None,
        max_retry_duration=_span(policy.max_retry_duration) if policy.HasField("max_retry_duration") else None,
    )


def _unique(unique: job_pb2.Unique) -> Unique:
    conflict = _word(job_pb2.UniqueConflict.Name(unique.on_conflict), "UNIQUE_CONFLICT_")
    return Unique(
        unique.key,
        scope=UniqueScope[_word(job_pb2.UniqueScope.Name(unique.scope), "UNIQUE_SCOPE_")],
        window=_span(unique.window) if unique.HasField("window") else None,
        on_conflict=OnConflict[conflict] if unique.on_conflict else OnConflict.REJECT,
    )


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix)


def _span(duration: Duration) -> timedelta:
    return duration.ToTimedelta()


def _moment(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(UTC)
