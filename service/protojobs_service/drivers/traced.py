"""A driver as metrics and traces see it: the same store, every call of the jobs port counted and timed, once for all drivers.

What is counted is counted per call, which is a whole batch, and never per job on the way in. A call is a span where it happens
within one that is recorded; what streams and timers do is none.
"""

import time
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import ClassVar, TypeVar

from opentelemetry import trace
from opentelemetry.metrics import Meter
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from protojobs_service import conventions
from protojobs_service.domain.errors import JobsError
from protojobs_service.domain.job import AttemptRecord, JobId, JobRecord, Lease, NewJob
from protojobs_service.domain.labels import MAX_QUEUE_LABELS, OUTCOMES, Labels
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.schedule import Change, Schedule
from protojobs_service.port import (
    NO_FOLLOW_UPS,
    NOBODY,
    AuditLog,
    CancelResult,
    Capability,
    Claim,
    Dispatched,
    DispatchVerdict,
    Driver,
    Edit,
    EditResult,
    Events,
    Fired,
    Firing,
    FollowUps,
    JobPage,
    Jobs,
    ListQuery,
    News,
    Numbers,
    Outline,
    Pool,
    Queues,
    Retake,
    RetakeResult,
    Room,
    Schedules,
    Selection,
    Sessions,
    Settled,
    Settlement,
    SettleVerdict,
    SideStore,
    Tokens,
    Witness,
)

T = TypeVar("T")

_DISPATCHED = {verdict: {"outcome": verdict.name.lower()} for verdict in DispatchVerdict}
_SETTLED = {state: {"outcome": outcome} for state, outcome in OUTCOMES.items()}
_REFUSED = {verdict: {"outcome": verdict.name.lower()} for verdict in SettleVerdict}
_OPERATIONS = (
    "dispatch", "claim", "settle", "update", "cancel", "retake", "edit", "delete", "get", "list", "select", "outline", "attempts",
    "promote", "unhold", "expire", "prune",
)  # fmt: skip

WAIT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
"""s: jobs may wait for minutes, for which the buckets of the semantic conventions, up to 10 s, are no use."""
FLUSH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
"""jobs: a flush holds no more than 5000."""


def _runs(answers: Sequence[T]) -> Iterable[tuple[T, int]]:
    """Count equal answers. Mostly all are one and the same object, and an Enum's hash is slow."""
    if answers and answers.count(answers[0]) == len(answers):
        return [(answers[0], len(answers))]
    return Counter(answers).items()


class TracedDriver:
    """Passes every call on to a driver. tracer: None makes no spans."""

    def __init__(self, driver: Driver, meter: Meter, tracer: Tracer | None = None) -> None:
        self._driver = driver
        self._jobs = TracedJobs(driver.jobs, meter, StoreSpans(tracer, driver.name))
        self._schedules = TracedSchedules(driver.schedules, meter)
        self._witness = MeteredWork(meter)

    @property
    def name(self) -> str:
        """Return the driver's name."""
        return self._driver.name

    @property
    def jobs(self) -> Jobs:
        """Return its jobs, counted and timed."""
        return self._jobs

    @property
    def sessions(self) -> Sessions:
        """Return its sessions as they are."""
        return self._driver.sessions

    @property
    def queues(self) -> Queues:
        """Return its queues as they are."""
        return self._driver.queues

    @property
    def schedules(self) -> Schedules:
        """Return its schedules, their ticks counted."""
        return self._schedules

    @property
    def events(self) -> Events:
        """Return its events as they are."""
        return self._driver.events

    @property
    def tokens(self) -> Tokens:
        """Return its tokens as they are."""
        return self._driver.tokens

    @property
    def audit(self) -> AuditLog:
        """Return its audit log as it is."""
        return self._driver.audit

    @property
    def side_store(self) -> SideStore:
        """Return its side store as it is."""
        return self._driver.side_store

    def capabilities(self) -> Sequence[Capability]:
        """Return its capabilities."""
        return self._driver.capabilities()

    def pools(self) -> Mapping[str, Pool]:
        """Return its pools."""
        return self._driver.pools()

    def numbers(self) -> Numbers:
        """Return its numbers."""
        return self._driver.numbers()

    async def open(
        self,
        room: Room,
        follow_ups: FollowUps = NO_FOLLOW_UPS,
        witness: Witness = NOBODY,  # noqa: ARG002 # it is one
    ) -> None:
        """Open it; how it works is measured."""
        await self._driver.open(room, follow_ups, self._witness)

    async def close(self) -> None:
        """Close it."""
        await self._driver.close()

    async def ping(self) -> datetime:
        """Return its clock."""
        return await self._driver.ping()

    async def maintain(self) -> None:
        """Maintain it."""
        await self._driver.maintain()


class MeteredWork(Witness):
    """Measures the flushes of a driver, and how long jobs have waited before they were leased."""

    def __init__(self, meter: Meter) -> None:
        self._flushes = meter.create_histogram(
            "protojobs.store.flush.size",
            unit="{job}",
            description="Jobs that shared a group commit.",
            explicit_bucket_boundaries_advisory=FLUSH_BUCKETS,
        )
        self._waits = meter.create_histogram(
            "protojobs.job.wait.duration",
            unit="s",
            description="Time from claimable to leased, of up to four jobs of each flush.",
            explicit_bucket_boundaries_advisory=WAIT_BUCKETS,
        )
        self._queues = Labels(MAX_QUEUE_LABELS)

    def flushed(self, pipeline: str, jobs: int) -> None:
        """Record a flush."""
        self._flushes.record(jobs, {"pipeline": pipeline})

    def waited(self, queue: str, seconds: float) -> None:
        """Record a wait."""
        self._waits.record(seconds, {"queue": self._queues.of(queue)})


class TracedSchedules:
    """Counts ticks that made a job, were missed or refused, and measures how late they were."""

    def __init__(self, schedules: Schedules, meter: Meter) -> None:
        self._inner = schedules
        self._ticks = meter.create_counter("protojobs.scheduler.ticks", description="Ticks of schedules that made a job.")
        self._misfires = meter.create_counter("protojobs.scheduler.misfires", description="Ticks that never run, by cause.")
        self._lag = meter.create_histogram(
            "protojobs.scheduler.lag",
            unit="s",
            description="How late ticks were.",
            explicit_bucket_boundaries_advisory=WAIT_BUCKETS,
        )
        # A counter that nobody has seen at 0 hides its first increase.
        self._ticks.add(0)
        for cause in ("policy", "refused"):
            self._misfires.add(0, {"cause": cause})

    async def change(self, name: str, change: Change) -> Schedule | None:
        """Change a schedule."""
        return await self._inner.change(name, change)

    async def get(self, name: str) -> Schedule | None:
        """Read a schedule."""
        return await self._inner.get(name)

    async def page(self, after: str, limit: int) -> Sequence[Schedule]:
        """List schedules."""
        return await self._inner.page(after, limit)

    async def fire(self, firing: Firing) -> Fired:
        """Tick."""
        fired = await self._inner.fire(firing)
        if fired.late:
            self._ticks.add(len(fired.late))
        for late in fired.late:
            self._lag.record(late.total_seconds())
        if fired.missed:
            self._misfires.add(fired.missed, {"cause": "policy"})
        if fired.refused:
            self._misfires.add(len(fired.refused), {"cause": "refused"})
        return fired

    async def forget_ticks(self, older_than: timedelta, limit: int) -> int:
        """Drop old ticks."""
        return await self._inner.forget_ticks(older_than, limit)


class StoreSpans:
    """Makes the CLIENT span of an operation on a store: what it is and of how many jobs, never its statements."""

    # https://opentelemetry.io/docs/specs/semconv/registry/attributes/db/#db-system-name
    _SYSTEMS: ClassVar = {"postgres": "postgresql"}

    def __init__(self, tracer: Tracer | None, driver: str) -> None:
        self._tracer = tracer
        self._system = self._SYSTEMS.get(driver, driver)

    def start(self, operation: str, count: int) -> Span | None:
        """Return the span, None outside of one that is recorded."""
        if self._tracer is None or not trace.get_current_span().is_recording():
            return None
        attributes: dict[str, str | int] = {conventions.DB_SYSTEM: self._system, conventions.DB_OPERATION: operation}
        # The conventions have it: one is no batch.
        if count > 1:
            attributes[conventions.DB_BATCH_SIZE] = count
        return self._tracer.start_span(f"{operation} jobs", kind=SpanKind.CLIENT, attributes=attributes)

    def fail(self, span: Span, error: JobsError) -> None:
        """Say why it failed."""
        span.set_attribute(conventions.ERROR_TYPE, error.reason)
        span.set_status(StatusCode.ERROR)


class TracedJobs:
    """Counts dispatched, leased and settled jobs by outcome, and times every operation."""

    def __init__(self, jobs: Jobs, meter: Meter, spans: StoreSpans) -> None:
        self._inner = jobs
        self._spans = spans
        self._dispatched = meter.create_counter("protojobs.jobs.dispatched", description="Jobs to store, by outcome.")
        self._leased = meter.create_counter("protojobs.jobs.leased", description="Jobs leased to workers.")
        self._settled = meter.create_counter("protojobs.jobs.settled", description="Outcomes of attempts, by what became of them.")
        self._duration = meter.create_histogram(
            "protojobs.store.operation.duration",
            unit="s",
            description="Time of operations on jobs, waiting for others included.",
            explicit_bucket_boundaries_advisory=conventions.DURATION_BUCKETS,
        )
        self._failures = meter.create_counter("protojobs.store.operation.failures", description="Operations that raised.")
        for operation in _OPERATIONS:
            self._failures.add(0, {"operation": operation})

    async def dispatch(self, jobs: Sequence[NewJob], *, atomic: bool = False) -> Sequence[Dispatched]:
        """Store jobs."""
        with self._timed("dispatch", len(jobs)):
            answers = await self._inner.dispatch(jobs, atomic=atomic)
        leased = 0
        for (verdict, state, _), count in _runs(answers):
            self._dispatched.add(count, _DISPATCHED[verdict])
            if state is State.RUNNING and verdict is DispatchVerdict.CREATED:
                leased += count
        if leased:
            self._leased.add(leased)
        return answers

    async def claim(self, claims: Sequence[Claim]) -> Sequence[Lease]:
        """Lease jobs."""
        with self._timed("claim", len(claims)):
            leases = await self._inner.claim(claims)
        if leases:
            self._leased.add(len(leases))
        return leases

    async def settle(self, items: Sequence[Settlement]) -> Sequence[Settled]:
        """End attempts."""
        with self._timed("settle", len(items)):
            answers = await self._inner.settle(items)
        for (verdict, state, _), count in _runs(answers):
            ended = verdict is SettleVerdict.OK and state is not None
            self._settled.add(count, _SETTLED[state] if ended and state is not None else _REFUSED[verdict])
        return answers

    async def update(self, items: Sequence[News]) -> Sequence[bool]:
        """Store news."""
        with self._timed("update", len(items)):
            return await self._inner.update(items)

    async def cancel(self, ids: Sequence[JobId], deadline: timedelta) -> Sequence[CancelResult]:
        """Cancel jobs."""
        with self._timed("cancel", len(ids)):
            return await self._inner.cancel(ids, deadline)

    async def retake(self, items: Sequence[Retake]) -> Sequence[RetakeResult]:
        """Retry jobs."""
        with self._timed("retake", len(items)):
            return await self._inner.retake(items)

    async def edit(self, items: Sequence[Edit]) -> Sequence[EditResult]:
        """Change jobs that wait."""
        with self._timed("edit", len(items)):
            return await self._inner.edit(items)

    async def delete(self, ids: Sequence[JobId]) -> Sequence[CancelResult]:
        """Delete jobs."""
        with self._timed("delete", len(ids)):
            return await self._inner.delete(ids)

    async def get(self, ids: Sequence[JobId]) -> Sequence[JobRecord | None]:
        """Read jobs."""
        with self._timed("get", len(ids)):
            return await self._inner.get(ids)

    async def list(self, query: ListQuery) -> JobPage:
        """List jobs."""
        with self._timed("list"):
            return await self._inner.list(query)

    async def select(self, query: ListQuery) -> Selection:
        """Select jobs."""
        with self._timed("select"):
            return await self._inner.select(query)

    async def outline(self, ids: Sequence[JobId]) -> Sequence[Outline | None]:
        """Read outlines."""
        with self._timed("outline", len(ids)):
            return await self._inner.outline(ids)

    async def attempts(self, job_id: JobId) -> Sequence[AttemptRecord] | None:
        """Read attempts."""
        with self._timed("attempts"):
            return await self._inner.attempts(job_id)

    async def promote(self, limit: int) -> int:
        """Promote due jobs."""
        with self._timed("promote"):
            return await self._inner.promote(limit)

    async def unhold(self, limit: int) -> int:
        """Let jobs go on whose key has room."""
        with self._timed("unhold"):
            return await self._inner.unhold(limit)

    async def expire(self, limit: int) -> int:
        """Expire jobs."""
        with self._timed("expire"):
            return await self._inner.expire(limit)

    async def prune(self, limit: int) -> int:
        """Drop what retention no longer keeps."""
        with self._timed("prune"):
            return await self._inner.prune(limit)

    @contextmanager
    def _timed(self, operation: str, count: int = 1) -> Generator[None]:
        attributes = {"operation": operation}
        span = self._spans.start(operation, count)
        started = time.perf_counter()
        try:
            yield
        except JobsError as error:
            self._failures.add(1, attributes)
            if span is not None:
                self._spans.fail(span, error)
            raise
        finally:
            self._duration.record(time.perf_counter() - started, attributes)
            if span is not None:
                span.end()
