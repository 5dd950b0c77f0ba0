"""Credentials that end while a call goes on, and certificates as credentials."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration
from protojobs.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    job_pb2,
    job_service_pb2,
    queue_service_pb2,
    worker_service_pb2,
)
from protojobs_client import Options, redial
from protojobs_service.application import MadeToken
from protojobs_service.compose import start_server
from protojobs_service.domain.access import Grant, Scope
from protojobs_worker import ExitReason, Worker

from tests.certificates import Authority, Files
from tests.schema import make_sqlite
from tests.wire.callers import KEY, asking_server, bearing, service_of
from tests.wire.lease_worker import StreamWorker
from tests.wire.peer import Peer, Refusal, connected, ended, refused, settings_for, until

pytestmark = pytest.mark.asyncio

HOUR = timedelta(hours=1)


@asynccontextmanager
async def _with_own_tokens(tmp_path: Path, **changes: Any) -> AsyncIterator[Peer]:
    settings = settings_for(driver="sqlite", sqlite={"path": tmp_path / "jobs.db"}, auth={"mode": "required"}, **changes)
    make_sqlite(tmp_path / "jobs.db")
    async with start_server(settings) as server, connected(server) as peer:
        yield peer


async def _token(peer: Peer, name: str, *grants: Grant, ttl: timedelta = HOUR) -> MadeToken:
    return await peer.server.application.tokens.create(name, grants, ttl, created_by="test")


async def _caller(peer: Peer) -> admin_service_pb2.GetCallerResponse:
    stub: Any = admin_service_pb2_grpc.AdminServiceStub(peer.channel)
    answer: admin_service_pb2.GetCallerResponse = await stub.GetCaller(admin_service_pb2.GetCallerRequest())
    return answer


async def test_a_token_of_the_service_is_let_in_with_its_grants_until_it_is_revoked(tmp_path: Path) -> None:
    async with _with_own_tokens(tmp_path) as peer:
        made = await _token(peer, "shop", Grant(Scope.PRODUCER, "a-*"))
        shop = bearing(peer, made.text)

        caller = await _caller(shop)
        await shop.dispatch(queue="a-1")
        denied = await refused(shop.dispatch(queue="b-1"))
        await peer.server.application.tokens.revoke(made.token.id)
        gone = await refused(shop.dispatch(queue="a-1"))

    assert (caller.principal, caller.name) == (f"token:{made.token.id}", "shop")
    assert (denied.reason, gone.reason) == ("PERMISSION_DENIED", "UNAUTHENTICATED")


async def test_a_wrong_secret_of_a_right_token_is_refused(tmp_path: Path) -> None:
    async with _with_own_tokens(tmp_path) as peer:
        made = await _token(peer, "shop", Grant(Scope.PRODUCER))
        other = await _token(peer, "other", Grant(Scope.PRODUCER))
        head, _, secret = made.text.rpartition("_")

        for text in (
            f"{head}_{'0' * 64}",
            f"{head}_{other.text.rpartition('_')[2]}",
            head,
            f"{head}_{secret.upper()}",
            f"{made.text}0",
        ):
            assert (await refused(_caller(bearing(peer, text)))).reason == "UNAUTHENTICATED", text


async def _open_everything(by: Peer) -> dict[str, Any]:
    """Open every kind of stream, and calls that wait; each is answered or under way when this returns."""
    job = await by.dispatch(queue="a-1", delay=Duration(seconds=3600))
    lease = await StreamWorker.open(service_of(by), queues=[worker_service_pb2.QueueSubscription(name="a-2")])
    streams = {
        "DispatchStream": by.jobs.DispatchStream(),
        "WatchJobs": by.jobs.WatchJobs(job_service_pb2.WatchJobsRequest()),
        "WatchStats": by.queues.WatchStats(queue_service_pb2.WatchStatsRequest(interval=Duration(seconds=30))),
    }
    for stream in streams.values():
        await stream.read()
    acquire = worker_service_pb2.AcquireLeasesRequest(
        session_id=os.urandom(16),
        acquire_seq=1,
        queues=[worker_service_pb2.QueueSubscription(name="a-2")],
        wait=Duration(seconds=50),
    )
    calls = {
        "WaitJob": by.jobs.WaitJob(job_service_pb2.WaitJobRequest(job_id=job.job_id, wait=Duration(seconds=50))),
        "AcquireLeases": by.workers.AcquireLeases(acquire),
    }
    application = by.server.application
    await until(lambda: _true(application.wait.any and len(application.leasing.sessions) == 2), bool)
    return {
        "Lease": lease.stream.error(),
        **{name: ended(stream) for name, stream in streams.items()},
        **{name: refused(call) for name, call in calls.items()},
    }


async def _true(value: bool) -> bool:
    return value


async def _how_they_end(opened: dict[str, Any]) -> dict[str, grpc.StatusCode]:
    async with asyncio.timeout(15):
        ends = await asyncio.gather(*opened.values())
    return {name: end.code if isinstance(end, Refusal) else end.code() for name, end in zip(opened, ends, strict=True)}


async def test_what_goes_on_under_a_token_ends_when_it_is_revoked_and_nothing_else_does(tmp_path: Path) -> None:
    everything = tuple(Grant(scope) for scope in (Scope.PRODUCER, Scope.WORKER, Scope.OPERATOR))
    async with _with_own_tokens(tmp_path) as peer:
        made, other = await _token(peer, "shop", *everything), await _token(peer, "other", *everything)
        bystander = bearing(peer, other.text).jobs.DispatchStream()
        await bystander.read()
        opened = await _open_everything(bearing(peer, made.text))

        await peer.server.application.tokens.revoke(made.token.id)
        ends = await _how_they_end(opened)

        await bystander.write(job_service_pb2.DispatchStreamRequest(seq=1, specs=[job_pb2.JobSpec(kind="k")]))
        assert (await bystander.read()).up_to_seq == 1
        await bystander.done_writing()

    assert ends == dict.fromkeys(opened, grpc.StatusCode.UNAUTHENTICATED)


async def test_what_goes_on_under_a_token_ends_with_its_time(tmp_path: Path) -> None:
    soon = datetime.now(UTC) - timedelta(seconds=26)  # and the leeway
    token = KEY.sign(sub="shop", roles=["producer-all", "worker-all", "operator-all"], exp=soon)
    async with asking_server(tmp_path) as peer:
        ends = await _how_they_end(await _open_everything(bearing(peer, token)))

    assert set(ends.values()) == {grpc.StatusCode.UNAUTHENTICATED}
    assert len(ends) == 6


async def test_leases_go_back_where_the_credentials_of_their_worker_have_ended(tmp_path: Path) -> None:
    async with _with_own_tokens(tmp_path) as peer:
        made = await _token(peer, "worker", Grant(Scope.WORKER))
        root = bearing(peer, (await _token(peer, "root", Grant(Scope.ADMIN))).text)
        job = await root.dispatch(queue="a-1")
        worker = await StreamWorker.open(
            service_of(bearing(peer, made.text)), queues=[worker_service_pb2.QueueSubscription(name="a-1")]
        )
        await worker.get(1)

        await peer.server.application.tokens.revoke(made.token.id)
        await worker.stream.error()
        other = await StreamWorker.open(service_of(root), queues=[worker_service_pb2.QueueSubscription(name="a-1")])
        [lease] = await other.get(1)

        assert (lease.job_id, lease.attempt) == (job.job_id, 2)
        await other.close()


async def test_a_session_goes_on_with_another_token_of_its_name(tmp_path: Path) -> None:
    async with _with_own_tokens(tmp_path) as peer:
        old, new = [await _token(peer, "worker", Grant(Scope.WORKER)) for _ in range(2)]
        stranger = await _token(peer, "stranger", Grant(Scope.WORKER))
        root = bearing(peer, (await _token(peer, "root", Grant(Scope.ADMIN))).text)
        await root.dispatch(queue="a-1")
        said = {"queues": [worker_service_pb2.QueueSubscription(name="a-1")], "session_id": os.urandom(16)}
        worker = await StreamWorker.open(service_of(bearing(peer, old.text)), **said)
        [lease] = await worker.get(1)
        held = [worker_service_pb2.HeldLease(job_id=lease.job_id, attempt=lease.attempt, started=True)]

        lost = await StreamWorker.welcomed(service_of(bearing(peer, stranger.text)), **said, stream_no=2, held=held)
        kept = await StreamWorker.welcomed(service_of(bearing(peer, new.text)), **said, stream_no=3, held=held)

        assert [ref.job_id for ref in lost[1].lost] == [lease.job_id]
        assert [ref.job_id for ref in kept[1].kept] == [lease.job_id]
        for each in (lost[0], kept[0]):
            await each.close()


async def test_a_worker_whose_token_is_revoked_goes_on_with_its_job_once_its_token_file_holds_a_good_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(redial, "LOOK_SECONDS", 0.05)
    file, may_end, begun = tmp_path / "token", asyncio.Event(), asyncio.Event()
    async with _with_own_tokens(tmp_path, session={"reconnect_grace": 20}) as peer:
        old, new = [await _token(peer, "worker", Grant(Scope.WORKER)) for _ in range(2)]
        root = bearing(peer, (await _token(peer, "root", Grant(Scope.ADMIN))).text)
        file.write_text(old.text)
        worker = Worker(Options(address=peer.server.address, token_file=file), queues=["a-1"])

        @worker.handler("email")
        async def email() -> None:
            begun.set()
            await may_end.wait()

        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(worker.serve())
            job = await root.dispatch(queue="a-1", kind="email")
            await begun.wait()
            await peer.server.application.tokens.revoke(old.token.id)
            await until(lambda: _true(bool(_errors(caplog))), bool)
            file.write_text(new.text)
            may_end.set()
            found = await until(lambda: root.get(job.job_id), lambda job: job.state == job_pb2.JOB_STATE_COMPLETED)
            worker.stop()
            await working

    assert (found.attempt, found.crashes, found.failures) == (1, 0, 0)
    assert len(_errors(caplog)) == 1


def _errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == "protojobs_worker.session" and each.levelname == "ERROR"]


async def test_a_worker_that_was_never_let_in_ends_at_once_and_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with _with_own_tokens(tmp_path) as peer:
        producer = await _token(peer, "shop", Grant(Scope.PRODUCER))

        ends = {
            text: await Worker(Options(address=peer.server.address, token=text), queues=["a-1"]).serve()
            for text in ("pj_nobody", producer.text)
        }

    assert set(ends.values()) == {ExitReason.REFUSED}
    assert len(_errors(caplog)) == 2


# ---- certificates


@asynccontextmanager
async def _mutual(tmp_path: Path, authority: Authority, *rules: dict[str, Any]) -> AsyncIterator[str]:
    """Serve callers that show a certificate of the authority; gives the address."""
    files = Files(tmp_path / "server").write(authority.server(), authority)
    tls = {"cert": files.cert, "key": files.key, "client_ca": files.ca, "client_auth": "required"}
    async with start_server(settings_for(tls=tls, auth={"mode": "required", "mtls": list(rules)})) as server:
        yield server.address


@asynccontextmanager
async def _showing(address: str, authority: Authority, identity: str) -> AsyncIterator[Any]:
    pair = authority.client(identity)
    credentials = grpc.ssl_channel_credentials(authority.pem, pair.key, pair.cert)
    async with grpc.aio.secure_channel(address, credentials, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield admin_service_pb2_grpc.AdminServiceStub(channel)


async def test_a_certificate_is_let_in_by_its_uri_and_with_the_grants_of_the_first_rule(tmp_path: Path) -> None:
    authority = Authority()
    rules = (
        {"uri": "spiffe://test/ns/shop/*", "name": "shop", "grants": [{"scope": "worker", "queues": "a-*"}]},
        {"uri": "spiffe://test/*", "grants": [{"scope": "admin"}]},
    )
    async with _mutual(tmp_path, authority, *rules) as address:
        async with _showing(address, authority, "spiffe://test/ns/shop/mailer") as admin:
            shop = await admin.GetCaller(admin_service_pb2.GetCallerRequest())
        async with _showing(address, authority, "spiffe://test/root") as admin:
            root = await admin.GetCaller(admin_service_pb2.GetCallerRequest())
        async with _showing(address, authority, "spiffe://another/root") as admin:
            nobody = await refused(admin.GetCaller(admin_service_pb2.GetCallerRequest()))
        async with _showing(address, authority, "spiffe://test/root") as admin:
            wrong = await refused(admin.GetCaller(admin_service_pb2.GetCallerRequest(), metadata=[("authorization", "Bearer x")]))

    assert (shop.principal, shop.name) == ("mtls:spiffe://test/ns/shop/mailer", "shop")
    assert [(each.scope, each.queues) for each in shop.grants] == [(admin_service_pb2.SCOPE_WORKER, "a-*")]
    assert (root.name, root.grants[0].scope) == ("spiffe://test/root", admin_service_pb2.SCOPE_ADMIN)
    assert (nobody.reason, wrong.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
