"""JobService: what producers and operators ask of jobs."""

# ruff: noqa: N802 # methods have the names of the RPCs

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from protojobs.v1 import job_pb2, job_service_pb2

from protojobs_service.application import Answer, Application, Dispatched, Retake
from protojobs_service.domain import bounds
from protojobs_service.domain.errors import BatchAborted, InvalidField, JobIdTime, JobNotFound, JobsError
from protojobs_service.domain.job import Draft, JobId
from protojobs_service.domain.lots import LOT_BYTES
from protojobs_service.transport import bulk, convert, filters, ids, job_changes, wire
from protojobs_service.transport.call import Context
from protojobs_service.transport.chains import brief
from protojobs_service.transport.dispatch_stream import DispatchStream
from protojobs_service.transport.ids import format_id
from protojobs_service.transport.interceptors import Drain
from protojobs_service.transport.job_access import check_draft, check_job, judge_items, narrow
from protojobs_service.transport.pages import Pages
from protojobs_service.transport.permissions import access
from protojobs_service.transport.procedures import long_poll, parse, raw
from protojobs_service.transport.results import OUTCOMES, id_text, is_all_created, place_errors, read_specs, to_result
from protojobs_service.transport.specs import Common, Specs
from protojobs_service.transport.status import under
from protojobs_service.transport.views import state_of, to_attempt, to_job
from protojobs_service.transport.watch import watch_jobs

_MAX_ATTEMPT = 2**31 - 1
_FULL_BYTES, _BRIEF_BYTES = LOT_BYTES, 64 * 1024 * 1024
"""Read for one page: of the short view only a small part of it is kept."""


class JobServicer:
    """Answers JobService over the use cases; one method per RPC, named as there."""

    def __init__(self, application: Application, specs: Specs, drain: Drain, *, window: int) -> None:
        self._application = application
        self._specs = specs
        self._drain = drain
        self._window = window

    @raw
    async def Dispatch(self, data: bytes, _context: Context) -> job_service_pb2.DispatchResponse:
        """Store one job."""
        self._application.dispatch.admit()
        request = parse(wire.DispatchRequest, data)
        try:
            draft = self._specs.draft(request.spec)
            check_draft(draft, access())
            if request.validate_only:
                self._check_id_time(draft)
                return job_service_pb2.DispatchResponse(job_id=format_id(draft.job.id))
            [answer] = await self._application.dispatch.many([draft])
            if isinstance(answer, JobsError):
                raise answer
        except JobsError as error:
            raise under(error, "spec") from None
        job_id, outcome = id_text(answer, format_id(draft.job.id)), OUTCOMES[answer.verdict]
        return job_service_pb2.DispatchResponse(job_id=job_id, outcome=outcome, state=state_of(answer.state))

    @raw
    async def DispatchBatch(self, data: bytes, _context: Context) -> job_service_pb2.DispatchBatchResponse | bytes:
        """Store jobs, each for itself or all or none."""
        self._application.dispatch.admit()
        request = parse(wire.DispatchBatchRequest, data)
        envelopes = list(request.specs)
        if not 1 <= len(envelopes) <= bounds.MAX_BATCH_ITEMS:
            raise InvalidField("specs", f"must be 1 to {bounds.MAX_BATCH_ITEMS} items")
        if not request.validate_only and (common := self._common(data, envelopes)) is not None:
            return await self._dispatch_common(common, atomic=request.atomic)
        items = judge_items(read_specs(self._specs, envelopes), access())
        if request.atomic:
            _raise_first(items)
        if request.validate_only:
            return self._validated(items, atomic=request.atomic)
        drafts = [item for item in items if not isinstance(item, JobsError)]
        stored = await self._application.dispatch.many(drafts, atomic=request.atomic) if drafts else ()
        if request.atomic:
            _raise_first(stored)
        return _results(items, place_errors(items, stored))

    def _common(self, data: bytes, envelopes: Sequence[bytes]) -> Common | None:
        """Return the jobs of a batch where all are common, and all go to queues that the caller may dispatch to."""
        common, judge = self._specs.common(data, envelopes), access()
        if common is None or judge.everywhere:
            return common
        return common if all(judge.may(queue) for queue in {job.queue for job in common.jobs}) else None

    async def _dispatch_common(self, common: Common, *, atomic: bool) -> job_service_pb2.DispatchBatchResponse | bytes:
        answers = await self._application.dispatch.common(common.jobs, atomic=atomic)
        if is_all_created(answers):
            return wire.all_created(common.texts)
        if atomic:
            _raise_first(answers)
        results = [to_result(*each, f"specs[{i}]") for i, each in enumerate(zip(common.texts, answers, strict=True))]
        return job_service_pb2.DispatchBatchResponse(results=results)

    @raw
    async def DispatchStream(self, frames: AsyncIterator[bytes], context: Context) -> None:
        """Store jobs from a stream of frames."""
        await DispatchStream(self._application.dispatch, self._specs, self._drain, self._window).run(frames, context)

    async def GetJob(self, request: job_service_pb2.GetJobRequest, _context: Context) -> job_service_pb2.GetJobResponse:
        """Return one job."""
        full = _is_full(request.view)
        record = await self._application.inspect.get(ids.parse_id(request.job_id, "job_id"))
        judge = access()
        judge.check_stored(record.queue, JobNotFound)
        if full:
            judge.check_texts(record.queue)
        return job_service_pb2.GetJobResponse(job=to_job(record, full=full, texts=judge.shows(record.queue)))

    async def ListJobs(self, request: job_service_pb2.ListJobsRequest, _context: Context) -> job_service_pb2.ListJobsResponse:
        """Return a page of jobs."""
        full = _is_full(request.view)
        size = convert.parse_page_size(request.page_size)
        pages = Pages(request)
        query = filters.parse_filter(request.filter, request.expression)
        if request.order not in job_service_pb2.JobOrder.values():
            raise InvalidField("order", "is no known order")
        query = replace(
            query,
            after=pages.job(request.page_token),
            newest_first=request.order != job_service_pb2.JOB_ORDER_OLDEST,
            limit=size,
            max_bytes=min(_FULL_BYTES, self._application.limits.max_send_bytes // 2) if full else _BRIEF_BYTES,
            brief=None if full else brief,
        )
        page = await self._application.inspect.list(await narrow(self._application, query, full=full))
        token = "" if page.after is None else pages.after_job(page.after)
        shows = access().shows
        jobs = [to_job(record, full=full, texts=shows(record.queue)) for record in page.jobs]
        return job_service_pb2.ListJobsResponse(jobs=jobs, next_page_token=token)

    async def ListAttempts(
        self,
        request: job_service_pb2.ListAttemptsRequest,
        _context: Context,
    ) -> job_service_pb2.ListAttemptsResponse:
        """Return a page of a job's attempts."""
        job_id = ids.parse_id(request.job_id, "job_id")
        size = convert.parse_page_size(request.page_size)
        pages = Pages(request)
        after = pages.number(request.page_token) or 0
        queue = await check_job(self._application, job_id)
        rest = [attempt for attempt in await self._application.inspect.attempts(job_id) if attempt.attempt > after]
        token = pages.after_number(rest[size - 1].attempt) if len(rest) > size else ""
        texts = access().shows(queue)
        attempts = [to_attempt(attempt, texts=texts) for attempt in rest[:size]]
        return job_service_pb2.ListAttemptsResponse(attempts=attempts, next_page_token=token)

    async def UpdateJob(self, request: job_service_pb2.UpdateJobRequest, _context: Context) -> job_service_pb2.UpdateJobResponse:
        """Change a job that waits."""
        job_id = ids.parse_id(request.job_id, "job_id")
        changes = job_changes.parse_changes(request, self._specs)
        await check_job(self._application, job_id)
        if changes.queue is not None:
            access().check(changes.queue)
        record = await self._application.update.one(job_id, changes)
        return job_service_pb2.UpdateJobResponse(job=to_job(record, full=False))

    async def BulkJobs(self, request: job_service_pb2.BulkJobsRequest, _context: Context) -> job_service_pb2.BulkJobsResponse:
        """Act on the next jobs of many."""
        pages = Pages(request)
        asked = bulk.parse_bulk(request, pages)
        if asked.queue:
            access().check(asked.queue)
        if not asked.ids:
            asked = replace(asked, query=await narrow(self._application, asked.query))
        return bulk.to_response(await self._application.bulk.step(asked), pages)

    async def DeleteJob(self, request: job_service_pb2.DeleteJobRequest, _context: Context) -> job_service_pb2.DeleteJobResponse:
        """Remove a job."""
        job_id = ids.parse_id(request.job_id, "job_id")
        await check_job(self._application, job_id)
        await self._application.inspect.delete(job_id)
        return job_service_pb2.DeleteJobResponse()

    async def Cancel(self, request: job_service_pb2.CancelRequest, _context: Context) -> job_service_pb2.CancelResponse:
        """Cancel a job."""
        job_id = ids.parse_id(request.job_id, "job_id")
        default, high = bounds.DEFAULT_CANCEL_DEADLINE, bounds.MAX_CANCEL_DEADLINE
        deadline = convert.parse_optional_span(request, "deadline", default, high)
        await check_job(self._application, job_id)
        return job_service_pb2.CancelResponse(state=state_of(await self._application.cancel.one(job_id, deadline)))

    async def Retry(self, request: job_service_pb2.RetryRequest, _context: Context) -> job_service_pb2.RetryResponse:
        """Take a job up again."""
        retake = _retake(request, ids.parse_id(request.job_id, "job_id"))
        edit = self._edit(request)
        await check_job(self._application, retake.id)
        retried = await self._application.retry.one(retake, edit)
        return job_service_pb2.RetryResponse(state=state_of(retried.state), already=retried.already)

    @long_poll(bounds.MAX_WAIT.total_seconds())
    async def WaitJob(self, request: job_service_pb2.WaitJobRequest, _context: Context) -> job_service_pb2.WaitJobResponse:
        """Return a job once it is final, or as it is after a while."""
        job_id = ids.parse_id(request.job_id, "job_id")
        wait = convert.parse_optional_span(request, "wait", bounds.DEFAULT_WAIT, bounds.MAX_WAIT)
        await check_job(self._application, job_id)
        record = await self._application.wait.final(job_id, wait)
        access().check_stored(record.queue, JobNotFound)  # it may have moved meanwhile
        return job_service_pb2.WaitJobResponse(job=to_job(record, full=True), done=record.state.is_final)

    async def WatchJobs(self, request: job_service_pb2.WatchJobsRequest, context: Context) -> None:
        """Stream what happens to jobs."""
        await watch_jobs(self._application.watch, self._drain, request, context)

    def _edit(self, request: job_service_pb2.RetryRequest) -> Callable[[bytes], bytes] | None:
        if not request.HasField("payload"):
            if request.content_type:
                raise InvalidField("content_type", "only with payload")
            return None
        self._specs.check_payload(len(request.payload))
        convert.check_text("content_type", request.content_type, bounds.MAX_CONTENT_TYPE_BYTES)

        def edit(envelope: bytes) -> bytes:
            edited = convert.with_payload(envelope, request.payload, request.content_type)
            self._specs.check_stored(convert.parse_spec(edited))
            return edited

        return edit

    def _validated(self, items: list[Draft | JobsError], *, atomic: bool) -> job_service_pb2.DispatchBatchResponse:
        response = job_service_pb2.DispatchBatchResponse()
        for index, item in enumerate(items):
            try:
                if isinstance(item, JobsError):
                    raise item
                self._check_id_time(item)
                response.results.add(job_id=format_id(item.job.id))
            except JobsError as error:
                if atomic:
                    raise under(error, f"specs[{index}]") from None
                response.results.append(to_result("", error, f"specs[{index}]"))
        return response

    def _check_id_time(self, draft: Draft) -> None:
        low, high = self._application.store_time.id_window()
        if not low <= draft.job.id <= high:
            raise JobIdTime.at("id", self._application.store_time.now())


def _raise_first(items: Sequence[Draft | Answer]) -> None:
    """Raise the error that refuses an atomic batch: the first one that is not merely a consequence of another."""
    errors = [(place, item) for place, item in enumerate(items) if isinstance(item, JobsError)]
    if errors:
        place, error = next((each for each in errors if not isinstance(each[1], BatchAborted)), errors[0])
        raise under(error, f"specs[{place}]")


def _results(items: list[Draft | JobsError], answers: Sequence[Answer]) -> job_service_pb2.DispatchBatchResponse:
    response = job_service_pb2.DispatchBatchResponse()
    add = response.results.add
    for index, (item, answer) in enumerate(zip(items, answers, strict=True)):
        job_id = "" if isinstance(item, JobsError) else format_id(item.job.id)
        if isinstance(answer, Dispatched):
            add(job_id=id_text(answer, job_id), outcome=OUTCOMES[answer.verdict])
        else:
            response.results.append(to_result(job_id, answer, f"specs[{index}]"))
    return response


def _is_full(view: int) -> bool:
    if view not in job_pb2.JobView.values():
        raise InvalidField("view", "is no known view")
    return view == job_pb2.JOB_VIEW_FULL


def _retake(request: job_service_pb2.RetryRequest, job_id: JobId) -> Retake:
    now = datetime.now(UTC)
    run_at = convert.parse_run_time("run_time", request.run_time, now) if request.HasField("run_time") else None
    expire_at = convert.parse_expire_time("expire_time", request.expire_time, now) if request.HasField("expire_time") else None
    if run_at is not None and expire_at is not None and expire_at <= run_at:
        raise InvalidField("expire_time", "must be after run_time")
    if request.expected_attempt > _MAX_ATTEMPT:
        raise InvalidField("expected_attempt", f"must be at most {_MAX_ATTEMPT}")
    return Retake(id=job_id, expected_attempt=request.expected_attempt, run_at=run_at, expire_at=expire_at)
