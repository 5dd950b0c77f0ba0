"""`protojobs config`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from protojobs_service.cli.output import ExitCode, JsonFlag, fail, print_json, print_table

config = typer.Typer(help="Look at the server's settings.", no_args_is_help=True)

Driver = Literal["sqlite", "postgres", "mysql", "kafka", "memory"]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML file with settings.", envvar="PROTOJOBS_CONFIG", metavar="FILE")
]

InsecureStoreOption = Annotated[
    bool,
    typer.Option(
        "--insecure-store",
        help="Let the DSN say that a database beyond this machine is not verified, or not encrypted.",
        envvar="PROTOJOBS_STORE__INSECURE",
    ),
]


@config.command()
def show(config: ConfigOption = None, as_json: JsonFlag = False) -> None:
    """Print every setting in force, secrets masked, and where it comes from."""
    from protojobs_service import settings

    try:
        found = settings.explain(config)
    except settings.InvalidSettings as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)
    if as_json:
        print_json({each.name: {"value": each.value, "source": each.source, "meaning": each.meaning} for each in found})
        return
    print_table(("setting", "value", "from", "meaning"), found, empty="")
