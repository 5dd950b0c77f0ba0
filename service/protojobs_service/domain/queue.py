"""Settings of a queue."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from protojobs_service.domain.queue_limits import Overflow, RateLimit
from protojobs_service.domain.retry import DEFAULT_POLICY, Policy, PolicyChanges


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long finished jobs stay after their end; failed covers FAILED and EXPIRED."""

    completed: timedelta = timedelta(days=7)
    failed: timedelta = timedelta(days=30)
    cancelled: timedelta = timedelta(days=7)


class EventLevel(Enum):
    """Which events those hear who watch the queue."""

    FINAL = 1
    """What ends a job, and what is retried."""
    ALL = 2
    """Starts and progress too."""


class History(Enum):
    """What is remembered of attempts, an hour after their job has ended."""

    ALL = 1
    """Every attempt."""
    FAILURES = 2
    """Attempts that did not complete."""
    NONE = 3
    """Only the final outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """Whether the fairness keys of a queue share it, and by which weights, 1 to 1000; keys that are not named have 1."""

    enabled: bool = False
    weights: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """What an operator may set of a queue; the defaults are those of a queue that nobody has set up.

    max_in_flight, max_depth: 0 means no limit. max_payload_bytes: 0 means the server's.
    per_key_limit: how many jobs of one concurrency key may run at once, at least 1.
    aging: by each such span that a job waits it counts as one priority higher; None: priority alone decides.
    """

    name: str
    paused: bool = False
    retry: PolicyChanges = field(default_factory=PolicyChanges)
    retention: Retention = field(default_factory=Retention)
    strict_leases: bool = False
    rate_limit: RateLimit | None = None
    max_in_flight: int = 0
    max_depth: int = 0
    overflow: Overflow = Overflow.REJECT
    history: History = History.ALL
    events: EventLevel = EventLevel.FINAL
    max_payload_bytes: int = 0
    per_key_limit: int = 1
    fairness: Fairness = field(default_factory=Fairness)
    aging: timedelta | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def policy(self) -> Policy:
        """Return the policy of jobs that set nothing."""
        return self.retry.over(DEFAULT_POLICY)

    @property
    def limits_leases(self) -> bool:
        """Tell whether leases from the queue are counted: it has a rate or a number of jobs that may run at once."""
        return self.rate_limit is not None or self.max_in_flight > 0
