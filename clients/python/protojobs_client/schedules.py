"""Schedules: declare them, look at them and act on them."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Unpack

from protojobs.v1 import schedule_service_pb2

from protojobs_client.calls import Calls
from protojobs_client.convert import to_timestamp
from protojobs_client.errors import ProtoJobsError
from protojobs_client.ids import JobId
from protojobs_client.job import Job
from protojobs_client.models import Seconds
from protojobs_client.pages import AsyncPages
from protojobs_client.request import JobRequest
from protojobs_client.schedule import (
    Cron,
    Daily,
    Every,
    ScheduleInfo,
    ScheduleOptions,
    ScheduleRequest,
    SyncReport,
    Weekday,
    Weekly,
    When,
)
from protojobs_client.schedule_convert import schedule_info, to_schedule, to_when

_AT_ONCE = 8


class ScheduleCalls(Calls):
    """The part of the client about schedules that repeat. The same declaration again is the same schedule.

    `job` is a kind, a job class, or an instance or request that has its data; options are those of its jobs and of schedules.
    All raise ProtoJobsError: InvalidArgumentError for what never ticks, ConflictError for an etag that does not match.
    """

    async def schedule_every(
        self,
        job: str | type[Job] | Job | JobRequest,
        data: object,
        interval: Seconds,
        /,
        *,
        anchor: datetime | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> ScheduleInfo:
        """Make a job at a fixed distance in elapsed time, 1 s to 365 days, counted from `anchor` or from when it was made."""
        return await self.schedule(ScheduleRequest.of(job, data, Every(interval, anchor), **options))

    async def schedule_hourly(
        self,
        job: str | type[Job] | Job | JobRequest,
        data: object = None,
        /,
        *,
        minute: int = 0,
        **options: Unpack[ScheduleOptions],
    ) -> ScheduleInfo:
        """Make a job each hour, when the clock shows `minute`."""
        return await self.schedule(ScheduleRequest.of(job, data, Cron(f"{minute} * * * *"), **options))

    async def schedule_daily(
        self, job: str | type[Job] | Job | JobRequest, data: object, times: Sequence[str], /, **options: Unpack[ScheduleOptions]
    ) -> ScheduleInfo:
        """Make a job each day at local times "HH:MM" of `time_zone`.

        A time that a change of the clocks skips runs at the change; one that comes twice runs once.
        """
        return await self.schedule(ScheduleRequest.of(job, data, Daily(tuple(times)), **options))

    async def schedule_weekly(
        self,
        job: str | type[Job] | Job | JobRequest,
        data: object,
        days: Sequence[Weekday],
        times: Sequence[str],
        /,
        **options: Unpack[ScheduleOptions],
    ) -> ScheduleInfo:
        """Make a job on some days of the week at local times "HH:MM" of `time_zone`."""
        return await self.schedule(ScheduleRequest.of(job, data, Weekly(tuple(days), tuple(times)), **options))

    async def schedule_cron(
        self, job: str | type[Job] | Job | JobRequest, data: object, expression: str, /, **options: Unpack[ScheduleOptions]
    ) -> ScheduleInfo:
        """Make a job where five fields match the clock of `time_zone`, or by @hourly, @daily, @weekly, @monthly."""
        return await self.schedule(ScheduleRequest.of(job, data, Cron(expression), **options))

    async def schedule(self, request: ScheduleRequest, *, dry_run: bool = False) -> ScheduleInfo:
        """Make or change a schedule by its name and return it as stored; with `dry_run` as it would be."""
        answer = await self._connection.call(
            self._connection.schedules.Schedule,
            schedule_service_pb2.ScheduleRequest(schedule=to_schedule(request, self._codec), validate_only=dry_run),
            deadline=self._connection.options.dispatch_deadline,
        )
        return schedule_info(answer.schedule)

    async def sync_schedules(
        self, requests: Iterable[ScheduleRequest], *, prune: bool = False, prefix: str = "", dry_run: bool = False
    ) -> SyncReport:
        """Declare schedules, as a program does when it starts, and return what became of them.

        With `prune` every other schedule is removed whose name begins with `prefix`: several programs that share a server
        give theirs a prefix each. With `dry_run` nothing is stored or removed. Raises the first refusal, with a note that
        names its schedule; others may be declared by then, and the same call may be repeated.
        """
        before = {schedule.name: schedule.etag async for schedule in self.schedules()}
        free = asyncio.Semaphore(_AT_ONCE)

        async def declare(request: ScheduleRequest) -> ScheduleInfo:
            async with free:
                try:
                    return await self.schedule(request, dry_run=dry_run)
                except ProtoJobsError as error:
                    error.add_note(f"schedule {request.name or request.job.kind}")
                    raise

        try:
            async with asyncio.TaskGroup() as group:
                declared = [group.create_task(declare(request)) for request in requests]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        stored = {task.result().name: task.result().etag for task in declared}
        others = sorted(name for name in before if name.startswith(prefix) and name not in stored) if prune else []
        for name in others:
            if not dry_run:
                await self.delete_schedule(name, etag=before[name])
        return SyncReport(
            created=tuple(sorted(name for name in stored if name not in before)),
            changed=tuple(sorted(name for name, etag in stored.items() if before.get(name, etag) != etag)),
            unchanged=tuple(sorted(name for name, etag in stored.items() if before.get(name) == etag)),
            removed=tuple(others),
        )

    def schedules(self, *, page_size: int = 100) -> AsyncPages[ScheduleInfo]:
        """Return the schedules by name."""

        async def read(token: str) -> tuple[tuple[ScheduleInfo, ...], str]:
            answer = await self._connection.call(
                self._connection.schedules.ListSchedules,
                schedule_service_pb2.ListSchedulesRequest(page_size=page_size, page_token=token),
            )
            return tuple(schedule_info(schedule) for schedule in answer.schedules), answer.next_page_token

        return AsyncPages(read)

    async def get_schedule(self, name: str) -> ScheduleInfo:
        """Return one schedule. Raises ScheduleNotFoundError."""
        answer = await self._connection.call(
            self._connection.schedules.GetSchedule, schedule_service_pb2.GetScheduleRequest(name=name)
        )
        return schedule_info(answer.schedule)

    async def pause_schedule(self, name: str) -> None:
        """Stop its ticks. Raises ScheduleNotFoundError."""
        await self._connection.call(self._connection.schedules.PauseSchedule, schedule_service_pb2.PauseScheduleRequest(name=name))

    async def resume_schedule(self, name: str) -> None:
        """Let it tick again from now on; nothing of the pause is caught up. Raises ScheduleNotFoundError."""
        await self._connection.call(
            self._connection.schedules.ResumeSchedule, schedule_service_pb2.ResumeScheduleRequest(name=name)
        )

    async def trigger_schedule(self, name: str, *, job_id: str | None = None) -> JobId:
        """Make a job of the schedule now, whatever its ticks do, and return its id. Raises ScheduleNotFoundError."""
        answer = await self._connection.call(
            self._connection.schedules.TriggerSchedule,
            schedule_service_pb2.TriggerScheduleRequest(name=name, job_id=job_id or self._ids.new()),
            deadline=self._connection.options.dispatch_deadline,
        )
        return JobId(answer.job_id)

    async def delete_schedule(self, name: str, *, etag: str = "") -> None:
        """Remove a schedule; jobs that it made stay. Raises ScheduleNotFoundError, ConflictError."""
        await self._connection.call(
            self._connection.schedules.DeleteSchedule, schedule_service_pb2.DeleteScheduleRequest(name=name, etag=etag)
        )

    async def preview_schedule(
        self, when: When | str, *, time_zone: str = "", count: int = 5, start_at: datetime | None = None
    ) -> tuple[datetime, ...]:
        """Return the next ticks, in UTC, of a spec that need not be saved, or of the schedule of that name."""
        request = schedule_service_pb2.PreviewScheduleRequest(count=count, from_time=to_timestamp(start_at))
        if isinstance(when, str):
            request.name = when
        else:
            request.spec.CopyFrom(to_when(when, time_zone))
        answer = await self._connection.call(self._connection.schedules.PreviewSchedule, request)
        return tuple(at.ToDatetime(tzinfo=UTC) for at in answer.times)
