"""The list of schedules with their next fires, and pause, resume, trigger, delete."""

from google.protobuf.message import Message
from protojobs.v1 import schedule_service_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from uuid_utils import uuid7

from protojobs_service.admin.console.desk import Console
from protojobs_service.admin.console.views.schedules import NEXT_FIRES, ScheduleView, view_schedule
from protojobs_service.domain.access import Scope

_SERVICE = "protojobs.v1.ScheduleService"
_PAGE_SIZE = 50


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of the page."""
    page = _SchedulesPage(console)
    changes = [
        Route(f"/schedules/{{name}}/{verb}", change, methods=["POST"])
        for verb, change in (("pause", page.pause), ("resume", page.resume), ("trigger", page.trigger), ("delete", page.delete))
    ]
    return [Route("/schedules", page.show), *changes]


class _SchedulesPage:
    def __init__(self, console: Console) -> None:
        self._console = console

    async def show(self, request: Request) -> Response:
        message = pb.ListSchedulesRequest(page_size=_PAGE_SIZE, page_token=request.query_params.get("after", ""))
        listed = await self._console.ask(request, f"{_SERVICE}/ListSchedules", message, pb.ListSchedulesResponse)
        schedules = [await self._view(request, each) for each in listed.schedules]
        return self._console.page(request, "schedules.html", schedules=schedules, more=listed.next_page_token)

    async def pause(self, request: Request) -> Response:
        message = pb.PauseScheduleRequest(name=request.path_params["name"])
        return await self._change(request, "PauseSchedule", message, pb.PauseScheduleResponse, "schedule_paused")

    async def resume(self, request: Request) -> Response:
        message = pb.ResumeScheduleRequest(name=request.path_params["name"])
        return await self._change(request, "ResumeSchedule", message, pb.ResumeScheduleResponse, "schedule_resumed")

    async def trigger(self, request: Request) -> Response:
        """Make a job now and show it."""
        form = self._console.form(request)
        message = pb.TriggerScheduleRequest(name=request.path_params["name"], job_id=form.get("id", ""))
        answer = await self._console.ask(request, f"{_SERVICE}/TriggerSchedule", message, pb.TriggerScheduleResponse)
        return self._console.go(f"/jobs/{answer.job_id}?done=triggered")

    async def delete(self, request: Request) -> Response:
        """Delete the schedule that was seen; one that was changed since is refused."""
        form = self._console.form(request)
        message = pb.DeleteScheduleRequest(name=request.path_params["name"], etag=form.get("etag", ""))
        return await self._change(request, "DeleteSchedule", message, pb.DeleteScheduleResponse, "schedule_deleted")

    async def _view(self, request: Request, schedule: pb.Schedule) -> ScheduleView:
        nexts = pb.PreviewScheduleResponse()
        if not schedule.paused and schedule.HasField("next_time"):
            message = pb.PreviewScheduleRequest(name=schedule.name, count=NEXT_FIRES)
            nexts = await self._console.ask(request, f"{_SERVICE}/PreviewSchedule", message, pb.PreviewScheduleResponse)
        may_operate = self._console.may(request, Scope.OPERATOR, schedule.job.queue or "default")
        return view_schedule(schedule, nexts.times, trigger_id=str(uuid7()), may_operate=may_operate)

    async def _change(self, request: Request, rpc: str, message: Message, answer: type[Message], done: str) -> Response:
        await self._console.ask(request, f"{_SERVICE}/{rpc}", message, answer)
        return self._console.go(f"/schedules?done={done}")
