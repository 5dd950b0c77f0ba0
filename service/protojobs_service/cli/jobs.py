"""`protojobs jobs`."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import islice
from typing import Annotated, Any

import typer
from protojobs_client import AttemptInfo, Client, JobInfo, JobState

from protojobs_service.cli.connection import AddressOption, connected
from protojobs_service.cli.output import JsonFlag, print_json, print_pairs, print_table
from protojobs_service.cli.tail import tail
from protojobs_service.cli.values import parse_json, parse_pairs, parse_span, parse_time, read_data

jobs = typer.Typer(help="Look at jobs and act on them.", no_args_is_help=True)

jobs.command()(tail)

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of jobs.")]

_PAGE = 100


@jobs.command("list")
def list_jobs(
    queue: Annotated[list[str] | None, typer.Option("--queue", "-q", help="Only of this queue; repeatable.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", "-k", help="Only of this kind; repeatable.")] = None,
    state: Annotated[list[JobState] | None, typer.Option("--state", "-s", help="Only in this state; repeatable.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", "-l", help="Only with key=value; repeatable.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 20,
    oldest: Annotated[bool, typer.Option("--oldest", help="Oldest first.")] = False,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List jobs, newest first."""
    labels = parse_pairs(label or [], "--label")
    with connected(address, as_json=as_json) as client:
        pages = client.list(
            queues=queue or (),
            kinds=kind or (),
            states=state or (),
            labels=labels,
            oldest_first=oldest,
            page_size=min(limit, _PAGE),
        )
        found = list(islice(pages, limit))
    if as_json:
        print_json(found)
        return
    columns = ("id", "queue", "kind", "state", "attempt", "created", "next", "error")
    print_table(columns, (_row(job) for job in found), empty="no jobs")


@jobs.command()
def get(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the job.")],
    full: Annotated[bool, typer.Option("--full", "-f", help="With payload, headers, result and stack.")] = False,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show a job and its attempts."""
    with connected(address, as_json=as_json) as client:
        job = client.get(job_id, full=full)
        attempts = client.attempts(job_id).all()
    if as_json:
        print_json({"job": job, "attempts": attempts})
        return
    print_pairs(_pairs(job, full=full))
    if attempts:
        typer.echo()
        columns = ("attempt", "outcome", "worker", "started", "took", "error")
        print_table(columns, (_attempt_row(each) for each in attempts), empty="")


@jobs.command()
def retry(
    ids: Ids,
    data: Annotated[str | None, typer.Option("--data", "-d", help="New payload: JSON, @FILE or @-.")] = None,
    at: Annotated[str | None, typer.Option("--at", help="Run it not before this time, ISO 8601.")] = None,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Run final jobs again, or waiting ones now."""
    payload = None if data is None else read_data(data)
    if payload is not None:
        parse_json(payload)
    run_at = None if at is None else parse_time(at)

    def act(client: Client, job_id: str) -> JobState:
        return client.retry(job_id, payload=payload, run_at=run_at).state

    _each(ids, act, address, as_json=as_json)


@jobs.command()
def cancel(
    ids: Ids,
    deadline: Annotated[str, typer.Option(help="How long a worker may take to stop.")] = "30s",
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Cancel jobs; running ones are stopped by their worker."""
    span = parse_span(deadline)
    _each(ids, lambda client, job_id: client.cancel(job_id, deadline=span), address, as_json=as_json)


@jobs.command()
def delete(ids: Ids, address: AddressOption = None, as_json: JsonFlag = False) -> None:
    """Remove jobs that do not run, with their history."""

    def act(client: Client, job_id: str) -> str:
        client.delete(job_id)
        return "deleted"

    _each(ids, act, address, as_json=as_json)


def _each(ids: list[str], act: Callable[[Client, str], Any], address: str | None, *, as_json: bool) -> None:
    """Act on each job and print what became of it; the first refusal ends the command."""
    done: list[dict[str, Any]] = []
    try:
        with connected(address, as_json=as_json) as client:
            done.extend({"job_id": job_id, "state": act(client, job_id)} for job_id in ids)
    finally:
        if as_json and done:
            print_json(done)
        elif done:
            print_table(("id", "state"), ((each["job_id"], each["state"]) for each in done), empty="")


def _row(job: JobInfo) -> tuple[Any, ...]:
    error = "" if job.last_error is None else f"{job.last_error.type}: {job.last_error.message}".partition("\n")[0][:60]
    return (job.id, job.queue, job.kind, job.state, job.attempt, job.created_at, job.next_at, error or job.reason)


def _attempt_row(attempt: AttemptInfo) -> tuple[Any, ...]:
    took = attempt.finished_at - attempt.started_at if attempt.finished_at and attempt.started_at else None
    error = "" if attempt.error is None else f"{attempt.error.type}: {attempt.error.message}"
    return (attempt.attempt, attempt.outcome, attempt.worker, attempt.started_at, took, error or attempt.reason)


def _pairs(job: JobInfo, *, full: bool) -> Iterator[tuple[str, Any]]:
    yield from (("id", job.id), ("queue", job.queue), ("kind", job.kind), ("state", job.state), ("reason", job.reason))
    yield from (("priority", job.priority), ("attempt", job.attempt), ("failures", job.failures), ("crashes", job.crashes))
    yield from (("created", job.created_at), ("next", job.next_at), ("started", job.started_at), ("finished", job.finished_at))
    yield from (("expires", job.expire_at), ("worker", job.worker), ("labels", dict(job.labels)))
    yield "cancel requested", job.cancel_requested or None
    if job.started_at and job.finished_at:
        yield "took", max(job.finished_at - job.started_at, timedelta())
    if job.progress is not None:
        yield "progress", f"{job.progress.ratio:.0%} {job.progress.message}"
    yield from (("run timeout", job.run_timeout), ("retries", job.retry.max_retries), ("parent", job.parent_job_id))
    if job.last_error is not None:
        yield "error", f"{job.last_error.type}: {job.last_error.message}"
        yield "stack", job.last_error.stack
    if full:
        yield "headers", dict(job.headers or {})
        yield "content type", job.content_type
        yield "payload", _text(job.payload)
        yield "result", _text(job.result)


def _text(data: bytes | None) -> str:
    if not data:
        return ""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"{len(data)} bytes that are no text"
