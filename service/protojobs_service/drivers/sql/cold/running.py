"""Running attempts: locking them, and ending them as `domain.outcome.decide` says."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import count
from random import Random
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, func, select

from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.outcome import Decision, JobError, Outcome, Running, decide
from protojobs_service.domain.retry import Policy
from protojobs_service.drivers.sql.cold.base import (
    MINUTE,
    Cold,
    add,
    among,
    chunks,
    delete_ids,
    insert_all,
    moment,
    span,
    tally,
    upsert,
)
from protojobs_service.drivers.sql.cold.ends import End, note
from protojobs_service.drivers.sql.cold.keys import free_keys
from protojobs_service.drivers.sql.cold.places import free, serial_lanes
from protojobs_service.drivers.sql.cold.waiting import Arrival, Waiting, drop_deadlines, put_due, put_ready
from protojobs_service.drivers.sql.mysql_keys import BY_KEY, by_index
from protojobs_service.drivers.sql.tables import (
    CANCEL_ASKED,
    FREES_AT_END,
    FREES_AT_START,
    HAS_CHECKPOINT,
    HAS_DEADLINE,
    LOSSES_MASK,
    LOSSES_SHIFT,
    PLACE,
    RETURNS_MASK,
    RETURNS_SHIFT,
    STARTED,
)

_HANDLER_ENDED = {Code.COMPLETED: 0, Code.RETRIED: 1, Code.FAILED: 1}
"""Codes that count in `stat_minute`, and under which `failed`."""


class Attempt(NamedTuple):
    """A running attempt with what decides about it."""

    id: bytes
    handle: int
    started_at: int
    lane: int
    band: int
    attempt: int
    failures: int
    crashes: int
    flags: int
    policy: str | None
    created_at: int
    retaken_at: int | None
    size: int


class Ending(NamedTuple):
    """An outcome to apply. settled: by the word of the attempt's own session, which may be repeated (ALREADY)."""

    attempt: Attempt
    outcome: Outcome
    settled: bool


class Ended(NamedTuple):
    """What became of the job; due_at for SCHEDULED and RETRYING."""

    state: State
    due_at: int | None


def lock_attempts(
    c: Connection, cold: Cold, *conditions: ColumnElement[bool], limit: int | None = None, hint: str = ""
) -> list[Attempt]:
    """Return running attempts, locked until the end of the transaction, in id order so that two lockers cannot deadlock.

    hint: which index MariaDB reads; by default that of the handles.
    """
    running = cold.tables.running
    statement = _attempts(cold, *conditions).with_for_update(of=running)
    statement = statement.with_hint(running, hint or by_index(running, "running_handle"), "mysql")
    return [Attempt(*row) for row in c.execute(statement if limit is None else statement.limit(limit))]


def read_attempts(c: Connection, cold: Cold, *conditions: ColumnElement[bool]) -> list[Attempt]:
    """Return running attempts as they are, not locked."""
    return [Attempt(*row) for row in c.execute(_attempts(cold, *conditions))]


def _attempts(cold: Cold, *conditions: ColumnElement[bool]) -> Select[Any]:
    running, job = cold.tables.running, cold.tables.job
    return (
        select(
            *(running.c[name] for name in Attempt._fields[:9]),
            *(job.c[name] for name in ("policy", "created_at", "retaken_at")),
            func.length(job.c.envelope),
        )
        .join_from(running, job, job.c.id == running.c.id)
        .where(*conditions)
        .order_by(running.c.id)
    )


def lock_ids(c: Connection, cold: Cold, ids: Iterable[bytes]) -> dict[bytes, Attempt]:
    """Return those of these jobs that run, locked."""
    key = cold.tables.running.c.id
    found = [row for some in chunks(sorted(set(ids))) for row in lock_attempts(c, cold, among(key, some), hint=BY_KEY)]
    return {row.id: row for row in found}


def end_attempts(
    c: Connection, cold: Cold, endings: Sequence[Ending], *, now: int, front: int, rng: Random
) -> tuple[list[Ended], set[Arrival]]:
    """End locked attempts: answers by place, and where `ready` has got jobs. `front`: the first of as many positions."""
    decided = [(ending.attempt, _decide(ending, now, rng)) for ending in endings]
    _drop_running(c, cold, [attempt.id for attempt, _ in decided])
    _write_done(c, cold, endings, [decision for _, decision in decided], now)
    _write_details(c, cold, decided)
    note(c, cold, [End(row.id, row.attempt, made.code, State.RUNNING, made.state) for row, made in decided])
    _clean_up(c, cold, decided)  # with the unique keys: everybody locks them before places of concurrency keys
    serial = serial_lanes(c, cold, {row.lane for row, _ in decided if row.flags & PLACE})
    positions = count(front)
    ready: list[tuple[Waiting, int]] = []
    due: list[tuple[Waiting, int]] = []
    ended: list[Ended] = []
    for attempt, decision in decided:
        due_at = None if decision.delay is None else now + span(decision.delay)
        if due_at is not None:
            due.append((_waiting(attempt, decision, serial=attempt.lane in serial), due_at))
        elif decision.state is State.PENDING:
            ready.append((_waiting(attempt, decision), next(positions)))
        ended.append(Ended(decision.state, due_at))
    put_ready(c, cold, ready)
    put_due(c, cold, due)
    kept = {job.id for job, _ in [*ready, *due] if job.flags & PLACE}
    arrivals = free(c, cold, [row.id for row, _ in decided if row.flags & PLACE and row.id not in kept])
    _count(c, cold, decided, now)
    return ended, arrivals | {Arrival(job.lane, job.band, front=True) for job, _ in ready}


def _decide(ending: Ending, now: int, rng: Random) -> Decision:
    row = ending.attempt
    policy = Policy.load(row.policy)
    longest = policy.max_retry_duration
    since = moment(row.created_at if row.retaken_at is None else row.retaken_at)
    job = Running(
        failures=row.failures,
        crashes=row.crashes,
        returns=(row.flags & RETURNS_MASK) >> RETURNS_SHIFT,
        cancel_requested=bool(row.flags & CANCEL_ASKED),
        policy=policy,
        retry_until=None if longest is None else since + longest,
        losses=(row.flags & LOSSES_MASK) >> LOSSES_SHIFT,
    )
    return decide(ending.outcome, job, moment(now), rng)


def _drop_running(c: Connection, cold: Cold, ids: Sequence[bytes]) -> None:
    delete_ids(c, cold.tables.running, ids)


def _write_done(c: Connection, cold: Cold, endings: Sequence[Ending], decisions: Sequence[Decision], now: int) -> None:
    rows = [
        {
            "id": row.id,
            "attempt": row.attempt,
            "lane": row.lane,
            "started_at": row.started_at,
            "finished_at": now,
            "handle": row.handle if settled else -row.handle,
            "outcome": decision.code.value,
        }
        for (row, _, settled), decision in zip(endings, decisions, strict=True)
    ]
    insert_all(c, cold.tables.done, rows)


def _write_details(c: Connection, cold: Cold, decided: Sequence[tuple[Attempt, Decision]]) -> None:
    """Write what an attempt left behind; progress and checkpoint may be there from before."""
    written: list[dict[str, Any]] = []
    saved: list[dict[str, Any]] = []
    for row, decision in decided:
        if decision.error is not None or decision.reason or decision.result is not None:
            error = decision.error or JobError()
            written.append(
                {
                    "id": row.id,
                    "attempt": row.attempt,
                    "reason": decision.reason,
                    "error_type": None if decision.error is None else error.type,
                    "error_message": error.message or None,
                    "error_stack": error.stack or None,
                    "result": decision.result,
                }
            )
        if decision.checkpoint is not None:
            saved.append({"id": row.id, "attempt": row.attempt, "checkpoint": decision.checkpoint})
    detail = cold.tables.attempt_detail
    upsert(c, detail, written, replaces=["reason", "error_type", "error_message", "error_stack", "result"])
    upsert(c, detail, saved, replaces=["checkpoint"])


def _waiting(row: Attempt, decision: Decision, *, serial: bool = False) -> Waiting:
    """serial: the others of the job's key wait until it has ended; so it keeps its place while it waits, but for a snooze."""
    flags = row.flags & ~(RETURNS_MASK | LOSSES_MASK | STARTED | CANCEL_ASKED | FREES_AT_START)
    flags |= decision.returns << RETURNS_SHIFT | decision.losses << LOSSES_SHIFT
    if decision.code is not Code.RELEASED:
        flags &= ~HAS_DEADLINE  # the handler has begun: the job can expire no more
    if decision.state is not State.PENDING and (decision.code is Code.SNOOZED or not serial):
        flags &= ~PLACE
    if decision.checkpoint is not None:
        flags |= HAS_CHECKPOINT
    counters = (row.attempt, decision.failures, decision.crashes)
    return Waiting(row.id, row.lane, row.band, *counters, flags, row.size, decision.state)


def _clean_up(c: Connection, cold: Cold, decided: Sequence[tuple[Attempt, Decision]]) -> None:
    begun = [row.id for row, decision in decided if row.flags & HAS_DEADLINE and decision.code is not Code.RELEASED]
    drop_deadlines(c, cold, begun)
    free_keys(c, cold, [row.id for row, decision in decided if _frees_key(row.flags, decision.state)])
    delete_ids(c, cold.tables.cancel_request, [row.id for row, _ in decided if row.flags & CANCEL_ASKED])


def _frees_key(flags: int, state: State) -> bool:
    return bool(flags & FREES_AT_START or (flags & FREES_AT_END and state.is_final))


def _count(c: Connection, cold: Cold, decided: Sequence[tuple[Attempt, Decision]], now: int) -> None:
    changes = Counter((row.lane, decision.state) for row, decision in decided)
    changes.subtract((row.lane, State.RUNNING) for row, _ in decided)
    tally(c, cold, changes)
    runs: dict[tuple[int, int, int], list[int]] = {}
    for row, decision in decided:
        if (failed := _HANDLER_ENDED.get(decision.code)) is not None:
            took = max(0, now - row.started_at)
            runs.setdefault((row.lane, failed, took.bit_length()), []).append(took)
    rows = [
        {
            "minute": now // MINUTE,
            "lane": lane,
            "slot": cold.slot,
            "failed": failed,
            "bucket": bucket,
            "n": len(times),
            "run_us": sum(times),
        }
        for (lane, failed, bucket), times in sorted(runs.items())
    ]
    add(c, cold.tables.stat_minute, rows, columns=["n", "run_us"])


def run_timeout(row: Attempt) -> timedelta:
    """Return how long this attempt may run."""
    return Policy.load(row.policy).run_timeout
