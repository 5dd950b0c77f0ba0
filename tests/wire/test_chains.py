"""Follow-ups over the wire: how they are checked, made and shown."""

from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from protojobs.v1 import job_pb2, job_service_pb2, worker_service_pb2

from tests.canaries import PAYLOAD
from tests.wire.lease_worker import OK, Service, UnaryWorker, complete, outcome, serving
from tests.wire.peer import refused, spec

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def service() -> Any:
    """Serve an empty memory store."""
    async with serving() as served:
        yield served


def _follow(**fields: Any) -> job_pb2.JobSpec:
    values: dict[str, Any] = {"kind": "next", **fields}
    return job_pb2.JobSpec(**values)


def _chain(length: int) -> job_pb2.JobSpec:
    last = _follow()
    for _ in range(length - 1):
        last = _follow(on_complete=[last])
    return last


def _tree(width: int) -> list[job_pb2.JobSpec]:
    return [_follow(on_failed=[_follow()] * width)] * 16


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"on_complete": [_follow(), _follow(kind="not ok")]}, "spec.on_complete[1].kind"),
        ({"on_failed": [_follow(on_complete=[_follow(queue="not ok")])]}, "spec.on_failed[0].on_complete[0].queue"),
        ({"on_complete": [_follow(delay=Duration(seconds=-1))]}, "spec.on_complete[0].delay"),
        ({"on_complete": [_follow(id="01990000-0000-7000-8000-000000000000")]}, "spec.on_complete[0].id"),
        ({"on_complete": [_follow()] * 17}, "spec.on_complete"),
        ({"on_complete": _tree(15)}, ""),
        ({"on_complete": [_follow(on_failed=[_follow()] * 16)] * 16}, None),
        ({"on_complete": [_chain(17)]}, "spec" + ".on_complete[0]" * 17),
        ({"on_complete": [_follow(payload=b"x" * 1_000_000)] * 2}, "spec.on_complete"),
    ],
)
async def test_follow_ups_beyond_the_bounds_are_refused_with_their_path(
    service: Service, fields: dict[str, Any], path: str | None
) -> None:
    call = service.jobs.Dispatch(job_service_pb2.DispatchRequest(spec=spec(**fields)))
    if path == "":
        await call
        return
    error = await refused(call)

    assert error.reason == "INVALID_FIELD"
    if path is not None:
        assert error.fields == [path]


async def test_a_chain_runs_from_job_to_job_and_each_names_its_parent(service: Service) -> None:
    worker = await UnaryWorker.open(service)
    head = spec(kind="first", on_complete=[_follow(payload=b"2", on_complete=[_follow(kind="last", payload=b"3")])])
    await service.jobs.Dispatch(job_service_pb2.DispatchRequest(spec=head))

    seen: list[tuple[str, str, bytes]] = []
    for _ in range(3):
        [lease] = await worker.get(1)
        job = await service.job(lease.job_id)
        seen.append((job.parent_job_id, lease.spec.kind, lease.spec.payload))
        assert lease.spec.id == lease.job_id
        assert (await worker.settle(complete(lease)))[lease.job_id, 1][0].code == OK
    children = await service.jobs.ListJobs(job_service_pb2.ListJobsRequest(filter=job_service_pb2.JobFilter(parent_job_id=head.id)))

    assert [kind for _, kind, _ in seen] == ["first", "next", "last"]
    assert [payload for *_, payload in seen] == [PAYLOAD, b"2", b"3"]
    assert [parent for parent, *_ in seen[:2]] == ["", head.id]
    [child] = children.jobs
    assert (child.parent_job_id, child.spec.kind, seen[2][0]) == (head.id, "next", child.id)
    await worker.close()


async def test_the_short_view_has_no_payloads_of_follow_ups_either(service: Service) -> None:
    sent = spec(on_complete=[_follow(payload=b"secret", headers={"a": "b"}, on_failed=[_follow(payload=b"secret")])])
    await service.jobs.Dispatch(job_service_pb2.DispatchRequest(spec=sent))

    basic = (await service.jobs.GetJob(job_service_pb2.GetJobRequest(job_id=sent.id))).job
    full = (await service.jobs.GetJob(job_service_pb2.GetJobRequest(job_id=sent.id, view=job_pb2.JOB_VIEW_FULL))).job

    assert b"secret" not in basic.SerializeToString()
    assert basic.spec.on_complete[0].kind == "next"
    assert full.spec.on_complete == sent.on_complete


async def test_a_result_that_is_too_large_is_dropped_and_the_job_says_so(service: Service) -> None:
    worker = await UnaryWorker.open(service)
    [job_id] = await service.dispatch()
    [lease] = await worker.get(1)

    answers = await worker.settle(outcome(lease, complete=worker_service_pb2.Complete(result=b"x" * (256 * 1024 + 1))))

    job = await service.job(job_id)
    assert (answers[job_id, 1][0].code, answers[job_id, 1][0].result_dropped) == (OK, True)
    assert (job.state, job.result, job.reason) == (job_pb2.JOB_STATE_COMPLETED, b"", "RESULT_DROPPED")
    await worker.close()


async def test_a_parent_that_is_no_id_is_refused(service: Service) -> None:
    wanted = job_service_pb2.JobFilter(parent_job_id="x")

    error = await refused(service.jobs.ListJobs(job_service_pb2.ListJobsRequest(filter=wanted)))

    assert error.fields == ["filter.parent_job_id"]
