"""The channel: its settings, TLS and tokens."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from protojobs_client import AsyncClient, Options, ProtoJobsError, redial
from protojobs_client.channel import channel_arguments, service_config
from protojobs_client.errors import UnauthenticatedError

from tests.conftest import NOT_ON_THIS_MACHINE
from tests.unit.client.fake import FakeServer


def retried() -> set[str]:
    """Name the methods that gRPC retries."""
    [method_config] = json.loads(service_config())["methodConfig"]
    return {f"{name['service']}/{name['method']}" for name in method_config["name"]}


@pytest.mark.parametrize(
    "method",
    [
        "JobService/BulkJobs",
        "JobService/Dispatch",
        "JobService/DispatchBatch",
        "JobService/GetJob",
        "QueueService/Stats",
        "WorkerService/SettleLeases",
    ],
)
def test_idempotent_methods_are_retried(method: str) -> None:
    assert f"protojobs.v1.{method}" in retried()


@pytest.mark.parametrize(
    "method",
    ["JobService/DispatchStream", "WorkerService/Lease", "ScheduleService/TriggerSchedule"],
)
def test_streams_and_calls_that_may_act_twice_are_not(method: str) -> None:
    assert f"protojobs.v1.{method}" not in retried()


def test_the_service_config_balances_over_healthy_servers() -> None:
    config = json.loads(service_config())

    assert config["loadBalancingConfig"] == [{"round_robin": {}}]
    assert config["healthCheckConfig"] == {"serviceName": ""}
    assert config["retryThrottling"] == {"maxTokens": 10, "tokenRatio": 0.1}
    assert config["methodConfig"][0]["retryPolicy"]["maxAttempts"] == 4


def test_the_channel_pings_an_idle_connection() -> None:
    arguments = dict(channel_arguments(Options()))

    assert arguments["grpc.keepalive_time_ms"] == 20_000
    assert arguments["grpc.keepalive_timeout_ms"] == 10_000
    assert arguments["grpc.keepalive_permit_without_calls"] == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("streaming", [True, False])
async def test_a_token_goes_with_every_call_even_without_tls(server: FakeServer, streaming: bool) -> None:
    options = Options(address=server.address, token="t0ken", streaming=streaming)

    async with AsyncClient(options=options) as client:
        await client.dispatch("kind")

    assert [metadata["authorization"] for metadata in server.jobs.metadata] == ["Bearer t0ken"]
    assert len(server.jobs.stored) == 1


@pytest.mark.asyncio
async def test_a_token_file_is_read_again_when_it_changes(server: FakeServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    options = Options(address=server.address, token_file=file, streaming=False)

    async with AsyncClient(options=options) as client:
        await client.dispatch("kind")
        file.write_text("second\n")
        await client.dispatch("kind")

    assert [metadata["authorization"] for metadata in server.jobs.metadata] == ["Bearer first", "Bearer second"]


@pytest.mark.asyncio
@pytest.mark.parametrize("gone", [True, False])
async def test_a_token_file_that_is_being_replaced_leaves_the_last_token(server: FakeServer, tmp_path: Path, gone: bool) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")

    async with AsyncClient(options=Options(address=server.address, token_file=file, streaming=False)) as client:
        await client.dispatch("kind")
        if gone:
            file.unlink()
        else:
            file.write_text("")
        await client.dispatch("kind")

    assert [metadata["authorization"] for metadata in server.jobs.metadata] == ["Bearer first", "Bearer first"]


@pytest.mark.asyncio
async def test_a_stream_is_opened_anew_when_the_token_file_changes(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redial, "LOOK_SECONDS", 0.01)
    file = tmp_path / "token"
    file.write_text("first\n")

    async with AsyncClient(options=Options(address=server.address, token_file=file)) as client, asyncio.timeout(20):
        await client.dispatch("kind")
        file.write_text("second\n")
        while server.jobs.streams < 2:
            await client.dispatch("kind")

    assert [metadata["authorization"] for metadata in server.jobs.metadata] == ["Bearer first", "Bearer second"]
    assert server.jobs.stored.keys() == {job_id for frame in server.jobs.frames for job_id in frame}


@pytest.mark.asyncio
@pytest.mark.parametrize("streaming", [True, False])
async def test_a_token_file_that_is_not_there_is_an_authentication_error(
    server: FakeServer, streaming: bool, tmp_path: Path
) -> None:
    options = Options(address=server.address, token_file=tmp_path / "none", streaming=streaming)

    async with AsyncClient(options=options) as client:
        with pytest.raises(UnauthenticatedError, match="token file"):
            await client.dispatch("kind")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Make a key and a certificate for the name "jobs"."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip(f"{NOT_ON_THIS_MACHINE}openssl")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ["-subj", "/CN=jobs", "-addext", "subjectAltName=DNS:jobs"]
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*command, *subject, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return key, cert


@pytest_asyncio.fixture
async def tls_server(certificate: tuple[Path, Path]) -> AsyncIterator[FakeServer]:
    """Run the fake server with the certificate."""
    pair = (certificate[0].read_bytes(), certificate[1].read_bytes())
    fake = FakeServer(credentials=grpc.ssl_server_credentials([pair]))
    await fake.start()
    yield fake
    await fake.stop()


@pytest.mark.asyncio
async def test_tls_and_a_token_work_together(tls_server: FakeServer, certificate: tuple[Path, Path]) -> None:
    options = Options(address=tls_server.address, ca=certificate[1], server_name="jobs", token="t0ken")

    async with AsyncClient(options=options) as client:
        await client.dispatch("kind")

    assert tls_server.jobs.metadata[0]["authorization"] == "Bearer t0ken"


@pytest.mark.asyncio
async def test_a_certificate_that_is_not_trusted_ends_in_an_error(tls_server: FakeServer) -> None:
    short = timedelta(milliseconds=300)
    options = Options(address=f"localhost:{tls_server.port}", call_timeout=short, read_deadline=short)

    async with AsyncClient(options=options) as client:
        with pytest.raises(ProtoJobsError):
            await client.get("1")
