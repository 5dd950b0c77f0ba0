"""Schedules in memory, and their ticks."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from protojobs_service.domain.errors import JobsError, QueueFull, QuotaExceeded
from protojobs_service.domain.schedule import Change, Schedule, lateness, tick_id
from protojobs_service.domain.schedule_ticks import decide
from protojobs_service.drivers.memory.jobs import MemoryJobs
from protojobs_service.drivers.memory.store import Store
from protojobs_service.port.jobs import DispatchVerdict
from protojobs_service.port.schedules import Fired, Firing


class MemorySchedules:
    """`port.Schedules`: no method awaits anything but jobs, which do not either, so each is one transaction."""

    def __init__(self, store: Store, jobs: MemoryJobs, most: int) -> None:
        self._store, self._jobs, self._most = store, jobs, most

    async def change(self, name: str, change: Change) -> Schedule | None:
        schedules = self._store.schedules
        new = change(schedules.get(name), self._store.now())
        if new is None:
            schedules.pop(name, None)
            return None
        if name not in schedules and len(schedules) >= self._most:
            raise QuotaExceeded("the store has too many schedules")
        self._store.use_lanes([(new.queue, new.kind)])
        schedules[name] = new
        return new

    async def get(self, name: str) -> Schedule | None:
        return self._store.schedules.get(name)

    async def page(self, after: str, limit: int) -> Sequence[Schedule]:
        return [self._store.schedules[name] for name in sorted(self._store.schedules) if name > after][:limit]

    async def fire(self, firing: Firing) -> Fired:
        now = self._store.now()
        waiting = [(schedule.wake_at, name) for name, schedule in self._store.schedules.items() if schedule.wake_at is not None]
        due = sorted(entry for entry in waiting if entry[0] <= now)
        late: list[timedelta] = []
        refused: list[tuple[str, str]] = []
        seen = missed = 0
        for _, name in due[: firing.schedules]:
            if len(late) >= firing.jobs:
                break
            seen += 1
            missed += await self._tick(self._store.schedules[name], now, firing, late, refused)
        self._store.announce()
        return Fired(seen, late, missed, refused, more=seen < len(due))

    async def _tick(
        self, schedule: Schedule, now: datetime, firing: Firing, late: list[timedelta], refused: list[tuple[str, str]]
    ) -> int:
        decision = decide(schedule, now, active=self._is_active(schedule), limit=firing.jobs - len(late))
        if decision.cancels and schedule.last_job is not None:
            await self._jobs.cancel([schedule.last_job], firing.cancel_within)
        last_job, duplicates = schedule.last_job, 0
        for tick in decision.ticks:
            if (schedule.name, tick) in self._store.ticks:
                continue
            job_id, run_at = tick_id(schedule, tick, now), tick + lateness(schedule, tick)
            try:
                job = firing.make(schedule, job_id, run_at if run_at > now else None)
                known = job_id in self._store.jobs
                verdict = DispatchVerdict.EXISTING if known else self._jobs.store_one(job, now)
                if verdict is DispatchVerdict.FULL:
                    raise QueueFull
            except JobsError as error:
                refused.append((schedule.name, error.reason))
                continue
            self._store.ticks[schedule.name, tick] = job_id
            if verdict is DispatchVerdict.DUPLICATE:
                duplicates += 1
                continue
            late.append(now - tick)
            last_job = job_id
        self._store.schedules[schedule.name] = replace(decision.schedule, last_job=last_job)
        return decision.missed + duplicates

    def _is_active(self, schedule: Schedule) -> bool:
        job = None if schedule.last_job is None else self._store.known(schedule.last_job)
        return job is not None and job.state is not None and not job.state.is_final

    async def forget_ticks(self, older_than: timedelta, limit: int) -> int:
        before = self._store.now() - older_than
        old = [key for key in self._store.ticks if key[1] < before][:limit]
        for key in old:
            del self._store.ticks[key]
        return len(old)
