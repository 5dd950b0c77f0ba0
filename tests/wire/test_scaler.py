"""KEDA's external scaler on its listener: who gets in, what is answered, and how its streams end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from protojobs.keda import externalscaler_pb2, externalscaler_pb2_grpc
from protojobs.v1 import server_service_pb2, server_service_pb2_grpc
from protojobs_service.compose import start_server
from protojobs_service.settings import InvalidSettings

from tests.certificates import Authority, Files
from tests.wire.callers import asking, service_of
from tests.wire.lease_worker import UnaryWorker, complete
from tests.wire.peer import Peer, connected, refused, settings_for, until

pytestmark = pytest.mark.asyncio

METRIC = "protojobs-jobs"


def _object(**metadata: str) -> externalscaler_pb2.ScaledObjectRef:
    said = {"scalerAddress": "jobs:6000", "queues": "default", **metadata}
    return externalscaler_pb2.ScaledObjectRef(name="worker", namespace="jobs", scalerMetadata=said)


def _metrics(**metadata: str) -> externalscaler_pb2.GetMetricsRequest:
    return externalscaler_pb2.GetMetricsRequest(scaledObjectRef=_object(**metadata), metricName=METRIC)


@asynccontextmanager
async def _scaling(**settings: Any) -> AsyncIterator[tuple[Peer, Any]]:
    """Run a server with a scaler; gives a peer of the one and a stub of the other."""
    async with (
        start_server(settings_for(scaler_port=0, **settings)) as server,
        connected(server) as peer,
        grpc.aio.insecure_channel(server.scaler_address) as channel,
    ):
        yield peer, _stub(channel)


def _stub(channel: grpc.aio.Channel) -> Any:
    stub: Any = externalscaler_pb2_grpc.ExternalScalerStub
    return stub(channel)


async def _jobs(scaler: Any, **metadata: str) -> float:
    [value] = (await scaler.GetMetrics(_metrics(**metadata))).metricValues
    assert value.metricValue == value.metricValueFloat
    return float(value.metricValueFloat)


async def test_jobs_that_wait_and_jobs_that_run_are_the_metric() -> None:
    async with _scaling() as (peer, scaler):
        assert await _jobs(scaler) == 0
        assert not (await scaler.IsActive(_object())).result

        await service_of(peer).dispatch(3)
        worker = await UnaryWorker.open(service_of(peer))
        [lease] = await worker.get(1)

        assert await until(lambda: _jobs(scaler), lambda jobs: jobs == 3) == 3
        assert await _jobs(scaler, include="running") == 1
        assert await _jobs(scaler, include="pending") == 2
        assert await _jobs(scaler, kinds="other") == 0
        assert (await scaler.IsActive(_object(activationBacklog="100"))).result

        await worker.settle(complete(lease))

        assert await until(lambda: _jobs(scaler), lambda jobs: jobs == 2) == 2


async def test_a_queue_that_does_not_exist_yet_has_no_jobs_and_no_replica() -> None:
    async with _scaling() as (_, scaler):
        assert await _jobs(scaler, queues="never,no.*") == 0
        assert not (await scaler.IsActive(_object(queues="never"))).result


async def test_specs_are_told_when_asked_and_at_once_on_the_stream() -> None:
    async with _scaling() as (_, scaler):
        trigger = _object(targetPerReplica="2.5")
        asked = await scaler.GetMetricSpec(trigger)

        stream = scaler.StreamMetricSpec(trigger)
        assert await stream.read() == asked
        stream.cancel()

        [spec] = asked.metricSpecs
        assert (spec.metricName, spec.targetSize, spec.targetSizeFloat) == (METRIC, 3, 2.5)


async def test_the_first_job_is_pushed_and_streams_end_well_when_the_server_goes() -> None:
    async with _scaling() as (peer, scaler):
        activity, specs = scaler.StreamIsActive(_object()), scaler.StreamMetricSpec(_object())
        assert not (await activity.read()).result
        await specs.read()

        await peer.dispatch()

        assert (await activity.read()).result
        peer.server.grpc.drain_signal.begin()
        assert await activity.read() is grpc.aio.EOF
        assert await specs.read() is grpc.aio.EOF
        assert await activity.code() == grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("metadata", "field"),
    [({"queues": ""}, "queues"), ({"queue": "mail"}, "queue"), ({"targetPerReplica": "many"}, "targetPerReplica")],
)
async def test_a_wrong_trigger_is_refused_by_the_name_of_its_field(metadata: dict[str, str], field: str) -> None:
    async with _scaling() as (_, scaler):
        for call in (
            scaler.IsActive(_object(**metadata)),
            scaler.GetMetricSpec(_object(**metadata)),
            scaler.GetMetrics(_metrics(**metadata)),
            scaler.StreamIsActive(_object(**metadata)).read(),
            scaler.StreamMetricSpec(_object(**metadata)).read(),
        ):
            refusal = await refused(call)
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
            assert refusal.fields == [f"scalerMetadata.{field}"]
            assert f"scalerMetadata.{field}: " in refusal.message


async def test_without_a_port_there_is_no_scaler() -> None:
    async with start_server(settings_for()) as server, connected(server) as peer:
        assert server.scaler_address == ""
        refusal = await refused(_stub(peer.channel).IsActive(_object()))

    assert refusal.code == grpc.StatusCode.UNIMPLEMENTED


async def test_the_scaler_asks_for_no_token_and_has_nothing_else(tmp_path: Path) -> None:
    async with _scaling(**asking(tmp_path)) as (peer, scaler):
        assert await _jobs(scaler) == 0
        async with grpc.aio.insecure_channel(peer.server.scaler_address) as channel:
            stub: Any = server_service_pb2_grpc.ServerServiceStub
            refusal = await refused(stub(channel).GetServerInfo(server_service_pb2.GetServerInfoRequest()))

    assert refusal.code == grpc.StatusCode.UNIMPLEMENTED


async def test_an_unencrypted_scaler_beyond_loopback_is_refused_by_name() -> None:
    with pytest.raises(InvalidSettings, match=r"scaler_host: .* tls.cert or --insecure"):
        async with start_server(settings_for(scaler_port=0, scaler_host="0.0.0.0")):
            pass

    async with start_server(settings_for(scaler_port=0, scaler_host="0.0.0.0", insecure=True)) as server:
        assert server.scaler_address.startswith("127.0.0.1:")


async def test_a_scaler_lets_in_who_has_a_certificate_of_its_authority(tmp_path: Path) -> None:
    authority = Authority()
    files = Files(tmp_path / "server").write(authority.server(), authority)
    mutual = {"cert": files.cert, "key": files.key, "client_ca": files.ca, "client_auth": "required"}
    known, stranger = authority.client(), Authority("another").client()

    async with start_server(settings_for(scaler_port=0, scaler_tls=mutual)) as server:
        credentials = grpc.ssl_channel_credentials(authority.pem, known.key, known.cert)
        async with grpc.aio.secure_channel(server.scaler_address, credentials) as channel:
            assert await _jobs(_stub(channel)) == 0
        credentials = grpc.ssl_channel_credentials(authority.pem, stranger.key, stranger.cert)
        async with grpc.aio.secure_channel(server.scaler_address, credentials) as channel:
            refusal = await refused(_stub(channel).IsActive(_object()))

    assert refusal.code == grpc.StatusCode.UNAVAILABLE


async def test_a_port_that_is_taken_keeps_the_server_from_starting() -> None:
    async with _scaling() as (peer, _):
        port = int(peer.server.scaler_address.rpartition(":")[2])
        with pytest.raises(OSError, match="listen"):
            async with start_server(settings_for(scaler_port=port)):
                pass
