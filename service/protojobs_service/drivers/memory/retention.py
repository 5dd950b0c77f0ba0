"""What is dropped of jobs, and when."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from protojobs_service.domain.bounds import HISTORY_DELAY, ID_WINDOW
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.queue import History
from protojobs_service.drivers.memory.records import Ended, StoredJob
from protojobs_service.drivers.memory.store import Store


def prune(store: Store, job: StoredJob, now: datetime) -> bool:
    """Drop of a job what nobody keeps any longer, at most one thing; tells whether there was any."""
    return _prune(store, job, now) or _drop_result(job, now) or _forget(store, job, now)


def _prune(store: Store, job: StoredJob, now: datetime) -> bool:
    if job.state is not None and (not job.state.is_final or now < job.done[-1].finished_at + _retention(store, job.state, job)):
        return False
    id_made_at = datetime.fromtimestamp(int.from_bytes(job.spec.id[:6]) / 1000, UTC)
    if id_made_at <= now - ID_WINDOW:  # a dispatch of this id is refused from now on
        if job.state is not None:
            store.move(job, None)
        del store.jobs[job.spec.id]
        return True
    if not job.spec.envelope:
        return False
    job.spec = job.spec._replace(envelope=b"")
    job.result = job.checkpoint = None
    job.done = [replace(ended, error=None) for ended in job.done]
    return True


def _drop_result(job: StoredJob, now: datetime) -> bool:
    kept = job.spec.result_retention
    if kept is None or job.result is None or now < job.done[-1].finished_at + kept:
        return False
    job.result = None
    return True


def _forget(store: Store, job: StoredJob, now: datetime) -> bool:
    """Drop what the job's queue does not remember."""
    if job.state is None or not job.state.is_final or now < job.done[-1].finished_at + HISTORY_DELAY:
        return False  # the queue of a deleted job may be gone
    history = store.queues[job.spec.queue].history
    if history is History.ALL:
        return False
    if history is History.FAILURES:
        kept = [ended for ended in job.done[:-1] if ended.code is not Code.COMPLETED_RETRIED] + job.done[-1:]
    else:
        kept = [replace(job.done[-1], error=None)]
        job.failures, job.crashes = _counted(job.done[-1])
    if kept == job.done and job.result is None:
        return False
    job.done, job.result = kept, None
    return True


def _retention(store: Store, state: State, job: StoredJob) -> timedelta:
    keep = store.queues[job.spec.queue].retention
    return {State.COMPLETED: keep.completed, State.CANCELLED: keep.cancelled}.get(state, keep.failed)


def _counted(ended: Ended) -> tuple[int, int]:
    """Return the failures and crashes that are left where nothing is known but how a job ended."""
    if ended.code is not Code.FAILED:
        return 0, 0
    return (0, 1) if ended.reason == "POISON" else (1, 0)
