"""The first page: all queues, live."""

from protojobs.v1 import queue_service_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from protojobs_service.admin.console.desk import Console
from protojobs_service.admin.console.views.fields import STATES
from protojobs_service.admin.console.views.queues import take_pulse, view_queue
from protojobs_service.domain.access import Scope

_SERVICE = "protojobs.v1.QueueService"


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of the first page."""

    async def show(request: Request) -> Response:
        stats = await console.ask(request, f"{_SERVICE}/Stats", pb.StatsRequest(), pb.StatsResponse)
        rows = [view_queue(each, may_operate=console.may(request, Scope.OPERATOR, each.queue)) for each in stats.queues]
        return console.page(
            request,
            "queues.html",
            queues=sorted(rows, key=lambda row: row.name),
            pulse=take_pulse(stats),
            workers=max((row.workers for row in rows), default=0),
            totals={state: sum(row.counts[state] for row in rows) for state in STATES},
        )

    return [Route("/", show)]
