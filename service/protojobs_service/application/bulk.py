"""BulkJobs: one action on many jobs, step by step.

A step may be repeated: it acts on jobs that were stored before the time that the first step fixed, and a Retry on attempts that had
ended by then, so nothing is done twice to a job that has gone on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple, assert_never

from protojobs_service.application.wait import Wait
from protojobs_service.domain.bounds import BULK_STEP, DEFAULT_CANCEL_DEADLINE
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import FINAL_STATES, WAITING_STATES, State
from protojobs_service.domain.lots import lots
from protojobs_service.port import Driver, Edit, ListQuery, Outline, Retake

_SAMPLE = 10
_EDITED_AT_ONCE = 100
"""Jobs that one transaction writes anew."""


class Action(Enum):
    """What is done to each job."""

    RETRY = 1
    CANCEL = 2
    DELETE = 3
    MOVE = 4
    SET_PRIORITY = 5


_STATES = {
    Action.RETRY: FINAL_STATES | {State.SCHEDULED, State.RETRYING},
    Action.CANCEL: WAITING_STATES | {State.RUNNING},
    Action.DELETE: frozenset(State) - {State.RUNNING},
    Action.MOVE: WAITING_STATES,
    Action.SET_PRIORITY: WAITING_STATES,
}
"""Jobs that an action can do anything to."""
_MEANT = _STATES | {Action.RETRY: frozenset({State.FAILED})}
"""Jobs that are looked at where nobody names states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """A step of a bulk action. ids: these jobs, else those of `query`, from its `after` on.

    sees: tells of the queue of a job that `ids` name whether the caller may know of it; raises what refuses the step.
    before: fixed by the first step, None in it. queue, priority: what MOVE and SET_PRIORITY set, and `envelope` writes into the
    spec.
    """

    action: Action
    query: ListQuery
    ids: Sequence[JobId] = ()
    before: datetime | None = None
    queue: str = ""
    priority: int = 0
    envelope: Callable[[bytes], bytes] = bytes
    dry_run: bool = False
    sees: Callable[[str], bool] = bool


class Done(NamedTuple):
    """What a step did. sample: dry run, some of the jobs that would change. follows: there is more, from `after` on."""

    changed: int
    skipped: int
    sample: Sequence[JobId]
    before: datetime
    follows: bool
    after: JobId | None = None


class BulkJobs:
    """Acts on many jobs."""

    def __init__(self, driver: Driver, wait: Wait) -> None:
        self._driver = driver
        self._wait = wait

    async def step(self, bulk: Bulk) -> Done:
        """Act on the next jobs, at most `query.limit`. Raises QuotaExceeded, StoreUnavailable."""
        before = bulk.before or await self._driver.ping()
        if bulk.before is None and bulk.action is Action.RETRY and not bulk.dry_run:
            return Done(0, 0, (), before, follows=True)  # had this step acted, nobody could repeat it
        jobs, unknown, after = await self._jobs(bulk, before)
        fit = [job for job in jobs if _fits(job, bulk, before)]
        changed = len(fit) if bulk.dry_run else await self._act(bulk, fit)
        sample = [job.id for job in fit[:_SAMPLE]] if bulk.dry_run else ()
        return Done(changed, len(jobs) + unknown - changed, sample, before, follows=after is not None, after=after)

    async def _jobs(self, bulk: Bulk, before: datetime) -> tuple[Sequence[Outline], int, JobId | None]:
        """Return the jobs of a step, how many more there are not, and where the next step begins."""
        if bulk.ids:
            outlines = await self._driver.jobs.outline(bulk.ids)
            known = [outline for outline in outlines if outline is not None and bulk.sees(outline.queue)]
            return known, len(outlines) - len(known), None
        query, end = bulk.query, before + timedelta(microseconds=1)
        if query.created_before is None or query.created_before > end:
            query = replace(query, created_before=end)
        if not query.states and query.where.states is None:
            query = replace(query, states=sorted(_MEANT[bulk.action], key=lambda state: state.value))
        selection = await self._driver.jobs.select(query)
        return selection.jobs, 0, selection.after

    async def _act(self, bulk: Bulk, jobs: Sequence[Outline]) -> int:
        ids = [job.id for job in jobs]
        match bulk.action:
            case Action.RETRY:
                return await self._retake(jobs)
            case Action.CANCEL:
                cancelled = await self._driver.jobs.cancel(ids, DEFAULT_CANCEL_DEADLINE)
                self._wait.ended([job_id for job_id, each in zip(ids, cancelled, strict=True) if each.state is State.CANCELLED])
                return sum(each.state in (State.CANCELLED, State.RUNNING) for each in cancelled)
            case Action.DELETE:
                deleted = await self._driver.jobs.delete(ids)
                self._wait.ended(ids)
                return sum(each.found and each.state is None for each in deleted)
            case Action.MOVE | Action.SET_PRIORITY:
                return await self._edit(bulk, jobs)
            case _:
                assert_never(bulk.action)

    async def _retake(self, jobs: Sequence[Outline]) -> int:
        changed = 0
        for some in lots(jobs, [job.size for job in jobs], BULK_STEP):
            retaken = await self._driver.jobs.retake([Retake(id=job.id, expected_attempt=job.attempt) for job in some])
            changed += sum(each.found and not (each.already or each.refused or each.duplicate) for each in retaken)
        return changed

    async def _edit(self, bulk: Bulk, jobs: Sequence[Outline]) -> int:
        changed = 0
        for some in lots(jobs, [job.size for job in jobs], _EDITED_AT_ONCE):
            edits = [
                Edit(id=job.id, envelope=bulk.envelope, queue=bulk.queue or None, priority=bulk.priority or None) for job in some
            ]
            changed += sum(result.state in WAITING_STATES for result in await self._driver.jobs.edit(edits))
        return changed


def _fits(job: Outline, bulk: Bulk, before: datetime) -> bool:
    """Tell whether there is something to do to a job."""
    if job.state not in _STATES[bulk.action]:
        return False
    match bulk.action:
        case Action.RETRY:
            return job.size > 0 and job.changed_at <= before
        case Action.MOVE:
            return job.queue != bulk.queue
        case Action.SET_PRIORITY:
            return job.priority != bulk.priority
        case Action.CANCEL | Action.DELETE:
            return True
        case _:
            assert_never(bulk.action)
