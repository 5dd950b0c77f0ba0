"""What two workers may do to each other's jobs, and what workers, watchers and operators of some queues get to see."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from protojobs.v1 import job_pb2, job_service_pb2, queue_service_pb2, worker_service_pb2

from tests.wire.callers import asking_server, called, service_of
from tests.wire.lease_worker import INVALID, OK, SUPERSEDED, Stream, StreamWorker, UnaryWorker, complete, hello, reason
from tests.wire.peer import Peer, ended, refused, spec, until

pytestmark = pytest.mark.asyncio

DENIED = "PERMISSION_DENIED"


@pytest_asyncio.fixture
async def peer(tmp_path: Path) -> AsyncIterator[Peer]:
    """Speak to a server that asks for tokens."""
    async with asking_server(tmp_path) as connection:
        yield connection


@pytest.fixture
def root(peer: Peer) -> Peer:
    """Return the administrator."""
    return called(peer, "root", "admin-all")


@pytest.fixture
def alice(peer: Peer) -> Peer:
    """Return a worker of `a-*`."""
    return called(peer, "alice", "worker-a")


@pytest.fixture
def bob(peer: Peer) -> Peer:
    """Return a worker of `b-*`."""
    return called(peer, "bob", "worker-b")


@pytest.fixture
def mate(peer: Peer) -> Peer:
    """Return a worker with the grants of alice that is not alice."""
    return called(peer, "mate", "worker-a")


ROADS = pytest.mark.parametrize("road", [StreamWorker, UnaryWorker])


def _reads(*queues: str) -> list[worker_service_pb2.QueueSubscription]:
    return [worker_service_pb2.QueueSubscription(name=queue) for queue in queues]


async def _state(root: Peer, job_id: str) -> job_pb2.JobState.ValueType:
    return (await root.get(job_id)).state


# ---- which queues a worker reads


@pytest.mark.parametrize("queues", [("a-1",), ("b-1", "a-1")])
async def test_a_worker_reads_granted_queues_only(bob: Peer, queues: tuple[str, ...]) -> None:
    stream = Stream(service_of(bob).channel)
    await stream.send(hello=hello(queues=_reads(*queues)))
    error = await stream.error()

    call = worker_service_pb2.AcquireLeasesRequest(session_id=os.urandom(16), acquire_seq=1, queues=_reads(*queues))
    refusal = await refused(bob.workers.AcquireLeases(call))

    assert (error.code(), reason(error)) == (grpc.StatusCode.PERMISSION_DENIED, DENIED)
    assert "a-1" in (error.details() or "")
    assert (refusal.reason, refusal.metadata) == (DENIED, {"queue": "a-1"})


async def test_a_later_call_reads_no_queue_that_the_first_might_not(bob: Peer) -> None:
    worker = await UnaryWorker.open(service_of(bob), queues=_reads("b-1"))
    await worker.acquire(1, wait=0)
    worker.changes["queues"] = _reads("b-1", "a-1")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await worker.acquire(1, wait=0)

    assert reason(caught.value) == DENIED


async def test_a_worker_that_is_no_producer_still_works(root: Peer, alice: Peer) -> None:
    job = await root.dispatch(queue="a-1", payload=b"mine")
    worker = await StreamWorker.open(service_of(alice), queues=_reads("a-1"))

    [lease] = await worker.get(1)
    answers = await worker.settle(complete(lease))

    assert (lease.spec.payload, [item.code for items in answers.values() for item in items]) == (b"mine", [OK])
    assert await _state(root, job.job_id) == job_pb2.JOB_STATE_COMPLETED
    await worker.close()


# ---- another worker's leases


@ROADS
async def test_a_worker_settles_no_job_that_another_has_leased(root: Peer, alice: Peer, mate: Peer, road: Any) -> None:
    await root.dispatch(queue="a-1")
    owner = await road.open(service_of(alice), queues=_reads("a-1"))
    [lease] = await owner.get(1)
    thief = await road.open(service_of(mate), queues=_reads("a-1"))
    if road is UnaryWorker:
        await thief.acquire(1, wait=0)

    answers = await thief.settle(complete(lease))
    refused_news = await thief.update(worker_service_pb2.UpdateItem(job_id=lease.job_id, attempt=lease.attempt, checkpoint=b"x"))

    assert [item.code for items in answers.values() for item in items] == [SUPERSEDED]
    assert [item.code for item in refused_news] == [SUPERSEDED]
    assert await _state(root, lease.job_id) == job_pb2.JOB_STATE_RUNNING
    assert [item.code for items in (await owner.settle(complete(lease))).values() for item in items] == [OK]
    await owner.close()
    await thief.close()


@pytest.mark.parametrize("name", ["mate", "bob"])
async def test_the_secret_of_a_session_is_of_no_use_to_another_caller(
    peer: Peer, root: Peer, alice: Peer, request: pytest.FixtureRequest, name: str
) -> None:
    thief: Peer = request.getfixturevalue(name)
    await root.dispatch(queue="a-1")
    owner = await UnaryWorker.open(service_of(alice), queues=_reads("a-1"))
    [lease] = await owner.get(1)

    settle = worker_service_pb2.SettleLeasesRequest(session_id=owner.session_id, settle=complete(lease))
    settled = await refused(thief.workers.SettleLeases(settle))
    extended = await refused(thief.workers.ExtendLeases(worker_service_pb2.ExtendLeasesRequest(session_id=owner.session_id)))

    assert (settled.reason, extended.reason) == ("SESSION_CLOSED", "SESSION_CLOSED")
    assert await _state(root, lease.job_id) == job_pb2.JOB_STATE_RUNNING
    assert [item.code for items in (await owner.settle(complete(lease))).values() for item in items] == [OK]


async def test_nobody_resumes_the_session_of_another_caller(root: Peer, alice: Peer, mate: Peer) -> None:
    await root.dispatch(queue="a-1")
    owner = await StreamWorker.open(service_of(alice), queues=_reads("a-1"))
    [lease] = await owner.get(1)
    held = [worker_service_pb2.HeldLease(job_id=lease.job_id, attempt=lease.attempt, started=True)]

    thief, welcome = await StreamWorker.welcomed(
        service_of(mate), queues=_reads("a-1"), session_id=owner.session_id, stream_no=9, held=held
    )

    assert ([*welcome.kept], [ref.job_id for ref in welcome.lost]) == ([], [lease.job_id])
    assert [item.code for items in (await owner.settle(complete(lease))).values() for item in items] == [OK]
    await owner.close()
    await thief.close()


async def test_a_session_goes_on_with_a_new_token_of_the_same_caller(root: Peer, peer: Peer) -> None:
    await root.dispatch(queue="a-1")
    first = await StreamWorker.open(service_of(called(peer, "alice", "worker-a")), queues=_reads("a-1"))
    [lease] = await first.get(1)
    held = [worker_service_pb2.HeldLease(job_id=lease.job_id, attempt=lease.attempt, started=True)]

    again, welcome = await StreamWorker.welcomed(
        service_of(called(peer, "alice", "worker-a", "producer-a")),
        queues=_reads("a-1"),
        session_id=first.session_id,
        stream_no=2,
        held=held,
    )

    assert [ref.job_id for ref in welcome.kept] == [lease.job_id]
    await again.close()


# ---- what a handler dispatches


@ROADS
@pytest.mark.parametrize(
    ("roles", "child", "code"),
    [
        (("worker-a",), {"queue": "a-1"}, INVALID),
        (("worker-a", "producer-a"), {"queue": "b-1"}, INVALID),
        (("worker-a", "producer-a"), {"queue": "a-2", "on_complete": [job_pb2.JobSpec(kind="k", queue="b-1")]}, INVALID),
        (("worker-a", "producer-a"), {"queue": "a-2"}, OK),
    ],
    ids=["no producer", "foreign queue", "foreign follow-up", "granted"],
)
async def test_a_completion_dispatches_what_its_worker_might(
    peer: Peer, root: Peer, road: Any, roles: tuple[str, ...], child: dict[str, Any], code: Any
) -> None:
    job = await root.dispatch(queue="a-1")
    worker = await road.open(service_of(called(peer, "alice", *roles)), queues=_reads("a-1"))
    [lease] = await worker.get(1)
    new = spec(**child)
    item = worker_service_pb2.SettleItem(
        job_id=lease.job_id, attempt=lease.attempt, complete=worker_service_pb2.Complete(dispatch=[new])
    )

    answers = await worker.settle(worker_service_pb2.Settle(items=[item]))

    [[answer]] = answers.values()
    assert answer.code == code
    stored = await root.jobs.ListJobs(job_service_pb2.ListJobsRequest())
    assert (new.id in {each.id for each in stored.jobs}) is (code == OK)
    assert await _state(root, job.job_id) == (job_pb2.JOB_STATE_COMPLETED if code == OK else job_pb2.JOB_STATE_RUNNING)
    await worker.close()


# ---- workers, as others see them


async def _workers(by: Peer) -> list[worker_service_pb2.Worker]:
    return list((await by.workers.ListWorkers(worker_service_pb2.ListWorkersRequest())).workers)


async def test_workers_and_what_they_run_are_shown_by_queue(peer: Peer, root: Peer) -> None:
    for queue in ("a-1", "b-1"):
        await root.dispatch(queue=queue)
    both = await StreamWorker.open(service_of(called(peer, "both", "worker-all")), queues=_reads("a-1", "b-1"))
    only = await StreamWorker.open(service_of(called(peer, "only", "worker-a")), queues=_reads("a-2"))
    await both.get(2)

    [seen] = await _workers(called(peer, "op", "operator-b"))

    assert (list(seen.queues), [job.queue for job in seen.running]) == (["b-1"], ["b-1"])
    assert len(await _workers(root)) == 2
    assert [list(each.queues) for each in await _workers(called(peer, "op", "observer-a"))] == [["a-1"], ["a-2"]]
    await both.close()
    await only.close()


async def test_a_worker_is_drained_by_who_operates_all_its_queues(peer: Peer, root: Peer) -> None:
    both = await StreamWorker.open(service_of(called(peer, "both", "worker-all")), queues=_reads("a-1", "b-1"))
    [worker] = await _workers(root)
    drain = worker_service_pb2.DrainWorkerRequest(session=worker.session)

    some = await refused(called(peer, "some", "operator-b").workers.DrainWorker(drain))
    none = await refused(
        called(peer, "none", "operator-b").workers.DrainWorker(worker_service_pb2.DrainWorkerRequest(session="999"))
    )

    assert (some.reason, none.reason) == (DENIED, "SESSION_NOT_FOUND")
    assert not (await _workers(root))[0].draining
    await called(peer, "all", "operator-a", "operator-b").workers.DrainWorker(drain)
    assert (await _workers(root))[0].draining
    await both.close()


async def test_a_foreign_worker_is_as_one_that_does_not_exist(peer: Peer, root: Peer, alice: Peer) -> None:
    only = await StreamWorker.open(service_of(alice), queues=_reads("a-1"))
    [worker] = await _workers(root)
    operator = called(peer, "op", "operator-b")

    foreign = await refused(operator.workers.DrainWorker(worker_service_pb2.DrainWorkerRequest(session=worker.session)))
    missing = await refused(operator.workers.DrainWorker(worker_service_pb2.DrainWorkerRequest(session="999")))

    assert foreign == missing
    await only.close()


# ---- events and errors


async def _fail(by: Peer, root: Peer, queue: str) -> str:
    """Let a job of a queue fail for good; returns its id."""
    job = await root.dispatch(queue=queue, retry=job_pb2.RetryPolicy(max_retries=0))
    worker = await StreamWorker.open(service_of(by), queues=_reads(queue))
    [lease] = await worker.get(1)
    error = job_pb2.JobError(type="ValueError", message="secret message", stack="secret stack")
    item = worker_service_pb2.SettleItem(
        job_id=lease.job_id, attempt=lease.attempt, fail=worker_service_pb2.Fail(error=error, retryable=False)
    )
    await worker.settle(worker_service_pb2.Settle(items=[item]))
    await worker.close()
    job_id: str = job.job_id
    return job_id


async def test_a_watch_tells_of_granted_queues_only_and_observers_no_texts(peer: Peer, root: Peer) -> None:
    worker = called(peer, "worker", "worker-all")
    watches = {
        name: called(peer, name, role).jobs.WatchJobs(job_service_pb2.WatchJobsRequest())
        for name, role in (("root", "admin-all"), ("observer", "observer-b"), ("operator", "operator-b"))
    }
    for watch in watches.values():
        await watch.read()
    jobs = [await _fail(worker, root, queue) for queue in ("a-1", "b-1")]

    told = {name: await _events(watch, jobs[1]) for name, watch in watches.items()}

    assert [event.job.id for event in told["root"]] == jobs
    assert [event.job.id for event in told["observer"]] == jobs[1:]
    assert [event.job.id for event in told["operator"]] == jobs[1:]
    assert told["observer"][0].job.last_error == job_pb2.JobError(type="ValueError")
    assert told["operator"][0].job.last_error.message == "secret message"


async def _events(watch: Any, last: str) -> list[job_pb2.JobEvent]:
    """Return what a watch tells up to the first event of that job."""
    events: list[job_pb2.JobEvent] = []
    while not events or events[-1].job.id != last:
        events += (await watch.read()).events
    watch.cancel()
    return events


async def test_a_watch_from_an_old_cursor_tells_no_more(peer: Peer, root: Peer) -> None:
    first = root.jobs.WatchJobs(job_service_pb2.WatchJobsRequest())
    cursor = (await first.read()).cursor
    worker = called(peer, "worker", "worker-all")
    jobs = [await _fail(worker, root, queue) for queue in ("a-1", "b-1")]

    watch = called(peer, "observer", "observer-b").jobs.WatchJobs(job_service_pb2.WatchJobsRequest(cursor=cursor))

    assert [event.job.id for event in await _events(watch, jobs[1])] == jobs[1:]


async def test_a_watch_of_a_foreign_queue_is_refused(peer: Peer, root: Peer) -> None:
    observer = called(peer, "observer", "observer-b")
    for queue, loud in (("a-1", True), ("a-2", False)):
        level = queue_service_pb2.EVENT_LEVEL_ALL if loud else queue_service_pb2.EVENT_LEVEL_FINAL
        await root.queues.UpdateQueue(queue_service_pb2.UpdateQueueRequest(queue=queue_service_pb2.Queue(name=queue, events=level)))
    running = [job_pb2.JOB_STATE_RUNNING]

    def watch(**asked: Any) -> Any:
        return observer.jobs.WatchJobs(job_service_pb2.WatchJobsRequest(filter=job_service_pb2.JobFilter(**asked)))

    named = [await ended(watch(queues=["b-1", queue], states=running)) for queue in ("a-1", "a-2")]
    unnamed = await ended(watch(states=running))

    assert [(each.reason, each.metadata) for each in named] == [(DENIED, {"queue": "a-1"}), (DENIED, {"queue": "a-2"})]
    assert unnamed.reason == "INVALID_FIELD"  # that a foreign queue tells of starts is not told


async def test_observers_get_the_type_of_an_error_and_nothing_else_of_it(peer: Peer, root: Peer) -> None:
    job_id = await _fail(called(peer, "worker", "worker-all"), root, "a-1")
    await until(lambda: root.get(job_id), lambda job: job.state == job_pb2.JOB_STATE_FAILED)

    async def seen(role: str) -> tuple[job_pb2.JobError, job_pb2.JobError]:
        by = called(peer, "by", role)
        job = (await by.jobs.GetJob(job_service_pb2.GetJobRequest(job_id=job_id))).job
        [attempt] = (await by.jobs.ListAttempts(job_service_pb2.ListAttemptsRequest(job_id=job_id))).attempts
        return job.last_error, attempt.error

    nothing = job_pb2.JobError(type="ValueError")
    assert await seen("observer-a") == (nothing, nothing)
    assert await seen("observer-all") == (nothing, nothing)
    for role in ("operator-a", "producer-a", "admin-all"):
        last, attempt = await seen(role)
        assert (last.message, attempt.stack) == ("secret message", "secret stack")


async def test_a_wait_ends_as_not_found_where_the_job_has_moved_to_a_foreign_queue(peer: Peer, root: Peer) -> None:
    job = await root.dispatch(queue="b-1", delay=Duration(seconds=3600))
    waiting = called(peer, "producer", "producer-b").jobs.WaitJob(
        job_service_pb2.WaitJobRequest(job_id=job.job_id, wait=Duration(seconds=50))
    )
    await until(lambda: _waits(peer), bool)

    move = job_service_pb2.BULK_ACTION_MOVE
    await root.jobs.BulkJobs(job_service_pb2.BulkJobsRequest(action=move, queue="a-1", job_ids=[job.job_id]))
    await root.jobs.Cancel(job_service_pb2.CancelRequest(job_id=job.job_id))

    assert (await refused(waiting)).reason == "JOB_NOT_FOUND"


async def _waits(peer: Peer) -> bool:
    return peer.server.application.wait.any
