"""Certificates, roots and tokens change under load, and no call and no lease is the worse for it."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import stamina
from protojobs_client import AsyncClient, Options, redial
from protojobs_client.redial import RedialledChannel
from protojobs_service.compose import RunningServer, start_server
from protojobs_service.transport.call import Call, Proceed
from protojobs_service.transport.interceptors import RequestId
from protojobs_worker import JobContext, Worker

from tests.certificates import Authority, Files, Pair, replace
from tests.wire.peer import settings_for, until

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

LEASE = "/protojobs.v1.WorkerService/Lease"
DISPATCH_STREAM = "/protojobs.v1.JobService/DispatchStream"


@dataclass
class Heard:
    """What the server has seen of its calls: path and token when they began, path and code when they ended."""

    begun: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    ended: list[tuple[str, grpc.StatusCode]] = field(default_factory=list[tuple[str, grpc.StatusCode]])

    def tokens(self, path: str) -> list[str]:
        """Return the tokens that calls of a path have shown, in order."""
        return [token for begun, token in self.begun if begun == path]

    def failed(self) -> list[tuple[str, grpc.StatusCode]]:
        """Return how calls ended that neither succeeded nor were left by their caller."""
        fine = (grpc.StatusCode.OK, grpc.StatusCode.CANCELLED)
        return [(path, code) for path, code in self.ended if code not in fine]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    """Listen to the calls of every server."""
    found = Heard()
    original = RequestId.__call__

    async def listening(self: RequestId, call: Call, proceed: Proceed) -> Any:
        token = dict(call.context.invocation_metadata() or ()).get("authorization", "")
        found.begun.append((call.rpc.path, str(token)))
        try:
            return await original(self, call, proceed)
        finally:
            found.ended.append((call.rpc.path, call.code))

    monkeypatch.setattr(RequestId, "__call__", listening)
    return found


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let clients look at their files often, and raise whatever fails instead of trying again."""
    monkeypatch.setattr(redial, "LOOK_SECONDS", 0.05)
    stamina.set_active(False)
    yield
    stamina.set_active(True)


class Stand:
    """A server, a producer that never rests and a worker, with their files; one job runs from the beginning to the end."""

    def __init__(self, server: RunningServer, server_files: Files, options: Options) -> None:
        self.server = server
        self.server_files = server_files
        self.client = AsyncClient(options=options)
        self.worker = Worker(options, queues=["default"], concurrency=8)
        self.performed: Counter[str] = Counter()
        self.dispatched: list[str] = []
        self.holding = asyncio.Event()
        self.may_end = asyncio.Event()
        self.rests = asyncio.Event()
        self.worker.handler("quick", inline=True)(self._quick)
        self.worker.handler("long")(self._long)

    def _quick(self, ctx: JobContext) -> None:
        self.performed[ctx.job_id] += 1

    async def _long(self, ctx: JobContext) -> int:
        self.performed[ctx.job_id] += 1
        self.holding.set()
        await self.may_end.wait()
        return ctx.attempt

    async def produce(self) -> None:
        """Dispatch one by one, look at each job, and never pause."""
        while not self.rests.is_set():
            job = await self.client.dispatch("quick")
            self.dispatched.append(job.job_id)
            await self.client.get(job.job_id)

    async def progress(self) -> None:
        """Wait until jobs dispatched from now on have been performed."""
        beginning = len(self.dispatched)
        await holds(lambda: len(self.dispatched) >= beginning + 20)
        later = self.dispatched[beginning : beginning + 20]
        await holds(lambda: all(self.performed[job] for job in later))

    @property
    def channel(self) -> RedialledChannel:
        """Return the producer's channel."""
        found = self.client._connection.channel
        assert isinstance(found, RedialledChannel)
        return found

    @asynccontextmanager
    async def moving(self, heard: Heard) -> AsyncIterator[None]:
        """Change files inside: the producer's and the worker's streams must go on by others, and work must go on."""
        leases, streams = len(heard.tokens(LEASE)), len(heard.tokens(DISPATCH_STREAM))
        yield
        await holds(lambda: len(heard.tokens(LEASE)) > leases and len(heard.tokens(DISPATCH_STREAM)) > streams)
        await self.progress()


async def holds(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""

    async def look() -> bool:
        return condition()

    await until(look, bool)


@asynccontextmanager
async def _standing(server_files: Files, client_files: Files, token: Path | None = None) -> AsyncIterator[Stand]:
    tls = {"cert": server_files.cert, "key": server_files.key, "client_ca": server_files.ca, "client_auth": "required"}
    async with start_server(settings_for(tls=tls, session={"ttl": 15, "reconnect_grace": 2})) as server:
        options = Options(
            address=server.address, ca=client_files.ca, cert=client_files.cert, key=client_files.key, token_file=token
        )
        stand = Stand(server, server_files, options)
        async with stand.client, asyncio.TaskGroup() as tasks:
            working = tasks.create_task(stand.worker.serve())
            long = await stand.client.dispatch("long")
            await stand.holding.wait()
            producing = [tasks.create_task(stand.produce()) for _ in range(3)]
            await stand.progress()

            yield stand

            stand.rests.set()
            await asyncio.wait(producing)
            stand.may_end.set()
            assert await stand.client.wait(long.job_id, timeout=20) == 1  # of one attempt
            for job_id in stand.dispatched:
                await stand.client.wait(job_id, timeout=20)
            assert set(stand.performed.values()) == {1}
            stand.worker.stop()
            await working


@pytest.fixture
def old() -> Authority:
    """Return the authority that everybody trusts at the beginning."""
    return Authority("old")


@pytest.fixture
def server_files(old: Authority, tmp_path: Path) -> Files:
    """Return the server's files."""
    return Files(tmp_path / "server").write(old.server(), old)


@pytest.fixture
def client_files(old: Authority, tmp_path: Path) -> Files:
    """Return the files of producer and worker."""
    return Files(tmp_path / "client").write(old.client(), old)


async def test_everything_is_rotated_to_another_authority_under_load(
    old: Authority, server_files: Files, client_files: Files, tmp_path: Path, heard: Heard
) -> None:
    new, token = Authority("new"), tmp_path / "token"
    token.write_text("first")

    async with _standing(server_files, client_files, token) as stand:
        server_files.write(old.server())
        await stand.progress()
        server_files.write(None, old, new)
        async with stand.moving(heard):
            client_files.write(None, old, new)
        server_files.write(new.server())
        async with stand.moving(heard):
            client_files.write(new.client())
        server_files.write(None, new)
        async with stand.moving(heard):
            client_files.write(None, new)
        async with stand.moving(heard):
            replace(token, b"second")
        assert await _shown(stand.server) == server_files.cert.read_text()
        await holds(lambda: not stand.channel._left)

    assert heard.failed() == []
    for path in (LEASE, DISPATCH_STREAM):
        tokens = heard.tokens(path)
        assert (tokens[0], tokens[-1]) == ("Bearer first", "Bearer second")


async def test_a_certificate_that_the_server_does_not_trust_leaves_the_old_connection_in_use(
    old: Authority, server_files: Files, client_files: Files, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    async with _standing(server_files, client_files) as stand:
        line = stand.channel.line
        client_files.write(Authority("foreign").client())
        await holds(lambda: len(_refused(caplog)) >= 2)
        await stand.progress()
        kept = stand.channel.line is line
        async with stand.moving(heard):
            client_files.write(old.client())

    assert kept
    assert heard.failed() == []
    # The worker has a channel of its own.
    assert _refused(caplog) == ["no connection comes about with it"] * 2


def _refused(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [vars(each)["why"] for each in caplog.records if each.message.startswith("changed certificate cannot be used")]


async def test_a_key_that_comes_later_than_its_certificate_is_waited_for(
    old: Authority, server_files: Files, client_files: Files, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    following: Pair = old.client()

    async with _standing(server_files, client_files) as stand:
        replace(client_files.cert, following.cert)
        await holds(lambda: len(_refused(caplog)) >= 2)
        await stand.progress()
        async with stand.moving(heard):
            replace(client_files.key, following.key)

    assert heard.failed() == []


async def _shown(server: RunningServer) -> str:
    host, _, port = server.address.rpartition(":")
    return await asyncio.to_thread(ssl.get_server_certificate, (host, int(port)), timeout=10)
