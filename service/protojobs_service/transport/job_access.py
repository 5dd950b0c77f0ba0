"""Which jobs a caller may touch: those to be stored by the queues they go to, those that are stored by the queue they are in."""

from collections.abc import Iterator
from dataclasses import replace

from protojobs.v1 import job_pb2

from protojobs_service.application import Application, ListQuery
from protojobs_service.domain.bounds import DEFAULT_QUEUE
from protojobs_service.domain.errors import JobNotFound, JobsError, PermissionDenied
from protojobs_service.domain.filter import Filter, NameTerm, Relation
from protojobs_service.domain.job import Draft, JobId
from protojobs_service.transport.audit import item_refused
from protojobs_service.transport.chains import follow_ups
from protojobs_service.transport.convert import parse_spec
from protojobs_service.transport.permissions import Access, access


def judge_items(items: list[Draft | JobsError], judge: Access) -> list[Draft | JobsError]:
    """Return the items, each that goes to a queue which the caller may not dispatch to as its refusal."""
    if judge.everywhere:
        return items
    known: dict[str, PermissionDenied | None] = {}
    return [item if isinstance(item, JobsError) else _judged(item, judge, known) for item in items]


def check_draft(draft: Draft, judge: Access) -> None:
    """Raise PermissionDenied for a job that goes, or lets another go, to a queue which the caller may not dispatch to."""
    if not judge.everywhere:
        judge.check(*queues_of(draft))


def queues_of(draft: Draft) -> Iterator[str]:
    """Yield the queue of a job and of every job that may follow it."""
    yield draft.job.queue
    if draft.job.follow_ups:
        yield from chain_queues(parse_spec(draft.job.envelope))


def chain_queues(spec: job_pb2.JobSpec) -> Iterator[str]:
    """Yield the queue of every job that may follow a spec's job."""
    for _, template in follow_ups("", spec):
        yield template.queue or DEFAULT_QUEUE
        yield from chain_queues(template)


async def check_job(application: Application, job_id: JobId) -> str:
    """Return the queue of a job, empty where that does not matter to the caller.

    Raises JobNotFound for a job in a queue on which the caller holds nothing, PermissionDenied where that is not enough. A job that
    does not exist, or no longer, is left to the use case: it answers alike whoever asks.
    """
    judge = access()
    if judge.everywhere and judge.shows_all:
        return ""
    queue = await application.inspect.queue(job_id)
    if queue is None:
        return ""
    judge.check_stored(queue, JobNotFound)
    return queue


async def narrow(application: Application, query: ListQuery, *, full: bool = False) -> ListQuery:
    """Return a query of those jobs only that the caller may see; full: with their payloads. Raises PermissionDenied."""
    judge = access()
    if full:
        judge.check_texts()
    if judge.shows_all if full else judge.everywhere:
        return query
    names = judge.among([queue.name for queue in await application.queues.list()], with_texts=full)
    granted = NameTerm(field="queue", relation=Relation.ONE_OF, names=tuple(names))
    return replace(query, where=Filter((*query.where.terms, granted)))


def _judged(draft: Draft, judge: Access, known: dict[str, PermissionDenied | None]) -> Draft | PermissionDenied:
    for queue in queues_of(draft):
        if queue not in known:
            known[queue] = judge.refusal(queue)
        if (refused := known[queue]) is not None:
            item_refused(refused, queue)
            return refused
    return draft
