"""BulkJobs of a fake client: the same jobs, steps and refusals as a server's."""

from collections.abc import Mapping, Sequence

from protojobs.v1 import job_pb2, job_service_pb2
from protojobs.v1.job_service_pb2 import (
    BULK_ACTION_CANCEL,
    BULK_ACTION_DELETE,
    BULK_ACTION_MOVE,
    BULK_ACTION_RETRY,
    BULK_ACTION_SET_PRIORITY,
    BulkJobsRequest,
    BulkJobsResponse,
)

from protojobs_client.fake_changes import change
from protojobs_client.fake_errors import check_id, check_name, refuse
from protojobs_client.fake_filter import FakeFilter, parse
from protojobs_client.fake_job import FakeJob
from protojobs_client.fake_store import FakeStore
from protojobs_client.models import JobState

_MOST_IDS = _STEP = 1000
_SAMPLE = 10
_MIN_PRIORITY, _MAX_PRIORITY = 1, 9
_WAITING = {JobState.SCHEDULED, JobState.PENDING, JobState.RETRYING}
_FINAL = {JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}
_FIT: Mapping[int, set[JobState]] = {
    BULK_ACTION_RETRY: _FINAL | {JobState.SCHEDULED, JobState.RETRYING},
    BULK_ACTION_CANCEL: _WAITING | {JobState.RUNNING},
    BULK_ACTION_DELETE: _WAITING | _FINAL,
    BULK_ACTION_MOVE: _WAITING,
    BULK_ACTION_SET_PRIORITY: _WAITING,
}
_MEANT = {**_FIT, BULK_ACTION_RETRY: {JobState.FAILED}}
"""Jobs that are looked at where nobody names states."""


def act(store: FakeStore, request: BulkJobsRequest) -> BulkJobsResponse:
    """Do one step. Raises InvalidArgumentError."""
    wanted = _check(request)
    before, after = _place(store, request.continuation_token)
    if request.action == BULK_ACTION_RETRY and not (request.continuation_token or request.validate_only):
        return BulkJobsResponse(continuation_token=f"{before}:")  # as with a server, the first step only says when
    ids = list(dict.fromkeys(request.job_ids))
    jobs = _named(store, ids) if ids else _found(store, request.action, wanted, before, after)
    page = jobs if ids else jobs[:_STEP]
    fit = [job for job in page if _fits(job, request, before)]
    changed = len(fit) if request.validate_only else sum(_do(store, job, request) for job in fit)
    return BulkJobsResponse(
        changed=changed,
        skipped=(len(ids) or len(page)) - changed,
        sample_job_ids=[job.id for job in fit[:_SAMPLE]] if request.validate_only else (),
        continuation_token=f"{before}:{page[-1].id}" if len(jobs) > len(page) else "",
    )


def _check(request: BulkJobsRequest) -> FakeFilter:
    if len(request.job_ids) > _MOST_IDS:
        raise refuse("job_ids", f"at most {_MOST_IDS}")
    for place, job_id in enumerate(request.job_ids):
        check_id(f"job_ids[{place}]", job_id)
    wanted = parse(request.expression)
    if request.job_ids and wanted.terms:
        raise refuse("job_ids", "excludes filter and expression")
    if request.all and (request.job_ids or wanted.terms):
        raise refuse("all", "excludes filter, expression and job_ids")
    if not (request.all or request.job_ids or wanted.terms):
        raise refuse("filter", "names nothing; set `all` to act on every job")
    _check_values(request)
    return wanted


def _check_values(request: BulkJobsRequest) -> None:
    if request.action == BULK_ACTION_MOVE:
        check_name("queue", request.queue)
    elif request.queue:
        raise refuse("queue", "only with MOVE")
    if request.action == BULK_ACTION_SET_PRIORITY:
        if not _MIN_PRIORITY <= request.priority <= _MAX_PRIORITY:
            raise refuse("priority", f"must be {_MIN_PRIORITY} to {_MAX_PRIORITY}")
    elif request.priority:
        raise refuse("priority", "only with SET_PRIORITY")


def _place(store: FakeStore, token: str) -> tuple[int, str]:
    """Return up to which turn jobs are acted on, and behind which id the step begins."""
    before, _, after = token.partition(":")
    return int(before) if before else store.turn(), after


def _named(store: FakeStore, ids: Sequence[str]) -> list[FakeJob]:
    return [store.job(job_id) for job_id in ids if job_id in store.jobs]


def _found(store: FakeStore, action: int, wanted: FakeFilter, before: int, after: str) -> list[FakeJob]:
    jobs = [store.as_of_now(job) for job_id, job in sorted(store.jobs.items()) if job_id > after and job.made <= before]
    states = _MEANT[action]
    return [job for job in jobs if wanted.holds(job) and (wanted.names_states or job.state in states)]


def _fits(job: FakeJob, request: BulkJobsRequest, before: int) -> bool:
    if job.state not in _FIT[request.action]:
        return False
    match request.action:
        case job_service_pb2.BULK_ACTION_RETRY:
            return job.changed <= before
        case job_service_pb2.BULK_ACTION_MOVE:
            return job.queue != request.queue
        case job_service_pb2.BULK_ACTION_SET_PRIORITY:
            return job.priority != request.priority
        case _:
            return True


def _do(store: FakeStore, job: FakeJob, request: BulkJobsRequest) -> bool:
    """Act on one job; returns False where another one has its unique key."""
    match request.action:
        case job_service_pb2.BULK_ACTION_RETRY:
            return store.retry(job)
        case job_service_pb2.BULK_ACTION_CANCEL:
            store.cancel(job.id)
        case job_service_pb2.BULK_ACTION_DELETE:
            store.delete(job.id)
        case job_service_pb2.BULK_ACTION_MOVE:
            return change(store, job, job_pb2.JobSpec(queue=request.queue), ["queue"]) is None
        case _:
            return change(store, job, job_pb2.JobSpec(priority=request.priority), ["priority"]) is None
    return True
