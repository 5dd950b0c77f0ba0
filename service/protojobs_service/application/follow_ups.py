"""Follow-ups: the jobs that an envelope names, made when its job completes or fails."""

import logging
from collections.abc import Callable, Sequence

from protojobs_service.application.known_queues import KnownQueues
from protojobs_service.application.schedules import MakeDraft
from protojobs_service.application.store_time import StoreTime
from protojobs_service.domain.bounds import MAX_BATCH_ITEMS
from protojobs_service.domain.errors import JobsError
from protojobs_service.domain.job import JobId, NewJob, child_id
from protojobs_service.port import FollowUps as FollowUpsPort

_log = logging.getLogger(__name__)

ReadFollowUps = Callable[[bytes, bool], Sequence[bytes]]
"""(envelope, completed) -> the templates of the jobs to store when its job completes (else: fails). Called on any thread."""


def no_follow_ups(_envelope: bytes, _completed: bool) -> Sequence[bytes]:
    """Return none: this application was made without a wire that reads envelopes."""
    return ()


class FollowUps(FollowUpsPort):
    """See the port."""

    def __init__(self, known: KnownQueues, store_time: StoreTime, read: ReadFollowUps, draft: MakeDraft) -> None:
        self._known = known
        self._store_time = store_time
        self._read = read
        self._draft = draft

    def has_any(self, envelope: bytes) -> bool:
        return any(self._read(envelope, completed) for completed in (True, False))

    def of(self, parent: JobId, attempt: int, envelope: bytes, *, completed: bool) -> Sequence[NewJob]:
        jobs: list[NewJob] = []
        for place, template in enumerate(self._read(envelope, completed)):
            # Behind the places of what the handler itself dispatches with its completion.
            job_id = child_id(self._store_time.id_prefix(), parent, attempt, MAX_BATCH_ITEMS + place)
            try:
                job, changes = self._draft(template, job_id)
            except JobsError as error:  # an operator has lowered a bound since the dispatch
                _log.warning("follow-up refused", extra={"job_id": parent.hex(), "place": place, "reason": error.reason})
                continue
            jobs.append(job._replace(policy=self._known.policy(job.queue, changes), parent=parent))
        return jobs
