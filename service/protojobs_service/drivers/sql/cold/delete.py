"""Deleting jobs: a tombstone stays, so that the id is never used again."""

from collections import Counter
from collections.abc import Collection, Sequence

from sqlalchemy import Connection, bindparam, delete, select, update

from protojobs_service.domain.lifecycle import STATE_OF_CODE, Code, State
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, tally
from protojobs_service.drivers.sql.cold.ends import End, note
from protojobs_service.drivers.sql.cold.standing import standing
from protojobs_service.drivers.sql.cold.waiting import end_waiting, take_due, take_pending
from protojobs_service.port.jobs import CancelResult

_ROUNDS = 8
_DELETED = CancelResult(found=True, state=None)


def delete_jobs(c: Connection, cold: Cold, ids: Sequence[bytes]) -> list[CancelResult]:
    """Delete jobs that do not run; answers by place. To delete a tombstone changes nothing, and is answered as the first time."""
    now = cold.clock(c)
    results: dict[bytes, CancelResult] = {}
    changes: Counter[tuple[int, State]] = Counter()
    rest: Collection[bytes] = set(ids)
    for _ in range(_ROUNDS):
        wanted = sorted(rest)
        waiting = take_pending(c, cold, wanted) + take_due(c, cold, wanted)
        changes.update(end_waiting(c, cold, waiting, Code.DELETED, now))
        final = _bury_final(c, cold, wanted, changes)
        gone = [*(job.id for job in waiting), *final]
        empty(c, cold, gone)
        _forget(c, cold, gone)
        results |= dict.fromkeys(gone, _DELETED)
        rest = rest - results.keys()
        stands = standing(c, cold, rest) if rest else {}
        for job_id in list(rest):
            at = stands.get(job_id)
            if at is None:
                results[job_id] = CancelResult(found=False, state=None)
            elif at.state is None:
                results[job_id] = _DELETED
            elif at.state is State.RUNNING:
                results[job_id] = CancelResult(found=True, state=State.RUNNING)
        rest = rest - results.keys()
        if not rest:
            break
    tally(c, cold, changes)
    unknown = CancelResult(found=False, state=None)
    return [results.get(job_id, unknown) for job_id in ids]


def _bury_final(c: Connection, cold: Cold, ids: Sequence[bytes], changes: Counter[tuple[int, State]]) -> list[bytes]:
    """Turn final outcomes into DELETED; returns the ids that had one, and adds to what is to be tallied."""
    done = cold.tables.done
    buried: list[bytes] = []
    for some in chunks(ids):
        is_final = (among(done.c.id, some), done.c.outcome < Code.DELETED.value)
        columns = select(done.c.id, done.c.attempt, done.c.lane, done.c.outcome).where(*is_final)
        rows = c.execute(columns.order_by(done.c.id).with_for_update()).all()
        if rows:
            locked = (among(done.c.id, [row.id for row in rows]), done.c.outcome < Code.DELETED.value)
            c.execute(update(done).where(*locked).values(outcome=Code.DELETED.value))
            note(c, cold, [End(row.id, row.attempt, Code.DELETED, STATE_OF_CODE[row.outcome], None) for row in rows])
            changes.subtract((row.lane, STATE_OF_CODE[row.outcome]) for row in rows)
            buried += [row.id for row in rows]
    return buried


def empty(c: Connection, cold: Cold, ids: Sequence[bytes]) -> None:
    """Drop payloads, but keep the fingerprints by which a retried dispatch is known."""
    job, lane = cold.tables.job, cold.tables.lane
    columns = select(job.c.id, job.c.spec_hash, job.c.envelope, lane.c.queue, lane.c.kind).join_from(
        job, lane, lane.c.id == job.c.lane
    )
    for some in chunks(sorted(ids)):
        prints = [
            {"at": row.id, "print": row.spec_hash or cold.fingerprint(row.queue, row.kind, row.envelope)}
            for row in c.execute(columns.where(among(job.c.id, some)))
        ]
        if prints:
            statement = update(job).where(job.c.id == bindparam("at"))
            c.execute(statement.values(envelope=b"", spec_hash=bindparam("print")), prints)


def _forget(c: Connection, cold: Cold, ids: Sequence[bytes]) -> None:
    """Drop the history of deleted jobs: all but the tombstone."""
    tables = cold.tables
    for some in chunks(sorted(ids)):
        c.execute(delete(tables.done).where(among(tables.done.c.id, some), tables.done.c.outcome != Code.DELETED.value))
        for table in (
            tables.attempt_detail,
            tables.label,
            tables.parent,
            tables.deadline,
            tables.cancel_request,
            tables.job_key,
            tables.unique_key,
            tables.result_limit,
        ):
            c.execute(delete(table).where(among(table.c.id, some)))
