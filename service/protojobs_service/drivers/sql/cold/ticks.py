"""Ticks: schedules whose time has come make their jobs, in one transaction with the row of each tick."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, tuple_, update

from protojobs_service.domain.errors import JobsError, QueueFull, StoreUnavailable
from protojobs_service.domain.job import NewJob
from protojobs_service.domain.schedule import Overlap, Schedule, lateness, tick_id
from protojobs_service.domain.schedule_ticks import decide
from protojobs_service.drivers.sql.cold.base import CHUNK, MINUTE, Cold, insert_all, micros, moment, span
from protojobs_service.drivers.sql.cold.cancel import cancel
from protojobs_service.drivers.sql.cold.depth import Depth
from protojobs_service.drivers.sql.cold.dispatch import LaneIds, Stored, store_jobs
from protojobs_service.drivers.sql.cold.schedules import TICKING, ticking, to_schedule
from protojobs_service.drivers.sql.cold.standing import standing
from protojobs_service.port.schedules import Fired, Firing

Pair = tuple[str, str]
"""(queue, kind)."""
_PAIRS = CHUNK // 2


@dataclass(slots=True)
class _Turn:
    """What a turn gathers before it writes."""

    now: datetime
    jobs: list[NewJob] = field(default_factory=list[NewJob])
    ticks: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    states: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    cancels: list[bytes] = field(default_factory=list[bytes])
    last_jobs: dict[str, bytes | None] = field(default_factory=dict[str, "bytes | None"])  # by schedule, before this turn
    late: list[timedelta] = field(default_factory=list[timedelta])
    refused: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    missed: int = 0


def due_pairs(c: Connection, cold: Cold, limit: int) -> set[Pair]:
    """Return queue and kind of the schedules whose time has come; empty where there is none."""
    table = cold.tables.schedule
    due = select(table.c.queue, table.c.kind).where(table.c.wake_at <= cold.now()).order_by(table.c.wake_at, table.c.name)
    return {(row.queue, row.kind) for row in c.execute(due.limit(limit))}


def fire(
    c: Connection,
    cold: Cold,
    firing: Firing,
    *,
    lanes: LaneIds,
    full: Collection[Pair],
    bounded: Collection[str],
    base: int,
    ids: tuple[bytes, bytes],
) -> tuple[Fired, Stored]:
    """Do a turn with schedules that nobody else does at the moment.

    `full`: pairs that there is no lane for. `bounded`: queues with a max_depth; a tick into one that is full makes no job.
    `ids`: the range that can be stored now; a job outside fails the turn, to be done again once its day is there.
    """
    turn = _Turn(moment(cold.clock(c)))
    due = _lock_due(c, cold, firing.schedules, turn.now)
    known = [schedule for schedule in due if (schedule.queue, schedule.kind) in lanes or (schedule.queue, schedule.kind) in full]
    active = _active(c, cold, known)
    depth = Depth(c, cold, {schedule.queue for schedule in known if schedule.queue in bounded})
    seen = 0
    for schedule in known:
        if len(turn.late) >= firing.jobs:
            break
        seen += 1
        _tick(turn, schedule, firing, active=schedule.name in active, full=full, depth=depth)
    depth.make_room()
    _drop_known(c, cold, turn)
    if not all(ids[0] <= job.id < ids[1] for job in turn.jobs):
        raise StoreUnavailable("the day of a tick has no room yet")
    if turn.cancels:
        cancel(c, cold, turn.cancels, span(firing.cancel_within))
    stored = store_jobs(c, cold, turn.jobs, lanes, base) if turn.jobs else Stored({}, set(), {})
    _skip_duplicates(turn, stored.left_out)
    insert_all(c, cold.tables.tick, turn.ticks)
    _go_on(c, cold, turn.states)
    more = seen < len(due) or len(due) == firing.schedules
    return Fired(seen, turn.late, turn.missed, turn.refused, more=more), stored


def forget_ticks(c: Connection, cold: Cold, older_than: int, limit: int) -> int:
    """Drop rows of ticks that are older than so many microseconds; returns how many."""
    tick = cold.tables.tick
    old = select(tick.c.schedule, tick.c.tick_at).where(tick.c.tick_at < cold.clock(c) - older_than).order_by(tick.c.tick_at)
    keys = [(row.schedule, row.tick_at) for row in c.execute(old.limit(limit))]
    for start in range(0, len(keys), _PAIRS):
        c.execute(delete(tick).where(tuple_(tick.c.schedule, tick.c.tick_at).in_(keys[start : start + _PAIRS])))
    return len(keys)


def _lock_due(c: Connection, cold: Cold, limit: int, now: datetime) -> list[Schedule]:
    table = cold.tables.schedule
    due = select(table).where(table.c.wake_at <= micros(now)).order_by(table.c.wake_at, table.c.name).limit(limit)
    return [to_schedule(row) for row in c.execute(due.with_for_update(skip_locked=True))]


def _active(c: Connection, cold: Cold, schedules: Sequence[Schedule]) -> set[str]:
    """Return the schedules whose last job is not final, of those for which that matters."""
    last = {s.name: s.last_job for s in schedules if s.overlap is not Overlap.ALLOW and s.last_job is not None}
    stands = standing(c, cold, set(last.values())) if last else {}
    states = {name: at.state for name, job in last.items() if (at := stands.get(job)) is not None}
    return {name for name, state in states.items() if state is not None and not state.is_final}


def _tick(turn: _Turn, schedule: Schedule, firing: Firing, *, active: bool, full: Collection[Pair], depth: Depth) -> None:
    try:
        decision = decide(schedule, turn.now, active=active, limit=firing.jobs - len(turn.late))
    except (LookupError, OSError, ValueError) as error:
        # Such as a zone that this machine does not know: another replica may, and the other schedules go on.
        turn.refused.append((schedule.name, type(error).__name__))
        turn.states.append({**ticking(schedule), "wake_at": micros(turn.now) + MINUTE, "schedule": schedule.name})
        return
    turn.missed += decision.missed
    last_job = turn.last_jobs[schedule.name] = schedule.last_job
    if decision.cancels and last_job is not None:
        turn.cancels.append(last_job)
    for tick in decision.ticks:
        job_id, run_at = tick_id(schedule, tick, turn.now), tick + lateness(schedule, tick)
        if (schedule.queue, schedule.kind) in full:
            turn.refused.append((schedule.name, "QUOTA_EXCEEDED"))
            continue
        try:
            job = firing.make(schedule, job_id, run_at if run_at > turn.now else None)
        except JobsError as error:
            turn.refused.append((schedule.name, error.reason))
            continue
        depth.ask_keys([job])
        if not depth.admit(job):
            turn.refused.append((schedule.name, QueueFull.reason))
            continue
        turn.jobs.append(job)
        turn.ticks.append({"schedule": schedule.name, "tick_at": micros(tick), "job": job_id})
        turn.late.append(turn.now - tick)
        last_job = job_id
    turn.states.append({**ticking(replace(decision.schedule, last_job=last_job)), "schedule": schedule.name})


def _drop_known(c: Connection, cold: Cold, turn: _Turn) -> None:
    """Leave out ticks that have their row: the times of a schedule only go forward, so there are none unless that was broken."""
    tick = cold.tables.tick
    keys = [(row["schedule"], row["tick_at"]) for row in turn.ticks]
    known: set[tuple[str, int]] = set()
    for start in range(0, len(keys), _PAIRS):
        some = select(tick.c.schedule, tick.c.tick_at).where(
            tuple_(tick.c.schedule, tick.c.tick_at).in_(keys[start : start + _PAIRS])
        )
        known |= {(row.schedule, row.tick_at) for row in c.execute(some)}
    if known:
        kept = [i for i, key in enumerate(keys) if key not in known]
        turn.ticks, turn.jobs = [turn.ticks[i] for i in kept], [turn.jobs[i] for i in kept]
        turn.late = [turn.late[i] for i in kept]


def _skip_duplicates(turn: _Turn, duplicates: Collection[bytes]) -> None:
    """Count ticks as missed whose jobs were not stored, as another one has their unique key; their rows stay."""
    if not duplicates:
        return
    fired = [place for place, row in enumerate(turn.ticks) if row["job"] not in duplicates]
    turn.missed += len(turn.ticks) - len(fired)
    turn.late = [turn.late[place] for place in fired]
    last = turn.last_jobs | {turn.ticks[place]["schedule"]: turn.ticks[place]["job"] for place in fired}
    skipped = {row["schedule"] for row in turn.ticks if row["job"] in duplicates}
    turn.states = [state | {"last_job": last[name]} if (name := state["schedule"]) in skipped else state for state in turn.states]


def _go_on(c: Connection, cold: Cold, states: Sequence[dict[str, Any]]) -> None:
    if states:
        table = cold.tables.schedule
        values: dict[str, Any] = {name: bindparam(name) for name in TICKING}
        c.execute(update(table).where(table.c.name == bindparam("schedule")).values(**values), states)
