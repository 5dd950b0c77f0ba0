"""Many jobs at once: first how many it would be, then, when somebody is sure, the change."""

from collections.abc import Sequence
from dataclasses import dataclass

from protojobs.v1 import job_service_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from protojobs_service.admin.console.desk import Console
from protojobs_service.admin.console.views.jobs import read_filter, to_message

_ACTIONS = {"retry": pb.BULK_ACTION_RETRY, "cancel": pb.BULK_ACTION_CANCEL, "delete": pb.BULK_ACTION_DELETE}
_RPC = "protojobs.v1.JobService/BulkJobs"
_STEPS = 50
"""Steps of BulkJobs that one click takes: the browser waits for them."""


@dataclass(slots=True)
class _Sums:
    """What the steps of a change came to, or would. token: where it goes on, empty when done. sample: some of the jobs."""

    changed: int = 0
    skipped: int = 0
    token: str = ""
    sample: Sequence[str] = ()


def routes(console: Console) -> list[BaseRoute]:
    """Return the route of bulk changes."""

    async def change(request: Request) -> Response:
        """Show what the change would be; with `sure` make it, and go on asking while there is more."""
        form = console.form(request)
        wanted, action = read_filter(form), form.get("action", "")
        ids = form.getlist("id") if form.get("which") != "all" else []
        if action not in _ACTIONS or (form.get("which") != "all" and not ids):
            return console.go(f"/jobs?{wanted.query(done='nothing_chosen')}")
        message = pb.BulkJobsRequest(action=_ACTIONS[action], job_ids=ids)
        if not ids:
            message.filter.CopyFrom(to_message(wanted))
            message.expression, message.all = wanted.expression, wanted.is_empty
        sums = _Sums(token=form.get("token", ""))
        if form.get("sure") == "yes":
            sums = await _run(console, request, message, sums)
            if not sums.token:
                return console.go(f"/jobs?{wanted.query(done=action, changed=str(sums.changed), skipped=str(sums.skipped))}")
        found = await _count(console, request, message)
        return console.page(
            request,
            "bulk.html",
            filter=wanted,
            action=action,
            ids=ids,
            found=found.changed,
            skipped=found.skipped,
            at_least=bool(found.token),
            sample=found.sample,
            sums=sums,
        )

    return [Route("/jobs/bulk", change, methods=["POST"])]


async def _count(console: Console, request: Request, message: pb.BulkJobsRequest) -> _Sums:
    """Return what the change would come to, as far as one click of it goes."""
    trial, sums = pb.BulkJobsRequest(validate_only=True), _Sums()
    trial.MergeFrom(message)
    for _ in range(_STEPS):
        trial.continuation_token = sums.token
        answer = await console.ask(request, _RPC, trial, pb.BulkJobsResponse)
        changed, skipped = sums.changed + answer.changed, sums.skipped + answer.skipped
        sums = _Sums(changed, skipped, answer.continuation_token, sums.sample or list(answer.sample_job_ids))
        if not sums.token:
            break
    return sums


async def _run(console: Console, request: Request, message: pb.BulkJobsRequest, sums: _Sums) -> _Sums:
    """Go on from where the token says, some steps long."""
    for _ in range(_STEPS):
        message.continuation_token = sums.token
        answer = await console.ask(request, _RPC, message, pb.BulkJobsResponse)
        sums = _Sums(sums.changed + answer.changed, sums.skipped + answer.skipped, answer.continuation_token)
        if not sums.token:
            break
    message.continuation_token = ""
    return sums
