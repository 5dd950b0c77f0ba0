"""Progress and checkpoints of running attempts."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, update

from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, upsert
from protojobs_service.drivers.sql.cold.running import lock_ids
from protojobs_service.drivers.sql.tables import HAS_CHECKPOINT
from protojobs_service.port.jobs import News


def update_attempts(c: Connection, cold: Cold, items: Sequence[News]) -> list[bool]:
    """Store progress and checkpoints under the compare-and-set on (id, attempt, handle); answers by place."""
    attempts = lock_ids(c, cold, (item.id for item in items))
    now = cold.clock(c)
    accepted = [
        (row := attempts.get(item.id)) is not None and (row.attempt, row.handle) == (item.attempt, item.handle) for item in items
    ]
    news = [item for item, ok in zip(items, accepted, strict=True) if ok]
    progress: list[dict[str, Any]] = [
        {
            "id": item.id,
            "attempt": item.attempt,
            "progress_ratio": item.progress.ratio,
            "progress_message": item.progress.message,
            "progress_at": now,
        }
        for item in news
        if item.progress is not None
    ]
    saved = [item for item in news if item.checkpoint is not None]
    detail, running = cold.tables.attempt_detail, cold.tables.running
    upsert(c, detail, progress, replaces=["progress_ratio", "progress_message", "progress_at"])
    rows = [{"id": item.id, "attempt": item.attempt, "checkpoint": item.checkpoint} for item in saved]
    upsert(c, detail, rows, replaces=["checkpoint"])
    for some in chunks(sorted({item.id for item in saved})):
        flags = running.c.flags.bitwise_or(HAS_CHECKPOINT)
        c.execute(update(running).where(among(running.c.id, some)).values(flags=flags))
    return accepted
