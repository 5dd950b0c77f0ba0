"""Jobs as those see them who read."""

from dataclasses import replace

from protojobs_service.domain.filter import Facts
from protojobs_service.domain.job import AttemptRecord, JobRecord
from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.memory.records import StoredJob
from protojobs_service.drivers.memory.store import Store
from protojobs_service.port.jobs import Brief, ListQuery, Outline


def record_of(store: Store, job: StoredJob, brief: Brief | None = None) -> JobRecord:
    """Return a job as readers see it; it must not be deleted. brief: as `port.ListQuery` has it."""
    assert job.state is not None, "nobody reads a tombstone"
    spec, run, attempts = job.spec, job.run, attempts_of(store, job)
    leased = [attempt for attempt in attempts if attempt.started_at is not None]
    errors = [attempt.error for attempt in attempts if attempt.error is not None]
    last_error = errors[-1] if errors else None
    if brief is not None and last_error is not None:
        last_error = replace(last_error, stack="")
    final = attempts[-1] if job.state.is_final else None
    return JobRecord(
        id=spec.id,
        queue=spec.queue,
        kind=spec.kind,
        priority=spec.priority,
        envelope=spec.envelope if brief is None else brief(spec.envelope),
        state=job.state,
        attempt=job.attempt,
        failures=job.failures,
        crashes=job.crashes,
        policy=job.policy,
        created_at=job.created_at,
        next_at=job.due_at,
        started_at=leased[-1].started_at if leased else None,
        finished_at=final.finished_at if final else None,
        expire_at=job.expire_at,
        worker=leased[-1].worker if leased else "",
        labels=spec.labels,
        progress=run.progress if run else None,
        result=job.result if brief is None else None,
        last_error=last_error,
        reason=final.reason if final else "",
        cancel_requested=run is not None and run.cancel_at is not None,
        parent=spec.parent,
    )


def attempts_of(store: Store, job: StoredJob) -> list[AttemptRecord]:
    """Return the attempts of a job, oldest first, the one that runs too."""
    attempts = [
        AttemptRecord(
            job_id=job.spec.id,
            attempt=ended.attempt,
            outcome=ended.code,
            worker=ended.worker,
            started_at=ended.started_at,
            finished_at=ended.finished_at,
            error=ended.error,
            reason=ended.reason,
        )
        for ended in job.done
    ]
    if job.run is not None:
        worker, since = store.handles[job.run.handle].opening.worker, job.run.started_at
        attempts.append(
            AttemptRecord(job_id=job.spec.id, attempt=job.attempt, outcome=None, worker=worker, started_at=since, finished_at=None)
        )
    return attempts


def size_of(job: StoredJob, brief: Brief | None = None) -> int:
    """Return how many bytes of envelope, result and errors are read for `record_of`."""
    errors = [ended.error for ended in job.done if ended.error is not None]
    size = len(job.spec.envelope) + sum(len(error.message) for error in errors)
    return size if brief is not None else size + len(job.result or b"") + sum(len(error.stack) for error in errors)


def outline_of(job: StoredJob) -> Outline:
    """Return what a bulk change has to know of a job; it must not be deleted."""
    assert job.state is not None, "nobody reads a tombstone"
    spec = job.spec
    changed_at = max([job.created_at, *(ended.finished_at for ended in job.done)])
    return Outline(spec.id, spec.queue, spec.priority, job.state, job.attempt, changed_at, len(spec.envelope))


def matches(job: StoredJob, query: ListQuery) -> bool:
    """Tell whether a query finds a job."""
    spec = job.spec
    return (
        job.state is not None
        and (not query.queues or spec.queue in query.queues)
        and (not query.kinds or spec.kind in query.kinds)
        and (not query.states or job.state in query.states)
        and (not query.labels or query.labels.items() <= (spec.labels or {}).items())
        and (query.parent is None or spec.parent == query.parent)
        and (query.created_after is None or job.created_at >= query.created_after)
        and (query.created_before is None or job.created_at < query.created_before)
        and query.where.holds(_facts(job, job.state))
        and (query.after is None or (spec.id < query.after if query.newest_first else spec.id > query.after))
    )


def _facts(job: StoredJob, state: State) -> Facts:
    spec = job.spec
    return Facts(
        queue=spec.queue, kind=spec.kind, state=state, labels=spec.labels or {}, created_at=job.created_at, parent=spec.parent
    )
