"""Health over gRPC and over HTTP: what balancers, probes and Prometheus see."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.drivers.memory import MemoryDriver

from tests.wire.peer import Peer, ended, memory_driver, refused, serving, until

pytestmark = pytest.mark.asyncio

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
SERVICES = ["", *(f"protojobs.v1.{name}Service" for name in ("Job", "Queue", "Schedule", "Worker", "Server"))]
QUICK: dict[str, Any] = {"store": {"probe_interval": 0.1, "probe_failures": 3}}


class FaintingDriver(MemoryDriver):
    """A store that answers no ping while it has fainted."""

    fainted = False

    async def ping(self) -> Any:
        if self.fainted:
            raise StoreUnavailable
        return await super().ping()


def _fainting() -> FaintingDriver:
    plain = memory_driver()
    driver = FaintingDriver.__new__(FaintingDriver)
    driver.__dict__.update(plain.__dict__)
    return driver


def _stub(peer: Peer) -> Any:
    return health_pb2_grpc.HealthStub(peer.channel)


async def _status(peer: Peer, service: str = "") -> Any:
    return (await _stub(peer).Check(health_pb2.HealthCheckRequest(service=service))).status


async def _http(peer: Peer, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection(*peer.server.admin_address.split(":"))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body


async def test_every_service_is_serving_while_the_store_answers(peer: Peer) -> None:
    assert [await _status(peer, service) for service in SERVICES] == [SERVING] * len(SERVICES)


async def test_a_service_that_is_not_here_is_not_found(peer: Peer) -> None:
    error = await refused(_stub(peer).Check(health_pb2.HealthCheckRequest(service="other")))

    assert error.code == grpc.StatusCode.NOT_FOUND


async def test_a_store_that_fails_three_probes_is_told_and_its_return_too() -> None:
    driver = _fainting()
    async with serving(driver, **QUICK) as peer:
        watch = _stub(peer).Watch(health_pb2.HealthCheckRequest(service=""))
        seen = [(await watch.read()).status]
        driver.fainted = True
        seen.append((await watch.read()).status)
        ready_while_away, alive = await _http(peer, "/readyz"), await _http(peer, "/livez")
        driver.fainted = False
        seen.append((await watch.read()).status)

        assert seen == [SERVING, NOT_SERVING, SERVING]
        assert ready_while_away[0] == 503
        assert "store" in ready_while_away[1]
        assert alive[0] == 200
        assert (await _http(peer, "/readyz"))[0] == 200


async def test_a_server_that_leaves_says_not_serving_and_ends_its_streams() -> None:
    async with serving(shutdown={"grace": 20}) as peer:
        watch = _stub(peer).Watch(health_pb2.HealthCheckRequest(service=""))
        stream = peer.jobs.DispatchStream()
        assert (await watch.read()).status == SERVING
        await stream.read()
        leaving = asyncio.get_running_loop().time()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(peer.server.grpc._drain())
            told = (await watch.read()).status
            ends = [await ended(watch), await ended(stream)]

        assert told == NOT_SERVING
        assert [(end.code, end.reason) for end in ends] == [(grpc.StatusCode.UNAVAILABLE, "DRAINING")] * 2
        assert asyncio.get_running_loop().time() - leaving < 10


async def test_probes_and_metrics_answer_over_http(peer: Peer) -> None:
    await peer.dispatch(queue="emails")
    await peer.get((await peer.dispatch(queue="emails")).job_id)

    assert await _http(peer, "/livez") == (200, '{"status":"ok"}')
    assert await _http(peer, "/readyz") == (200, '{"status":"ok"}')
    assert (await _http(peer, "/nothing"))[0] == 404
    status, text = await _http(peer, "/metrics")

    assert status == 200
    for line in (
        'protojobs_queue_jobs{queue="emails",state="pending"} 2.0',
        'protojobs_jobs_dispatched_total{outcome="created"} 2.0',
        "protojobs_store_up 1.0",
        'protojobs_build_info{driver="',
        'rpc_method="protojobs.v1.JobService/Dispatch",rpc_response_status_code="OK",rpc_system_name="grpc"} 2.0',
        "protojobs_process_eventloop_lag_seconds",
        'protojobs_rpc_active{what="streams"} 0.0',
    ):
        assert line in text, line


async def test_metrics_do_not_grow_with_what_callers_write(peer: Peer) -> None:
    await refused(peer.dispatch(kind="no/kind"))
    await refused(peer.dispatch(id="secret-id"))

    _, text = await _http(peer, "/metrics")

    assert "no/kind" not in text
    assert "secret-id" not in text


async def test_numbers_of_many_queues_become_one(peer: Peer) -> None:
    async with asyncio.TaskGroup() as tasks:
        for number in range(130):
            tasks.create_task(_dispatch(peer, f"q{number}"))

    text = await until(lambda: _metrics(peer), lambda text: 'queue="_OTHER"' in text)

    assert text.count("protojobs_worker_connected{") == 101


async def _metrics(peer: Peer) -> str:
    return (await _http(peer, "/metrics"))[1]


async def _dispatch(peer: Peer, queue: str) -> None:
    await peer.dispatch(queue=queue)
