"""What became of a dispatch."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeAlias

from protojobs_client.errors import ProtoJobsError
from protojobs_client.ids import JobId


class DispatchOutcome(Enum):
    """What a dispatch did.

    EXISTING: the id was stored before, or the unique key belongs to another job, whose id is returned; nothing changed.
    REPLACED: stored, and another job of the unique key was ended.
    """

    CREATED = "created"
    EXISTING = "existing"
    REPLACED = "replaced"


class Dispatched(NamedTuple):
    """The job is stored."""

    job_id: JobId
    outcome: DispatchOutcome = DispatchOutcome.CREATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The job was not stored, or nobody knows: see `error.retryable`, and dispatch again with this id."""

    job_id: JobId
    error: ProtoJobsError


DispatchResult: TypeAlias = Dispatched | Refused
