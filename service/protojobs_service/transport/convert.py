"""Protobuf in, domain out: the only file that knows how a job looks on the wire.

Every bound of the contract is checked here, once, with the path of the field. The road of a common job (id, queue, kind, payload,
content type, headers, priority) never leaves `Specs.draft`; everything rarer is read by `_Rare`.
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from protojobs.v1 import job_pb2
from uuid_utils import UUID, uuid7

from protojobs_service.domain import bounds
from protojobs_service.domain.errors import InvalidField, PayloadTooLarge, Unsupported
from protojobs_service.domain.job import Draft, JobId, NewJob
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.retry import Jitter, PolicyChanges
from protojobs_service.transport.status import MalformedMessage

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATER = "comes with a later version"

_CACHED_NAMES = 4096
_NANOS = 1_000_000_000
_MIN_SECONDS, _MAX_SECONDS = -62_135_596_800, 253_402_300_799
# Tag and length of JobSpec.id: appended to an envelope it replaces the id, because the last value of a field wins.
_ID_PREFIX = b"\x0a\x24"
# 65 headers with different keys need more bytes than this.
_TOO_SMALL_FOR_MANY_HEADERS = 320
_LATER_FIELDS = ("unique", "fairness_key", "concurrency_key", "result_retention", "on_complete", "on_failed")

_new: Any = vars(tuple)["__new__"]


def _head_class() -> Any:
    """Return JobSpec as the common job needs it: everything rare is one oneof of unparsed bytes, so one question finds it.

    Strings and headers keep their types: their UTF-8 must be checked before an envelope is ever sent to a worker.
    """
    file = FileDescriptorProto(name="protojobs/head.proto", package="protojobs.head", syntax="proto3")
    head = file.message_type.add(name="Head")
    rare = head.oneof_decl.add(name="rare")
    assert rare.name
    string, raw, number = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_BYTES, FieldDescriptorProto.TYPE_UINT32
    one, many = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED
    for field in job_pb2.JobSpec.DESCRIPTOR.fields:
        match field.name:
            case "id" | "queue" | "kind" | "content_type":
                head.field.add(name=field.name, number=field.number, type=string, label=one)
            case "payload":
                head.field.add(name=field.name, number=field.number, type=raw, label=one)
            case "priority":
                head.field.add(name=field.name, number=field.number, type=number, label=one)
            case "headers":
                entry = head.nested_type.add(name="HeadersEntry")
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, type=string, label=one)
                entry.field.add(name="value", number=2, type=string, label=one)
                kind = ".protojobs.head.Head.HeadersEntry"
                message = FieldDescriptorProto.TYPE_MESSAGE
                head.field.add(name=field.name, number=field.number, type=message, label=many, type_name=kind)
            case _:
                head.field.add(name=field.name, number=field.number, type=raw, label=one, oneof_index=0)
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("protojobs.head.Head"))


_Head = _head_class()


class Specs:
    """Reads JobSpecs into drafts. Names that were checked before are remembered, up to a bound."""

    def __init__(self, limits: bounds.Limits, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._max_payload = limits.max_payload_bytes
        # An envelope that is no larger than a bound cannot hold a field that breaks it.
        self._small = min(limits.max_payload_bytes, bounds.MAX_HEADER_BYTES)
        self._clock = clock
        self._queues: dict[str, str] = {}
        self._kinds: dict[str, str] = {}
        self._types: set[str] = {"", bounds.DEFAULT_CONTENT_TYPE}

    def draft(self, envelope: bytes) -> Draft:
        """Return the job that a JobSpec's bytes ask for, with an id if it had none.

        Raises MalformedMessage, PayloadTooLarge, Unsupported, and InvalidField with a path inside the spec.
        """
        try:
            head = _Head.FromString(envelope)
        except DecodeError:
            raise MalformedMessage("the bytes are not a JobSpec") from None
        queue = self._queues.get(head.queue) or self._check_queue(head.queue)
        kind = self._kinds.get(head.kind) or self._check_kind(head.kind)
        priority = head.priority
        if not priority:
            priority = bounds.DEFAULT_PRIORITY
        elif priority > bounds.MAX_PRIORITY:
            raise InvalidField("priority", f"must be {bounds.MIN_PRIORITY} to {bounds.MAX_PRIORITY}, or 0 for the default")
        size = len(envelope)
        if size > _TOO_SMALL_FOR_MANY_HEADERS and (size > self._small or len(head.headers) > bounds.MAX_HEADERS):
            self._check_sizes(head)
        if head.content_type not in self._types:
            self._check_type(head.content_type)
        text = head.id
        if text:
            job_id = parse_id(text)
        else:
            made = uuid7()
            job_id = JobId(made.bytes)
            envelope += _ID_PREFIX + str(made).encode()
        if head.WhichOneof("rare") is None:
            # Half the price of NewJob(...), which every dispatched job would pay.
            job = _new(NewJob, (job_id, queue, kind, priority, envelope, None, None, None, None, None, None))
            draft: Draft = _new(Draft, (job, None))
            return draft
        return _Rare(parse_spec(envelope), self._clock()).draft(NewJob(job_id, queue, kind, priority, envelope))

    def check_payload(self, size: int) -> None:
        """Raise PayloadTooLarge for a payload of that many bytes."""
        if size > self._max_payload:
            raise PayloadTooLarge(size, self._max_payload)

    def _check_queue(self, name: str) -> str:
        if not name:
            return bounds.DEFAULT_QUEUE
        return _remember(self._queues, check_name("queue", name))

    def _check_kind(self, name: str) -> str:
        return _remember(self._kinds, check_name("kind", name))

    def _check_type(self, text: str) -> None:
        check_text("content_type", text, bounds.MAX_CONTENT_TYPE_BYTES)
        if len(self._types) < _CACHED_NAMES:
            self._types.add(text)

    def _check_sizes(self, head: Any) -> None:
        self.check_payload(len(head.payload))
        headers: Mapping[str, str] = head.headers
        if len(headers) > bounds.MAX_HEADERS:
            raise InvalidField("headers", f"at most {bounds.MAX_HEADERS} entries")
        if sum(len(key.encode()) + len(value.encode()) for key, value in headers.items()) > bounds.MAX_HEADER_BYTES:
            raise InvalidField("headers", f"at most {bounds.MAX_HEADER_BYTES} bytes in all")


class _Rare:
    """Reads what few jobs set, from the whole spec. Its messages are those of the contract's comments."""

    def __init__(self, spec: job_pb2.JobSpec, now: datetime) -> None:
        self._spec = spec
        self._now = now

    def draft(self, job: NewJob) -> Draft:
        """Return `job` with everything that the spec sets besides. Raises InvalidField, Unsupported."""
        self._refuse_later_fields()
        delay, run_at = self._start()
        expire_at = self._expiry(run_at)
        job = job._replace(delay=delay, run_at=run_at, expire_at=expire_at, labels=parse_labels(self._spec.labels) or None)
        changes = parse_policy(self._spec, "retry", "run_timeout")
        return Draft(job, None if changes == NO_CHANGES else changes)

    def _refuse_later_fields(self) -> None:
        for field, _ in self._spec.ListFields():
            if field.name in _LATER_FIELDS:
                raise Unsupported(field.name, LATER)

    def _start(self) -> tuple[timedelta | None, datetime | None]:
        match self._spec.WhichOneof("start"):
            case "delay":
                return parse_span("delay", self._spec.delay, timedelta(), bounds.MAX_DELAY) or None, None
            case "run_time":
                return None, parse_run_time("run_time", self._spec.run_time, self._now)
            case _:
                return None, None

    def _expiry(self, run_at: datetime | None) -> datetime | None:
        if not self._spec.HasField("expire_time"):
            return None
        expire_at = parse_expire_time("expire_time", self._spec.expire_time, self._now)
        if run_at is not None and expire_at <= run_at:
            raise InvalidField("expire_time", "must be after run_time")
        return expire_at


NO_CHANGES = PolicyChanges()


def parse_policy(message: Any, retry: str, run_timeout: str) -> PolicyChanges:
    """Return what a spec or a queue sets of the policy; the names are those of its fields. Raises InvalidField."""
    changes: dict[str, Any] = {}
    if message.HasField(run_timeout):
        span = getattr(message, run_timeout)
        changes["run_timeout"] = parse_span(run_timeout, span, bounds.MIN_RUN_TIMEOUT, bounds.MAX_RUN_TIMEOUT)
    if message.HasField(retry):
        changes |= _parse_retry(retry, getattr(message, retry))
    return PolicyChanges(**changes)


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


def fingerprint(queue: str, kind: str, envelope: bytes) -> bytes:
    """Return 16 bytes over queue, kind, content type and payload of an envelope, defaults applied, lengths prefixed."""
    head = _Head.FromString(envelope)
    parts = (queue.encode(), kind.encode(), (head.content_type or bounds.DEFAULT_CONTENT_TYPE).encode(), head.payload)
    digest = blake2b(digest_size=16)
    digest.update(b"".join(len(part).to_bytes(8, "big") for part in parts))
    for part in parts:
        digest.update(part)
    return digest.digest()


def with_payload(envelope: bytes, payload: bytes, content_type: str) -> bytes:
    """Return the envelope with another payload, and another content type if one is given."""
    spec = parse_spec(envelope)
    spec.payload = payload
    if content_type:
        spec.content_type = content_type
    return spec.SerializeToString()


def parse_id(text: str, field: str = "id") -> JobId:
    """Return the bytes of a UUIDv7 in canonical form. Raises InvalidField."""
    # The length excludes braces and other forms that UUID takes; capitals are left to exclude.
    if len(text) == 36 and text[14] == "7" and text[19] in "89ab" and (text.islower() or text == text.lower()):
        try:
            return JobId(UUID(text).bytes)
        except ValueError:
            pass
    raise InvalidField(field, "must be a UUIDv7 in canonical form")


def format_id(value: bytes) -> str:
    """Return the canonical text of an id."""
    return str(UUID(bytes=value))


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


class Pages:
    """Makes and reads page tokens, each bound to the request that it came from (but for size and token)."""

    def __init__(self, request: Message, *unbound: str) -> None:
        twin = type(request)()
        twin.CopyFrom(request)
        for field in ("page_size", "page_token", "continuation_token", *unbound):
            if field in twin.DESCRIPTOR.fields_by_name:
                twin.ClearField(field)
        name = request.DESCRIPTOR.full_name.encode()
        self._seal = blake2b(twin.SerializeToString(deterministic=True), key=name[:64], digest_size=8).digest()

    def token(self, place: bytes) -> str:
        """Return the token of a page that begins after `place`."""
        return base64.urlsafe_b64encode(self._seal + place).decode().rstrip("=")

    def place(self, token: str, field: str = "page_token") -> bytes | None:
        """Return where to go on, None at the start. Raises InvalidField for a token of another request."""
        if not token:
            return None
        if not re.fullmatch(r"[A-Za-z0-9_-]{11,512}", token):
            raise InvalidField(field, "is not a token of this call")
        data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)) if len(token) % 4 != 1 else b""
        if data[:8] != self._seal:
            raise InvalidField(field, "is a token of another request")
        return data[8:]


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


def _remember(names: dict[str, str], name: str) -> str:
    if len(names) >= _CACHED_NAMES:
        names.clear()
    names[name] = name
    return name
