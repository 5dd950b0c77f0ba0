"""Labels of metrics: users may make any number of queues and kinds, and a metric has no more labels than these."""

from collections.abc import Mapping
from types import MappingProxyType

from protojobs_service.domain.lifecycle import State

OTHER = "_OTHER"
"""All names beyond a bound, as one; and the kind of jobs of which it is not at hand."""
MAX_QUEUE_LABELS, MAX_KIND_LABELS = 100, 500
MAX_ENDED_SERIES = 1000
"""(queue, kind, outcome); beyond it kinds are `OTHER`. With those of 101 queues and 9 outcomes it stays below 2000, at which the
SDK of OpenTelemetry adds up what is further."""

OUTCOMES: Mapping[State, str] = MappingProxyType(
    {
        State.COMPLETED: "completed",
        State.FAILED: "failed",
        State.CANCELLED: "cancelled",
        State.EXPIRED: "expired",
        State.RETRYING: "retried",
        State.SCHEDULED: "snoozed",
        State.PENDING: "released",
        State.RUNNING: "running",
    }
)
"""What the end of an attempt is called, by the state that its job has then."""
CRASHED = "crashed"
"""An attempt whose worker died, and that is made again."""


class Labels:
    """Lets the first `most` names through, and says `OTHER` for all that come later and for the empty one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: set[str] = set()

    def of(self, name: str) -> str:
        """Return the label of a name; the same for ever."""
        if name in self._names:
            return name
        if not name or len(self._names) >= self._most:
            return OTHER
        self._names.add(name)
        return name
