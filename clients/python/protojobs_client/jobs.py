"""Jobs that are stored: read them, wait for them, act on them."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Unpack

from google.protobuf.field_mask_pb2 import FieldMask
from protojobs.v1 import job_pb2, job_service_pb2

from protojobs_client.calls import Calls
from protojobs_client.convert import to_duration, to_state, to_timestamp
from protojobs_client.envelope import method_of
from protojobs_client.errors import (
    JobCancelledError,
    JobExpiredError,
    JobFailedError,
    JobNotFinalError,
    UndecodableError,
    WaitTimeoutError,
)
from protojobs_client.ids import JobId
from protojobs_client.job_changes import JobChanges, to_changed_spec
from protojobs_client.models import AttemptInfo, JobInfo, JobState, Retried, Seconds
from protojobs_client.pages import AsyncPages
from protojobs_client.parse import attempt_info, job_info, job_state
from protojobs_client.payload import JSON, Payload, PayloadContext, Use, decode_data, encode_data
from protojobs_client.request import span

_LONG_POLL = 20.0  # seconds; below what proxies cut
_LONG_POLL_SLACK = timedelta(seconds=5)
_FULL = job_pb2.JOB_VIEW_FULL
_BASIC = job_pb2.JOB_VIEW_BASIC


class JobCalls(Calls):
    """The part of the client about stored jobs. Unless said otherwise: raises JobNotFoundError."""

    async def get(self, job_id: str, *, full: bool = False) -> JobInfo:
        """Return a job; with payload, headers and result if `full`."""
        answer = await self._connection.call(
            self._connection.jobs.GetJob,
            job_service_pb2.GetJobRequest(job_id=job_id, view=_FULL if full else _BASIC),
        )
        return job_info(answer.job, full=full)

    def list(
        self,
        *,
        queues: Collection[str] = (),
        kinds: Collection[str] = (),
        states: Collection[JobState] = (),
        labels: Mapping[str, str] | None = None,
        parent: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        filter: str = "",  # noqa: A002 # the contract's word
        oldest_first: bool = False,
        full: bool = False,
        page_size: int = 100,
    ) -> AsyncPages[JobInfo]:
        """Return the jobs for which all holds that is given; newest first, or oldest. Pages hold at most 500.

        `filter` is a condition in the filter language: `queue = mail and state in (failed, cancelled)`.
        `parent`: jobs that the end of this one has stored.
        """
        job_filter = job_service_pb2.JobFilter(
            queues=queues,
            kinds=kinds,
            states=[to_state(state) for state in states],
            labels=labels,
            parent_job_id=parent or "",
            created_after=to_timestamp(created_after),
            created_before=to_timestamp(created_before),
        )
        order = job_service_pb2.JOB_ORDER_OLDEST if oldest_first else job_service_pb2.JOB_ORDER_NEWEST

        async def read(token: str) -> tuple[tuple[JobInfo, ...], str]:
            answer = await self._connection.call(
                self._connection.jobs.ListJobs,
                job_service_pb2.ListJobsRequest(
                    filter=job_filter,
                    page_size=page_size,
                    page_token=token,
                    view=_FULL if full else _BASIC,
                    order=order,
                    expression=filter,
                ),
            )
            return tuple(job_info(job, full=full) for job in answer.jobs), answer.next_page_token

        return AsyncPages(read)

    def failed_jobs(self, queue: str | None = None) -> AsyncPages[JobInfo]:
        """Return the jobs that failed for good, of one queue or of all."""
        return self.list(queues=[queue] if queue else (), states=[JobState.FAILED])

    def attempts(self, job_id: str, *, page_size: int = 100) -> AsyncPages[AttemptInfo]:
        """Return the attempts of a job, oldest first."""

        async def read(token: str) -> tuple[tuple[AttemptInfo, ...], str]:
            answer = await self._connection.call(
                self._connection.jobs.ListAttempts,
                job_service_pb2.ListAttemptsRequest(job_id=job_id, page_size=page_size, page_token=token),
            )
            return tuple(attempt_info(attempt) for attempt in answer.attempts), answer.next_page_token

        return AsyncPages(read)

    async def wait(
        self,
        job_id: str,
        timeout: Seconds | None = None,  # noqa: ASYNC109 - it ends the wait, not the job
        *,
        raw: bool = False,
    ) -> Any:
        """Wait until the job is final and return its result, parsed from JSON unless `raw`.

        Raises JobFailedError, JobCancelledError or JobExpiredError if it ended so, and WaitTimeoutError (a
        TimeoutError) after `timeout`; without one it waits for ever.
        """
        clock = asyncio.get_running_loop().time
        end = None if timeout is None else clock() + span(timeout).total_seconds()
        while True:
            left = _LONG_POLL if end is None else max(0.0, min(_LONG_POLL, end - clock()))
            wait = timedelta(seconds=left)
            answer = await self._connection.call(
                self._connection.jobs.WaitJob,
                job_service_pb2.WaitJobRequest(job_id=job_id, wait=to_duration(wait)),
                deadline=wait + _LONG_POLL_SLACK,
            )
            if answer.done:
                return self._result(job_info(answer.job, full=True), raw=raw)
            if end is not None and clock() >= end:
                raise WaitTimeoutError(f"job {job_id} is {job_state(answer.job.state).value} still")

    async def result(self, job_id: str, *, raw: bool = False) -> Any:
        """Return the result of a job that has completed, parsed from JSON unless `raw`.

        Raises JobNotFinalError if it has not ended yet, and what `wait` raises if it ended otherwise.
        """
        return self._result(await self.get(job_id, full=True), raw=raw)

    async def cancel(self, job_id: str, *, deadline: Seconds | None = None) -> JobState:
        """Cancel a job: at once while it waits, by its worker while it runs; RUNNING means the worker was asked.

        After `deadline` (default 30 s) the lease of a running job is revoked. Raises JobFinalError if it ended
        otherwise before.
        """
        answer = await self._connection.call(
            self._connection.jobs.Cancel,
            job_service_pb2.CancelRequest(job_id=job_id, deadline=to_duration(None if deadline is None else span(deadline))),
        )
        return job_state(answer.state)

    async def retry(
        self,
        job_id: str,
        *,
        data: object = None,
        payload: bytes | None = None,
        content_type: str | None = None,
        run_at: datetime | None = None,
        expire_at: datetime | None = None,
    ) -> Retried:
        """Take a final job up again under its id, or run a scheduled or retrying one now.

        `data` or `payload` replace its payload. The job is read first, so that a repeated call runs it once.
        Raises JobNotFinalError if it is pending or running.
        """
        plain = _new_payload(data, payload, content_type)
        job = await self.get(job_id)
        new = None if plain is None else self._codec.encode(plain, _context(job))
        answer = await self._connection.call(
            self._connection.jobs.Retry,
            job_service_pb2.RetryRequest(
                job_id=job_id,
                expected_attempt=job.attempt,
                payload=None if new is None else new.data,
                content_type="" if new is None else new.content_type,
                run_time=to_timestamp(run_at),
                expire_time=to_timestamp(expire_at),
            ),
        )
        return Retried(job_id=JobId(job_id), state=job_state(answer.state), already=answer.already)

    async def payload(self, job_id: str) -> Payload:
        """Return the payload of a job, decoded by the codec of this client. Raises UndecodableError if it cannot."""
        job = await self.get(job_id, full=True)
        return self._codec.decode(Payload(job.payload or b"", job.content_type), _context(job))

    async def update_job(self, job_id: str, **changes: Unpack[JobChanges]) -> JobInfo:
        """Change a job that waits, and return it. A pending one then waits behind all others of its priority.

        Raises JobRunningError, JobFinalError, TypeError where nothing is to change.
        """
        plain, new = _new_payload(changes.get("data"), changes.get("payload"), changes.get("content_type")), None
        if plain is not None:  # a codec may bind it to the queue that the job will be in
            context = _context(await self.get(job_id))
            new = self._codec.encode(plain, replace(context, queue=changes.get("queue", context.queue)))
        spec, paths = to_changed_spec(changes, new)
        request = job_service_pb2.UpdateJobRequest(job_id=job_id, spec=spec, update_mask=FieldMask(paths=paths))
        answer = await self._connection.call(self._connection.jobs.UpdateJob, request)
        return job_info(answer.job, full=False)

    async def delete(self, job_id: str) -> None:
        """Remove a job with its history; its id stays taken. Raises JobRunningError while it runs."""
        await self._connection.call(self._connection.jobs.DeleteJob, job_service_pb2.DeleteJobRequest(job_id=job_id))

    def _result(self, job: JobInfo, *, raw: bool) -> Any:
        match job.state:
            case JobState.COMPLETED:
                decoded = self._codec.decode(Payload(job.result or b"", JSON), _context(job, Use.RESULT))
                if method_of(decoded) is not None:
                    raise UndecodableError("NO_CODEC", "a codec made this result, and none here reads it")
                return decoded.data if raw else decode_data(decoded.data, decoded.content_type)
            case JobState.FAILED:
                raise JobFailedError.of(job)
            case JobState.CANCELLED:
                raise JobCancelledError.of(job)
            case JobState.EXPIRED:
                raise JobExpiredError.of(job)
            case _:
                raise JobNotFinalError(f"job {job.id} is {job.state.value}", reason="JOB_NOT_FINAL")


def _new_payload(data: object, payload: bytes | None, content_type: str | None) -> Payload | None:
    if payload is None:
        return None if data is None else encode_data(data, content_type)
    if data is not None:
        raise TypeError("data and payload exclude each other")
    return Payload(payload, content_type or JSON)


def _context(job: JobInfo, use: Use = Use.PAYLOAD) -> PayloadContext:
    return PayloadContext(kind=job.kind, queue=job.queue, use=use, job_id=job.id)
