"""Retry: final jobs wait again under the same id, waiting ones run now."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, select, update

from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import FINAL_STATES, RETAKEN, Code, State
from protojobs_service.domain.unique import Unique
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, insert_all, micros, tally
from protojobs_service.drivers.sql.cold.fairness import in_turn
from protojobs_service.drivers.sql.cold.places import free, keys_of
from protojobs_service.drivers.sql.cold.standing import Standing, standing
from protojobs_service.drivers.sql.cold.unique import key_flags, retake_keys
from protojobs_service.drivers.sql.cold.waiting import Arrival, Waiting, drop_deadlines, put_due, put_ready, take_due
from protojobs_service.drivers.sql.tables import (
    FREES_KEY,
    HAS_CHECKPOINT,
    HAS_DEADLINE,
    HAS_FOLLOW_UPS,
    HAS_KEY,
    LOSSES_MASK,
    PLACE,
    RETURNS_MASK,
)
from protojobs_service.port.driver import FollowUps
from protojobs_service.port.jobs import Retake, RetakeResult

_ROUNDS = 8


class _Taken(NamedTuple):
    """A job that is to be taken up: from where, and its row without what the Retry changes."""

    item: Retake
    at: Standing


def retake(
    c: Connection, cold: Cold, items: Sequence[Retake], base: int, follow_ups: FollowUps
) -> tuple[list[RetakeResult], set[Arrival]]:
    """Take jobs up again; answers by place. base: the first of as many positions as there are items."""
    answers: dict[int, RetakeResult] = {}
    arrivals: set[Arrival] = set()
    changes: Counter[tuple[int, State]] = Counter()
    rest = list(range(len(items)))
    for _ in range(_ROUNDS + len(items)):
        first = _first_of_each(items, rest)
        stands = standing(c, cold, {items[i].id for i in first}, envelopes=True)
        taken_before = _retaken(c, cold, list(stands))
        wanted: dict[int, _Taken] = {}
        for i in first:
            at = stands.get(items[i].id)
            answer = _refuse(items[i], at, taken_before)
            if answer is not None or at is None:
                answers[i] = answer or RetakeResult(found=False, state=None)
            else:
                wanted[i] = _Taken(items[i], at)
        taken = _take(c, cold, wanted)
        duplicates = _take_keys(c, cold, taken)
        answers |= {i: RetakeResult(found=True, state=taken.pop(i).at.state, duplicate=holder) for i, holder in duplicates.items()}
        states = _put(c, cold, taken, base, arrivals, follow_ups)
        changes.update((taken[i].at.lane, state) for i, state in states.items())
        changes.subtract((t.at.lane, t.at.state) for t in taken.values() if t.at.state is not None)
        answers |= {i: RetakeResult(found=True, state=state) for i, state in states.items()}
        rest = [i for i in rest if i not in answers]  # lost a race, or the second of one id: look again
        if not rest:
            break
    tally(c, cold, changes)
    return [answers.get(i, RetakeResult(found=True, state=None, refused=True)) for i in range(len(items))], arrivals


def _first_of_each(items: Sequence[Retake], places: Sequence[int]) -> list[int]:
    first: dict[bytes, int] = {}
    for i in places:
        first.setdefault(items[i].id, i)
    return list(first.values())


def _retaken(c: Connection, cold: Cold, ids: Sequence[bytes]) -> set[tuple[bytes, int]]:
    """Return the attempts whose final outcome was taken back before."""
    done = cold.tables.done
    rows = [
        row
        for some in chunks(ids)
        for row in c.execute(select(done.c.id, done.c.attempt).where(among(done.c.id, some), done.c.outcome > RETAKEN))
    ]
    return {(row.id, row.attempt) for row in rows}


def _refuse(item: Retake, at: Standing | None, taken_before: set[tuple[bytes, int]]) -> RetakeResult | None:
    """Return the answer where nothing is to be done."""
    if at is None or at.state is None or not (item.envelope or at.size):
        return RetakeResult(found=False, state=None)
    expected = item.expected_attempt
    if expected and (at.attempt > expected or (item.id, expected) in taken_before):
        return RetakeResult(found=True, state=at.state, already=True)
    if at.state in (State.PENDING, State.RUNNING) or at.attempt < expected:
        return RetakeResult(found=True, state=at.state, refused=True)
    if item.over not in (None, at.envelope):
        return RetakeResult(found=True, state=at.state, changed=True)
    return None


def _take(c: Connection, cold: Cold, wanted: dict[int, _Taken]) -> dict[int, _Taken]:
    """Take the jobs out of where they stand: the compare-and-set of a Retry on the attempt.

    Returns those that succeeded by place, as they stood when they were taken: since they were looked at, a session may have
    taken back a crash, and retention may have dropped a payload.
    """
    waiting = {t.at.id: t.at for t in wanted.values() if t.at.state not in FINAL_STATES}
    final = {t.at.id: t.at for t in wanted.values() if t.at.state in FINAL_STATES}
    edited: set[bytes] = {t.item.id for t in wanted.values() if t.item.envelope}
    edits: dict[bytes, bytes] = {t.item.id: t.item.over for t in wanted.values() if t.item.over is not None}
    won = _take_waiting(c, cold, waiting, edits) | _take_final(c, cold, final, edited)
    return {i: _Taken(t.item, at) for i, t in wanted.items() if (at := won.get(t.item.id)) is not None}


def _take_waiting(c: Connection, cold: Cold, seen: dict[bytes, Standing], edits: dict[bytes, bytes]) -> dict[bytes, Standing]:
    due, job = cold.tables.due, cold.tables.job
    same: list[bytes] = []
    for some in chunks(sorted(seen)):
        rows = c.execute(select(due.c.id, due.c.attempt).where(among(due.c.id, some)).order_by(due.c.id).with_for_update())
        same += [row.id for row in rows if row.attempt == seen[row.id].attempt]
    for some in chunks([job_id for job_id in same if job_id in edits]):  # under the locks: an UpdateJob may have come between
        envelopes = c.execute(select(job.c.id, job.c.envelope).where(among(job.c.id, some))).all()
        changed = {row.id for row in envelopes if row.envelope != edits[row.id]}
        same = [job_id for job_id in same if job_id not in changed]
    return {taken.id: seen[taken.id]._replace(**taken._asdict()) for taken in take_due(c, cold, same)}


def _take_final(c: Connection, cold: Cold, seen: dict[bytes, Standing], edited: set[bytes]) -> dict[bytes, Standing]:
    done, job = cold.tables.done, cold.tables.job
    won: dict[bytes, Standing] = {}
    for some in chunks(sorted(seen)):
        # A final row stands at most once, so (id, still final, attempt unchanged) needs no list of pairs.
        rows = select(done.c.id, done.c.attempt).where(among(done.c.id, some), done.c.outcome < Code.DELETED.value)
        found = c.execute(rows.order_by(done.c.id).with_for_update()).all()
        same = [row.id for row in found if row.attempt == seen[row.id].attempt]
        if not same:
            continue
        # Read under the lock that retention takes, too.
        sizes = select(job.c.id, func.length(job.c.envelope).label("size")).where(among(job.c.id, same))
        taken = {row.id: row.size for row in c.execute(sizes) if row.size or row.id in edited}
        if taken:
            still = (among(done.c.id, sorted(taken)), done.c.outcome < Code.DELETED.value)
            c.execute(update(done).where(*still).values(outcome=done.c.outcome + RETAKEN))
            won |= {job_id: seen[job_id]._replace(size=size) for job_id, size in taken.items()}
    return won


def _take_keys(c: Connection, cold: Cold, taken: dict[int, _Taken]) -> dict[int, JobId]:
    """Give final jobs their unique keys again; those whose keys others have are final as before. Returns who has them, by place."""
    asking: list[tuple[int, JobId, str, Unique]] = []
    for i, (item, at) in taken.items():
        unique = cold.unique_of(item.envelope or at.envelope) if at.state in FINAL_STATES else None
        if unique is not None:
            asking.append((i, item.id, at.queue, unique))
    holders = retake_keys(c, cold, [each[1:] for each in asking], cold.clock(c)) if asking else {}
    refused = {i: holders[job_id] for i, job_id, _, _ in asking if job_id in holders}
    if refused:
        done = cold.tables.done
        mine = (done.c.id == bindparam("at"), done.c.attempt == bindparam("number"))
        statement = update(done).where(*mine).values(outcome=done.c.outcome - RETAKEN)
        c.execute(statement, [{"at": taken[i].at.id, "number": taken[i].at.attempt} for i in refused])
    return refused


def _put(
    c: Connection, cold: Cold, taken: dict[int, _Taken], base: int, arrivals: set[Arrival], follow_ups: FollowUps
) -> dict[int, State]:
    """Let the jobs wait again; returns their states by place."""
    if not taken:
        return {}
    tables, now = cold.tables, cold.clock(c)
    _change_jobs(c, cold, list(taken.values()), now)
    drop_deadlines(c, cold, [t.item.id for t in taken.values()])
    deadlines = [{"id": t.item.id, "expire_at": micros(t.item.expire_at)} for t in taken.values() if t.item.expire_at]
    insert_all(c, tables.deadline, deadlines)
    saved = _with_checkpoint(c, cold, [t.item.id for t in taken.values()])
    keyed = keys_of(c, cold, [t.item.id for t in taken.values()])
    ready: list[tuple[Waiting, int]] = []
    due: list[tuple[Waiting, int]] = []
    states: dict[int, State] = {}
    for i, (item, at) in taken.items():
        run_at = now if item.run_at is None else micros(item.run_at)
        states[i] = State.SCHEDULED if run_at > now else State.PENDING
        flags = (HAS_DEADLINE if item.expire_at else 0) | (HAS_CHECKPOINT if item.id in saved else 0)
        counters = (0, 0) if at.state in FINAL_STATES else (at.failures, at.crashes)
        if at.state in FINAL_STATES:
            flags |= key_flags(cold.unique_of(item.envelope or at.envelope))
        else:
            # A job that is to run later gives its place up.
            flags |= at.flags & (RETURNS_MASK | LOSSES_MASK | FREES_KEY | (PLACE if run_at <= now else 0))
        flags |= HAS_FOLLOW_UPS if follow_ups.has_any(item.envelope or at.envelope) else 0
        flags |= HAS_KEY if item.id in keyed else 0
        size = at.size if item.envelope is None else len(item.envelope)
        job = Waiting(item.id, at.lane, at.band, at.attempt, *counters, flags, size, states[i])
        if run_at > now:
            due.append((job, run_at))
        else:
            ready.append((job, base + i))
    arrivals |= {Arrival(job.lane, job.band) for job, _ in put_ready(c, cold, in_turn(c, cold, ready))}
    put_due(c, cold, due)
    left = [t.at.id for t in taken.values() if t.at.state not in FINAL_STATES and t.at.flags & PLACE]
    arrivals |= free(c, cold, sorted(set(left) & {job.id for job, _ in due}))
    return states


def _change_jobs(c: Connection, cold: Cold, taken: Sequence[_Taken], now: int) -> None:
    """Start max_retry_duration again for final jobs, and replace payloads; the fingerprint stays that of the first dispatch."""
    job = cold.tables.job
    final = [{"at": t.item.id, "now": now} for t in taken if t.at.state in FINAL_STATES]
    if final:
        c.execute(update(job).where(job.c.id == bindparam("at")).values(retaken_at=bindparam("now")), final)
    edited: list[dict[str, Any]] = [
        {
            "at": item.id,
            "body": item.envelope,
            "print": at.spec_hash or cold.fingerprint(at.queue, at.kind, at.envelope),
        }
        for item, at in taken
        if item.envelope is not None
    ]
    if edited:
        statement = update(job).where(job.c.id == bindparam("at"))
        c.execute(statement.values(envelope=bindparam("body"), spec_hash=bindparam("print")), edited)


def _with_checkpoint(c: Connection, cold: Cold, ids: Sequence[bytes]) -> set[bytes]:
    detail = cold.tables.attempt_detail
    return {
        job_id
        for some in chunks(ids)
        for job_id in c.execute(select(detail.c.id).where(among(detail.c.id, some), detail.c.checkpoint.is_not(None))).scalars()
    }
