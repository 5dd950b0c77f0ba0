"""`protojobs kafka`."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from protojobs_service.cli.config import ConfigOption
from protojobs_service.cli.output import ExitCode, JsonFlag, fail, print_json, print_table
from protojobs_service.domain.errors import Overloaded, StoreUnavailable

if TYPE_CHECKING:
    from protojobs_service.compose import Finding

kafka = typer.Typer(help="Look at what the Kafka driver keeps in Kafka.", no_args_is_help=True)
topics = typer.Typer(help="Compare topics with the settings of the server, and mend them.", no_args_is_help=True)
kafka.add_typer(topics, name="topics")

_BY_HAND = "by hand"
_COLUMNS = ("topic", "what", "found", "wanted", "mend", "jobs can be lost")


@topics.command()
def plan(config: ConfigOption = None, as_json: JsonFlag = False) -> None:
    """Print what is not as the settings want it, and what `apply` would do; changes nothing."""
    _show(_survey(config, mend=False, as_json=as_json), empty="nothing to do", as_json=as_json)


@topics.command()
def apply(config: ConfigOption = None, as_json: JsonFlag = False) -> None:
    """Make missing topics, add partitions and set settings. Safe to repeat; exits with 1 if something must be done by hand."""
    found = _survey(config, mend=True, as_json=as_json)
    _show(found, empty="nothing to do", as_json=as_json)
    if any(finding.remedy.value == _BY_HAND for finding in found):
        raise typer.Exit(ExitCode.REFUSED)


@topics.command()
def check(config: ConfigOption = None, as_json: JsonFlag = False) -> None:
    """Print a line for each thing that is not as the settings want it; exits with 1 if there is any."""
    found = _survey(config, mend=False, as_json=as_json)
    if as_json:
        _show(found, empty="", as_json=True)
    else:
        typer.echo("\n".join(finding.line for finding in found) or "topics are as they should be")
    if found:
        raise typer.Exit(ExitCode.REFUSED)


def _survey(config: Path | None, *, mend: bool, as_json: bool) -> "Sequence[Finding]":
    from protojobs_service import compose, settings, telemetry

    telemetry.configure_logs("critical", "console")
    try:
        return asyncio.run(compose.survey_topics(settings.load(config, driver="kafka"), mend=mend))
    except settings.InvalidSettings as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)
    except (Overloaded, StoreUnavailable) as error:
        fail(error.message, ExitCode.UNAVAILABLE, as_json=as_json)


def _show(found: "Sequence[Finding]", *, empty: str, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        rows = ((each.topic, each.what, each.found, each.wanted, each.remedy, each.loses) for each in found)
        print_table(_COLUMNS, rows, empty=empty)
