"""Unique keys as jobs are stored and taken up again: who gets one, and what becomes of the job that had it.

A key is free where its row is missing, or where `domain.unique.guards` says so of the job that the row names: the claim, which is
hot, leaves the row of an UNTIL_START key to whoever ends the attempt or wants the key.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, select

from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.domain.lifecycle import WAITING_STATES, Code, State
from protojobs_service.domain.unique import REPLACED, Decision, Holder, Unique, UniqueScope, Verdict, decide, guards
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, delete_ids, micros, moment, moment_or_none
from protojobs_service.drivers.sql.cold.keys import KeyRow, Place, give_keys, lock_keys, own_keys, read_keys
from protojobs_service.drivers.sql.cold.standing import Standing, standing
from protojobs_service.drivers.sql.cold.waiting import Waiting, end_waiting, lock_waiting, take_due, take_pending
from protojobs_service.drivers.sql.tables import FREES_AT_END, FREES_AT_START
from protojobs_service.port.jobs import Dispatched, DispatchVerdict

_ROUNDS = 8
_FLAGS = {UniqueScope.UNTIL_START: FREES_AT_START, UniqueScope.UNTIL_DONE: FREES_AT_END, UniqueScope.WINDOW: 0}


@dataclass(slots=True)
class Keyed:
    """What became of jobs that asked for keys.

    answers: of those that were not stored, or that ended another one. due: when those are to start that were. superseded: those
    that a later one of the same call has replaced. changes: to be tallied.
    """

    answers: dict[JobId, Dispatched] = field(default_factory=dict[JobId, Dispatched])
    due: dict[JobId, int | None] = field(default_factory=dict[JobId, "int | None"])
    superseded: set[JobId] = field(default_factory=set[JobId])
    changes: Counter[tuple[int, State]] = field(default_factory=Counter[tuple[int, State]])

    @property
    def refused(self) -> list[JobId]:
        """Return the jobs that were not stored."""
        return [job_id for job_id, answer in self.answers.items() if answer.verdict is not DispatchVerdict.REPLACED]


class _Turn(NamedTuple):
    """A key, its locked row, the job that has it if that keeps others out, and the jobs that ask for it."""

    row: KeyRow
    holder: Holder | None
    jobs: Sequence[NewJob]


def key_flags(unique: Unique | None) -> int:
    """Return the bits of `flags` that a job with this key has."""
    return 0 if unique is None else _FLAGS[unique.scope]


def answer_held(c: Connection, cold: Cold, jobs: Sequence[NewJob], now: int) -> dict[JobId, Dispatched]:
    """Answer jobs whose keys others have, before anything is written for them: mostly a duplicate costs two reads.

    Jobs whose ids are known, and keys for which somebody is to be replaced, are left to `take_keys`.
    """
    groups = {place: group for place, group in _groups(jobs).items() if not any(_unique(job).replaces for job in group)}
    rows = read_keys(c, cold, groups)
    holders = _holders(c, cold, rows.values(), now)
    held = [job for place, row in rows.items() if row.id in holders for job in groups[place]]
    known = _known(c, cold, [job.id for job in held])
    answers: dict[JobId, Dispatched] = {}
    for job in held:
        if job.id not in known:
            holder = holders[rows[_place(job)].id]
            [decision] = decide(holder, [job], moment(now))
            answers[job.id] = _refusal(decision)
    return answers


def held_keys(c: Connection, cold: Cold, jobs: Sequence[NewJob]) -> dict[Place, bytes]:
    """Return the keys of these jobs that others have, and who."""
    rows = read_keys(c, cold, {_place(job) for job in jobs})
    holders = _holders(c, cold, rows.values(), cold.clock(c))
    return {row.place: row.id for row in rows.values() if row.id in holders}


def take_keys(c: Connection, cold: Cold, jobs: Sequence[NewJob], now: int) -> Keyed:
    """Give keys to jobs whose rows in `job` are new, by place, and end those that they replace.

    Raises StoreUnavailable where keys change hands again and again meanwhile.
    """
    keyed = Keyed()
    rest = _groups(jobs)
    _lock_replaced(c, cold, rest)
    for _ in range(_ROUNDS):
        if not rest:
            return keyed
        rows = lock_keys(c, cold, {place: _row(group[0], now) for place, group in rest.items()})
        asking = {group[0].id for group in rest.values()}
        holders = _holders(c, cold, [row for row in rows.values() if row.id not in asking], now)
        turns = [_Turn(row, holders.get(row.id), rest[place]) for place, row in rows.items()]
        for place in _settle(c, cold, turns, keyed, now):
            del rest[place]
    if rest:
        raise StoreUnavailable("unique keys change hands too fast")
    return keyed


def _lock_replaced(c: Connection, cold: Cold, groups: Mapping[Place, Sequence[NewJob]]) -> None:
    """Lock the jobs that are to be replaced before their keys, which is the order of whoever ends such a job and frees its key."""
    places = [place for place, group in groups.items() if any(_unique(job).replaces for job in group)]
    if places:
        lock_waiting(c, cold, [row.id for row in read_keys(c, cold, places).values()])


def _settle(c: Connection, cold: Cold, turns: Sequence[_Turn], keyed: Keyed, now: int) -> list[Place]:
    """Decide about keys and do it; returns which. Left out: keys whose holder was to be replaced, and has moved meanwhile."""
    decided = [(turn, decide(turn.holder, turn.jobs, moment(now))) for turn in turns]
    ends = [turn.row.id for turn, found in decided if turn.holder and any(d.verdict is Verdict.REPLACES for d in found)]
    ended = take_pending(c, cold, sorted(ends)) + take_due(c, cold, sorted(ends)) if ends else []
    keyed.changes.update(end_waiting(c, cold, ended, Code.CANCELLED, now, REPLACED))
    missed = set(ends) - {job.id for job in ended}
    old: list[KeyRow] = []
    new: list[KeyRow] = []
    done: list[Place] = []
    for turn, decisions in decided:
        if turn.row.id in missed:
            continue
        done.append(turn.row.place)
        winner = _note(turn, decisions, keyed)
        if winner is not None and winner.id != turn.row.id:
            old.append(turn.row)
            new.append(_row(winner, now))
    give_keys(c, cold, old, new)
    return done


def _note(turn: _Turn, decisions: Sequence[Decision], keyed: Keyed) -> NewJob | None:
    """Note what becomes of the jobs that ask for a key; returns the one that has it in the end, None where that is not new."""
    winner: NewJob | None = None
    for job, decision in zip(turn.jobs, decisions, strict=True):
        match decision.verdict:
            case Verdict.TAKES | Verdict.REPLACES:
                if winner is not None:
                    keyed.superseded.add(winner.id)
                winner = job
                keyed.due[job.id] = None if decision.due_at is None else micros(decision.due_at)
                if decision.verdict is Verdict.REPLACES and decision.holder is not None:
                    keyed.answers[job.id] = Dispatched(DispatchVerdict.REPLACED, None, decision.holder.id)
            case Verdict.EXISTING | Verdict.DUPLICATE:
                keyed.answers[job.id] = _refusal(decision)
    return winner


def retake_keys(c: Connection, cold: Cold, wanted: Sequence[tuple[JobId, str, Unique]], now: int) -> dict[JobId, JobId]:
    """Give keys to final jobs that are taken up again, (id, queue, key), by place; returns who has those that others have.

    Raises StoreUnavailable as `take_keys` does.
    """
    refused: dict[JobId, JobId] = {}
    rest: dict[Place, list[tuple[JobId, Unique]]] = {}
    for job_id, queue, unique in wanted:
        rest.setdefault((queue, unique.key), []).append((job_id, unique))
    for _ in range(_ROUNDS):
        if not rest:
            return refused
        mine = {place: _key_row(*asking[0], place[0], now) for place, asking in rest.items()}
        rows = lock_keys(c, cold, mine)
        asking_ids = {row.id for row in mine.values()}
        holders = _holders(c, cold, [row for row in rows.values() if row.id not in asking_ids], now)
        old: list[KeyRow] = []
        for place, row in rows.items():
            asking = rest.pop(place)
            holder = holders.get(row.id)
            refused |= {job_id: holder.id if holder else JobId(mine[place].id) for job_id, _ in asking[0 if holder else 1 :]}
            window_over = row.until is not None and row.until <= now
            if holder is None and (row.id != mine[place].id or window_over):
                old.append(row)
        give_keys(c, cold, old, [mine[row.place] for row in old])
    if rest:
        raise StoreUnavailable("unique keys change hands too fast")
    return refused


def move_keys(c: Connection, cold: Cold, moves: Sequence[tuple[Waiting, str]], now: int) -> dict[bytes, JobId]:
    """Let the keys of waiting jobs follow them to other queues; returns who has there those that others have.

    Raises StoreUnavailable as `take_keys` does.
    """
    refused: dict[bytes, JobId] = {}
    rest: dict[Place, KeyRow] = {}
    old = own_keys(c, cold, [job.id for job, _ in moves])
    for job, queue in moves:
        row = old.get(job.id)
        if row is None or row.queue == queue or not _may_guard(row, job, now):
            continue
        first = rest.setdefault((queue, row.key), row._replace(queue=queue))
        if first.id != job.id:
            refused[job.id] = JobId(first.id)
    delete_ids(c, cold.tables.unique_key, sorted(row.id for row in rest.values()))
    for _ in range(_ROUNDS):
        if not rest:
            return refused
        rows = lock_keys(c, cold, rest)
        holders = _holders(c, cold, [row for place, row in rows.items() if row.id != rest[place].id], now)
        mine = {place: rest.pop(place) for place in rows}
        refused |= {mine[place].id: holders[row.id].id for place, row in rows.items() if row.id in holders}
        stale = [row for place, row in rows.items() if row.id not in holders and row.id != mine[place].id]
        give_keys(c, cold, stale, [mine[row.place] for row in stale])
    raise StoreUnavailable("unique keys change hands too fast")


def _may_guard(row: KeyRow, job: Waiting, now: int) -> bool:
    in_time = row.until is not None and row.until > now
    return guards(UniqueScope(row.scope), job.state, unleased=bool(job.flags & FREES_AT_START), in_time=in_time)


def _holders(c: Connection, cold: Cold, rows: Iterable[KeyRow], now: int) -> dict[bytes, Holder]:
    """Return the jobs of these rows that keep others out."""
    rows = list(rows)
    stands = standing(c, cold, [row.id for row in rows]) if rows else {}
    found: dict[bytes, Holder] = {}
    for row in rows:
        at = stands.get(row.id)
        state = None if at is None else at.state
        in_time = row.until is not None and row.until > now
        if guards(UniqueScope(row.scope), state, unleased=_is_unleased(at), in_time=in_time):
            found[row.id] = Holder(JobId(row.id), state, None if at is None else moment_or_none(at.due_at))
    return found


def _is_unleased(at: Standing | None) -> bool:
    return at is not None and at.state in WAITING_STATES and bool(at.flags & FREES_AT_START)


def _known(c: Connection, cold: Cold, ids: Sequence[JobId]) -> set[bytes]:
    job = cold.tables.job
    return {i for some in chunks(ids) for i in c.execute(select(job.c.id).where(among(job.c.id, some))).scalars()}


def _groups(jobs: Sequence[NewJob]) -> dict[Place, list[NewJob]]:
    groups: dict[Place, list[NewJob]] = {}
    for job in jobs:
        groups.setdefault(_place(job), []).append(job)
    return groups


def _refusal(decision: Decision) -> Dispatched:
    assert decision.holder is not None, "somebody has the key"
    if decision.verdict is Verdict.EXISTING:
        return Dispatched(DispatchVerdict.EXISTING, decision.holder.state, decision.holder.id)
    return Dispatched(DispatchVerdict.DUPLICATE, None, decision.holder.id)


def _unique(job: NewJob) -> Unique:
    assert job.unique is not None, "a job without a key asks for none"
    return job.unique


def _place(job: NewJob) -> Place:
    return job.queue, _unique(job).key


def _row(job: NewJob, now: int) -> KeyRow:
    return _key_row(job.id, _unique(job), job.queue, now)


def _key_row(job_id: JobId, unique: Unique, queue: str, now: int) -> KeyRow:
    until = unique.until(moment(now))
    return KeyRow(job_id, queue, unique.key, unique.scope.value, None if until is None else micros(until))
