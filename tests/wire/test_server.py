"""ServerService, reflection, request ids, and what a server does beside its RPCs."""

import logging
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from protojobs.v1 import job_service_pb2, server_service_pb2
from protojobs_service.compose import start_server
from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.settings import InvalidSettings

from tests.wire.peer import Peer, connected, id_at, memory_driver, now, refused, serving, settings_for, spec

pytestmark = pytest.mark.asyncio


async def test_the_server_tells_what_it_is_and_its_bounds(peer: Peer, store: str) -> None:
    info = await peer.info.GetServerInfo(server_service_pb2.GetServerInfoRequest())

    assert (info.driver, bool(info.version), bool(info.server_id)) == (store, True, True)
    assert info.limits.max_payload_bytes == 1024 * 1024
    assert info.limits.max_batch_items == 1000
    assert info.limits.id_window.seconds == 7 * 86_400
    assert all(each.available or each.reason for each in info.capabilities)
    assert info.HasField("server_time")


async def test_a_request_id_comes_back_with_the_answer_and_with_an_error(peer: Peer) -> None:
    call = peer.jobs.Dispatch(job_service_pb2.DispatchRequest(spec=spec()), metadata=(("x-request-id", "mine-1"),))
    await call
    bad = peer.jobs.Dispatch(job_service_pb2.DispatchRequest(), metadata=(("x-request-id", "mine-2"),))
    await refused(bad)

    assert dict(await call.trailing_metadata())["x-request-id"] == "mine-1"
    assert dict(await bad.trailing_metadata())["x-request-id"] == "mine-2"
    assert dict(await bad.trailing_metadata())["protojobs-version"]


@pytest.mark.parametrize("given", ["", "x" * 65])
async def test_a_request_id_that_is_no_good_is_replaced(peer: Peer, given: str) -> None:
    call = peer.jobs.Dispatch(job_service_pb2.DispatchRequest(spec=spec()), metadata=(("x-request-id", given),))
    await call

    assert len(dict(await call.trailing_metadata())["x-request-id"]) == 16


async def _reflected(peer: Peer) -> set[str]:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub
    call = stub(peer.channel).ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    answer: Any = await call.read()
    await call.done_writing()
    return {service.name for service in answer.list_services_response.service}


async def test_reflection_names_every_service_on_loopback(peer: Peer) -> None:
    names = await _reflected(peer)

    assert {f"protojobs.v1.{name}Service" for name in ("Job", "Queue", "Schedule", "Worker", "Server")} < names
    assert "grpc.health.v1.Health" in names


async def test_reflection_can_be_switched_off() -> None:
    async with serving(grpc={"reflection": "off"}) as peer:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await _reflected(peer)

        assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_an_unexpected_error_says_nothing_but_an_id_that_is_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as peer:

        async def fail(job_id: Any) -> Any:
            raise ZeroDivisionError("secret of the store")

        monkeypatch.setattr(type(peer.server.application.inspect), "get", lambda self, job_id: fail(job_id))
        error = await refused(peer.get(id_at(now())))

    assert (error.code, error.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "secret" not in error.message
    assert "ZeroDivision" not in error.message
    [record] = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert getattr(record, "error_id", None) == error.metadata["error_id"]
    assert record.exc_info is not None


async def test_a_server_does_not_listen_beyond_loopback_without_being_told() -> None:
    with pytest.raises(InvalidSettings, match="insecure"):
        async with start_server(settings_for(host="0.0.0.0")):
            pass

    async with start_server(settings_for(host="0.0.0.0", insecure=True)) as server, connected(server) as peer:
        assert (await peer.dispatch()).job_id


async def test_a_taken_port_is_an_error_of_its_own_kind() -> None:
    async with serving() as peer:
        port = int(peer.server.address.rpartition(":")[2])
        with pytest.raises(OSError, match="listen"):
            async with start_server(settings_for(port=port)):
                pass


async def test_a_store_that_does_not_answer_keeps_a_server_from_starting() -> None:
    driver = memory_driver()

    async def ping() -> Any:
        raise StoreUnavailable

    driver.ping = ping  # type: ignore[method-assign] # it has gone
    with pytest.raises(StoreUnavailable):
        async with start_server(settings_for(), driver=driver):
            pass


async def test_jobs_outlive_a_server_on_sqlite(tmp_path: Any) -> None:
    from protojobs_service.compose import upgrade_schema

    settings = settings_for(driver="sqlite", sqlite={"path": tmp_path / "jobs.db"})
    await upgrade_schema(settings)
    async with start_server(settings) as server, connected(server) as peer:
        job_id = (await peer.dispatch(payload=b"kept")).job_id

    async with start_server(settings) as server, connected(server) as peer:
        assert (await peer.get(job_id)).spec.payload == b"kept"


async def test_a_database_without_a_schema_is_not_served(tmp_path: Any) -> None:
    with pytest.raises(StoreUnavailable, match="migrate upgrade"):
        async with start_server(settings_for(driver="sqlite", sqlite={"path": tmp_path / "jobs.db"})):
            pass
