"""What KEDA's operator hears: its generated client, built from its own Go module, calls a server in its order."""

import asyncio
import fcntl
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from protojobs_service.compose import start_server

from tests.certificates import Authority, Files
from tests.conftest import NOT_ON_THIS_MACHINE
from tests.interop.languages import environment
from tests.wire.callers import service_of
from tests.wire.lease_worker import UnaryWorker, complete
from tests.wire.peer import PATIENCE, Peer, connected, settings_for

pytestmark = [pytest.mark.asyncio, pytest.mark.slow, pytest.mark.timeout(600)]

HERE = Path(__file__).resolve().parent
TRIGGER = {"scalerAddress": "jobs:6000", "queues": "default,new.*", "targetPerReplica": "2.5"}
NAME = "protojobs-jobs"


@pytest.fixture(scope="module")
def program() -> Path:
    """Build the program, once for all processes of a test session."""
    go = shutil.which("go", path=environment()["PATH"])
    if go is None:
        pytest.skip(f"{NOT_ON_THIS_MACHINE}go")
    made = HERE / ".build" / "keda"
    with (HERE / "main.go").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            [go, "build", "-o", made, "."], cwd=HERE, env=environment(), capture_output=True, text=True, timeout=540, check=False
        )
    assert done.returncode == 0, done.stderr[-3000:]
    return made


class Keda:
    """The program under way."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self._heard: list[dict[str, Any]] = []

    async def hears(self, call: str, **fields: object) -> dict[str, Any]:
        """Return the next event of a call with these fields, and forget it. Fails after a while."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for event in self._heard:
                    if event["call"] == call and fields.items() <= event.items():
                        self._heard.remove(event)
                        return event
                line = await self._stdout.readline()
                assert line, f"it ended without {call} {fields}: {self._heard}"
                self._heard.append(json.loads(line))

    async def poll(self) -> tuple[float, bool]:
        """Return what one poll of KEDA finds: the metric, and after it whether there should be a replica."""
        self._stdin.write(b"\n")
        metric = await self.hears("GetMetrics")
        assert metric["name"] == f"s0-{NAME}"
        assert metric["value"] == metric["whole"]
        active = await self.hears("IsActive")
        return float(metric["value"]), bool(active["active"])

    async def polls_until(self, found: tuple[float, bool]) -> None:
        """Poll until this is found: numbers are a second old at most."""
        async with asyncio.timeout(PATIENCE):
            while await self.poll() != found:  # noqa: ASYNC110 # KEDA polls, too
                await asyncio.sleep(0.05)


@asynccontextmanager
async def _keda(program: Path, address: str, *options: str | Path, **metadata: str) -> AsyncIterator[Keda]:
    process = await asyncio.create_subprocess_exec(
        program,
        *options,
        address,
        json.dumps({**TRIGGER, **metadata}),
        env=environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Keda(process)
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def _served(program: Path, **metadata: str) -> AsyncIterator[tuple[Peer, Keda]]:
    """Run a server with a scaler, and KEDA beside it."""
    async with (
        start_server(settings_for(scaler_port=0)) as server,
        connected(server) as peer,
        _keda(program, server.scaler_address, **metadata) as keda,
    ):
        yield peer, keda


async def test_a_deployment_goes_from_none_to_some_and_back_as_jobs_come_and_go(program: Path) -> None:
    async with _served(program) as (peer, keda):
        asked = await keda.hears("GetMetricSpec")
        streamed = await keda.hears("StreamMetricSpec")
        assert (asked["name"], asked["target"], asked["whole"]) == (NAME, 2.5, 3)
        assert asked | {"call": ""} == streamed | {"call": ""}
        await keda.hears("StreamIsActive", active=False)
        assert await keda.poll() == (0, False)

        await service_of(peer).dispatch(3)
        await keda.hears("StreamIsActive", active=True)
        await keda.polls_until((3, True))

        worker = await UnaryWorker.open(service_of(peer))
        leases = await worker.get(3)
        await worker.settle(complete(*leases[:2]))
        await keda.polls_until((1, True))

        await worker.settle(complete(*leases[2:]))
        await keda.hears("StreamIsActive", active=False)
        await keda.polls_until((0, False))


async def test_streams_end_well_when_the_server_leaves(program: Path) -> None:
    async with _served(program) as (peer, keda):
        await keda.hears("StreamMetricSpec")
        await keda.hears("StreamIsActive", active=False)

        peer.server.grpc.drain_signal.begin()

        await keda.hears("StreamIsActive", ended="EOF")
        await keda.hears("StreamMetricSpec", ended="EOF")
        assert await keda.poll() == (0, False)


async def test_a_wrong_trigger_is_named_in_what_keda_logs(program: Path) -> None:
    async with _served(program, include="waiting") as (_, keda):
        refused = [await keda.hears(call) for call in ("GetMetricSpec", "StreamMetricSpec", "StreamIsActive")]

    assert {(each["ended"], each["message"]) for each in refused} == {
        ("InvalidArgument", "scalerMetadata.include: must be of pending, running, scheduled, apart by commas")
    }


async def test_keda_comes_with_a_certificate_where_the_scaler_wants_one(program: Path, tmp_path: Path) -> None:
    authority = Authority()
    own = Files(tmp_path / "server").write(authority.server(), authority)
    theirs = Files(tmp_path / "keda").write(authority.client(), authority)
    tls = {"cert": own.cert, "key": own.key, "client_ca": own.ca, "client_auth": "required"}

    async with start_server(settings_for(scaler_port=0, scaler_tls=tls)) as server:
        options = ("-ca", theirs.ca, "-cert", theirs.cert, "-key", theirs.key)
        async with _keda(program, server.scaler_address, *options) as keda:
            await keda.hears("GetMetricSpec", target=2.5)
            await keda.hears("StreamIsActive", active=False)
        async with _keda(program, server.scaler_address) as stranger:
            await stranger.hears("GetMetricSpec", ended="Unavailable")
