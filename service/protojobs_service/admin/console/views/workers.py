"""Workers: who is connected, with what, and what each runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from protojobs.v1 import worker_service_pb2 as pb

from protojobs_service.admin.console.views.fields import at


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningView:
    """A job that a worker runs."""

    id: str
    kind: str
    queue: str
    attempt: int
    started: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """A session. name: the label that it gave itself, by default its host and process. used: jobs leased by it."""

    session: str
    name: str
    sdk: str
    version: str
    queues: Sequence[str]
    kinds: Sequence[str]
    slots: int
    used: int
    heartbeat: datetime | None
    started: datetime | None
    running: Sequence[RunningView]
    draining: bool
    may_operate: bool


def view_worker(worker: pb.Worker, *, may_operate: bool) -> WorkerView:
    """Return the view of a worker."""
    return WorkerView(
        session=worker.session,
        name=worker.worker,
        sdk=worker.sdk,
        version=worker.sdk_version,
        queues=list(worker.queues),
        kinds=list(worker.kinds),
        slots=worker.slots_total,
        used=worker.slots_used,
        heartbeat=at(worker, "heartbeat_time"),
        started=at(worker, "start_time"),
        running=[
            RunningView(id=job.job_id, kind=job.kind, queue=job.queue, attempt=job.attempt, started=at(job, "start_time"))
            for job in worker.running
        ],
        draining=worker.draining,
        may_operate=may_operate,
    )
