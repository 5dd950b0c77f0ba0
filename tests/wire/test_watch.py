"""WatchJobs and WatchStats over the wire."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration
from protojobs.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc, queue_service_pb2, worker_service_pb2
from protojobs_service.application import Timings, watch
from protojobs_service.compose import start_server
from protojobs_service.transport.ids import parse_id

from tests.schema import make_sqlite
from tests.wire.lease_worker import StreamWorker, complete, field_of, outcome, reason, serving
from tests.wire.peer import Peer, connected, memory_driver, refused, settings_for, spec

pytestmark = pytest.mark.asyncio

Watched = job_service_pb2.WatchJobsResponse
QUICK = Timings(poll=0.02, watch_heartbeat=0.05)
ALL = queue_service_pb2.EVENT_LEVEL_ALL


def _request(cursor: bytes = b"", **fields: Any) -> job_service_pb2.WatchJobsRequest:
    return job_service_pb2.WatchJobsRequest(filter=job_service_pb2.JobFilter(**fields), cursor=cursor)


async def _events(call: Any, events: int) -> list[job_pb2.JobEvent]:
    """Return so many events; signs of life are read over, and must name a place."""
    seen: list[job_pb2.JobEvent] = []
    async with asyncio.timeout(15):
        while len(seen) < events:
            answer = await call.read()
            assert answer is not grpc.aio.EOF
            assert answer.cursor
            seen += answer.events
    assert len(seen) == events
    return seen


async def _begun(call: Any) -> bytes:
    """Return the place where a stream begins, which it says at once."""
    answer = await call.read()
    assert not answer.events
    cursor: bytes = answer.cursor
    return cursor


async def _cancelled(peer: Peer, jobs: int = 1, **fields: Any) -> list[str]:
    ids = [(await peer.dispatch(**fields)).job_id for _ in range(jobs)]
    for job_id in ids:
        await peer.jobs.Cancel(job_service_pb2.CancelRequest(job_id=job_id))
    return ids


async def test_outcomes_are_told_with_their_job_and_what_it_took() -> None:
    async with serving(QUICK) as service:
        call = service.jobs.WatchJobs(_request())
        await _begun(call)
        worker = await StreamWorker.open(service, worker="w1")
        await service.dispatch(3, labels={"tenant": "a"}, retry=job_pb2.RetryPolicy(max_retries=0))
        done, failed, released = await worker.get(3)
        await worker.settle(complete(done))
        error = job_pb2.JobError(type="ValueError", message="no", stack="line")
        await worker.settle(outcome(failed, fail=worker_service_pb2.Fail(error=error)))
        await worker.settle(outcome(released, snooze=worker_service_pb2.Snooze(delay=Duration(seconds=60))))
        await service.jobs.DeleteJob(job_service_pb2.DeleteJobRequest(job_id=released.job_id))

        first, second, third = await _events(call, 3)
        await worker.close()

    assert [event.type for event in (first, second, third)] == ["job.processed", "job.failed", "job.deleted"]
    assert (first.job.id, first.job.spec.queue, first.job.spec.kind) == (done.job_id, "default", "email")
    assert (getattr(first, "from"), first.to) == (job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_COMPLETED)
    assert (first.attempt, first.actor, first.job.state) == (1, "w1", job_pb2.JOB_STATE_COMPLETED)
    assert dict(first.job.spec.labels) == {"tenant": "a"}
    assert not first.job.spec.payload
    assert first.HasField("execution_time")
    assert first.execution_time.ToTimedelta() < timedelta(seconds=15)
    assert first.event_time == first.job.finish_time
    assert (second.job.last_error.type, second.job.last_error.stack) == ("ValueError", "")
    assert (third.job, third.to, third.actor) == (job_pb2.Job(id=released.job_id), 0, "server")


async def test_a_watch_goes_on_from_the_cursor_of_any_event_and_of_a_sign_of_life(peer: Peer) -> None:
    call = peer.jobs.WatchJobs(_request())
    begin = await _begun(call)
    ids = await _cancelled(peer, 4)
    events = await _events(call, 4)
    call.cancel()

    for place, cursor in enumerate([begin, *(event.cursor for event in events)]):
        again = peer.jobs.WatchJobs(_request(cursor))
        assert await _begun(again) == cursor
        assert [event.job.id for event in await _events(again, 4 - place)] == ids[place:]
        again.cancel()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"queues": ["a"]}, [0, 1]),
        ({"kinds": ["k2"]}, [1, 2]),
        ({"queues": ["a"], "kinds": ["k2"]}, [1]),
        ({"labels": {"x": "1"}}, [2]),
        ({"states": [job_pb2.JOB_STATE_CANCELLED]}, [0, 1, 2]),
        ({"states": [job_pb2.JOB_STATE_CANCELLED], "labels": {"x": "2"}}, []),
    ],
)
async def test_every_filter_holds(peer: Peer, fields: dict[str, Any], expected: list[int]) -> None:
    call = peer.jobs.WatchJobs(_request())
    begin = await _begun(call)
    jobs: list[dict[str, Any]] = [
        {"queue": "a", "kind": "k1"},
        {"queue": "a", "kind": "k2"},
        {"queue": "b", "kind": "k2", "labels": {"x": "1"}},
    ]
    ids = [(await _cancelled(peer, **job))[0] for job in jobs]
    await _events(call, 3)

    filtered = peer.jobs.WatchJobs(_request(begin, **fields))

    seen: list[str] = []
    async with asyncio.timeout(15):
        while (answer := await filtered.read()).cursor != (end := await _begun(peer.jobs.WatchJobs(_request()))):
            seen += [event.job.id for event in answer.events]
    seen += [event.job.id for event in answer.events]
    assert end
    assert seen == [ids[place] for place in expected]


async def test_two_watchers_hear_the_same_and_one_that_leaves_disturbs_nobody(peer: Peer) -> None:
    first, second, third = (peer.jobs.WatchJobs(_request()) for _ in range(3))
    for call in (first, second, third):
        await _begun(call)
    third.cancel()

    ids = await _cancelled(peer, 3)

    for call in (first, second):
        assert [event.job.id for event in await _events(call, 3)] == ids


BAD: list[tuple[str, dict[str, Any]]] = [
    ("cursor", {"cursor": b"x"}),
    ("cursor", {"cursor": bytes(100)}),
    ("filter.states[0]", {"states": [99]}),
    ("filter.states", {"states": [job_pb2.JOB_STATE_SCHEDULED]}),
    ("filter.states", {"states": [job_pb2.JOB_STATE_RUNNING]}),
    ("filter.queues[1]", {"queues": ["a", "b/c"]}),
    ("filter.labels", {"labels": {"a b": "c"}}),
]


@pytest.mark.parametrize(("field", "fields"), BAD)
async def test_a_bad_request_is_refused_by_field(peer: Peer, field: str, fields: dict[str, Any]) -> None:
    error = await refused(peer.jobs.WatchJobs(_request(**fields)).read())

    assert (error.code, error.reason, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", [field])


async def test_a_cursor_that_was_changed_or_is_of_another_store_is_refused(peer: Peer) -> None:
    cursor = await _begun(peer.jobs.WatchJobs(_request()))
    async with serving() as other:
        foreign = await _begun(other.jobs.WatchJobs(_request()))

    for bad in (cursor[:-1] + bytes([cursor[-1] ^ 1]), cursor[:-1], foreign):
        error = await refused(peer.jobs.WatchJobs(_request(bad)).read())
        assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["cursor"])


async def test_a_cursor_whose_events_are_gone_is_expired() -> None:
    driver = memory_driver()
    async with serving(QUICK, driver=driver) as service:
        cursor = await _begun(service.jobs.WatchJobs(_request()))
        [job_id] = await service.dispatch()
        await service.jobs.Cancel(job_service_pb2.CancelRequest(job_id=job_id))
        await driver.events.forget(timedelta(seconds=-60), 10)

        call = service.jobs.WatchJobs(_request(cursor))
        await call.read()
        with pytest.raises(grpc.aio.AioRpcError) as told:
            await call.read()

    assert (told.value.code(), reason(told.value)) == (grpc.StatusCode.OUT_OF_RANGE, "CURSOR_EXPIRED")


async def test_a_watcher_that_does_not_read_is_cut_off_and_goes_on_while_others_hear_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Events of 4 KiB fill what the transport holds, so that the rest waits in the server."""
    monkeypatch.setattr(watch, "MOST_WAITING", 100)
    small = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_536), ("grpc.use_local_subchannel_pool", 1)]
    async with serving(QUICK) as service, asyncio.timeout(40), grpc.aio.insecure_channel(service.address, options=small) as channel:
        slow = job_service_pb2_grpc.JobServiceStub(channel).WatchJobs(_request())
        good = service.jobs.WatchJobs(_request())
        begin = await _begun(slow)
        await _begun(good)
        ids = await service.dispatch(600, labels={f"label-{n}": "x" * 256 for n in range(16)})
        heard: list[str] = []
        for start in range(0, len(ids), 50):
            some = [parse_id(job_id, "job_id") for job_id in ids[start : start + 50]]
            await service.application.driver.jobs.cancel(some, timedelta(seconds=1))
            heard += [event.job.id for event in await _events(good, 50)]

        kept, cursor, error = await _until_the_end(slow, begin)
        assert 0 < len(kept) < len(ids)
        assert (error.code(), reason(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        kept += [event.job.id for event in await _events(service.jobs.WatchJobs(_request(cursor)), len(ids) - len(kept))]

    assert kept == heard == ids


async def _until_the_end(call: Any, cursor: bytes) -> tuple[list[str], bytes, grpc.aio.AioRpcError]:
    """Return what a stream still gives before it fails, its last cursor, and how it fails."""
    kept: list[str] = []
    while True:
        try:
            answer = await call.read()
        except grpc.aio.AioRpcError as error:
            return kept, cursor, error
        kept += [event.job.id for event in answer.events]
        cursor = answer.cursor


async def test_starts_are_told_where_the_queue_says_so() -> None:
    async with serving(QUICK) as service:
        running = [job_pb2.JOB_STATE_RUNNING]
        with pytest.raises(grpc.aio.AioRpcError) as told:
            await service.jobs.WatchJobs(_request(queues=["default"], states=running)).read()
        queue = queue_service_pb2.Queue(name="default", events=ALL)
        changed = (await service.queues.UpdateQueue(queue_service_pb2.UpdateQueueRequest(queue=queue))).queue
        call = service.jobs.WatchJobs(_request(queues=["default"], states=running))
        await _begun(call)
        await call.read()
        worker = await StreamWorker.open(service)
        [job_id] = await service.dispatch()
        await worker.get(1)

        [event] = await _events(call, 1)
        await worker.close()

    assert (field_of(told.value), "events = ALL" in str(told.value.details())) == ("filter.states", True)
    assert changed.events == ALL
    assert (event.type, event.job.id, event.to) == ("job.processing", job_id, job_pb2.JOB_STATE_RUNNING)
    assert event.job.state == job_pb2.JOB_STATE_RUNNING


async def test_an_unknown_level_of_events_is_refused_by_name(peer: Peer) -> None:
    queue = queue_service_pb2.Queue(name="q", events=7)  # type: ignore[arg-type] # no such level

    error = await refused(peer.queues.UpdateQueue(queue_service_pb2.UpdateQueueRequest(queue=queue)))

    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["queue.events"])


async def test_streams_end_well_when_the_server_leaves(peer: Peer) -> None:
    events, numbers = peer.jobs.WatchJobs(_request()), peer.queues.WatchStats(queue_service_pb2.WatchStatsRequest())
    await _begun(events)
    await numbers.read()

    peer.server.grpc.drain_signal.begin()

    for call in (events, numbers):
        async with asyncio.timeout(10):
            assert await call.read() is grpc.aio.EOF
        assert await call.code() == grpc.StatusCode.OK


async def test_numbers_come_at_once_and_then_again(peer: Peer) -> None:
    await peer.dispatch(queue="emails")
    call = peer.queues.WatchStats(queue_service_pb2.WatchStatsRequest(queue="emails", interval=Duration(seconds=1)))

    first = (await call.read()).stats
    await peer.dispatch(queue="emails")
    second = (await call.read()).stats

    assert [answer.queues[0].counts.pending for answer in (first, second)] == [1, 2]
    assert first.snapshot_time.ToDatetime() < second.snapshot_time.ToDatetime()


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (queue_service_pb2.WatchStatsRequest(interval=Duration(nanos=1)), "INVALID_FIELD"),
        (queue_service_pb2.WatchStatsRequest(interval=Duration(seconds=61)), "INVALID_FIELD"),
        (queue_service_pb2.WatchStatsRequest(queue="a/b"), "INVALID_FIELD"),
        (queue_service_pb2.WatchStatsRequest(queue="nobody"), "QUEUE_NOT_FOUND"),
    ],
)
async def test_numbers_that_cannot_be_given_are_refused(
    peer: Peer, request_: queue_service_pb2.WatchStatsRequest, expected: str
) -> None:
    assert (await refused(peer.queues.WatchStats(request_).read())).reason == expected


async def test_a_restarted_server_goes_on_from_the_cursor_of_the_one_before(tmp_path: Path) -> None:
    settings = settings_for(driver="sqlite", sqlite={"path": tmp_path / "jobs.db"})
    make_sqlite(tmp_path / "jobs.db")
    async with start_server(settings) as server, connected(server) as peer:
        call = peer.jobs.WatchJobs(_request())
        await _begun(call)
        [first, second] = await _cancelled(peer, 2)
        cursor = (await _events(call, 2))[0].cursor
        call.cancel()

    async with start_server(settings) as server, connected(server) as peer:
        third = spec()
        await peer.jobs.Dispatch(job_service_pb2.DispatchRequest(spec=third))
        await peer.jobs.Cancel(job_service_pb2.CancelRequest(job_id=third.id))
        events = await _events(peer.jobs.WatchJobs(_request(cursor)), 2)

    assert [event.job.id for event in events] == [second, third.id]
    assert first not in {event.job.id for event in events}
