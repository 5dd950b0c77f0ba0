"""BulkJobs between the wire and the use case."""

from collections.abc import Callable
from dataclasses import replace

from protojobs.v1 import job_service_pb2

from protojobs_service.application import Action, Bulk, Done, ListQuery
from protojobs_service.domain import bounds
from protojobs_service.domain.errors import InvalidField, JobNotFound
from protojobs_service.domain.job import JobId
from protojobs_service.transport import convert, ids
from protojobs_service.transport.filters import parse_filter
from protojobs_service.transport.job_changes import edited
from protojobs_service.transport.pages import Pages
from protojobs_service.transport.permissions import access

_ACTIONS = {
    job_service_pb2.BULK_ACTION_RETRY: Action.RETRY,
    job_service_pb2.BULK_ACTION_CANCEL: Action.CANCEL,
    job_service_pb2.BULK_ACTION_DELETE: Action.DELETE,
    job_service_pb2.BULK_ACTION_MOVE: Action.MOVE,
    job_service_pb2.BULK_ACTION_SET_PRIORITY: Action.SET_PRIORITY,
}


def parse_bulk(request: job_service_pb2.BulkJobsRequest, pages: Pages) -> Bulk:
    """Return the step that a request asks for. Raises InvalidField."""
    action = _ACTIONS.get(request.action)
    if action is None:
        raise InvalidField("action", "must be RETRY, CANCEL, DELETE, MOVE or SET_PRIORITY")
    job_ids = _parse_ids(request)
    query = replace(parse_filter(request.filter, request.expression), newest_first=False, limit=bounds.BULK_STEP)
    _check_target(request, any_filter=query != ListQuery(newest_first=False, limit=bounds.BULK_STEP))
    queue = convert.parse_queue("queue", request.queue) if action is Action.MOVE else ""
    if request.queue and not queue:
        raise InvalidField("queue", "only with MOVE")
    before = None
    if (step := pages.step(request.continuation_token)) is not None:
        before, after = step
        query = replace(query, after=after)
    priority = _parse_priority(request, action)
    return Bulk(
        action=action,
        query=query,
        ids=job_ids,
        before=before,
        queue=queue,
        priority=priority,
        envelope=_envelope(queue, priority),
        dry_run=request.validate_only,
        sees=_sees,
    )


def _sees(queue: str) -> bool:
    """Tell whether the caller may act on jobs of a queue that it has named by id. Raises PermissionDenied."""
    try:
        access().check_stored(queue, JobNotFound)
    except JobNotFound:
        return False
    return True


def to_response(done: Done, pages: Pages) -> job_service_pb2.BulkJobsResponse:
    """Return what a step did, and the token of the next one."""
    token = ""
    if done.follows:
        token = pages.after_step(done.before, done.after)
    return job_service_pb2.BulkJobsResponse(
        changed=done.changed,
        skipped=done.skipped,
        sample_job_ids=[ids.format_id(job_id) for job_id in done.sample],
        continuation_token=token,
    )


def _parse_ids(request: job_service_pb2.BulkJobsRequest) -> list[JobId]:
    if len(request.job_ids) > bounds.MAX_BULK_IDS:
        raise InvalidField("job_ids", f"at most {bounds.MAX_BULK_IDS}")
    found = [ids.parse_id(text, f"job_ids[{place}]") for place, text in enumerate(request.job_ids)]
    return list(dict.fromkeys(found))


def _check_target(request: job_service_pb2.BulkJobsRequest, *, any_filter: bool) -> None:
    """See to it that exactly one of filter, job_ids and all is there: nobody means everything by saying nothing."""
    if request.job_ids and any_filter:
        raise InvalidField("job_ids", "excludes filter and expression")
    if request.all and (request.job_ids or any_filter):
        raise InvalidField("all", "excludes filter, expression and job_ids")
    if not (request.all or request.job_ids or any_filter):
        raise InvalidField("filter", "names nothing; set `all` to act on every job")


def _parse_priority(request: job_service_pb2.BulkJobsRequest, action: Action) -> int:
    if action is not Action.SET_PRIORITY:
        if request.priority:
            raise InvalidField("priority", "only with SET_PRIORITY")
        return 0
    if not bounds.MIN_PRIORITY <= request.priority <= bounds.MAX_PRIORITY:
        raise InvalidField("priority", f"must be {bounds.MIN_PRIORITY} to {bounds.MAX_PRIORITY}")
    return request.priority


def _envelope(queue: str, priority: int) -> Callable[[bytes], bytes]:
    values = {name: value for name, value in (("queue", queue), ("priority", priority)) if value}
    return edited(values)
