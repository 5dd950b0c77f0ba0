"""`protojobs schedules`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from protojobs_client import Catchup, CatchupMode, Cron, Overlap, ScheduleInfo, ScheduleOptions, ScheduleRequest

from protojobs_service.cli.connection import AddressOption, connected
from protojobs_service.cli.output import JsonFlag, print_done, print_json, print_pairs, print_table
from protojobs_service.cli.schedule_file import one_when, read_schedules, show_when
from protojobs_service.cli.values import parse_json, parse_pairs, parse_span, parse_time, read_data

schedules = typer.Typer(help="Make jobs again and again.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="SCHEDULE", help="Name of the schedule.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Zone = Annotated[str, typer.Option("--tz", help="IANA time zone, such as Europe/Prague.", metavar="ZONE")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and say what would be done.")]


@schedules.command()
def create(
    kind: Annotated[str, typer.Argument(help="Which handler runs its jobs.")],
    cron: Annotated[str | None, typer.Option(help="Five fields, or @hourly, @daily, @weekly, @monthly.")] = None,
    every: Annotated[str | None, typer.Option(help="Fixed distance: 30s, 5m, 2h, 1d.")] = None,
    daily: Annotated[list[str] | None, typer.Option(help="Local time HH:MM; repeatable.")] = None,
    weekly: Annotated[list[str] | None, typer.Option(help="Days for --daily: monday, tuesday, ...; repeatable.")] = None,
    name: Annotated[str, typer.Option(help="Name. [default: made of what it does and when]")] = "",
    tz: Zone = "UTC",
    data: Annotated[str | None, typer.Option("--data", "-d", help="JSON, @FILE, or @- for standard input.")] = None,
    queue: Annotated[str | None, typer.Option("--queue", "-q", help="Queue. [default: default]")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", "-l", help="key=value; repeatable.")] = None,
    start: Annotated[str | None, typer.Option(help="No tick before this time, ISO 8601.")] = None,
    end: Annotated[str | None, typer.Option(help="No tick at or after this time, ISO 8601.")] = None,
    jitter: Annotated[str | None, typer.Option(help="Make each job late by a random part of this.")] = None,
    catchup: Annotated[CatchupMode, typer.Option(help="What runs of ticks that were missed.")] = CatchupMode.LAST,
    overlap: Annotated[Overlap, typer.Option(help="What a tick does while the previous job goes on.")] = Overlap.ALLOW,
    dry_run: DryRun = False,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make or change a schedule."""
    entry: dict[str, Any] = {"cron": cron, "every": every}
    if weekly:
        entry["weekly"] = {"days": weekly, "times": daily or ["00:00"]}
    elif daily:
        entry["daily"] = daily
    when = one_when({key: value for key, value in entry.items() if value is not None})
    options = ScheduleOptions(name=name, time_zone=tz, overlap=overlap, labels=parse_pairs(label or [], "--label"))
    options["catchup"] = Catchup(mode=catchup)
    if queue is not None:
        options["queue"] = queue
    if start is not None:
        options["start_at"] = parse_time(start, "--start")
    if end is not None:
        options["end_at"] = parse_time(end, "--end")
    if jitter is not None:
        options["jitter"] = parse_span(jitter, "--jitter")
    if data is not None:
        payload = read_data(data)
        parse_json(payload)
        options["payload"] = payload
    with connected(address, as_json=as_json) as client:
        _show(client.schedule(ScheduleRequest.of(kind, None, when, **options), dry_run=dry_run), as_json=as_json)


@schedules.command("list")
def list_schedules(address: AddressOption = None, as_json: JsonFlag = False) -> None:
    """List schedules."""
    with connected(address, as_json=as_json) as client:
        found = client.schedules().all()
    if as_json:
        print_json([_plain(each) for each in found])
        return
    rows = ((each.name, each.kind, each.queue, show_when(each.when), each.time_zone, each.paused, each.next_at) for each in found)
    print_table(("schedule", "kind", "queue", "when", "zone", "paused", "next"), rows, empty="no schedules")


@schedules.command()
def get(name: Name, address: AddressOption = None, as_json: JsonFlag = False) -> None:
    """Show a schedule."""
    with connected(address, as_json=as_json) as client:
        _show(client.get_schedule(name), as_json=as_json)


@schedules.command()
def pause(name: Name, address: AddressOption = None, as_json: JsonFlag = False) -> None:
    """Stop its ticks."""
    with connected(address, as_json=as_json) as client:
        client.pause_schedule(name)
    print_done("schedule", name, "paused", as_json=as_json)


@schedules.command()
def resume(name: Name, address: AddressOption = None, as_json: JsonFlag = False) -> None:
    """Let it tick again, from now on."""
    with connected(address, as_json=as_json) as client:
        client.resume_schedule(name)
    print_done("schedule", name, "resumed", as_json=as_json)


@schedules.command()
def trigger(
    name: Name,
    job_id: Annotated[str | None, typer.Option("--id", help="UUIDv7 of the job; the same one never runs twice.")] = None,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make one of its jobs now."""
    with connected(address, as_json=as_json) as client:
        made = client.trigger_schedule(name, job_id=job_id)
    if as_json:
        print_json({"schedule": name, "job_id": made})
    else:
        print_pairs([("job id", made)])


@schedules.command()
def delete(name: Name, yes: Yes = False, address: AddressOption = None, as_json: JsonFlag = False) -> None:
    """Remove a schedule; its jobs stay."""
    if not yes:
        typer.confirm(f"Remove schedule {name}?", abort=True, err=True)
    with connected(address, as_json=as_json) as client:
        client.delete_schedule(name)
    print_done("schedule", name, "removed", as_json=as_json)


@schedules.command()
def apply(
    file: Annotated[
        Path, typer.Option("--file", "-f", help="YAML with a list `schedules`; - for standard input.", allow_dash=True)
    ],
    prune: Annotated[bool, typer.Option("--prune", help="Remove every schedule that the file does not name.")] = False,
    prefix: Annotated[str, typer.Option(help="Prune only schedules whose name begins so.")] = "",
    dry_run: DryRun = False,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make the schedules what a file says."""
    wanted = read_schedules(file)
    with connected(address, as_json=as_json) as client:
        if not dry_run:  # one that is refused leaves the others as they were
            client.sync_schedules(wanted, dry_run=True)
        report = client.sync_schedules(wanted, prune=prune, prefix=prefix, dry_run=dry_run)
    if as_json:
        print_json(report)
        return
    rows = [(name, what) for what in ("created", "changed", "unchanged", "removed") for name in getattr(report, what)]
    print_table(("schedule", "would be" if dry_run else "was"), rows, empty="no schedules")


@schedules.command()
def preview(
    expression: Annotated[str, typer.Argument(metavar="EXPR", help="Five fields, or @hourly, @daily, @weekly, @monthly.")],
    tz: Zone = "UTC",
    start: Annotated[str | None, typer.Option("--from", help="From this time on, ISO 8601. [default: now]", metavar="TIME")] = None,
    count: Annotated[int, typer.Option(help="How many; at most 100.", min=1, max=100)] = 5,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the next ticks of an expression, by local and by universal time."""
    first = None if start is None else parse_time(start, "--from")
    with connected(address, as_json=as_json) as client:
        ticks = client.preview_schedule(Cron(expression), time_zone=tz, count=count, start_at=first)
    if as_json:
        print_json([{"local": _local(at, tz), "utc": at} for at in ticks])
        return
    rows = ((_local(at, tz).strftime("%a %Y-%m-%d %H:%M:%S %Z"), at.astimezone(UTC)) for at in ticks)
    print_table((tz, "UTC"), rows, empty="never")


def _local(at: datetime, zone: str) -> datetime:
    return at.astimezone(ZoneInfo(zone))


def _plain(schedule: ScheduleInfo) -> dict[str, Any]:
    return {"name": schedule.name, "when": show_when(schedule.when)} | {
        field: getattr(schedule, field)
        for field in (
            "time_zone", "start_at", "end_at", "jitter", "kind", "queue", "payload", "catchup", "overlap", "paused", "etag",
            "next_at", "last_at", "last_job_id", "created_at",
        )
    }  # fmt: skip


def _show(schedule: ScheduleInfo, *, as_json: bool) -> None:
    values = _plain(schedule)
    if as_json:
        print_json(values)
    else:
        values["catchup"] = schedule.catchup.mode
        print_pairs((name.replace("_", " "), value) for name, value in values.items() if name not in ("payload", "etag"))
