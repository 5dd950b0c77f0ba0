"""Lists of jobs: the filter in the address, and a row per job."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode
from uuid import UUID

from protojobs.v1 import job_pb2
from protojobs.v1 import job_service_pb2 as pb

from protojobs_service.admin.console.views.fields import FINAL, STATES, at, state_number, state_word

PAGE_SIZE = 50
WAITING = frozenset({"scheduled", "retrying"})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """What the address says. label: `key=value`. expression: the filter language. after: the token of a page."""

    queue: str = ""
    kind: str = ""
    state: str = ""
    label: str = ""
    expression: str = ""
    parent: str = ""
    after: str = ""

    @property
    def is_empty(self) -> bool:
        """Tell whether every job is meant."""
        return not (self.queue or self.kind or self.state or self.label or self.expression or self.parent)

    @property
    def is_counted(self) -> bool:
        """Tell whether the counters of queues say how many jobs match in each state."""
        return not (self.kind or self.label or self.expression or self.parent)

    @property
    def job_id(self) -> str:
        """Return the id that stands where the expression should: people paste what logs told them. Empty for none."""
        with contextlib.suppress(ValueError):
            return str(UUID(self.expression))
        return ""

    def query(self, **changes: str) -> str:
        """Return the query of an address with these changes and additions. Without `after` it is that of the first page."""
        fields = {name: getattr(self, name) for name in self.__slots__} | {"after": ""} | changes
        return urlencode({name: value for name, value in fields.items() if value})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A job in a list. error: type and message. when: the time that matters most in its state, and what it is the time of."""

    id: str
    queue: str
    kind: str
    state: str
    attempt: int
    labels: Sequence[tuple[str, str]]
    created: datetime | None
    when: datetime | None
    when_is: str
    worker: str
    error: str
    reason: str
    progress: float | None
    may_operate: bool

    @property
    def may_retry(self) -> bool:
        """Tell whether Retry takes the job up again."""
        return self.may_operate and self.state in FINAL


def read_filter(query: Mapping[str, str]) -> JobFilter:
    """Return the filter of an address or a form; a state that is none counts as not given."""
    given = {name: query.get(name, "").strip() for name in JobFilter.__slots__}
    if given["state"] not in STATES:
        given["state"] = ""
    return JobFilter(**given)


def to_message(wanted: JobFilter) -> pb.JobFilter:
    """Return the filter as JobService takes it, without the expression."""
    message = pb.JobFilter(parent_job_id=wanted.parent)
    if wanted.queue:
        message.queues.append(wanted.queue)
    if wanted.kind:
        message.kinds.append(wanted.kind)
    if wanted.state:
        message.states.append(state_number(wanted.state))
    if wanted.label:
        key, _, value = wanted.label.partition("=")
        message.labels[key.strip()] = value.strip()
    return message


def view_row(job: job_pb2.Job, *, may_operate: bool) -> JobRow:
    """Return the row of a job; texts of errors are for those who may operate its queue."""
    state = state_word(job.state)
    when, when_is = _when(job, state)
    return JobRow(
        id=job.id,
        queue=job.spec.queue,
        kind=job.spec.kind,
        state=state,
        attempt=job.attempt,
        labels=sorted(job.spec.labels.items()),
        created=at(job, "create_time"),
        when=when,
        when_is=when_is,
        worker=job.worker,
        error=_error(job) if may_operate and state in {"failed", "retrying"} else "",
        reason=job.reason,
        progress=job.progress.ratio if state == "running" and job.HasField("progress") else None,
        may_operate=may_operate,
    )


def _when(job: job_pb2.Job, state: str) -> tuple[datetime | None, str]:
    if state in WAITING:
        return at(job, "next_time"), "due"
    if state == "running":
        return at(job, "start_time"), "started"
    if state in FINAL:
        return at(job, "finish_time"), "ended"
    return at(job, "create_time"), "waits"


def _error(job: job_pb2.Job) -> str:
    error = job.last_error
    return ": ".join(part for part in (error.type, error.message) if part)
