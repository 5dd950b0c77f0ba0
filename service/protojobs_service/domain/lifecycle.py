"""The life of a job: states, events, and the one table of transitions between them.

docs/lifecycle.md is drawn from it. The memory driver asserts each move against its pairs of states, and a test holds
`domain.outcome.decide` to it. The SQL drivers never look at it: what holds them to the same moves is the random walk in
`tests/contract`. `advance` has no other caller than tests.
"""

from enum import Enum, IntEnum


class State(Enum):
    """Where a job stands."""

    SCHEDULED = 1
    PENDING = 2
    RUNNING = 3
    RETRYING = 4
    COMPLETED = 5
    FAILED = 6
    CANCELLED = 7
    EXPIRED = 8

    @property
    def is_final(self) -> bool:
        """Tell whether nothing but Retry or delete can happen any more."""
        return self in FINAL_STATES


FINAL_STATES = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED, State.EXPIRED})
WAITING_STATES = frozenset({State.SCHEDULED, State.PENDING, State.RETRYING})


class Event(Enum):
    """What can happen to a job."""

    BECOME_DUE = "become due"
    LEASE = "lease"
    COMPLETE = "complete"
    FAIL_AND_RETRY = "fail, retry left"
    FAIL_FOR_GOOD = "fail, no retry left"
    SNOOZE = "snooze"
    RELEASE = "release"
    RELEASE_AND_WAIT = "release, third in a row"
    CRASH = "session dies"
    CRASH_AND_WAIT = "session dies again"
    POISON = "session dies, max_crashes"
    CANCEL = "cancel"
    EXPIRE = "expire_time passed while it waited"
    RETRY = "Retry"
    RETRY_LATER = "Retry with run_time"
    UPDATE = "UpdateJob"
    UPDATE_LATER = "UpdateJob with run_time"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.SCHEDULED, Event.BECOME_DUE): State.PENDING,
    (State.SCHEDULED, Event.RETRY): State.PENDING,
    (State.SCHEDULED, Event.RETRY_LATER): State.SCHEDULED,
    (State.SCHEDULED, Event.CANCEL): State.CANCELLED,
    (State.SCHEDULED, Event.EXPIRE): State.EXPIRED,
    (State.PENDING, Event.LEASE): State.RUNNING,
    (State.PENDING, Event.CANCEL): State.CANCELLED,
    (State.PENDING, Event.EXPIRE): State.EXPIRED,
    (State.SCHEDULED, Event.UPDATE): State.SCHEDULED,
    (State.SCHEDULED, Event.UPDATE_LATER): State.SCHEDULED,
    (State.PENDING, Event.UPDATE): State.PENDING,
    (State.PENDING, Event.UPDATE_LATER): State.SCHEDULED,
    (State.RETRYING, Event.UPDATE): State.RETRYING,
    (State.RETRYING, Event.UPDATE_LATER): State.RETRYING,
    (State.RUNNING, Event.COMPLETE): State.COMPLETED,
    (State.RUNNING, Event.FAIL_AND_RETRY): State.RETRYING,
    (State.RUNNING, Event.FAIL_FOR_GOOD): State.FAILED,
    (State.RUNNING, Event.SNOOZE): State.SCHEDULED,
    (State.RUNNING, Event.RELEASE): State.PENDING,
    (State.RUNNING, Event.RELEASE_AND_WAIT): State.SCHEDULED,
    (State.RUNNING, Event.CRASH): State.PENDING,
    (State.RUNNING, Event.CRASH_AND_WAIT): State.RETRYING,
    (State.RUNNING, Event.POISON): State.FAILED,
    (State.RUNNING, Event.CANCEL): State.CANCELLED,
    (State.RUNNING, Event.EXPIRE): State.EXPIRED,
    (State.RETRYING, Event.BECOME_DUE): State.PENDING,
    (State.RETRYING, Event.RETRY): State.PENDING,
    (State.RETRYING, Event.RETRY_LATER): State.SCHEDULED,
    (State.RETRYING, Event.CANCEL): State.CANCELLED,
    (State.COMPLETED, Event.RETRY): State.PENDING,
    (State.FAILED, Event.RETRY): State.PENDING,
    (State.CANCELLED, Event.RETRY): State.PENDING,
    (State.EXPIRED, Event.RETRY): State.PENDING,
    (State.COMPLETED, Event.RETRY_LATER): State.SCHEDULED,
    (State.FAILED, Event.RETRY_LATER): State.SCHEDULED,
    (State.CANCELLED, Event.RETRY_LATER): State.SCHEDULED,
    (State.EXPIRED, Event.RETRY_LATER): State.SCHEDULED,
}


class IllegalTransition(Exception):
    """The table has no such transition: a defect of the caller, never of a client."""


def advance(state: State, event: Event) -> State:
    """Return the state after `event`; raises IllegalTransition where the table has none."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"{state.name} does not allow {event.name}") from None


class Code(IntEnum):
    """Outcome codes of attempts as drivers store them (`done.outcome`).

    Numbers of that column only: `State` and the contract's AttemptOutcome give the same names other ones.

    1-5 are final and stand at most once per job; 9-12 end an attempt and not its job; 21-24 are final outcomes that Retry has taken
    back (final code + 20). RETRIED: the attempt failed and policy retries the job. COMPLETED_RETRIED and the like: the job had
    ended and was taken up again by hand. DELETED is a tombstone: NOT_FOUND for readers, EXISTING for Dispatch.
    """

    COMPLETED = 1
    FAILED = 2
    CANCELLED = 3
    EXPIRED = 4
    DELETED = 5
    RETRIED = 9
    SNOOZED = 10
    RELEASED = 11
    CRASHED = 12
    COMPLETED_RETRIED = 21
    FAILED_RETRIED = 22
    CANCELLED_RETRIED = 23
    EXPIRED_RETRIED = 24

    @property
    def is_final(self) -> bool:
        """Tell whether the job ends with this outcome."""
        return self <= Code.DELETED


RETAKEN = 20
"""Added to a final code when Retry takes the job up again."""

STATE_OF_CODE: dict[int, State] = {
    Code.COMPLETED: State.COMPLETED,
    Code.FAILED: State.FAILED,
    Code.CANCELLED: State.CANCELLED,
    Code.EXPIRED: State.EXPIRED,
}


def mermaid() -> str:
    """Return the transition table as a Mermaid state diagram."""
    lines = [
        "stateDiagram-v2",
        "    [*] --> PENDING: Dispatch",
        "    [*] --> SCHEDULED: Dispatch with delay or run_time",
    ]
    lines += [f"    {before.name} --> {after.name}: {event.value}" for (before, event), after in TRANSITIONS.items()]
    return "\n".join(lines) + "\n"
