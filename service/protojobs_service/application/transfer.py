"""Moving what waits in a queue from one store to another: stored there first, deleted here afterwards, under the same ids.

Whenever it ends, every job is in at least one store, and a repetition finds by the ids what the target has already. Schedules go
first: a tick has the same id in both stores, so one that both make is one job.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from protojobs_service.domain.bounds import MAX_LABELS
from protojobs_service.domain.errors import Conflict, JobsError, Overloaded
from protojobs_service.domain.job import Draft, JobId, JobRecord, NewJob, child_id
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.retry import DEFAULT_POLICY
from protojobs_service.domain.schedule import Schedule
from protojobs_service.domain.unique import Unique, UniqueScope
from protojobs_service.port import Dispatched, DispatchVerdict, Driver, ListQuery

MOVED = (State.PENDING, State.SCHEDULED, State.RETRYING, State.FAILED)
LABEL = "protojobs.transfer"
"""A job that had failed arrives CANCELLED with this label and the value `failed`: only a worker's attempt can fail a job."""
_PAGE = 500
_SCHEDULES = 100
_NEVER = timedelta(days=300)
"""A job that had failed is stored as due then, and cancelled at once: nobody can lease it in between."""
_LOOK_S = 0.2
_PATIENCE = 150
"""How often in a row nothing came out of the topics before it is given up."""

Redraft = Callable[[bytes, JobId], Draft]
"""(envelope, id) -> its job under that id, without looking at its times: they may have passed. Raises JobsError."""


class SameStore(Conflict):
    """Source and target are one store: its jobs are where they should be."""

    def __init__(self) -> None:
        super().__init__("source and target are one store: nothing to move; what lies in topics its servers move by themselves")


class NotPaused(Conflict):
    """Workers may take jobs of the queue while they are moved."""

    def __init__(self, queue: str) -> None:
        super().__init__(f"queue {queue} of the source is not paused, or not every server knows it yet")


@dataclass(slots=True)
class Report:
    """What was moved, by the state it had here, or would be.

    before: of those, what the target had already. refused: what stays here, and why. running: what stays because it runs.
    """

    queue: str
    dry_run: bool = False
    moved: Counter[str] = field(default_factory=Counter[str])
    before: int = 0
    schedules: int = 0
    running: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    approximate: bool = False

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing stays here but what runs."""
        return not self.refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One queue from `source` to `target`, both open.

    new_ids: what the target has known and deleted gets an id that is made of its own; else it stays here.
    """

    source: Driver
    target: Driver
    queue: str
    redraft: Redraft
    new_ids: bool = False
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self, *, force: bool = False) -> Report:
        """Move all there is. May be ended at any point and repeated.

        Raises SameStore, NotPaused (without force), StoreUnavailable, and Overloaded where topics of the source are not read.
        """
        await self._check(force=force)
        report = Report(self.queue)
        await self._move_schedules(report)
        in_vain = 0
        while in_vain < _PATIENCE:
            refused: Counter[str] = Counter()
            if await self._pass(report, refused):
                in_vain = 0
                continue
            counts, approximate = await self._counts()
            if not self._keeps_topics or not (approximate or sum(counts[state] for state in MOVED) > sum(refused.values())):
                report.refused += refused
                report.running = counts[State.RUNNING]
                return report
            in_vain += 1
            await self.sleep(_LOOK_S)
        raise Overloaded("jobs of the source lie in topics that nobody reads; start one of its servers")

    async def count(self) -> Report:
        """Return what would be moved. Raises SameStore and StoreUnavailable."""
        await self._check(force=True)
        counts, approximate = await self._counts()
        report = Report(self.queue, dry_run=True, running=counts[State.RUNNING], approximate=approximate)
        report.moved.update({state.name: counts[state] for state in MOVED if counts[state]})
        report.schedules = len(await self._schedules())
        return report

    async def _check(self, *, force: bool) -> None:
        if (await self.source.events.end()).name == (await self.target.events.end()).name:
            raise SameStore
        book = await self.source.queues.settings(-1)
        settings = None if book is None else book.queues.get(self.queue)
        if force or book is None or settings is None:
            return
        if not settings.paused or not await self.source.queues.acknowledged(book.version):
            raise NotPaused(self.queue)

    async def _move_schedules(self, report: Report) -> None:
        for schedule in await self._schedules():
            if await self._copy(schedule):
                await self.source.schedules.change(schedule.name, lambda _stored, _now: None)
                report.schedules += 1
            else:
                report.refused["another schedule of the same name"] += 1

    async def _copy(self, schedule: Schedule) -> bool:
        """Store a schedule in the target; False where another one has its name there."""

        def keep_or_take(stored: Schedule | None, _now: datetime) -> Schedule:
            return stored or schedule

        stored = await self.target.schedules.change(schedule.name, keep_or_take)
        return stored is not None and (stored.queue, stored.created_at) == (schedule.queue, schedule.created_at)

    async def _schedules(self) -> list[Schedule]:
        found: list[Schedule] = []
        after = ""
        while page := await self.source.schedules.page(after, _SCHEDULES):
            found += [schedule for schedule in page if schedule.queue == self.queue]
            after = page[-1].name
        return found

    async def _pass(self, report: Report, refused: Counter[str]) -> bool:
        """Move what is there now, page by page; tell whether anything was moved."""
        after: JobId | None = None
        moved = False
        while True:
            query = ListQuery(queues=[self.queue], states=list(MOVED), after=after, newest_first=False, limit=_PAGE)
            page = await self.source.jobs.list(query)
            if page.jobs:
                moved |= await self._move(page.jobs, report, refused)
            if page.after is None:
                return moved
            after = page.after

    async def _move(self, page: Sequence[JobRecord], report: Report, refused: Counter[str]) -> bool:
        """Move some jobs; tell whether any was."""
        stored = await self._store(page, report, refused)
        if not stored:
            return False
        deleted = await self.source.jobs.delete([record.id for record in stored])
        for record, answer in zip(stored, deleted, strict=True):
            if answer.state is State.RUNNING:
                report.refused["started while it was moved: it may run in both stores"] += 1
            else:
                report.moved[record.state.name] += 1
        return True

    async def _store(self, page: Sequence[JobRecord], report: Report, refused: Counter[str]) -> list[JobRecord]:
        """Store jobs in the target; return those that are there now."""
        now = await self.target.ping()
        made = [(record, job) for record in page if (job := self._job(record, record.id, now, refused)) is not None]
        answers = await self._dispatch([job for _, job in made], now)
        stored: list[JobRecord] = []
        failed: list[JobId] = []
        for (record, _), (job, answer) in zip(made, answers, strict=True):
            if why := _refusal(job, answer):
                refused[why] += 1
                continue
            stored.append(record)
            report.before += answer.verdict is DispatchVerdict.EXISTING
            if record.state is State.FAILED and answer.state is State.SCHEDULED:
                failed.append(job.id)
        if failed:
            await self.target.jobs.cancel(failed, timedelta())
        return stored

    async def _dispatch(self, jobs: Sequence[NewJob], now: datetime) -> list[tuple[NewJob, Dispatched]]:
        """Store jobs; those whose ids were deleted there again under other ones, if that is wanted."""
        if not jobs:
            return []
        answers = list(zip(jobs, await self.target.jobs.dispatch(jobs), strict=True))
        gone = [place for place, (_, answer) in enumerate(answers) if self.new_ids and _is_gone(answer)]
        if gone:
            again = [self._renamed(answers[place][0]) for place in gone]
            for place, answer in zip(gone, await self._dispatch(again, now), strict=True):
                answers[place] = answer
        return answers

    def _renamed(self, job: NewJob) -> NewJob:
        job_id = other_id(job.id)
        return job._replace(id=job_id, envelope=self.redraft(job.envelope, job_id).job.envelope)

    def _job(self, record: JobRecord, job_id: JobId, now: datetime, refused: Counter[str]) -> NewJob | None:
        """Return a job as the target is to have it; None where it cannot be made."""
        if not record.envelope:
            refused["its payload is not kept any more"] += 1
            return None
        try:
            job = self.redraft(record.envelope, job_id).job
        except JobsError as error:
            refused[error.message] += 1
            return None
        job = job._replace(
            queue=record.queue,
            kind=record.kind,
            priority=record.priority,
            envelope=record.envelope,
            policy=None if record.policy == DEFAULT_POLICY else record.policy,
            run_at=record.next_at if record.state in (State.SCHEDULED, State.RETRYING) else None,
            expire_at=record.expire_at,
            labels=record.labels,
            parent=record.parent,
            unique=None if record.attempt and _is_free_once_started(job.unique) else job.unique,
            accepted_at=record.created_at,
        )
        return _resting(job, now) if record.state is State.FAILED else job

    async def _counts(self) -> tuple[Counter[State], bool]:
        numbers, _ = await self.source.queues.stats(self.queue)
        counts: Counter[State] = Counter()
        for each in numbers:
            counts.update(each.counts)
        return counts, any(each.approximate for each in numbers)

    @property
    def _keeps_topics(self) -> bool:
        """Tell whether more may wait in the source than can be listed."""
        return any(each.name == "list_backlog" and not each.available for each in self.source.capabilities())


def other_id(job_id: JobId) -> JobId:
    """Return the id under which a job comes back to a store that has deleted it: of the same time, and the same at every try."""
    return child_id(job_id[:6], job_id, 0, 0)


def _resting(job: NewJob, now: datetime) -> NewJob:
    """Return a job that had failed, to be cancelled: it never becomes due, has no key, and says what it was."""
    labels = dict(job.labels or {})
    if len(labels) < MAX_LABELS:
        labels[LABEL] = "failed"
    return job._replace(run_at=now + _NEVER, expire_at=None, unique=None, labels=labels)


def _is_free_once_started(unique: Unique | None) -> bool:
    return unique is not None and unique.scope is UniqueScope.UNTIL_START


def _is_gone(answer: Dispatched) -> bool:
    return answer.verdict is DispatchVerdict.EXISTING and answer.state is None


def _refusal(job: NewJob, answer: Dispatched) -> str:
    """Return why a job is not in the target; empty where it is."""
    match answer.verdict:
        case DispatchVerdict.CREATED | DispatchVerdict.REPLACED:
            return ""
        case DispatchVerdict.EXISTING if answer.holder is not None and answer.holder != job.id:
            return "another job has its unique key"
        case DispatchVerdict.EXISTING:
            return "the target has known and deleted it; see --new-ids" if answer.state is None else ""
        case DispatchVerdict.REUSED:
            return "the target has another job of the same id"
        case DispatchVerdict.FULL:
            return "the target's queue is full"
        case DispatchVerdict.DUPLICATE:
            return "another job has its unique key"
        case _:
            return "its id is too old for the target"
