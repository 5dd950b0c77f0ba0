"""`protojobs transfer`: move a queue from one store to another."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from protojobs_service.cli.output import ExitCode, JsonFlag, fail, print_json, print_pairs
from protojobs_service.domain.errors import JobsError, Overloaded, StoreUnavailable

if TYPE_CHECKING:
    from protojobs_service.application.transfer import Report
    from protojobs_service.settings import Settings

_ENVIRONMENT = "env"


def transfer(
    queue: Annotated[str, typer.Option("--queue", "-q", help="Queue to move.")],
    source: Annotated[
        str, typer.Option("--from", help="YAML file of the store to empty, or env for the settings of the environment.")
    ],
    target: Annotated[str, typer.Option("--to", help="YAML file of the store to fill, or env.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    new_ids: Annotated[
        bool,
        typer.Option("--new-ids", help="Give jobs that the target has known and deleted ids made of theirs: to move a queue back."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Move although the queue is not paused; jobs may run in both.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Move the waiting, delayed and failed jobs of a queue, and its schedules, from any store to any other.

    Pause the queue first. May be stopped and repeated: each job is deleted once the other store has it. Exits with 1 if jobs stay.
    """
    from protojobs_service import compose, settings, telemetry

    telemetry.configure_logs("warning", "console")
    try:
        if source == target:
            fail("--from and --to name the same settings", ExitCode.USAGE, as_json=as_json)
        given, taking = _load(source), _load(target)
        report = asyncio.run(compose.transfer(given, taking, queue, dry_run=dry_run, force=force, new_ids=new_ids))
    except settings.InvalidSettings as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)
    except (Overloaded, StoreUnavailable) as error:
        fail(f"{error.message}; what was moved stays moved: repeat it", ExitCode.UNAVAILABLE, as_json=as_json)
    except JobsError as error:
        fail(error.message, ExitCode.REFUSED, as_json=as_json)
    _show(report, as_json=as_json)
    if not report.is_whole:
        raise typer.Exit(ExitCode.REFUSED)


def _load(where: str) -> "Settings":
    from protojobs_service import settings

    return settings.load() if where == _ENVIRONMENT else settings.load_file(Path(where))


def _show(report: "Report", *, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    print_pairs(
        [
            ("queue", report.queue + (" (dry run)" if report.dry_run else "")),
            ("jobs", dict(report.moved)),
            ("of these there before", report.before),
            ("schedules", report.schedules),
            ("running, not moved", report.running),
            ("stay, because", dict(report.refused)),
            ("counts are", "approximate" if report.approximate else "exact"),
        ]
    )
