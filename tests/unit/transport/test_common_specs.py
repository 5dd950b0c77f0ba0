"""A batch that is read all at once says what its specs say one by one, or nothing."""

from datetime import UTC, datetime
from typing import Any

from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st
from protojobs.v1 import job_pb2, job_service_pb2
from protojobs_service.domain import bounds
from protojobs_service.domain.job import NewJob
from protojobs_service.transport import wire
from protojobs_service.transport.specs import Specs
from uuid_utils import uuid7

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

COMMON: dict[str, st.SearchStrategy[Any]] = {
    "id": st.builds(lambda: str(uuid7())),
    "queue": st.sampled_from(["", "default", "mail"]),
    "kind": st.sampled_from(["a", "b.c"]),
    "priority": st.integers(0, 9),
    "payload": st.binary(max_size=500),
    "content_type": st.sampled_from(["", "application/json", "text/plain"]),
    "headers": st.dictionaries(st.text("abc", min_size=1, max_size=3), st.text(max_size=5), max_size=3),
}
ODD: dict[str, st.SearchStrategy[Any]] = COMMON | {
    "id": st.sampled_from(["", "no id", "018F3A2B-6C7D-7E8F-9A0B-1C2D3E4F5A6B", "018f3a2b-6c7d-4e8f-9a0b-1c2d3e4f5a6b"]),
    "queue": st.sampled_from(["not seen before", "new", "q" * 129]),
    "kind": st.sampled_from(["", "new", "no spaces"]),
    "priority": st.sampled_from([10, 99]),
    "payload": st.sampled_from([bytes(1100), bytes(5000)]),
    "content_type": st.sampled_from(["new/type", "x" * 200]),
    "headers": st.just({str(n): "value" for n in range(65)}),
    "labels": st.just({"team": "a"}),
    "delay": st.just(Duration(seconds=1)),
}


def specs() -> Specs:
    """Return a reader that has seen the common names."""
    made = Specs(bounds.Limits(max_payload_bytes=1024), clock=lambda: NOW)
    for queue in ("default", "mail"):
        for kind in ("a", "b.c"):
            for content_type in ("", "text/plain"):
                made.draft(job_pb2.JobSpec(queue=queue, kind=kind, content_type=content_type).SerializeToString())
    return made


def read(reader: Specs, messages: list[job_pb2.JobSpec]) -> list[NewJob] | None:
    """Read the specs of one request all at once."""
    request = job_service_pb2.DispatchBatchRequest(specs=messages, atomic=True)
    common = reader.common(request.SerializeToString(), [each.SerializeToString() for each in messages])
    return None if common is None else common.jobs


@given(st.lists(st.fixed_dictionaries(COMMON), min_size=1, max_size=20))
def test_common_jobs_are_read_all_at_once_as_one_by_one(fields: list[dict[str, Any]]) -> None:
    messages = [job_pb2.JobSpec(**each) for each in fields]

    jobs = read(specs(), messages)

    assert jobs == [specs().draft(each.SerializeToString()).job for each in messages]
    assert all(type(job) is NewJob for job in jobs or [])


@given(st.data(), st.sampled_from(sorted(ODD)), st.integers(0, 5))
def test_one_job_that_is_odd_sends_all_of_them_the_long_way(data: st.DataObject, name: str, place: int) -> None:
    messages = [job_pb2.JobSpec(**each) for each in data.draw(st.lists(st.fixed_dictionaries(COMMON), min_size=6, max_size=6))]
    odd = job_pb2.JobSpec(**{name: data.draw(ODD[name])})
    kept = [field.name for field, _ in messages[place].ListFields() if field.name != name]
    messages[place] = job_pb2.JobSpec(**{name: getattr(odd, name)} | {each: getattr(messages[place], each) for each in kept})

    jobs = read(specs(), messages)

    if name in {"payload", "headers"} and jobs is not None:
        assert jobs[place] == specs().draft(messages[place].SerializeToString()).job
    else:
        assert jobs is None


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4))
def test_bytes_that_are_no_spec_never_pass(raw: list[bytes]) -> None:
    request = b"".join(b"\x0a" + wire.varint(len(each)) + each for each in raw)

    common = specs().common(request, raw)

    if common is not None:
        assert common.jobs == [specs().draft(each).job for each in raw]


def test_a_batch_of_created_jobs_is_answered_as_protobuf_would() -> None:
    ids = [str(uuid7()) for _ in range(3)]
    created = job_service_pb2.DISPATCH_OUTCOME_CREATED
    expected = job_service_pb2.DispatchBatchResponse()
    for each in ids:
        expected.results.add(job_id=each, outcome=created)

    assert wire.all_created(ids) == expected.SerializeToString()
