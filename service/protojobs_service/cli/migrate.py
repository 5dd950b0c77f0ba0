"""`protojobs migrate`."""

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from protojobs_service.cli.config import ConfigOption, Driver
from protojobs_service.cli.output import ExitCode, JsonFlag, fail, print_json
from protojobs_service.domain.errors import StoreUnavailable

migrate = typer.Typer(help="Look at the store's schema and bring it up to date.", no_args_is_help=True)

DriverOption = Annotated[Driver | None, typer.Option(help="Store. [default: sqlite]")]
_Question = Literal["upgrade", "current", "check"]


@migrate.command()
def upgrade(driver: DriverOption = None, config: ConfigOption = None, as_json: JsonFlag = False) -> None:
    """Bring the schema to that of this build. Safe to repeat, and on several machines at once."""
    revision = _run("upgrade", driver, config, as_json=as_json)
    _show({"revision": revision}, f"schema is at {revision}", as_json=as_json)


@migrate.command()
def current(driver: DriverOption = None, config: ConfigOption = None, as_json: JsonFlag = False) -> None:
    """Print the schema's revision."""
    revision = _run("current", driver, config, as_json=as_json)
    _show({"revision": revision}, revision or "no schema", as_json=as_json)


@migrate.command()
def check(driver: DriverOption = None, config: ConfigOption = None, as_json: JsonFlag = False) -> None:
    """Tell whether this build can serve from the schema, which is current, or ahead and made for it, too; exits with 1 if not."""
    state = _run("check", driver, config, as_json=as_json)
    _show({"schema": state}, f"schema is {state}", as_json=as_json)
    if state not in {"current", "ahead"}:
        raise typer.Exit(ExitCode.REFUSED)


def _run(what: _Question, driver: Driver | None, config: Path | None, *, as_json: bool) -> str | None:
    from protojobs_service import compose, settings, telemetry

    async def answer() -> str | None:
        chosen = settings.load(config, driver=driver)
        match what:
            case "upgrade":
                return await compose.upgrade_schema(chosen)
            case "current":
                return await compose.current_schema(chosen)
            case "check":
                return await compose.check_schema(chosen)

    telemetry.configure_logs("warning", "console")
    try:
        return asyncio.run(answer())
    except settings.InvalidSettings as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)
    except StoreUnavailable as error:
        fail(error.message, ExitCode.UNAVAILABLE, as_json=as_json)


def _show(values: dict[str, Any], line: str, *, as_json: bool) -> None:
    if as_json:
        print_json(values)
    else:
        typer.echo(line)
