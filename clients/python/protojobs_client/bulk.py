"""One action on many jobs."""

from collections.abc import Collection

from protojobs.v1 import job_service_pb2

from protojobs_client.calls import Calls
from protojobs_client.ids import JobId
from protojobs_client.models import BulkAction, BulkStep
from protojobs_client.pages import AsyncPages


class BulkCalls(Calls):
    """The part of the client that acts on many jobs."""

    def bulk_jobs(
        self,
        action: BulkAction,
        *,
        filter: str = "",  # noqa: A002 # the contract's word
        job_ids: Collection[str] = (),
        all_jobs: bool = False,
        queue: str = "",
        priority: int = 0,
        dry_run: bool = False,
    ) -> AsyncPages[BulkStep]:
        """Act on the jobs of a filter, of at most 1000 ids, or with `all_jobs` on all; `dry_run` only counts.

        Nothing happens before the first step is read, and each step is one bounded call: read all of them, once. A call that is not
        answered is repeated, which does nothing twice. `queue` is where MOVE moves to, `priority` what SET_PRIORITY sets.

        Where the filter names no states, RETRY takes failed jobs, CANCEL all that are not final, DELETE all that do not run, MOVE
        and SET_PRIORITY those that wait. Jobs dispatched after the first step are left alone.
        """

        async def read(token: str) -> tuple[tuple[BulkStep, ...], str]:
            answer = await self._connection.call(
                self._connection.jobs.BulkJobs,
                job_service_pb2.BulkJobsRequest(
                    action=job_service_pb2.BulkAction.Value(f"BULK_ACTION_{action.name}"),
                    expression=filter,
                    job_ids=job_ids,
                    all=all_jobs,
                    queue=queue,
                    priority=priority,
                    validate_only=dry_run,
                    continuation_token=token,
                ),
            )
            sample = tuple(JobId(job_id) for job_id in answer.sample_job_ids)
            return (BulkStep(changed=answer.changed, skipped=answer.skipped, sample=sample),), answer.continuation_token

        return AsyncPages(read)
