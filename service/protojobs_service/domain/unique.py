"""Unique keys: of all jobs of a queue that name one key, at most one has it. Who gets it is decided here and nowhere else."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, assert_never

from protojobs_service.domain.lifecycle import WAITING_STATES, State

if TYPE_CHECKING:
    from protojobs_service.domain.job import JobId, NewJob


class UniqueScope(Enum):
    """When a key is free again."""

    UNTIL_START = 1
    """Once a worker has leased the job, for good: a retry of the policy, a release and a snooze do not take it again."""
    UNTIL_DONE = 2
    """Once the job is final."""
    WINDOW = 3
    """`window` after it was taken, whatever becomes of the job."""


class OnConflict(Enum):
    """What becomes of a job whose key another one has."""

    REJECT = 1
    RETURN_EXISTING = 2
    REPLACE = 3
    """The other job ends as CANCELLED with reason REPLACED if no attempt of it runs; else as REJECT."""
    DEBOUNCE = 4
    """As REPLACE, and the new job starts no sooner than the other one was to."""


REPLACED = "REPLACED"
"""Reason of a job that another one of its key has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unique:
    """The key of a job. window: of scope WINDOW, and of no other."""

    key: str
    scope: UniqueScope
    window: timedelta | None = None
    on_conflict: OnConflict = OnConflict.REJECT

    @property
    def replaces(self) -> bool:
        """Tell whether the job may end another one."""
        return self.on_conflict in (OnConflict.REPLACE, OnConflict.DEBOUNCE)

    def until(self, now: datetime) -> datetime | None:
        """Return when a key that is taken `now` is free again by time alone; None: never."""
        return None if self.window is None else now + self.window


class Holder(NamedTuple):
    """The job that has a key. state None: it is gone, and its window is not over. due_at: of SCHEDULED and RETRYING."""

    id: "JobId"
    state: State | None
    due_at: datetime | None = None


class Verdict(Enum):
    """What becomes of a job that asks for a key."""

    TAKES = 1
    """The key was free."""
    REPLACES = 2
    """The holder ends, the job is stored."""
    EXISTING = 3
    """Nothing is stored: the holder is the answer."""
    DUPLICATE = 4
    """Nothing is stored: refused because of the holder."""


class Decision(NamedTuple):
    """holder: who had the key. due_at: when the job is to start where it is stored and does not start at once."""

    verdict: Verdict
    holder: Holder | None
    due_at: datetime | None = None


def guards(scope: UniqueScope, state: State | None, *, unleased: bool, in_time: bool) -> bool:
    """Tell whether a key that was taken still keeps others out.

    state: of its job, None where that is gone. unleased: no worker has had the job since the key was taken. in_time: the window is
    not over.
    """
    match scope:
        case UniqueScope.UNTIL_START:
            return unleased and state in WAITING_STATES
        case UniqueScope.UNTIL_DONE:
            return state is not None and not state.is_final
        case UniqueScope.WINDOW:
            return in_time
        case _:
            assert_never(scope)


def decide(holder: Holder | None, jobs: "Sequence[NewJob]", now: datetime) -> list[Decision]:
    """Return what becomes of jobs that ask for one key, one after the other; holder None: it is free."""
    decisions: list[Decision] = []
    for job in jobs:
        decision = _decide_one(holder, job, now)
        decisions.append(decision)
        if decision.verdict in (Verdict.TAKES, Verdict.REPLACES):
            state = State.PENDING if decision.due_at is None else State.SCHEDULED
            holder = Holder(job.id, state, decision.due_at)
    return decisions


def _decide_one(holder: Holder | None, job: "NewJob", now: datetime) -> Decision:
    assert job.unique is not None, "a job without a key asks for none"
    at = job.run_at if job.delay is None else now + job.delay
    due_at = at if at is not None and at > now else None
    if holder is None:
        return Decision(Verdict.TAKES, None, due_at)
    match job.unique.on_conflict:
        case OnConflict.REJECT:
            return Decision(Verdict.DUPLICATE, holder)
        case OnConflict.RETURN_EXISTING:
            return Decision(Verdict.EXISTING, holder)
        case OnConflict.REPLACE | OnConflict.DEBOUNCE:
            if holder.state not in WAITING_STATES:
                return Decision(Verdict.DUPLICATE, holder)
            if job.unique.on_conflict is OnConflict.DEBOUNCE and holder.due_at is not None:
                due_at = max(due_at or now, holder.due_at)
            return Decision(Verdict.REPLACES, holder, due_at)
        case _:
            assert_never(job.unique.on_conflict)
