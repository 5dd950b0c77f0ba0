"""Storing, leasing and ending jobs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple, Protocol

from protojobs_service.domain.filter import EVERY_JOB, Filter
from protojobs_service.domain.job import AttemptRecord, Handle, JobId, JobRecord, Lease, NewJob, Progress
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.lots import LOT_BYTES
from protojobs_service.domain.outcome import Outcome
from protojobs_service.domain.retry import Policy

Brief = Callable[[bytes], bytes]
"""envelope -> what is kept of it where nobody asks for payloads. Handed down because only the wire can read an envelope."""


class DispatchVerdict(Enum):
    """What became of a job to store."""

    CREATED = 1
    EXISTING = 2
    REUSED = 3
    """The id belongs to a job with another fingerprint."""
    ABORTED = 4
    """atomic: another item was refused; nothing was stored."""
    UNAVAILABLE = 5
    """This item cannot be stored now (its day has no partition); safe to retry."""
    FULL = 6
    """As many jobs wait in the queue as its max_depth allows."""
    DUPLICATE = 7
    """Another job has its unique key; nothing was stored."""
    REPLACED = 8
    """Stored; it has ended another job of its unique key."""


class Dispatched(NamedTuple):
    """Answer to one NewJob, with its state at the commit; None where nothing is stored or the job is deleted.

    holder: the other job that had its unique key. With EXISTING that one is the answer, and `state` is its state.
    """

    verdict: DispatchVerdict
    state: State | None
    holder: JobId | None = None


class Claim(NamedTuple):
    """A session's wish for jobs. queues in the order to try; kinds None means all; `barred` are kinds it must not get.

    limit >= 1 jobs; max_bytes of envelopes, 0 means no bound (the first job is taken whatever its size).
    """

    handle: Handle
    queues: tuple[str, ...]
    kinds: frozenset[str] | None
    barred: frozenset[str]
    limit: int
    max_bytes: int


class Settlement(NamedTuple):
    """The outcome of one attempt, under the compare-and-set on (id, attempt, handle).

    Where that fails, the session of the handle decides what is answered: ALREADY, RETRY_LATER or SUPERSEDED.
    by_server: not the session's own word, so a later one of the session for this attempt is SUPERSEDED, never ALREADY.
    """

    id: JobId
    attempt: int
    handle: Handle
    outcome: Outcome
    by_server: bool = False


class SettleVerdict(Enum):
    """What became of a settlement."""

    OK = 1
    ALREADY = 2
    """The session of the handle has ended this attempt before; `state` is the job's state now."""
    SUPERSEDED = 3
    RETRY_LATER = 5
    """The lease stands under another handle of the same session: a resume is on its way."""


class Settled(NamedTuple):
    """Answer to one Settlement. next_at for SCHEDULED and RETRYING."""

    verdict: SettleVerdict
    state: State | None
    next_at: datetime | None = None


class News(NamedTuple):
    """Progress and checkpoint of a running attempt; None leaves what is stored."""

    id: JobId
    attempt: int
    handle: Handle
    progress: Progress | None
    checkpoint: bytes | None


class CancelResult(NamedTuple):
    """found False: no such job. state after the call: CANCELLED, RUNNING (asked), or the final state it had before."""

    found: bool
    state: State | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retake:
    """A Retry. expected_attempt 0: whatever is final now. envelope None: keep it. run_at None: at once.

    over: what `envelope` was made of; another one that is stored by now is not overwritten.
    """

    id: JobId
    expected_attempt: int = 0
    envelope: bytes | None = None
    over: bytes | None = None
    run_at: datetime | None = None
    expire_at: datetime | None = None


class RetakeResult(NamedTuple):
    """state after the call. already: the job had gone on from expected_attempt before."""

    found: bool
    state: State | None
    already: bool = False
    refused: bool = False
    """PENDING or RUNNING (JOB_NOT_FINAL)."""
    duplicate: JobId | None = None
    """Nothing was done: this other job has the unique key."""
    changed: bool = False
    """Another envelope than `over` is stored; nothing was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """Which jobs; empty means any; all that is set must hold. after: the last id of the previous page, excluded.

    brief: of each envelope only this is kept, and neither results nor stacks. A page ends before a job with which more than
    max_bytes of envelopes, results and errors were read for it; the first one comes whatever its size.
    """

    queues: Sequence[str] = ()
    kinds: Sequence[str] = ()
    states: Sequence[State] = ()
    labels: Mapping[str, str] | None = None
    parent: JobId | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    where: Filter = EVERY_JOB
    after: JobId | None = None
    newest_first: bool = True
    limit: int = 50
    max_bytes: int = LOT_BYTES
    brief: Brief | None = None


class JobPage(NamedTuple):
    """Some of the jobs that a query names. after: where the next ones begin; None: there are none."""

    jobs: Sequence[JobRecord]
    after: JobId | None


class Outline(NamedTuple):
    """A job as those see it who act on many. priority 1 to 9.

    changed_at: when its last attempt ended, or when it was stored where none has. size: bytes of its envelope; 0: its payload is no
    longer kept.
    """

    id: JobId
    queue: str
    priority: int
    state: State
    attempt: int
    changed_at: datetime
    size: int


class Selection(NamedTuple):
    """Jobs that a query names, in its order. after: where to go on, None at the end."""

    jobs: Sequence[Outline]
    after: JobId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """An UpdateJob; None leaves what is stored. The functions must be pure: they may be called again.

    envelope: of the stored one makes the new one, which says all that is said here. start: a time, or a delay from the store's now;
    one that has passed means at once. labels replace all. policy: of the queue's name and the job's policy makes the new one.
    """

    id: JobId
    envelope: Callable[[bytes], bytes]
    queue: str | None = None
    priority: int | None = None
    start: datetime | timedelta | None = None
    labels: Mapping[str, str] | None = None
    policy: Callable[[str, Policy], Policy] | None = None


class EditResult(NamedTuple):
    """state after the call; RUNNING and final jobs are left as they are.

    duplicate: the job was to move, and this other one has its unique key there; nothing was done, and state is None.
    """

    found: bool
    state: State | None
    duplicate: JobId | None = None


class Jobs(Protocol):
    """Jobs of one store. Concurrent calls may be merged into one transaction; every call is answered after its commit.

    All raise StoreUnavailable (the outcome is unknown then; every call is safe to repeat with the same arguments).
    """

    async def dispatch(self, jobs: Sequence[NewJob], *, atomic: bool = False) -> Sequence[Dispatched]:
        """Store jobs: SCHEDULED where a future time is given, RUNNING where Room had a place, else PENDING. Answers by place.

        A known id never runs twice: EXISTING if queue, kind, content type and payload are the same, else REUSED, also after
        the job has finished. The same id twice in one call or in merged calls: the first place decides. Envelopes must hold the id.
        Then the unique keys, by place, as `domain.unique.decide` says: never two jobs have one. atomic: a DUPLICATE refuses all.
        A queue at its max_depth takes no new id (FULL), or the oldest of its waiting jobs are deleted for it (Overflow). Who meets
        the holder of a key needs no room: nothing is stored, or the holder ends.
        """
        ...

    async def claim(self, claims: Sequence[Claim]) -> Sequence[Lease]:
        """Move pending jobs to running, under the next attempt, for handles with room; by queue order, priority, arrival.

        A job reaches only a handle whose claim names its queue and kind. Closed handles get nothing. Jobs whose expire_at has
        passed are not leased. No more is leased than the queue's max_in_flight and rate_limit allow over all replicas; where that
        leaves places empty, Room.held_back is told. Of a concurrency key no more jobs run than its queue's per_key_limit, in the
        order in which they became PENDING; with a limit of 1 the next one waits for the end of one that is RETRYING, too.
        """
        ...

    async def settle(self, items: Sequence[Settlement]) -> Sequence[Settled]:
        """End attempts as `domain.outcome.decide` says; answers by place. Children of a Complete stand in the same transaction,
        and so do the follow-ups of a job that completes or fails, here or by `rescue`.

        One accepted outcome per attempt; an item that this session has ended before, by its own word, is ALREADY, any other
        SUPERSEDED. Children that exist, for which there is no room (QuotaExceeded), or whose unique key another job has, are left
        out: the completion holds, and says CHILD_SKIPPED as its reason.
        """
        ...

    async def update(self, items: Sequence[News]) -> Sequence[bool]:
        """Store progress and checkpoints of running attempts; False where the lease is not this session's."""
        ...

    async def cancel(self, ids: Sequence[JobId], deadline: timedelta) -> Sequence[CancelResult]:
        """End waiting jobs as CANCELLED (under the next attempt number); ask for the end of running ones within `deadline`."""
        ...

    async def retake(self, items: Sequence[Retake]) -> Sequence[RetakeResult]:
        """Move final jobs back to PENDING (SCHEDULED with run_at), failures and crashes 0, attempt kept; run waiting ones now.

        Compare-and-set on the final attempt: a repeat with the same expected_attempt changes nothing. A final job takes its unique
        key again; where another job has it, nothing is done.
        """
        ...

    async def edit(self, items: Sequence[Edit]) -> Sequence[EditResult]:
        """Change jobs that wait, one after the other where one is named twice; answers by place.

        A PENDING job takes a new place, behind all others of its priority; no lease made later has what was there before. The id
        stays known for what was dispatched first. Raises QuotaExceeded, Conflict, and what the functions of an Edit raise; then
        nothing of the call has changed.
        """
        ...

    async def delete(self, ids: Sequence[JobId]) -> Sequence[CancelResult]:
        """Remove jobs that are not RUNNING, with their history; the ids stay taken, and may be deleted again.

        state RUNNING where refused, else None.
        """
        ...

    async def get(self, ids: Sequence[JobId]) -> Sequence[JobRecord | None]:
        """Return jobs in one snapshot; None where unknown or deleted."""
        ...

    async def list(self, query: ListQuery) -> JobPage:
        """Return jobs by id order, at most `limit` and `max_bytes`, having looked at a bounded number of others.

        None may be returned although more follow.
        """
        ...

    async def select(self, query: ListQuery) -> Selection:
        """Return outlines of jobs by id order, at most `limit`, having looked at a bounded number of others.

        None may be returned although more follow.
        """
        ...

    async def outline(self, ids: Sequence[JobId]) -> Sequence[Outline | None]:
        """Return outlines in one snapshot; None where unknown or deleted."""
        ...

    async def attempts(self, job_id: JobId) -> Sequence[AttemptRecord] | None:
        """Return all attempts, oldest first, the running one last; None where the job is unknown."""
        ...

    async def promote(self, limit: int) -> int:
        """Move due SCHEDULED and RETRYING jobs to PENDING in order of their time, at most `limit`; calls Room.arrived.

        Returns how many.
        """
        ...

    async def unhold(self, limit: int) -> int:
        """Look at `limit` concurrency keys, going on where the last call stopped, and let jobs of those with room be claimed.

        Who frees a place gives it on at once; this is for limits that were raised. Calls Room.arrived; returns how many keys, or
        `limit` while it should go on at once: after a limit was changed.
        """
        ...

    async def expire(self, limit: int) -> int:
        """End at most `limit` jobs as EXPIRED that wait past their expire_at and of which no attempt has ended but by release."""
        ...

    async def prune(self, limit: int) -> int:
        """Drop what retention no longer keeps, at most `limit` jobs; inside the id window only payload, result and errors."""
        ...
