"""Specs of a batch or a frame in, one result per item out."""

from collections.abc import Sequence

from protojobs.v1 import job_service_pb2

from protojobs_service.application import Answer, Dispatched, DispatchVerdict
from protojobs_service.domain.errors import JobsError
from protojobs_service.domain.job import Draft
from protojobs_service.transport.ids import format_id
from protojobs_service.transport.specs import Specs
from protojobs_service.transport.status import to_status, under

OUTCOMES = {
    DispatchVerdict.CREATED: job_service_pb2.DISPATCH_OUTCOME_CREATED,
    DispatchVerdict.EXISTING: job_service_pb2.DISPATCH_OUTCOME_EXISTING,
    DispatchVerdict.REPLACED: job_service_pb2.DISPATCH_OUTCOME_REPLACED,
}


def read_specs(specs: Specs, envelopes: Sequence[bytes]) -> list[Draft | JobsError]:
    """Return each spec's draft, or why it is refused; a bad one does not spoil the others."""
    draft = specs.draft
    items: list[Draft | JobsError] = []
    for envelope in envelopes:
        try:
            items.append(draft(envelope))
        except JobsError as error:
            items.append(error)
    return items


def is_all_created(answers: Sequence[Answer]) -> bool:
    """Tell whether every job was stored by this call."""
    return all(isinstance(answer, Dispatched) and answer[0] is DispatchVerdict.CREATED for answer in answers)


def place_errors(items: Sequence[Draft | JobsError], answers: Sequence[Answer]) -> Sequence[Answer]:
    """Return the answer to every item, given those to the drafts among them."""
    if len(items) == len(answers):
        return answers
    rest = iter(answers)
    return [item if isinstance(item, JobsError) else next(rest) for item in items]


def to_result(job_id: str, answer: Answer, path: str) -> job_service_pb2.DispatchResult:
    """Return what became of one item; fields in its error are named under `path`."""
    if isinstance(answer, JobsError):
        return job_service_pb2.DispatchResult(job_id=job_id, error=to_status(under(answer, path)))
    return job_service_pb2.DispatchResult(job_id=id_text(answer, job_id), outcome=OUTCOMES[answer.verdict])


def id_text(answer: Dispatched, job_id: str) -> str:
    """Return the id that an answer names: that of another job, where that has the unique key and is returned instead."""
    other = answer.holder if answer.verdict is DispatchVerdict.EXISTING else None
    return job_id if other is None else format_id(other)
