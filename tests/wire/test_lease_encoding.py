"""What is written and read by hand must be what protobuf means."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st
from protojobs.v1 import job_pb2, job_service_pb2, worker_service_pb2
from protojobs_service.domain.job import Handle, JobId, Lease
from protojobs_service.domain.retry import Policy
from protojobs_service.transport import ids, wire
from protojobs_service.transport.ids import format_id
from uuid_utils import uuid7

_texts = st.binary(min_size=16, max_size=16).map(lambda data: _uuid7(data))  # noqa: PLW0108 # defined below


def _uuid7(data: bytes) -> str:
    fixed = bytearray(data)
    fixed[6], fixed[8] = fixed[6] & 0x0F | 0x70, fixed[8] & 0x3F | 0x80
    return str(UUID(bytes=bytes(fixed)))


_leases = st.builds(
    lambda text, attempt, payload, failures, policy, checkpoint: Lease(
        Handle(1),
        JobId(UUID(text).bytes),
        attempt,
        "default",
        "email",
        job_pb2.JobSpec(id=text, kind="email", payload=payload).SerializeToString(),
        failures,
        policy,
        checkpoint,
    ),
    _texts,
    st.integers(1, 2**31),
    st.binary(max_size=300) | st.just(b"x" * 20_000),
    st.integers(0, 1001),
    st.none()
    | st.builds(
        Policy,
        max_retries=st.integers(0, 1000),
        run_timeout=st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=30)),
    ),
    st.none() | st.binary(max_size=300) | st.just(b"x" * 60_000),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_leases, max_size=5), st.integers(1, 2**40), st.integers(0, 2**40))
def test_a_deliver_frame_reads_back_as_what_was_leased(leases: list[Lease], seq: int, received_seq: int) -> None:
    data = wire.deliver_frame(seq, received_seq, wire.leased_jobs(leases))

    frame = worker_service_pb2.LeaseResponse.FromString(data)

    assert (frame.seq, frame.received_seq, frame.WhichOneof("frame")) == (seq, received_seq, "deliver")
    for lease, item in zip(leases, frame.deliver.items, strict=True):
        policy = lease.policy or Policy()
        assert (item.job_id, item.attempt, item.failures) == (format_id(lease.id), lease.attempt, lease.failures)
        assert item.spec.SerializeToString() == lease.envelope
        assert item.checkpoint == (lease.checkpoint or b"")
        assert item.run_timeout.ToTimedelta() == policy.run_timeout
        assert item.max_retries == policy.max_retries


def test_the_twin_of_a_call_reads_the_same_entries() -> None:
    lease = Lease(Handle(1), JobId(uuid7().bytes), 3, "default", "email", b"")

    response = worker_service_pb2.AcquireLeasesResponse.FromString(b"".join(wire.leased_jobs([lease])))

    assert [(item.job_id, item.attempt) for item in response.leases] == [(format_id(lease.id), 3)]


@given(st.lists(_texts, max_size=20))
def test_ids_are_read_all_at_once_as_one_by_one(texts: list[str]) -> None:
    assert ids.ids_of(texts) == [UUID(text).bytes for text in texts]
    assert [text.decode() for text in ids.id_texts([UUID(text).bytes for text in texts])] == texts


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.upper(),
        lambda text: text[:-1],
        lambda text: text + "0",
        lambda text: text.replace("-", ""),
        lambda text: text[:14] + "4" + text[15:],
        lambda text: text[:19] + "7" + text[20:],
        lambda text: text[:-2] + "  ",
        lambda text: "g" + text[1:],
        lambda text: "\N{ARABIC-INDIC DIGIT ONE}" + text[1:],
        lambda _: "",
    ],
)
def test_one_id_that_is_not_canonical_spoils_the_fast_road(spoil: "object") -> None:
    good = "01890000-aaaa-7bcd-8ef0-abcdefabcdef"
    assert callable(spoil)

    assert ids.ids_of([good]) is not None
    assert ids.ids_of([good, spoil(good)]) is None


def test_two_ids_that_only_together_have_the_right_length_are_refused() -> None:
    good = "01890000-aaaa-7bcd-8ef0-abcdefabcdef"

    assert ids.ids_of([good[:-1], "f" + good]) is None


def test_specs_are_read_as_the_bytes_they_came_as() -> None:
    spec = job_pb2.JobSpec(id="x", kind="email", payload=b"\xff")
    odd = spec.SerializeToString() + job_pb2.JobSpec(queue="last one wins").SerializeToString()
    request = job_service_pb2.DispatchBatchRequest(atomic=True)
    data = request.SerializeToString() + b"\x0a" + bytes([len(odd)]) + odd

    twin = wire.DispatchBatchRequest.FromString(data)

    assert list(twin.specs) == [odd]
    assert twin.atomic


def test_twins_differ_from_the_contract_only_in_specs() -> None:
    for twin, original in (
        (wire.LeaseRequest, worker_service_pb2.LeaseRequest),
        (wire.DispatchBatchRequest, job_service_pb2.DispatchBatchRequest),
    ):
        descriptor: Any = getattr(twin, "DESCRIPTOR")  # noqa: B009 # the twins' types do not show it
        fields = {field.name: field for field in descriptor.fields}
        for field in original.DESCRIPTOR.fields:
            assert fields[field.name].number == field.number
            is_spec = field.message_type is not None and field.message_type.full_name == "protojobs.v1.JobSpec"
            assert fields[field.name].type == (FieldDescriptor.TYPE_BYTES if is_spec else field.type)
