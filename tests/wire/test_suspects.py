"""Jobs whose workers die before they have acknowledged anything: they go out alone, and only then are they charged."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from protojobs.v1 import job_pb2, worker_service_pb2
from protojobs_service.application import Timings

from tests.wire.lease_worker import OK, Service, StreamWorker, complete, serving

pytestmark = pytest.mark.asyncio

_PENDING = job_pb2.JOB_STATE_PENDING


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    """Serve an empty memory store; jobs of lost workers come back soon."""
    async with serving(session={"reconnect_grace": 0.1}) as served:
        yield served


async def _lose(service: Service, ids: list[str]) -> None:
    """Let a worker read these jobs and die before it says so."""
    worker = await StreamWorker.open(service)
    await worker.get(len(ids))
    await _die(service, worker, ids)


async def _die(service: Service, worker: StreamWorker, ids: list[str]) -> None:
    before = [(await service.job(job_id)).attempt for job_id in ids]
    worker.stream.call.cancel()
    for job_id, attempt in zip(ids, before, strict=True):
        found = await service.becomes(job_id, _PENDING)
        assert found.attempt == attempt


async def _crashes(service: Service, ids: list[str]) -> list[int]:
    return [(await service.job(job_id)).crashes for job_id in ids]


async def _suspects(service: Service, jobs: int) -> list[str]:
    ids = await service.dispatch(jobs)
    for _ in range(2):
        await _lose(service, ids)
    assert await _crashes(service, ids) == [0] * jobs
    return ids


async def _first_deliver(worker: StreamWorker) -> worker_service_pb2.Deliver:
    """Return the first Deliver; nothing else is on its way when it has been read and not acknowledged."""
    deliver: worker_service_pb2.Deliver = await worker.stream.until("deliver")
    await worker.stream.send(ping=worker_service_pb2.Ping(), received_seq=1)
    while (frame := await worker.stream.read()) is not None and not frame.HasField("pong"):
        assert not frame.HasField("deliver")
    return deliver


async def test_suspects_go_out_one_by_one_each_when_the_one_before_is_settled_and_others_after_a_receipt(service: Service) -> None:
    ids = await _suspects(service, 3)
    [plain] = await service.dispatch()
    worker = await StreamWorker.open(service)

    suspects = [*(await _first_deliver(worker)).items]
    for _ in range(2):
        lease = suspects[-1]
        assert (await worker.settle(complete(lease)))[lease.job_id, lease.attempt][0].code == OK
        suspects += (await worker.stream.until("deliver")).items
    await worker.stream.send(ping=worker_service_pb2.Ping())
    after: worker_service_pb2.Deliver = await worker.stream.until("deliver")

    assert {lease.job_id for lease in suspects} == set(ids)
    assert len(suspects) == 3
    assert [lease.job_id for lease in after.items] == [plain]
    await worker.close()


async def test_a_suspect_that_is_lost_unread_is_charged_and_what_waited_behind_it_is_not(service: Service) -> None:
    ids = await _suspects(service, 3)
    worker = await StreamWorker.open(service)
    [suspect] = (await _first_deliver(worker)).items

    await _die(service, worker, ids)

    assert dict(zip(ids, await _crashes(service, ids), strict=True)) == {each: int(each == suspect.job_id) for each in ids}


async def test_a_suspect_that_had_begun_is_charged_and_the_next_one_is_not(service: Service) -> None:
    ids = await _suspects(service, 2)
    worker = await StreamWorker.open(service)
    [suspect] = (await _first_deliver(worker)).items
    await worker.stream.send(ping=worker_service_pb2.Ping(), started_seq=1)
    await worker.stream.until("pong")

    await _die(service, worker, ids)

    assert dict(zip(ids, await _crashes(service, ids), strict=True)) == {each: int(each == suspect.job_id) for each in ids}


async def test_a_suspect_that_its_worker_never_got_is_not_charged_when_the_session_comes_back(service: Service) -> None:
    [job_id] = await _suspects(service, 1)
    worker = await StreamWorker.open(service)
    await _first_deliver(worker)
    worker.stream.call.cancel()

    again, welcome = await StreamWorker.welcomed(service, session_id=worker.session_id, stream_no=2, held=[])

    assert list(welcome.kept) == []
    assert (await service.job(job_id)).crashes == 0
    await again.close()


async def test_a_suspect_that_waits_for_a_slow_one_goes_back_and_lets_others_pass() -> None:
    async with serving(Timings(suspect=0.1), session={"reconnect_grace": 0.1}) as service:
        ids = await _suspects(service, 2)
        worker = await StreamWorker.open(service)
        [slow] = (await _first_deliver(worker)).items
        await worker.stream.send(ping=worker_service_pb2.Ping(), started_seq=1)
        [waiting] = [job_id for job_id in ids if job_id != slow.job_id]
        await service.becomes(waiting, job_pb2.JOB_STATE_SCHEDULED)

        [plain] = await service.dispatch()
        deliver: worker_service_pb2.Deliver = await worker.stream.until("deliver")

        assert [lease.job_id for lease in deliver.items] == [plain]
        assert await _crashes(service, ids) == [0, 0]
        await worker.close()
