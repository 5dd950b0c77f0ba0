"""`protojobs jobs`."""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import islice
from typing import Annotated, Any

import typer
from protojobs_client import AttemptInfo, BulkAction, BulkStep, Client, JobChanges, JobId, JobInfo, JobState, RetryPolicy

from protojobs_service.cli.connection import AddressOption, connected
from protojobs_service.cli.output import JsonFlag, print_json, print_pairs, print_table
from protojobs_service.cli.tail import tail
from protojobs_service.cli.values import parse_json, parse_pairs, parse_span, parse_time, read_data

jobs = typer.Typer(help="Look at jobs and act on them.", no_args_is_help=True)

jobs.command()(tail)

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of jobs.")]

_PAGE = 100
_SAMPLE = 10


@jobs.command("list")
def list_jobs(
    queue: Annotated[list[str] | None, typer.Option("--queue", "-q", help="Only of this queue; repeatable.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", "-k", help="Only of this kind; repeatable.")] = None,
    state: Annotated[list[JobState] | None, typer.Option("--state", "-s", help="Only in this state; repeatable.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", "-l", help="Only with key=value; repeatable.")] = None,
    parent: Annotated[str | None, typer.Option("--parent", help="Only what the end of this job has stored.")] = None,
    filter_: Annotated[str, typer.Option("--filter", "-f", help='As in: queue = mail and label.team in (a, "b c").')] = "",
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
            parent=parent,
            filter=filter_,
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
    run_at = None if at is None else parse_time(at, "--at")

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
    span = parse_span(deadline, "--deadline")
    _each(ids, lambda client, job_id: client.cancel(job_id, deadline=span), address, as_json=as_json)


@jobs.command()
def delete(ids: Ids, address: AddressOption = None, as_json: JsonFlag = False) -> None:
    """Remove jobs that do not run, with their history."""

    def act(client: Client, job_id: str) -> str:
        client.delete(job_id)
        return "deleted"

    _each(ids, act, address, as_json=as_json)


@jobs.command()
def edit(
    ids: Ids,
    data: Annotated[str | None, typer.Option("--data", "-d", help="New payload: JSON, @FILE or @-.")] = None,
    content_type: Annotated[str | None, typer.Option("--content-type", help="What the payload is, if not JSON.")] = None,
    queue: Annotated[str | None, typer.Option("--queue", "-q", help="Move it to this queue.")] = None,
    priority: Annotated[int | None, typer.Option("--priority", "-p", min=1, max=9, help="Higher first.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", "-l", help="All its labels, key=value; repeatable.")] = None,
    delay: Annotated[str | None, typer.Option("--delay", help="Run it not before so long from now.")] = None,
    at: Annotated[str | None, typer.Option("--at", help="Run it not before this time, ISO 8601.")] = None,
    retries: Annotated[int | None, typer.Option("--retries", min=0, help="Retries after the first failure.")] = None,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Change jobs that wait; each then waits behind all others of its priority."""
    changes: JobChanges = {}
    if data is not None:
        changes["payload"] = read_data(data)
        if content_type is None:
            parse_json(changes["payload"])
    if content_type is not None:
        changes["content_type"] = content_type
    if queue is not None:
        changes["queue"] = queue
    if priority is not None:
        changes["priority"] = priority
    if label is not None:
        changes["labels"] = parse_pairs(label, "--label")
    if delay is not None:
        changes["delay"] = parse_span(delay, "--delay")
    if at is not None:
        changes["run_at"] = parse_time(at, "--at")
    if retries is not None:
        changes["retry"] = RetryPolicy(max_retries=retries)
    if not changes:
        raise typer.BadParameter("say what to change", param_hint="--data, --queue, --priority, ...")
    if delay is not None and at is not None:
        raise typer.BadParameter("excludes --delay", param_hint="--at")
    _each(ids, lambda client, job_id: client.update_job(job_id, **changes).state, address, as_json=as_json)


@jobs.command()
def bulk(
    action: Annotated[BulkAction, typer.Argument(help="What to do to each job.", show_default=False)],
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="These jobs, at most 1000.")] = None,
    filter_: Annotated[str, typer.Option("--filter", "-f", help="Those of a filter: queue = mail and state = failed.")] = "",
    every: Annotated[bool, typer.Option("--all", help="All that the action is meant for.")] = False,
    to: Annotated[str, typer.Option("--to", help="move: the queue to move to.", show_default=False)] = "",
    priority: Annotated[int | None, typer.Option("--priority", "-p", min=1, max=9, help="set_priority: 1 to 9.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and show some.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Retry, cancel, delete, move or set_priority many jobs.

    Without states in the filter: retry takes failed jobs, cancel all that are not final, delete all that do not run, move and
    set_priority those that wait.
    """
    if (bool(ids), bool(filter_.strip()), every).count(True) != 1:
        raise typer.BadParameter("give either ids, --filter or --all")
    if bool(to) != (action is BulkAction.MOVE):
        raise typer.BadParameter("goes with move, and must then be there", param_hint="--to")
    if (priority is not None) != (action is BulkAction.SET_PRIORITY):
        raise typer.BadParameter("goes with set_priority, and must then be there", param_hint="--priority")

    def act(client: Client, *, dry_run: bool) -> BulkStep:
        steps = client.bulk_jobs(
            action, filter=filter_, job_ids=ids or (), all_jobs=every, queue=to, priority=priority or 0, dry_run=dry_run
        )
        return _sum(steps)

    with connected(address, as_json=as_json) as client:
        if not (yes or dry_run):
            would = act(client, dry_run=True)
            typer.confirm(f"{action.value}: {would.changed} jobs?", abort=True, err=True)
        done = act(client, dry_run=dry_run)
    if as_json:
        sample = {"sample": done.sample} if dry_run else {}
        print_json({"action": action, "changed": done.changed, "skipped": done.skipped, "dry_run": dry_run, **sample})
        return
    typer.echo(f"{action.value}: {done.changed} {'would change' if dry_run else 'changed'}, {done.skipped} left alone")
    for job_id in done.sample:
        typer.echo(f"  {job_id}")


def _sum(steps: Iterable[BulkStep]) -> BulkStep:
    changed, skipped = 0, 0
    sample: list[JobId] = []
    for step in steps:
        changed, skipped, sample = changed + step.changed, skipped + step.skipped, sample + list(step.sample)
    return BulkStep(changed=changed, skipped=skipped, sample=tuple(sample[:_SAMPLE]))


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
    yield from (("fairness key", job.fairness_key), ("concurrency key", job.concurrency_key))
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
