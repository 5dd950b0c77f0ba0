"""Reading jobs: whole records and their attempts, in the snapshot of the caller's transaction."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, select

from protojobs_service.domain.job import AttemptRecord, JobId, JobRecord, Progress
from protojobs_service.domain.lifecycle import FINAL_STATES, RETAKEN, Code, State
from protojobs_service.domain.outcome import JobError
from protojobs_service.domain.retry import Policy
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, moment, moment_or_none
from protojobs_service.drivers.sql.cold.handles import workers
from protojobs_service.drivers.sql.cold.standing import Standing, standing
from protojobs_service.drivers.sql.tables import CANCEL_ASKED

COUNTED_ANYWAY = "SESSION_RESUMED"
"""Reason of a RELEASED attempt that was a crash until its session came back, after the job was final."""
_MAY_EXPIRE = frozenset({State.SCHEDULED, State.PENDING, State.RUNNING})


def records(c: Connection, cold: Cold, ids: Sequence[bytes]) -> dict[bytes, JobRecord]:
    """Return the jobs of these ids that exist and are not deleted."""
    tables = cold.tables
    stands = {job_id: at for job_id, at in standing(c, cold, ids, envelopes=True).items() if at.state is not None}
    found = list(stands)
    attempts = _by_job(c, tables.done, found)
    details = _by_job(c, tables.attempt_detail, found)
    labels = _by_job(c, tables.label, found)
    deadlines = _by_job(c, tables.deadline, found)
    parents = _by_job(c, tables.parent, found)
    handles = {at.handle for at in stands.values()} | {rows[-1].handle for rows in attempts.values()}
    names = workers(c, cold, {abs(handle) for handle in handles})
    return {
        job_id: _record(
            at,
            done=attempts[job_id],
            details=details[job_id],
            labels={row.key: row.value for row in labels[job_id]},
            expire_at=deadlines[job_id][0].expire_at if deadlines[job_id] else None,
            parent=parents[job_id][0].parent if parents[job_id] else None,
            workers=names,
        )
        for job_id, at in stands.items()
    }


def attempts_of(c: Connection, cold: Cold, job_id: JobId) -> list[AttemptRecord] | None:
    """Return all attempts of a job, oldest first, the running one last; None where the job is unknown."""
    at = standing(c, cold, [job_id]).get(job_id)
    if at is None or at.state is None:
        return None
    done = _by_job(c, cold.tables.done, [job_id])[job_id]
    details = {row.attempt: row for row in _by_job(c, cold.tables.attempt_detail, [job_id])[job_id]}
    names = workers(c, cold, {abs(row.handle) for row in done} | {abs(at.handle)})
    rows = [
        AttemptRecord(
            job_id=job_id,
            attempt=row.attempt,
            outcome=Code(row.outcome),
            worker=names.get(abs(row.handle), ""),
            started_at=moment_or_none(row.started_at),
            finished_at=moment(row.finished_at),
            error=_error(details.get(row.attempt)),
            reason=_reason(details.get(row.attempt)),
        )
        for row in done
    ]
    if at.state is State.RUNNING:
        began = moment_or_none(at.started_at)
        worker = names.get(at.handle, "")
        running = AttemptRecord(job_id=job_id, attempt=at.attempt, outcome=None, worker=worker, started_at=began, finished_at=None)
        rows.append(running)
    return rows


def _by_job(c: Connection, table: Table, ids: Sequence[bytes]) -> dict[bytes, list[Any]]:
    """Return the rows of each job, in the order of the primary key."""
    rows: dict[bytes, list[Any]] = defaultdict(list)
    for some in chunks(ids):
        for row in c.execute(select(table).where(among(table.c.id, some)).order_by(*table.primary_key.columns)):
            rows[row.id].append(row)
    return rows


def _record(
    at: Standing,
    *,
    done: Sequence[Any],
    details: Sequence[Any],
    labels: dict[str, str],
    expire_at: int | None,
    parent: bytes | None,
    workers: dict[int, str],
) -> JobRecord:
    assert at.state is not None, "nobody reads a tombstone"
    running, final = at.state is State.RUNNING, at.state in FINAL_STATES
    last = done[-1] if done else None
    failures, crashes = _counted(done, details) if final else (at.failures, at.crashes)
    now = next((row for row in details if row.attempt == at.attempt), None) if running or final else None
    errors = [error for row in details if (error := _error(row)) is not None]
    return JobRecord(
        id=JobId(at.id),
        queue=at.queue,
        kind=at.kind,
        priority=10 - at.band,
        envelope=at.envelope,
        state=at.state,
        attempt=at.attempt,
        failures=failures,
        crashes=crashes,
        policy=Policy.load(at.policy),
        created_at=moment(at.created_at),
        next_at=moment_or_none(at.due_at),
        started_at=moment_or_none(at.started_at if running else last and last.started_at),
        finished_at=moment_or_none(at.finished_at),
        expire_at=moment_or_none(expire_at) if at.state in _MAY_EXPIRE else None,
        worker=workers.get(at.handle if running else abs(last.handle) if last else 0, ""),
        labels=labels or None,
        progress=_progress(now) if running else None,
        result=now.result if final and now is not None else None,
        last_error=errors[-1] if errors else None,
        reason=_reason(now) if final else "",
        cancel_requested=running and bool(at.flags & CANCEL_ASKED),
        parent=None if parent is None else JobId(parent),
    )


def _counted(done: Sequence[Any], details: Sequence[Any]) -> tuple[int, int]:
    """Return failures and crashes since the last Retry, from the attempts: final jobs carry no counters."""
    reasons = {row.attempt: row.reason for row in details}
    failures = crashes = 0
    for row in done:
        if row.outcome > RETAKEN:
            failures = crashes = 0
        elif row.outcome == Code.CRASHED or reasons.get(row.attempt) in ("POISON", COUNTED_ANYWAY):
            crashes += 1
        elif row.outcome in (Code.RETRIED, Code.FAILED):
            failures += 1
    return failures, crashes


def _error(detail: Any) -> JobError | None:
    if detail is None or detail.error_type is None:
        return None
    return JobError(type=detail.error_type, message=detail.error_message or "", stack=detail.error_stack or "")


def _reason(detail: Any) -> str:
    return "" if detail is None else detail.reason or ""


def _progress(detail: Any) -> Progress | None:
    if detail is None or detail.progress_at is None:
        return None
    return Progress(ratio=detail.progress_ratio, message=detail.progress_message, at=moment(detail.progress_at))
