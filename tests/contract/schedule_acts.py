"""What tests of schedules do again and again."""

from datetime import UTC, datetime, timedelta
from typing import Any

from protojobs_service.domain.job import JobId, JobRecord, NewJob
from protojobs_service.domain.schedule import Definition, Every, Schedule, Spec, When
from protojobs_service.domain.schedule_changes import define
from protojobs_service.port import Driver, Fired, Firing, ListQuery

from tests.canaries import BODY
from tests.contract.acts import MINUTE, SECOND, list_all

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def make(schedule: Schedule, job_id: JobId, run_at: datetime | None) -> NewJob:
    """Return the job of a tick."""
    return NewJob(job_id, schedule.queue, schedule.kind, 5, job_id + schedule.template, run_at=run_at)


def firing(*, schedules: int = 500, jobs: int = 1000, **fields: Any) -> Firing:
    """Return a turn with large bounds."""
    return Firing(schedules=schedules, jobs=jobs, cancel_within=fields.pop("cancel_within", MINUTE), make=fields.pop("make", make))


def definition(name: str = "s", when: When | timedelta = MINUTE, **fields: Any) -> Definition:
    """Return a schedule of queue `q` and kind `k`; a span ticks at multiples of itself since 1970."""
    chosen = Every(interval=when, anchor=EPOCH) if isinstance(when, timedelta) else when
    spec = Spec(when=chosen, **{key: fields.pop(key) for key in ("zone", "start_at", "end_at", "jitter") if key in fields})
    values: dict[str, Any] = {"queue": "q", "kind": "k", "template": BODY, **fields}
    return Definition(name=name, spec=spec, **values)


async def declare(driver: Driver, wanted: Definition, etag: str = "") -> Schedule:
    """Store a schedule."""
    stored = await driver.schedules.change(wanted.name, define(wanted, etag))
    assert stored is not None
    return stored


async def add(driver: Driver, name: str = "s", when: When | timedelta = MINUTE, **fields: Any) -> Schedule:
    """Store a schedule as `definition` makes it."""
    return await declare(driver, definition(name, when, **fields))


async def known(driver: Driver, name: str = "s") -> Schedule:
    """Return a schedule that must exist."""
    found = await driver.schedules.get(name)
    assert found is not None
    return found


async def fire_all(driver: Driver, **fields: Any) -> list[Fired]:
    """Tick until nothing is due."""
    turns = [await driver.schedules.fire(firing(**fields))]
    while turns[-1].more:
        turns.append(await driver.schedules.fire(firing(**fields)))
        assert len(turns) < 1000, "never comes to an end"
    return turns


async def jobs(driver: Driver) -> list[JobRecord]:
    """Return every job, the oldest first."""
    return await list_all(driver, ListQuery(newest_first=False, limit=100_000))


async def until_next(driver: Driver, name: str = "s") -> timedelta:
    """Return how long a schedule's next tick is off, and a moment more."""
    next_at = (await known(driver, name)).next_at
    assert next_at is not None
    return next_at - await driver.ping() + SECOND / 10
