"""What two callers may do to each other's jobs, queues and schedules: alice holds `a-*`, bob `b-*`, and both may be more."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from protojobs.v1 import job_pb2, job_service_pb2, queue_service_pb2, schedule_service_pb2
from uuid_utils import uuid7

from tests.schema import make_sqlite
from tests.wire.callers import asking_server, called
from tests.wire.peer import Peer, Refusal, read_status, refused, spec

pytestmark = pytest.mark.asyncio

_SCOPES = ("producer", "worker", "observer", "operator")
DENIED = "PERMISSION_DENIED"


@pytest_asyncio.fixture
async def peer(store: str, tmp_path: Path) -> AsyncIterator[Peer]:
    """Speak to a server that asks for tokens."""
    settings: dict[str, Any] = {"driver": store, "sqlite": {"path": tmp_path / "jobs.db"}}
    if store != "memory":
        make_sqlite(tmp_path / "jobs.db")
    async with asking_server(tmp_path, **settings) as connection:
        yield connection


@pytest.fixture
def root(peer: Peer) -> Peer:
    """Return the administrator."""
    return called(peer, "root", "admin-all")


@pytest.fixture
def alice(peer: Peer) -> Peer:
    """Return a caller who may do everything on `a-*`."""
    return called(peer, "alice", *(f"{scope}-a" for scope in _SCOPES))


@pytest.fixture
def bob(peer: Peer) -> Peer:
    """Return a caller who may do everything on `b-*`."""
    return called(peer, "bob", *(f"{scope}-b" for scope in _SCOPES))


async def _stored(by: Peer, queue: str, **fields: Any) -> str:
    return (await by.dispatch(queue=queue, **fields)).job_id


async def _batch(by: Peer, *specs: job_pb2.JobSpec, **options: Any) -> list[str]:
    """Dispatch a batch; returns the reason that refuses each job, empty where it was stored."""
    answer = await by.jobs.DispatchBatch(job_service_pb2.DispatchBatchRequest(specs=specs, **options))
    return [read_status(each.error).reason if each.HasField("error") else "" for each in answer.results] or [""] * len(specs)


# ---- Dispatch


async def test_a_job_goes_to_a_granted_queue_only(bob: Peer) -> None:
    await _stored(bob, "b-1")

    refusal = await refused(bob.dispatch(queue="a-1"))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, DENIED)
    assert refusal.metadata == {"queue": "a-1"}
    assert refusal.message == "needs scope producer or admin on queue a-1"


async def test_no_queue_is_the_default_one_and_judged_as_such(bob: Peer, root: Peer) -> None:
    assert (await refused(bob.dispatch())).metadata == {"queue": "default"}
    await root.dispatch()


@pytest.mark.parametrize("rare", [{}, {"labels": {"x": "y"}}], ids=["common", "rare"])
async def test_a_foreign_job_in_a_batch_is_refused_alone(root: Peer, bob: Peer, rare: dict[str, Any]) -> None:
    await _stored(root, "a-1")  # its name is known from now on, so that the fast road might take it
    jobs = [spec(queue=queue, **rare) for queue in ("b-1", "a-1", "b-2")]

    reasons = await _batch(bob, *jobs)

    assert reasons == ["", DENIED, ""]
    assert [await _exists(root, job.id) for job in jobs] == [True, False, True]


@pytest.mark.parametrize("rare", [{}, {"labels": {"x": "y"}}], ids=["common", "rare"])
async def test_a_foreign_job_refuses_an_atomic_batch(root: Peer, bob: Peer, rare: dict[str, Any]) -> None:
    await _stored(root, "a-1")
    jobs = [spec(queue=queue, **rare) for queue in ("b-1", "a-1")]

    refusal = await refused(bob.jobs.DispatchBatch(job_service_pb2.DispatchBatchRequest(specs=jobs, atomic=True)))

    assert refusal.reason == DENIED
    assert [await _exists(root, job.id) for job in jobs] == [False, False]


async def test_a_foreign_job_is_refused_before_anything_is_stored(bob: Peer) -> None:
    checked = job_service_pb2.DispatchRequest(spec=spec(queue="a-1"), validate_only=True)

    assert (await refused(bob.jobs.Dispatch(checked))).reason == DENIED
    assert await _batch(bob, spec(queue="b-1"), spec(queue="a-1"), validate_only=True) == ["", DENIED]


async def test_a_foreign_job_on_a_stream_is_refused_alone(root: Peer, bob: Peer) -> None:
    stream = bob.jobs.DispatchStream()
    await stream.read()
    jobs = [spec(queue=queue) for queue in ("b-1", "a-1", "b-1")]

    await stream.write(job_service_pb2.DispatchStreamRequest(seq=1, specs=jobs))
    answer = await stream.read()

    assert answer.up_to_seq == 1
    assert [(each.index, read_status(each.result.error).reason) for each in answer.results] == [(1, DENIED)]
    assert [await _exists(root, job.id) for job in jobs] == [True, False, True]
    await stream.done_writing()


def _chain(*queues: str) -> job_pb2.JobSpec:
    """Return a template in the first queue that the others follow, one after the other."""
    first, *rest = queues
    return job_pb2.JobSpec(kind="next", queue=first, on_failed=[_chain(*rest)] if rest else [])


@pytest.mark.parametrize("field", ["on_complete", "on_failed"])
@pytest.mark.parametrize("queues", [("a-1",), ("b-2", "a-1"), ("b-1", "")], ids=["next", "after next", "default"])
async def test_what_may_not_be_dispatched_may_not_follow_either(bob: Peer, field: str, queues: tuple[str, ...]) -> None:
    await _stored(bob, "b-1", **{field: [_chain("b-2", "b-3")]})

    refusal = await refused(bob.dispatch(queue="b-1", **{field: [_chain(*queues)]}))

    assert refusal.reason == DENIED
    assert await _batch(bob, spec(queue="b-1"), spec(queue="b-1", **{field: [_chain(*queues)]})) == ["", DENIED]


# ---- by id


_BY_ID: dict[str, Callable[[Peer, str], Awaitable[Any]]] = {
    "GetJob": lambda by, job: by.jobs.GetJob(job_service_pb2.GetJobRequest(job_id=job)),
    "GetJob FULL": lambda by, job: by.get(job),
    "ListAttempts": lambda by, job: by.jobs.ListAttempts(job_service_pb2.ListAttemptsRequest(job_id=job)),
    "WaitJob": lambda by, job: by.jobs.WaitJob(job_service_pb2.WaitJobRequest(job_id=job, wait=Duration())),
    "Cancel": lambda by, job: by.jobs.Cancel(job_service_pb2.CancelRequest(job_id=job)),
    "Retry": lambda by, job: by.jobs.Retry(job_service_pb2.RetryRequest(job_id=job)),
    "Retry with payload": lambda by, job: by.jobs.Retry(job_service_pb2.RetryRequest(job_id=job, payload=b"x")),
    "UpdateJob": lambda by, job: by.jobs.UpdateJob(
        job_service_pb2.UpdateJobRequest(job_id=job, spec=job_pb2.JobSpec(priority=1), update_mask=FieldMask(paths=["priority"]))
    ),
    "DeleteJob": lambda by, job: by.jobs.DeleteJob(job_service_pb2.DeleteJobRequest(job_id=job)),
}


@pytest.mark.parametrize("act", _BY_ID.values(), ids=_BY_ID.keys())
async def test_a_foreign_job_is_as_one_that_does_not_exist(root: Peer, alice: Peer, bob: Peer, act: Any) -> None:
    job_id = await _stored(alice, "a-1")
    before = await root.get(job_id)

    foreign, missing = await refused(act(bob, job_id)), await refused(act(bob, str(uuid7())))

    assert foreign == missing
    assert foreign.reason == "JOB_NOT_FOUND"
    assert await root.get(job_id) == before


@pytest.mark.parametrize("act", _BY_ID.values(), ids=_BY_ID.keys())
async def test_an_own_job_is_acted_on(alice: Peer, act: Any) -> None:
    job_id = await _stored(alice, "a-1", delay=Duration(seconds=3600))

    await act(alice, job_id)


@pytest.mark.parametrize("name", ["Cancel", "Retry", "UpdateJob", "DeleteJob", "WaitJob", "GetJob FULL"])
async def test_who_may_only_look_at_a_job_is_told_so(peer: Peer, alice: Peer, name: str) -> None:
    job_id = await _stored(alice, "a-1")
    watcher = called(peer, "watcher", "observer-a", "operator-b", "producer-b")

    refusal = await refused(_BY_ID[name](watcher, job_id))

    assert (refusal.reason, refusal.metadata) == (DENIED, {"queue": "a-1"})


async def test_a_job_is_moved_only_where_both_queues_are_granted(peer: Peer, root: Peer, bob: Peer) -> None:
    job_id = await _stored(bob, "b-1", delay=Duration(seconds=3600))

    def move(queue: str) -> job_service_pb2.UpdateJobRequest:
        return job_service_pb2.UpdateJobRequest(
            job_id=job_id, spec=job_pb2.JobSpec(queue=queue), update_mask=FieldMask(paths=["queue"])
        )

    assert (await refused(bob.jobs.UpdateJob(move("a-1")))).metadata == {"queue": "a-1"}
    assert (await refused(bob.jobs.UpdateJob(move("")))).metadata == {"queue": "default"}
    await bob.jobs.UpdateJob(move("b-2"))
    await called(peer, "both", "operator-a", "operator-b").jobs.UpdateJob(move("a-1"))
    assert (await refused(bob.get(job_id))).reason == "JOB_NOT_FOUND"
    assert (await root.get(job_id)).spec.queue == "a-1"


# ---- lists


async def test_lists_show_the_rows_of_granted_queues(root: Peer, alice: Peer, bob: Peer) -> None:
    jobs = [await _stored(root, queue) for queue in ("a-1", "b-1", "a-1", "b-2", "other")]

    async def seen(by: Peer, **asked: Any) -> list[str]:
        found: list[str] = []
        request = job_service_pb2.ListJobsRequest(page_size=1, **asked)
        while True:
            answer = await by.jobs.ListJobs(request)
            found += [job.id for job in answer.jobs]
            if not answer.next_page_token:
                return found[::-1]
            request.page_token = answer.next_page_token

    assert await seen(root) == jobs
    assert await seen(alice) == [jobs[0], jobs[2]]
    assert await seen(bob) == [jobs[1], jobs[3]]
    assert await seen(bob, view=job_pb2.JOB_VIEW_FULL) == [jobs[1], jobs[3]]
    assert await seen(bob, filter=job_service_pb2.JobFilter(queues=["a-1"])) == []
    assert await seen(bob, expression='queue in ("a-1", "b-2")') == [jobs[3]]
    assert await seen(bob, expression='queue not in ("b-2")') == [jobs[1]]


async def test_nobody_lists_with_the_token_of_a_page_what_is_not_granted(root: Peer, bob: Peer) -> None:
    for queue in ("a-1", "b-1", "a-1", "b-1"):
        await _stored(root, queue)
    page = await root.jobs.ListJobs(job_service_pb2.ListJobsRequest(page_size=1))

    rest = await bob.jobs.ListJobs(job_service_pb2.ListJobsRequest(page_size=1, page_token=page.next_page_token))

    assert [job.spec.queue for job in rest.jobs] == ["b-1"]


async def test_queues_and_their_numbers_are_those_that_are_granted(root: Peer, bob: Peer) -> None:
    for queue in ("a-1", "b-1", "b-2"):
        await _stored(root, queue)

    listed = await bob.queues.ListQueues(queue_service_pb2.ListQueuesRequest())
    stats = await bob.queues.Stats(queue_service_pb2.StatsRequest())
    watched = await bob.queues.WatchStats(queue_service_pb2.WatchStatsRequest()).read()

    assert [queue.name for queue in listed.queues] == ["b-1", "b-2"]
    assert [queue.queue for queue in stats.queues] == ["b-1", "b-2"]
    assert [queue.queue for queue in watched.stats.queues] == ["b-1", "b-2"]


_BY_QUEUE: dict[str, Callable[[Peer, str], Awaitable[Any]]] = {
    "GetQueue": lambda by, queue: by.queues.GetQueue(queue_service_pb2.GetQueueRequest(queue=queue)),
    "UpdateQueue": lambda by, queue: by.queues.UpdateQueue(
        queue_service_pb2.UpdateQueueRequest(queue=queue_service_pb2.Queue(name=queue, max_depth=5))
    ),
    "PauseQueue": lambda by, queue: by.queues.PauseQueue(queue_service_pb2.PauseQueueRequest(queue=queue)),
    "ResumeQueue": lambda by, queue: by.queues.ResumeQueue(queue_service_pb2.ResumeQueueRequest(queue=queue)),
    "ClearQueue": lambda by, queue: by.queues.ClearQueue(queue_service_pb2.ClearQueueRequest(queue=queue)),
    "DeleteQueue": lambda by, queue: by.queues.DeleteQueue(queue_service_pb2.DeleteQueueRequest(queue=queue, force=True)),
    "Stats": lambda by, queue: by.queues.Stats(queue_service_pb2.StatsRequest(queue=queue)),
    "WatchStats": lambda by, queue: _first(by.queues.WatchStats(queue_service_pb2.WatchStatsRequest(queue=queue))),
}


async def _first(call: Any) -> Any:
    return await call.read()


@pytest.mark.parametrize("act", _BY_QUEUE.values(), ids=_BY_QUEUE.keys())
async def test_a_foreign_queue_is_refused_whether_it_exists_or_not(root: Peer, alice: Peer, bob: Peer, act: Any) -> None:
    job_id = await _stored(alice, "a-1")

    existing, missing = await refused(act(bob, "a-1")), await refused(act(bob, "a-2"))

    assert (existing.reason, existing.metadata) == (DENIED, {"queue": "a-1"})
    assert existing.message == missing.message.replace("a-2", "a-1")
    queue = (await root.queues.GetQueue(queue_service_pb2.GetQueueRequest(queue="a-1"))).queue
    assert (queue.paused, queue.max_depth, await _exists(root, job_id)) == (False, 0, True)
    await act(alice, "a-1")


# ---- bulk


async def test_a_bulk_action_acts_on_granted_rows_only(root: Peer, bob: Peer) -> None:
    jobs = {queue: await _stored(root, queue) for queue in ("a-1", "b-1", "b-2")}
    cancel = job_service_pb2.BULK_ACTION_CANCEL

    everything = await bob.jobs.BulkJobs(job_service_pb2.BulkJobsRequest(action=cancel, all=True))
    foreign = await bob.jobs.BulkJobs(
        job_service_pb2.BulkJobsRequest(action=cancel, filter=job_service_pb2.JobFilter(queues=["a-1"]))
    )

    assert (everything.changed, foreign.changed) == (2, 0)
    assert {queue: (await root.get(job)).state for queue, job in jobs.items()} == {
        "a-1": job_pb2.JOB_STATE_PENDING,
        "b-1": job_pb2.JOB_STATE_CANCELLED,
        "b-2": job_pb2.JOB_STATE_CANCELLED,
    }


@pytest.mark.parametrize("action", [job_service_pb2.BULK_ACTION_CANCEL, job_service_pb2.BULK_ACTION_DELETE])
async def test_a_bulk_action_knows_no_foreign_ids(root: Peer, bob: Peer, action: Any) -> None:
    foreign, own = await _stored(root, "a-1"), await _stored(root, "b-1")

    done = await bob.jobs.BulkJobs(job_service_pb2.BulkJobsRequest(action=action, job_ids=[foreign, own, str(uuid7())]))

    assert (done.changed, done.skipped) == (1, 2)
    assert (await root.get(foreign)).state == job_pb2.JOB_STATE_PENDING


async def test_a_dry_run_names_no_foreign_job(root: Peer, bob: Peer) -> None:
    foreign, own = await _stored(root, "a-1"), await _stored(root, "b-1")
    cancel = job_service_pb2.BULK_ACTION_CANCEL

    for target in ({"all": True}, {"job_ids": [foreign, own]}):
        done = await bob.jobs.BulkJobs(job_service_pb2.BulkJobsRequest(action=cancel, validate_only=True, **target))
        assert list(done.sample_job_ids) == [own]


async def test_a_bulk_action_refuses_ids_that_the_caller_may_only_look_at(peer: Peer, root: Peer) -> None:
    seen, own = await _stored(root, "a-1"), await _stored(root, "b-1")
    by = called(peer, "by", "observer-a", "operator-b")

    refusal = await refused(
        by.jobs.BulkJobs(job_service_pb2.BulkJobsRequest(action=job_service_pb2.BULK_ACTION_CANCEL, job_ids=[own, seen]))
    )

    assert (refusal.reason, refusal.metadata) == (DENIED, {"queue": "a-1"})
    assert (await root.get(own)).state == job_pb2.JOB_STATE_PENDING


async def test_a_bulk_action_moves_to_granted_queues_only(root: Peer, bob: Peer) -> None:
    job_id = await _stored(bob, "b-1", delay=Duration(seconds=3600))
    move = job_service_pb2.BULK_ACTION_MOVE

    refusal = await refused(bob.jobs.BulkJobs(job_service_pb2.BulkJobsRequest(action=move, queue="a-1", job_ids=[job_id])))

    assert refusal.metadata == {"queue": "a-1"}
    assert (await root.get(job_id)).spec.queue == "b-1"


# ---- schedules


def _schedule(name: str, queue: str, **job: Any) -> schedule_service_pb2.ScheduleRequest:
    every = schedule_service_pb2.Every(interval=Duration(seconds=3600))
    template = job_pb2.JobSpec(kind="tick", queue=queue, payload=b"secret", headers={"h": "secret"}, **job)
    spec = schedule_service_pb2.ScheduleSpec(every=every)
    return schedule_service_pb2.ScheduleRequest(schedule=schedule_service_pb2.Schedule(name=name, spec=spec, job=template))


_BY_NAME: dict[str, Callable[[Peer, str], Awaitable[Any]]] = {
    "GetSchedule": lambda by, name: by.schedules.GetSchedule(schedule_service_pb2.GetScheduleRequest(name=name)),
    "PauseSchedule": lambda by, name: by.schedules.PauseSchedule(schedule_service_pb2.PauseScheduleRequest(name=name)),
    "ResumeSchedule": lambda by, name: by.schedules.ResumeSchedule(schedule_service_pb2.ResumeScheduleRequest(name=name)),
    "TriggerSchedule": lambda by, name: by.schedules.TriggerSchedule(schedule_service_pb2.TriggerScheduleRequest(name=name)),
    "PreviewSchedule": lambda by, name: by.schedules.PreviewSchedule(schedule_service_pb2.PreviewScheduleRequest(name=name)),
    "DeleteSchedule": lambda by, name: by.schedules.DeleteSchedule(schedule_service_pb2.DeleteScheduleRequest(name=name)),
}


@pytest.mark.parametrize("act", _BY_NAME.values(), ids=_BY_NAME.keys())
async def test_a_foreign_schedule_is_as_one_that_does_not_exist(root: Peer, alice: Peer, bob: Peer, act: Any) -> None:
    await alice.schedules.Schedule(_schedule("tick", "a-1"))
    before = await _BY_NAME["GetSchedule"](root, "tick")

    foreign, missing = await refused(act(bob, "tick")), await refused(act(bob, "tock"))

    assert foreign == missing
    assert foreign.reason == "SCHEDULE_NOT_FOUND"
    assert await _BY_NAME["GetSchedule"](root, "tick") == before
    await act(alice, "tick")


async def test_a_schedule_makes_jobs_in_granted_queues_only(bob: Peer) -> None:
    for template in (_schedule("t", "a-1"), _schedule("t", ""), _schedule("t", "b-1", on_complete=[_chain("b-1", "a-1")])):
        for validate_only in (True, False):
            template.validate_only = validate_only
            assert (await refused(bob.schedules.Schedule(template))).reason == DENIED

    delay: dict[str, Any] = {"in": Duration(seconds=60)}
    once = schedule_service_pb2.ScheduleSpec(**delay)
    schedule = schedule_service_pb2.Schedule(spec=once, job=job_pb2.JobSpec(kind="k", queue="a-1"))
    assert (await refused(bob.schedules.Schedule(schedule_service_pb2.ScheduleRequest(schedule=schedule)))).reason == DENIED
    await bob.schedules.Schedule(_schedule("t", "b-1", on_complete=[_chain("b-1", "b-2")]))


async def test_nobody_takes_the_name_of_a_foreign_schedule(root: Peer, alice: Peer, bob: Peer) -> None:
    await alice.schedules.Schedule(_schedule("tick", "a-1"))

    for validate_only in (True, False):
        request = _schedule("tick", "b-1")
        request.validate_only = validate_only
        refusal = await refused(bob.schedules.Schedule(request))
        assert (refusal.reason, refusal.metadata) == (DENIED, {})
        assert "a-1" not in refusal.message

    assert (await _BY_NAME["GetSchedule"](root, "tick")).schedule.job.queue == "a-1"


async def test_schedules_are_listed_where_they_are_granted(root: Peer, bob: Peer) -> None:
    for number in range(25):
        await root.schedules.Schedule(_schedule(f"s{number:02}", "b-1" if number % 10 == 0 else "a-1"))

    found: list[str] = []
    request = schedule_service_pb2.ListSchedulesRequest(page_size=2)
    while True:
        page = await bob.schedules.ListSchedules(request)
        found += [each.name for each in page.schedules]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break

    assert found == ["s00", "s10", "s20"]


# ---- observers


async def test_observers_see_no_payload_no_headers_and_no_texts_of_schedules(peer: Peer, root: Peer) -> None:
    await root.schedules.Schedule(_schedule("tick", "a-1", on_complete=[job_pb2.JobSpec(kind="k", payload=b"secret")]))
    watcher = called(peer, "watcher", "observer-a")

    one = (await _BY_NAME["GetSchedule"](watcher, "tick")).schedule
    [other] = (await watcher.schedules.ListSchedules(schedule_service_pb2.ListSchedulesRequest())).schedules

    assert one == other
    assert (one.job.kind, one.job.queue) == ("tick", "a-1")
    assert b"secret" not in one.SerializeToString()


async def test_observers_get_the_basic_view_of_jobs_and_no_other(peer: Peer, root: Peer) -> None:
    follow = job_pb2.JobSpec(kind="k", payload=b"secret", headers={"h": "secret"})
    job_id = await _stored(root, "a-1", payload=b"secret", headers={"h": "secret"}, on_failed=[follow])
    watcher = called(peer, "watcher", "observer-a")

    job = (await _BY_ID["GetJob"](watcher, job_id)).job
    [listed] = (await watcher.jobs.ListJobs(job_service_pb2.ListJobsRequest())).jobs
    full: Refusal = await refused(watcher.get(job_id))
    all_full = await refused(watcher.jobs.ListJobs(job_service_pb2.ListJobsRequest(view=job_pb2.JOB_VIEW_FULL)))

    assert job == listed
    assert b"secret" not in job.SerializeToString()
    assert (full.reason, all_full.reason) == (DENIED, DENIED)


async def test_an_observer_of_one_queue_and_operator_of_another_reads_payloads_of_the_other(peer: Peer, root: Peer) -> None:
    for queue in ("a-1", "b-1"):
        await _stored(root, queue, payload=b"secret")
    by = called(peer, "by", "observer-a", "operator-b")

    basic = await by.jobs.ListJobs(job_service_pb2.ListJobsRequest())
    full = await by.jobs.ListJobs(job_service_pb2.ListJobsRequest(view=job_pb2.JOB_VIEW_FULL))

    assert {job.spec.queue for job in basic.jobs} == {"a-1", "b-1"}
    assert [(job.spec.queue, job.spec.payload) for job in full.jobs] == [("b-1", b"secret")]


async def _exists(root: Peer, job_id: str) -> bool:
    listed = await root.jobs.ListJobs(job_service_pb2.ListJobsRequest(page_size=100))
    return job_id in {job.id for job in listed.jobs}
