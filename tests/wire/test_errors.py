"""Bad input: each gets a typed reason, and nobody else notices."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from protojobs.v1 import (
    job_pb2,
    job_service_pb2,
    queue_service_pb2,
    schedule_service_pb2,
    server_service_pb2,
    worker_service_pb2,
)

from tests.wire.peer import DISPATCH, Peer, ended, id_at, now, read_status, refused, serialized, serving, spec, to_refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")

INVALID = grpc.StatusCode.INVALID_ARGUMENT
MODULES = (job_service_pb2, queue_service_pb2, schedule_service_pb2, server_service_pb2, worker_service_pb2)
METHODS = [method for module in MODULES for service in module.DESCRIPTOR.services_by_name.values() for method in service.methods]
YEAR_9999 = 253_370_764_800


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def peer() -> AsyncIterator[Peer]:
    """Speak to one server for all tests, which must outlive each: what is refused here never reaches a store."""
    async with serving() as connection:
        yield connection


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def bystander(peer: Peer) -> AsyncIterator[None]:
    """Hold a stream open through every test, and see afterwards that it and the server live on."""
    stream = peer.jobs.DispatchStream()
    assert (await stream.read()).window > 0
    yield
    await stream.write(job_service_pb2.DispatchStreamRequest(seq=1, specs=[spec()]))
    assert (await stream.read()).up_to_seq == 1
    await stream.done_writing()
    assert await stream.code() == grpc.StatusCode.OK


async def _first(peer: Peer, method: Any, data: bytes) -> Any:
    """Return what a streamed answer begins with."""
    call: Any = peer.channel.unary_stream(_path(method))
    return await call(data).read()


def _path(method: Any) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\xff\xff\xff\xff\x0f"], ids=["no tag", "endless field"])
async def test_bytes_that_are_no_message_are_malformed_in_every_rpc(peer: Peer, method: Any, data: bytes) -> None:
    if method.client_streaming:
        call: Any = peer.channel.stream_stream(_path(method))()
        await call.write(data)
        error = await ended(call)
    elif method.server_streaming:
        error = await refused(_first(peer, method, data))
    else:
        error = await refused(peer.send(_path(method), data))

    assert (error.code, error.reason) == (INVALID, "MALFORMED_MESSAGE")


NAMES = ["a/b", "a b", "caf\u00e9", "a\0b", "a\nb", "x" * 129, "'; drop table job; --", "\u202e", "a" * 100_000]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
@pytest.mark.parametrize("field", ["queue", "kind"])
async def test_names_of_queues_and_kinds_have_few_characters(peer: Peer, field: str, name: str) -> None:
    error = await refused(peer.dispatch(**{field: name}))

    assert (error.code, error.reason, error.fields) == (INVALID, "INVALID_FIELD", [f"spec.{field}"])


async def test_a_kind_is_required(peer: Peer) -> None:
    error = await refused(peer.dispatch(kind=""))

    assert (error.code, error.reason, error.fields) == (INVALID, "INVALID_FIELD", ["spec.kind"])


async def test_a_payload_one_byte_over_the_limit_is_refused_with_both_numbers(peer: Peer) -> None:
    limit = 1024 * 1024

    await peer.dispatch(payload=b"x" * limit)
    error = await refused(peer.dispatch(payload=b"x" * (limit + 1)))

    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PAYLOAD_TOO_LARGE")
    assert error.metadata == {"limit": str(limit), "size": str(limit + 1)}


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_batch_holds_1_to_1000_items(peer: Peer, count: int) -> None:
    request = job_service_pb2.DispatchBatchRequest(specs=[job_pb2.JobSpec(kind="email")] * count)

    error = await refused(peer.jobs.DispatchBatch(request))

    assert (error.code, error.reason, error.fields) == (INVALID, "INVALID_FIELD", ["specs"])


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_frame_holds_1_to_1000_items(peer: Peer, count: int) -> None:
    call = peer.jobs.DispatchStream()
    await call.read()
    await call.write(job_service_pb2.DispatchStreamRequest(seq=1, specs=[job_pb2.JobSpec(kind="email")] * count))

    error = await ended(call)

    assert (error.code, error.reason, error.fields) == (INVALID, "INVALID_FIELD", ["specs"])


BAD_FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("delay", {"delay": Duration(seconds=-1)}),
    ("delay", {"delay": Duration(nanos=-1)}),
    ("delay", {"delay": Duration(seconds=3650 * 86_400, nanos=1)}),
    ("delay", {"delay": Duration(seconds=1, nanos=-1)}),
    ("delay", {"delay": Duration(seconds=2**62)}),
    ("run_time", {"run_time": Timestamp(seconds=YEAR_9999)}),
    ("run_time", {"run_time": Timestamp(seconds=2**62)}),
    ("run_time", {"run_time": Timestamp(seconds=-(2**62))}),
    ("run_time", {"run_time": Timestamp(seconds=1, nanos=-5)}),
    ("run_time", {"run_time": Timestamp(seconds=1, nanos=2_000_000_000)}),
    ("expire_time", {"expire_time": Timestamp(seconds=YEAR_9999)}),
    ("expire_time", {"run_time": Timestamp(seconds=2_000_000_000), "expire_time": Timestamp(seconds=2_000_000_000)}),
    ("priority", {"priority": 10}),
    ("priority", {"priority": 2**32 - 1}),
    ("result_retention", {"result_retention": Duration(nanos=999_999_999)}),
    ("result_retention", {"result_retention": Duration(seconds=3650 * 86_400 + 1)}),
    ("run_timeout", {"run_timeout": Duration(nanos=999_999_999)}),
    ("run_timeout", {"run_timeout": Duration(seconds=30 * 86_400 + 1)}),
    ("retry.max_retries", {"retry": job_pb2.RetryPolicy(max_retries=1001)}),
    ("retry.initial_backoff", {"retry": job_pb2.RetryPolicy(initial_backoff=Duration(seconds=-1))}),
    ("retry.multiplier", {"retry": job_pb2.RetryPolicy(multiplier=float("nan"))}),
    ("retry.multiplier", {"retry": job_pb2.RetryPolicy(multiplier=0.5)}),
    ("retry.multiplier", {"retry": job_pb2.RetryPolicy(multiplier=float("inf"))}),
    ("retry.max_backoff", {"retry": job_pb2.RetryPolicy(max_backoff=Duration(seconds=366 * 86_400))}),
    ("retry.max_retry_duration", {"retry": job_pb2.RetryPolicy(max_retry_duration=Duration(seconds=2**60))}),
    ("labels", {"labels": {f"k{n}": "v" for n in range(17)}}),
    ("labels", {"labels": {f"k{n}": "v" * 256 for n in range(10_000)}}),
    ("labels", {"labels": {"": "v"}}),
    ("labels", {"labels": {"k" * 64: "v"}}),
    ("labels", {"labels": {"a=b": "v"}}),
    ("labels[k]", {"labels": {"k": "v" * 257}}),
    ("labels[k]", {"labels": {"k": "a\0b"}}),
    ("headers", {"headers": {f"h{n}": "v" for n in range(65)}}),
    ("headers", {"headers": {"h": "v" * 8 * 1024}}),
    ("content_type", {"content_type": "a" * 129}),
    ("content_type", {"content_type": "text/\0plain"}),
]


@pytest.mark.parametrize(("path", "fields"), BAD_FIELDS, ids=range(len(BAD_FIELDS)))
async def test_a_field_out_of_bounds_is_named(peer: Peer, path: str, fields: dict[str, Any]) -> None:
    error = await refused(peer.dispatch(**fields))

    assert (error.code, error.reason, error.fields) == (INVALID, "INVALID_FIELD", [f"spec.{path}"])


async def test_an_unknown_jitter_is_named(peer: Peer) -> None:
    # A proto3 enum takes any number on the wire, but not in Python's constructor: retry { jitter: 7 }.
    bad = serialized(spec()) + b"\x62\x02\x28\x07"

    error = await refused(peer.send(DISPATCH, b"\x0a" + bytes([len(bad)]) + bad))

    assert (error.code, error.reason, error.fields) == (INVALID, "INVALID_FIELD", ["spec.retry.jitter"])


@pytest.mark.parametrize("text", [b"\xed\xa0\x80", b"\xff", b"\xc0\x80"], ids=["surrogate", "no lead byte", "long NUL"])
@pytest.mark.parametrize("field", [1, 2, 3, 5], ids=["id", "queue", "kind", "content_type"])
async def test_text_that_is_no_utf8_is_malformed(peer: Peer, field: int, text: bytes) -> None:
    bad = serialized(spec()) + bytes([field << 3 | 2, len(text)]) + text

    error = await refused(peer.send(DISPATCH, b"\x0a" + bytes([len(bad)]) + bad))

    assert (error.code, error.reason) == (INVALID, "MALFORMED_MESSAGE")


@pytest.mark.parametrize("field", [6, 10], ids=["headers", "labels"])
async def test_pairs_that_are_no_utf8_are_malformed(peer: Peer, field: int) -> None:
    entry = b"\x0a\x01k\x12\x03\xed\xa0\x80"
    bad = serialized(spec()) + bytes([field << 3 | 2, len(entry)]) + entry

    error = await refused(peer.send(DISPATCH, b"\x0a" + bytes([len(bad)]) + bad))

    assert (error.code, error.reason) == (INVALID, "MALFORMED_MESSAGE")


BAD_IDS = [
    "1",
    "x" * 36,
    "00000000-0000-0000-0000-000000000000",
    "0b5c1b1e-6b1f-4e6c-9c1d-111111111111",
    "018F3A2B-6C7D-7E8F-9A0B-1C2D3E4F5A6B",
    "{018f3a2b-6c7d-7e8f-9a0b-1c2d3e4f5a6b}",
    "018f3a2b6c7d7e8f9a0b1c2d3e4f5a6b",
    "018f3a2b-6c7d-7e8f-ca0b-1c2d3e4f5a6b",
    "018f3a2b-6c7d-7e8f-9a0b-1c2d3e4f5a 6",
    "018f3a2b 6c7d 7e8f 9a0b 1c2d3e4f5a6b",
    "018f3a2b-6c7d-7e8f-9a0b-1c2d3e4f5a\u0666\u0666",
    "a\0" * 18,
]


@pytest.mark.parametrize("job_id", BAD_IDS, ids=range(len(BAD_IDS)))
async def test_ids_are_canonical_uuidv7_wherever_they_stand(peer: Peer, job_id: str) -> None:
    stored = await refused(peer.dispatch(id=job_id))
    read = await refused(peer.get(job_id))

    assert (stored.code, stored.reason, stored.fields) == (INVALID, "INVALID_FIELD", ["spec.id"])
    assert (read.code, read.reason, read.fields) == (INVALID, "INVALID_FIELD", ["job_id"])


@pytest.mark.parametrize("off", [timedelta(hours=1, minutes=5), timedelta(days=-7, minutes=-5), timedelta(days=9000)])
async def test_ids_that_are_far_off_in_time_tell_the_servers_time(peer: Peer, off: timedelta) -> None:
    error = await refused(peer.dispatch(id=id_at(now() + off)))

    assert (error.code, error.reason, error.fields) == (INVALID, "JOB_ID_TIME", ["spec.id"])
    told = now().fromisoformat(error.metadata["server_time"])
    assert abs(told - now()) < timedelta(minutes=1)


@pytest.mark.parametrize("off", [timedelta(minutes=55), timedelta(days=-6, hours=-23)])
async def test_ids_within_the_window_are_taken(peer: Peer, off: timedelta) -> None:
    answer = await peer.dispatch(id=id_at(now() + off))

    assert answer.outcome == job_service_pb2.DISPATCH_OUTCOME_CREATED


UNKNOWN_JOB = [
    ("GetJob", job_service_pb2.GetJobRequest),
    ("ListAttempts", job_service_pb2.ListAttemptsRequest),
    ("DeleteJob", job_service_pb2.DeleteJobRequest),
    ("Cancel", job_service_pb2.CancelRequest),
    ("Retry", job_service_pb2.RetryRequest),
    ("WaitJob", job_service_pb2.WaitJobRequest),
    ("UpdateJob", lambda job_id: _update("queue", job_id=job_id)),
]


@pytest.mark.parametrize(("name", "request_type"), UNKNOWN_JOB, ids=[name for name, _ in UNKNOWN_JOB])
async def test_an_unknown_id_is_not_found(peer: Peer, name: str, request_type: Any) -> None:
    error = await refused(getattr(peer.jobs, name)(request_type(job_id=id_at(now()))))

    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")


async def test_the_same_id_with_another_body_is_refused(peer: Peer) -> None:
    first = await peer.dispatch(payload=b"1")

    for other in ({"payload": b"2"}, {"kind": "other"}, {"queue": "other"}, {"content_type": "text/plain"}):
        error = await refused(peer.dispatch(id=first.job_id, **{"payload": b"1", **other}))
        assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "JOB_ID_REUSED")


async def test_bad_items_of_a_batch_do_not_spoil_the_good_ones(peer: Peer) -> None:
    large, short = spec(payload=b"x" * 1024 * 1025), spec(result_retention=Duration(nanos=1))
    specs = [spec(), spec(priority=10), spec(id="x"), large, short, spec()]
    raw = job_service_pb2.DispatchBatchRequest(specs=specs).SerializeToString() + b"\x0a\x03\xff\xff\xff"

    answer = job_service_pb2.DispatchBatchResponse.FromString(await peer.send("/protojobs.v1.JobService/DispatchBatch", raw))

    created = [result.outcome == job_service_pb2.DISPATCH_OUTCOME_CREATED for result in answer.results]
    assert created == [True, False, False, False, False, True, False]
    errors = [read_status(result.error) for result in answer.results if result.HasField("error")]
    assert [error.reason for error in errors] == [
        "INVALID_FIELD",
        "INVALID_FIELD",
        "PAYLOAD_TOO_LARGE",
        "INVALID_FIELD",
        "MALFORMED_MESSAGE",
    ]
    assert errors[0].fields == ["specs[1].priority"]
    assert errors[1].fields == ["specs[2].id"]
    assert errors[3].fields == ["specs[4].result_retention"]


async def test_one_bad_item_refuses_an_atomic_batch(peer: Peer) -> None:
    good, bad = spec(), spec(priority=10)

    error = await refused(peer.jobs.DispatchBatch(job_service_pb2.DispatchBatchRequest(specs=[good, bad], atomic=True)))

    assert (error.code, error.reason, error.fields) == (INVALID, "INVALID_FIELD", ["specs[1].priority"])
    assert (await refused(peer.get(good.id))).reason == "JOB_NOT_FOUND"


async def test_a_reused_id_refuses_an_atomic_batch(peer: Peer) -> None:
    taken = await peer.dispatch(payload=b"1")
    good, bad = spec(), spec(id=taken.job_id, payload=b"2")

    error = await refused(peer.jobs.DispatchBatch(job_service_pb2.DispatchBatchRequest(specs=[good, bad], atomic=True)))

    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "JOB_ID_REUSED")
    assert (await refused(peer.get(good.id))).reason == "JOB_NOT_FOUND"


def _update(*paths: str, job_id: str = "", **fields: Any) -> job_service_pb2.UpdateJobRequest:
    asked = job_pb2.JobSpec(**fields)
    return job_service_pb2.UpdateJobRequest(job_id=job_id or id_at(now()), spec=asked, update_mask=FieldMask(paths=paths))


def _bulk(
    action: "job_service_pb2.BulkAction.ValueType" = job_service_pb2.BULK_ACTION_CANCEL, **fields: Any
) -> job_service_pb2.BulkJobsRequest:
    return job_service_pb2.BulkJobsRequest(action=action, **fields)


BAD_REQUESTS: list[tuple[str, str, Any]] = [
    ("page_size", "ListJobs", job_service_pb2.ListJobsRequest(page_size=501)),
    ("page_token", "ListJobs", job_service_pb2.ListJobsRequest(page_token="x")),
    ("page_token", "ListJobs", job_service_pb2.ListJobsRequest(page_token="AAAAAAAAAAAAAAAAAAAA")),
    ("page_token", "ListJobs", job_service_pb2.ListJobsRequest(page_token="A" * 100_000)),
    (
        "filter.queues",
        "ListJobs",
        job_service_pb2.ListJobsRequest(filter=job_service_pb2.JobFilter(queues=[f"q{n}" for n in range(101)])),
    ),
    ("filter.kinds[0]", "ListJobs", job_service_pb2.ListJobsRequest(filter=job_service_pb2.JobFilter(kinds=["a/b"]))),
    (
        "filter.states[0]",
        "ListJobs",
        job_service_pb2.ListJobsRequest(filter=job_service_pb2.JobFilter(states=[job_pb2.JOB_STATE_UNSPECIFIED])),
    ),
    ("filter.labels", "ListJobs", job_service_pb2.ListJobsRequest(filter=job_service_pb2.JobFilter(labels={"a b": "c"}))),
    (
        "filter.created_after",
        "ListJobs",
        job_service_pb2.ListJobsRequest(filter=job_service_pb2.JobFilter(created_after=Timestamp(nanos=-1))),
    ),
    ("expression", "ListJobs", job_service_pb2.ListJobsRequest(expression="queue = a or kind = b")),
    ("expression", "ListJobs", job_service_pb2.ListJobsRequest(expression="queue = " + "a" * 4089)),
    ("deadline", "Cancel", job_service_pb2.CancelRequest(job_id=id_at(now()), deadline=Duration(seconds=3601))),
    ("deadline", "Cancel", job_service_pb2.CancelRequest(job_id=id_at(now()), deadline=Duration(seconds=-1))),
    ("wait", "WaitJob", job_service_pb2.WaitJobRequest(job_id=id_at(now()), wait=Duration(seconds=61))),
    ("content_type", "Retry", job_service_pb2.RetryRequest(job_id=id_at(now()), content_type="text/plain")),
    ("expected_attempt", "Retry", job_service_pb2.RetryRequest(job_id=id_at(now()), expected_attempt=2**32 - 1)),
    ("run_time", "Retry", job_service_pb2.RetryRequest(job_id=id_at(now()), run_time=Timestamp(seconds=YEAR_9999))),
    ("job_id", "UpdateJob", _update(job_id="1", queue="a")),
    ("update_mask", "UpdateJob", _update()),
    ("update_mask.paths[1]", "UpdateJob", _update("queue", "kind", queue="a")),
    ("update_mask.paths[0]", "UpdateJob", _update("retry.max_retries")),
    ("update_mask.paths[0]", "UpdateJob", _update("nothing")),
    ("spec.kind", "UpdateJob", _update(queue="a", kind="b")),
    ("spec.queue", "UpdateJob", _update(queue="a/b")),
    ("spec.priority", "UpdateJob", _update("priority", priority=10)),
    ("spec.run_time", "UpdateJob", _update(run_time=Timestamp(seconds=YEAR_9999))),
    ("spec.delay", "UpdateJob", _update(delay=Duration(seconds=-1))),
    ("spec.labels", "UpdateJob", _update(labels={"a b": "c"})),
    ("spec.retry.multiplier", "UpdateJob", _update(retry=job_pb2.RetryPolicy(multiplier=0.5))),
    ("spec.content_type", "UpdateJob", _update(content_type="a" * 129)),
    ("action", "BulkJobs", job_service_pb2.BulkJobsRequest(all=True)),
    ("filter", "BulkJobs", _bulk(job_service_pb2.BULK_ACTION_DELETE)),
    ("filter", "BulkJobs", _bulk(job_service_pb2.BULK_ACTION_DELETE, filter=job_service_pb2.JobFilter(), expression=" ")),
    ("filter.kinds[0]", "BulkJobs", _bulk(filter=job_service_pb2.JobFilter(kinds=["a/b"]))),
    ("expression", "BulkJobs", _bulk(expression="queue =")),
    ("all", "BulkJobs", _bulk(expression="queue = a", all=True)),
    ("all", "BulkJobs", _bulk(job_ids=[id_at(now())], all=True)),
    ("job_ids", "BulkJobs", _bulk(job_ids=[id_at(now())], expression="queue = a")),
    ("job_ids", "BulkJobs", _bulk(job_ids=[id_at(now())] * 1001)),
    ("job_ids[1]", "BulkJobs", _bulk(job_ids=[id_at(now()), "1"])),
    ("queue", "BulkJobs", _bulk(job_service_pb2.BULK_ACTION_MOVE, all=True)),
    ("queue", "BulkJobs", _bulk(all=True, queue="a")),
    ("priority", "BulkJobs", _bulk(job_service_pb2.BULK_ACTION_SET_PRIORITY, all=True)),
    ("priority", "BulkJobs", _bulk(job_service_pb2.BULK_ACTION_SET_PRIORITY, all=True, priority=10)),
    ("priority", "BulkJobs", _bulk(all=True, priority=5)),
    ("continuation_token", "BulkJobs", _bulk(all=True, continuation_token="AAAAAAAAAAAAAAAAAAAA")),
]


@pytest.mark.parametrize(("path", "name", "request_"), BAD_REQUESTS, ids=range(len(BAD_REQUESTS)))
async def test_requests_about_jobs_are_bounded(peer: Peer, path: str, name: str, request_: Any) -> None:
    error = await refused(getattr(peer.jobs, name)(request_))

    assert (error.code, error.reason, error.fields) == (INVALID, "INVALID_FIELD", [path])


async def test_no_answer_is_ever_unknown_or_names_a_class(peer: Peer) -> None:
    answers: list[Any] = []
    for data in (b"\xff", b"\x0a\x02\xff\xff", b"\x0a\x05\x0a\x03\xed\xa0\x80", b"\x00" * 100):
        try:
            await peer.send(DISPATCH, data)
        except grpc.aio.AioRpcError as error:
            answers.append(to_refusal(error))

    assert {answer.code for answer in answers} == {INVALID}
    assert not [answer for answer in answers if "class" in answer.message or "Error" in answer.message]
