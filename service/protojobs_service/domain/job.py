"""Values of jobs as they travel between the wire, the use cases and the stores."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, NamedTuple, NewType

from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.outcome import JobError
from protojobs_service.domain.retry import Policy, PolicyChanges
from protojobs_service.domain.unique import Unique

JobId = NewType("JobId", bytes)
"""A UUIDv7 as its 16 raw bytes: text and UUID objects cost a microsecond each, so only the wire has them."""

Handle = NewType("Handle", int)
"""One stream of one session, as the small number that running jobs carry."""


make_tuple: Any = vars(tuple)["__new__"]
"""make_tuple(NewJob, fields): any NamedTuple for half the price of its constructor, for values that every job pays for."""


class NewJob(NamedTuple):
    """A job to store. `envelope` is the producer's JobSpec as it came, forwarded to the worker untouched.

    policy None: every default. Times: `delay` from the store's now, or `run_at`; both None means at once.
    follow_ups: its envelope names jobs to store when it completes or fails. result_retention: how long its result is kept.
    accepted_at: when a log accepted it, where that was before this store: then it was created, unless that is still to come. Its
    place in line is by its arrival here.
    """

    id: JobId
    queue: str
    kind: str
    priority: int
    envelope: bytes
    policy: Policy | None = None
    delay: timedelta | None = None
    run_at: datetime | None = None
    expire_at: datetime | None = None
    labels: Mapping[str, str] | None = None
    parent: JobId | None = None
    unique: Unique | None = None
    follow_ups: bool | None = None
    fairness_key: str | None = None
    concurrency_key: str | None = None
    result_retention: timedelta | None = None
    accepted_at: datetime | None = None


def child_id(prefix: bytes, parent: JobId, attempt: int, index: int) -> JobId:
    """Return the id of a job that an attempt of `parent` stores. prefix: the time part of a UUIDv7; a hash of the rest follows."""
    digest = bytearray(blake2b(parent + attempt.to_bytes(4, "big") + index.to_bytes(4, "big"), digest_size=10).digest())
    digest[0] = digest[0] & 0x0F | 0x70
    digest[2] = digest[2] & 0x3F | 0x80
    return JobId(prefix + bytes(digest))


class Draft(NamedTuple):
    """A job as the wire gave it: checked against every bound, its policy not yet resolved. changes None: it sets nothing."""

    job: NewJob
    changes: PolicyChanges | None


class Lease(NamedTuple):
    """A job leased to a handle: committed, and not yet delivered. policy None: every default.

    suspect: its last deliveries were lost with their workers; it is to be the only job on its way to this one.
    """

    handle: Handle
    id: JobId
    attempt: int
    queue: str
    kind: str
    envelope: bytes
    failures: int = 0
    policy: Policy | None = None
    checkpoint: bytes | None = None
    suspect: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a running attempt says it is; ratio 0 to 1."""

    ratio: float
    message: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A stored job, read in one snapshot. `envelope` is empty where retention has emptied it."""

    id: JobId
    queue: str
    kind: str
    priority: int
    envelope: bytes
    state: State
    attempt: int
    failures: int
    crashes: int
    policy: Policy
    created_at: datetime
    next_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expire_at: datetime | None = None
    worker: str = ""
    labels: Mapping[str, str] | None = None
    progress: Progress | None = None
    result: bytes | None = None
    last_error: JobError | None = None
    reason: str = ""
    cancel_requested: bool = False
    parent: JobId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One attempt; outcome None while it runs."""

    job_id: JobId
    attempt: int
    outcome: Code | None
    worker: str
    started_at: datetime | None
    finished_at: datetime | None
    error: JobError | None = None
    reason: str = ""
