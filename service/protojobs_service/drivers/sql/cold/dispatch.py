"""Storing jobs that the hot statement does not: delayed, expiring, labelled, unique, children, and atomic batches."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from protojobs_service.domain.errors import Conflict
from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.unique import REPLACED
from protojobs_service.drivers.sql.cold.base import Cold, delete_ids, insert_all, insert_new, micros, span, tally
from protojobs_service.drivers.sql.cold.depth import Depth, refused
from protojobs_service.drivers.sql.cold.fairness import in_turn
from protojobs_service.drivers.sql.cold.standing import Standing, standing
from protojobs_service.drivers.sql.cold.unique import Keyed, answer_held, key_flags, take_keys
from protojobs_service.drivers.sql.cold.waiting import Arrival, Waiting, end_waiting, put_due, put_ready
from protojobs_service.drivers.sql.tables import HAS_DEADLINE, HAS_FOLLOW_UPS, HAS_KEY
from protojobs_service.port.jobs import Dispatched, DispatchVerdict

_REFUSALS = frozenset({DispatchVerdict.REUSED, DispatchVerdict.UNAVAILABLE})
LaneIds = Mapping[tuple[str, str], int]
"""(queue, kind) -> id of the lane."""


class Stored(NamedTuple):
    """States of the jobs that were created, and where `ready` has got some.

    answers: to jobs that were not stored because of their unique keys, and to those that ended another job.
    """

    states: dict[JobId, State]
    arrivals: set[Arrival]
    answers: Mapping[JobId, Dispatched]

    @property
    def left_out(self) -> list[JobId]:
        """Return the jobs that were not stored because of their unique keys."""
        return [job_id for job_id in self.answers if job_id not in self.states]


class Refused(Exception):
    """An atomic batch in which a unique key is taken: nothing of it may be stored."""

    def __init__(self, answers: Mapping[JobId, Dispatched]) -> None:
        super().__init__("a unique key of an atomic batch is taken")
        self.answers = answers


def band_of(priority: int) -> int:
    """Return where a priority stands in the order of `ready`: the highest first."""
    return 10 - priority


def is_plain(job: NewJob) -> bool:
    """Tell whether the hot statement can store this job: claimable at once, with rows in no other table."""
    # delay, run_at, expire_at, labels, parent, keys, but not accepted_at: all at once, half the price for every job
    return not any(job[6:-1])


def store_jobs(c: Connection, cold: Cold, jobs: Sequence[NewJob], lanes: LaneIds, base: int) -> Stored:
    """Store jobs whose ids come once; known ids are left alone. `base`: the first of as many positions as there are jobs."""
    tables, now = cold.tables, cold.clock(c)
    keyed = [job for job in jobs if job.unique is not None]
    held = answer_held(c, cold, keyed, now) if keyed else {}
    placed = {job.id: base + i for i, job in enumerate(jobs)}
    if cold.replica.fair:
        placed |= _in_turn(c, cold, [job for job in jobs if job.id not in held and _due_at(job, now) is None], lanes, placed)
    ordered = sorted((job for job in jobs if job.id not in held), key=lambda job: job.id)
    rows = [_job_row(job, lanes[job.queue, job.kind], placed[job.id], now) for job in ordered]
    created = set(insert_new(c, tables.job, rows, returning=tables.job.c.id))
    fresh = [job for job in jobs if job.id in created]
    keys = take_keys(c, cold, [job for job in fresh if job.unique is not None], now) if keyed else Keyed()
    if refused := keys.refused:
        delete_ids(c, tables.job, sorted(refused))
        fresh = [job for job in fresh if job.id not in set(refused)]
    due: list[tuple[Waiting, int]] = []
    ready: list[tuple[Waiting, int]] = []
    superseded: list[Waiting] = []
    for job in fresh:
        due_at = keys.due[job.id] if job.id in keys.due else _due_at(job, now)
        state = State.PENDING if due_at is None else State.SCHEDULED
        flags = (HAS_DEADLINE if job.expire_at else 0) | (HAS_FOLLOW_UPS if job.follow_ups else 0) | key_flags(job.unique)
        flags |= HAS_KEY if job.concurrency_key else 0
        lane = lanes[job.queue, job.kind]
        waiting = Waiting(job.id, lane, band_of(job.priority), 0, 0, 0, flags, len(job.envelope), state)
        if job.id in keys.superseded:
            superseded.append(waiting)
        elif due_at is None:
            ready.append((waiting, placed[job.id]))
        else:
            due.append((waiting, due_at))
    _store_extras(c, cold, fresh)
    claimable = put_ready(c, cold, ready, moved=False)
    put_due(c, cold, due)
    waits = [job for job, _ in [*ready, *due]]
    states = {JobId(job.id): job.state for job in waits} | {JobId(job.id): State.CANCELLED for job in superseded}
    changes = Counter((job.lane, job.state) for job in [*waits, *superseded])
    changes.update(keys.changes)
    changes.update(end_waiting(c, cold, superseded, Code.CANCELLED, now, REPLACED))
    tally(c, cold, changes)
    answers = {i: answer._replace(state=states.get(i, answer.state)) for i, answer in keys.answers.items()}
    return Stored(states, {Arrival(job.lane, job.band) for job, _ in claimable}, held | answers)


def store_within(
    c: Connection, cold: Cold, jobs: Sequence[NewJob], lanes: LaneIds, base: int, bounded: Collection[str]
) -> tuple[Stored, set[bytes]]:
    """Store jobs with unique ids as `store_jobs` does, but those that their queue has no room for; returns the ids of these.

    bounded: the queues with a max_depth.
    """
    mine = [job.id for job in jobs if job.queue in bounded] if bounded else []
    if not mine:
        return store_jobs(c, cold, jobs, lanes, base), set()
    known = standing(c, cold, mine)
    full = refused(c, cold, [job for job in jobs if job.id not in known], bounded)
    return store_jobs(c, cold, [job for job in jobs if job.id not in full], lanes, base), full


def _in_turn(c: Connection, cold: Cold, jobs: Sequence[NewJob], lanes: LaneIds, placed: Mapping[JobId, int]) -> dict[JobId, int]:
    """Return the positions of claimable jobs, where their queues are fair other ones than by arrival."""
    waiting = [
        (Waiting(job.id, lanes[job.queue, job.kind], band_of(job.priority), 0, 0, 0, 0, len(job.envelope)), placed[job.id])
        for job in jobs
    ]
    return {JobId(job.id): at for job, at in in_turn(c, cold, waiting, {job.id: job.fairness_key for job in jobs})}


def store_atomic(
    c: Connection,
    cold: Cold,
    jobs: Sequence[NewJob],
    lanes: LaneIds,
    base: int,
    ids: tuple[bytes, bytes],
    bounded: Collection[str],
) -> tuple[list[Dispatched], set[Arrival]]:
    """Store all of a batch or nothing of it; `ids`: the range that can be stored now; `bounded`: the queues with a max_depth.

    Raises Conflict where another transaction stored one of its ids meanwhile, and Refused where a unique key is taken.
    """
    first: dict[JobId, NewJob] = {}
    for job in jobs:
        first.setdefault(job.id, job)
    known = standing(c, cold, first, envelopes=True)
    verdicts = [verdict(cold, job, known.get(job.id), first[job.id]) for job in jobs]
    verdicts = [
        v if job.id in known or ids[0] <= job.id < ids[1] else DispatchVerdict.UNAVAILABLE
        for job, v in zip(jobs, verdicts, strict=True)
    ]
    if not _REFUSALS.isdisjoint(verdicts):
        return [Dispatched(v if v in _REFUSALS else DispatchVerdict.ABORTED, None) for v in verdicts], set()
    fresh = [job for job in first.values() if job.id not in known]
    depth = Depth(c, cold, {job.queue for job in fresh if job.queue in bounded})
    depth.ask_keys(fresh)
    full = {job.id for job in fresh if not depth.admit(job)}
    if full:
        return [Dispatched(DispatchVerdict.FULL if job.id in full else DispatchVerdict.ABORTED, None) for job in jobs], set()
    depth.make_room()
    stored = store_jobs(c, cold, fresh, lanes, base)
    if any(answer.verdict is DispatchVerdict.DUPLICATE for answer in stored.answers.values()):
        raise Refused(stored.answers)
    if len(stored.states.keys() | stored.answers.keys()) < len(fresh):
        raise Conflict
    answers: list[Dispatched] = []
    for job, v in zip(jobs, verdicts, strict=True):
        old = known.get(job.id)
        created = old is None and first[job.id] is job
        if job.id in stored.answers and (created or job.id not in stored.states):
            answers.append(stored.answers[job.id])
            continue
        answers.append(Dispatched(DispatchVerdict.CREATED if created else v, stored.states[job.id] if old is None else old.state))
    return answers, stored.arrivals


def refuse_batch(jobs: Sequence[NewJob], refused: Refused) -> list[Dispatched]:
    """Return the answers to an atomic batch of which nothing was stored."""
    aborted = Dispatched(DispatchVerdict.ABORTED, None)
    found = [refused.answers.get(job.id, aborted) for job in jobs]
    return [answer if answer.verdict is DispatchVerdict.DUPLICATE else aborted for answer in found]


def existing(c: Connection, cold: Cold, jobs: Sequence[NewJob]) -> list[Dispatched]:
    """Return EXISTING or REUSED for jobs whose ids are taken; UNAVAILABLE where one is not (it was removed just now)."""
    known = standing(c, cold, {job.id for job in jobs}, envelopes=True)
    answers: list[Dispatched] = []
    for job in jobs:
        old = known.get(job.id)
        if old is None:
            answers.append(Dispatched(DispatchVerdict.UNAVAILABLE, None))
        else:
            found = verdict(cold, job, old, job)
            answers.append(Dispatched(found, None if found is DispatchVerdict.REUSED else old.state))
    return answers


def verdict(cold: Cold, job: NewJob, old: Standing | None, first: NewJob) -> DispatchVerdict:
    """Compare a job with what has its id: a stored job, or the first of the same batch."""
    mine = cold.fingerprint(job.queue, job.kind, job.envelope)
    if old is None:
        stored = mine if job is first else cold.fingerprint(first.queue, first.kind, first.envelope)
    else:
        stored = old.spec_hash or cold.fingerprint(old.queue, old.kind, old.envelope)
    return DispatchVerdict.EXISTING if stored == mine else DispatchVerdict.REUSED


def _job_row(job: NewJob, lane: int, position: int, now: int) -> dict[str, Any]:
    return {
        "id": job.id,
        "lane": lane,
        "band": band_of(job.priority),
        "position": position,
        "created_at": now if job.accepted_at is None else min(now, micros(job.accepted_at)),
        "policy": None if job.policy is None else job.policy.dump(),
        "envelope": job.envelope,
    }


def _due_at(job: NewJob, now: int) -> int | None:
    at = now + span(job.delay) if job.delay else micros(job.run_at) if job.run_at else now
    return at if at > now else None


def _store_extras(c: Connection, cold: Cold, jobs: Sequence[NewJob]) -> None:
    tables = cold.tables
    deadlines = [{"id": job.id, "expire_at": micros(job.expire_at)} for job in jobs if job.expire_at]
    labels = [{"key": key, "value": value, "id": job.id} for job in jobs for key, value in (job.labels or {}).items()]
    insert_all(c, tables.deadline, deadlines)
    insert_all(c, tables.label, labels)
    keys = [
        {"id": job.id, "concurrency_key": job.concurrency_key, "fairness_key": job.fairness_key}
        for job in jobs
        if job.concurrency_key or job.fairness_key
    ]
    insert_all(c, tables.job_key, keys)
    insert_all(c, tables.parent, [{"id": job.id, "parent": job.parent} for job in jobs if job.parent])
    insert_all(c, tables.result_limit, [{"id": job.id, "kept": span(job.result_retention)} for job in jobs if job.result_retention])
