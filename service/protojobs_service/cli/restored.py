"""`protojobs restored`: what to do with a store between its restore from a backup and the first server on it."""

import asyncio
from typing import Annotated

import typer

from protojobs_service.cli.config import ConfigOption, Driver
from protojobs_service.cli.output import ExitCode, JsonFlag, fail, print_json
from protojobs_service.domain.errors import StoreUnavailable


def restored(
    driver: Annotated[Driver | None, typer.Option(help="Store. [default: sqlite]")] = None,
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Begin a new life of a store that was restored from a backup, before any server is started on it.

    Workers' sessions of before are refused for good: they begin new ones, and what they still run is not settled. Jobs that ran
    when the backup was made wait again, under their next attempt; nothing is counted. Cursors of event streams of before end.
    Stop every server first: exits with 3 where one is on the store. Safe to repeat as long as no server has been started.
    """
    from protojobs_service import compose, settings, telemetry

    telemetry.configure_logs("warning", "console")
    try:
        renewed = asyncio.run(compose.begin_anew(settings.load(config, driver=driver)))
    except settings.InvalidSettings as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)
    except StoreUnavailable as error:
        fail(error.message, ExitCode.UNAVAILABLE, as_json=as_json)
    if as_json:
        print_json({"sessions": renewed.sessions, "returned": renewed.returned})
    else:
        typer.echo(f"sessions refused {renewed.sessions}, running jobs given back {renewed.returned}")
