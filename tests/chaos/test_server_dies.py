"""Servers that are killed, restarted and drained."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import grpc
import pytest
from protojobs.v1 import worker_service_pb2 as wire
from protojobs.v1 import worker_service_pb2_grpc
from protojobs_client import Jitter, RetryPolicy

from tests.chaos.conftest import MARIADB, POSTGRES, STORES, MakeStand
from tests.chaos.producer import Producer
from tests.chaos.stand import Stand
from tests.chaos.stores import SqliteStore
from tests.chaos.waiting import until

pytestmark = [pytest.mark.kill]

HOUR = 3600.0
LONG = RetryPolicy(max_retries=3, initial_backoff=timedelta(hours=1), max_backoff=timedelta(hours=1), jitter=Jitter.NONE)
ONCE = RetryPolicy(max_retries=0)
QUEUES = ("idle", "main", "held", "obey")


@pytest.mark.asyncio
@pytest.mark.timeout(240)
@pytest.mark.parametrize("store", [*STORES, MARIADB], indirect=True)
async def test_killed_server_loses_nothing_of_ten_thousand_jobs_in_every_state(stand: Stand) -> None:
    server = await stand.add_server()
    producer = stand.producer()
    await stand.add_worker("busy", queues=["main"], concurrency=50, window=400)
    await stand.add_worker("holder", raw=True, queues=["held"], concurrency=200)
    await stand.add_worker("obedient", queues=["obey"], concurrency=50, ttl=30.0)
    held, obeying = await _fill(stand, producer)
    before = {queue: await producer.counts(queue) for queue in QUEUES}
    print("jobs by state:", dict(sum((Counter(counts) for counts in before.values()), start=Counter[str]())))
    assert sum(sum(counts.values()) for counts in before.values()) >= 10_000
    labelled = [job.id async for job in producer.client.list(labels={"colour": "blue"}, page_size=500)]

    # In the middle of dispatching, and while cancels of running jobs are under way.
    reckless = stand.producer("reckless", strict=False, call_timeout=3.0)
    flood = asyncio.gather(*(reckless.dispatch(200, queue="idle") for _ in range(10)))
    asked = [*held[:20], *obeying[:30]]
    cancels = asyncio.gather(*(reckless.cancel(job, deadline=120) for job in asked))
    await until("some of the flood is stored", lambda: len(stand.seen("dispatch", proc="reckless")) > 12)
    server.program.kill()
    await server.start()
    await asyncio.gather(flood, cancels)

    for name in ("holder", "obedient"):
        await stand.listed(name)
    after = {queue: await producer.counts(queue) for queue in QUEUES}
    assert {queue: after[queue] for queue in ("main", "held")} == {queue: before[queue] for queue in ("main", "held")}
    assert {job.id async for job in producer.client.list(labels={"colour": "blue"}, page_size=500)} == set(labelled)
    await _each(partial(producer.cancel, deadline=120), asked)  # once more: not every answer was heard
    await until("who was told to has stopped", lambda: producer.has("obey", CANCELLED=30, RUNNING=20), within=30)
    stand.open_gate("held")
    await until("the stubborn complete", lambda: producer.has("held", COMPLETED=200), within=30)
    await until("so do the obedient", lambda: producer.has("obey", CANCELLED=30, COMPLETED=20), within=30)

    report = await stand.judge(queues=QUEUES, quiet=["main", "held", "obey"])
    assert report.ok, str(report)
    assert report.repeated_runs == 0


@pytest.mark.asyncio
@pytest.mark.timeout(120)
async def test_restarted_server_finds_its_workers_again_and_no_handler_runs_twice(stand: Stand) -> None:
    server = await stand.add_server()
    producer = stand.producer()
    await stand.add_worker("raw", raw=True, concurrency=5)
    # The SDK stops its handlers by itself after 80 % of its ttl without an answer; a start of Python may take as long.
    await stand.add_worker("sdk", concurrency=5, ttl=30.0)
    jobs = await producer.dispatch(10, task={"hold": "go"})
    await stand.started(10)

    server.program.kill()
    await server.start()
    for name in ("sdk", "raw"):
        await stand.listed(name)
    stand.open_gate("go")
    await until("all ten complete", lambda: producer.has("main", COMPLETED=10))

    assert {(await producer.client.get(job)).attempt for job in jobs} == {1}
    report = await stand.judge()
    assert report.ok, str(report)
    assert report.repeated_runs == 0


@pytest.mark.asyncio
@pytest.mark.timeout(180)
@pytest.mark.parametrize("store", [POSTGRES], indirect=True)
async def test_rolling_restart_of_two_servers_is_unnoticed(stand: Stand) -> None:
    servers = [await stand.add_server() for _ in range(2)]
    for number in (1, 2):
        await stand.add_worker(f"worker-{number}", concurrency=8, ttl=10.0)
    producers = [stand.producer(f"producer-{number}") for number in (1, 2)]
    over = asyncio.Event()

    async def load(producer: Producer) -> None:
        while not over.is_set():
            await producer.dispatch(20)
            await producer.dispatch(5, singly=True)
            await producer.dispatch(1, delay=0.2)
            await producer.counts("main")
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        for producer in producers:
            group.create_task(load(producer))
        for server in servers:
            await _jobs_flow(stand)
            server.program.terminate()
            assert await server.program.ended() == 0
            await server.start()
        await _jobs_flow(stand)
        over.set()

    total = sum(len(event["jobs"]) for event in stand.seen("dispatch") if event["phase"] == "ok")
    await until("everything completes", lambda: producers[0].has("main", COMPLETED=total), within=30)
    errors = [event for op in ("dispatch", "call") for event in stand.seen(op) if event["phase"] in {"fail", "info"}]
    report = await stand.judge()
    assert report.ok, str(report)
    assert errors == []
    assert report.repeated_runs == 0


@pytest.mark.asyncio
@pytest.mark.timeout(90)
async def test_old_stream_ends_by_drain_and_with_ok(make_stand: MakeStand, tmp_path: Path) -> None:
    stand = make_stand(SqliteStore(path=tmp_path / "jobs.db"))
    server = await stand.add_server(SESSION__STREAM_AGE="10")
    producer = stand.producer()
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub: worker_service_pb2_grpc.WorkerServiceAsyncStub = worker_service_pb2_grpc.WorkerServiceStub(channel)
        first = await _open(stub, stream_no=1)
        [job] = await producer.dispatch(1)
        deliver = await _next(first, "deliver")
        lease = deliver.deliver.items[0]
        began = time.monotonic()

        async with asyncio.TaskGroup() as group:
            beating = group.create_task(_beat(first))
            drain = await _next(first, "drain")
            beating.cancel()
        held = wire.HeldLease(job_id=job, attempt=lease.attempt, started=True)
        second = await _open(stub, stream_no=2, held=[held])
        await first.done_writing()
        while isinstance(await first.read(), wire.LeaseResponse):
            pass

        assert drain.drain.reason == wire.DRAIN_REASON_AGE
        assert 7 < time.monotonic() - began < 14
        assert await first.code() is grpc.StatusCode.OK
        settle = wire.Settle(completed=[wire.CompletedGroup(attempt=lease.attempt, job_ids=[job])])
        await second.write(wire.LeaseRequest(seq=2, received_seq=1, settle=settle))
        await _next(second, "settled")
        second.cancel()
    info = await producer.client.get(job)
    assert (info.state.name, info.attempt) == ("COMPLETED", 1)


async def _fill(stand: Stand, producer: Producer) -> tuple[list[str], list[str]]:
    """Store 10k jobs over every state, wait until each is where it should be, and return those that run, by worker."""
    held = await producer.dispatch(200, queue="held", task={"hold": "held"})
    obeying = await producer.dispatch(50, queue="obey", task={"hold": "held"})
    await producer.dispatch(2000, queue="idle", delay=HOUR)
    await producer.dispatch(2000, queue="idle")
    await producer.dispatch(500, queue="idle", labels={"colour": "blue", "shop": "7"})
    await producer.dispatch(500, queue="idle", expire_in=HOUR)
    await producer.dispatch(300, queue="idle", expire_in=1.0)
    waiting = await producer.dispatch(500, queue="idle", labels={"colour": "red"})
    await producer.dispatch(2500, queue="main")
    await producer.dispatch(500, queue="main", task={"do": "fail"}, policy=LONG)
    await producer.dispatch(400, queue="main", task={"do": "fail"}, policy=ONCE)
    again = await producer.dispatch(400, queue="main", task={"do": "fail", "times": 1}, policy=ONCE, labels={"again": "yes"})
    twice = await producer.dispatch(300, queue="main", task={"do": "fail"}, policy=ONCE)
    await _each(producer.cancel, waiting)
    await _each(producer.retry, waiting[:200])
    await until("every failing job has failed", lambda: producer.has("main", FAILED=1100, RETRYING=500, COMPLETED=2500), within=60)
    await _each(producer.retry, twice)
    await _each(producer.retry, again)
    await until("the retried have run again", lambda: len(stand.seen("end", proc="busy")) >= 4100 + 700, within=60)
    await until("their outcomes are stored", lambda: producer.has("main", FAILED=700, RETRYING=500, COMPLETED=2900))
    await until("the expiring have expired", lambda: _has(producer, "idle", "EXPIRED", 300), within=30)
    await stand.started(200, "holder")
    await stand.started(50, "obedient")
    return held, obeying


async def _each(act: Callable[[str], Awaitable[object]], jobs: list[str]) -> None:
    free = asyncio.Semaphore(32)

    async def one(job: str) -> None:
        async with free:
            await act(job)

    await asyncio.gather(*(one(job) for job in jobs))


async def _jobs_flow(stand: Stand) -> None:
    seen = len(stand.seen("end"))
    await until("jobs flow", lambda: len(stand.seen("end")) > seen + 100)


async def _has(producer: Producer, queue: str, state: str, count: int) -> bool:
    return (await producer.counts(queue)).get(state) == count


_Call = grpc.aio.StreamStreamCall[wire.LeaseRequest, wire.LeaseResponse]


async def _open(
    stub: "worker_service_pb2_grpc.WorkerServiceAsyncStub", *, stream_no: int, held: list[wire.HeldLease] | None = None
) -> _Call:
    call: _Call = stub.Lease()
    hello = wire.Hello(
        session_id=b"0123456789abcdef",
        worker="by hand",
        queues=[wire.QueueSubscription(name="main")],
        window=wire.Window(max_in_flight=1),
        slots=1,
        stream_no=stream_no,
        held=held or [],
    )
    await call.write(wire.LeaseRequest(seq=1, hello=hello))
    welcome = await call.read()
    assert isinstance(welcome, wire.LeaseResponse)
    assert welcome.HasField("welcome"), welcome
    return call


async def _next(call: _Call, kind: str) -> wire.LeaseResponse:
    """Read up to the next frame of a kind."""
    while True:
        frame = await call.read()
        assert isinstance(frame, wire.LeaseResponse), f"the stream ended with {await call.code()} before {kind}"
        if frame.WhichOneof("frame") == kind:
            return frame


async def _beat(call: _Call) -> None:
    """Send heartbeats, which are receipts too, until cancelled."""
    for seq in range(2, 1000):
        await call.write(wire.LeaseRequest(seq=seq, received_seq=2, ping=wire.Ping()))
        await asyncio.sleep(0.4)
