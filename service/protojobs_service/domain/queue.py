"""Settings of a queue."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from protojobs_service.domain.retry import DEFAULT_POLICY, Policy, PolicyChanges


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long finished jobs stay after their end; failed covers FAILED and EXPIRED."""

    completed: timedelta = timedelta(days=7)
    failed: timedelta = timedelta(days=30)
    cancelled: timedelta = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """What an operator may set of a queue; the defaults are those of a queue that nobody has set up."""

    name: str
    paused: bool = False
    retry: PolicyChanges = field(default_factory=PolicyChanges)
    retention: Retention = field(default_factory=Retention)
    strict_leases: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def policy(self) -> Policy:
        """Return the policy of jobs that set nothing."""
        return self.retry.over(DEFAULT_POLICY)
