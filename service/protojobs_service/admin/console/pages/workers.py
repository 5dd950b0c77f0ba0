"""The list of workers, and draining one."""

from protojobs.v1 import worker_service_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from protojobs_service.admin.console.desk import Console
from protojobs_service.admin.console.views.workers import view_worker
from protojobs_service.domain.access import Scope

_SERVICE = "protojobs.v1.WorkerService"
_PAGE_SIZE = 50


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of the page."""

    async def show(request: Request) -> Response:
        queue = request.query_params.get("queue", "")
        message = pb.ListWorkersRequest(queue=queue, page_size=_PAGE_SIZE, page_token=request.query_params.get("after", ""))
        listed = await console.ask(request, f"{_SERVICE}/ListWorkers", message, pb.ListWorkersResponse)
        workers = [
            view_worker(each, may_operate=all(console.may(request, Scope.OPERATOR, name) for name in each.queues))
            for each in listed.workers
        ]
        return console.page(request, "workers.html", workers=workers, queue=queue, more=listed.next_page_token)

    async def drain(request: Request) -> Response:
        """Ask the worker to finish what it runs and take nothing new."""
        message = pb.DrainWorkerRequest(session=request.path_params["session"])
        await console.ask(request, f"{_SERVICE}/DrainWorker", message, pb.DrainWorkerResponse)
        return console.go("/workers?done=draining")

    return [Route("/workers", show), Route("/workers/{session}/drain", drain, methods=["POST"])]
