"""Every command by name, and what exit codes mean.

Commands import what only they need when they run: half of the time of a short command is imports.
"""

from typing import Annotated

import typer

from protojobs_service.cli.audit import audit
from protojobs_service.cli.config import config
from protojobs_service.cli.connection import share_options
from protojobs_service.cli.dispatch import dispatch
from protojobs_service.cli.health import health
from protojobs_service.cli.import_php import import_
from protojobs_service.cli.jobs import jobs
from protojobs_service.cli.kafka import kafka
from protojobs_service.cli.migrate import migrate
from protojobs_service.cli.outbox import outbox
from protojobs_service.cli.queues import queues
from protojobs_service.cli.restored import restored
from protojobs_service.cli.schedules import schedules
from protojobs_service.cli.serve import dev, serve
from protojobs_service.cli.smoke import smoke
from protojobs_service.cli.stats import stats
from protojobs_service.cli.tokens import tokens
from protojobs_service.cli.transfer import transfer
from protojobs_service.cli.upkeep import upkeep
from protojobs_service.cli.workers import workers

app = typer.Typer(
    help="Background jobs over gRPC.",
    epilog=(
        "Exit codes: 0 done; 1 refused, or the job failed; 2 wrong usage or settings; 3 nobody answers, or NOT_SERVING; "
        "4 no such thing; 5 the wait was over first; 130 interrupted."
    ),
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(dev)
app.command()(serve)
app.add_typer(migrate, name="migrate")
app.command()(upkeep)
app.command()(restored)
app.add_typer(kafka, name="kafka")
app.command()(transfer)
app.add_typer(import_, name="import")
app.command()(dispatch)
app.add_typer(jobs, name="jobs")
app.add_typer(queues, name="queues")
app.add_typer(schedules, name="schedules")
app.command()(stats)
app.add_typer(workers, name="workers")
app.add_typer(outbox, name="outbox")
app.add_typer(tokens, name="tokens")
app.add_typer(audit, name="audit")
app.command()(health)
app.command()(smoke)
app.add_typer(config, name="config")
share_options(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        from protojobs_service.telemetry import service_version

        typer.echo(service_version())
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)] = False,
) -> None:
    pass
