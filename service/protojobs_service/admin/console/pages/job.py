"""One job: everything about it, and retry, edit then retry, clone, cancel, delete."""

from google.protobuf.message import Message
from protojobs.v1 import job_pb2
from protojobs.v1 import job_service_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from uuid_utils import uuid7

from protojobs_service.admin.console.desk import Console
from protojobs_service.admin.console.views.job import JobView, copy_spec, timeline, view_attempt, view_job
from protojobs_service.admin.console.views.jobs import view_row
from protojobs_service.admin.console.views.payload import check_json, is_json
from protojobs_service.domain.access import Scope

_SERVICE = "protojobs.v1.JobService"
_ATTEMPTS = 100
_CHILDREN = 20


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of a job's page."""
    page = _JobPage(console)
    return [
        Route("/jobs/{job}", page.show),
        Route("/jobs/{job}/edit", page.edit),
        Route("/jobs/{job}/retry", page.retry, methods=["POST"]),
        Route("/jobs/{job}/clone", page.clone, methods=["POST"]),
        Route("/jobs/{job}/cancel", page.cancel, methods=["POST"]),
        Route("/jobs/{job}/delete", page.delete, methods=["POST"]),
    ]


class _JobPage:
    def __init__(self, console: Console) -> None:
        self._console = console

    async def show(self, request: Request) -> Response:
        job = await self._view(request)
        listing = pb.ListAttemptsRequest(job_id=job.id, page_size=_ATTEMPTS, page_token=request.query_params.get("attempts", ""))
        listed = await self._console.ask(request, f"{_SERVICE}/ListAttempts", listing, pb.ListAttemptsResponse)
        attempts = [view_attempt(each, may_operate=job.may_operate) for each in listed.attempts]
        ours = pb.ListJobsRequest(filter=pb.JobFilter(parent_job_id=job.id), page_size=_CHILDREN)
        children = await self._console.ask(request, f"{_SERVICE}/ListJobs", ours, pb.ListJobsResponse)
        return self._console.page(
            request,
            "job.html",
            job=job,
            attempts=attempts[::-1],
            more_attempts=listed.next_page_token,
            timeline=timeline(job, attempts),
            children=[view_row(each, may_operate=False) for each in children.jobs],
            more_children=bool(children.next_page_token),
        )

    async def edit(self, request: Request) -> Response:
        """Show the payload in a field to change it, to retry the job or to dispatch another one like it."""
        job = await self._view(request)
        purpose = "clone" if request.query_params.get("for") == "clone" else "retry"
        return self._editor(request, job, purpose, job.payload.text if job.payload else "", "")

    async def retry(self, request: Request) -> Response:
        """Run the job again from the attempt that was seen, so that a second click changes nothing."""
        form = self._console.form(request)
        job_id = request.path_params["job"]
        message = pb.RetryRequest(job_id=job_id, expected_attempt=_number(form.get("attempt", "")))
        if "payload" in form:
            text = _line_feeds(form["payload"])
            if wrong := await self._wrong(request, text):
                return wrong
            message.payload = text.encode()
        await self._console.ask(request, f"{_SERVICE}/Retry", message, pb.RetryResponse)
        place = "jobs?state=failed&" if form.get("back") == "failed" else f"jobs/{job_id}?"
        return self._console.go(f"/{place}done=retried")

    async def clone(self, request: Request) -> Response:
        """Dispatch a like job under the id that the form brought, so that a second click is answered as the first."""
        form = self._console.form(request)
        spec = copy_spec((await self._get(request)).spec, form.get("id", ""))
        if "payload" in form:
            text = _line_feeds(form["payload"])
            if wrong := await self._wrong(request, text):
                return wrong
            spec.payload = text.encode()
        message = pb.DispatchRequest(spec=spec)
        answer = await self._console.ask(request, f"{_SERVICE}/Dispatch", message, pb.DispatchResponse)
        return self._console.go(f"/jobs/{answer.job_id}?done=cloned")

    async def cancel(self, request: Request) -> Response:
        await self._change(request, "Cancel", pb.CancelRequest(job_id=request.path_params["job"]), pb.CancelResponse)
        return self._console.go(f"/jobs/{request.path_params['job']}?done=cancelled")

    async def delete(self, request: Request) -> Response:
        await self._change(request, "DeleteJob", pb.DeleteJobRequest(job_id=request.path_params["job"]), pb.DeleteJobResponse)
        return self._console.go("/jobs?done=deleted")

    async def _change(self, request: Request, rpc: str, message: Message, answer: type[Message]) -> None:
        await self._console.ask(request, f"{_SERVICE}/{rpc}", message, answer)

    async def _get(self, request: Request) -> job_pb2.Job:
        """Return the job, with payload and result where the caller may see them."""
        job_id = request.path_params["job"]
        message = pb.GetJobRequest(job_id=job_id, view=job_pb2.JOB_VIEW_BASIC)
        job = (await self._console.ask(request, f"{_SERVICE}/GetJob", message, pb.GetJobResponse)).job
        if self._console.may(request, Scope.OPERATOR, job.spec.queue):
            message.view = job_pb2.JOB_VIEW_FULL
            job = (await self._console.ask(request, f"{_SERVICE}/GetJob", message, pb.GetJobResponse)).job
        return job

    async def _view(self, request: Request) -> JobView:
        job = await self._get(request)
        operate, produce = (self._console.may(request, scope, job.spec.queue) for scope in (Scope.OPERATOR, Scope.PRODUCER))
        return view_job(job, may_operate=operate, may_produce=produce)

    async def _wrong(self, request: Request, text: str) -> Response | None:
        """Return the editor once more, with what was written and why it is no payload of this content type."""
        job = await self._view(request)
        fault = check_json(text) if job.payload and is_json(job.payload.content_type) else ""
        if not fault:
            return None
        purpose = "clone" if request.url.path.endswith("/clone") else "retry"
        return self._editor(request, job, purpose, text, fault)

    def _editor(self, request: Request, job: JobView, purpose: str, text: str, fault: str) -> Response:
        status_code, new_id = 422 if fault else 200, str(uuid7())
        page = self._console.page
        return page(request, "edit.html", status_code, job=job, purpose=purpose, text=text, fault=fault, new_id=new_id)


def _line_feeds(text: str) -> str:
    """Return text as it was before the form made it lines with CR LF (HTML, 4.10.21.4)."""
    return text.replace("\r\n", "\n")


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0
