"""Fields of messages in, values of the domain out, each checked against its bound with the path of the field, and back.

JobSpecs are read in `specs`, ids in `ids`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from protojobs.v1 import job_pb2

from protojobs_service.domain import bounds
from protojobs_service.domain.errors import InvalidField
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.retry import Jitter, PolicyChanges
from protojobs_service.transport.status import MalformedMessage

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_NANOS = 1_000_000_000
_MIN_SECONDS, _MAX_SECONDS = -62_135_596_800, 253_402_300_799

NO_CHANGES = PolicyChanges()


def parse_policy(message: Any, retry: str, run_timeout: str) -> PolicyChanges:
    """Return what a spec or a queue sets of the policy; the names are those of its fields. Raises InvalidField."""
    changes: dict[str, Any] = {}
    if message.HasField(run_timeout):
        span = getattr(message, run_timeout)
        changes["run_timeout"] = parse_span(run_timeout, span, bounds.MIN_RUN_TIMEOUT, bounds.MAX_RUN_TIMEOUT)
    return replace(parse_retry(message, retry), **changes)


def parse_retry(message: Any, retry: str) -> PolicyChanges:
    """Return what the field `retry` sets of the policy. Raises InvalidField."""
    return PolicyChanges(**_parse_retry(retry, getattr(message, retry))) if message.HasField(retry) else NO_CHANGES


def _parse_retry(path: str, retry: job_pb2.RetryPolicy) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if retry.HasField("max_retries"):
        if retry.max_retries > bounds.MAX_RETRIES:
            raise InvalidField(f"{path}.max_retries", f"must be 0 to {bounds.MAX_RETRIES}")
        changes["max_retries"] = retry.max_retries
    for name in ("initial_backoff", "max_backoff", "max_retry_duration"):
        if retry.HasField(name):
            changes[name] = parse_span(f"{path}.{name}", getattr(retry, name), timedelta(), bounds.MAX_BACKOFF)
    if retry.HasField("multiplier"):
        # Written so that NaN is refused too.
        if not bounds.MIN_MULTIPLIER <= retry.multiplier <= bounds.MAX_MULTIPLIER:
            raise InvalidField(f"{path}.multiplier", f"must be {bounds.MIN_MULTIPLIER} to {bounds.MAX_MULTIPLIER}")
        changes["multiplier"] = retry.multiplier
    if retry.jitter:
        if retry.jitter not in (job_pb2.JITTER_FULL, job_pb2.JITTER_NONE):
            raise InvalidField(f"{path}.jitter", "is no known value")
        changes["jitter"] = Jitter(retry.jitter)
    return changes


def parse_spec(envelope: bytes) -> job_pb2.JobSpec:
    """Return the whole JobSpec. Raises MalformedMessage."""
    try:
        return job_pb2.JobSpec.FromString(envelope)
    except DecodeError:
        raise MalformedMessage("the bytes are not a JobSpec") from None


def with_payload(envelope: bytes, payload: bytes, content_type: str) -> bytes:
    """Return the envelope with another payload, and another content type if one is given."""
    spec = parse_spec(envelope)
    spec.payload = payload
    if content_type:
        spec.content_type = content_type
    return spec.SerializeToString()


def check_name(field: str, text: str) -> str:
    """Return `text` if it may name a queue or a kind. Raises InvalidField."""
    if not bounds.NAME.match(text):
        raise InvalidField(field, "must be 1 to 128 of A-Z a-z 0-9 . _ -")
    return text


def parse_queue(field: str, text: str) -> str:
    """Return the name of a queue that is not optional. Raises InvalidField."""
    return check_name(field, text)


def check_text(field: str, text: str, max_bytes: int) -> str:
    """Return `text` if it is short enough for the contract and has no NUL. Raises InvalidField."""
    if len(text.encode()) > max_bytes:
        raise InvalidField(field, f"at most {max_bytes} bytes")
    if "\0" in text:
        raise InvalidField(field, "must not hold NUL")
    return text


def parse_labels(labels: Mapping[str, str], field: str = "labels") -> dict[str, str]:
    """Return labels. Raises InvalidField, with the key where it can be shown."""
    if len(labels) > bounds.MAX_LABELS:
        raise InvalidField(field, f"at most {bounds.MAX_LABELS} labels")
    for key, value in labels.items():
        if not bounds.LABEL_KEY.match(key):
            raise InvalidField(field, "keys must be 1 to 63 of A-Z a-z 0-9 . _ -")
        check_text(f"{field}[{key}]", value, bounds.MAX_LABEL_VALUE_BYTES)
    return dict(labels)


def parse_span(field: str, span: Duration, low: timedelta, high: timedelta) -> timedelta:
    """Return a Duration, cut to microseconds, if it is well-formed and within the bounds. Raises InvalidField."""
    seconds, nanos = span.seconds, span.nanos
    if not -_NANOS < nanos < _NANOS or (seconds > 0 > nanos) or (seconds < 0 < nanos):
        raise InvalidField(field, "is not a valid Duration")
    if not _to_nanos(low) <= seconds * _NANOS + nanos <= _to_nanos(high):
        raise InvalidField(field, f"must be {format_span(low)} to {format_span(high)}")
    return timedelta(seconds=seconds, microseconds=nanos // 1000)


def parse_optional_span(message: Message, field: str, default: timedelta, high: timedelta) -> timedelta:
    """Return a Duration field from 0 s to `high`, or `default` where it is unset. Raises InvalidField."""
    if not message.HasField(field):
        return default
    return parse_span(field, getattr(message, field), timedelta(), high)


def parse_time(field: str, time: Timestamp) -> datetime:
    """Return a Timestamp, cut to microseconds, if it is well-formed. Raises InvalidField."""
    if not (_MIN_SECONDS <= time.seconds <= _MAX_SECONDS and 0 <= time.nanos < _NANOS):
        raise InvalidField(field, "is not a valid Timestamp")
    return EPOCH + timedelta(seconds=time.seconds, microseconds=time.nanos // 1000)


def parse_run_time(field: str, time: Timestamp, now: datetime) -> datetime:
    """Return when a job may start. Raises InvalidField beyond 10 years from `now`."""
    at = parse_time(field, time)
    if at > now + bounds.MAX_DELAY:
        raise InvalidField(field, f"must be at most {format_span(bounds.MAX_DELAY)} ahead")
    return at


def parse_expire_time(field: str, time: Timestamp, now: datetime) -> datetime:
    """Return when a job expires. One in the past is right: a retried dispatch must not be refused for being late."""
    at = parse_time(field, time)
    # A job may start 10 years ahead; stores add to this time, which must not leave the calendar.
    if at > now + 2 * bounds.MAX_DELAY:
        raise InvalidField(field, f"must be at most {format_span(2 * bounds.MAX_DELAY)} ahead")
    return at


def parse_states(field: str, values: Sequence[int]) -> list[State]:
    """Return states. Raises InvalidField for one that is unset or unknown."""
    known = State._value2member_map_
    for place, value in enumerate(values):
        if value not in known:
            raise InvalidField(f"{field}[{place}]", "is no known state")
    return [State(value) for value in values]


def parse_page_size(value: int) -> int:
    """Return the size of a page. Raises InvalidField."""
    if value > bounds.MAX_PAGE_SIZE:
        raise InvalidField("page_size", f"must be 1 to {bounds.MAX_PAGE_SIZE}, or 0 for the default")
    return value or bounds.DEFAULT_PAGE_SIZE


def to_timestamp(at: datetime) -> Timestamp:
    """Return an aware time as a Timestamp."""
    since = at - EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def to_duration(span: timedelta) -> Duration:
    """Return a span as a Duration."""
    duration = Duration()
    duration.FromTimedelta(span)
    return duration


def format_span(span: timedelta) -> str:
    """Return a span as the contract's comments write it: 0 s, 30 days, 10 years."""
    seconds = int(span.total_seconds())
    for unit, size in (("years", 31_536_000), ("days", 86_400)):
        if seconds and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _to_nanos(span: timedelta) -> int:
    return (span.days * 86_400 + span.seconds) * _NANOS + span.microseconds * 1000
