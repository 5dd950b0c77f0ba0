"""`protojobs outbox`."""

import asyncio
import signal
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from protojobs_service.cli.config import InsecureStoreOption
from protojobs_service.cli.connection import AddressOption, connection_options
from protojobs_service.cli.output import ExitCode, JsonFlag, fail, print_json, print_pairs
from protojobs_service.domain.errors import JobsError

if TYPE_CHECKING:
    from protojobs_client import AsyncClient

    from protojobs_service.application import Deliver, Outbox, OutboxRow, OutboxStatus, Refused

outbox = typer.Typer(help="Move jobs from a table of your own database to a server.", no_args_is_help=True)

_PATIENCE = timedelta(seconds=10)
"""Of one batch; its rows stay locked for as long."""


class Dialect(StrEnum):
    """Databases that may have an outbox. MariaDB is mysql."""

    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    SQLITE = "sqlite"


DsnOption = Annotated[
    str,
    typer.Option(
        "--dsn",
        envvar="PROTOJOBS_OUTBOX_DSN",
        help="Database: postgresql://, mysql:// or sqlite:///FILE. On the command line others can see it; the variable hides it.",
        show_default=False,
    ),
]


@outbox.command()
def ddl(dialect: Annotated[Dialect, typer.Option("--dialect", "-d", help="Kind of database.")]) -> None:
    """Print the statements that make the table."""
    from protojobs_client.outbox import ddl as statements

    typer.echo(statements(dialect.value), nl=False)


@outbox.command()
def status(dsn: DsnOption, insecure_store: InsecureStoreOption = False, as_json: JsonFlag = False) -> None:
    """Count what waits and what was set aside; exits with 1 if anything was."""
    from protojobs_service.compose import find_outbox

    async def read() -> "OutboxStatus":
        found = find_outbox(dsn, insecure=insecure_store)
        try:
            return await found.status()
        finally:
            await found.close()

    counted: OutboxStatus = _run(read(), as_json=as_json)
    oldest = None if counted.oldest is None else counted.oldest.total_seconds()
    if as_json:
        print_json({"waiting": counted.waiting, "oldest_seconds": oldest, "set_aside": counted.set_aside})
    else:
        print_pairs([("waiting", counted.waiting), ("oldest", counted.oldest), ("set aside", counted.set_aside)])
    if counted.set_aside:
        raise typer.Exit(ExitCode.REFUSED)


@outbox.command()
def relay(
    dsn: DsnOption,
    insecure_store: InsecureStoreOption = False,
    once: Annotated[bool, typer.Option("--once", help="Leave once nothing waits that can be moved.")] = False,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Move jobs to a server until a signal. Several relays may share one table."""
    from protojobs_service.telemetry import configure_logs

    configure_logs("info", "auto")
    try:
        options = connection_options(address, call_timeout=_PATIENCE, streaming=False)
    except ValueError as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)
    moved: int = _run(_relay(dsn, options, once=once, insecure_store=insecure_store), as_json=as_json)
    if once:
        print_json({"moved": moved}) if as_json else typer.echo(f"moved {moved}")


async def _relay(dsn: str, options: Any, *, once: bool, insecure_store: bool) -> int:
    from protojobs_client import AsyncClient

    from protojobs_service.application import Relay, SystemClock
    from protojobs_service.compose import find_outbox

    found = find_outbox(dsn, insecure=insecure_store)
    try:
        async with AsyncClient(options=options) as client:
            mover = Relay(found, _deliver_by(client), SystemClock(), name="outbox")
            if once:
                return await mover.drain()
            await _until_signal(mover, found)
            return 0
    finally:
        await found.close()


async def _until_signal(mover: Any, found: "Outbox") -> None:
    await found.status()  # a wrong address is told at once
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(mover.run(), name="relay")
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)


def _deliver_by(client: "AsyncClient") -> "Deliver":
    from protojobs_client import Dispatched, UnavailableError
    from protojobs_client.errors import DeadlineExceededError, UnauthenticatedError

    from protojobs_service.application import Refused
    from protojobs_service.transport.outbox import envelope_of, refusal_of

    async def deliver(rows: "Sequence[OutboxRow]") -> "Sequence[Refused | None]":
        answers: dict[int, Refused | None] = {}
        envelopes: dict[int, bytes] = {}
        for place, row in enumerate(rows):
            try:
                envelopes[place] = envelope_of(row)
            except JobsError as error:
                answers[place] = refusal_of(error)
        results = await client.dispatch_encoded(list(envelopes.values()))
        for place, result in zip(envelopes, results, strict=True):
            if isinstance(result, Dispatched):
                answers[place] = None
            elif isinstance(result.error, UnavailableError | DeadlineExceededError | UnauthenticatedError):
                raise result.error
            else:
                answers[place] = Refused(result.error.reason, result.error.message)
        return [answers[place] for place in range(len(rows))]

    return deliver


def _run(work: Any, *, as_json: bool) -> Any:
    from protojobs_client import ProtoJobsError

    from protojobs_service.settings import InvalidSettings

    try:
        return asyncio.run(work)
    except InvalidSettings as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)
    except (JobsError, ProtoJobsError) as error:
        # What a library says of a database may name its address.
        fail(f"{error.message or error.reason}; is the table there? `protojobs outbox ddl`", ExitCode.UNAVAILABLE, as_json=as_json)
