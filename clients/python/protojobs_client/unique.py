"""Unique keys: at most one job of a key, within its queue and scope."""

from dataclasses import KW_ONLY, dataclass
from enum import Enum

from protojobs_client.models import Seconds


class UniqueScope(Enum):
    """When the key is free again."""

    UNTIL_START = "until_start"  # once a worker has got the job; its retries do not take the key again
    UNTIL_DONE = "until_done"  # once the job is final
    WINDOW = "window"  # a while after the dispatch, whatever becomes of the job


class OnConflict(Enum):
    """What becomes of a job whose key another one has."""

    REJECT = "reject"  # DuplicateJobError, with the id of the other one
    RETURN_EXISTING = "return_existing"  # the other one is the answer, outcome EXISTING
    REPLACE = "replace"  # the other one ends as cancelled, unless it runs (or has ended within its window): then as REJECT
    DEBOUNCE = "debounce"  # as REPLACE; never starts sooner than the other one was to. Needs a delay


@dataclass(frozen=True, slots=True)
class Unique:
    """A key of 1 to 256 bytes, compared byte by byte. window: of scope WINDOW, and of no other; 1 s to 365 days.

    Raises ValueError for what no server could take.
    """

    key: str
    _: KW_ONLY
    scope: UniqueScope = UniqueScope.UNTIL_DONE
    window: Seconds | None = None
    on_conflict: OnConflict = OnConflict.REJECT

    def __post_init__(self) -> None:
        if not self.key:
            raise ValueError("a unique key must not be empty")
        if (self.scope is UniqueScope.WINDOW) != (self.window is not None):
            raise ValueError("a window belongs to scope WINDOW, and to no other")
