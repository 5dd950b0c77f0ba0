"""Jobs that follow: stored in the transaction that ends the job whose envelope names them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import CHILD_SKIPPED, Complete, may_note_skipped
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, upsert
from protojobs_service.drivers.sql.cold.dispatch import LaneIds, store_within
from protojobs_service.drivers.sql.cold.queue_use import lock_queue_uses
from protojobs_service.drivers.sql.cold.running import Ended, Ending
from protojobs_service.drivers.sql.cold.waiting import Arrival
from protojobs_service.drivers.sql.tables import HAS_FOLLOW_UPS
from protojobs_service.port.driver import FollowUps

Pair = tuple[str, str]
"""(queue, kind)."""

_FOLLOWED = (State.COMPLETED, State.FAILED)


class LanesMissing(Exception):
    """The transaction needs lanes that are not known: roll it back, make them, and run it again."""

    def __init__(self, pairs: Collection[Pair]) -> None:
        """`pairs`: (queue, kind) of each."""
        super().__init__("lanes are missing")
        self.pairs = frozenset(pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Children:
    """How jobs are stored that the end of another one brings.

    full: pairs that there is no room for. ids: the range that can be stored. bounded: queues with a max_depth. base: the first of
    their positions.
    """

    follow_ups: FollowUps
    lanes: LaneIds
    full: Collection[Pair]
    ids: tuple[bytes, bytes]
    bounded: Collection[str]
    base: int


def children_of(endings: Sequence[Ending]) -> list[NewJob]:
    """Return the jobs that handlers dispatch with their completions."""
    return [child for ending in endings if isinstance(ending.outcome, Complete) for child in ending.outcome.children]


def lock_depths(c: Connection, cold: Cold, endings: Sequence[Ending], how: Children) -> None:
    """Lock the queues with a max_depth that these outcomes may bring jobs to.

    Before the keys of what ends are freed, because a dispatch locks its queues before it asks for keys. Nothing is read where no
    queue has a max_depth.
    """
    if not how.bounded:
        return
    queues = {child.queue for child in children_of(endings)}
    followed = {e.attempt.id: e for e in endings if e.attempt.flags & HAS_FOLLOW_UPS}
    job = cold.tables.job
    for some in chunks(sorted(followed)):
        for job_id, envelope in c.execute(select(job.c.id, job.c.envelope).where(among(job.c.id, some))):
            ending = followed[job_id]
            completes = isinstance(ending.outcome, Complete)
            jobs = how.follow_ups.of(JobId(job_id), ending.attempt.attempt, envelope, completed=completes)
            queues |= {child.queue for child in jobs}
    if queues := queues.intersection(how.bounded):
        lock_queue_uses(c, cold, queues)


def following(c: Connection, cold: Cold, endings: Sequence[Ending], ended: Sequence[Ended], follow_ups: FollowUps) -> list[NewJob]:
    """Return the jobs that follow what has ended; nothing is read where no row says that there are any."""
    completed = {
        ending.attempt.id: (ending.attempt.attempt, state is State.COMPLETED)
        for ending, (state, _) in zip(endings, ended, strict=True)
        if ending.attempt.flags & HAS_FOLLOW_UPS and state in _FOLLOWED
    }
    job = cold.tables.job
    jobs: list[NewJob] = []
    for some in chunks(sorted(completed)):
        for job_id, envelope in c.execute(select(job.c.id, job.c.envelope).where(among(job.c.id, some)).order_by(job.c.id)):
            attempt, is_completed = completed[job_id]
            jobs += follow_ups.of(JobId(job_id), attempt, envelope, completed=is_completed)
    return jobs


def store_children(c: Connection, cold: Cold, jobs: Sequence[NewJob], how: Children) -> tuple[list[NewJob], set[Arrival]]:
    """Store jobs; what exists or cannot be stored is left out and returned. Raises LanesMissing."""
    if not jobs:
        return [], set()
    missing = {(job.queue, job.kind) for job in jobs} - how.lanes.keys() - set(how.full)
    if missing:
        raise LanesMissing(missing)
    first: dict[JobId, NewJob] = {}
    for job in jobs:
        if (job.queue, job.kind) in how.lanes and how.ids[0] <= job.id < how.ids[1]:
            first.setdefault(job.id, job)
    stored, _ = store_within(c, cold, list(first.values()), how.lanes, how.base, how.bounded)
    return [job for job in jobs if job.id not in stored.states or first[job.id] is not job], stored.arrivals


def note_skipped(c: Connection, cold: Cold, endings: Sequence[Ending], skipped: Sequence[NewJob]) -> None:
    """Note on each attempt whose children were left out that it was so, where its reason says nothing else."""
    parents = {job.parent for job in skipped}
    noted = [
        {"id": ending.attempt.id, "attempt": ending.attempt.attempt, "reason": CHILD_SKIPPED}
        for ending in endings
        if ending.attempt.id in parents and may_note_skipped(ending.outcome)
    ]
    upsert(c, cold.tables.attempt_detail, noted, replaces=["reason"])
