"""`protojobs import php`: take over the rows of the PHP library's tables.

May be stopped and repeated: ids are made of the import's time and the rows' own; a repetition reads the time from a stored job.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from protojobs_client import AsyncClient, Dispatched, DispatchOutcome, JobState, Options, ProtoJobsError, Refused

from protojobs_service.cli.config import InsecureStoreOption
from protojobs_service.cli.connection import AddressOption, connection_options
from protojobs_service.cli.output import ExitCode, JsonFlag, fail, print_json, print_pairs
from protojobs_service.cli.php_rows import COLUMNS, LABEL, PhpJob, Reading, Unreadable, anchor_of, read_row
from protojobs_service.cli.values import parse_pairs
from protojobs_service.domain.errors import JobsError, StoreUnavailable

import_ = typer.Typer(help="Take over jobs of other systems.", no_args_is_help=True)

_PAGE = 500
_QUEUES = 100  # of one worker
_LEFT_ALONE = timedelta(minutes=1)
_SHOWN = 10


@dataclass(slots=True)
class Report:
    """What became of the rows of both tables."""

    source: str
    dry_run: bool
    created: int = 0
    existing: int = 0
    failed: int = 0
    reserved_skipped: int = 0
    deleted: int = 0
    unreadable: Counter[str] = field(default_factory=Counter[str])
    refused: Counter[str] = field(default_factory=Counter[str])
    kinds: Counter[str] = field(default_factory=Counter[str])
    rows: list[str] = field(default_factory=list[str])  # of those that stay behind, the first few

    def leave(self, reasons: Counter[str], why: str, table: str, key: object) -> None:
        """Count a row that stays behind."""
        reasons[why] += 1
        if len(self.rows) < _SHOWN:
            self.rows.append(f"{table} {key}: {why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command was told."""

    dsn: str
    insecure_store: bool
    reading: Reading
    jobs_table: str
    failed_table: str
    failed_queue: str
    pending: bool
    failed: bool
    reserved: bool
    delete: bool


@import_.command()
def php(
    dsn: Annotated[str, typer.Option(help="Database of the tables.", envvar="PROTOJOBS_IMPORT_DSN", metavar="DSN")],
    source: Annotated[str, typer.Option(help="Name of this import; another one is another import.")] = "php",
    jobs_table: Annotated[str, typer.Option(help="Table of pending jobs; may be SCHEMA.TABLE.")] = "jobs",
    failed_table: Annotated[str, typer.Option(help="Table of failed jobs.")] = "failed_jobs",
    column: Annotated[list[str] | None, typer.Option(help=f"what=COLUMN; what is {', '.join(COLUMNS)}.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Class=kind; else App\\Jobs\\Mail is App.Jobs.Mail.")] = None,
    queue: Annotated[list[str] | None, typer.Option(help="old=new name of a queue.")] = None,
    kind_field: Annotated[list[str] | None, typer.Option(help="Field of the payload that names the class.")] = None,
    data_field: Annotated[str, typer.Option(help="Field of the payload that is the data; empty: all of it.")] = "data",
    failed_queue: Annotated[str, typer.Option(help="Queue for failed jobs.")] = "{queue}.failed",
    pending: Annotated[bool, typer.Option("--pending/--no-pending", help="Take pending jobs.")] = True,
    failed: Annotated[bool, typer.Option("--failed/--no-failed", help="Take failed jobs.")] = True,
    reserved: Annotated[bool, typer.Option("--reserved", help="Take also what a PHP worker has reserved.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete each row once its job is stored.")] = False,
    insecure_store: InsecureStoreOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and convert only.")] = False,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Take over the tables `jobs` and `failed_jobs` of the PHP library. Stop its workers first.

    Exits with 1 if rows stay behind: it says which and why. Repeat it within 7 days of the first run.
    """
    columns = {**COLUMNS, **parse_pairs(column or [], "--column")}
    if unknown := sorted(columns.keys() - COLUMNS.keys()):
        raise typer.BadParameter(f"{unknown[0]} is none of {', '.join(COLUMNS)}", param_hint="--column")
    wanted = Wanted(
        dsn=dsn,
        insecure_store=insecure_store,
        reading=Reading(
            source=source,
            anchor=datetime.now(UTC),
            columns=columns,
            kinds=parse_pairs(kind or [], "--kind"),
            queues=parse_pairs(queue or [], "--queue"),
            kind_fields=tuple(kind_field or Reading(source="", anchor=datetime.now(UTC)).kind_fields),
            data_field=data_field or None,
        ),
        jobs_table=jobs_table,
        failed_table=failed_table,
        failed_queue=failed_queue,
        pending=pending,
        failed=failed,
        reserved=reserved,
        delete=delete,
    )
    try:
        options = connection_options(address, call_timeout=timedelta(seconds=30), streaming=False)
        report = asyncio.run(_import(wanted, None if dry_run else options))
    except ProtoJobsError as error:
        fail(f"{error.message or error.reason}", ExitCode.UNAVAILABLE if error.retryable else ExitCode.REFUSED, as_json=as_json)
    except StoreUnavailable:
        fail("the database of the tables does not answer", ExitCode.UNAVAILABLE, as_json=as_json)
    except JobsError:
        fail(
            "the database of the tables refused: see its log, and the names of tables and columns", ExitCode.USAGE, as_json=as_json
        )
    except ValueError as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)
    _show(report, as_json=as_json)
    if report.unreadable or report.refused:
        raise typer.Exit(ExitCode.REFUSED)


async def _import(wanted: Wanted, options: Options | None) -> Report:
    """Take over both tables; without `options` only read them."""
    report = Report(wanted.reading.source, dry_run=options is None)
    if options is None:
        await _take(wanted, None, report)
        return report
    async with AsyncClient(options=options) as client:
        async for job in client.list(labels={LABEL: wanted.reading.source}, oldest_first=True, page_size=1):
            wanted = replace(wanted, reading=replace(wanted.reading, anchor=anchor_of(job.id)))
            break
        await _take(wanted, _Target(client, options), report)
    return report


async def _take(wanted: Wanted, target: "_Target | None", report: Report) -> None:
    from protojobs_service import compose

    async with compose.foreign_tables(wanted.dsn, insecure=wanted.insecure_store) as open_table:
        for name, hold, chosen in (
            (wanted.jobs_table, None, wanted.pending),
            (wanted.failed_table, wanted.failed_queue, wanted.failed),
        ):
            if not chosen:
                continue
            table = open_table(name, wanted.reading.columns["id"])
            if not await table.exists():
                raise ValueError(f"there is no table {name}; see --jobs-table, --failed-table, --no-pending and --no-failed")
            async for page in table.pages(_PAGE):
                jobs = _read(page, name, wanted, hold, report)
                if target is None:
                    continue
                stored = await target.store(jobs, name, report)
                if hold is not None:
                    await target.fail(stored, report)
                if wanted.delete:
                    await table.delete([job.key for job in stored])
                    report.deleted += len(stored)


def _read(page: Sequence[Any], table: str, wanted: Wanted, hold: str | None, report: Report) -> list[PhpJob]:
    jobs: list[PhpJob] = []
    for row in page:
        try:
            job = read_row(row, table, wanted.reading, hold=hold)
        except Unreadable as error:
            report.leave(report.unreadable, str(error), table, row.get(wanted.reading.columns["id"]))
            continue
        if job.reserved and not wanted.reserved:
            report.reserved_skipped += 1
            continue
        report.kinds[job.request.kind] += 1
        jobs.append(job)
    return jobs


@dataclass(frozen=True, slots=True)
class _Target:
    """The server that takes the jobs."""

    client: AsyncClient
    options: Options

    async def store(self, jobs: list[PhpJob], table: str, report: Report) -> list[PhpJob]:
        """Dispatch jobs; return those that are stored now or were before."""
        stored: list[PhpJob] = []
        for job, result in zip(jobs, await self.client.dispatch_many(job.request for job in jobs), strict=True):
            match result:
                case Refused(error=error):
                    if error.retryable:
                        raise error
                    report.leave(report.refused, error.reason or type(error).__name__, table, job.key)
                case Dispatched(outcome=outcome):
                    report.created += outcome is DispatchOutcome.CREATED
                    report.existing += outcome is not DispatchOutcome.CREATED
                    stored.append(job)
        return stored

    async def fail(self, jobs: list[PhpJob], report: Report) -> None:
        """Fail stored jobs for good with what they failed of, as a worker of their queue does.

        Those that have begun here before are left alone: somebody may have retried them.
        """
        from protojobs_worker import Discard, JobContext, Snooze, Worker

        waiting = [job for job in jobs if (await self.client.get(job.id)).state is JobState.PENDING]
        if not waiting:
            return
        reasons = {job.id: job.reason for job in waiting}
        queues = sorted({str(job.request.options.queue) for job in waiting})

        def refuse(ctx: JobContext) -> None:
            if ctx.attempt > 1 or ctx.job_id not in reasons:
                raise Snooze(_LEFT_ALONE)
            report.failed += 1
            raise Discard(reasons[ctx.job_id])

        for first in range(0, len(queues), _QUEUES):
            worker = Worker(
                self.options, queues=queues[first : first + _QUEUES], until_empty=True, window=_PAGE, name="protojobs import"
            )
            for kind in sorted({job.request.kind for job in waiting}):
                worker.handler(kind, inline=True)(refuse)
            await worker.serve()


def _show(report: Report, *, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    print_pairs(
        [
            ("import", report.source + (" (dry run)" if report.dry_run else "")),
            ("stored", report.created),
            ("stored before", report.existing),
            ("failed here too", report.failed),
            ("reserved, skipped", report.reserved_skipped),
            ("rows deleted", report.deleted),
            ("kinds", dict(report.kinds)),
            ("unreadable", dict(report.unreadable)),
            ("refused", dict(report.refused)),
            ("such as", "\n".join(report.rows)),
        ]
    )
