"""`protojobs queues`."""

from dataclasses import replace
from typing import Annotated, Any

import typer
from protojobs_client import (
    Aging,
    Client,
    EventLevel,
    Fairness,
    History,
    JobState,
    Overflow,
    QueueInfo,
    QueueSettings,
    RateLimit,
    Retention,
)
from protojobs_client.errors import QueueNotFoundError

from protojobs_service.cli.connection import AddressOption, connected
from protojobs_service.cli.output import JsonFlag, print_done, print_json, print_pairs, print_table, show_span
from protojobs_service.cli.values import parse_number, parse_pairs, parse_span, parse_time

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
            _rules(queue),
            queue.created_at,
        )
        for queue in found
    )
    columns = ("queue", "paused", "retries", "run timeout", "keep completed", "keep failed", "rules", "since")
    print_table(columns, rows, empty="no queues")


def _rules(queue: QueueInfo) -> list[str]:
    rules: list[str] = []
    if queue.max_in_flight:
        rules.append(f"{queue.max_in_flight:,} run")
    if queue.rate_limit:
        rules.append(f"{queue.rate_limit.per_second:g} start per second")
    if queue.max_depth:
        rules.append(f"{queue.max_depth:,} wait")
    if queue.fairness.enabled:
        rules.append("fair")
    if queue.priority is not None:
        rules.append(f"aging by {show_span(queue.priority.interval)}")
    return rules


def _limit(text: str | None, option: str) -> int | None:
    """Return the number that a text means, or None for `none`."""
    if text is None or text == "none":
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise typer.BadParameter(f"{text!r} is neither a number from 1 on nor none", param_hint=option)
    return int(text)


def _rate(text: str | None, burst: int | None) -> RateLimit | None:
    if text == "none":
        return None
    try:
        per_second = float(text or "")
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a number nor none", param_hint="--rate") from None
    return RateLimit(per_second=per_second, burst=burst)


@queues.command()
def limits(
    queue: Name,
    max_in_flight: Annotated[str | None, typer.Option(help="Jobs running at once, or none.")] = None,
    rate: Annotated[str | None, typer.Option(help="Jobs that start per second, or none.")] = None,
    burst: Annotated[int | None, typer.Option(min=1, help="With --rate: how many at once. [default: the rate]")] = None,
    max_depth: Annotated[str | None, typer.Option(help="Waiting jobs, or none.")] = None,
    overflow: Annotated[Overflow | None, typer.Option(help="What happens to jobs beyond --max-depth.")] = None,
    max_payload: Annotated[str | None, typer.Option(help="Largest payload in bytes, or none for the server's limit.")] = None,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the limits of a queue, or change those that are named."""
    if burst is not None and rate in (None, "none"):
        raise typer.BadParameter("goes with --rate", param_hint="--burst")
    settings = QueueSettings()
    if max_in_flight is not None:
        settings["max_in_flight"] = _limit(max_in_flight, "--max-in-flight")
    if rate is not None:
        settings["rate_limit"] = _rate(rate, burst)
    if max_depth is not None:
        settings["max_depth"] = _limit(max_depth, "--max-depth")
    if overflow is not None:
        settings["overflow"] = overflow
    if max_payload is not None:
        settings["max_payload_bytes"] = _limit(max_payload, "--max-payload")
    with connected(address, as_json=as_json) as client:
        found = client.update_queue(queue, **settings) if settings else client.queue(queue)
    shown = {
        "max_in_flight": found.max_in_flight,
        "rate_limit": found.rate_limit,
        "max_depth": found.max_depth,
        "overflow": found.overflow,
        "max_payload_bytes": found.max_payload_bytes,
    }
    if as_json:
        print_json({"queue": queue} | shown)
        return
    limit = found.rate_limit
    per_second = "none" if limit is None else f"{limit.per_second:g} per second, {limit.burst} at once"
    rows = [
        ("max in flight", found.max_in_flight or "none"),
        ("rate", per_second),
        ("max depth", found.max_depth or "none"),
        ("overflow", found.overflow.value),
        ("max payload", found.max_payload_bytes or "none"),
    ]
    print_table(("limit", "value"), rows, empty="")


@queues.command()
def keep(
    queue: Name,
    completed: Annotated[str | None, typer.Option(help="How long completed jobs stay: 30s, 5m, 2h, 1d.")] = None,
    failed: Annotated[str | None, typer.Option(help="How long failed and expired jobs stay.")] = None,
    cancelled: Annotated[str | None, typer.Option(help="How long cancelled jobs stay.")] = None,
    history: Annotated[History | None, typer.Option(help="What is remembered of attempts, an hour after the job.")] = None,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what a queue keeps of finished jobs, and how long, or change what is named."""
    spans = {
        name: parse_span(text)
        for name, text in (("completed", completed), ("failed", failed), ("cancelled", cancelled))
        if text is not None
    }
    with connected(address, as_json=as_json) as client:
        settings = QueueSettings()
        if spans:
            try:
                before = client.queue(queue).retention
            except QueueNotFoundError:
                before = Retention()
            settings["retention"] = replace(before, **spans)
        if history is not None:
            settings["history"] = history
        found = client.update_queue(queue, **settings) if settings else client.queue(queue)
    kept = {name: getattr(found.retention, name) for name in ("completed", "failed", "cancelled")}
    if as_json:
        print_json({"queue": queue} | kept | {"history": found.history})
        return
    print_table(("of jobs", "kept"), [*kept.items(), ("history", found.history.value)], empty="")


@queues.command()
def events(
    queue: Name,
    level: Annotated[EventLevel, typer.Argument(help="What `jobs tail` and other listeners hear; all: starts and progress too.")],
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Set which events a queue tells."""
    with connected(address, as_json=as_json) as client:
        client.update_queue(queue, events=level)
    print_done("queue", queue, f"events {level.value}", as_json=as_json)


@queues.command()
def sharing(
    queue: Name,
    per_key_limit: Annotated[
        int | None, typer.Option(min=0, help="Jobs of one concurrency key that run at once; 0 for the default, 1.")
    ] = None,
    fair: Annotated[bool | None, typer.Option("--fair/--unfair", help="Share it between fairness keys, or not.")] = None,
    weight: Annotated[list[str] | None, typer.Option("--weight", help="key=1 to 1000, for fairness; replaces all.")] = None,
    aging: Annotated[str | None, typer.Option(help="Raise priority by one for each such span of waiting: 30s, 5m.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Let priority alone decide.")] = False,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show how jobs share a queue, or change what is named."""
    settings = QueueSettings()
    if per_key_limit is not None:
        settings["per_key_limit"] = per_key_limit
    if aging is not None and strict:
        raise typer.BadParameter("--aging and --strict exclude each other")
    if aging is not None or strict:
        settings["priority"] = None if aging is None else Aging(parse_span(aging, "--aging"))
    weights = {key: parse_number(value, "--weight") for key, value in parse_pairs(weight or [], "--weight").items()}
    with connected(address, as_json=as_json) as client:
        if fair is not None or weights:
            old = _fairness(client, queue)
            settings["fairness"] = Fairness(enabled=old.enabled if fair is None else fair, weights=weights or old.weights)
        found = client.update_queue(queue, **settings) if settings else client.queue(queue)
    interval = None if found.priority is None else found.priority.interval
    shown: dict[str, Any] = {
        "queue": found.name,
        "per_key_limit": found.per_key_limit,
        "fair": found.fairness.enabled,
        "weights": dict(found.fairness.weights),
    }
    if as_json:
        print_json(shown | {"aging": interval})
        return
    shown["priority"] = "strict" if interval is None else f"aging by {show_span(interval)}"
    print_pairs((name.replace("_", " "), value) for name, value in shown.items())


def _fairness(client: Client, queue: str) -> Fairness:
    try:
        return client.queue(queue).fairness
    except QueueNotFoundError:
        return Fairness(enabled=False)


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
    until = None if before is None else parse_time(before, "--before")
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
