"""`protojobs upkeep`: what servers do to the store by themselves, for one time."""

import asyncio
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated

import typer

from protojobs_service.cli.config import ConfigOption, Driver
from protojobs_service.cli.output import ExitCode, JsonFlag, fail, print_json
from protojobs_service.domain.errors import Overloaded, StoreUnavailable

if TYPE_CHECKING:
    from protojobs_service.application import UpkeepDone


def upkeep(
    once: Annotated[bool, typer.Option("--once", help="Do it one time and leave; a server does it all the time.")] = False,
    most: Annotated[int, typer.Option(min=1, max=10_000_000, help="Bound of each step, in jobs.")] = 100_000,
    driver: Annotated[Driver | None, typer.Option(help="Store. [default: sqlite]")] = None,
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Promote what is due, tick schedules, expire, rescue, prune, and mend counters, in the store itself.

    Safe beside running servers, and to repeat. It never runs a job.
    """
    from protojobs_service import compose, settings, telemetry

    if not once:
        fail("say --once; `protojobs serve` does upkeep all the time", ExitCode.USAGE, as_json=as_json)
    telemetry.configure_logs("warning", "console")
    try:
        done = asyncio.run(compose.upkeep_once(settings.load(config, driver=driver), most))
    except settings.InvalidSettings as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)
    except (Overloaded, StoreUnavailable) as error:
        fail(error.message, ExitCode.UNAVAILABLE, as_json=as_json)
    if as_json:
        print_json(done)
    else:
        typer.echo(_line(done))


def _line(done: "UpkeepDone") -> str:
    counts = [
        f"{field.name.replace('_', ' ')} {count}" for field in fields(done) if isinstance(count := getattr(done, field.name), int)
    ]
    more = f"; bounded by --most: {', '.join(done.unfinished)}" if done.unfinished else ""
    return ", ".join(counts) + more
