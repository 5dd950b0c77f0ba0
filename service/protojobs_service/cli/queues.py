"""`protojobs queues`."""

from typing import Annotated

import typer
from protojobs_client import JobState

from protojobs_service.cli.connection import AddressOption, connected
from protojobs_service.cli.output import JsonFlag, print_done, print_json, print_table
from protojobs_service.cli.values import parse_time

queues = typer.Typer(help="Look at queues and act on them.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="QUEUE", help="Name of the queue.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@queues.command("list")
def list_queues(address: AddressOption = None, as_json: JsonFlag = False) -> None:
    """List queues with their settings."""
    with connected(address, as_json=as_json) as client:
        found = client.queues().all()
    if as_json:
        print_json(found)
        return
    rows = (
        (
            queue.name,
            queue.paused,
            queue.retry.max_retries,
            queue.run_timeout,
            queue.retention.completed,
            queue.retention.failed,
            queue.created_at,
        )
        for queue in found
    )
    columns = ("queue", "paused", "retries", "run timeout", "keep completed", "keep failed", "since")
    print_table(columns, rows, empty="no queues")


@queues.command()
def pause(queue: Name, address: AddressOption = None, as_json: JsonFlag = False) -> None:
    """Stop leasing from a queue; running jobs go on."""
    with connected(address, as_json=as_json) as client:
        client.pause(queue)
    print_done("queue", queue, "paused", as_json=as_json)


@queues.command()
def resume(queue: Name, address: AddressOption = None, as_json: JsonFlag = False) -> None:
    """Lease from a queue again."""
    with connected(address, as_json=as_json) as client:
        client.resume(queue)
    print_done("queue", queue, "resumed", as_json=as_json)


@queues.command()
def clear(
    queue: Name,
    state: Annotated[
        list[JobState] | None,
        typer.Option("--state", "-s", help="Only in this state; repeatable. [default: scheduled, pending, retrying]"),
    ] = None,
    before: Annotated[str | None, typer.Option(help="Only created before this time, ISO 8601.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only.")] = False,
    yes: Yes = False,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Delete jobs of a queue; never running ones."""
    until = None if before is None else parse_time(before)
    if not (yes or dry_run):
        typer.confirm(f"Delete jobs of {queue}?", abort=True, err=True)
    with connected(address, as_json=as_json) as client:
        deleted = client.clear(queue, states=state or (), before=until, dry_run=dry_run)
    if as_json:
        print_json({"queue": queue, "deleted": deleted, "dry_run": dry_run})
    else:
        typer.echo(f"{queue}: {deleted} {'would be ' if dry_run else ''}deleted")


@queues.command()
def delete(
    queue: Name,
    force: Annotated[bool, typer.Option("--force", help="With its waiting and final jobs.")] = False,
    yes: Yes = False,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Remove a queue and its settings."""
    if not yes:
        typer.confirm(f"Remove queue {queue}?", abort=True, err=True)
    with connected(address, as_json=as_json) as client:
        client.delete_queue(queue, force=force)
    print_done("queue", queue, "removed", as_json=as_json)
