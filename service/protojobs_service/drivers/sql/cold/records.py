"""Reading jobs: whole records and their attempts, in the snapshot of the caller's transaction."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from protojobs_service.domain.job import AttemptRecord, JobId, JobRecord, Progress
from protojobs_service.domain.lifecycle import FINAL_STATES, RETAKEN, Code, State
from protojobs_service.domain.lots import lots
from protojobs_service.domain.outcome import JobError
from protojobs_service.domain.retry import Policy
from protojobs_service.drivers.sql.cold.base import CHUNK, Cold, moment, moment_or_none
from protojobs_service.drivers.sql.cold.history import History, histories
from protojobs_service.drivers.sql.cold.standing import Standing, standing
from protojobs_service.drivers.sql.tables import CANCEL_ASKED
from protojobs_service.port.jobs import Brief

COUNTED_ANYWAY = "SESSION_RESUMED"
"""Reason of a RELEASED attempt that was a crash until its session came back, after the job was final."""
_MAY_EXPIRE = frozenset({State.SCHEDULED, State.PENDING, State.RUNNING})


def records(c: Connection, cold: Cold, ids: Sequence[bytes]) -> dict[bytes, JobRecord]:
    """Return the jobs of these ids that exist and are not deleted."""
    stands = {job_id: at for job_id, at in standing(c, cold, ids, envelopes=True, origins=True).items() if at.state is not None}
    found = histories(c, cold, list(stands), labels=True)
    return {job_id: _record(at, found[job_id]) for job_id, at in stands.items()}


def brief_records(c: Connection, cold: Cold, ids: Sequence[bytes], of_each: Sequence[int], brief: Brief) -> dict[bytes, JobRecord]:
    """Return them without results and stacks, and of each envelope what `brief` keeps; no more are whole at once than fit.

    of_each: what `sizes` says of them.
    """
    found: dict[bytes, JobRecord] = {}
    for some in lots(ids, of_each, CHUNK):
        stood = standing(c, cold, some, envelopes=True, origins=True)
        stands = {job_id: at._replace(envelope=brief(at.envelope)) for job_id, at in stood.items() if at.state is not None}
        been = histories(c, cold, list(stands), labels=True, brief=True)
        found |= {job_id: _record(at, been[job_id]) for job_id, at in stands.items()}
    return found


def attempts_of(c: Connection, cold: Cold, job_id: JobId) -> list[AttemptRecord] | None:
    """Return all attempts of a job, oldest first, the running one last; None where the job is unknown."""
    history = histories(c, cold, [job_id]).get(job_id)
    if history is None or any(row.outcome == Code.DELETED for row in history.attempts):
        return None
    return [
        AttemptRecord(
            job_id=job_id,
            attempt=row.attempt,
            outcome=None if row.outcome is None else Code(row.outcome),
            worker=row.worker or "",
            started_at=moment_or_none(row.started_at),
            finished_at=moment_or_none(row.finished_at),
            error=error_of(row),
            reason=reason_of(row),
        )
        for row in history.attempts
    ]


def _record(at: Standing, history: History) -> JobRecord:
    assert at.state is not None, "nobody reads a tombstone"
    running, final = at.state is State.RUNNING, at.state in FINAL_STATES
    ended = [row for row in history.attempts if row.outcome is not None]
    now = next((row for row in history.attempts if row.attempt == at.attempt), None) if running or final else None
    last = now if running else ended[-1] if ended else None
    failures, crashes = _counted(ended) if final else (at.failures, at.crashes)
    errors = [error for row in ended if (error := error_of(row)) is not None]
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
        expire_at=moment_or_none(at.expire_at) if at.state in _MAY_EXPIRE else None,
        worker=(last.worker or "") if last is not None else "",
        labels=history.labels or None,
        progress=_progress(now) if running else None,
        result=now.result if final and now is not None else None,
        last_error=errors[-1] if errors else None,
        reason=reason_of(now) if final else "",
        cancel_requested=running and bool(at.flags & CANCEL_ASKED),
        parent=None if at.parent is None else JobId(at.parent),
    )


def _counted(ended: Sequence[Any]) -> tuple[int, int]:
    """Return failures and crashes since the last Retry, from the attempts: final jobs carry no counters."""
    failures = crashes = 0
    for row in ended:
        if row.outcome > RETAKEN:
            failures = crashes = 0
        elif row.outcome == Code.CRASHED or row.reason in ("POISON", COUNTED_ANYWAY):
            crashes += 1
        elif row.outcome in (Code.RETRIED, Code.FAILED):
            failures += 1
    return failures, crashes


def error_of(row: Any) -> JobError | None:
    """Return the error of a row with the columns of `attempt_detail`, if there is one."""
    if row is None or row.error_type is None:
        return None
    return JobError(type=row.error_type, message=row.error_message or "", stack=row.error_stack or "")


def reason_of(row: Any) -> str:
    """Return the reason in a row with the columns of `attempt_detail`, empty where there is none."""
    return "" if row is None else row.reason or ""


def _progress(row: Any) -> Progress | None:
    if row is None or row.progress_at is None:
        return None
    return Progress(ratio=row.progress_ratio, message=row.progress_message, at=moment(row.progress_at))
