"""One queue: charts, settings, pause and resume, and clearing it after a look at what would go."""

from protojobs.v1 import queue_service_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from protojobs_service.admin.console.desk import Console
from protojobs_service.admin.console.views.fields import state_number
from protojobs_service.admin.console.views.queue import CLEARABLE, view_settings
from protojobs_service.admin.console.views.queues import take_pulse, view_queue
from protojobs_service.domain.access import Scope

_SERVICE = "protojobs.v1.QueueService"
_STEPS = 50
"""Steps of ClearQueue that one click takes: the browser waits for them."""


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of a queue's page."""
    page = _QueuePage(console)
    return [
        Route("/queues/{queue}", page.show),
        Route("/queues/{queue}/pause", page.pause, methods=["POST"]),
        Route("/queues/{queue}/resume", page.resume, methods=["POST"]),
        Route("/queues/{queue}/clear", page.clear, methods=["POST"]),
    ]


class _QueuePage:
    def __init__(self, console: Console) -> None:
        self._console = console

    async def show(self, request: Request) -> Response:
        name = request.path_params["queue"]
        answer = await self._console.ask(request, f"{_SERVICE}/GetQueue", pb.GetQueueRequest(queue=name), pb.GetQueueResponse)
        stats = await self._console.ask(request, f"{_SERVICE}/Stats", pb.StatsRequest(queue=name), pb.StatsResponse)
        [row] = [view_queue(each, may_operate=self._console.may(request, Scope.OPERATOR, name)) for each in stats.queues]
        return self._console.page(
            request, "queue.html", queue=row, pulse=take_pulse(stats), settings=view_settings(answer.queue), clearable=CLEARABLE
        )

    async def pause(self, request: Request) -> Response:
        message = pb.PauseQueueRequest(queue=request.path_params["queue"])
        await self._console.ask(request, f"{_SERVICE}/PauseQueue", message, pb.PauseQueueResponse)
        return await self._back(request, "paused")

    async def resume(self, request: Request) -> Response:
        message = pb.ResumeQueueRequest(queue=request.path_params["queue"])
        await self._console.ask(request, f"{_SERVICE}/ResumeQueue", message, pb.ResumeQueueResponse)
        return await self._back(request, "resumed")

    async def clear(self, request: Request) -> Response:
        """Say how many jobs would go; with `sure` delete them, and go on asking while there are more."""
        form, name = self._console.form(request), request.path_params["queue"]
        states = [state for state in form.getlist("state") if state in CLEARABLE]
        if not states:
            return self._console.go(f"/queues/{name}?done=nothing_chosen")
        message = pb.ClearQueueRequest(queue=name, states=[state_number(state) for state in states])
        deleted, more = (0, False) if form.get("sure") != "yes" else await self._run(request, message)
        if form.get("sure") == "yes" and not more:
            return self._console.go(f"/queues/{name}?done=cleared&changed={deleted}")
        message.validate_only, found, rest = True, 0, True
        for _ in range(_STEPS):
            answer = await self._console.ask(request, f"{_SERVICE}/ClearQueue", message, pb.ClearQueueResponse)
            found += answer.deleted
            message.continuation_token = answer.continuation_token
            rest = bool(answer.continuation_token)
            if not rest:
                break
        return self._console.page(request, "clear.html", queue=name, states=states, found=found, at_least=rest, deleted=deleted)

    async def _run(self, request: Request, message: pb.ClearQueueRequest) -> tuple[int, bool]:
        """Delete in steps; returns how many, and whether there is more."""
        deleted, step = 0, pb.ClearQueueRequest()
        step.CopyFrom(message)
        for _ in range(_STEPS):
            answer = await self._console.ask(request, f"{_SERVICE}/ClearQueue", step, pb.ClearQueueResponse)
            deleted += answer.deleted
            step.continuation_token = answer.continuation_token
            if not answer.continuation_token:
                return deleted, False
        return deleted, True

    async def _back(self, request: Request, done: str) -> Response:
        form = self._console.form(request)
        place = f"queues/{request.path_params['queue']}" if form.get("back") == "queue" else ""
        return self._console.go(f"/{place}?done={done}")
