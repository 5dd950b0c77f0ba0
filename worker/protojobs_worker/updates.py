"""Progress and checkpoints on their way: at most one a second of each job, but the last before its outcome.

Accepted updates are not answered. So what was told last stays with its attempt until something newer replaces it, and
is told again when the server says that it was not stored, or when the stream that carried it is lost.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

from protojobs_worker.context import Attempt
from protojobs_worker.frames import MAX_UPDATES, WireLease
from protojobs_worker.ledger import LeaseState
from protojobs_worker.limits import FRAME_BYTES

Update: TypeAlias = tuple[WireLease, tuple[float, str] | None, bytes | None]

_PROGRESS_SECONDS: Final = 1.0


class Updates:
    """Attempts that have something to tell. A later progress or checkpoint replaces one that has not left."""

    def __init__(self) -> None:
        self._fresh: dict[Attempt, None] = {}
        self._again: set[Attempt] = set()

    def __bool__(self) -> bool:
        return bool(self._fresh)

    def add(self, attempt: Attempt) -> None:
        """Note that an attempt has something to tell."""
        self._fresh[attempt] = None

    def again(self, attempt: Attempt) -> None:
        """Tell once more what was told last, unless there is something newer."""
        if attempt.told_progress is not None or attempt.told_checkpoint is not None:
            self._again.add(attempt)
            self.add(attempt)

    def take(self, now: float) -> Iterator[list[Update]]:
        """Take what may leave now, in batches of one frame. What comes too early stays."""
        batch: list[Update] = []
        size = 0
        for attempt in list(self._fresh):
            if self._is_early(attempt, now):
                continue
            del self._fresh[attempt]
            progress, attempt.progress = attempt.progress, None
            checkpoint, attempt.checkpoint = attempt.checkpoint, None
            if attempt in self._again:
                self._again.discard(attempt)
                progress = attempt.told_progress if progress is None else progress
                checkpoint = attempt.told_checkpoint if checkpoint is None else checkpoint
            if attempt.lease.state is LeaseState.GONE or (progress is None and checkpoint is None):
                continue
            attempt.progress_sent_at = now
            if progress is not None:
                attempt.told_progress = progress
            if checkpoint is not None:
                attempt.told_checkpoint = checkpoint
            batch.append((attempt.lease, progress, checkpoint))
            size += len(checkpoint or b"")
            if len(batch) == MAX_UPDATES or size > FRAME_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _is_early(self, attempt: Attempt, now: float) -> bool:
        return (
            attempt.checkpoint is None
            and attempt not in self._again
            and attempt.lease.state is LeaseState.RUNNING
            and now < attempt.progress_sent_at + _PROGRESS_SECONDS
        )
