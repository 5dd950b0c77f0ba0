"""Reading jobs whose payloads are large: no answer is larger than the server sends, and none is left out."""

import pytest
from protojobs.v1 import job_pb2, job_service_pb2

from tests.wire.peer import Peer

pytestmark = pytest.mark.asyncio

MIB = 1024 * 1024
MOST = 16 * MIB  # limits.max_send_bytes


@pytest.mark.parametrize("view", [job_pb2.JOB_VIEW_BASIC, job_pb2.JOB_VIEW_FULL], ids=["basic", "full"])
async def test_a_list_pages_through_a_hundred_jobs_of_one_mib(peer: Peer, view: "job_pb2.JobView.ValueType") -> None:
    payload = bytes(MIB)
    sent = [(await peer.dispatch(payload=payload)).job_id for _ in range(100)]

    jobs: list[job_pb2.Job] = []
    request = job_service_pb2.ListJobsRequest(page_size=500, view=view, order=job_service_pb2.JOB_ORDER_OLDEST)
    while True:
        page = await peer.jobs.ListJobs(request)
        assert page.ByteSize() < MOST
        jobs += page.jobs
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token

    assert [job.id for job in jobs] == sent
    assert {len(job.spec.payload) for job in jobs} == {MIB if view == job_pb2.JOB_VIEW_FULL else 0}
