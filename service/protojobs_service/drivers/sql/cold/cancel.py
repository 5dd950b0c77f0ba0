"""Cancel: waiting jobs end at once, running ones are asked to."""

from collections import Counter
from collections.abc import Collection, Sequence

from sqlalchemy import Connection, select, update

from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, tally, upsert
from protojobs_service.drivers.sql.cold.standing import standing
from protojobs_service.drivers.sql.cold.waiting import end_waiting, take_due, take_pending
from protojobs_service.drivers.sql.tables import CANCEL_ASKED
from protojobs_service.port.jobs import CancelResult

_ROUNDS = 8


def cancel(c: Connection, cold: Cold, ids: Sequence[bytes], within: int) -> list[CancelResult]:
    """Cancel jobs; `within` microseconds a running one is to end. A job that moves meanwhile is looked for again."""
    now = cold.clock(c)
    results: dict[bytes, CancelResult] = {}
    changes: Counter[tuple[int, State]] = Counter()
    rest: Collection[bytes] = set(ids)
    for _ in range(_ROUNDS):
        wanted = sorted(rest)
        ended = take_pending(c, cold, wanted) + take_due(c, cold, wanted)
        changes.update(end_waiting(c, cold, ended, Code.CANCELLED, now))
        results |= {job.id: CancelResult(found=True, state=State.CANCELLED) for job in ended}
        asked = _ask_running(c, cold, wanted, now + within)
        results |= dict.fromkeys(asked, CancelResult(found=True, state=State.RUNNING))
        rest = rest - results.keys()
        stands = standing(c, cold, rest) if rest else {}
        for job_id in list(rest):
            at = stands.get(job_id)
            if at is None or at.state is None:
                results[job_id] = CancelResult(found=False, state=None)
            elif at.state.is_final:
                results[job_id] = CancelResult(found=True, state=at.state)
        rest = rest - results.keys()
        if not rest:
            break
    tally(c, cold, changes)
    return [results.get(job_id, CancelResult(found=False, state=None)) for job_id in ids]


def _ask_running(c: Connection, cold: Cold, ids: Sequence[bytes], deadline_at: int) -> list[bytes]:
    """Flag running jobs and note their deadline; the first request counts. Returns all that are asked, now or before."""
    running = cold.tables.running
    asked: list[bytes] = []
    for some in chunks(ids):
        rows = c.execute(
            select(running.c.id, running.c.attempt, running.c.flags)
            .where(among(running.c.id, some))
            .order_by(running.c.id)
            .with_for_update()
        ).all()
        fresh = [row for row in rows if not row.flags & CANCEL_ASKED]
        if fresh:
            flagged = update(running).where(among(running.c.id, [row.id for row in fresh]))
            c.execute(flagged.values(flags=running.c.flags.bitwise_or(CANCEL_ASKED)))
        requests = [{"id": row.id, "attempt": row.attempt, "deadline_at": deadline_at} for row in fresh]
        upsert(c, cold.tables.cancel_request, requests, replaces=["attempt", "deadline_at"])
        asked += [row.id for row in rows]
    return asked
