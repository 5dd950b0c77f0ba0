"""Schedules: what is stored of them, and their ticks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.domain.schedule import Change, Schedule

MakeJob = Callable[[Schedule, JobId, datetime | None], NewJob]
"""(schedule, id, run_at) -> the job of a tick, with the policy that its queue has now. Raises JobsError where the template no
longer makes one. Called inside the transaction, on any thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """One turn of ticking: at most so many schedules, and so many jobs. cancel_within: what CANCEL_OLD gives a running job."""

    schedules: int
    jobs: int
    cancel_within: timedelta
    make: MakeJob


class Fired(NamedTuple):
    """What a turn did. seen: schedules whose time had come. missed: ticks that never run, by policy.

    late: how late each tick was. refused: (schedule, reason) of ticks whose job could not be made; they are lost.
    more: bounds ended the turn, something is due still.
    """

    seen: int = 0
    late: Sequence[timedelta] = ()
    missed: int = 0
    refused: Sequence[tuple[str, str]] = ()
    more: bool = False


class Schedules(Protocol):
    """Schedules of one store. All raise StoreUnavailable and are safe to repeat."""

    async def change(self, name: str, change: Change) -> Schedule | None:
        """Replace a schedule by `change(stored, now)`, alone with it, and return the new one; None removes it.

        Raises what `change` raises, and QuotaExceeded where there is no room for its queue and kind, or for another schedule.
        """
        ...

    async def get(self, name: str) -> Schedule | None:
        """Return a schedule."""
        ...

    async def page(self, after: str, limit: int) -> Sequence[Schedule]:
        """Return at most `limit` schedules by name, from the first one behind `after`."""
        ...

    async def fire(self, firing: Firing) -> Fired:
        """Do what `domain.schedule_ticks.decide` says for schedules whose `wake_at` has come, the longest due ones first.

        A tick is one row (schedule, time), stored with its job and the schedule's next tick in one transaction: whoever else does
        this at the same time, on whatever replica, finds it done. Calls Room.arrived.
        """
        ...

    async def forget_ticks(self, older_than: timedelta, limit: int) -> int:
        """Drop at most `limit` rows of old ticks; returns how many. Schedules never go back to their times."""
        ...
