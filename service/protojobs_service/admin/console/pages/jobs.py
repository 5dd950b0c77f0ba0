"""The list of jobs: a filter that lives in the address, pages by key, and what can be done with many at once."""

import grpc
from protojobs.v1 import job_service_pb2 as pb
from protojobs.v1 import queue_service_pb2
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from protojobs_service.admin.console.desk import Console
from protojobs_service.admin.console.views.fields import STATES
from protojobs_service.admin.console.views.jobs import PAGE_SIZE, JobFilter, read_filter, to_message, view_row
from protojobs_service.domain.access import Scope
from protojobs_service.transport.local import Refused


def routes(console: Console) -> list[BaseRoute]:
    """Return the route of the list."""
    page = _JobsPage(console)
    return [Route("/jobs", page.show)]


class _JobsPage:
    def __init__(self, console: Console) -> None:
        self._console = console

    async def show(self, request: Request) -> Response:
        wanted = read_filter(request.query_params)
        if wanted.job_id:
            return self._console.go(f"/jobs/{wanted.job_id}")
        refusal, answer = "", pb.ListJobsResponse()
        try:
            answer = await self._list(request, wanted)
        except Refused as error:
            if error.code is not grpc.StatusCode.INVALID_ARGUMENT:
                raise
            refusal = str(error)
        counts = await self._counts(request, wanted.queue)
        return self._console.page(
            request,
            "jobs.html",
            filter=wanted,
            jobs=[view_row(job, may_operate=self._console.may(request, Scope.OPERATOR, job.spec.queue)) for job in answer.jobs],
            older=answer.next_page_token,
            refusal=refusal,
            states=STATES,
            counts=counts,
            queues=sorted(counts["queues"]),
            may_operate=self._console.may(request, Scope.OPERATOR),
        )

    async def _list(self, request: Request, wanted: JobFilter) -> pb.ListJobsResponse:
        message = pb.ListJobsRequest(
            filter=to_message(wanted), expression=wanted.expression, page_size=PAGE_SIZE, page_token=wanted.after
        )
        return await self._console.ask(request, "protojobs.v1.JobService/ListJobs", message, pb.ListJobsResponse)

    async def _counts(self, request: Request, queue: str) -> dict[str, dict[str, int]]:
        """Return how many jobs there are by state, in this queue or in all, and by queue."""
        message, answer = queue_service_pb2.StatsRequest(), queue_service_pb2.StatsResponse
        stats = await self._console.ask(request, "protojobs.v1.QueueService/Stats", message, answer)
        meant = [each.counts for each in stats.queues if not queue or each.queue == queue]
        return {
            "states": {state: sum(getattr(each, state) for each in meant) for state in STATES},
            "queues": {each.queue: sum(getattr(each.counts, state) for state in STATES) for each in stats.queues},
        }
