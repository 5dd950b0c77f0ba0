"""Twins of the contract's messages in which every JobSpec is the bytes it came as; and jobs and ids by the thousand.

A message field and a bytes field look the same on the wire, so a request parsed by its twin gives each spec's own bytes: they are
stored and forwarded to the worker untouched, never serialised again, and a malformed spec spoils only its own item. The twins are
built from the contract's descriptors at import, in a pool of their own; nothing but the type of those fields differs.
"""

from collections.abc import Sequence
from typing import Any, Protocol, Self, cast

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from protojobs.v1 import job_service_pb2, worker_service_pb2

from protojobs_service.domain.job import JobId, Lease
from protojobs_service.domain.retry import DEFAULT_POLICY, Policy
from protojobs_service.transport.convert import to_duration

_SPEC = ".protojobs.v1.JobSpec"


class Message(Protocol):
    """What the server uses of a protobuf message."""

    @classmethod
    def FromString(cls, data: bytes, /) -> Self:  # noqa: N802 # protobuf's name
        """Parse; raises DecodeError."""
        ...

    def SerializeToString(self) -> bytes:  # noqa: N802 # protobuf's name
        """Return the bytes."""
        ...

    def HasField(self, name: str, /) -> bool:  # noqa: N802 # protobuf's name
        """Tell whether a message or optional field is set."""
        ...

    def WhichOneof(self, name: str, /) -> str | None:  # noqa: N802 # protobuf's name
        """Return the field of a oneof that is set."""
        ...


class RawDispatch(Message, Protocol):
    """DispatchRequest."""

    spec: bytes
    validate_only: bool


class RawDispatchBatch(Message, Protocol):
    """DispatchBatchRequest."""

    specs: Sequence[bytes]
    atomic: bool
    validate_only: bool


class RawDispatchStream(Message, Protocol):
    """DispatchStreamRequest."""

    seq: int
    specs: Sequence[bytes]


class RawComplete(Message, Protocol):
    """Complete."""

    result: bytes
    dispatch: Sequence[bytes]


class RawSettleItem(Message, Protocol):
    """SettleItem."""

    job_id: str
    attempt: int
    complete: RawComplete
    fail: worker_service_pb2.Fail
    snooze: worker_service_pb2.Snooze
    release: worker_service_pb2.Release


class RawSettle(Message, Protocol):
    """Settle."""

    items: Sequence[RawSettleItem]
    completed: Sequence[worker_service_pb2.CompletedGroup]


class RawLeaseRequest(Message, Protocol):
    """LeaseRequest."""

    seq: int
    received_seq: int
    started_seq: int
    hello: worker_service_pb2.Hello
    window: worker_service_pb2.Window
    settle: RawSettle
    update: worker_service_pb2.Update
    goodbye: worker_service_pb2.Goodbye


class RawSettleLeases(Message, Protocol):
    """SettleLeasesRequest."""

    session_id: bytes
    settle: RawSettle


def _twins() -> DescriptorPool:
    pool = DescriptorPool()
    added: set[str] = set()

    def add(file: Any) -> None:
        if file.name in added:
            return
        added.add(file.name)
        for dependency in file.dependencies:
            add(dependency)
        proto = FileDescriptorProto()
        file.CopyToProto(proto)
        if file.name in (job_service_pb2.DESCRIPTOR.name, worker_service_pb2.DESCRIPTOR.name):
            for message in proto.message_type:
                for field in message.field:
                    if field.type_name == _SPEC:
                        field.type = FieldDescriptorProto.TYPE_BYTES
                        field.ClearField("type_name")
        pool.Add(proto)

    add(job_service_pb2.DESCRIPTOR)
    add(worker_service_pb2.DESCRIPTOR)
    return pool


_POOL = _twins()


def _twin(name: str) -> Any:
    return GetMessageClass(_POOL.FindMessageTypeByName(f"protojobs.v1.{name}"))


DispatchRequest = cast(type[RawDispatch], _twin("DispatchRequest"))
DispatchBatchRequest = cast(type[RawDispatchBatch], _twin("DispatchBatchRequest"))
DispatchStreamRequest = cast(type[RawDispatchStream], _twin("DispatchStreamRequest"))
LeaseRequest = cast(type[RawLeaseRequest], _twin("LeaseRequest"))
SettleLeasesRequest = cast(type[RawSettleLeases], _twin("SettleLeasesRequest"))

# Deliver is written by hand: 0.6 us a job against 1.7 us through protobuf, and no job's envelope is copied into a message first.
# Tags of LeaseResponse.deliver, Deliver.items and the fields of LeasedJob; tests read it back with the generated classes.
_DELIVER, _ITEM, _SPEC_TAG, _ATTEMPT, _TIMEOUT, _CHECKPOINT, _FAILURES, _ID, _RETRIES = (
    b"\x22",
    b"\x0a",
    b"\x0a",
    b"\x10",
    b"\x1a",
    b"\x22",
    b"\x28",
    b"\x32\x24",
    b"\x38",
)
_ID_BYTES = 36
_DASHES = frozenset({8, 13, 18, 23})
_DIGIT_PLACES = [place for place in range(_ID_BYTES) if place not in _DASHES]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_VARINTS = [_varint(number) for number in range(1 << 14)]


def varint(number: int) -> bytes:
    """Return a non-negative number as protobuf writes it."""
    return _VARINTS[number] if number < 1 << 14 else _varint(number)


def _bounds(policy: Policy) -> bytes:
    timeout = to_duration(policy.run_timeout).SerializeToString()
    return _TIMEOUT + varint(len(timeout)) + timeout + _RETRIES + varint(policy.max_retries)


_DEFAULT_BOUNDS = _bounds(DEFAULT_POLICY)


def id_texts(ids: Sequence[bytes]) -> list[bytes]:
    """Return the canonical texts of ids, all digits of one place at a time."""
    digits = b"".join(ids).hex().encode()
    texts = bytearray(b"-") * (_ID_BYTES * len(ids))
    for digit, place in enumerate(_DIGIT_PLACES):
        texts[place::_ID_BYTES] = digits[digit::32]
    whole = bytes(texts)
    return [whole[start : start + _ID_BYTES] for start in range(0, len(whole), _ID_BYTES)]


def leased_jobs(leases: Sequence[Lease]) -> list[bytes]:
    """Return each lease as an entry of Deliver.items."""
    entries: list[bytes] = []
    small, table, default = 1 << 14, _VARINTS, _DEFAULT_BOUNDS
    for lease, text in zip(leases, id_texts([lease.id for lease in leases]), strict=True):
        _, _, attempt, _, _, envelope, failures, policy, checkpoint = lease
        size = len(envelope)
        length = table[size] if size < small else _varint(size)
        bounds = default if policy is None else _bounds(policy)
        number = table[attempt] if attempt < small else _varint(attempt)
        body = b"".join((_SPEC_TAG, length, envelope, _ATTEMPT, number, bounds, _ID, text))
        if failures:
            body += _FAILURES + varint(failures)
        if checkpoint is not None:
            body += _CHECKPOINT + varint(len(checkpoint)) + checkpoint
        size = len(body)
        entries.append(_ITEM + (table[size] if size < small else _varint(size)) + body)
    return entries


def deliver_frame(seq: int, received_seq: int, entries: Sequence[bytes]) -> bytes:
    """Return a LeaseResponse whose frame is a Deliver of these entries."""
    body = b"".join(entries)
    head = b"\x08" + varint(seq) + (b"\x10" + varint(received_seq) if received_seq else b"")
    return head + _DELIVER + varint(len(body)) + body


def ids_of(texts: Sequence[str]) -> list[JobId] | None:
    """Return the ids of canonical texts, all at once; None where any of them is not one."""
    whole, count = "".join(texts), len(texts)
    dashes = "-" * count
    if (
        set(map(len, texts)) - {_ID_BYTES}
        or any(whole[place::_ID_BYTES] != dashes for place in _DASHES)
        or whole[14::_ID_BYTES] != "7" * count
        or set(whole[19::_ID_BYTES]) - set("89ab")
        or whole != whole.lower()
    ):
        return None
    try:
        data = bytes.fromhex(whole.replace("-", ""))
    except ValueError:
        return None
    if len(data) != 16 * count:  # fromhex skips white space
        return None
    return [JobId(data[start : start + 16]) for start in range(0, len(data), 16)]
