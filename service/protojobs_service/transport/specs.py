"""JobSpecs in, drafts out: every bound of the contract is checked here, once, with the path of the field.

The road of a common job (id, queue, kind, payload, content type, headers, priority) never leaves `Specs`, and a batch of them is
read all at once; everything rarer is read by `_Rare`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from operator import attrgetter, methodcaller
from typing import Any, Literal, NamedTuple

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from protojobs.v1 import job_pb2, job_service_pb2
from uuid_utils import uuid7

from protojobs_service.domain import bounds
from protojobs_service.domain.errors import InvalidField, JobsError, PayloadTooLarge
from protojobs_service.domain.job import Draft, JobId, NewJob, make_tuple
from protojobs_service.domain.unique import Unique
from protojobs_service.transport.chains import FOLLOW_UPS, check_chain
from protojobs_service.transport.convert import (
    NO_CHANGES,
    check_name,
    check_text,
    parse_expire_time,
    parse_labels,
    parse_policy,
    parse_run_time,
    parse_span,
    parse_spec,
)
from protojobs_service.transport.ids import ids_of, parse_id
from protojobs_service.transport.status import MalformedMessage, under
from protojobs_service.transport.unique import parse_unique, read_unique

_CACHED_NAMES = 4096
# Tag and length of JobSpec.id: appended to an envelope it replaces the id, because the last value of a field wins.
_ID_PREFIX = b"\x0a\x24"
# 65 headers with different keys need more bytes than this.
_TOO_SMALL_FOR_MANY_HEADERS = 320

_HEAD = ".protojobs.head.Head"
_NOTHING_RARE = (None,) * (len(NewJob._fields) - 5)
_FIELDS = attrgetter("id", "queue", "kind", "priority", "content_type")
_RARE = methodcaller("WhichOneof", "rare")


def _head_classes() -> tuple[Any, Any]:
    """Return JobSpec as the common job needs it, and DispatchBatchRequest with such ones.

    Everything rare is one oneof of unparsed bytes, so one question finds it.
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
                kind, message = f"{_HEAD}.HeadersEntry", FieldDescriptorProto.TYPE_MESSAGE
                head.field.add(name=field.name, number=field.number, type=message, label=many, type_name=kind)
            case _:
                head.field.add(name=field.name, number=field.number, type=raw, label=one, oneof_index=0)
    batch = file.message_type.add(name="Batch")
    specs = job_service_pb2.DispatchBatchRequest.DESCRIPTOR.fields_by_name["specs"].number
    batch.field.add(name="specs", number=specs, type=FieldDescriptorProto.TYPE_MESSAGE, label=many, type_name=_HEAD)
    pool = DescriptorPool()
    pool.Add(file)
    head_class, batch_class = (GetMessageClass(pool.FindMessageTypeByName(f"protojobs.head.{each}")) for each in ("Head", "Batch"))
    return head_class, batch_class


_Head, _Batch = _head_classes()


class Common(NamedTuple):
    """Jobs of which none sets anything rare, and the texts of their ids."""

    jobs: list[NewJob]
    texts: Sequence[str]


class Specs:
    """Reads JobSpecs into drafts. Names that were checked before are remembered, up to a bound."""

    def __init__(self, limits: bounds.Limits, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._max_payload = limits.max_payload_bytes
        # An envelope that is no larger than a bound cannot hold a field that breaks it.
        self._small = min(limits.max_payload_bytes, bounds.MAX_HEADER_BYTES)
        self._of_queues: Mapping[str, int] = {}
        self._smallest, self._unchecked = self._small, _TOO_SMALL_FOR_MANY_HEADERS
        self._clock = clock
        self._queues: dict[str, str] = {"": bounds.DEFAULT_QUEUE}
        self._kinds: dict[str, str] = {}
        self._types: set[str] = {"", bounds.DEFAULT_CONTENT_TYPE}

    def limit_payloads(self, of_queues: Mapping[str, int]) -> None:
        """Take these as the largest payloads of some queues from now on; the server's limit holds for them too."""
        self._of_queues = of_queues
        self._smallest = min([self._small, *of_queues.values()])
        self._unchecked = min(_TOO_SMALL_FOR_MANY_HEADERS, self._smallest)

    def draft(self, envelope: bytes) -> Draft:
        """Return the job that a JobSpec's bytes ask for, with an id if it had none.

        Raises MalformedMessage, PayloadTooLarge, and InvalidField with a path inside the spec.
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
        if size > self._unchecked and (size > self._smallest or len(head.headers) > bounds.MAX_HEADERS):
            self._check_sizes(head, queue)
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
            job = make_tuple(NewJob, (job_id, queue, kind, priority, envelope, *_NOTHING_RARE))
            draft: Draft = make_tuple(Draft, (job, None))
            return draft
        spec = parse_spec(envelope)
        if any(getattr(spec, field) for field in FOLLOW_UPS):
            self._check_follow_ups(spec)
        return _Rare(spec, self._clock()).draft(NewJob(job_id, queue, kind, priority, envelope))

    def common(self, data: bytes, envelopes: Sequence[bytes]) -> Common | None:
        """Return the jobs of a batch at a third of the price of `draft`, if all of them are common and of names seen before.

        None: some need a closer look. data: the DispatchBatchRequest that holds these envelopes.
        """
        try:
            heads = list(_Batch.FromString(data).specs)
        except DecodeError:
            return None
        largest = max(map(len, envelopes))
        if largest > self._small:
            return None
        if largest > _TOO_SMALL_FOR_MANY_HEADERS and any(len(head.headers) > bounds.MAX_HEADERS for head in heads):
            return None
        texts, asked_queues, asked_kinds, asked_priorities, types = zip(*map(_FIELDS, heads), strict=True)
        ids = ids_of(texts)
        queues = list(map(self._queues.get, asked_queues))
        kinds = list(map(self._kinds.get, asked_kinds))
        priorities = [priority or bounds.DEFAULT_PRIORITY for priority in asked_priorities]
        if (
            ids is None
            or None in queues
            or None in kinds
            or max(priorities) > bounds.MAX_PRIORITY
            or not self._types.issuperset(types)
            or any(map(_RARE, heads))
        ):
            return None
        if self._of_queues and any(len(each) > self._limit(queue) for each, queue in zip(envelopes, queues, strict=True)):
            return None
        columns = zip(ids, queues, kinds, priorities, envelopes, strict=True)
        return Common([make_tuple(NewJob, column + _NOTHING_RARE) for column in columns], texts)

    def _check_follow_ups(self, spec: job_pb2.JobSpec) -> None:
        """Refuse a job of whose follow-ups one could not be stored."""
        check_chain(spec, self._max_payload)
        for field in FOLLOW_UPS:
            for place, template in enumerate(getattr(spec, field)):
                try:
                    self.draft(template.SerializeToString())
                except JobsError as error:
                    raise under(error, f"{field}[{place}]") from None

    def check_payload(self, size: int, queue: str | None = None) -> None:
        """Raise PayloadTooLarge for a payload of that many bytes. queue None: only what the server refuses in every queue."""
        limit = self._max_payload if queue is None else self._limit(queue)
        if size > limit:
            raise PayloadTooLarge(size, limit)

    def check_stored(self, spec: job_pb2.JobSpec) -> None:
        """Raise PayloadTooLarge where the queue that a spec names does not take its payload."""
        self.check_payload(len(spec.payload), spec.queue or bounds.DEFAULT_QUEUE)

    def _limit(self, queue: str | None) -> int:
        return min(self._of_queues.get(queue or bounds.DEFAULT_QUEUE, self._max_payload), self._max_payload)

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

    def _check_sizes(self, head: Any, queue: str) -> None:
        self.check_payload(len(head.payload), queue)
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
        """Return `job` with everything that the spec sets besides. Raises InvalidField."""
        delay, run_at = self._start()
        expire_at = self._expiry(run_at)
        unique = parse_unique(self._spec.unique, delayed=delay is not None) if self._spec.HasField("unique") else None
        labels = parse_labels(self._spec.labels) or None
        job = job._replace(delay=delay, run_at=run_at, expire_at=expire_at, labels=labels, unique=unique)
        if any(getattr(self._spec, field) for field in FOLLOW_UPS):
            job = job._replace(follow_ups=True)
        job = job._replace(fairness_key=self._key("fairness_key"), concurrency_key=self._key("concurrency_key"))
        if self._spec.HasField("result_retention"):
            low, high = bounds.MIN_RESULT_RETENTION, bounds.MAX_RETENTION
            kept = parse_span("result_retention", self._spec.result_retention, low, high)
            job = job._replace(result_retention=kept)
        changes = parse_policy(self._spec, "retry", "run_timeout")
        return Draft(job, None if changes == NO_CHANGES else changes)

    def _start(self) -> tuple[timedelta | None, datetime | None]:
        match self._spec.WhichOneof("start"):
            case "delay":
                return parse_span("delay", self._spec.delay, timedelta(), bounds.MAX_DELAY) or None, None
            case "run_time":
                return None, parse_run_time("run_time", self._spec.run_time, self._now)
            case _:
                return None, None

    def _key(self, field: Literal["fairness_key", "concurrency_key"]) -> str | None:
        return check_text(field, getattr(self._spec, field), bounds.MAX_KEY_BYTES) or None

    def _expiry(self, run_at: datetime | None) -> datetime | None:
        if not self._spec.HasField("expire_time"):
            return None
        expire_at = parse_expire_time("expire_time", self._spec.expire_time, self._now)
        if run_at is not None and expire_at <= run_at:
            raise InvalidField("expire_time", "must be after run_time")
        return expire_at


def fingerprint(queue: str, kind: str, envelope: bytes) -> bytes:
    """Return 16 bytes over queue, kind, content type and payload of an envelope, defaults applied, lengths prefixed."""
    head = _Head.FromString(envelope)
    parts = (queue.encode(), kind.encode(), (head.content_type or bounds.DEFAULT_CONTENT_TYPE).encode(), head.payload)
    digest = blake2b(digest_size=16)
    digest.update(b"".join(len(part).to_bytes(8, "big") for part in parts))
    for part in parts:
        digest.update(part)
    return digest.digest()


def unique_of(envelope: bytes) -> Unique | None:
    """Return the unique key that a stored envelope asks for; its bounds were checked when it was stored."""
    spec = parse_spec(envelope)
    return read_unique(spec.unique) if spec.HasField("unique") else None


def _remember(names: dict[str, str], name: str) -> str:
    if len(names) >= _CACHED_NAMES:
        names.clear()
    names[name] = name
    return name
