"""The max_depth of queues: which new jobs there is room for, decided while the rows of the queues are locked.

Exact for what is dispatched: two transactions never count the same state of a queue, and what they cannot see yet only errs
towards fewer. What comes back (a retry, a release, Retry) is never refused, so that a queue may hold more than its max_depth.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import product
from typing import Any

from sqlalchemy import Connection, select, union_all

from protojobs_service.domain.job import NewJob
from protojobs_service.domain.lifecycle import WAITING_STATES
from protojobs_service.domain.queue import QueueSettings
from protojobs_service.domain.queue_limits import Overflow
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks
from protojobs_service.drivers.sql.cold.delete import delete_jobs
from protojobs_service.drivers.sql.cold.grants import lock_queues
from protojobs_service.drivers.sql.cold.keys import Place
from protojobs_service.drivers.sql.cold.unique import held_keys
from protojobs_service.drivers.sql.mysql_keys import BY_KEY

_BANDS = range(1, 10)
_SPOTS = 90


class Depth:
    """The room of queues with a max_depth, in one transaction that has locked them."""

    def __init__(self, c: Connection, cold: Cold, queues: Collection[str]) -> None:
        """Lock and count these queues; with none of them nothing is asked."""
        self._c, self._cold = c, cold
        self._new: Counter[str] = Counter()
        self._keys: dict[Place, bool] = {}
        self._holders: dict[Place, bytes] = {}
        locked = lock_queues(c, cold, queues) if queues else {}
        self._settings = {name: settings for name, (settings, _) in locked.items() if settings.max_depth}
        self._depths = {name: sum(locked[name][1].counts[state] for state in WAITING_STATES) for name in self._settings}

    def admit(self, job: NewJob) -> bool:
        """Tell whether a new job may be stored: its queue has room, or drops an older job than those of this call for it."""
        settings = self._settings.get(job.queue)
        if settings is None:
            return True
        if job.unique is None:
            return self._admit(job, settings)
        place = job.queue, job.unique.key
        if place not in self._keys:
            self._keys[place] = self._admit(job, settings)
        return self._keys[place]

    def ask_keys(self, jobs: Iterable[NewJob]) -> None:
        """Look who has the unique keys of jobs that are to be admitted.

        A job whose key another one has needs no room: it is not stored, or ends that one. Jobs of one call with one key need one
        place.
        """
        asking = [job for job in jobs if job.unique is not None and job.queue in self._settings]
        if asking:
            held = held_keys(self._c, self._cold, asking)
            self._holders |= held
            self._keys |= dict.fromkeys(held, True)

    def _admit(self, job: NewJob, settings: QueueSettings) -> bool:
        waiting = 0 if settings.overflow is Overflow.DROP_OLDEST else self._depths[job.queue]
        fits = waiting + self._new[job.queue] < settings.max_depth
        self._new[job.queue] += fits
        return fits

    def make_room(self) -> None:
        """Delete the oldest jobs of queues that drop them, before what was admitted is stored."""
        for queue, settings in self._settings.items():
            if settings.overflow is Overflow.DROP_OLDEST and self._new[queue]:
                self._drop(queue, settings.max_depth)

    def _drop(self, queue: str, max_depth: int) -> None:
        """Delete until there is room; a job whose key a deleted one had is stored now, and needs room, too."""
        while (drop := self._depths[queue] + self._new[queue] - max_depth) > 0:
            oldest = set(_oldest(self._c, self._cold, queue, drop))
            if not oldest:
                return
            delete_jobs(self._c, self._cold, sorted(oldest))
            self._depths[queue] -= len(oldest)
            freed = [place for place, holder in self._holders.items() if holder in oldest]
            for place in freed:
                del self._holders[place]
            self._new[queue] += len(freed)


def refused(c: Connection, cold: Cold, jobs: Iterable[NewJob], bounded: Collection[str]) -> set[bytes]:
    """Return the ids of new jobs that there is no room for; makes the room that is to be made. bounded: queues with a max_depth."""
    mine = [job for job in jobs if job.queue in bounded]
    depth = Depth(c, cold, {job.queue for job in mine})
    depth.ask_keys(mine)
    full: set[bytes] = {job.id for job in mine if not depth.admit(job)}
    depth.make_room()
    return full


def _oldest(c: Connection, cold: Cold, queue: str, n: int) -> Sequence[bytes]:
    """Return the pending jobs that came first, and where there are fewer, the waiting ones with the lowest ids."""
    lane, ready, held, due = cold.tables.lane, cold.tables.ready, cold.tables.held, cold.tables.due
    lanes = list(c.execute(select(lane.c.id).where(lane.c.queue == queue)).scalars())
    spots: list[Any] = []
    for number, band in product(lanes, _BANDS):
        of_spot = select(ready.c.position, ready.c.id).where(ready.c.lane == number, ready.c.band == band)
        first = of_spot.with_hint(ready, BY_KEY, "mysql").order_by(ready.c.position, ready.c.id).limit(n).subquery()
        spots.append(select(first.c.position, first.c.id))
    firsts: list[tuple[int, bytes]] = []
    for start in range(0, len(spots), _SPOTS):
        firsts += [(row.position, row.id) for row in c.execute(union_all(*spots[start : start + _SPOTS]))]
    first_held = select(held.c.position, held.c.id).where(held.c.queue == queue).order_by(held.c.position, held.c.id).limit(n)
    firsts += [(row.position, row.id) for row in c.execute(first_held)]
    found = [job_id for _, job_id in sorted(firsts)[:n]]
    for some in chunks(lanes):
        if len(found) < n:
            rest = select(due.c.id).where(among(due.c.lane, some)).order_by(due.c.id).limit(n - len(found))
            found += c.execute(rest).scalars()
    return found
