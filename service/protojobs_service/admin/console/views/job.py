"""One job: what it is, how its attempts went, and what can be done with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from protojobs.v1 import job_pb2

from protojobs_service.admin.console.views.fields import FINAL, at, length, outcome_word, state_word
from protojobs_service.admin.console.views.payload import PayloadView, view_payload


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorView:
    """An error as the worker told it."""

    type: str
    message: str
    stack: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """One attempt. took: until its outcome was stored."""

    number: int
    outcome: str
    reason: str
    worker: str
    started: datetime | None
    ended: datetime | None
    took: timedelta | None
    error: ErrorView | None
    by_hand: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A moment of the job's life. state: gives it its mark."""

    when: datetime
    what: str
    state: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """All that the page says of a job. payload, result and error are None where the caller may not see them."""

    id: str
    queue: str
    kind: str
    state: str
    attempt: int
    failures: int
    crashes: int
    max_retries: int
    priority: int
    created: datetime | None
    due: datetime | None
    started: datetime | None
    finished: datetime | None
    expires: datetime | None
    took: timedelta | None
    worker: str
    reason: str
    cancel_requested: bool
    run_timeout: timedelta | None
    parent: str
    labels: Sequence[tuple[str, str]]
    headers: Sequence[tuple[str, str]]
    keys: Sequence[tuple[str, str]]
    follow_ups: Sequence[tuple[str, str, str]]
    progress: float | None
    progress_message: str
    progress_at: datetime | None
    error: ErrorView | None
    payload: PayloadView | None
    result: PayloadView | None
    may_operate: bool
    may_produce: bool

    @property
    def is_final(self) -> bool:
        """Tell whether nothing happens to the job of itself."""
        return self.state in FINAL

    @property
    def may_retry(self) -> bool:
        """Tell whether Retry takes the job up again, or runs it now."""
        return self.may_operate and (self.is_final or self.state in {"scheduled", "retrying"})

    @property
    def may_cancel(self) -> bool:
        """Tell whether Cancel does anything."""
        return (self.may_operate or self.may_produce) and not self.is_final and not self.cancel_requested

    @property
    def may_delete(self) -> bool:
        """Tell whether DeleteJob is allowed in this state."""
        return self.may_operate and self.state != "running"


def view_job(job: job_pb2.Job, *, may_operate: bool, may_produce: bool) -> JobView:
    """Return the view of a job in view FULL, or BASIC for those who may not operate its queue."""
    spec, state = job.spec, state_word(job.state)
    started, finished = at(job, "start_time"), at(job, "finish_time")
    running = job.HasField("progress")
    return JobView(
        id=job.id,
        queue=spec.queue,
        kind=spec.kind,
        state=state,
        attempt=job.attempt,
        failures=job.failures,
        crashes=job.crashes,
        max_retries=job.retry.max_retries,
        priority=spec.priority,
        created=at(job, "create_time"),
        due=at(job, "next_time"),
        started=started,
        finished=finished,
        expires=at(spec, "expire_time"),
        took=finished - started if started and finished else None,
        worker=job.worker,
        reason=job.reason,
        cancel_requested=job.cancel_requested,
        run_timeout=length(job, "run_timeout"),
        parent=job.parent_job_id,
        labels=sorted(spec.labels.items()),
        headers=sorted(spec.headers.items()),
        keys=_keys(spec),
        follow_ups=[("on completion", each.kind, each.queue) for each in spec.on_complete]
        + [("on failure", each.kind, each.queue) for each in spec.on_failed],
        progress=job.progress.ratio if running else None,
        progress_message=job.progress.message if running else "",
        progress_at=at(job.progress, "update_time") if running else None,
        error=_error(job.last_error) if may_operate and job.HasField("last_error") else None,
        payload=view_payload(spec.payload, spec.content_type or "application/json") if may_operate else None,
        result=view_payload(job.result, "application/json") if may_operate else None,
        may_operate=may_operate,
        may_produce=may_produce,
    )


def view_attempt(attempt: job_pb2.Attempt, *, may_operate: bool) -> AttemptView:
    """Return the view of an attempt; its error is for those who may operate its queue."""
    started, ended = at(attempt, "start_time"), at(attempt, "finish_time")
    return AttemptView(
        number=attempt.attempt,
        outcome=outcome_word(attempt.outcome),
        reason=attempt.reason,
        worker=attempt.worker,
        started=started,
        ended=ended,
        took=ended - started if started and ended else None,
        error=_error(attempt.error) if may_operate and attempt.HasField("error") else None,
        by_hand=attempt.retried_by_hand,
    )


def timeline(job: JobView, attempts: Sequence[AttemptView]) -> list[Step]:
    """Return what happened to a job, and what is to come, in the order of time."""
    steps: list[Step] = []
    if job.created:
        steps.append(Step(when=job.created, what="created", state="pending"))
    for each in attempts:
        if each.started:
            steps.append(Step(when=each.started, what=f"attempt {each.number} leased", state="running", note=each.worker))
        if each.ended:
            steps.append(Step(when=each.ended, what=f"attempt {each.number} {each.outcome}", state=each.outcome, note=each.reason))
    steps.sort(key=lambda step: step.when)
    if job.is_final and job.finished and not any(step.when == job.finished and step.state == job.state for step in steps):
        steps.append(Step(when=job.finished, what=job.state, state=job.state, note=job.reason))
    if job.due and not job.is_final:
        steps.append(Step(when=job.due, what="due", state=job.state))
    return steps


def copy_spec(spec: job_pb2.JobSpec, job_id: str) -> job_pb2.JobSpec:
    """Return the spec of a like job that runs now: without its unique key and times, which are the old one's."""
    copy = job_pb2.JobSpec()
    copy.CopyFrom(spec)
    copy.ClearField("unique")
    copy.ClearField("expire_time")
    copy.ClearField("start")
    copy.id = job_id
    return copy


def _error(error: job_pb2.JobError) -> ErrorView:
    return ErrorView(type=error.type, message=error.message, stack=error.stack)


def _keys(spec: job_pb2.JobSpec) -> list[tuple[str, str]]:
    named = (("unique key", spec.unique.key), ("concurrency key", spec.concurrency_key), ("fairness key", spec.fairness_key))
    return [(name, key) for name, key in named if key]
