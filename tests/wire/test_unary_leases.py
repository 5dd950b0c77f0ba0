"""The unary twin where it differs from the stream."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from protojobs.v1 import job_pb2, worker_service_pb2
from uuid_utils import uuid7

from tests.wire.lease_worker import OK, Service, UnaryWorker, complete, eventually, field_of, held, reason, serving

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    """Serve an empty memory store."""
    async with serving() as served:
        yield served


async def test_a_repeated_call_gets_the_same_leases(service: Service) -> None:
    await service.dispatch(3)
    worker = await UnaryWorker.open(service)
    first = await worker.acquire(2)

    again = await worker.acquire(2, acquire_seq=1, held=[])

    assert [lease.job_id for lease in again.leases] == [lease.job_id for lease in first.leases]
    assert [lease.attempt for lease in again.leases] == [1, 1]


async def test_leases_that_the_next_call_does_not_name_go_back(service: Service) -> None:
    await service.dispatch(2)
    worker = await UnaryWorker.open(service)
    first = await worker.acquire(2)

    second = await worker.acquire(1, held=held(first.leases[0]))

    assert [(lease.job_id, lease.attempt) for lease in second.leases] == [(first.leases[1].job_id, 2)]


async def test_a_call_is_told_which_of_its_leases_are_lost(service: Service) -> None:
    worker = await UnaryWorker.open(service)
    stranger = worker_service_pb2.LeasedJob(job_id=str(uuid7()), attempt=4)

    response = await worker.acquire(1, wait=0, held=held(stranger))

    assert [(ref.job_id, ref.attempt) for ref in response.lost] == [(stranger.job_id, 4)]
    assert response.session_ttl.seconds == 30


async def test_a_call_waits_for_a_job_that_comes_later(service: Service) -> None:
    worker = await UnaryWorker.open(service)
    call = asyncio.ensure_future(worker.acquire(5, wait=10))
    await eventually(lambda: _free(service), lambda free: free == 5)

    [job_id] = await service.dispatch()

    assert [lease.job_id for lease in (await call).leases] == [job_id]


async def test_a_call_that_is_given_up_takes_no_job_away(service: Service) -> None:
    worker = await UnaryWorker.open(service)
    call = asyncio.ensure_future(worker.acquire(5, wait=10))
    await eventually(lambda: _free(service), lambda free: free == 5)

    call.cancel()
    await eventually(lambda: _free(service), lambda free: free == 0)
    [job_id] = await service.dispatch()

    assert (await service.job(job_id)).state == job_pb2.JOB_STATE_PENDING


async def test_a_wait_of_zero_answers_at_once(service: Service) -> None:
    worker = await UnaryWorker.open(service)

    assert list((await worker.acquire(1, wait=0)).leases) == []


async def test_a_lower_number_is_superseded(service: Service) -> None:
    worker = await UnaryWorker.open(service)
    await worker.acquire(1, wait=0, acquire_seq=5)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await worker.acquire(1, wait=0, acquire_seq=4)

    assert reason(raised.value) == "SESSION_SUPERSEDED"


async def test_calls_of_an_unknown_session_are_refused(service: Service) -> None:
    request = worker_service_pb2.SettleLeasesRequest(session_id=b"?" * 16)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await service.workers.SettleLeases(request)
    assert (raised.value.code(), reason(raised.value)) == (grpc.StatusCode.FAILED_PRECONDITION, "SESSION_CLOSED")

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await service.workers.ExtendLeases(worker_service_pb2.ExtendLeasesRequest(session_id=b"?" * 16))
    assert reason(raised.value) == "SESSION_CLOSED"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"acquire_seq": 0}, "acquire_seq"),
        ({"max": 1001}, "max"),
        ({"wait": Duration(seconds=61)}, "wait"),
        ({"wait": Duration(seconds=-1)}, "wait"),
    ],
)
async def test_numbers_of_a_call_are_bounded(service: Service, changes: dict[str, Any], field: str) -> None:
    worker = await UnaryWorker.open(service)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await worker.acquire(1, **changes)

    assert (raised.value.code(), field_of(raised.value)) == (grpc.StatusCode.INVALID_ARGUMENT, field)


async def test_unparsable_calls_are_malformed(service: Service) -> None:
    for method in ("AcquireLeases", "SettleLeases", "ExtendLeases"):
        call: Any = service.channel.unary_unary(f"/protojobs.v1.WorkerService/{method}")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(b"\xff\xff\xff")
        assert reason(raised.value) == "MALFORMED_MESSAGE"


async def test_extending_keeps_leases_and_tells_what_is_lost(service: Service) -> None:
    await service.dispatch()
    worker = await UnaryWorker.open(service)
    [lease] = await worker.get(1)
    stranger = worker_service_pb2.LeasedJob(job_id=str(uuid7()), attempt=1)

    extended = await worker.extend(held=held(lease, stranger))

    assert [ref.job_id for ref in extended.lost] == [stranger.job_id]
    assert (await worker.settle(complete(lease)))[lease.job_id, 1][0].code == OK


@pytest.mark.parametrize("session", ["", "x", "-1", "1.5", "99999999999999999999", "٣"])
async def test_draining_a_worker_wants_its_public_number(service: Service, session: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await service.workers.DrainWorker(worker_service_pb2.DrainWorkerRequest(session=session))

    assert reason(raised.value) == "INVALID_FIELD"


async def test_draining_an_unknown_worker_is_not_found(service: Service) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await service.workers.DrainWorker(worker_service_pb2.DrainWorkerRequest(session="77"))

    assert reason(raised.value) == "SESSION_NOT_FOUND"


async def test_workers_are_listed_page_by_page(service: Service) -> None:
    for number in range(5):
        await (await UnaryWorker.open(service, worker=f"w{number}")).acquire(1, wait=0)

    names: list[str] = []
    request = worker_service_pb2.ListWorkersRequest(page_size=2)
    while True:
        page = await service.workers.ListWorkers(request)
        names += [each.worker for each in page.workers]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token

    assert names == ["w0", "w1", "w2", "w3", "w4"]


async def _free(service: Service) -> int:
    return service.application.room.free()
