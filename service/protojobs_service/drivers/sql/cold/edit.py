"""UpdateJob: a waiting job leaves its row, becomes another one, and waits anew.

The row is deleted and inserted again in the transaction that changes `job`: a claim whose snapshot is older finds the old row gone,
so no lease made later has what was there before.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, select, update

from protojobs_service.domain.errors import Conflict
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import WAITING_STATES, State
from protojobs_service.domain.retry import DEFAULT_POLICY, Policy
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, insert_all, micros, span, tally
from protojobs_service.drivers.sql.cold.dispatch import LaneIds, band_of
from protojobs_service.drivers.sql.cold.fairness import in_turn
from protojobs_service.drivers.sql.cold.places import free
from protojobs_service.drivers.sql.cold.standing import Standing, standing
from protojobs_service.drivers.sql.cold.unique import move_keys
from protojobs_service.drivers.sql.cold.waiting import Arrival, Waiting, put_due, put_ready, take_due, take_pending
from protojobs_service.drivers.sql.mysql_keys import BY_KEY
from protojobs_service.drivers.sql.tables import PLACE
from protojobs_service.port.jobs import Edit, EditResult

_ROUNDS = 8


class KeysHeld(Exception):
    """Jobs cannot move because others have their unique keys where they were to go: run again without them."""

    def __init__(self, holders: Mapping[bytes, JobId]) -> None:
        super().__init__("unique keys are taken")
        self.holders = holders


class _Edited(NamedTuple):
    """A job that was taken out of where it waited, as it waits from now on. due_at None: at once."""

    item: Edit
    before: Standing
    job: Waiting
    due_at: int | None
    policy: str | None
    envelope: bytes


def edit(c: Connection, cold: Cold, items: Sequence[Edit], lanes: LaneIds, base: int) -> tuple[list[EditResult], set[Arrival]]:
    """Change waiting jobs; answers by place. lanes: those that jobs may move to; base: the first of as many positions as items.

    Raises Conflict where a job is to move to a lane that is not among them, and KeysHeld.
    """
    answers: dict[int, EditResult] = {}
    arrivals: set[Arrival] = set()
    changes: Counter[tuple[int, State]] = Counter()
    rest = list(range(len(items)))
    for _ in range(_ROUNDS + len(items)):
        first: dict[bytes, int] = {}  # a second edit of the same job finds it where the first one put it
        for i in rest:
            first.setdefault(items[i].id, i)
        taken, times = _take(c, cold, sorted(first))
        stands = standing(c, cold, first, envelopes=True)  # read under the locks of what was taken
        now = cold.clock(c)
        edited = {i: _edit(items[i], stands[at], taken[at], times.get(at), lanes, now) for at, i in first.items() if at in taken}
        moves = [(each.job, each.item.queue) for each in edited.values() if each.item.queue and each.job.lane != each.before.lane]
        if moves and (holders := move_keys(c, cold, moves, now)):  # before places of concurrency keys, as everybody does
            raise KeysHeld(holders)
        arrivals |= _leave_places(c, cold, edited)
        _store(c, cold, edited, base)
        for i, each in edited.items():
            changes[each.before.lane, taken[each.job.id].state] -= 1
            changes[each.job.lane, each.job.state] += 1
            answers[i] = EditResult(found=True, state=each.job.state)
            if each.due_at is None:
                arrivals.add(Arrival(each.job.lane, each.job.band))
        answers |= {i: answer for at, i in first.items() if at not in taken and (answer := _refuse(stands.get(at)))}
        rest = [i for i in rest if i not in answers]  # moved on between two statements, or the second of one id
        if not rest:
            break
    if rest:
        raise Conflict
    tally(c, cold, changes)
    return [answers[i] for i in range(len(items))], arrivals


def _take(c: Connection, cold: Cold, ids: Sequence[bytes]) -> tuple[dict[bytes, Waiting], dict[bytes, int]]:
    """Take the jobs out of `ready` and `due`; returns them, and the times of those from `due`."""
    due = cold.tables.due
    ready = take_pending(c, cold, ids)  # first, as everybody does who takes from both: the other order could meet itself
    times: dict[bytes, int] = {}
    for some in chunks(ids):
        rows = select(due.c.id, due.c.due_at).with_hint(due, BY_KEY, "mysql").where(among(due.c.id, some))
        times |= {row.id: row.due_at for row in c.execute(rows.order_by(due.c.id).with_for_update())}
    return {job.id: job for job in ready + take_due(c, cold, sorted(times))}, times


def _leave_places(c: Connection, cold: Cold, edited: dict[int, _Edited]) -> set[Arrival]:
    """Let jobs that go to another queue, or wait for another time, give up the places of their concurrency keys."""
    left: list[bytes] = []
    for i, each in edited.items():
        moves = each.job.lane != each.before.lane or (each.item.start is not None and each.due_at is not None)
        if moves and each.job.flags & PLACE:
            left.append(each.job.id)
            edited[i] = each._replace(job=each.job._replace(flags=each.job.flags & ~PLACE))
    return free(c, cold, left)


def _refuse(at: Standing | None) -> EditResult | None:
    """Return the answer for a job that does not wait; None where it is to be looked for again."""
    if at is None or at.state is None:
        return EditResult(found=False, state=None)
    return None if at.state in WAITING_STATES else EditResult(found=True, state=at.state)


def _edit(item: Edit, at: Standing, job: Waiting, due_at: int | None, lanes: LaneIds, now: int) -> _Edited:
    if item.start is not None:
        start = now + span(item.start) if isinstance(item.start, timedelta) else micros(item.start)
        due_at = start if start > now else None
    state = State.PENDING if due_at is None else State.RETRYING if job.state is State.RETRYING else State.SCHEDULED
    lane = at.lane
    if item.queue is not None and item.queue != at.queue:
        if (item.queue, at.kind) not in lanes:
            raise Conflict
        lane = lanes[item.queue, at.kind]
    policy = at.policy
    if item.policy is not None:
        policy = _dump(item.policy(item.queue or at.queue, Policy.load(at.policy)))
    envelope = item.envelope(at.envelope)
    band = at.band if item.priority is None else band_of(item.priority)
    return _Edited(item, at, job._replace(lane=lane, band=band, size=len(envelope), state=state), due_at, policy, envelope)


def _dump(policy: Policy) -> str | None:
    return None if policy == DEFAULT_POLICY else policy.dump()


def _store(c: Connection, cold: Cold, edited: dict[int, _Edited], base: int) -> None:
    if not edited:
        return
    job = cold.tables.job
    waiting = in_turn(c, cold, [(each.job, base + i) for i, each in edited.items() if each.due_at is None])
    positions = {each.id: position for each, position in waiting}
    rows: list[dict[str, Any]] = [
        {
            "at": at.id,
            "to_lane": new.lane,
            "to_band": new.band,
            "to": positions.get(at.id, base + i),
            "bound_by": policy,
            "body": envelope,
            # Of the first dispatch, whatever the job has become since.
            "print": at.spec_hash or cold.fingerprint(at.queue, at.kind, at.envelope),
        }
        for i, (_, at, new, _, policy, envelope) in sorted(edited.items(), key=lambda each: each[1].job.id)
    ]
    statement = update(job).where(job.c.id == bindparam("at"))
    place: dict[str, Any] = {"lane": bindparam("to_lane"), "band": bindparam("to_band"), "position": bindparam("to")}
    spec: dict[str, Any] = {"policy": bindparam("bound_by"), "envelope": bindparam("body"), "spec_hash": bindparam("print")}
    c.execute(statement.values(place | spec), rows)
    put_ready(c, cold, waiting, moved=False)
    put_due(c, cold, [(each.job, each.due_at) for each in edited.values() if each.due_at is not None])
    _label(c, cold, [each.item for each in edited.values() if each.item.labels is not None])


def _label(c: Connection, cold: Cold, items: Collection[Edit]) -> None:
    label = cold.tables.label
    for some in chunks(sorted(item.id for item in items)):
        c.execute(delete(label).where(among(label.c.id, some)))
    rows = [{"key": key, "value": value, "id": item.id} for item in items for key, value in (item.labels or {}).items()]
    insert_all(c, label, sorted(rows, key=lambda row: (row["id"], row["key"])))
